"""The monthly review: how much of the catalogue is findable, waiting or failing, and what improved."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import CATEGORIES
from imgprep.core.findings import findings_frame
from imgprep.core.frames import records, show_fields_as_tables
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.settings import Settings, gallery_name
from imgprep.core.text import percent
from imgprep.load.left_out import left_out
from imgprep.look.rules.book import tally_findings
from imgprep.outcomes.counting import read_each
from imgprep.outcomes.findability import last_search
from imgprep.outcomes.tallies import tally_by, tally_failure_changes, tally_outcomes
from imgprep.ship.checks import read_checks
from imgprep.ship.gallery import gallery_state, runs_of
from imgprep.ship.report.causes import Family, known_to
from imgprep.ship.run import Run
from imgprep.show.tables import table_html
from imgprep.show.template import template, write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure


NOT_ASKED = "the gallery itself was not queried"
_SEARCHED = {"category": "str", "images": "int64", "first": "int64", "share": "float64"}
#: Columns that may name who made an image; the first one in the catalogue is used.
_SOURCES = ("source", "photographer", "supplier", "来源", "摄影师", "供应商")
STAGES = ("catalogue", "has image", "passes", "in gallery", "with region")
#: Measures by which the month is compared with the previous one.
_MEASURES = (
    *("lines sent for the first time", "first-time success, %", "lines sent again", "images open at the end"),
    *("failures fixed", "failures persisting", "failures new"),
)


class _Part(NamedTuple):
    """A part of the page: rows of a label, a text, and the length of a bar (0 to 1)."""

    title: str
    rows: list[tuple[str, str, float]]
    good: bool = True
    note: str = ""


@dataclass(frozen=True, repr=False)
class Review:
    """The monthly review as frames; displayed as a page in a notebook.

    Attributes
    ----------
    month : str
        The month, such as ``2026-11``.
    gallery : str
        The gallery that the review describes; see `Settings.gallery`.
    funnel : pandas.DataFrame
        ``stage, images, share`` (of the catalogue): catalogue → has image → passes → in gallery → with region.
        ``passes``: the newest run's findings have no error for the image. The gallery may hold an image that does not
        pass, such as an earlier version; otherwise an image counts in a stage only if it is in all previous stages.
    coverage : pandas.DataFrame
        ``category, catalogue, in_gallery, share``.
    backlog : pandas.DataFrame
        ``age, images``: how long images of the catalogue have been waiting to be in the gallery.
    findable : pandas.DataFrame
        ``days, images``: time from the first catalogue with an image to its import, for imports of this month.
    sources : pandas.DataFrame
        Failures that another image would correct, by the source of the image (`tally_by`), with the shop's own causes;
        empty if the catalogue has no such column. Faults of the catalogue's data are not among them.
    better : pandas.DataFrame
        ``measure, before, now``: compared with the previous month, counted as in `imgprep.outcomes.counting`; failures
        open at the end of each month as in `tally_failure_changes`.
    asked : str
        The gallery's last answer in the month; see `verify_gallery`.
    searched : pandas.DataFrame
        ``category, images, first, share``: how many images of the last search in the month found themselves
        first, by category; empty if `findability` was not run. ``.attrs["note"]``: a caveat about a sandbox's rankings.
    findings : pandas.DataFrame
        The findings of `check` on the newest export, as `tally_findings` counts them.

    Examples
    --------
    >>> month = ip.review(runs)
    >>> month.month
    '2026-09'
    >>> month.coverage.columns.tolist()
    ['category', 'catalogue', 'in_gallery', 'share']
    """

    month: str
    gallery: str
    funnel: pd.DataFrame
    coverage: pd.DataFrame
    backlog: pd.DataFrame
    findable: pd.DataFrame
    sources: pd.DataFrame
    better: pd.DataFrame
    asked: str = NOT_ASKED
    searched: pd.DataFrame = field(default_factory=lambda: _typed(_SEARCHED))
    findings: pd.DataFrame = field(default_factory=lambda: tally_findings(findings_frame()))

    def __post_init__(self) -> None:
        show_fields_as_tables(self)

    def __repr__(self) -> str:
        in_gallery = self.funnel.iloc[3]
        count = f"{in_gallery['images']:,} images in the gallery, {percent(in_gallery['share'], 1)}"
        return f"Review({self.month}, {gallery_name(self.gallery)}: {count})"

    def figure(self) -> Figure:
        """Return the page's charts as one figure."""
        from imgprep.show.charts.outcomes import review_figure  # noqa: PLC0415  matplotlib is heavy

        return review_figure(self.month, self.funnel, self.coverage, self.backlog, self.findable)

    def _repr_html_(self) -> str:
        t = texts(display_language())
        page = template("review.html", t.language)
        return page.render(review=self, headline=self.headline(t.language), tables=self._tables(t))

    def headline(self, language: str = "en") -> str:
        """Return the month in one sentence."""
        t = texts(language)
        total, held = self.funnel.iloc[0], self.funnel.iloc[3]
        return t(
            "By the last run of {month}, {held} of {total} ({share}) were in the gallery.",
            month=t("{date:%B} {date.year}", date=_bounds(self.month)[0]),
            held=f"{held['images']:,}",
            total=t.counted(int(total["images"]), "image"),
            share=percent(held["share"], 1),
        )

    def write(self, path: str | Path, *, language: str | None = None) -> Path:
        """Write the page: one self-contained HTML file, in `language` (default: that of the current project)."""
        t = texts(language or display_language())
        page = template("review_page.html", t.language).render(
            review=self,
            headline=self.headline(t.language),
            gallery=gallery_name(self.gallery),
            tiles=self._tiles(t),
            parts=self._parts(t),
            measures=[(row["measure"], _plain(row["before"]), _plain(row["now"])) for row in records(self.better)],
            asked=None if self.asked == NOT_ASKED else self.asked,
        )
        return write_page(path, page)

    def _tiles(self, t: Texts) -> list[tuple[str, str, str]]:
        """Return the figures that are asked for first: value, name and comparison."""
        better = {row["measure"]: row for row in records(self.better)}
        success, still_open = better[_MEASURES[1]], better[_MEASURES[3]]
        waiting = int(self.backlog["images"].sum())
        oldest = [row["age"] for row in records(self.backlog) if row["images"]][-1:]
        images, first = int(self.searched["images"].sum()), int(self.searched["first"].sum())
        return [
            (
                "–" if success["now"] is None else f"{_plain(success['now'])}%",
                t("first-time success"),
                ""
                if success["before"] is None
                else t("{value} the month before", value=f"{_plain(success['before'])}%"),
            ),
            (
                _plain(still_open["now"]) or "–",
                t("images whose last line failed"),
                ""
                if still_open["before"] is None
                else t("{value} the month before", value=_plain(still_open["before"])),
            ),
            (
                f"{waiting:,}",
                t("images wait to be in the gallery"),
                t("the oldest: {age}", age=t(oldest[0])) if oldest else "",
            ),
            (
                percent(first / images) if images else "–",
                t("find themselves first in a search"),
                t("of {images} searched with", images=t.counted(images, "image"))
                if images
                else t("not searched this month: `imgprep findability`"),
            ),
        ]

    def _parts(self, t: Texts) -> list[_Part]:
        """Return the parts of the page."""
        held = [
            (t(row["stage"]), f"{row['images']:,} · {percent(row['share'], 1)}", row["share"])
            for row in records(self.funnel)
        ]
        check = [
            (
                t(row["subject"]),
                f"{t.counted(row['error'], 'error')} · {t.counted(row['warning'], 'warning')}",
                row["error"],
            )
            for row in records(self.findings)
            if row["error"] or row["warning"]
        ]
        labels = self.sources.attrs.get("labels", {})
        sources = [
            (
                f"{row['value']}: {t(labels.get(row['cause'], row['cause']))}",
                t("{count} of {lines}", count=f"{row['count']:,}", lines=t.counted(row["lines"], "line")),
                row["count"],
            )
            for row in records(self.sources.head(12))
        ]
        waiting = [(t(row["age"]), f"{row['images']:,}", row["images"]) for row in records(self.backlog)]
        days = [(t.counted(row["days"], "day"), f"{row['images']:,}", row["images"]) for row in records(self.findable)]
        note = t(self.searched.attrs.get("note", ""))
        return [
            _Part(t("From catalogue to gallery"), held),
            _Part(t("In the gallery, by category"), _shares(self.coverage, t)),
            _Part(t("Found by a search, by category"), _shares(self.searched, t), note=note),
            _Part(t("Waiting for the gallery"), _to_scale(waiting), good=False),
            _Part(t("Days until new images were in the gallery"), _to_scale(days)),
            _Part(t("What check finds in the newest export"), _to_scale(check), good=False),
            _Part(t("Failures that another image would correct, by source"), _to_scale(sources), good=False),
        ]

    def _tables(self, t: Texts) -> dict[str, str]:
        def named(frame: pd.DataFrame, column: str) -> pd.DataFrame:
            return frame.assign(**{column: frame[column].map(t)})

        frames = {
            t("From catalogue to gallery"): named(self.funnel, "stage"),
            t("In the gallery, by category"): named(self.coverage, "category"),
            t("Found by a search, by category"): named(self.searched, "category"),
            t("Waiting for the gallery"): named(self.backlog, "age"),
            t("Days until new images were in the gallery"): self.findable,
            t("What check finds in the newest export"): named(self.findings, "subject"),
            t("Failures that another image would correct, by source"): self.sources.head(12),
            t("What changed"): named(self.better, "measure"),
        }
        return {
            title: table_html(frame, headers=_HEADERS, language=t.language)
            for title, frame in frames.items()
            if len(frame)
        }


_HEADERS = {
    "in_gallery": "in the gallery",
    "value": "taken by",
    "count": "failed",
    "lines": "lines sent",
}


_KEY = ["ProductId", "PicName"]
#: Age group → the day on which an image enters the next group.
_AGES = {"under a week": 7, "1 to 4 weeks": 28, "1 to 3 months": 91, "longer": 10**6}


def review(
    runs: Run | Iterable[Run],
    month: str | None = None,
    *,
    source: str = "",
    of: Settings | None = None,
    checks: Iterable[str | os.PathLike[str]] = (),
) -> Review:
    """Return the review of a month, for decision makers.

    Parameters
    ----------
    runs : Run or iterable of Run
        Every run of one instance; runs before the month are needed too.
    month : str, optional
        The month, such as ``2026-11``; default: the month of the last run. Months are in UTC.
    source : str
        Catalogue column that names the source of an image; default: the first existing one of ``source``,
        ``photographer``, ``supplier``, ``来源``, ``摄影师`` and ``供应商``.
    of : Settings, optional
        Use only runs that were sent to this instance, for example to leave out rehearsals.
    checks : iterable of path
        Answers of the gallery, from `verify_gallery`; they correct the state of the gallery computed from the runs.

    Returns
    -------
    Review

    Raises
    ------
    ConfigError
        If no run precedes the month's end, `month` is not a month, or the runs belong to several galleries.

    Examples
    --------
    >>> month = ip.review(runs, "2026-09")
    >>> month.funnel["stage"].tolist()
    ['catalogue', 'has image', 'passes', 'in gallery', 'with region']
    """
    given = [runs] if isinstance(runs, Run) else list(runs)
    every = sorted(given if of is None else runs_of(given, of), key=_when)
    if not every:
        where = f"none of the given runs was sent to {of.gallery}" if of and given else "no run was given"
        raise ConfigError(f"review: {where}; pass the runs of the instance")
    name = month or f"{_when(every[-1]):%Y-%m}"
    first, end = _bounds(name)
    past = [run for run, _ in read_each([run for run in every if _when(run) < end], Run.check_tables)]
    if not past:
        raise ConfigError(f"review: there was no run before the end of {name}; choose a later month")
    this_month = [run for run in past if _when(run) >= first]
    made = [check for check in read_checks(checks) if check.at < end and check.gallery == past[-1].gallery]
    state = gallery_state(past, checks=[check.file for check in made])
    asked = [check for check in made if check.at >= first and check.done]
    names = _names(past)
    rows = _stages(past[-1], state[state["state"] == "held"], names)
    seen, imported = _first_times(past, names)
    return Review(
        name,
        past[-1].gallery,
        _funnel(rows),
        _coverage(rows),
        _backlog(rows, seen, min(end, _when(past[-1]))),
        _findable(seen, imported, first),
        _sources(past, this_month, source),
        _better([run for run in past if _when(run) < first], this_month, tally_outcomes(past).set_index("run")),
        f"checked on {asked[-1].at:%Y-%m-%d}: {asked[-1].sentence}" if asked else NOT_ASKED,
        _searched(last_search(past[-1].folder.parent.parent, past[-1].gallery, first, end)),
        tally_findings(past[-1].findings),
    )


def _when(run: Run) -> datetime:
    times = run.times
    text = next((times[name] for name in ("created", "submitted", "intended") if times.get(name)), None)
    if text is None:
        raise ConfigError(f"review: run {run.id} has no time in its run.json; leave it out, or restore it from a copy")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bounds(month: str) -> tuple[datetime, datetime]:
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise ConfigError(f"review: {month!r} is not a month; write it as 2026-11") from None
    return first, (first + timedelta(days=32)).replace(day=1)


def _names(past: list[Run]) -> pd.DataFrame:
    """Return every name (`sent`) under which a catalogue image was sent; a converted copy has another extension."""
    parts = [pd.DataFrame(columns=[*_KEY, "sent"], dtype="str")]
    for run in past:
        own = run.catalogue[_KEY].dropna()
        copies = run.prepared[["PicName", "new_name"]].dropna().set_axis(["PicName", "sent"], axis=1)
        parts += [own.assign(sent=own["PicName"]), own.merge(copies, on="PicName")]
    return pd.concat(parts, ignore_index=True).drop_duplicates()


def _as_catalogued(sent: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    """Return the images that were sent, each once, under their catalogue names."""
    known = names.merge(sent.rename(columns={"PicName": "sent"}), on=["ProductId", "sent"])
    return known.drop(columns="sent").drop_duplicates(_KEY)


def _stages(run: Run, held: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    """Return the wanted images of the catalogue; one column per stage states whether the image has reached it."""
    held = _as_catalogued(held[[*_KEY, "Region"]], names)
    columns = [name for name in ("row", *_KEY, "CategoryId") if name in run.catalogue.columns]
    wanted = run.catalogue[left_out(run.catalogue).isna()]
    rows = wanted[columns].drop_duplicates(_KEY).reset_index(drop=True)
    facts, findings, batch = run.source_facts, run.findings, run.batch
    there = facts.loc[facts["exists"].fillna(False).astype(bool), "PicName"] if "exists" in facts else facts["PicName"]
    both = rows[_KEY].merge(held, on=_KEY, how="left", indicator=True)
    rows["held"] = both["_merge"].eq("both").to_numpy()
    expected = batch[batch["expected"].eq("imported")] if "expected" in batch else batch.head(0)
    rows["image"] = rows["PicName"].isin(there) | rows["held"] | _among(rows, _as_catalogued(expected[_KEY], names))
    # A record may have several images: a finding that names an image is about that one.
    errors = findings[findings["severity"] == "error"]
    refused = errors[["row", "PicName"]].rename(columns={"PicName": "sent"}).merge(rows[["row", *_KEY]], on="row")
    refused = refused.merge(names, on=[*_KEY, "sent"], how="left", indicator="own")
    named = refused["own"].eq("both") | refused["sent"].eq(refused["PicName"])  # a row without a key was never sent
    refused = refused[named | refused["sent"].isna()]
    rows["passes"] = rows["image"] & ~_among(rows, refused, ["row", "PicName"])
    rows["region"] = rows["held"] & both["Region"].notna().to_numpy()
    return rows


def _among(rows: pd.DataFrame, images: pd.DataFrame, key: Sequence[str] = _KEY) -> pd.Series[bool]:
    matches = rows[[*key]].merge(images[[*key]].drop_duplicates(), on=[*key], how="left", indicator="_")  # NA is equal
    return matches["_"].eq("both").set_axis(rows.index)


def _funnel(rows: pd.DataFrame) -> pd.DataFrame:
    counts = [len(rows), *(int(rows[column].sum()) for column in ("image", "passes", "held", "region"))]
    frame = pd.DataFrame({"stage": STAGES, "images": counts})
    return frame.assign(share=frame["images"] / max(1, len(rows)))


def _coverage(rows: pd.DataFrame) -> pd.DataFrame:
    return _by_category(rows, "held", ["category", "catalogue", "in_gallery"])


def _searched(images: pd.DataFrame | None) -> pd.DataFrame:
    """Return how many images of the last search found themselves first, by category."""
    if images is None:
        return _typed(_SEARCHED)
    first = images["rank_category"].fillna(images["rank"]).eq(1).fillna(value=False)
    table = _by_category(images.assign(first=first), "first", [*_SEARCHED][:3]).astype(_SEARCHED)
    table.attrs["note"] = images.attrs["note"]
    return table


def _by_category(rows: pd.DataFrame, counted: str, columns: list[str]) -> pd.DataFrame:
    """Return the rows of each category, how many of them are true in `counted`, and their share, worst first."""
    codes = pd.to_numeric(rows.get("CategoryId", pd.Series(pd.NA, index=rows.index)), errors="coerce")
    names = codes.map(lambda code: CATEGORIES.get(int(code), f"unknown {int(code)}") if pd.notna(code) else "(none)")
    grouped = rows.assign(category=names).groupby("category")[counted].agg(["size", "sum"]).reset_index()
    frame = grouped.set_axis(columns, axis=1)
    frame["share"] = frame[columns[2]] / frame[columns[1]]
    return frame.sort_values(["share", "category"], ignore_index=True)


def _first_times(past: list[Run], names: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return when each image first appeared in a catalogue (`seen`) and was first imported (`imported`)."""
    seen = pd.concat([run.catalogue[_KEY].assign(seen=_when(run)) for run in past])
    parts = []
    for run in past:
        ended = run.outcome_columns("line", "outcome").merge(run.batch[["line", *_KEY]], on="line")
        parts.append(ended.loc[ended["outcome"] == "imported", _KEY].assign(imported=_when(run)))
    imported = _as_catalogued(pd.concat(parts).dropna(subset=_KEY).drop_duplicates(_KEY), names)
    return seen.drop_duplicates(_KEY), imported


def _backlog(rows: pd.DataFrame, seen: pd.DataFrame, end: datetime) -> pd.DataFrame:
    waiting = rows[~rows["held"]].merge(seen, on=_KEY)
    days = (pd.Timestamp(end) - pd.to_datetime(waiting["seen"], utc=True)).dt.days
    ages = pd.cut(days, [-1, *(limit - 1 for limit in _AGES.values())], labels=list(_AGES))
    counts = ages.value_counts().reindex(list(_AGES), fill_value=0)
    return pd.DataFrame({"age": list(_AGES), "images": counts.to_numpy()})


def _findable(seen: pd.DataFrame, imported: pd.DataFrame, first: datetime) -> pd.DataFrame:
    both = seen.merge(imported, on=_KEY)
    both = both[pd.to_datetime(both["imported"], utc=True) >= pd.Timestamp(first)]
    days = (pd.to_datetime(both["imported"], utc=True) - pd.to_datetime(both["seen"], utc=True)).dt.days.clip(lower=0)
    counts = days.value_counts().sort_index()
    return pd.DataFrame({"days": counts.index.to_numpy(), "images": counts.to_numpy()})


def _sources(past: list[Run], this_month: list[Run], source: str) -> pd.DataFrame:
    names = [source] if source else _SOURCES
    source = next((name for name in names for run in this_month if name in run.catalogue.columns), "")
    with_source = [run for run in this_month if source in run.catalogue.columns]
    columns = {"value": "str", "cause": "str", "count": "int64", "lines": "int64", "share": "float64"}
    if not with_source:
        return _typed(columns)
    known = known_to(past)
    by_image = {cause.id for cause in known.causes if cause.family is Family.IMAGE or cause in known.custom}
    table = tally_by(past, source, within=with_source)[list(columns)]
    return table[table["cause"].isin(by_image)].reset_index(drop=True).astype(columns)


def _typed(columns: Mapping[str, str]) -> pd.DataFrame:
    """Return an empty frame with these columns."""
    return pd.DataFrame(columns=list(columns)).astype(dict(columns))


def _better(earlier: list[Run], this_month: list[Run], tally: pd.DataFrame) -> pd.DataFrame:
    before = [run for run in earlier if this_month and (_when(this_month[0]) - _when(run)) < timedelta(days=31)]
    one, two = (tally.reindex([run.id for run in runs]).dropna(subset="lines") for runs in (before, this_month))
    both = (one, two)
    counts: list[list[object]] = [
        [int((each["lines"] - each["again"]).sum()) for each in both],
        [_success(each) for each in both],
        [int(each["again"].sum()) for each in both],
        [each["backlog"].iloc[-1] if len(each) else None for each in both],
    ]
    if before and this_month:
        changes = tally_failure_changes(before[-1], this_month[-1], runs=[*earlier, *this_month])
        found = changes["change"].value_counts()
        counts += [[None, int(found.get(kind, 0))] for kind in ("fixed", "persisting", "new")]
    rows = [(measure, *values) for measure, values in zip(_MEASURES, counts, strict=False)]
    return pd.DataFrame(rows, columns=["measure", "before", "now"]).astype({"before": "Float64", "now": "Float64"})


def _plain(value: float | None) -> str:
    """Return a number as people write it: no decimals for a count, nothing if it is unknown."""
    return "" if value is None else f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def _shares(table: pd.DataFrame, t: Texts) -> list[tuple[str, str, float]]:
    """Return rows of a table by category, such as `Review.coverage`, for the page."""
    rows = table.itertuples(index=False, name=None)
    return [
        (t(category), f"{counted:,} / {total:,} · {percent(share)}", share) for category, total, counted, share in rows
    ]


def _to_scale(rows: list[tuple[str, str, float]]) -> list[tuple[str, str, float]]:
    """Return rows with their bars relative to the longest."""
    longest = max((length for _, _, length in rows), default=0) or 1
    return [(label, text, length / longest) for label, text, length in rows]


def _success(tally: pd.DataFrame) -> float | None:
    first = tally["lines"] - tally["again"]
    good = (tally["success"] * first).sum()
    if not first.sum():
        return None
    share = round(100 * float(good) / int(first.sum()), 1)
    return share if good == first.sum() else min(share, 99.9)
