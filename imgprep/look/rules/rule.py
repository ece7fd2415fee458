"""Define a rule, and turn rules into findings.

A rule is data: its scope, a vectorised test, and message templates. All tests run over whole columns in one pass;
messages are built only for the rows that fail.
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import polars as pl

from imgprep.core.fields import FIELD_NAMES, Service
from imgprep.core.findings import FINDING_COLUMNS, QUOTE_CHARS, VALUE_CHARS, Basis, Severity
from imgprep.core.regions import EDGES, reordered
from imgprep.core.text import counted
from imgprep.look.rules.sheet import Sheet

Test: TypeAlias = Callable[[Sheet], pl.Expr]
Change: TypeAlias = Callable[[pl.Expr], pl.Expr]

#: Longest reason quoted in a message, in characters.
REASON_CHARS = 400
#: Source → basis of a rule that states none; all other sources count as documentation.
_BASIS = {"own": Basis.UNKNOWN, "secondary": Basis.WEAK}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule about rows: an entry in RULES in the module for its subject.

    A rule has a `test` for each row, or `find` or `note` instead.
    """

    id: str  #: stable, kebab-case
    field: str = ""  #: the field the rule is about; empty if it is about the row or its image
    severity: Severity = Severity.ERROR
    by_service: Mapping[Service, Severity] = dataclasses.field(default_factory=dict)  #: if the severity differs
    #: Where the rule is stated: ``guide`` (batch operations), ``api`` (AddImage), ``limits`` (image limits), ``oss``,
    #: ``secondary`` (one source other than the vendor), ``own`` (documented nowhere).
    source: str
    basis: Basis = None  # type: ignore[assignment]  #: how certain the rule is; by default implied by the source
    what: str  #: what is wrong, in one line; by default also the message, with the value after the field's name
    message: str = ""  #: template over columns of the sheet, ``{CategoryId}``, and limits, ``{limit:side_min}``
    remedy: str  #: template, like `message`
    scope: Literal["all", "add", "delete", "picture"] = "all"  #: rows to check; picture: ADDs whose image exists
    needs: Literal["", "facts", "regions", "files"] = ""  #: table that the rule cannot run without
    among: str = ""  #: column whose plain values cannot fail the test, so only the others are tested (see `Sheet.odd`)
    test: Test | None = None  #: true for rows that fail
    confirm: Test | None = None  #: a slower test, run only on rows that fail `test`
    find: Callable[[Sheet], pl.DataFrame] | None = None  #: returns ``_i`` of failing rows and template columns
    note: Callable[[Sheet], tuple[int, str]] | None = None  #: a count, and the message for one finding without a row
    value: str = ""  #: column shown as the value; by default the field
    fix: Change | None = None  #: field text → corrected text, or null to omit it; mechanical fixes only
    where_url: str = ""  #: the remedy if the row has the URL of its image
    per: str = ""  #: sheet column: unless an error, the rule makes one finding for all failing rows with the same value
    also: tuple[Rule, ...] = ()  #: the same rule, with the same id, for further fields
    by_file: bool = False  #: the fix is a file name, known only with `files`
    prepared: bool = False  #: `prepare_images` corrects it in its copies
    refuses: bool = False  #: the service is expected to refuse a failing line
    unwritable: bool = False  #: a failing row cannot be written as a line, regardless of its severity

    def __post_init__(self) -> None:
        if not self.basis:
            object.__setattr__(self, "basis", _BASIS.get(self.source, Basis.DOCUMENTED))
        if not self.message:
            named, rest = self.what.startswith(f"{self.field} "), self.what.removeprefix(f"{self.field} ")
            quoted = named and not rest.startswith("is missing")  # there is no value to quote then
            object.__setattr__(self, "message", f'{self.field} "{{{self.field}}}" {rest}' if quoted else self.what)

    @property
    def parts(self) -> tuple[Rule, ...]:
        """One rule for each field."""
        return (self, *self.also)

    @property
    def key(self) -> str:
        """The rule's id and field, which tell apart the parts of a rule about several fields."""
        return f"{self.id} {self.field}"

    def severity_for(self, service: Service) -> Severity:
        """Return the severity for an instance of type `service`."""
        return self.by_service.get(service, self.severity)

    def failing(self, sheet: Sheet) -> pl.Expr:
        """Return the test, limited to the rows in scope."""
        assert self.test is not None  # noqa: S101  the caller selects rules with a test
        scope = sheet.scopes[self.scope]
        return self.test(sheet) if scope is None else scope & self.test(sheet)


def run_rules(
    sheet: Sheet, rules: Sequence[Rule], severities: Mapping[str, str]
) -> tuple[pl.DataFrame, list[dict[str, object]]]:
    """Return the findings of `rules`, and a record for each rule: whether it ran, and on how many rows."""
    skipped = {
        rule.id: "off" if severities[rule.id] == "off" else f"no {rule.needs}"
        for rule in rules
        if severities[rule.id] == "off" or not sheet.has(rule.needs)
    }
    ready = [part for rule in rules if rule.id not in skipped for part in rule.parts]
    suspects = {among: _suspects(sheet, ready, among) for among in {rule.among for rule in ready}}
    parts: list[pl.DataFrame] = []
    ran: list[dict[str, object]] = []
    for place, rule in enumerate(rules):
        severity, count, why = severities[rule.id], 0, skipped.get(rule.id)
        if why is None and rule.note is not None:
            count, message = rule.note(sheet)
            if count:
                parts.append(_note(rule, severity, message, place))
        elif why is None:
            failing = [(part, _failing(part, sheet, suspects)) for part in rule.parts]
            count = sum(rows.height for _, rows in failing)
            if rule.per and count and severity != Severity.ERROR:
                failing = [(part, rows.unique(rule.per, keep="first", maintain_order=True)) for part, rows in failing]
                failing = [(part, rows.filter("first") if "first" in rows.columns else rows) for part, rows in failing]
            if severity == Severity.INFO and count > sheet.limits["info_rows"]:
                parts.append(_note(rule, severity, _many_rows(rule, count), place))
            else:
                parts += [_findings(part, sheet, rows, severity, place) for part, rows in failing if rows.height]
        rows = 0 if why else sheet.counts[rule.scope]
        ran.append({"rule": rule.id, "rows": rows, "findings": count, "why": why})
    if not parts:
        return pl.DataFrame(schema=_SCHEMA), ran
    found = pl.concat(parts).sort("_i", "_place", maintain_order=True)
    return found.select(_SCHEMA.keys()), ran


def _many_rows(rule: Rule, count: int) -> str:
    return f"{counted(count, 'row')}: {rule.what}"


_SCHEMA: dict[str, pl.DataType] = {
    name: {"str": pl.String(), "Int64": pl.Int64(), "boolean": pl.Boolean()}[dtype]
    for name, dtype in FINDING_COLUMNS.items()
}


def _suspects(sheet: Sheet, rules: Sequence[Rule], among: str) -> pl.DataFrame:
    """Return the rows that fail at least one test, usually few, with a column per test, in one pass."""
    tests = {rule.key: rule.failing(sheet) for rule in rules if rule.test is not None and rule.among == among}
    rows = sheet.odd[among] if among else sheet.rows
    return rows.lazy().with_columns(**tests).filter(pl.any_horizontal(pl.lit(value=False), *tests)).collect()


def _failing(rule: Rule, sheet: Sheet, suspects: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    if rule.find is not None:
        found = rule.find(sheet)
        return found.join(sheet.rows, on="_i", how="inner", maintain_order="left") if found.height else found
    failing = suspects[rule.among].filter(pl.col(rule.key))
    if rule.confirm is not None and failing.height:
        failing = failing.filter(rule.confirm(sheet))
    return failing.with_columns(_derived(rule, sheet)) if failing.height else failing


def _derived(rule: Rule, sheet: Sheet) -> list[pl.Expr]:
    """Return columns that only messages need, such as sizes in words and whether a swapped region would fit."""
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
            .then(pl.lit("is not among the inspected images"))
            .otherwise(pl.concat_str(pl.lit("is missing"), _near_file()))
            .alias("absent"),
            pl.coalesce("i_detail", "i_problem", pl.lit("it cannot be decoded")).alias("why"),
        ]
    return columns


def _near_file() -> pl.Expr:
    """Return an expression that names the file that exists instead, and how its name differs."""
    quoted, others = cut(pl.col("f_file"), QUOTE_CHARS), cut(pl.col("f_others"), 2 * QUOTE_CHARS)
    one = pl.concat_str(pl.lit('; "'), quoted, pl.lit('" exists and differs in '), "f_how")
    several = pl.concat_str(pl.lit("; it may be "), others)
    return pl.when(pl.col("f_file").is_not_null()).then(one).otherwise(several).fill_null("")


def note_of_rows(rule: Rule, count: int) -> pl.DataFrame:
    """Return the one finding of severity info that stands for many rows."""
    return _note(rule, Severity.INFO, _many_rows(rule, count), 0).select(_SCHEMA.keys())


def _note(rule: Rule, severity: str, message: str, place: int) -> pl.DataFrame:
    """Return one finding without a row."""
    texts = {
        "rule": rule.id,
        "severity": str(severity),
        "basis": rule.basis.value,
        "field": rule.field or None,
        "message": message,
        "fix": plain(rule.remedy),
    }
    record = {name: texts.get(name) for name in _SCHEMA} | {"fixable": False}
    note = pl.DataFrame([record], schema=_SCHEMA)
    return note.select(pl.lit(None, pl.UInt32).alias("_i"), pl.lit(place, pl.Int32).alias("_place"), *_SCHEMA)


def _findings(rule: Rule, sheet: Sheet, failing: pl.DataFrame, severity: str, place: int) -> pl.DataFrame:
    column = rule.value or rule.field
    value = pl.col(column).cast(pl.String) if column else pl.lit(None, pl.String)
    remedy = _filled(rule.remedy, sheet.limits)
    if rule.where_url:
        remedy = pl.when(pl.col("url").is_not_null()).then(pl.lit(rule.where_url)).otherwise(remedy)
    fixable = pl.lit(value=False)
    if rule.fix is not None:
        fixed = rule.fix(pl.col(rule.field))
        fixable = fixed.ne_missing(pl.col(rule.field))
        written = pl.concat_str(pl.lit('use "'), cut(fixed, QUOTE_CHARS), pl.lit('"'))
        proposal = pl.when(fixed.is_null()).then(pl.lit("leave it out")).otherwise(written)
        remedy = pl.when(fixable).then(proposal).otherwise(remedy)
    return failing.select(
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
        _filled(rule.message, sheet.limits).alias("message"),
        remedy.alias("fix"),
        fixable.fill_null(value=False).alias("fixable"),
    )


def plain(template: str) -> str:
    """Return a template as readable text with its placeholders intact."""
    return template.replace("{{", "{").replace("}}", "}")


def cut(text: pl.Expr, chars: int) -> pl.Expr:
    """Return `text` cut to `chars` characters, plus an ellipsis if it was longer."""
    return pl.when(text.str.len_chars() > chars).then(text.str.head(chars) + "…").otherwise(text)


def row_label() -> pl.Expr:
    """Return an expression for a label such as "line 3" or "row 3"."""
    return pl.coalesce(pl.lit("line ") + pl.col("line").cast(pl.String), pl.lit("row ") + pl.col("row").cast(pl.String))


#: Columns of counts and sizes, whose digits are grouped, as are those of limits except limits on values.
_SIZES = ("i_bytes", "bytes", "chars", "i_frames", "i_width", "i_height", "width", "height")


def _filled(template: str, limits: Mapping[str, float]) -> pl.Expr:
    """Return an expression that fills in `template` from columns and limits."""
    parts: list[pl.Expr] = []
    for literal, name, spec, _ in string.Formatter().parse(template):
        if literal:
            parts.append(pl.lit(literal))
        if name == "limit":
            limit = limits[spec or ""]
            grouped = "" if spec in ("int_attr_min", "int_attr_max") else ","
            parts.append(pl.lit(f"{limit:{grouped}.0f}" if limit == int(limit) else f"{limit:g}"))
        elif name in _SIZES:
            parts.append(number_text(pl.col(name)).fill_null("?"))
        elif name is not None:
            # A value may be quoted in part, but a reason must be readable to the end.
            chars = QUOTE_CHARS if name in (*FIELD_NAMES, "name") else REASON_CHARS
            parts.append(cut(pl.col(name).cast(pl.String), chars).fill_null("?"))
    return pl.concat_str(parts) if parts else pl.lit("")


def number_text(count: pl.Expr) -> pl.Expr:
    """Return counts as text with thousands separators."""
    backwards = count.cast(pl.Int64, strict=False).cast(pl.String).str.reverse()
    return backwards.str.replace_all(r"\d{3}", "${0},").str.strip_suffix(",").str.reverse()
