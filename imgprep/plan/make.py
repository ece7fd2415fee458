"""Plan a batch: its numbered lines, and the excluded, unchanged and deferred rows."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd
import polars as pl

from imgprep.core.fields import FORCING, Operation, Service
from imgprep.core.findings import FINDING_COLUMNS, Severity
from imgprep.core.frames import detached, drain_to_pandas, to_pandas, to_polars
from imgprep.draw.store import RegionStore
from imgprep.load.catalogue import ELSEWHERE, NOT_READ, UNREAD
from imgprep.load.drift import compare_exports, require_no_collapse
from imgprep.look.rules.book import check_sheet
from imgprep.look.rules.fields import DAMAGED_ID, DATE_ID
from imgprep.look.rules.limits import service_type
from imgprep.look.rules.sheet import Sheet, make_sheet, sheet_rows
from imgprep.plan.compare import CARRIED, carried_fields, compare, gone_rows, known_rows, unmatched, wanted_rows
from imgprep.plan.model import BATCH_COLUMNS, HELD_COLUMNS, STAYS, WAITS_FOR_EXPORT, WAITS_FOR_IMAGES, Baseline, Plan

#: Characters that do not belong in an id, and those ignored when comparing two spellings.
_STRAY, _IGNORED = r"^\s|\s$|[\x00-\x1f\x7f]", r"[\s\x00-\x1f\x7f]"


def plan_batch(
    catalogue: pd.DataFrame,
    *,
    images: pd.DataFrame | None = None,
    prepared: pd.DataFrame | None = None,
    regions: RegionStore | pd.DataFrame | None = None,
    known: pd.DataFrame | None = None,
    findings: pd.DataFrame | None = None,
    delete_missing: bool = False,
    ignore: Collection[str] = (),
    keep_refused: bool = False,
    service: str = "product",
    last: pd.DataFrame | None = None,
    confirm_rows: int | None = None,
) -> Plan:
    """Decide which ADDs and DELETEs bring the gallery from its known state to that of the catalogue.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        The whole catalogue, one row per image; without ``OperationType``, every row is an ADD.
    images : pandas.DataFrame, optional
        Facts about the images as they will be sent (about the copies, if images were prepared).
    prepared : pandas.DataFrame, optional
        The prepare log, with the names under which copies are sent and the scaling of regions.
    regions : RegionStore or pandas.DataFrame, optional
        Drawn regions; they take precedence over ``Region`` and ``Crop`` in the catalogue.
    known : pandas.DataFrame, optional
        A gallery state (`gallery_state`); without it, everything is new.
    findings : pandas.DataFrame, optional
        From `check`, which runs here by default; rows with errors are excluded. Errors from loading
        (``catalogue.attrs["findings"]``) are added in either case.
    delete_missing : bool
        DELETE images that the gallery holds and the catalogue lacks.
    ignore : collection of str
        Fields, or ``image`` or ``region``, whose differences are ignored.
    keep_refused : bool
        Keep rows that can be written even if `check` expects the service to refuse them; ``expected`` then names the
        rule.
    service : str
        Service type of the instance. Most types other than product store a single category, so differences in
        CategoryId are ignored for them.
    last : pandas.DataFrame, optional
        The last export's catalogue. If this one has collapsed compared with it (`compare_exports`), nothing is planned.
    confirm_rows : int, optional
        The number of rows in the catalogue, to confirm that the collapse is intended.

    Returns
    -------
    Plan
        Every catalogue row is in exactly one of ``batch``, ``unchanged`` and ``excluded``.

    Raises
    ------
    ConfigError
        The catalogue has collapsed compared with `last`; a name in `ignore` is not compared; `known` is not a gallery
        state.

    Notes
    -----
    Source: the vendor's guide (ProductId and PicName are the key, a later ADD overwrites, a DELETE without PicName
    deletes all images of a product).

    - An ADD replaces the whole record. For fields without a column in the catalogue, a line therefore repeats the value
      in `known` (see ``Plan.carried``); a field with an empty cell is cleared, and the reason says so. Region and Crop
      are repeated too, unless the image has a drawn region; a Region only while the image is unchanged.
    - *Gone* means missing from the full catalogue, before exclusions, so an excluded row never causes a DELETE.
    - While a wanted image of a product is not yet in the gallery, no image of that product is deleted by absence; see
      ``Plan.deferred``.
    - While the export has records that could not be read correctly, or ids that a spreadsheet or a wrong encoding
      damaged, nothing is deleted by absence, as they may mean any product. The same applies to a product whose id in
      the export contains a line break or is surrounded by spaces. These images, too, are in ``Plan.deferred``.
    - A whole product is deleted in one line only if no row of the catalogue names it any more.

    Examples
    --------
    >>> import pandas as pd
    >>> shop = pd.DataFrame({"ProductId": ["1"], "PicName": ["a.jpg"], "CategoryId": ["0"], "CustomContent": ["k:v"]})
    >>> plan_batch(shop)
    Plan(1 ADD, 0 DELETE, 0 unchanged, 0 excluded)
    """
    if last is not None:
        require_no_collapse(compare_exports(last, catalogue), confirm_rows)
    kind = service_type(service)
    if findings is None:
        sheet = make_sheet(catalogue, images, regions=regions, prepared=prepared, service=service)
        findings = check_sheet(sheet)
    else:
        sheet = _bare_sheet(sheet_rows(catalogue, images, regions=regions, prepared=prepared), kind)
    findings = with_loaded(findings, catalogue)
    wanted = wanted_rows(sheet, findings, keep_refused=keep_refused)
    del sheet
    baseline = Baseline(known=known, delete_missing=delete_missing, ignore=ignore)
    return plan_rows(catalogue, wanted, findings, kind, baseline)


def plan_rows(
    catalogue: pd.DataFrame,
    wanted: pl.DataFrame,
    findings: pd.DataFrame,
    service: Service,
    baseline: Baseline,
    *,
    names: pl.Series | None = None,
) -> Plan:
    """Plan as `plan_batch` does, but from existing `wanted` rows (`wanted_rows`), which are emptied.

    `names` are those of `nameless` if the catalogue has more rows.
    """
    held = None if baseline.known is None else known_rows(baseline.known)
    ignore, named = baseline.ignore, set(catalogue.columns)
    if service in FORCING:
        ignore = [*([ignore] if isinstance(ignore, str) else ignore), "CategoryId"]
        named.add("CategoryId")
    judged = compare(wanted, held, ignore, named)
    for name in wanted.columns:  # `judged` shares the columns and frees them one by one
        wanted.drop_in_place(name)
    gone = []
    waiting = _waiting(known_rows(None))
    if held is not None and not baseline.delete_missing:
        waiting = _waiting(pl.concat([rows.select(held.columns) for rows in gone_rows(judged, held)]), STAYS)
    elif held is not None:
        going, held_back = gone_rows(judged, held, names)
        doubtful = pl.lit(value=True) if hides_products(findings) else _misspelt(judged["ProductId"])
        kept = going.filter(doubtful).drop("whole")
        waiting = pl.concat([_waiting(held_back), _waiting(kept, WAITS_FOR_EXPORT)])
        gone.append(_deletes(going.filter(~doubtful)))
    verdicts = judged.select("_i", "verdict", "reason")
    batch = _numbered([_sent(judged), *gone])
    return Plan(
        unchanged=_rows_of(catalogue, verdicts, "same"),
        excluded=_rows_of(catalogue, verdicts, "excluded"),
        deferred=to_pandas(waiting),
        carried=to_pandas(carried_fields(batch)),
        before=_before(batch, held),
        batch=_as_batch(batch),
    )


def plan_between(state_now: pd.DataFrame, state_then: pd.DataFrame) -> Plan:
    """Plan the changes from one state of the gallery to another, such as back to the state before a run.

    Examples
    --------
    >>> import pandas as pd
    >>> then = pd.DataFrame({"ProductId": ["1"], "PicName": ["a.jpg"], "state": ["held"]})
    >>> plan_between(then.iloc[:0], then)
    Plan(1 ADD, 0 DELETE, 0 unchanged, 0 excluded)
    """
    now, then = known_rows(state_now), known_rows(state_then)
    open_then = then.filter(pl.col("state") == "unknown")
    wanted = then.filter(pl.col("state") == "held").with_row_index("_i")
    wanted = wanted.with_columns(
        pl.lit(Operation.ADD.value).alias("OperationType"),
        pl.lit(None, pl.Int64).alias("row"),
        pl.col("PicName").alias("found_name"),
        pl.lit(None, pl.String).alias("excluded"),
        pl.lit("imported").alias("expected"),
        pl.lit(value=True).alias("_drawn"),
    ).drop("state")
    judged = compare(wanted, now)
    key = ["ProductId", "PicName"]
    gone = unmatched(judged, now)
    gone = gone.join(open_then, on=key, how="anti", maintain_order="left")
    stays = pl.concat([wanted["ProductId"], open_then["ProductId"]]).unique()
    going = gone.with_columns((~pl.col("ProductId").is_in(stays.implode())).alias("whole"))
    same = judged.filter(pl.col("verdict") == "same")
    empty = same.clear()
    batch = _numbered([_sent(judged), _deletes(going)])
    rows = [*HELD_COLUMNS, "digest", "reason"]
    return Plan(
        unchanged=to_pandas(same.select(rows)),
        excluded=to_pandas(empty.select(rows)),
        deferred=to_pandas(_waiting(known_rows(None))),
        carried=to_pandas(carried_fields(batch)),
        before=_before(batch, now),
        batch=_as_batch(batch),
    )


def with_loaded(findings: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    """Add the errors from loading: a record that was not read correctly is never sent, even if `check` passes it."""
    loaded = catalogue.attrs.get("findings")
    loaded = findings.iloc[:0] if loaded is None else loaded[loaded["severity"].eq(Severity.ERROR)]
    # The column marks every such record, even after a merge, a filter, or saving and loading.
    parts = [part for part in (loaded, _column_findings(catalogue)) if len(part)]
    return pd.concat([*parts, findings], ignore_index=True) if parts else findings


def with_withheld(errors: pd.DataFrame, *, withheld: bool) -> pd.DataFrame:
    """Add an error that withholds deletions by absence, if other rows of the catalogue give a reason to."""
    return pd.concat([errors, _unread(pd.DataFrame({"rule": ["record-not-read"]}))]) if withheld else errors


def _column_findings(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return findings from the columns that mark records that could not be read correctly."""
    names = list(catalogue.columns)
    rows = catalogue["row"] if names.count("row") == 1 else pd.Series(range(1, len(catalogue) + 1))
    rows = pd.to_numeric(rows, errors="coerce").reset_index(drop=True)
    found = []
    for place, name in enumerate(names):
        if not str(name).startswith(NOT_READ):
            continue
        cells = catalogue.iloc[:, place].reset_index(drop=True)
        if cells.empty:  # the only trace of an export without records, or of rows removed by a filter
            cells = pd.Series([ELSEWHERE])
        cells = cells[cells.isin([*UNREAD, ELSEWHERE])]
        rules = cells[cells.ne(ELSEWHERE)]
        unread = pd.DataFrame({"rule": rules, "row": rows.reindex(rules.index)})
        for key in ("ProductId", "PicName"):
            # In combined exports, several records may have the same number.
            if names.count(key) == 1:
                unread[key] = catalogue[key].reset_index(drop=True).reindex(rules.index)
        found.append(unread)
        if len(cells) > len(rules):
            found.append(pd.DataFrame({"rule": ["record-not-read"]}))
    if not found:
        return pd.DataFrame({"rule": []})
    return _unread(pd.concat(found, ignore_index=True))


def _unread(found: pd.DataFrame) -> pd.DataFrame:
    errors = found.assign(severity=Severity.ERROR.value)
    return errors.reindex(columns=list(FINDING_COLUMNS)).astype(FINDING_COLUMNS)


def hides_products(findings: pd.DataFrame) -> bool:
    """Return whether the export has records that may belong to any product."""
    table = to_polars(findings, ["rule", "severity"])
    unread = pl.col("rule").is_in(UNREAD) & (pl.col("severity") == Severity.ERROR.value)
    return bool(table.select((unread | pl.col("rule").is_in([DAMAGED_ID, DATE_ID])).any()).item())


def _bare_sheet(rows: pl.DataFrame, service: Service) -> Sheet:
    """Return a sheet for rules that test every row, without the parts that only `check` needs, which take time."""
    add, delete = (pl.col("op") == operation.value for operation in Operation)
    scopes = {"all": None, "add": add, "delete": delete}
    return Sheet(rows, service, str(service), {}, {}, rows.clear(), frozenset(), scopes, {})


def _misspelt(wanted: pl.Series) -> pl.Expr:
    """Return an expression: whether a wanted id with line breaks or surrounding spaces may mean this product."""
    odd = wanted.filter(wanted.str.contains(_STRAY)).unique().str.replace_all(_IGNORED, "")
    return pl.col("ProductId").str.replace_all(_IGNORED, "").is_in(odd.implode())


def _waiting(held: pl.DataFrame, reason: str = WAITS_FOR_IMAGES) -> pl.DataFrame:
    return held.select(*HELD_COLUMNS, "digest", "state", pl.lit(reason).alias("reason"))


def _sent(judged: pl.DataFrame) -> pl.DataFrame:
    """Return the rows to send as lines; their columns are removed from `judged`."""
    mask = judged["verdict"] == "send"
    columns = [name for name in (*BATCH_COLUMNS, CARRIED) if name in judged.columns]
    return pl.DataFrame([judged.drop_in_place(name).filter(mask) for name in columns])


def _deletes(going: pl.DataFrame) -> pl.DataFrame:
    """Return DELETE lines: one per image, or one per product if all its images go."""
    lines = going.select("ProductId", pl.when(~pl.col("whole")).then("PicName").alias("PicName"))
    return (
        lines.unique()
        .sort("ProductId", "PicName")
        .select(
            pl.lit(Operation.DELETE.value).alias("OperationType"),
            "ProductId",
            "PicName",
            pl.lit("gone").alias("reason"),
            pl.lit("deleted").alias("expected"),
        )
    )


def _numbered(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Return numbered lines: those from the catalogue, then those for images that are gone."""
    lines = pl.concat(parts, how="diagonal")
    return lines.with_columns((pl.int_range(pl.len(), dtype=pl.Int64) + 1).alias("line"))


def _as_batch(lines: pl.DataFrame) -> pd.DataFrame:
    """Return the batch frame; `lines` is emptied."""
    add = lines["OperationType"] == Operation.ADD.value
    if not add.all():
        lines.hstack([lines.select(pl.when(add).then("PicName").alias("file"))["file"]], in_place=True)
    batch = drain_to_pandas(lines)
    if "file" not in batch:
        batch["file"] = batch["PicName"]  # shares the same memory
    return batch[list(BATCH_COLUMNS)]


def _rows_of(catalogue: pd.DataFrame, judged: pl.DataFrame, verdict: str) -> pd.DataFrame:
    mask = judged["verdict"] == verdict
    if not mask.any():
        rows = detached(catalogue).iloc[:0]
    else:
        # Column by column, as taking rows from a frame would first combine the chunks of every text column.
        chosen = mask.to_numpy()
        taken = (pd.Series(column.array[chosen], name=name, dtype=column.dtype) for name, column in catalogue.items())
        rows = pd.concat(taken, axis=1)
    return rows.reset_index(drop=True).assign(reason=to_pandas(judged.select("reason").filter(mask))["reason"])


def _before(batch: pl.DataFrame, held: pl.DataFrame | None) -> pd.DataFrame:
    """Return the known rows that the lines replace or delete."""
    if held is None:
        return to_pandas(known_rows(None).select(pl.lit(None, pl.Int64).alias("line"), *HELD_COLUMNS, "digest"))
    lines = batch.select("line", "OperationType", "ProductId", "PicName")
    single = lines.filter(pl.col("PicName").is_not_null())
    # Sorted afterwards, as a join that need not keep the order can look up the few rows among the many.
    found = single.join(held, on=["ProductId", "PicName"], how="inner")
    whole = lines.filter(pl.col("PicName").is_null()).select("line", "ProductId")
    found = pl.concat(
        [
            found.select("line", *HELD_COLUMNS, "digest"),
            whole.join(held, on="ProductId", how="inner", maintain_order="left").select(
                "line", *HELD_COLUMNS, "digest"
            ),
        ]
    )
    return to_pandas(found.sort("line", maintain_order=True))
