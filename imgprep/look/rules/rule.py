"""What a rule is, and how rules become findings.

A rule is data: who it concerns, what it says, and a vectorised test. Tests run over whole columns, all of them in one
pass; texts are built for the rows that fail, never for the others.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as made
from typing import Literal

import polars as pl

from imgprep.core.fields import Service
from imgprep.core.findings import FINDING_COLUMNS, Basis, Severity
from imgprep.core.regions import EDGES, reordered
from imgprep.look.rules.sheet import Sheet

#: Longer values are cut in findings; the catalogue has them in full.
VALUE_CHARS = 200
#: Longer values are cut inside messages.
QUOTE_CHARS = 60


def fill(template: str, limits: Mapping[str, float]) -> pl.Expr:
    """Return an expression that fills `template` with columns and thresholds."""
    parts: list[pl.Expr] = []
    for literal, name, spec, _ in string.Formatter().parse(template):
        if literal:
            parts.append(pl.lit(literal))
        if name == "limit":
            limit = limits[spec or ""]
            parts.append(pl.lit(f"{limit:.0f}" if limit == int(limit) else f"{limit:g}"))
        elif name is not None:
            parts.append(cut(pl.col(name).cast(pl.String), QUOTE_CHARS).fill_null("?"))
    return pl.concat_str(parts) if parts else pl.lit("")


def cut(text: pl.Expr, chars: int) -> pl.Expr:
    """Return `text` with no more than `chars` characters, and an ellipsis where there were more."""
    return pl.when(text.str.len_chars() > chars).then(text.str.head(chars) + "…").otherwise(text)


def place() -> pl.Expr:
    """Return the expression "line 3" or "row 3"."""
    return pl.coalesce(pl.lit("line ") + pl.col("line").cast(pl.String), pl.lit("row ") + pl.col("row").cast(pl.String))


Scope = Literal["all", "add", "delete", "picture"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule about rows.

    Attributes
    ----------
    id : str
        Stable, kebab-case.
    field : str
        The field it is about; empty where it is about the row or its image.
    severity, basis : Severity, Basis
        How bad, and how sure.
    source : str
        The text it comes from: ``guide`` (batch operations), ``api`` (AddImage), ``limits`` (image limits), ``oss``,
        ``secondary`` (one text that is not the vendor's), ``own`` (nothing documents it).
    what : str
        What is wrong, in one line for the docs.
    message, remedy : str
        Templates over columns of the sheet: ``{CategoryId}``, and over thresholds: ``{limit:side_min}``.
    test : callable
        Sheet → expression that is true where a row fails.
    among : str
        ``ProductId``, ``PicName`` or ``StrAttr``, where a plain text cannot fail the test (see `Sheet`): only the
        others are asked.
    confirm : callable, optional
        A dearer expression, asked only of the rows that `test` found.
    find : callable, optional
        In place of `test`: sheet → frame with ``_i`` of the failing rows and columns for the templates.
    scope : {"all", "add", "delete", "picture"}
        The rows it looks at; ``picture`` is ADD rows whose image exists.
    needs : str
        ``"facts"``, ``"regions"`` or ``"files"``: it cannot run without them.
    value : str
        Column of the sheet to show as the value; the field by default.
    tell : callable, optional
        In place of `test`: sheet → how many, and a text of them: one finding of no row.
    mend : callable, optional
        Expression (the field's text) → expression (the mended text); only for mechanical fixes. It may look at
        ``f_file``, the file that PicName nearly names: then `by_file`.
    by_file : bool
        Whether the fix is known only with the names of the files.
    refuses : bool
        Whether the service is expected to refuse such a line, rather than do something that nobody wants.
    by_service : mapping
        Service type → severity, where it differs.
    """

    id: str
    severity: Severity
    basis: Basis
    source: str
    what: str
    message: str
    remedy: str
    field: str = ""
    test: Callable[[Sheet], pl.Expr] | None = None
    among: Literal["", "ProductId", "PicName", "StrAttr"] = ""
    confirm: Callable[[Sheet], pl.Expr] | None = None
    find: Callable[[Sheet], pl.DataFrame] | None = None
    scope: Scope = "all"
    tell: Callable[[Sheet], tuple[int, str]] | None = None
    needs: Literal["", "facts", "regions", "files"] = ""
    value: str = ""
    mend: Callable[[pl.Expr], pl.Expr] | None = None
    by_file: bool = False
    refuses: bool = False
    by_service: Mapping[Service, Severity] = made(default_factory=dict)

    def severity_for(self, service: Service) -> Severity:
        """Return the severity on an instance of type `service`."""
        return self.by_service.get(service, self.severity)


def run_rules(
    sheet: Sheet, rules: Sequence[Rule], severities: Mapping[str, str]
) -> tuple[pl.DataFrame, list[dict[str, object]]]:
    """Run `rules` over `sheet`."""
    ready = [rule for rule in rules if severities[rule.id] != "off" and sheet.has(rule.needs)]
    suspects: dict[str, pl.DataFrame] = {
        among: _suspects(sheet, ready, among) for among in {rule.among for rule in ready}
    }
    parts: list[pl.DataFrame] = []
    ran: list[dict[str, object]] = []
    for place, rule in enumerate(rules):
        why = "off" if severities[rule.id] == "off" else "" if rule in ready else f"no {rule.needs}"
        count = 0
        if not why and rule.tell is not None:
            count, text = rule.tell(sheet)
            if count:
                parts.append(_note(rule, severities[rule.id], text, place))
        elif not why:
            bad = _failing(rule, sheet, suspects)
            count = bad.height
            if severities[rule.id] == Severity.INFO and count > sheet.limits["info_rows"]:
                parts.append(_note(rule, Severity.INFO.value, f"{count:,} rows: {rule.what}", place))
            elif count:
                parts.append(_findings(rule, sheet, bad, severities[rule.id], place))
        ran.append(
            {"rule": rule.id, "rows": 0 if why else sheet.counts[rule.scope], "findings": count, "why": why or None}
        )
    if not parts:
        return pl.DataFrame(schema=_SCHEMA), ran
    found = pl.concat(parts).sort("_i", "_place", maintain_order=True)
    return found.select(_SCHEMA.keys()), ran


_SCHEMA: dict[str, pl.DataType] = {
    name: {"str": pl.String(), "Int64": pl.Int64(), "boolean": pl.Boolean()}[dtype]
    for name, dtype in FINDING_COLUMNS.items()
}


def _note(rule: Rule, severity: str, message: str, place: int) -> pl.DataFrame:
    """One finding, of no row: of files, or in place of thousands that only inform."""
    texts = {
        "rule": rule.id,
        "severity": severity,
        "basis": rule.basis.value,
        "field": rule.field or None,
        "message": message,
        "fix": rule.remedy.replace("{{", "{").replace("}}", "}"),
    }
    row = {name: texts.get(name) for name in _SCHEMA} | {"fixable": False}
    note = pl.DataFrame([row], schema=_SCHEMA)
    return note.select(pl.lit(None, pl.UInt32).alias("_i"), pl.lit(place, pl.Int32).alias("_place"), *_SCHEMA)


def _mask(rule: Rule, sheet: Sheet) -> pl.Expr:
    assert rule.test is not None  # noqa: S101  the caller chose by it
    scope = sheet.scopes[rule.scope]
    return rule.test(sheet) if scope is None else scope & rule.test(sheet)


def _suspects(sheet: Sheet, rules: Sequence[Rule], among: str) -> pl.DataFrame:
    """The rows that fail one of the tests at least, with a column for each test: mostly few, and found in one pass."""
    tests = {rule.id: _mask(rule, sheet) for rule in rules if rule.test is not None and rule.among == among}
    rows = sheet.odd[among] if among else sheet.rows
    return rows.lazy().with_columns(**tests).filter(pl.any_horizontal(pl.lit(value=False), *tests)).collect()


def _failing(rule: Rule, sheet: Sheet, suspects: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    if rule.find is not None:
        found = rule.find(sheet)
        return sheet.rows[found["_i"]].with_columns(found.drop("_i")) if found.height else found
    bad = suspects[rule.among].filter(pl.col(rule.id))
    if rule.confirm is not None and bad.height:
        bad = bad.filter(rule.confirm(sheet))
    return bad.with_columns(_derived(rule, sheet)) if bad.height else bad


def _derived(rule: Rule, sheet: Sheet) -> list[pl.Expr]:
    """Columns that only texts need: sizes in words, and whether another order of a region's numbers would fit."""
    columns = []
    if rule.field:
        columns += [
            pl.col(rule.field).str.len_chars().alias("chars"),
            (pl.col("name").str.len_bytes() + int(sheet.limits["folder_bytes"])).alias("bytes"),
        ]
    other = reordered({name: pl.col(name) for name in EDGES})
    fits = (
        (other["x1"] >= 0)
        & (other["y1"] >= 0)
        & (other["x1"] < other["x2"])
        & (other["y1"] < other["y2"])
        & (other["x2"] <= pl.col("width")).fill_null(value=True)
        & (other["y2"] <= pl.col("height")).fill_null(value=True)
    )
    hint = pl.lit("; read as x1,y1,x2,y2 it would fit, but the order is x1,x2,y1,y2")
    columns.append(pl.when(fits).then(hint).otherwise(pl.lit("")).alias("swap"))
    if sheet.has("facts"):
        columns += [
            (pl.col("i_width").cast(pl.String) + " × " + pl.col("i_height").cast(pl.String)).alias("size"),
            pl.when(pl.col("i_exists").is_null())
            .then(pl.lit("is not among the images that were looked at"))
            .otherwise(pl.concat_str(pl.lit("is not there"), _nearly()))
            .alias("absent"),
            pl.coalesce("i_detail", "i_problem", pl.lit("it does not decode")).alias("why"),
        ]
    return columns


def _nearly() -> pl.Expr:
    """Say which file is there instead, and in what its name differs."""
    quoted, others = cut(pl.col("f_file"), QUOTE_CHARS), cut(pl.col("f_others"), 2 * QUOTE_CHARS)
    one = pl.concat_str(pl.lit(', but "'), quoted, pl.lit('" is, which differs in '), "f_how")
    several = pl.concat_str(pl.lit("; it may be "), others)
    return pl.when(pl.col("f_file").is_not_null()).then(one).otherwise(several).fill_null("")


def _findings(rule: Rule, sheet: Sheet, bad: pl.DataFrame, severity: str, place: int) -> pl.DataFrame:
    shown = rule.value or rule.field
    value = pl.col(shown).cast(pl.String) if shown else pl.lit(None, pl.String)
    fix = fill(rule.remedy, sheet.limits)
    fixable = pl.lit(value=False)
    if rule.mend is not None:
        mended = rule.mend(pl.col(rule.field))
        fixable = mended.ne_missing(pl.col(rule.field))
        say = (
            pl.when(mended.is_null())
            .then(pl.lit("leave it out"))
            .otherwise(pl.concat_str(pl.lit('write "'), cut(mended, QUOTE_CHARS), pl.lit('"')))
        )
        fix = pl.when(fixable).then(say).otherwise(fix)
    return bad.select(
        "_i",
        pl.lit(place, pl.Int32).alias("_place"),
        pl.lit(rule.id).alias("rule"),
        pl.lit(severity).alias("severity"),
        pl.lit(rule.basis.value).alias("basis"),
        pl.col("row").cast(pl.Int64),
        pl.col("line").cast(pl.Int64),
        "ProductId",
        "PicName",
        pl.lit(rule.field or None, pl.String).alias("field"),
        cut(value, VALUE_CHARS).alias("value"),
        fill(rule.message, sheet.limits).alias("message"),
        fix.alias("fix"),
        fixable.fill_null(value=False).alias("fixable"),
    )
