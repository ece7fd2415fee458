"""The rule book: all rules in their order, and the check that runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.fields import Service
from imgprep.core.findings import Severity
from imgprep.core.frames import attach, to_pandas, to_polars
from imgprep.look.rules import batch, names, rows
from imgprep.look.rules import images as pictures
from imgprep.look.rules import regions as areas
from imgprep.look.rules.limits import limits_for, nearest, service_type
from imgprep.look.rules.rule import Rule, place, run_rules
from imgprep.look.rules.sheet import Sheet, make_sheet

#: How many examples a summary shows for a rule.
EXAMPLES = 3


def summary(findings: pd.DataFrame, *, rows: int | None = None) -> pd.DataFrame:
    """Count findings by rule.

    Parameters
    ----------
    findings : pandas.DataFrame
        From `check`.
    rows : int, optional
        How many rows the share is of; by default what the rule looked at, as `check` noted it.

    Returns
    -------
    pandas.DataFrame
        ``rule``, ``severity``, ``count`` (findings), ``rows`` (distinct rows or lines), ``share`` (of the rows
        looked at, 0 … 1, NA where their number is not known), ``examples``; errors first, then by count.

    Examples
    --------
    >>> from imgprep.core.findings import findings_frame
    >>> found = findings_frame([{"rule": "r", "severity": "error", "row": 3, "ProductId": "1", "PicName": "a.jpg"}])
    >>> summary(found, rows=4)[["rule", "count", "share", "examples"]].values.tolist()
    [['r', 1, 0.25, 'row 3 1 a.jpg']]
    """
    order = {severity.value: place for place, severity in enumerate(Severity)}
    label = pl.concat_str(
        place(),
        "ProductId",
        "PicName",
        separator=" ",
        ignore_nulls=True,
    )
    table = to_polars(findings, ["rule", "severity", "row", "line", "ProductId", "PicName"])
    counted = table.group_by("rule", "severity", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("count"),
        pl.struct("row", "line").n_unique().cast(pl.Int64).alias("rows"),
        label.head(EXAMPLES).str.join("; ").alias("examples"),
    )
    ran = findings.attrs.get("ran")
    if rows is not None:
        looked = pl.lit(rows)
    elif ran is not None:
        counts = dict(zip(ran["rule"], ran["rows"], strict=True))
        looked = pl.col("rule").replace_strict(counts, default=None, return_dtype=pl.Int64)
    else:
        looked = pl.lit(None, pl.Int64)
    counted = counted.with_columns(
        (pl.col("rows") / looked).cast(pl.Float64).alias("share"),
        pl.col("severity").replace_strict(order, default=len(order), return_dtype=pl.Int64).alias("_order"),
    ).sort("_order", "count", "rule", descending=[False, True, False])
    return to_pandas(counted.select("rule", "severity", "count", "rows", "share", "examples"))


#: Every rule, in the order in which the findings of a row come.
RULES: tuple[Rule, ...] = (*rows.RULES, *names.RULES, *pictures.RULES, *areas.RULES, *batch.RULES)

#: What a shop may set a rule to.
SETTINGS: tuple[str, ...] = (*(severity.value for severity in Severity), "off")


def check(
    catalogue: pd.DataFrame,
    facts: pd.DataFrame | None = None,
    *,
    regions: Any = None,
    prepared: pd.DataFrame | None = None,
    service: str = "product",
    severity: Mapping[str, str] | None = None,
    limits: Mapping[str, float] | None = None,
    files: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Ask every rule of every row, before anything is sent.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        A catalogue (``row``, fields as text) or a batch (``line``, native types). ``OperationType`` may be absent:
        then every row is an ADD.
    facts : pandas.DataFrame, optional
        From `inspect_images`, of the images that will be sent. Without them no rule about images runs.
    regions : RegionStore or pandas.DataFrame, optional
        What was drawn; it wins over ``Region`` and ``Crop`` of the catalogue.
    prepared : pandas.DataFrame, optional
        A prepare log: the images sent are the copies, under their new names, and regions are scaled with them.
        `facts` are then those of the copies.
    service : str
        Service type of the instance: product, generic, furniture, hardware, fabric or trademark.
    severity : mapping of str to str, optional
        Rule id → ``error``, ``warning``, ``info`` or ``off``, where the shop wants another than the rule's own.
    limits : mapping of str to number, optional
        Threshold → value; see `imgprep.look.rules.limits.DEFAULTS`.
    files : pandas.DataFrame, optional
        From `match_names`: where an image is not there, the file that its name nearly is becomes the fix, which
        ``apply_fixes(…, files=files)`` puts in; and files that no row names are told.

    Returns
    -------
    pandas.DataFrame
        A findings frame (`imgprep.core.findings.FINDING_COLUMNS`), by row, then by rule. ``.attrs["ran"]`` is a frame
        of ``rule``, ``rows`` (how many it looked at), ``findings`` and ``why`` (NA, or why it did not run). A rule that
        only informs, and of more than 1,000 rows (limit ``info_rows``), is one finding of no row.

    Raises
    ------
    ConfigError
        An unknown service type, rule, severity or threshold; the message names the nearest.

    Notes
    -----
    Source: the vendor's batch operations guide and image limits; each rule names its own (`rules_table`).

    Examples
    --------
    >>> import pandas as pd
    >>> found = check(pd.DataFrame({"ProductId": ["1"], "PicName": ["/a.jpg"], "CustomContent": ["k:v"]}))
    >>> found[["rule", "fix"]].values.tolist()
    [['category-missing', 'map it where the shop knows better than a prediction'], ['pic-name-slash', 'write "a.jpg"']]
    """
    kind = service_type(service)
    severities_for(kind, severity)  # a wrong name is reported before any work
    sheet = make_sheet(
        catalogue,
        facts,
        regions=regions,
        prepared=prepared,
        service=kind,
        limits=limits_for(kind, limits),
        files=files,
    )
    return check_sheet(sheet, severity)


def check_sheet(sheet: Sheet, severity: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the findings of `check` on a sheet that exists already."""
    found, ran = run_rules(sheet, RULES, severities_for(sheet.service, severity))
    table = pd.DataFrame(ran).astype({"rule": "str", "rows": "Int64", "findings": "Int64", "why": "str"})
    return attach(to_pandas(found), ran=table)


def severities_for(service: Service, own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the severity of every rule for `service`, with the shop's `own` on top."""
    result = {rule.id: rule.severity_for(service).value for rule in RULES}
    for name, value in (own or {}).items():
        if name not in result:
            raise ConfigError(f"severity of rule {name!r}: {nearest(name, result)}")
        if value not in SETTINGS:
            raise ConfigError(f"severity of {name} = {value!r}: {nearest(value, SETTINGS)}")
        result[name] = str(value)
    return result


def rules_table(service: str = "product") -> pd.DataFrame:
    """Return every rule, for the docs and for who wants to set one.

    Parameters
    ----------
    service : str
        Service type whose severities are shown.

    Returns
    -------
    pandas.DataFrame
        ``rule``, ``field``, ``severity``, ``basis``, ``source``, ``what``, ``remedy``, ``looks_at``, ``needs``,
        ``fixable``, ``refused`` (whether the service is expected to refuse such a line).

    Examples
    --------
    >>> table = rules_table().set_index("rule")
    >>> table.loc["image-rotated", "severity"]
    'error'
    """
    kind = service_type(service)
    return pd.DataFrame(
        [
            {
                "rule": rule.id,
                "field": rule.field,
                "severity": rule.severity_for(kind).value,
                "basis": rule.basis.value,
                "source": rule.source,
                "what": rule.what,
                "remedy": rule.remedy.replace("{{", "{").replace("}}", "}"),
                "looks_at": rule.scope,
                "needs": rule.needs,
                "fixable": rule.mend is not None,
                "refused": rule.refuses,
            }
            for rule in RULES
        ]
    )
