"""What we believe is in the gallery, held against what the gallery says."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import FIELD_NAMES, FORCED_CATEGORY
from imgprep.core.frames import to_pandas
from imgprep.core.settings import Settings
from imgprep.ship.dump import read_dump
from imgprep.ship.gallery import gallery_state, runs_of
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run

#: Of every 100 such statements, 95 are true.
CONFIDENCE = 0.95

_KEY = ["ProductId", "PicName"]
_COMPARED = [name for name in FIELD_NAMES if name not in ("OperationType", *_KEY)]
#: The service fills these in where a line has none.
_FILLED_IN = ("CategoryId", "Crop", "Region")
DIFFERENCES = [*_KEY, "line", "difference", "field", "sent", "there"]


@dataclass(frozen=True)
class Reconciliation:
    """A run held against itself and, where asked, against the gallery.

    Attributes
    ----------
    sums : pandas.DataFrame
        ``outcome, lines``: imported, deleted, failed, unknown, and ``sent``, which is their sum.
    differences : pandas.DataFrame
        One row each: ``ProductId, PicName, line, difference`` (``imported but not there``, ``deleted but there``,
        ``there but not sent``, ``other value``, ``predicted``), ``field, sent, there``. A ``predicted`` category is
        one that the service chose because none was sent: told, but nothing to mend.
    winners : pandas.DataFrame
        Keys that several lines add: ``ProductId, PicName, lines, won, why``. ``won`` is missing where nobody can
        tell: the order within a file is not documented.
    compared : str
        With what it was compared, and how sure that is.

    Examples
    --------
    >>> told = ip.reconcile(runs[0])
    >>> told.sums["lines"].tolist()
    [62, 0, 7, 0, 69]
    """

    sums: pd.DataFrame
    differences: pd.DataFrame
    winners: pd.DataFrame
    compared: str

    def __repr__(self) -> str:
        return f"Reconciliation({len(self.differences):,} differences; {self.compared})"


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
        The run. Of several, the last in time is accounted for, and all that went to its gallery say together what
        that should hold; with one alone, images of older runs are ``there but not sent``.
    dump : frame or path, optional
        An export of the gallery (DumpMeta).
    sample : int, optional
        Ask the service (CheckImageExists) about this many images, drawn at random from those that should be there
        and those deleted. Needs `settings`.
    settings : Settings, optional
        Where to ask.

    Returns
    -------
    Reconciliation

    Raises
    ------
    ConfigError
        No run, a sample without settings, or both a dump and a sample.
    ServiceError
        The service refuses to say.

    Notes
    -----
    Source: api (DumpMeta, CheckImageExists); the export's format is not documented, see `gallery_state`.

    Examples
    --------
    >>> told = ip.reconcile(runs[0])
    >>> told.sums
        outcome  lines
    0  imported     62
    1   deleted      0
    2    failed      7
    3   unknown      0
    4      sent     69
    """
    runs = [run] if isinstance(run, Run) else sorted(run, key=lambda one: one.id)
    if not runs:
        raise ConfigError("reconcile: there is no run")
    if dump is not None and sample is not None:
        raise ConfigError("reconcile: an export says all that a sample can say; give one of them")
    last = runs[-1]
    runs = runs_of(runs, last.sent_to)
    lines = last.batch.merge(last.outcome[["line", "outcome"]], on="line", how="left")
    there = None if dump is None else to_pandas(read_dump(dump, _COMPARED)).drop_duplicates(_KEY, keep="last")
    winners = _winners(lines, there)
    differences, compared = pd.DataFrame(columns=DIFFERENCES), "the run alone; the gallery was not asked"
    if there is not None or sample is not None:
        state = gallery_state(runs)
        gone = _gone(runs, state)
        if there is not None:
            differences = _against(state, gone, there, lines, winners)
            compared = f"an export of {len(there):,} images: complete"
        elif sample is not None:
            differences, compared = _sampled(state, gone, lines, sample, settings)
    return Reconciliation(_sums(lines), differences, winners, compared)


def _sums(lines: pd.DataFrame) -> pd.DataFrame:
    ended = lines["outcome"].fillna(str(Outcome.UNKNOWN)).value_counts()
    counts = [int(ended.get(str(name), 0)) for name in Outcome]
    return pd.DataFrame({"outcome": [*map(str, Outcome), "sent"], "lines": [*counts, len(lines)]})


def _gone(runs: list[Run], state: pd.DataFrame) -> pd.DataFrame:
    """Keys that were sent, and should not be there by now."""
    sent = [one.batch.loc[one.outcome["outcome"].isin(["deleted"]).to_numpy(), [*_KEY]] for one in runs]
    keys = pd.concat(sent).dropna().drop_duplicates()
    joined = keys.merge(state[_KEY], on=_KEY, how="left", indicator=True)
    return joined.loc[joined["_merge"] == "left_only", _KEY]


def _numbered(keys: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    return keys.merge(lines[[*_KEY, "line"]].dropna().drop_duplicates(_KEY, keep="last"), on=_KEY, how="left")


def _against(
    state: pd.DataFrame, gone: pd.DataFrame, there: pd.DataFrame, lines: pd.DataFrame, winners: pd.DataFrame
) -> pd.DataFrame:
    held = state[state["state"] == "held"]
    both = held.merge(there, on=_KEY, how="left", suffixes=("", "_there"), indicator=True)
    parts = [both.loc[both["_merge"] == "left_only", _KEY].assign(difference="imported but not there")]
    parts.append(gone.merge(there[_KEY], on=_KEY).assign(difference="deleted but there"))
    known = pd.concat([state[_KEY], gone, lines[_KEY].dropna()])
    strangers = there[_KEY].merge(known.drop_duplicates(), on=_KEY, how="left", indicator=True)
    parts.append(strangers.loc[strangers["_merge"] == "left_only", _KEY].assign(difference="there but not sent"))
    both = both[both["_merge"] == "both"]
    parts += [_field(both, name) for name in _COMPARED if f"{name}_there" in both.columns]
    found = _numbered(pd.concat(parts, ignore_index=True), lines).reindex(columns=DIFFERENCES)
    return found.sort_values(["difference", *_KEY, "field"], ignore_index=True)


def _field(both: pd.DataFrame, name: str) -> pd.DataFrame:
    sent, there = (both[column].astype("str") for column in (name, f"{name}_there"))
    differs = sent.fillna("") != there.fillna("")
    if name == "CategoryId":
        differs &= ~(sent.notna() & there.eq(str(FORCED_CATEGORY)))
    difference = pd.Series("other value", index=both.index)
    if name in _FILLED_IN:
        filled = sent.isna() & there.notna()
        difference = difference.mask(filled, "predicted")
        if name != "CategoryId":
            differs &= ~filled
    found = both.loc[differs, _KEY].assign(difference=difference[differs], field=name)
    return found.assign(sent=sent[differs], there=there[differs])


def _winners(lines: pd.DataFrame, there: pd.DataFrame | None) -> pd.DataFrame:
    """Keys that several lines add, and whose values are in the gallery now."""
    adds = lines[lines["OperationType"].eq("ADD")].dropna(subset=_KEY)
    twice = adds[adds.duplicated(_KEY, keep=False)]
    held = {} if there is None else {(row["ProductId"], row["PicName"]): row for row in there.to_dict("records")}
    rows = []
    for (product, picture), group in twice.groupby(_KEY, sort=False):
        won, why = None, "the gallery was not exported"
        if (product, picture) in held:
            image = held[product, picture]
            match = [line for line, row in zip(group["line"], group.to_dict("records"), strict=True)
                     if _same(row, image)]  # fmt: skip
            won = match[0] if len(match) == 1 else None
            why = "its values are there" if won else f"{len(match)} of them have the values that are there"
        elif there is not None:
            why = "none: it is not there"
        numbers = ", ".join(str(line) for line in group["line"])
        rows.append({"ProductId": product, "PicName": picture, "lines": numbers, "won": won, "why": why})
    frame = pd.DataFrame(rows, columns=[*_KEY, "lines", "won", "why"])
    return frame.astype({"won": "Int64"})


def _same(line: dict[Any, Any], image: dict[Any, Any]) -> bool:
    told = [name for name in _COMPARED if name in image and name in line and not _absent(line[name])]
    return all(
        str(line[name]) == str(image[name]) or (name == "CategoryId" and str(image[name]) == str(FORCED_CATEGORY))
        for name in told
    )


def _absent(value: object) -> bool:
    return value is None or value is pd.NA or value != value  # noqa: PLR0124  NaN is not itself


def _sampled(
    state: pd.DataFrame, gone: pd.DataFrame, lines: pd.DataFrame, sample: int, settings: Settings | None
) -> tuple[pd.DataFrame, str]:
    from imgprep.cloud.imagesearch import ImageSearch  # noqa: PLC0415  the SDK is heavy

    if settings is None:
        raise ConfigError("reconcile: sample= asks the service; pass settings= as well")
    keys = pd.concat(
        [state.loc[state["state"] == "held", _KEY].assign(expected=True), gone.assign(expected=False)],
        ignore_index=True,
    )
    asked = min(max(sample, 0), len(keys))
    # Seeded: the same question again asks about the same images.
    chosen = keys.iloc[sorted(random.Random(0).sample(range(len(keys)), asked))]  # noqa: S311
    service = ImageSearch(settings)
    found = [service.image_exists(product, picture) for product, picture in chosen[_KEY].to_numpy()]
    chosen = chosen.assign(found=found)
    wrong = chosen[chosen["found"] != chosen["expected"]]
    said = wrong["expected"].map({True: "imported but not there", False: "deleted but there"})
    frame = _numbered(wrong[_KEY].assign(difference=said), lines).reindex(columns=DIFFERENCES)
    if not asked:
        return frame, f"a sample of 0 of {len(keys):,} images: nothing is known"
    if asked == len(keys):
        return frame, f"each of the {asked:,} images was asked for: {len(frame):,} differ"
    bound = upper_share(len(frame), asked)
    return frame, (
        f"a sample of {asked:,} of {len(keys):,} images: {len(frame):,} differ; "
        f"with {CONFIDENCE:.0%} confidence at most {bound:.1%} of all do"
    )


def upper_share(wrong: int, asked: int, confidence: float = CONFIDENCE) -> float:
    """Return the largest share of wrong ones that a sample still allows."""
    if wrong >= asked:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(50):
        share = (low + high) / 2
        few = sum(math.comb(asked, k) * share**k * (1 - share) ** (asked - k) for k in range(wrong + 1))
        low, high = (share, high) if few > 1 - confidence else (low, share)
    return high
