"""Frames as files for spreadsheets, in which no cell can act."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.files import overwriting

#: What spreadsheets take for the start of a formula, also in full width. Source: OWASP, CSV Injection.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def guarded(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value.lstrip(" \u00a0\u3000").startswith(FORMULA_STARTS):
        return "'" + value
    return value


def export_table(frame: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a frame for a spreadsheet: CSV, TSV or Excel, by the name's ending.

    Texts that a spreadsheet would take for a formula get an apostrophe before them, column names too. CSV is UTF-8
    with a byte order mark, without which Excel reads Chinese text wrong.

    Parameters
    ----------
    frame : pandas.DataFrame
        Any; its index is left out.
    path : path
        Ends with ``.csv``, ``.tsv`` or ``.xlsx``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        Another ending; or a file is there that imgprep did not write, or that was changed since.

    Notes
    -----
    Source: OWASP, "CSV Injection".

    Examples
    --------
    >>> frame = pd.DataFrame({"title": ["=HYPERLINK(1)", "Shirt"]})
    >>> _ = export_table(frame, "rows.csv")
    >>> print(open("rows.csv", encoding="utf-8-sig").read())
    title
    '=HYPERLINK(1)
    Shirt
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in (".csv", ".tsv", ".xlsx"):
        raise ConfigError(f"{target.name}: a table is written as .csv, .tsv or .xlsx; got {ending!r}")
    safe = frame.copy()
    safe.attrs = {}
    for at in range(safe.shape[1]):
        if not pd.api.types.is_numeric_dtype(safe.dtypes.iloc[at]):
            safe.isetitem(at, safe.iloc[:, at].astype(object).map(guarded, na_action="ignore").to_numpy())
    safe.columns = pd.Index([guarded(str(name)) for name in safe.columns], dtype=object)
    with overwriting(target) as draft:
        if ending == ".xlsx":
            # The writer takes texts that start with = for formulas; an apostrophe keeps them texts.
            safe.to_excel(draft, index=False, engine="openpyxl")
        else:
            safe.to_csv(draft, index=False, encoding="utf-8-sig", sep="\t" if ending == ".tsv" else ",")
    return target
