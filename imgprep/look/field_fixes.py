"""Mechanical fixes of catalogue fields, logged so that they can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.frames import counts_records
from imgprep.core.text import counted
from imgprep.look.rules.book import RULES
from imgprep.look.rules.sheet import near_files

#: Column → dtype in the log of fixes.
LOG_COLUMNS: dict[str, str] = {
    "position": "Int64",
    "row": "Int64",
    "line": "Int64",
    "rule": "str",
    "field": "str",
    "before": "str",
    "after": "str",
}


def apply_fixes(
    catalogue: pd.DataFrame, findings: pd.DataFrame, *, files: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply fixes that need no judgement: trim, strip a slash, ``3.0`` → ``3``, use a nearly matching file name.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        The checked catalogue, with fields as strings. It is not changed.
    findings : pandas.DataFrame
        Result of `check`, or a selection of its rows; findings that are not fixable are skipped.
    files : pandas.DataFrame, optional
        Result of `match_names`, as passed to `check`.

    Returns
    -------
    fixed : pandas.DataFrame
        The catalogue with the fixes applied.
    log : pandas.DataFrame
        One row per change: ``position`` (0 = first row), ``row``, ``line``, ``rule``, ``field``, ``before``,
        ``after``. `undo_fixes` reverses it.

    Raises
    ------
    ConfigError
        A fix needs a file name, and `files` was not given.

    Examples
    --------
    >>> import pandas as pd
    >>> from imgprep.look.rules.book import check
    >>> shop = pd.DataFrame({"ProductId": ["1"], "PicName": ["/a.jpg"], "CustomContent": ["k:v"]})
    >>> fixed, log = apply_fixes(shop, check(shop))
    >>> fixed["PicName"].tolist(), log["before"].tolist()
    (['a.jpg'], ['/a.jpg'])
    """
    fixed = catalogue.copy(deep=False)
    changes: list[pd.DataFrame] = []
    positions_of = _positions(catalogue, findings[findings["fixable"].fillna(value=False).astype(bool)])
    for rule in (part for each in RULES for part in each.parts):
        own = (positions_of["rule"] == rule.id) & (positions_of["field"] == rule.field)
        positions = np.unique(positions_of.loc[own, "position"].to_numpy())
        if rule.fix is None or rule.field not in fixed.columns or not len(positions):
            continue
        if rule.by_file and files is None:
            raise ConfigError(
                f"findings: {counted(len(positions), 'fix needs', 'fixes need')} the file names ({rule.id}); "
                "pass files=, as for check"
            )
        before = fixed[rule.field].iloc[positions].astype("str").reset_index(drop=True)
        texts = pl.from_pandas(before).to_frame("text")
        if rule.by_file and files is not None:
            # Look files up by the original name: an earlier rule may have changed it in `fixed`.
            names = catalogue[rule.field].iloc[positions].astype("str").reset_index(drop=True)
            texts = texts.with_columns(pl.from_pandas(names).alias("PicName"))
            texts = texts.join(near_files(files), on="PicName", how="left", maintain_order="left")
        after = pd.Series(texts.select(rule.fix(pl.col("text"))).to_series().to_list(), dtype="str")
        changed = ~((before == after) | (before.isna() & after.isna())).to_numpy()
        if changed.any():
            fixed[rule.field] = _written(fixed[rule.field], positions[changed], after[changed])
            part = {"position": positions, "rule": rule.id, "field": rule.field, "before": before, "after": after}
            changes.append(pd.DataFrame(part)[changed])
    return fixed, _log(catalogue, changes)


def use_files(catalogue: pd.DataFrame, matches: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Replace the image names in the catalogue with the names of the matching files.

    Examples
    --------
    >>> matches = pd.DataFrame({"PicName": ["/a.jpg"], "file": ["a.jpg"], "how": ["slash"]})
    >>> fixed, log = use_files(pd.DataFrame({"PicName": ["/a.jpg"]}), matches)
    >>> fixed["PicName"].tolist(), log["after"].tolist()
    (['a.jpg'], ['a.jpg'])
    """
    if "url" in matches.columns:  # a fetch log: the catalogue refers to images by URL
        matches = matches.rename(columns={"PicName": "file", "url": "PicName"}).assign(how="fetched")
    found = matches.dropna(subset=["PicName", "file"]).drop_duplicates("PicName").set_index("PicName")
    names = catalogue["PicName"]
    files = names.map(found["file"])
    positions = np.flatnonzero((files.notna() & (files != names)).to_numpy(dtype=bool))
    before, after = names.iloc[positions].astype("str"), files.iloc[positions]
    rules = "file-name-" + before.map(found["how"]).str.replace(" ", "-")
    changes = pd.DataFrame({"rule": rules, "field": "PicName", "before": before, "after": after})
    fixed = catalogue.copy(deep=False)
    fixed["PicName"] = _written(names, positions, after)
    return fixed, _log(catalogue, [changes.assign(position=positions)])


def undo_fixes(fixed: pd.DataFrame, log: pd.DataFrame) -> pd.DataFrame:
    """Undo the changes made by `apply_fixes` or `use_files`.

    Examples
    --------
    >>> catalogue = pd.DataFrame({"row": [1], "ProductId": [" 007"], "PicName": ["a.jpg"], "CustomContent": ["k:v"]})
    >>> fixed, log = ip.apply_fixes(catalogue, ip.check(catalogue))
    >>> undo_fixes(fixed, log)["ProductId"].tolist()
    [' 007']
    """
    result = fixed.copy(deep=False)
    # Undo the last change first: two rules may have changed the same cell.
    for change in reversed(log.to_dict("records")):
        name, position, before, after = str(change["field"]), int(change["position"]), change["before"], change["after"]
        now = result[name].iloc[position]
        if not (now == after or (pd.isna(now) and pd.isna(after))):
            raise CatalogueError(
                f"row {change['row']}, {name} {now!r}: has changed since it was fixed ({after!r}); "
                "undo the fixes on the catalogue that apply_fixes returned"
            )
        result[name] = _written(result[name], [position], before)
    return result


def _written(column: pd.Series[Any], positions: Any, values: Any) -> pd.Series[Any]:
    result = column.copy()
    result.iloc[positions] = values.to_numpy() if isinstance(values, pd.Series) else values
    return result


def _log(catalogue: pd.DataFrame, changes: Sequence[pd.DataFrame]) -> pd.DataFrame:
    log = pd.concat(changes, ignore_index=True) if changes else pd.DataFrame(columns=list(LOG_COLUMNS))
    for name in ("row", "line"):
        log[name] = catalogue[name].iloc[log["position"]].to_numpy() if counts_records(catalogue, name) else pd.NA
    return log[list(LOG_COLUMNS)].astype(LOG_COLUMNS)


def _positions(catalogue: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    """Return findings with the position of their row, found by line, or by row, ProductId and PicName together."""
    keys = pd.DataFrame({"position": range(len(catalogue))})
    on = ["line"] if counts_records(catalogue, "line") else ["row", "ProductId", "PicName"]
    for name in on:
        values = keys["position"] + 1 if name == "row" else pd.Series(pd.NA, index=keys.index)
        values = catalogue[name].reset_index(drop=True) if name in catalogue.columns else values
        keys[name] = values.astype("Int64" if name in ("row", "line") else "str")
    return findings[["rule", "field", *on]].merge(keys, on=on, how="inner")
