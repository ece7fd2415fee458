"""The retry batch: the failed lines of a run that can succeed now. Other lines are listed with their remedy."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.fields import FIELD_NAMES, PAYLOAD, Operation
from imgprep.core.frames import returns_table, show_fields_as_tables
from imgprep.core.language import display_language, texts
from imgprep.outcomes.counting import KEY, read_each
from imgprep.plan.batch_folder import Built, narrow_folder
from imgprep.plan.build import build_batch
from imgprep.plan.model import Baseline
from imgprep.ship.gallery import UNKNOWN, gallery_state
from imgprep.ship.report.causes import CauseTable, Family, known_to
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run, load_runs

#: Reason of a line in the retry batch → how `Retry.sentence` puts it.
_WHY = {"retry as it is": "with a cause that passes by itself", "end unknown": "with an unknown outcome"}
_BY_HAND, _CHANGED = "chosen by hand", "changed since: "
#: How the reasons of all lines of a retry batch begin.
_AGAIN = (*_WHY, _BY_HAND, _CHANGED)


@dataclass(frozen=True)
class Retry:
    """The retry batch, and the lines left out of it.

    Attributes
    ----------
    batch : pandas.DataFrame
        Lines to send; ``reason`` states why each can succeed now.
    rest : pandas.DataFrame
        Failed lines that would fail again: ``line, ProductId, PicName, cause, family, remedy``.

    Examples
    --------
    >>> again = plan_retry(runs[0])
    >>> again.rest[["cause", "family"]].head(2)
               cause        family
    0     bad_format  fix the image
    1  image_missing  fix the image
    """

    batch: pd.DataFrame
    rest: pd.DataFrame

    def __post_init__(self) -> None:
        show_fields_as_tables(self)

    @property
    def sentence(self) -> str:
        """The result in words: how many lines are worth sending again, and why."""
        t, every = texts(display_language()), len(self.batch) + len(self.rest)
        if not every:
            return t("no line failed, so there is nothing to send again")
        kinds = self.batch["reason"].str.replace(r":.*", "", regex=True).value_counts()
        lines = t.counted(every, "failed or unknown line" if "end unknown" in kinds else "failed line")
        if self.batch.empty:
            return t(
                "nothing is worth sending again yet: {lines} first needs a correction"
                if every == 1
                else "nothing is worth sending again yet: {lines} first need a correction",
                lines=lines,
            )
        why = [
            t("{count} {reason}", count=f"{count:,}", reason=t(_WHY.get(str(kind), str(kind))))
            for kind, count in kinds.items()
        ]
        worth = t(
            "{count} of {lines} is worth sending again ({why})"
            if len(self.batch) == 1
            else "{count} of {lines} are worth sending again ({why})",
            count=f"{len(self.batch):,}",
            lines=lines,
            why=t(", ").join(why),
        )
        if self.rest.empty:
            return worth
        return worth + t(
            "; {count} first needs a correction" if len(self.rest) == 1 else "; {count} first need a correction",
            count=f"{len(self.rest):,}",
        )

    def __repr__(self) -> str:
        return f"Retry(batch {len(self.batch):,} lines, rest {len(self.rest):,} lines)"


def is_retry(run: Run) -> bool:
    """Return whether every line of a run was sent again, by their reasons; its catalogue may be a corrected copy."""
    reasons = run.batch.get("reason", pd.Series(dtype="str"))
    return len(reasons) > 0 and bool(reasons.fillna("").str.startswith(_AGAIN).all())


def plan_retry(
    run: Run,
    now: pd.DataFrame | None = None,
    *,
    causes: CauseTable | None = None,
    include: Iterable[int] = (),
    leave_out: Iterable[int] = (),
) -> Retry:
    """Select the lines of a run that are worth sending again.

    Lines whose cause belongs to the family *retry as it is*, and lines whose outcome is unknown (a repeated ADD
    overwrites, a repeated DELETE succeeds), are sent unchanged. Other lines are sent only if their row, image or
    region differs in `now`, and then in their current form. The rest are listed with their remedies.

    Parameters
    ----------
    run : Run
        The partially failed run.
    now : pandas.DataFrame, optional
        A batch planned from today's catalogue, images and regions (`plan_batch(...).batch`). If given, an
        ADD that could be sent unchanged takes its form from `now`, and is left out if `now` does not contain it.
    causes : CauseTable, optional
        The cause table; default: the one that the run was read with.
    include, leave_out : iterable of int
        Failed lines to send although their cause remains, and lines to leave out (selected in `CauseExplorer`); the
        latter are listed in ``rest``.

    Returns
    -------
    Retry

    Examples
    --------
    >>> again = plan_retry(runs[-1])
    >>> len(again.batch), len(again.rest)
    (0, 0)
    """
    table = known_to(run, causes).frame().set_index("cause")[["family", "remedy"]]
    outcome = run.outcome
    ended = outcome.loc[outcome["outcome"].isin([Outcome.FAILED, Outcome.UNKNOWN]), ["line", "outcome", "cause"]]
    sent = run.batch
    columns = list(sent.columns)
    lines = sent.merge(ended, on="line").merge(table, left_on="cause", right_index=True, how="left")
    chosen = lines["line"].isin(list(include))
    as_is = lines["outcome"].eq(Outcome.UNKNOWN) | lines["family"].eq(Family.RETRY) | chosen
    why = lines["outcome"].map({"unknown": "end unknown"}).fillna("retry as it is").mask(chosen, _BY_HAND)
    lines["reason"] = lines["reason"].mask(as_is, why)
    if now is None:
        batch = lines.loc[as_is, columns]
    else:
        deletes = lines["OperationType"].eq(Operation.DELETE) & as_is
        today = _today(lines[~deletes], now)
        again = today["line"].isin(lines.loc[as_is, "line"])
        today["reason"] = today["reason"].mask(again, today["line"].map(why.set_axis(lines["line"])))
        batch = pd.concat([lines.loc[deletes, columns], today.reindex(columns=columns)[again | today["_differs"]]])
    batch = batch[~batch["line"].isin(list(leave_out))].sort_values("line", kind="stable")
    rest = lines.loc[~lines["line"].isin(batch["line"]), ["line", "ProductId", "PicName", "cause", "family", "remedy"]]
    batch = batch.assign(line=pd.array(range(1, len(batch) + 1), dtype="Int64"))
    rest.attrs["labels"] = known_to(run, causes).frame().set_index("cause")["label"].to_dict()
    return Retry(batch.reset_index(drop=True), rest.reset_index(drop=True))


@returns_table
def failed_lines(runs: Run | Iterable[Run]) -> pd.DataFrame:
    """Return the failed and unknown lines of runs, with cause, remedy, and the columns of the shop's export.

    Examples
    --------
    >>> failed_lines(runs[0])[["line", "cause", "brand"]].head(2)
       line          cause   brand
    0    33     bad_format  O'Hara
    1    38  image_missing   Vento
    """
    parts = []
    for run, outcome in read_each(runs, lambda run: run.outcome):
        bad = outcome[outcome["outcome"].isin([Outcome.FAILED, Outcome.UNKNOWN])]
        table = known_to(run).frame().set_index("cause")[["label", "family", "remedy"]]
        columns = ["line", *KEY, "outcome", "cause", "code", "message"]
        lines = bad.reindex(columns=columns).merge(table, left_on="cause", right_index=True, how="left")
        lines.insert(0, "run", run.id)
        lines = lines.merge(run.batch[["line", "row"]], on="line", how="left")
        own = run.catalogue.drop(columns=KEY, errors="ignore").drop_duplicates("row")
        parts.append(lines.merge(own, on="row", how="left", suffixes=("", "_export")))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", "line", *KEY])


def _today(lines: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Return today's form of `lines`, by line number; ``_differs`` and ``reason`` state whether and how it differs."""
    compared = [*FIELD_NAMES, "digest"]
    today = now.assign(_at=range(len(now)))
    # A corrected image may be sent under another name; its catalogue row then identifies it.
    by_name = lines.merge(today, on=["OperationType", "ProductId", "PicName"], suffixes=("", "_now"))
    by_row = lines.dropna(subset="row").merge(today, on=["row", "ProductId"], suffixes=("", "_now"))
    # A row may have several images: equal names are paired first, the others in order.
    same = by_row[by_row["PicName"] == by_row["PicName_now"]]
    other = by_row[~by_row["line"].isin(same["line"]) & ~by_row["_at"].isin(same["_at"])]
    lines_of, at_of = (other.groupby("row")[name].rank("dense") for name in ("line", "_at"))
    pairs = pd.concat([found[["line", "_at"]] for found in (same, other[lines_of == at_of], by_name)])
    pairs = pairs.drop_duplicates("line").drop_duplicates("_at")
    before = lines.set_index("line").loc[pairs["line"], compared].astype("str").fillna("")
    after = now.iloc[pairs["_at"]]
    differs = before.to_numpy() != after[compared].astype("str").fillna("").to_numpy()
    reasons = [_CHANGED + ", ".join(pd.Index(compared)[fields]) for fields in differs]
    result: pd.DataFrame = after.assign(line=pairs["line"].to_numpy(), reason=reasons, _differs=differs.any(axis=1))
    return result


def _with_sent(known: pd.DataFrame, run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """Add the values that a run's lines repeated from a gallery export, which the runs alone do not record."""
    sent = run.batch[run.batch["OperationType"].eq(Operation.ADD)].drop_duplicates(KEY, keep="last")
    named = {*run.catalogue.columns, *rows.columns, "Region", "Crop"}  # these may come from the region store
    kept = [name for name in PAYLOAD if name in sent.columns and name not in named]
    sent = sent.loc[sent[kept].notna().any(axis=1), [*KEY, *kept]].assign(state=UNKNOWN)
    if sent.empty:
        return known
    added = known.set_index(KEY).combine_first(sent.set_index(KEY)).reset_index()[known.columns].astype(known.dtypes)
    added.attrs = known.attrs
    return added


def build_retry(
    run: Run,
    images: str | os.PathLike[str],
    out: str | Path,
    *,
    catalogue: pd.DataFrame | None = None,
    causes: CauseTable | None = None,
    **options: Any,
) -> tuple[Built, Retry]:
    """Build a batch folder from the lines of a run that can succeed now.

    Parameters
    ----------
    run : Run
        The partially failed run.
    images, out : path
        The folder of the current images, or ``oss://BUCKET/FOLDER``; the batch folder to create.
    catalogue : pandas.DataFrame, optional
        Today's catalogue; default: the rows kept by the run.
    causes : CauseTable, optional
        See `plan_retry`.
    **options
        As for `build_batch`: rules, regions, … By default, `baseline` is the gallery state according to all runs in
        the same folder, so that a line keeps the fields that the catalogue does not name.

    Returns
    -------
    tuple of Built and Retry
        The batch folder, which holds only the lines worth sending, and the lines left out, with their remedies.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> built, again = build_retry(runs[0], shop.images, "retry", progress=False)
    >>> len(built.plan.batch) == len(again.batch), "remedy" in again.rest
    (True, True)
    """
    rows = run.catalogue if catalogue is None else catalogue
    if "baseline" not in options:
        known = _with_sent(gallery_state(load_runs(run.folder.parent), of=run.sent_to), run, rows)
        instance = run.settings.get("instance") or ""
        # Rows left out of a retry do not indicate a broken export.
        options["baseline"] = Baseline(known=known, instance=instance, confirm_rows=len(rows))
    built = build_batch(rows, images, out, **options)
    retry = plan_retry(run, built.plan.batch, causes=causes)
    narrow_folder(built.folder, retry.batch)
    plan, numbers = built.plan, retry.batch[["ProductId", "PicName", "line"]]
    # The lines are renumbered, so everything that refers to line numbers is updated.
    about = (frame.drop(columns="line").merge(numbers)[frame.columns] for frame in (plan.before, plan.carried))
    before, carried = (frame.sort_values("line", ignore_index=True) for frame in about)
    return replace(built, plan=replace(plan, batch=retry.batch, before=before, carried=carried)), retry
