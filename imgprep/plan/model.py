"""The plan (batch, unchanged, excluded and deferred rows) with its summaries, and the baseline it starts from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd
import polars as pl

from imgprep.core.fields import CATEGORIES, FIELDS, Operation
from imgprep.core.frames import returns_table, show_fields_as_tables, to_pandas, to_polars
from imgprep.core.language import Texts, texts
from imgprep.plan.split import split_batch

#: Column → dtype of a batch frame.
BATCH_COLUMNS: dict[str, str] = {
    "line": "Int64",
    **{field.name: field.dtype for field in FIELDS},
    "row": "Int64",
    "digest": "str",
    "file": "str",
    "reason": "str",
    "expected": "str",
}

#: The fields that the gallery holds, which are also columns of ``Plan.before`` and ``Plan.deferred``.
HELD_COLUMNS: tuple[str, ...] = tuple(field.name for field in FIELDS if field.name != "OperationType")

#: Reasons why an image missing from the catalogue stays in the gallery.
WAITS_FOR_IMAGES = "waits for other images"
WAITS_FOR_EXPORT = "waits for a readable export"
STAYS = "deletion was not requested"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Baseline:
    """The known state that a batch is planned against, and the confirmations for the plan.

    Parameters
    ----------
    known : pandas.DataFrame, optional
        A gallery state (`gallery_state`); without it, everything is new.
    last : pandas.DataFrame, optional
        The catalogue from the last export; if this one has collapsed compared with it, nothing is built.
    delete_missing : bool
        DELETE images that the gallery holds and the catalogue lacks.
    ignore : collection of str
        Fields, or ``image`` or ``region``, whose differences are ignored.
    instance : str
        The instance's name; without it, the name to confirm is ``gallery``.
    confirm : str, optional
        The instance's name, to confirm a batch that deletes more of the gallery than `LOSS_THRESHOLD`.
    confirm_rows : int, optional
        The number of rows in the catalogue, to confirm that a collapse is intended.

    Examples
    --------
    >>> ip.Baseline(known=ip.gallery_state(runs), delete_missing=True).delete_missing
    True
    """

    known: pd.DataFrame | None = None
    last: pd.DataFrame | None = None
    delete_missing: bool = False
    ignore: Collection[str] = ()
    instance: str = ""
    confirm: str | None = None
    confirm_rows: int | None = None


def left_note(left: Mapping[str, int], t: Texts | None = None) -> str | None:
    """Return a sentence about images that stay in the gallery (see `Plan.left`), or None if there are none."""
    if not left.get("images"):
        return None
    t = t or texts()
    return t(
        "{images} of {products} stays in the gallery although the export no longer has them"
        if left["images"] == 1
        else "{images} of {products} stay in the gallery although the export no longer has them",
        images=t.counted(left["images"], "image"),
        products=t.counted(left.get("products", 0), "product"),
    )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Plan:
    """The batch that brings the gallery to the state of the catalogue. Returned by `plan_batch`.

    Attributes
    ----------
    batch : pandas.DataFrame
        One row per line of increment.meta; see `BATCH_COLUMNS`. ``reason`` is ``new``, ``unknown`` (left open by an
        earlier run), ``asked`` or ``gone`` (DELETE), or lists the changes: ``image``, ``region``, names of fields.
    unchanged : pandas.DataFrame
        Catalogue rows that the gallery already matches, with ``reason``: ``same``, ``ignored: …`` (only ignored fields
        differ), ``not held`` (a DELETE with nothing to delete).
    excluded : pandas.DataFrame
        Catalogue rows that are not sent, with ``reason``: the ids of the rules they failed.
    deferred : pandas.DataFrame
        Images that the catalogue lacks but that stay in the gallery, with ``reason``: other images of the product are
        not in the gallery yet (ADD first, DELETE once the ADD is reconciled); the export has unreadable records or
        another spelling of the product's id, which may mean this product; or deletion was not requested.
    before : pandas.DataFrame
        ``line`` and the fields as the gallery held them, for lines that replace or delete.
    carried : pandas.DataFrame
        ``line, ProductId, PicName, field``: fields absent from the catalogue in which a line repeats the gallery's
        value, as an ADD replaces the whole record.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load()
    >>> plan = ip.plan_batch(catalogue, findings=ip.check(catalogue))
    >>> len(plan.batch) + len(plan.unchanged) + len(plan.excluded) >= len(catalogue)
    True
    >>> plan.excluded["reason"].iloc[0]
    'custom-content-too-long'
    """

    batch: pd.DataFrame
    unchanged: pd.DataFrame
    excluded: pd.DataFrame
    deferred: pd.DataFrame
    before: pd.DataFrame
    carried: pd.DataFrame

    def __post_init__(self) -> None:
        show_fields_as_tables(self)

    def __repr__(self) -> str:
        adds = int((self.batch["OperationType"] == Operation.ADD).sum())
        parts = [f"{adds:,} ADD", f"{len(self.batch) - adds:,} DELETE", f"{len(self.unchanged):,} unchanged"]
        parts.append(f"{len(self.excluded):,} excluded")
        if len(self.deferred):
            parts.append(f"{len(self.deferred):,} deferred")
        return f"Plan({', '.join(parts)})"

    @property
    def left(self) -> dict[str, int]:
        """Counts of ``images`` and ``products`` that stay in the gallery although the export no longer has them."""
        return {"images": len(self.deferred), "products": self.deferred["ProductId"].nunique()}

    def split(self, *, max_rows: int | None = None, max_bytes: int | None = None) -> list[pd.DataFrame]:
        """Return the batch in parts of limited size; the lines of a product stay together. See `split_batch`."""
        return split_batch(self.batch, max_rows=max_rows, max_bytes=max_bytes)

    @returns_table
    def summary(self) -> pd.DataFrame:
        """Count rows by planned action.

        Returns
        -------
        pandas.DataFrame
            ``what`` (add, replace, delete, unchanged, excluded, deferred), ``reason``, ``rows``, ``products``.
        """
        columns = ["ProductId", "reason"]
        parts = [_acted(self.batch).select("what", *columns)]
        for what in ("unchanged", "excluded", "deferred"):
            frame = getattr(self, what).reindex(columns=columns)  # a catalogue may lack ProductId
            parts.append(to_polars(frame, columns).select(pl.lit(what).alias("what"), *columns))
        rows = pl.concat([part.cast(pl.String) for part in parts])
        return to_pandas(_count(rows, "what", "reason", name="rows").sort(_ORDER, -pl.col("rows"), "reason"))

    @returns_table
    def rows(self) -> pd.DataFrame:
        """List the planned action for each row, and for each image that the catalogue lacks.

        Returns
        -------
        pandas.DataFrame
            ``what`` (as in `summary`), ``reason``, ``row``, ``ProductId``, ``PicName``.
        """
        columns = ["reason", "row", "ProductId", "PicName"]
        parts = [_acted(self.batch, "row", "PicName").select("what", *columns)]
        for what in ("unchanged", "excluded", "deferred"):
            frame = getattr(self, what).reindex(columns=columns)
            parts.append(to_polars(frame, columns).select(pl.lit(what).alias("what"), *columns))
        listed = pl.concat(
            [part.with_columns(pl.exclude("row").cast(pl.String), pl.col("row").cast(pl.Int64)) for part in parts]
        )
        return to_pandas(listed.sort(_ORDER, maintain_order=True))

    @returns_table
    def diff(self) -> pd.DataFrame:
        """Count the images to be added, replaced and deleted, by category and reason.

        Returns
        -------
        pandas.DataFrame
            ``what`` (add, replace, delete), ``category`` (name from the category reference, or ``predicted`` if the
            service chooses), ``reason``, ``images``, ``products``. A line that deletes a whole product counts as all
            images of the product that the gallery is known to hold.
        """
        lines = _acted(self.batch).select("what", "line", "ProductId", "CategoryId", "reason")
        held = to_polars(self.before, ["line", "CategoryId"]).rename({"CategoryId": "_held"})
        # A DELETE has no category, so the gallery's is used. One line may delete several images.
        lines = lines.join(held, on="line", how="left", maintain_order="left")
        number = pl.when(pl.col("what") == "delete").then("_held").otherwise("CategoryId")
        names = number.replace_strict(CATEGORIES, default=None, return_dtype=pl.String)
        lines = lines.with_columns(
            pl.coalesce(names, number.cast(pl.String), pl.lit("predicted")).alias("category"),
        )
        counted = _count(lines, "what", "category", "reason", name="images")
        return to_pandas(counted.sort(_ORDER, "category", "reason"))

    @returns_table
    def changes(self) -> pd.DataFrame:
        """List every field that a line would change in the gallery.

        Returns
        -------
        pandas.DataFrame
            ``line``, ``ProductId``, ``PicName``, ``field``, ``before``, ``after`` (strings, NA if absent).
        """
        fields = [name for name in HELD_COLUMNS if name not in ("ProductId", "PicName")]
        after = to_polars(self.batch, ["line", "OperationType", "ProductId", "PicName", *fields])
        after = after.filter(pl.col("OperationType") == Operation.ADD.value)
        before = to_polars(self.before, ["line", *fields])
        both = after.join(before, on="line", how="inner", suffix="_before", maintain_order="left")
        parts = []
        for name in fields:
            old, new = pl.col(f"{name}_before"), pl.col(name)
            parts.append(
                both.filter(old.ne_missing(new)).select(
                    "line",
                    "ProductId",
                    "PicName",
                    pl.lit(name).alias("field"),
                    old.cast(pl.String).alias("before"),
                    new.cast(pl.String).alias("after"),
                )
            )
        return to_pandas(pl.concat(parts).sort("line", maintain_order=True))

    @returns_table
    def category_changes(self) -> pd.DataFrame:
        """Count the images whose category in the gallery would change.

        Returns
        -------
        pandas.DataFrame
            ``before``, ``after`` (CategoryId, or NA if the service predicts it), ``images``, largest number first.

        Notes
        -----
        A category set when adding must also be set when searching, or a search with the same image does not find it.
        Source: the vendor's page on adding images.
        """
        changes = self.changes()
        changes = changes[changes["field"] == "CategoryId"]
        counts = changes.groupby(["before", "after"], dropna=False).size().rename("images").reset_index()
        counts = counts.astype({"before": "Int64", "after": "Int64"})
        return counts.sort_values(["images", "before", "after"], ascending=[False, True, True], ignore_index=True)


_WHAT = ("add", "replace", "delete", "unchanged", "excluded", "deferred")
_ORDER = pl.col("what").replace_strict({what: place for place, what in enumerate(_WHAT)}, return_dtype=pl.Int64)
#: Reasons for adding an image that the gallery may not hold.
NOT_HELD = ("new", "unknown")


def _acted(batch: pd.DataFrame, *more: str) -> pl.DataFrame:
    """Return the batch with a column ``what``: add, replace or delete."""
    lines = to_polars(batch, ["line", "OperationType", "ProductId", "CategoryId", "reason", *more])
    what = (
        pl.when(pl.col("OperationType") == Operation.DELETE.value)
        .then(pl.lit("delete"))
        .when(pl.col("reason").is_in(NOT_HELD))
        .then(pl.lit("add"))
        .otherwise(pl.lit("replace"))
    )
    return lines.with_columns(what.alias("what"))


def _count(rows: pl.DataFrame, *by: str, name: str) -> pl.DataFrame:
    known = pl.col("ProductId").filter(pl.col("ProductId") != "")  # drops missing ids too
    products = known.n_unique().cast(pl.Int64).alias("products")
    return rows.group_by(by).agg(pl.len().cast(pl.Int64).alias(name), products)
