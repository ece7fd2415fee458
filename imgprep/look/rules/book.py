"""The rule book: all rules in order, and the check that runs them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.fields import Service
from imgprep.core.findings import Basis, Severity
from imgprep.core.frames import attach, returns_table, to_pandas, to_polars
from imgprep.core.language import Texts
from imgprep.load.left_out import BY_WHERE, SHARED_IMAGE
from imgprep.look.rules import batch, fields, images, regions
from imgprep.look.rules.limits import limits_for, service_type, unknown
from imgprep.look.rules.rule import Rule, note_of_rows, plain, row_label, run_rules
from imgprep.look.rules.sheet import Sheet, make_sheet
from imgprep.meta.rules import META_RULES

#: Every rule, in the order of a row's findings. To add one, add an entry to RULES in the module for its subject.
RULES: tuple[Rule, ...] = (*fields.RULES, *images.RULES, *regions.RULES, *batch.RULES)

#: Values that a shop may set as a rule's severity.
SETTINGS: tuple[str, ...] = (*(severity.value for severity in Severity), "off")

#: Rules that are not about rows, and rules with one finding for all rows that share a file.
_NOTES = [rule.id for rule in RULES if rule.note is not None]
_PER_FILE = [rule.id for rule in RULES if rule.per]
#: Number of examples that a summary shows per rule.
EXAMPLES = 3


@returns_table
def check(
    catalogue: pd.DataFrame,
    facts: pd.DataFrame | None = None,
    *,
    regions: Any = None,
    prepared: pd.DataFrame | None = None,
    service: str = "product",
    severity: Mapping[str, str] | None = None,
    limits: Mapping[str, float] | None = None,
    measured: Collection[str] = (),
    files: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Check every row against the service's rules, before anything is sent.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        A catalogue (``row``, fields as text) or a batch (``line``, native types). Without ``OperationType``, every row
        is an ADD.
    facts : pandas.DataFrame, optional
        From `inspect_images`, for the images that will be sent. Without facts, no rule about images runs.
    regions : RegionStore or pandas.DataFrame, optional
        Drawn regions; these take precedence over ``Region`` and ``Crop`` in the catalogue.
    prepared : pandas.DataFrame, optional
        A prepare log: its copies are sent under their new names, with regions scaled to match. `facts` must then
        describe the copies.
    service : str
        Service type of the instance: product, generic, furniture, hardware, fabric, trademark, copyright or
        multimodal. For any other, one finding warns, and only rules common to all types are checked.
    severity : mapping of str to str, optional
        Rule id → ``error``, ``warning``, ``info`` or ``off``, if the shop's severity differs from the rule's own.
    limits : mapping of str to number, optional
        Limit → value; see `imgprep.look.rules.limits.DEFAULTS`.
    measured : collection of str
        Rules whose severity was measured on the shop's own instance (`calibrate`), which is then their basis.
    files : pandas.DataFrame, optional
        From `match_names`: the fix for a missing image is then the file that its name nearly matches, which
        ``apply_fixes(…, files=files)`` applies, and files that no row names are reported.

    Returns
    -------
    pandas.DataFrame
        A findings frame (`imgprep.core.findings.FINDING_COLUMNS`), sorted by row and rule. ``.attrs["ran"]`` is a frame
        of ``rule``, ``rows`` (number checked), ``findings`` and ``why`` (why it did not run, or NA). A rule with
        severity info that more than 1,000 rows fail (limit ``info_rows``) yields one finding without a row.

    Raises
    ------
    ConfigError
        An unknown rule, severity or limit, or a misspelt service type; the message names the nearest.

    Notes
    -----
    Source: the vendor's batch operations guide and image limits; each rule names its own source (`rules_table`).

    Examples
    --------
    >>> import pandas as pd
    >>> found = check(pd.DataFrame({"ProductId": ["1"], "PicName": ["/a.jpg"], "CustomContent": ["k:v"]}))
    >>> found[["rule", "severity"]].values.tolist()
    [['category-missing', 'info'], ['pic-name-slash', 'error']]
    >>> found["fix"].iloc[1]
    'use "a.jpg"'
    """
    require_rules(service, severity, limits, measured)  # reject wrong names before doing any work
    sheet = make_sheet(
        catalogue, facts, regions=regions, prepared=prepared, service=service, limits=limits, files=files
    )
    return check_sheet(sheet, severity, measured)


def check_sheet(
    sheet: Sheet, severity: Mapping[str, str] | None = None, measured: Collection[str] = ()
) -> pd.DataFrame:
    """Return the findings for a sheet, as `check` does; for callers that also plan from the sheet."""
    found, ran = run_rules(sheet.of_wanted(), RULES, severities_for(sheet.service, severity))
    return attach(to_pandas(_measured(found, measured)), ran=pd.DataFrame(ran).astype(_RAN))


_RAN = {"rule": "str", "rows": "Int64", "findings": "Int64", "why": "str"}


def _measured(found: pl.DataFrame, rules: Collection[str]) -> pl.DataFrame:
    own = pl.when(pl.col("rule").is_in(list(rules))).then(pl.lit(Basis.MEASURED.value)).otherwise("basis")
    return found.with_columns(own.alias("basis")) if rules else found


def merge_findings(
    parts: Iterable[pd.DataFrame], ran: Sequence[pd.DataFrame], info_rows: float, measured: Collection[str] = ()
) -> Iterator[pd.DataFrame]:
    """Yield a catalogue's findings from those of its parts; which ones fold into one depends on all parts."""
    total = merge_ran(ran).set_index("rule")["findings"].to_dict()
    notes, folded = set[str](), set[str]()
    for findings in parts:
        many = findings["severity"].eq(Severity.INFO) & findings["rule"].map(total).gt(info_rows).fillna(False)
        for rule in RULES:
            if rule.note is None and rule.id not in folded and (many & findings["rule"].eq(rule.id)).any():
                folded.add(rule.id)
                yield to_pandas(_measured(note_of_rows(rule, int(total[rule.id])), measured))
        known = findings["rule"].isin(notes)  # a note on the whole catalogue is in each part
        notes |= set(findings.loc[findings["rule"].isin(_NOTES), "rule"])
        yield findings[~(known | (many & ~findings["rule"].isin(_NOTES)))]


def merge_ran(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return which rules ran on a catalogue, from those that ran on its parts; a note on the whole counts once."""
    ran = pd.concat(parts, ignore_index=True)
    found = ran.groupby("rule", sort=False).agg({"rows": "sum", "findings": "sum", "why": "first"}).reset_index()
    once = ran.groupby("rule", sort=False)["findings"].max().reset_index(drop=True)
    return found.assign(findings=found["findings"].mask(found["rule"].isin(_NOTES), once)).astype(_RAN)


def unwritable(sheet: Sheet) -> pl.Expr:
    """Return an expression for the id of the first rule, of any severity, that makes a row unwritable."""
    parts = [part for rule in RULES if rule.unwritable for part in rule.parts]
    # A byte for each rule and row, not a text: few rows fail any.
    first = pl.min_horizontal(
        pl.when(part.failing(sheet)).then(pl.lit(place, pl.UInt8)) for place, part in enumerate(parts)
    )
    return first.replace_strict({place: part.id for place, part in enumerate(parts)}, return_dtype=pl.String)


def severities_for(service: Service, own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the severity of every rule for `service`, overridden by the shop's `own`."""
    result = {rule.id: rule.severity_for(service).value for rule in RULES}
    for name, value in (own or {}).items():
        if name not in result:
            raise ConfigError(f"severity of rule {name!r}: {unknown(name, result)}")
        if value not in SETTINGS:
            raise ConfigError(f"severity of {name} = {value!r}: {unknown(value, SETTINGS)}")
        result[name] = str(value)
    return result


def require_rules(
    service: str = "product",
    severity: Mapping[str, str] | None = None,
    limits: Mapping[str, float] | None = None,
    measured: Collection[str] = (),
) -> None:
    """Raise ConfigError if a service type, rule, severity or limit is misspelt, before any image is opened."""
    kind = service_type(service)
    severities_for(kind, {**dict.fromkeys(measured, Severity.INFO.value), **(severity or {})})
    limits_for(kind, limits)


@returns_table
def rules_table(
    service: str = "product", *, severity: Mapping[str, str] | None = None, measured: Collection[str] = (), **_: Any
) -> pd.DataFrame:
    """Return every rule with its severity, basis, source and remedy; for a project, pass ``**settings.rules``.

    Examples
    --------
    >>> table = rules_table().set_index("rule")
    >>> table.loc["image-rotated", "severity"]
    'error'
    """
    severities = severities_for(service_type(service), severity)
    return pd.DataFrame(
        [
            {
                "rule": rule.id,
                "field": ", ".join(part.field for part in rule.parts),
                "severity": severities[rule.id],
                "basis": (Basis.MEASURED if rule.id in measured else rule.basis).value,
                "source": rule.source,
                "what": rule.what,
                "remedy": plain(rule.remedy),
                "looks_at": rule.scope,
                "needs": rule.needs,
                "fixable": rule.fix is not None,
                "refused": rule.refuses,
            }
            for rule in RULES
        ]
    )


#: Why rows that fail no rule are not sent: id → title.
NOT_SENT = {
    BY_WHERE: "the condition of the catalogue (where) leaves the row out",
    SHARED_IMAGE: "another product with the same image is kept",
    "image-not-prepared": "no service-ready copy of the image could be made",
    "product-key-shared": "several products share the ProductId",
    "quote-left-open": "a quote is left open in the export",
    "record-not-read": "the record of the export could not be read",
    "record-too-few-cells": "the record of the export has fewer cells than its header",
    "record-too-many-cells": "the record of the export has more cells than its header",
}
_TITLES = {rule.id: rule.what for rule in RULES} | {rule.id: rule.what for rule in META_RULES} | NOT_SENT


def title(rule_id: str, t: Texts) -> str:
    """Return a rule's title in the language of `t`; the id of a finding that belongs to no rule, such as a loader's."""
    return t(_TITLES[rule_id]) if rule_id in _TITLES else rule_id


def titles(text: str, t: Texts) -> str:
    """Return the titles of the rules whose ids `text` lists, such as a row's reason; any other text as it is."""
    ids = text.split(", ")
    return t("; ").join(title(rule_id, t) for rule_id in ids) if _TITLES.keys() & ids else text


def named(rule_id: str, t: Texts) -> str:
    """Return a rule's title with its id, by which findings are filtered."""
    return title(rule_id, t) + t(" ({why})", why=rule_id) if rule_id in _TITLES else rule_id


#: Start of a rule's id → what its findings are about. Other rules are about whole rows; findings of other modules, such
#: as the loader's, are about the export.
_SUBJECTS = {
    "product-id": "product ids",
    "category": "categories",
    "int-attr": "attributes",
    "str-attr": "attributes",
    "custom-content": "custom content",
    "pic-name": "image names",
    "key-": "image names",
    "file-": "image names",
    "image-": "images",
    "region": "regions",
    "crop": "regions",
}
_COUNTED = ("error", "warning", "info", "imgprep", "photographer", "shop")


@returns_table
def tally_findings(findings: pd.DataFrame) -> pd.DataFrame:
    """Count findings by what they are about, by severity, and by who can correct them.

    Parameters
    ----------
    findings : pandas.DataFrame
        From `check`, or their `tally_rules`.

    Returns
    -------
    pandas.DataFrame
        ``subject``, ``error``, ``warning``, ``info``, ``imgprep`` (corrected by `prepare_images` or `apply_fixes`),
        ``photographer`` (needs another image), ``shop`` (needs other data); most errors first.

    Examples
    --------
    >>> found = check(pd.DataFrame({"ProductId": ["1", None], "PicName": ["a.jpg", "b.jpg"], "CustomContent": "k:v"}))
    >>> tally_findings(found)[["subject", "error", "info", "shop"]].values.tolist()
    [['product ids', 1, 0, 1], ['categories', 0, 2, 2]]
    """
    counts = findings if "count" in findings.columns else tally_rules(findings)
    rules = {rule.id: rule for rule in RULES}
    rows: dict[str, dict[str, int]] = {}
    for name, severity, count in counts[["rule", "severity", "count"]].itertuples(index=False):
        rule = rules.get(name)
        subject = next((subject for start, subject in _SUBJECTS.items() if name.startswith(start)), "rows")
        who = "photographer" if name.startswith("image-") else "shop"
        if rule is not None and (rule.prepared or (rule.fix is not None and not rule.by_file)):
            who = "imgprep"
        row = rows.setdefault("export" if rule is None else subject, dict.fromkeys(_COUNTED, 0))
        row[severity] += int(count)
        row[who] += int(count)
    table = pd.DataFrame([{"subject": subject, **row} for subject, row in rows.items()], columns=["subject", *_COUNTED])
    return table.sort_values(["error", "warning", "info"], ascending=False, kind="stable", ignore_index=True)


@returns_table
def tally_rules(findings: pd.DataFrame, *, rows: int | None = None) -> pd.DataFrame:
    """Count findings by rule.

    Parameters
    ----------
    findings : pandas.DataFrame
        From `check`.
    rows : int, optional
        Denominator of the share; by default the number of rows that the rule checked.

    Returns
    -------
    pandas.DataFrame
        ``rule``, ``severity``, ``count`` (findings; one that stands for many rows counts as many), ``rows`` (of the
        catalogue, or lines; NA for a finding on the whole export), ``share`` (of the rows checked, 0 to 1, NA if that
        number is unknown or the rule is not about rows), ``examples`` (the message, if no row is named); errors first,
        then by count.

    Examples
    --------
    >>> from imgprep.core.findings import findings_frame
    >>> found = findings_frame([{"rule": "r", "severity": "error", "row": 3, "ProductId": "1", "PicName": "a.jpg"}])
    >>> tally_rules(found, rows=4)[["rule", "count", "share", "examples"]].values.tolist()
    [['r', 1, 0.25, 'row 3 1 a.jpg']]
    """
    order = {severity.value: place for place, severity in enumerate(Severity)}
    label = pl.concat_str(row_label(), "ProductId", "PicName", separator=" ", ignore_nulls=True)
    # A finding on the whole export names no row; its message is what there is to show.
    label = pl.when(label != "").then(label).otherwise("message")
    table = to_polars(findings, ["rule", "severity", "row", "line", "ProductId", "PicName", "message"])
    place = pl.struct("row", "line", "ProductId", "PicName")
    about = pl.any_horizontal(pl.col("row", "line", "ProductId", "PicName").is_not_null())
    counted = table.group_by("rule", "severity", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("count"),
        pl.when(about.any()).then(place.n_unique().cast(pl.Int64)).alias("rows"),
        pl.all_horizontal(pl.col("row", "line").is_null()).all().alias("_folded"),
        label.head(EXAMPLES).str.join("; ").alias("examples"),
    )
    checked = pl.lit(rows)
    if (ran := findings.attrs.get("ran")) is not None:
        counts = to_polars(ran, ["rule", "rows", "findings"]).rename({"rows": "_checked", "findings": "_failing"})
        counted = counted.join(counts, on="rule", how="left", maintain_order="left")
        checked = pl.col("_checked") if rows is None else checked
        # One finding stands for all failing rows if there are many or if they share a file.
        folded = pl.col("_folded") & ~pl.col("rule").is_in(_NOTES) & pl.col("_failing").is_not_null()
        counted = counted.with_columns(
            pl.when(folded).then("_failing").otherwise("count").alias("count"),
            pl.when(folded | pl.col("rule").is_in(_PER_FILE)).then("_failing").otherwise("rows").alias("rows"),
        )
    checked = pl.when(~pl.col("rule").is_in(_NOTES)).then(checked)
    counted = counted.with_columns(
        (pl.col("rows") / checked).cast(pl.Float64).alias("share"),
        pl.col("severity").replace_strict(order, default=len(order), return_dtype=pl.Int64).alias("_order"),
    ).sort("_order", "count", "rule", descending=[False, True, False])
    return to_pandas(counted.select("rule", "severity", "count", "rows", "share", "examples"))
