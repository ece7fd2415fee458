"""Reconcile a run: account for every line sent, and compare the expected gallery with the actual one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import FORCED_CATEGORY, PAYLOAD
from imgprep.core.frames import records, show_fields_as_tables, to_pandas
from imgprep.core.language import display_language, texts
from imgprep.core.settings import Settings
from imgprep.core.text import counted
from imgprep.outcomes.verify import Verification, field_differences, verify_gallery
from imgprep.ship.dump import read_dump
from imgprep.ship.gallery import gallery_state, runs_of
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KEY = ["ProductId", "PicName"]
_COMPARED = list(PAYLOAD)
_COLUMNS = [*_KEY, "line", "difference", "field", "sent", "there"]
#: Parts of `Reconciliation.overlap`.
OVERLAP = ("both, as sent", "both, other values", "only our runs", "only the gallery")


@dataclass(frozen=True)
class Reconciliation:
    """The lines of a run, accounted for and, if requested, compared with the gallery.

    Attributes
    ----------
    sums : pandas.DataFrame
        ``outcome, lines``: imported, deleted, failed, unknown, and their sum, ``sent``.
    differences : pandas.DataFrame
        ``ProductId, PicName, line, difference`` (``imported but not there``, ``deleted but there``,
        ``there but not sent``, ``other value``, ``predicted``), ``field, sent, there``. A ``predicted`` category was
        chosen by the service because none was sent; it is listed, but needs no correction.
    winners : pandas.DataFrame
        Keys that several lines add: ``ProductId, PicName, lines, won, why``. ``won`` is missing where it cannot be
        determined: the order within a file is undocumented.
    compared : str
        What the run was compared with, and how certain the result is.
    overlap : pandas.DataFrame
        ``where, images``: how the images of the runs and of an export overlap; empty without an export.

    Examples
    --------
    >>> ip.reconcile(runs[0]).sums["lines"].tolist()
    [275, 0, 39, 0, 314]
    """

    sums: pd.DataFrame
    differences: pd.DataFrame
    winners: pd.DataFrame
    compared: str
    overlap: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["where", "images"]))

    def __post_init__(self) -> None:
        show_fields_as_tables(self)

    @property
    def sentence(self) -> str:
        """The result in words."""
        if self.overlap.empty:
            return self.compared
        t, (same, other, ours, theirs) = texts(display_language()), self.overlap["images"]
        return t(
            "{same} of {images} are in the gallery as sent; {other} with other values, {missing} missing, "
            "{theirs} that we did not send",
            same=f"{same:,}",
            images=t.counted(same + other + ours, "image"),
            other=f"{other:,}",
            missing=f"{ours:,}",
            theirs=f"{theirs:,}",
        )

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw how the images of the runs and of the export overlap."""
        from imgprep.show.charts.outcomes import plot_overlap  # noqa: PLC0415  matplotlib is heavy

        return plot_overlap(self.overlap, ax=ax)

    def __repr__(self) -> str:
        return f"Reconciliation({counted(len(self.differences), 'difference')}; {self.compared})"


def reconcile(
    run: Run | Iterable[Run],
    *,
    dump: pd.DataFrame | str | os.PathLike[str] | None = None,
    sample: int | None = None,
    settings: Settings | None = None,
) -> Reconciliation:
    """Account for every line of a run, and compare what should be in the gallery with what is.

    Parameters
    ----------
    run : Run or iterable of Run
        The run. If several are given, the latest is accounted for, and all runs of its gallery determine what the
        gallery should hold; if only one is given, images from older runs are ``there but not sent``.
    dump : frame or path, optional
        An export of the gallery (DumpMeta).
    sample : int, optional
        Number of images to ask the service about (CheckImageExists), drawn at random from those that should be there
        and those deleted. The answers are kept beside the runs, and settle unknown lines; see `verify_gallery`.
        Requires `settings`.
    settings : Settings, optional
        The service to ask.

    Returns
    -------
    Reconciliation

    Raises
    ------
    ConfigError
        If there is no run, a sample is requested without settings, or both a dump and a sample are given.
    ServiceError
        If the service refuses to answer.

    Notes
    -----
    Source: api (DumpMeta, CheckImageExists). The export's format is undocumented; see `gallery_state`.

    Examples
    --------
    >>> ip.reconcile(runs[0]).sums
    outcome   lines
    imported    275
    deleted       0
    failed       39
    unknown       0
    sent        314
    """
    runs = [run] if isinstance(run, Run) else sorted(run, key=lambda one: one.id)
    if not runs:
        raise ConfigError("reconcile: no run was given; pass a run, or the runs of its gallery")
    if dump is not None and sample is not None:
        raise ConfigError("reconcile: both dump= and sample= were given; pass only dump=, as an export is complete")
    last = runs[-1]
    runs = runs_of(runs, last.sent_to)
    there = None if dump is None else to_pandas(read_dump(dump, _COMPARED)).drop_duplicates(_KEY, keep="last")
    verified = None if sample is None else _verified(runs, sample, settings)
    t = texts(display_language())
    lines = last.batch.merge(last.outcome[["line", "outcome"]], on="line", how="left")
    differences, compared = pd.DataFrame(columns=_COLUMNS), t("the run alone; the gallery was not queried")
    more: dict[str, pd.DataFrame] = {}
    if there is not None:
        differences, more["overlap"] = _against_export(runs, there, lines)
        compared = t("an export of {images}: complete", images=t.counted(len(there), "image"))
    elif verified is not None:
        differences, compared = _with_lines(verified.differences, lines), verified.sentence
    return Reconciliation(_sums(lines), differences, _winners(lines, there), compared, **more)


def _sums(lines: pd.DataFrame) -> pd.DataFrame:
    ended = lines["outcome"].fillna(str(Outcome.UNKNOWN)).value_counts()
    counts = [int(ended.get(str(name), 0)) for name in Outcome]
    return pd.DataFrame({"outcome": [*map(str, Outcome), "sent"], "lines": [*counts, len(lines)]})


def _expected(runs: list[Run]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the gallery state that results from the runs, and the keys that the runs deleted."""
    state = gallery_state(runs)
    deleted = pd.concat([run.batch.loc[run.outcome["outcome"].eq(Outcome.DELETED).to_numpy(), _KEY] for run in runs])
    return state, _without(deleted.dropna().drop_duplicates(), state)


def _without(keys: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Return the keys that are not in `others`."""
    joined = keys[_KEY].merge(others[_KEY].drop_duplicates(), on=_KEY, how="left", indicator=True)
    return joined.loc[joined["_merge"] == "left_only", _KEY]


def _with_lines(keys: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    numbers = lines[[*_KEY, "line"]].dropna().drop_duplicates(_KEY, keep="last")
    return keys.merge(numbers, on=_KEY, how="left").reindex(columns=_COLUMNS)


def _against_export(runs: list[Run], there: pd.DataFrame, lines: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the differences, and how the images of the runs and of the export overlap."""
    state, deleted = _expected(runs)
    held = state[state["state"] == "held"]
    known = pd.concat([state[_KEY], deleted, lines[_KEY].dropna()])
    both = held.merge(there, on=_KEY, suffixes=("", "_there"))
    parts = [
        _without(held, there).assign(difference="imported but not there"),
        deleted.merge(there[_KEY], on=_KEY).assign(difference="deleted but there"),
        _without(there, known).assign(difference="there but not sent"),
        *(field_differences(both, name) for name in _COMPARED if f"{name}_there" in both.columns),
    ]
    found = _with_lines(pd.concat(parts, ignore_index=True), lines)
    other = len(found.loc[found["difference"].eq("other value"), _KEY].drop_duplicates())
    counts = [len(both) - other, other, len(held) - len(both), len(there) - len(both)]
    overlap = pd.DataFrame({"where": OVERLAP, "images": counts})
    return found.sort_values(["difference", *_KEY, "field"], ignore_index=True), overlap


def _winners(lines: pd.DataFrame, there: pd.DataFrame | None) -> pd.DataFrame:
    """Return the keys that several lines add, and the line whose values the gallery has."""
    adds = lines[lines["OperationType"].eq("ADD")].dropna(subset=_KEY)
    repeated = adds[adds.duplicated(_KEY, keep=False)]
    images = {} if there is None else {(image["ProductId"], image["PicName"]): image for image in records(there)}
    rows = []
    for key, group in repeated.groupby(_KEY, sort=False):
        won, why = None, "the gallery was not exported" if there is None else "none: it is not in the gallery"
        if key in images:
            same = [line["line"] for line in records(group) if _same(line, images[key])]
            won = same[0] if len(same) == 1 else None
            why = "its values are there" if won else f"{len(same)} of them have the values that the gallery holds"
        rows.append((*key, ", ".join(map(str, group["line"])), won, why))
    return pd.DataFrame(rows, columns=[*_KEY, "lines", "won", "why"]).astype({"won": "Int64"})


def _same(line: dict[str, Any], image: dict[str, Any]) -> bool:
    given = [name for name in _COMPARED if name in image and line.get(name) is not None]
    return all(
        str(line[name]) == str(image[name]) or (name == "CategoryId" and str(image[name]) == str(FORCED_CATEGORY))
        for name in given
    )


def _verified(runs: list[Run], sample: int, settings: Settings | None) -> Verification:
    if settings is None:
        raise ConfigError("reconcile: sample= queries the service; pass settings= as well")
    beside = runs[-1].folder.parent.parent / "checks"
    _, deleted = _expected(runs)
    return verify_gallery(runs, settings, sample=sample, deleted=deleted, into=beside, progress=False)
