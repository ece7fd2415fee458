"""Compare this week's export with the last one, and stop if it has lost too much."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import polars as pl

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.frames import returns_table, to_pandas, to_polars
from imgprep.load.image_names import IMAGE_URL
from imgprep.load.suggestions import category_column, leaf_names

#: Share of rows, products or images that an export may lose from one week to the next; losing more is a collapse.
COLLAPSE_LOSS = 0.3

#: Totals; a collapse of any of them stops a plan.
TOTALS = ("rows", "products", "images")
GONE = "products gone"
COLLAPSED = "collapsed"
#: A column whose filled share changes by less than this counts as unchanged.
_STEADY = 0.05
#: Columns of a catalogue that do not come from the shop.
_OWN = ("row", IMAGE_URL)
#: ``what``, ``name``, and the counts in the last export and in this one.
Counts = tuple[str, str | None, int | None, int | None]
_SCHEMA: dict[str, type[pl.DataType]] = {
    "what": pl.String,
    "name": pl.String,
    "last": pl.Int64,
    "this": pl.Int64,
    "change": pl.Float64,
    "verdict": pl.String,
}


@returns_table
def compare_exports(
    last: pd.DataFrame, this: pd.DataFrame, *, category: str | None = None, collapse: float = COLLAPSE_LOSS
) -> pd.DataFrame:
    """Compare an export with the one before it.

    Parameters
    ----------
    last, this : pandas.DataFrame
        Catalogues, from `load_catalogue`, read in the same way.
    category : str, optional
        The column with the shop's categories; by default the first with a typical name, otherwise ``CategoryId``. If
        a cell holds several paths, as in exports from Magento, the leaf of the longest counts.
    collapse : float
        Share, above 0 and up to 1; an export that loses more of its rows, products or images has collapsed.

    Returns
    -------
    pandas.DataFrame
        One row per thing compared: ``what`` (``rows``, ``products``, ``images``, ``products gone``, ``products new``,
        ``column``, ``category``), ``name`` (of the column or category), ``last`` and ``this`` (counts; for a column,
        its filled cells, or NA if it is absent), ``change`` (1.0 is twice as many, −1.0 is none left, NA if there were
        none before; for a column, the change in its filled *share*), ``verdict``: ``same``, ``changed``, ``new``,
        ``vanished``, ``emptied`` (a column without values), ``thinned`` (a column or category that lost more than
        `collapse`), ``collapsed`` (rows, products or images that lost more, or products gone that exceed this share of
        the last export's products: new ones do not offset them, as they may be the same products under other ids).

    Raises
    ------
    ConfigError
        Neither export has the column `category`, or `collapse` is not a share.

    Examples
    --------
    >>> last = pd.DataFrame({"ProductId": ["1", "2", "3"], "type": ["Bags", "Bags", "Toys"]})
    >>> drift = compare_exports(last, last.head(1))
    >>> drift[["what", "name", "last", "this", "verdict"]].fillna("").values.tolist()[:2]
    [['rows', '', 3, 1, 'collapsed'], ['products', '', 3, 1, 'collapsed']]
    """
    if not 0 < collapse <= 1:
        raise ConfigError(f"collapse={collapse}: must be a share above 0 and up to 1, such as {COLLAPSE_LOSS}")
    if category is not None and category not in last.columns and category not in this.columns:
        raise ConfigError(f"category={category!r}: neither export has this column")
    column = category or category_column(last) or category_column(this) or "CategoryId"
    then, now = _texts(last), _texts(this)
    table = pl.concat([_totals(then, now), _columns(then, now), _categories(then, now, column)])
    table = table.with_columns(_change(then.height, now.height).alias("change"))
    table = table.with_columns(_verdict(collapse).alias("verdict"))
    products = pl.col("last").filter(pl.col("what") == "products").first()
    lost = (pl.col("what") == GONE) & (pl.col("last") > collapse * products)
    table = table.with_columns(verdict=pl.when(lost).then(pl.lit(COLLAPSED)).otherwise("verdict"))
    return to_pandas(table.select(_SCHEMA.keys()))


@returns_table
def compare_products(last: pd.DataFrame, this: pd.DataFrame) -> pd.DataFrame:
    """List the products removed, added and changed from one export to the next, with the columns that changed.

    Parameters
    ----------
    last, this : pandas.DataFrame
        Catalogues, from `load_catalogue`, read in the same way.

    Returns
    -------
    pandas.DataFrame
        ``ProductId``, ``change`` (``gone``, ``new``, ``changed``), ``field`` (a column of both exports; NA if the
        product is gone or new), ``last`` and ``this`` (its values, separated by a bar; NA if empty). One row per
        product gone or new, and one per changed column of a product. Unchanged products are not listed; the order of
        rows in the exports does not matter.

    Raises
    ------
    CatalogueError
        `last` or `this` has no ProductId.

    Examples
    --------
    >>> last = pd.DataFrame({"ProductId": ["1", "2"], "price": ["5", "7"]})
    >>> this = pd.DataFrame({"ProductId": ["2", "3"], "price": ["8", "9"]})
    >>> compare_products(last, this).fillna("").values.tolist()
    [['1', 'gone', '', '', ''], ['2', 'changed', 'price', '7', '8'], ['3', 'new', '', '', '']]
    """
    key = "ProductId"
    for name, frame in (("last", last), ("this", this)):
        if key not in frame.columns:
            raise CatalogueError(
                f"compare_products: {name} has no ProductId; map it with columns=, see suggest_columns"
            )
    then, now = (table.filter(pl.col(key).is_not_null()) for table in (_texts(last), _texts(this)))
    parts = [
        one.join(other, on=key, how="anti").select(key).unique().with_columns(change=pl.lit(word))
        for one, other, word in ((then, now, "gone"), (now, then, "new"))
    ]
    for name in (column for column in now.columns if column in then.columns and column != key):
        values = pl.col(name).drop_nulls().unique().sort().str.join(" | ").replace("", None)
        was, is_ = (table.group_by(key).agg(values.alias("value")) for table in (then, now))
        both = was.join(is_, on=key).filter(pl.col("value").ne_missing(pl.col("value_right")))
        parts.append(both.select(key, change=pl.lit("changed"), field=pl.lit(name), last="value", this="value_right"))
    schema = dict.fromkeys((key, "change", "field", "last", "this"), pl.String)
    table = pl.concat([pl.DataFrame(schema=schema), *parts], how="diagonal")
    return to_pandas(table.sort(key, maintain_order=True).select(schema.keys()))


def require_no_collapse(drift: pd.DataFrame, confirm_rows: int | None = None) -> None:
    """Raise ConfigError if an export has collapsed, unless its number of rows was confirmed."""
    fallen = drift[drift["verdict"] == COLLAPSED]
    if fallen.empty:
        return
    rows = int(drift.loc[drift["what"] == "rows", "this"].iloc[0])
    if confirm_rows == rows:
        return
    losses = "; ".join(
        f"{last:,} {what}" if what == GONE else f"{what} {last:,} → {this:,} ({change:+.0%})"
        for what, last, this, change in zip(*(fallen[name] for name in ("what", "last", "this", "change")), strict=True)
    )
    other = "" if confirm_rows is None else f" ({confirm_rows:,} was confirmed, a different number)"
    raise ConfigError(
        f"the export collapsed compared with the last one: {losses}{other}. Check that it is complete; if the loss is "
        f"intended, or the last export was a different one, confirm its number of rows: {rows} (confirm_rows=, "
        "--confirm-rows)"
    )


def _texts(frame: pd.DataFrame) -> pl.DataFrame:
    """Return every cell as text, with empty ones as null."""
    table = to_polars(frame, [name for name in frame.columns if name not in _OWN])
    # A frame without columns still has rows.
    table = table if table.width else pl.DataFrame({"": [""] * len(frame)})
    return table.select(
        pl.when(pl.col(name).cast(pl.String).str.strip_chars() != "").then(pl.col(name).cast(pl.String)).alias(name)
        for name in table.columns
    )


def _totals(then: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    counts: list[Counts] = [("rows", None, then.height, now.height)]
    moved: list[Counts] = []
    for what, field in (("products", "ProductId"), ("images", "PicName")):
        if field not in then.columns or field not in now.columns:
            continue
        was, is_ = (table.select(field).drop_nulls().unique() for table in (then, now))
        counts.append((what, None, was.height, is_.height))
        if what == "products":
            moved.append((GONE, None, was.join(is_, on=field, how="anti").height, 0))
            moved.append(("products new", None, 0, is_.join(was, on=field, how="anti").height))
    return _frame(counts + moved)


def _columns(then: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    def filled(table: pl.DataFrame, name: str) -> int | None:
        return table.height - table[name].null_count() if name in table.columns else None

    names = filter(None, dict.fromkeys([*then.columns, *now.columns]))
    return _frame([("column", name, filled(then, name), filled(now, name)) for name in names])


def _categories(then: pl.DataFrame, now: pl.DataFrame, column: str) -> pl.DataFrame:
    cells: list[dict[str, int]] = []
    for table in (then, now):
        texts = table[column] if column in table.columns else pl.Series([], dtype=pl.String)
        cells.append(dict(texts.drop_nulls().str.strip_chars().value_counts().iter_rows()))
    name_of, totals = leaf_names({**cells[0], **cells[1]}), (Counter[str](), Counter[str]())
    for total, found in zip(totals, cells, strict=True):
        for text, rows in found.items():
            total[name_of[text]] += rows
    was, is_ = totals
    names = sorted({*was, *is_}, key=lambda name: (-was[name], -is_[name], name))
    return _frame([("category", name, was[name], is_[name]) for name in names])


def _frame(rows: list[Counts]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={name: _SCHEMA[name] for name in ("what", "name", "last", "this")}, orient="row")


def _change(rows_last: int, rows_this: int) -> pl.Expr:
    last, this = pl.col("last"), pl.col("this").fill_null(0)
    # A column with the same filled share is unchanged, even if there are more rows.
    scale = pl.when(pl.col("what") == "column").then(rows_last / rows_this if rows_this else 1.0).otherwise(1.0)
    return pl.when(last > 0).then(this * scale / last - 1)


def _verdict(collapse: float) -> pl.Expr:
    what, last, this, change = pl.col("what"), pl.col("last"), pl.col("this"), pl.col("change")
    column, category = what == "column", what == "category"
    fell = (change < -collapse).fill_null(value=False)
    return (
        pl.when(what.is_in(TOTALS) & fell)
        .then(pl.lit(COLLAPSED))
        .when((column & last.is_null()) | (category & (last == 0)))
        .then(pl.lit("new"))
        .when((column & this.is_null()) | (category & (this == 0)))
        .then(pl.lit("vanished"))
        .when(column & (this == 0) & (last > 0))
        .then(pl.lit("emptied"))
        .when((column | category) & fell)
        .then(pl.lit("thinned"))
        .when((last == this) | (column & (change.abs() < _STEADY)))
        .then(pl.lit("same"))
        .otherwise(pl.lit("changed"))
    )
