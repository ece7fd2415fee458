"""Mechanical fixes: applied with a log, and taken back with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.look.rules.book import RULES
from imgprep.look.rules.sheet import near_files

#: Column → dtype of the log of fixes.
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
    """Apply the fixes that need no judgement: trim, strip a slash, ``3.0`` → ``3``, the file that a name nearly is.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        The catalogue (fields as text) that was checked. It is not changed.
    findings : pandas.DataFrame
        From `check`, or those of them that shall be fixed; others than fixable ones are passed over.
    files : pandas.DataFrame, optional
        From `match_names`, as `check` had them.

    Returns
    -------
    fixed : pandas.DataFrame
        The catalogue with the fixes.
    log : pandas.DataFrame
        One row per change: ``position`` (0 = first row), ``row``, ``line``, ``rule``, ``field``, ``before``,
        ``after``. `undo_fixes` takes it back.

    Raises
    ------
    ConfigError
        A fix is the name of a file, and `files` was not given.

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
    wanted = findings[findings["fixable"].fillna(value=False).astype(bool)]
    where = _positions(catalogue, wanted)
    for rule in RULES:
        chosen = where.loc[where["rule"] == rule.id, "position"]
        if rule.fix is None or rule.field not in fixed.columns or not len(chosen):
            continue
        positions = chosen.drop_duplicates().sort_values().to_numpy()
        if rule.by_file and files is None:
            raise ConfigError(
                f"findings: {len(positions):,} fixes of {rule.id} are names of files; pass files=, as to check"
            )
        before = fixed[rule.field].iloc[positions].astype("str")
        texts = pl.from_pandas(before.reset_index(drop=True)).to_frame("text")
        if rule.by_file and files is not None:
            # By the name that was looked for: another rule may have changed it meanwhile.
            asked = pl.from_pandas(catalogue[rule.field].iloc[positions].astype("str").reset_index(drop=True))
            texts = texts.with_columns(asked.alias("PicName"))
            texts = texts.join(near_files(files), on="PicName", how="left", maintain_order="left")
        mended = texts.select(rule.fix(pl.col("text")))
        after = pd.Series(mended.to_series().to_list(), index=before.index, dtype="str")
        changed = ~((before == after) | (before.isna() & after.isna())).to_numpy()
        if not changed.any():
            continue
        fixed[rule.field] = _written(fixed[rule.field], positions[changed], after[changed])
        changes.append(
            pd.DataFrame(
                {
                    "position": positions[changed],
                    "rule": rule.id,
                    "field": rule.field,
                    "before": before[changed].to_numpy(),
                    "after": after[changed].to_numpy(),
                }
            )
        )
    log = pd.concat(changes, ignore_index=True) if changes else pd.DataFrame(columns=list(LOG_COLUMNS))
    for name in ("row", "line"):
        log[name] = catalogue[name].iloc[log["position"]].to_numpy() if name in catalogue.columns else pd.NA
    return fixed, log[list(LOG_COLUMNS)].astype(LOG_COLUMNS)


def undo_fixes(fixed: pd.DataFrame, log: pd.DataFrame) -> pd.DataFrame:
    """Take back what `apply_fixes` did.

    Parameters
    ----------
    fixed : pandas.DataFrame
        The catalogue with the fixes, its rows in the same order.
    log : pandas.DataFrame
        The log of the fixes, or those rows of it that shall be taken back.

    Returns
    -------
    pandas.DataFrame
        The catalogue as it was before.

    Raises
    ------
    CatalogueError
        A value is no longer what the fix made of it.

    Examples
    --------
    >>> catalogue = pd.DataFrame({"row": [1], "ProductId": [" 007"], "PicName": ["a.jpg"], "CustomContent": ["k:v"]})
    >>> fixed, log = ip.apply_fixes(catalogue, ip.check(catalogue))
    >>> ip.undo_fixes(fixed, log)["ProductId"].tolist()
    [' 007']
    """
    result = fixed.copy(deep=False)
    # Last change first: two rules may have changed one cell.
    for change in reversed(log.to_dict("records")):
        name, position, before, after = str(change["field"]), int(change["position"]), change["before"], change["after"]
        column = result[name].copy()
        now = column.iloc[position]
        if not (now == after or (pd.isna(now) and pd.isna(after))):
            raise CatalogueError(
                f"row {change['row']}, {name} {now!r}: is not what the fix made of it ({after!r}); "
                "undo the fixes on the catalogue that apply_fixes returned"
            )
        column.iloc[position] = before
        result[name] = column
    return result


def _written(column: pd.Series[Any], positions: np.ndarray[Any, Any], values: pd.Series[str]) -> pd.Series[Any]:
    result = column.copy()
    result.iloc[positions] = values.to_numpy()
    return result


def _positions(catalogue: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    """Findings with the position of their row: by line, or by row, ProductId and PicName together."""
    keys = pd.DataFrame({"position": range(len(catalogue))})
    if "line" in catalogue.columns:
        on = ["line"]
        keys["line"] = catalogue["line"].astype("Int64").to_numpy()
    else:
        on = ["row", "ProductId", "PicName"]
        keys["row"] = (
            catalogue["row"].astype("Int64").to_numpy() if "row" in catalogue.columns else keys["position"] + 1
        )
        for name in on[1:]:
            keys[name] = catalogue[name].astype("str").to_numpy() if name in catalogue.columns else pd.NA
    keys = keys.astype({name: "Int64" if name in ("row", "line") else "str" for name in on})
    return findings[["rule", *on]].merge(keys, on=on, how="inner")
