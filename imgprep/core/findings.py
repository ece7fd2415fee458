"""Findings: problems in rows, lines and images, in one format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import pandas as pd

#: Maximum length of a value in the column ``value`` and in messages; longer values are truncated.
VALUE_CHARS, QUOTE_CHARS = 200, 60


class Severity(StrEnum):
    """Effect of a finding on the batch."""

    ERROR = "error"  #: the service would refuse it, or its effect is destructive or undefined
    WARNING = "warning"  #: accepted, but searches suffer or the vendor's pages disagree
    INFO = "info"  #: for information


class Basis(StrEnum):
    """Evidence for the rule behind a finding."""

    DOCUMENTED = "documented"  #: written in the vendor's documentation, or seen in its SDK
    WEAK = "weak"  #: one secondary source, or contradicted by another
    UNKNOWN = "unknown"  #: undocumented
    MEASURED = "measured here"  #: found on the shop's own instance, see `calibrate`


#: Column → dtype of a findings frame; one row per problem found.
FINDING_COLUMNS: dict[str, str] = {
    "rule": "str",
    "severity": "str",
    "basis": "str",
    "row": "Int64",
    "line": "Int64",
    "ProductId": "str",
    "PicName": "str",
    "field": "str",
    "value": "str",
    "message": "str",
    "fix": "str",
    "fixable": "boolean",
}


def findings_frame(records: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
    """Return `records` as a findings frame; a record may omit any column."""
    rows = [{"fixable": False, **record} for record in records]
    frame = pd.DataFrame(rows, columns=list(FINDING_COLUMNS), dtype=object)
    return frame.astype(FINDING_COLUMNS)


def finding(rule: str, severity: str, basis: str, message: str, **where: Any) -> dict[str, Any]:
    """Return one record for `findings_frame`; `where` holds any other columns."""
    unknown = where.keys() - FINDING_COLUMNS.keys()
    if unknown:
        raise TypeError(f"finding() got {', '.join(sorted(unknown))}, which are not columns of a findings frame")
    return {"rule": rule, "severity": severity, "basis": basis, "message": message, **where}
