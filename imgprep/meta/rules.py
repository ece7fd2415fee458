"""The codec's rules: problems in an increment.meta, each with its source, and the tests for values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from imgprep.core.errors import RegionError
from imgprep.core.fields import FIELDS, Operation
from imgprep.core.findings import QUOTE_CHARS, VALUE_CHARS, Basis, Severity
from imgprep.core.regions import Region, wire_edges


@dataclass(frozen=True, slots=True)
class MetaRule:
    """A problem with one line, or with the whole file."""

    id: str  #: stable, starts with ``meta-``
    severity: Severity  #: an ``error`` makes `loads_meta` raise
    basis: Basis
    #: ``guide`` (the vendor's page on batch operations), ``api`` (the reference of AddImage), ``json`` (RFC 8259), or
    #: ``own`` (undocumented; imgprep errs on the safe side).
    source: str
    what: str  #: one-line description for the docs
    remedy: str


_DOC = Severity.ERROR, Basis.DOCUMENTED
_WEAK = Severity.ERROR, Basis.WEAK
_UNKNOWN = Severity.ERROR, Basis.UNKNOWN

META_RULES: tuple[MetaRule, ...] = (
    MetaRule("meta-bom", *_UNKNOWN, "own", "the file starts with a byte order mark", "save it as UTF-8 without BOM"),
    MetaRule("meta-crlf", *_UNKNOWN, "own", "lines end with CR LF, or contain a lone CR", "end lines with LF"),
    MetaRule("meta-blank-line", *_UNKNOWN, "own", "a line is blank", "remove the line"),
    MetaRule("meta-utf16", *_DOC, "json", "the file is UTF-16 or UTF-32", "save it as UTF-8 without BOM"),
    MetaRule("meta-not-utf8", *_DOC, "json", "a line contains bytes that are not UTF-8", "save the file as UTF-8"),
    MetaRule("meta-not-unicode", *_DOC, "json", "a string contains a lone surrogate", "write the character itself"),
    MetaRule(
        "meta-annotation",
        Severity.INFO,
        Basis.UNKNOWN,
        "own",
        "a line states the outcome of the line above it, as `annotate_manifest` writes it",
        "remove such lines before sending",
    ),
    MetaRule("meta-truncated", *_DOC, "json", "the last line is truncated", "write the whole file again"),
    MetaRule("meta-not-json", *_DOC, "guide", "a line is not JSON", "write one JSON object on the line"),
    MetaRule(
        "meta-not-object", *_DOC, "guide", "a line is JSON, but not an object", "write one object per line, not a list"
    ),
    MetaRule("meta-two-objects", *_DOC, "guide", "a line contains several objects", "write one object per line"),
    MetaRule(
        "meta-legacy-form",
        *_WEAK,
        "api",
        "a line is in the service's old form (operator, item_id, pic_list)",
        "operator → OperationType, item_id → ProductId, cat_id → CategoryId, int_attr → IntAttr, str_attr → StrAttr, "
        "cust_content → CustomContent, and one line with a PicName for each name in pic_list",
    ),
    MetaRule(
        "meta-repeated-key", *_DOC, "json", "a field appears twice in a line; the effect is undefined", "keep one"
    ),
    MetaRule("meta-unknown-field", *_DOC, "guide", "a key is not the name of a field", "correct it, or remove it"),
    MetaRule(
        "meta-wrong-type",
        *_DOC,
        "guide",
        "a value does not have the field's type",
        "use the field's JSON type; leave out an absent field",
    ),
    MetaRule("meta-not-a-number", *_DOC, "json", "NaN or Infinity, which JSON does not allow", "leave the field out"),
    MetaRule(
        "meta-operation", *_DOC, "guide", "OperationType is neither ADD nor DELETE", "use ADD or DELETE, in capitals"
    ),
    MetaRule("meta-missing-field", *_DOC, "guide", "a required field is missing", "add it, or remove the line"),
    MetaRule(
        "meta-empty-name",
        *_UNKNOWN,
        "own",
        "ProductId or PicName is an empty string; on a DELETE, an empty PicName may delete the whole product",
        "write the name; to delete a whole product, leave PicName out",
    ),
    MetaRule(
        "meta-no-custom-content",
        Severity.WARNING,
        Basis.WEAK,
        "guide; api",
        "an ADD has no CustomContent: the guide requires it, but the AddImage reference calls it optional",
        "add it",
    ),
    MetaRule(
        "meta-empty-text",
        Severity.WARNING,
        Basis.UNKNOWN,
        "own",
        "an optional string is empty; whether that counts as present is undocumented",
        "leave the field out",
    ),
    MetaRule("meta-too-long", *_DOC, "guide; api", "a string is too long for its field", "shorten it"),
    MetaRule("meta-out-of-range", *_WEAK, "api", "an integer is outside its field's range", "correct the number"),
    MetaRule(
        "meta-two-names",
        *_DOC,
        "guide",
        "PicName contains several names; a line describes one image",
        "use one line per image",
    ),
    MetaRule(
        "meta-region",
        *_DOC,
        "guide",
        "Region is not a valid region",
        'use four integers x1,x2,y1,y2, such as "20,40,60,80"',
    ),
)

#: `dumps_meta` raises on these too: the line would change its meaning, or could not be written. The other errors are
#: in lines that can be written but that the service is expected to refuse.
UNWRITABLE = frozenset(
    {"meta-not-unicode", "meta-repeated-key", "meta-unknown-field", "meta-wrong-type", "meta-operation"}
    | {"meta-missing-field", "meta-empty-name"}
)
RULE: dict[str, MetaRule] = {rule.id: rule for rule in META_RULES}


def record(rule_id: str, text: str, **columns: Any) -> dict[str, Any]:
    """Return one finding as a record for `findings_frame`."""
    rule = RULE[rule_id]
    line, field, value = columns.get("line"), columns.get("field"), columns.get("value")
    place = [f"line {line}"] if line is not None else []
    if field:
        place.append(f"{field} {quoted(value)}" if value is not None else str(field))
    if value is not None:
        columns["value"] = cut(str(value), VALUE_CHARS)
    return {
        "rule": rule.id,
        "severity": rule.severity.value,
        "basis": rule.basis.value,
        "message": f"{', '.join(place)}: {text}" if place else text,
        "fix": rule.remedy,
        **columns,
    }


def cut(text: str, chars: int) -> str:
    """Return `text`, cut to `chars` characters plus an ellipsis if it is longer."""
    return text if len(text) <= chars else text[:chars] + "…"


def quoted(value: object) -> str:
    """Return a value for a message: short, on one line, in quotes."""
    return '"' + cut(str(value), QUOTE_CHARS).replace("\n", "\\n").replace("\r", "\\r") + '"'


def summary(records: Sequence[Mapping[str, Any]], what: str) -> str:
    """Return the MetaError message for `records`: the first three problems and the total number."""
    shown = "; ".join(str(item["message"]) for item in records[:3])
    more = f"; and {len(records) - 3} more (all in .findings)" if len(records) > 3 else ""
    return f"{what}: {shown}{more}"


#: Two file names: an image extension, a separator and another image extension.
_EXTENSION = r"\.(?:jpe?g|png|bmp|gif|webp|tiff?|ppm)"
_TWO_NAMES = rf"(?i){_EXTENSION}\s*[,;|]\s*.*{_EXTENSION}"
#: A region string with readable numbers; their order is tested separately.
_REGION = r"^[0-9]{1,10},[0-9]{1,10},[0-9]{1,10},[0-9]{1,10}$"

_Text = Callable[[dict[str, Any]], str]


def content_findings(frame: pl.DataFrame, *, unwritable: bool = False) -> list[dict[str, Any]]:
    """Return findings about the values in `frame`."""
    if not frame.height:
        return []
    tests = [test for test in _tests() if test[0] in UNWRITABLE or not unwritable]
    masks = frame.lazy().select(**{str(i): test for i, (_, _, test, _) in enumerate(tests)}).collect()
    hits = masks.select(pl.all().any()).row(0)
    found: list[dict[str, Any]] = []
    for i, (rule_id, field, _, text) in enumerate(tests):
        if hits[i]:
            for values in frame.filter(masks[str(i)]).iter_rows(named=True):
                found.append(_record(rule_id, field, text(values), values))
    if not unwritable:
        found += _several_names(frame)
        found += _regions(frame)
    found.sort(key=lambda item: item["line"])
    return found


def _tests() -> list[tuple[str, str, pl.Expr, _Text]]:
    operation = pl.col("OperationType")
    tests: list[tuple[str, str, pl.Expr, _Text]] = [
        (
            "meta-operation",
            "OperationType",
            operation.is_not_null() & ~operation.is_in([item.value for item in Operation]),
            lambda values: f"must be {' or '.join(Operation)}",
        )
    ]
    for field in FIELDS:
        column = pl.col(field.name)
        for wanted in field.required:
            optional_somewhere = field.name == "CustomContent"
            rule = "meta-no-custom-content" if optional_somewhere else "meta-missing-field"
            where = column.is_null() & (operation == wanted)
            if field.required == frozenset(Operation):  # applies even without an operation
                if wanted is not Operation.ADD:
                    continue
                where = column.is_null()
            tests.append((rule, field.name, where.fill_null(value=False), _missing(field.name)))
        if field.kind == "string":
            named = field.name in ("ProductId", "PicName")
            if field.name not in ("OperationType", "Region"):
                rule = "meta-empty-name" if named else "meta-empty-text"
                tests.append((rule, field.name, (column == "").fill_null(value=False), _empty(field.name)))
            if field.max_chars is not None:
                # A string never has more characters than bytes, so the cheap byte count settles nearly every row.
                long = (column.str.len_bytes() > field.max_chars) & (column.str.len_chars() > field.max_chars)
                tests.append(
                    ("meta-too-long", field.name, long.fill_null(value=False), _long(field.name, field.max_chars))
                )
        if field.minimum is not None:
            low, high = field.minimum, field.maximum
            outside = column < low if high is None else ~column.is_between(low, high)
            tests.append(("meta-out-of-range", field.name, outside.fill_null(value=False), _outside(low, high)))
    return tests


def _missing(name: str) -> _Text:
    return lambda values: f"needs {name}" + (f" on {values['OperationType']}" if values["OperationType"] else "")


def _empty(name: str) -> _Text:
    def text(values: dict[str, Any]) -> str:
        if name == "PicName" and values["OperationType"] == Operation.DELETE:
            return "is empty; the service may delete the whole product"
        return "is empty"

    return text


def _long(name: str, limit: int) -> _Text:
    return lambda values: f"allows {limit:,} characters; got {len(values[name]):,}"


def _outside(low: int, high: int | None) -> _Text:
    bounds = f"{low} or more" if high is None else f"{low} to {high}"
    return lambda values: f"must be {bounds}"


def _several_names(frame: pl.DataFrame) -> list[dict[str, Any]]:
    # Hardly any name contains a separator, so the cheap search comes first.
    names = pl.col("PicName")
    given = frame.filter(names.str.contains_any([",", ";", "|"])).filter(names.str.contains(_TWO_NAMES))
    text = "contains more than one name"
    return [_record("meta-two-names", "PicName", text, values) for values in given.iter_rows(named=True)]


def _regions(frame: pl.DataFrame) -> list[dict[str, Any]]:
    if frame["Region"].null_count() == frame.height:
        return []
    edges = wire_edges(pl.col("Region"))
    legal = pl.col("Region").str.contains(_REGION) & (edges["x1"] < edges["x2"]) & (edges["y1"] < edges["y2"])
    sound = frame.lazy().select(legal).collect(engine="streaming").to_series()
    found = []
    given = frame.filter(~sound.fill_null(value=False)).filter(pl.col("Region").is_not_null())
    for values in given.iter_rows(named=True):
        try:
            Region.from_wire(values["Region"])
        except RegionError as error:
            found.append(_record("meta-region", "Region", str(error).partition(": ")[2], values))
    return found


def _record(rule_id: str, field: str, text: str, values: dict[str, Any]) -> dict[str, Any]:
    given = {name: values[name] for name in ("line", "row", "ProductId", "PicName") if values.get(name) is not None}
    return record(rule_id, text, field=field, value=values.get(field), **given)
