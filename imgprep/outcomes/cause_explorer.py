"""The cause explorer: a panel to browse causes of failure, their lines and images, and to decide about each line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np
import pandas as pd

from imgprep.core.errors import ConfigError, RegionError, StorageError
from imgprep.core.frames import records, returns_table
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.text import counted
from imgprep.draw.annotator.widget import RegionAnnotator
from imgprep.draw.store import RegionStore
from imgprep.images.found import Source, Unfit
from imgprep.images.storage import open_source
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.outcomes.retry import Retry, plan_retry
from imgprep.ship.report.causes import OWNERS, UNRECOGNISED, CauseTable, Family, known_to
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run
from imgprep.show.contact_sheet import region_of
from imgprep.show.still import LeavesPicture
from imgprep.show.template import template

#: Lines per page of the list; bounds what the browser holds.
PAGE = 15
#: Decision about a line → its mark in the list.
_MARKS = {"region": "▣ ", "exclude": "✕ ", "retry": "↻ "}
#: Decision → its name in the count of decisions.
_NAMES = {"region": "region", "exclude": "excluded", "retry": "into the retry batch"}
#: Filters for the list of a cause's lines.
_FILTERS = ("all", "not predicted", "undecided")
#: Used instead of a cause for lines whose outcome is unknown.
END_UNKNOWN = "end unknown"
#: Why a line's image is not shown.
NOT_THERE, NO_FOLDER = "it is not in any of the folders", "no folder was given as images="
NOT_SHOWN = "it cannot be shown: {why}"
#: Their family and remedy.
_TO_CHECK = ("check it", "Send the lines again, or check the gallery.")
#: Longest side of the displayed image, pixels.
_SIDE = 420

Positions = np.ndarray[tuple[int, ...], np.dtype[Any]]
_NOWHERE: Positions = np.empty(0, dtype=np.int64)


class CauseExplorer(LeavesPicture, w.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """Browse causes of failure, their lines, images and records, and decide about each line.

    Parameters
    ----------
    runs : Run or iterable of Run
        If several are given, the newest is shown first and the others can be selected.
    images : path or iterable of path, optional
        Folders, zip archives or addresses in OSS to search for images: the batch folder's ``images`` first, then the
        shop's originals.
    store : RegionStore or path, optional
        The region store, needed to correct regions.
    causes : CauseTable, optional
        The cause table; default: the one that the run was read with.

    Attributes
    ----------
    annotator : RegionAnnotator or None
        The annotator opened by *Fix region*, if any.

    Notes
    -----
    The browser holds one page of lines and one image at a time, so browsing a million failures is as fast as browsing
    ten.

    Examples
    --------
    >>> explorer = ip.CauseExplorer(runs[0])
    >>> explorer
    CauseExplorer(39 of 314 lines failed or unknown, 7 causes)
    >>> explorer.show("bad_region")
    >>> explorer.selected[["cause", "outcome"]].values.tolist()
    [['bad_region', 'failed']]
    """

    def __init__(
        self,
        runs: Run | Iterable[Run],
        images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
        *,
        store: RegionStore | str | Path | None = None,
        causes: CauseTable | None = None,
    ) -> None:
        several = list(runs) if isinstance(runs, Iterable) else [runs]
        if not several:
            raise ConfigError("CauseExplorer: no run was given; pass a run, or several")
        self._runs = {run.id: run for run in sorted(several, key=lambda run: run.id, reverse=True)}
        self._images = _Images([images] if isinstance(images, str | os.PathLike) else images or ())
        self._store, self._causes = store, causes
        self._decided: dict[str, dict[int, str]] = {name: {} for name in self._runs}
        self.annotator: RegionAnnotator | None = None
        self._page, self._filling = 0, False
        self._positions: Positions = _NOWHERE
        self._t = texts(display_language())
        self._html: Any = template("cause_explorer.html", self._t.language).module
        self._parts = _Parts(list(self._runs), self._t, can_draw=store is not None)
        super().__init__(self._parts.all())
        self._listen()
        self._open(next(iter(self._runs)))

    def __repr__(self) -> str:
        failed, causes = self._failed, counted(len(self._failed.causes), "cause")
        return f"CauseExplorer({len(failed.lines):,} of {failed.sent:,} lines failed or unknown, {causes})"

    @property
    def run(self) -> Run:
        """The displayed run."""
        return self._runs[self._failed.run]

    @property
    @returns_table
    def selected(self) -> pd.DataFrame:
        """The lines selected in the list, or every line of the cause if *every line* is ticked.

        Columns: those of the outcome frame plus ``decision`` (``region``, ``exclude``, ``retry`` or missing).
        """
        return self._frame(self._chosen())

    @property
    @returns_table
    def decisions(self) -> pd.DataFrame:
        """The lines of this run that have a ``decision``, with that column."""
        lines = self._failed.lines
        return self._frame(np.flatnonzero(lines["line"].isin(self._decided[self._failed.run])))

    def retry(self, now: pd.DataFrame | None = None) -> Retry:
        """Return the retry batch that results from the decisions; see `plan_retry`."""
        decided = self._decided[self._failed.run].items()
        include, leave_out = ([line for line, what in decided if what == name] for name in ("retry", "exclude"))
        return plan_retry(self.run, now, causes=self._causes, include=include, leave_out=leave_out)

    def show(self, cause: str, position: int = 0) -> None:
        """Show a cause and the line at `position` (from 0), as a click does.

        Raises
        ------
        ConfigError
            If no line of this run has the cause.
        """
        known = list(self._failed.causes["cause"])
        if cause not in known:
            raise ConfigError(f"CauseExplorer: no line of {self._failed.run} has the cause {cause!r}; it has {known}")
        if self._parts.cause.value != cause:
            self._parts.cause.value = cause
        if position // PAGE != self._page:
            self._page = position // PAGE
            self._list_page()
        if position < len(self._positions):
            self._parts.list.value = (int(self._positions[position]),)

    def decide(self, what: str | None) -> None:
        """Set or remove the decision for the selected lines, as the buttons do.

        Parameters
        ----------
        what : {"region", "exclude", "retry", None}
            The decision; None removes it.
        """
        if what is not None and what not in _MARKS:
            raise ConfigError(f"CauseExplorer: unknown decision {what!r}; known: {', '.join(_MARKS)}")
        decided = self._decided[self._failed.run]
        for line in self._failed.lines["line"].iloc[self._chosen()].tolist():
            if what is None:
                decided.pop(int(line), None)
            else:
                decided[int(line)] = what
        self._list_page(keep=True)

    def fix_regions(self) -> RegionAnnotator:
        """Open the annotator on the images of the selected lines, below the panel.

        Raises
        ------
        RegionError
            If no store was given, or none of the images is in the folders.
        """
        if self._store is None:
            raise RegionError("CauseExplorer: no region store was given; pass store= to draw regions here")
        folder, rows = self._drawable()
        if folder is None:
            raise RegionError("CauseExplorer: no image of these lines is in the folders given as images=")
        if self.annotator is not None:
            self.annotator.close()
        run = self.run
        self.annotator = RegionAnnotator(
            rows, folder, self._store, outcome=run.outcome, findings=run.findings, in_view=True
        )
        self._parts.below.children = (self.annotator,)
        self.decide("region")
        return self.annotator

    def _listen(self) -> None:
        parts = self._parts
        parts.run.observe(lambda change: self._open(change["new"]), "value")
        for part in (parts.cause, parts.find, parts.show):
            part.observe(self._on_filter, "value")
        parts.list.observe(self._on_select, "value")
        parts.back.on_click(lambda _: self._turn_page(-1))
        parts.forward.on_click(lambda _: self._turn_page(1))
        actions: dict[str, Callable[[], Any]] = {
            "region": self.fix_regions,
            "exclude": lambda: self.decide("exclude"),
            "retry": lambda: self.decide("retry"),
            "undo": lambda: self.decide(None),
        }
        for name, action in actions.items():
            parts.buttons[name].on_click(lambda _, action=action: self._run_action(action))

    def _run_action(self, action: Callable[[], Any]) -> None:
        try:
            action()
            self._parts.problem.value = ""
        except (RegionError, ConfigError) as error:
            self._parts.problem.value = self._html.problem(error)

    def _open(self, name: str) -> None:
        self._failed = FailedLines(self._runs[name], self._causes)
        causes = self._failed.causes
        named = zip(causes["label"], causes["count"], causes["cause"], strict=True)
        options = [(f"{self._t(label)} · {count:,}", cause) for label, count, cause in named]
        self._filling = True
        self._parts.cause.options = options
        self._parts.cause.value = options[0][1] if options else None
        self._filling = False
        self._on_filter()

    def _on_filter(self, _: Any = None) -> None:
        """Go to the first line after the cause, filter or search has changed."""
        if self._filling:
            return
        parts = self._parts
        self._page, parts.every.value = 0, False
        decided = frozenset(self._decided[self._failed.run])
        self._positions = self._failed.positions(
            parts.cause.value or "", show=parts.show.value, find=parts.find.value, decided=decided
        )
        causes = self._failed.causes
        pairs = causes.loc[causes["cause"] == parts.cause.value, ["family", "remedy"]].to_numpy()
        who = [[OWNERS[Family(family)][0]] if family in OWNERS else [] for family, _ in pairs]
        heads = [" · ".join(map(self._t, [*one, family])) for one, (family, _) in zip(who, pairs, strict=True)]
        parts.remedy.value = "".join(
            self._html.cause(head, self._t(remedy)) for head, (_, remedy) in zip(heads, pairs, strict=True)
        )
        self._list_page()

    def _turn_page(self, by: int) -> None:
        last = max(0, (len(self._positions) - 1) // PAGE)
        self._page = min(max(0, self._page + by), last)
        self._list_page()

    def _list_page(self, *, keep: bool = False) -> None:
        parts, first = self._parts, self._page * PAGE
        shown = self._positions[first : first + PAGE].tolist()
        decided = self._decided[self._failed.run]
        options = []
        for at, row in zip(shown, records(self._failed.lines.iloc[shown]), strict=True):
            mark = _MARKS.get(decided.get(row["line"], ""), "")
            names = " · ".join(str(row[name] or "–") for name in ("ProductId", "PicName"))
            options.append((f"{mark}{row['line']} · {names}", at))
        made = pd.Series(list(decided.values()), dtype="str").value_counts()
        parts.decided.value = self._html.decided({self._t(_NAMES[what]): int(made.get(what, 0)) for what in _MARKS})
        kept = tuple(at for at in parts.list.value if keep and at in shown)
        self._filling = True  # filling a list changes its value twice; the line must be shown only once
        parts.list.options = options
        parts.list.value = kept or tuple(shown[:1])
        self._filling = False
        total = len(self._positions)
        place = {"first": f"{first + 1:,}", "last": f"{first + len(shown):,}", "total": f"{total:,}"}
        parts.where.value = self._t("{first}–{last} of {total}", **place) if total else self._t("no line")
        parts.back.disabled, parts.forward.disabled = first == 0, first + PAGE >= total
        self._on_select()

    def _on_select(self, _: Any = None) -> None:
        if self._filling:
            return
        if not self._parts.list.value:
            self._parts.picture.value = self._parts.record.value = ""
            return
        t = self._t
        found = self._failed.line_at(self._parts.list.value[0])
        values = {str(value) for value in found.sent.values()}
        own = {name: value for name, value in found.row.items() if name not in found.sent or str(value) not in values}
        sent = {name: value for name, value in found.sent.items() if name not in _HIDDEN}
        facts = {t.heading(name): found.facts.get(name) for name in _FACTS} if found.facts else {}
        if problem := found.facts.get("problem"):
            facts[t.heading("problem")] = t.kept(problem, "problem")
        self._parts.record.value = self._html.record(found, sent, facts, own)
        self._parts.picture.value = self._html.picture(self._images.thumb(found))

    def _drawable(self) -> tuple[str | os.PathLike[str] | None, pd.DataFrame]:
        """Return the first image's folder, and catalogue-like rows of the selected lines whose images are in it."""
        root, rows = None, []
        for position in self._chosen():
            found = self._failed.line_at(int(position))
            # Regions are stored under the catalogue's names, so prefer the original to its copy.
            folder, name = self._images.locate(found.row.get("PicName"), found.line["PicName"])
            root = root or folder
            if folder is not None and folder == root:
                rows.append({**found.row, "ProductId": found.line["ProductId"], "PicName": name})
        return root, pd.DataFrame(rows)

    def _chosen(self) -> Any:
        return self._positions if self._parts.every.value else list(self._parts.list.value)

    def _frame(self, positions: Any) -> pd.DataFrame:
        frame: pd.DataFrame = self._failed.lines.iloc[positions].reset_index(drop=True)
        decided = self._decided[self._failed.run]
        return frame.assign(decision=pd.Series([decided.get(int(line)) for line in frame["line"]], dtype="str"))


class _Parts:
    """The widgets of the panel: causes, then lines with the buttons, then image and record, as the width allows."""

    def __init__(self, runs: list[str], t: Texts, *, can_draw: bool) -> None:
        self._title = t("Cause")
        wide: Any = w.Layout(width="auto")
        self.run = w.Dropdown(options=runs, description=t("run"), layout=w.Layout(width="420px", max_width="100%"))
        self.run.layout.display = None if len(runs) > 1 else "none"
        self.cause = w.Select(rows=PAGE, layout=wide)
        self.find = w.Text(placeholder=t("product or image"), continuous_update=False)
        self.find.layout = w.Layout(flex="1 1 auto", width="auto", min_width="60px")
        self.show = w.Dropdown(
            options=[(t(name), name) for name in _FILTERS], layout=w.Layout(width="125px", flex="0 0 auto")
        )
        self.list = w.SelectMultiple(rows=PAGE, layout=wide)
        self.back = w.Button(icon="arrow-left", tooltip=t("previous lines"), layout=w.Layout(width="40px"))
        self.forward = w.Button(icon="arrow-right", tooltip=t("next lines"), layout=w.Layout(width="40px"))
        self.where = w.HTML(layout=w.Layout(margin="0 6px"))
        self.every = w.Checkbox(description=t("every line"), indent=False, layout=w.Layout(width="110px"))
        self.remedy, self.picture, self.record, self.problem, self.decided = (w.HTML() for _ in range(5))
        self.buttons = {
            "region": w.Button(description=t("Fix region"), icon="crop", tooltip=t("draw the subject on these images")),
            "exclude": w.Button(
                description=t("Exclude"), icon="ban", tooltip=t("leave these lines out of the retry batch")
            ),
            "retry": w.Button(description=t("Into retry batch"), icon="repeat", tooltip=t("send these lines again")),
            "undo": w.Button(description=t("Undecided"), icon="undo", tooltip=t("remove the decision")),
        }
        self.buttons["region"].disabled = not can_draw
        self.below = w.VBox()

    def all(self) -> list[Any]:
        """Return the widgets from top to bottom."""
        wrapped: Any = w.Layout(flex_flow="row wrap", align_items="center")
        for made in self.buttons.values():
            made.layout = w.Layout(width="auto", flex="1 1 45%")
        left = w.VBox([w.HTML(f"<b>{self._title}</b>"), self.cause, self.remedy], layout=_column("1 1 175px"))
        pager = w.HBox([self.back, self.forward, self.where, self.every], layout=wrapped)
        actions = w.HBox(list(self.buttons.values()), layout=wrapped)
        lines = [w.HBox([self.find, self.show]), self.list, pager, actions, self.decided, self.problem]
        middle = w.VBox(lines, layout=_column("2 1 290px"))
        right = w.VBox([self.picture, self.record], layout=_column("3 1 270px", max_height="600px", overflow="auto"))
        columns = w.HBox([left, middle, right], layout=w.Layout(flex_flow="row wrap"))
        return [self.run, columns, self.below]


def _column(flex: str, **more: str) -> Any:
    return w.Layout(flex=flex, min_width="0", padding="0 6px", **more)


@dataclass(frozen=True, slots=True)
class FailedLine:
    """A failed line and everything known about it; unknown parts are empty, missing values are None.

    ``line``, ``sent``, ``row`` and ``facts`` are its rows in the outcomes, the batch, the catalogue and the facts;
    ``predicted`` is the finding that predicted the refusal, or only its rule; ``others`` are other findings of the row.
    """

    line: dict[str, Any]
    sent: dict[str, Any]
    row: dict[str, Any]
    facts: dict[str, Any]
    predicted: dict[str, Any] | None
    others: list[dict[str, Any]]


#: Image facts to show, and batch columns to hide.
_FACTS = ("format", "width", "height", "bytes", "orientation", "mode", "problem")
_HIDDEN = frozenset({"line", "row", "digest", "file", "reason", "expected"})


class FailedLines:
    """The failed and unknown lines of a run (`lines`), and their causes (`causes`).

    The run's tables are read once; positions are row numbers in `lines`.
    """

    def __init__(self, run: Run, causes: CauseTable | None = None) -> None:
        outcome, batch = run.outcome, run.batch
        self.run, self.sent = run.id, len(outcome)
        self.lines = outcome[outcome["outcome"].isin([Outcome.FAILED, Outcome.UNKNOWN])].reset_index(drop=True)
        cause = self.lines["cause"].astype("str").fillna(UNRECOGNISED)
        codes, names = pd.factorize(cause.mask(self.lines["outcome"].eq(Outcome.UNKNOWN), END_UNKNOWN))
        self._at = {str(name): np.flatnonzero(codes == number) for number, name in enumerate(names)}
        self.causes = _cause_list(self._at, known_to(run, causes))
        self._batch = _Index(batch, "line")
        self._catalogue = _Index(run.catalogue, "row")
        self._findings = _Index(run.findings, "row")
        self._facts = run.facts.drop_duplicates("PicName").set_index("PicName")
        self._facts.index.get_indexer(self._facts.index[:1])  # builds the hash table now instead of at the first click
        expected = batch["expected"] if "expected" in batch else pd.Series(pd.NA, index=batch.index)
        passes = batch.loc[expected.isin(["imported", "deleted"]) | expected.isna(), "line"]
        self._missed = (self.lines["line"].isin(passes) & self.lines["outcome"].eq(Outcome.FAILED)).to_numpy()

    def positions(
        self, cause: str, *, show: str = "all", find: str = "", decided: frozenset[int] = frozenset()
    ) -> Positions:
        """Return the positions of a cause's lines that match the filter and the search."""
        there = self._at.get(cause, _NOWHERE)
        if show == "not predicted":
            there = there[self._missed[there]]
        elif show == "undecided" and decided:
            there = there[~self.lines["line"].iloc[there].isin(decided).to_numpy()]
        if text := find.strip():
            part = self.lines[["ProductId", "PicName"]].iloc[there]
            hits = [part[name].str.contains(text, case=False, regex=False, na=False).to_numpy() for name in part]
            there = there[hits[0] | hits[1]]
        return there

    def line_at(self, position: int) -> FailedLine:
        """Return everything known about the line at a position."""
        (line,) = records(self.lines.iloc[[position]])
        sent = next(iter(self._batch.rows(line["line"])), {})
        # One record of the export may yield several rows: prefer the one with the line's image.
        rows = self._catalogue.rows(sent.get("row"))
        row = next((row for row in rows if row.get("PicName") == line["PicName"]), rows[0] if rows else {})
        found = self._findings.rows(sent.get("row"))
        found = [finding for finding in found if finding.get("ProductId") in (None, line["ProductId"])]
        expected, predicted = sent.get("expected"), None
        if expected not in (None, "imported", "deleted"):
            predicted = next((finding for finding in found if finding["rule"] == expected), {"rule": expected})
        others = [finding for finding in found if finding is not predicted]
        facts = records(self._facts.loc[[line["PicName"]]])[0] if line["PicName"] in self._facts.index else {}
        return FailedLine(line, sent, row, facts, predicted, others)


def _cause_list(at: Mapping[str, Positions], table: CauseTable) -> pd.DataFrame:
    """Return ``cause, label, family, remedy, count``: unrecognised first, then by count, unknown outcomes last."""
    known = table.frame().set_index("cause")[["label", "family", "remedy"]]
    known.loc[END_UNKNOWN] = [END_UNKNOWN, *_TO_CHECK]
    frame = pd.DataFrame({"cause": list(at), "count": [len(there) for there in at.values()]})
    frame = frame.join(known, on="cause").fillna({"label": frame["cause"], "family": "", "remedy": ""})
    frame["rank"] = frame["cause"].map({UNRECOGNISED: 0, END_UNKNOWN: 2}).fillna(1)
    frame = frame.sort_values(["rank", "count", "cause"], ascending=[True, False, True], ignore_index=True)
    return frame[["cause", "label", "family", "remedy", "count"]]


class _Index:
    """Lookup of a frame's rows by an integer key that need not be unique."""

    def __init__(self, frame: pd.DataFrame, column: str) -> None:
        self._frame = frame
        numbers = pd.to_numeric(frame[column], errors="coerce").astype("Int64").fillna(-1).to_numpy(dtype="int64")
        self._order = np.argsort(numbers, kind="stable")
        self._sorted = numbers[self._order]

    def rows(self, number: int | None) -> list[dict[str, Any]]:
        if number is None:
            return []
        low, high = np.searchsorted(self._sorted, [int(number), int(number) + 1])
        return records(self._frame.iloc[self._order[low:high]])


class _Images:
    """The folders and archives to search for images, in this order."""

    def __init__(self, folders: Iterable[str | os.PathLike[str]]) -> None:
        self._sources: dict[str | os.PathLike[str], Source] = {folder: open_source(folder) for folder in folders}

    def locate(self, *names: Any) -> tuple[str | os.PathLike[str] | None, str]:
        """Return the first folder that has an image under one of `names`, and that name."""
        for folder, source in self._sources.items():
            for name in names:
                try:
                    source.find(name if isinstance(name, str) else "")
                except (Unfit, StorageError):  # missing, outside the folder, or out of reach
                    continue
                return folder, str(name)
        return None, ""

    def thumb(self, found: FailedLine) -> Thumb:
        """Return a thumbnail of a line's image, with its region."""
        folder, name = self.locate(found.line["PicName"], found.row.get("PicName"))
        if folder is None:
            why = NOT_THERE if self._sources else NO_FOLDER
            return Thumb(why=why)
        region = region_of(found.sent.get("Region"))
        thumb = thumb_of(name, self._sources[folder], side=_SIDE, region=region)
        sent = (found.facts.get("width"), found.facts.get("height"))
        if region is not None and all(sent) and all(thumb.size) and thumb.size != sent:
            # This is the original, but the region belongs to the copy that was sent.
            across, down = (shown / int(was or 1) for shown, was in zip(thumb.size, sent, strict=True))
            region = region.scaled(across, down, width=thumb.size[0], height=thumb.size[1])
            thumb = thumb_of(name, self._sources[folder], side=_SIDE, region=region)
        return thumb if thumb.data else Thumb(why=NOT_SHOWN.format(why=thumb.why))
