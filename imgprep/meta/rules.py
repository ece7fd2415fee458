"""The codec's rules: what can be wrong with an increment.meta, each with its source, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imgprep.findings import Basis, Severity

#: Longer values are cut in findings.
VALUE_CHARS = 200
#: Longer values are cut inside messages.
QUOTE_CHARS = 60


@dataclass(frozen=True, slots=True)
class MetaRule:
    """One thing that can be wrong with a line, or with the whole file.

    Attributes
    ----------
    id : str
        Stable, starts with ``meta-``.
    severity, basis : Severity, Basis
        How bad, and how sure. An ``error`` makes `loads_meta` raise.
    source : str
        ``guide`` (the vendor's page on batch operations), ``api`` (the reference of AddImage), ``json`` (RFC 8259),
        ``own`` (nothing documents it; imgprep takes the careful side).
    what : str
        What is wrong, in one line for the docs.
    remedy : str
        What to do about it.
    unwritable : bool
        `dumps_meta` refuses it too: the line would mean something else, or could not be written at all. The other
        errors are lines that can be written and that the service is expected to refuse.
    """

    id: str
    severity: Severity
    basis: Basis
    source: str
    what: str
    remedy: str
    unwritable: bool = False


_E, _W = Severity.ERROR, Severity.WARNING
_DOC, _WEAK, _UNKNOWN = Basis.DOCUMENTED, Basis.WEAK, Basis.UNKNOWN

META_RULES: tuple[MetaRule, ...] = (
    MetaRule("meta-bom", _E, _UNKNOWN, "own", "the file starts with a byte order mark", "save it as UTF-8 without BOM"),
    MetaRule("meta-crlf", _E, _UNKNOWN, "own", "lines end with CR LF, or a CR stands alone", "end lines with LF"),
    MetaRule("meta-blank-line", _E, _UNKNOWN, "own", "a line is blank", "take the line out"),
    MetaRule("meta-utf16", _E, _DOC, "json", "the file is UTF-16 or UTF-32", "save it as UTF-8 without BOM"),
    MetaRule("meta-not-utf8", _E, _DOC, "json", "a line holds bytes that are no UTF-8", "save the file as UTF-8"),
    MetaRule(
        "meta-not-unicode",
        _E,
        _DOC,
        "json",
        "a text holds half of a surrogate pair, which no UTF-8 file can hold",
        "write the character itself",
        unwritable=True,
    ),
    MetaRule(
        "meta-annotation",
        Severity.INFO,
        _UNKNOWN,
        "own",
        "a line tells what became of the line above it, as `annotate_manifest` writes it",
        "take such lines out before sending",
    ),
    MetaRule("meta-truncated", _E, _DOC, "json", "the last line breaks off", "write the file again, to its end"),
    MetaRule("meta-not-json", _E, _DOC, "guide", "a line is no JSON", "write one JSON object on the line"),
    MetaRule(
        "meta-not-object",
        _E,
        _DOC,
        "guide",
        "a line is JSON, but no object",
        "write one object a line, without a list around them",
    ),
    MetaRule("meta-two-objects", _E, _DOC, "guide", "a line holds more than one object", "one object a line"),
    MetaRule(
        "meta-legacy-form",
        _E,
        _WEAK,
        "api",
        "a line is in the service's old form (operator, item_id, pic_list)",
        "operator → OperationType, item_id → ProductId, cat_id → CategoryId, cust_content → CustomContent, and one "
        "line with a PicName for each name in pic_list",
    ),
    MetaRule(
        "meta-repeated-key",
        _E,
        _DOC,
        "json",
        "a line gives a field twice; which one counts is undefined",
        "keep one of them",
        unwritable=True,
    ),
    MetaRule(
        "meta-unknown-field",
        _E,
        _DOC,
        "guide",
        "a line has a field that the guide does not know",
        "correct its name, or take it out",
        unwritable=True,
    ),
    MetaRule(
        "meta-wrong-type",
        _E,
        _DOC,
        "guide",
        "a value has another type than the field",
        "write the field's own JSON type; leave an absent field out",
        unwritable=True,
    ),
    MetaRule("meta-not-a-number", _E, _DOC, "json", "NaN or Infinity, which JSON does not have", "leave the field out"),
    MetaRule(
        "meta-operation",
        _E,
        _DOC,
        "guide",
        "OperationType is neither ADD nor DELETE",
        "write ADD or DELETE, in capitals",
        unwritable=True,
    ),
    MetaRule(
        "meta-missing-field",
        _E,
        _DOC,
        "guide",
        "a line lacks a field that its operation needs",
        "give it, or take the line out",
        unwritable=True,
    ),
    MetaRule(
        "meta-empty-name",
        _E,
        _UNKNOWN,
        "own",
        "ProductId or PicName is an empty text; on a DELETE, an empty PicName may delete the whole product",
        "give the name; to delete a whole product, leave PicName out",
        unwritable=True,
    ),
    MetaRule(
        "meta-no-custom-content",
        _W,
        _WEAK,
        "guide; api",
        "an ADD has no CustomContent: the guide requires it, the reference of AddImage calls it optional",
        "give it",
    ),
    MetaRule(
        "meta-empty-text",
        _W,
        _UNKNOWN,
        "own",
        "an optional text is empty; nobody says whether that counts as there",
        "leave the field out",
    ),
    MetaRule("meta-too-long", _E, _DOC, "guide; api", "a text is longer than its field takes", "shorten it"),
    MetaRule("meta-out-of-range", _E, _WEAK, "api", "an integer is outside its field's range", "correct the number"),
    MetaRule(
        "meta-two-names",
        _E,
        _DOC,
        "guide",
        "PicName holds more than one name; a line has at most one image",
        "one line for each image",
    ),
    MetaRule(
        "meta-region",
        _E,
        _DOC,
        "guide",
        "Region is not the text of a region",
        'write x1,x2,y1,y2 as four integers, such as "20,40,60,80"',
    ),
)

RULE: dict[str, MetaRule] = {rule.id: rule for rule in META_RULES}


def record(rule_id: str, say: str, **columns: Any) -> dict[str, Any]:
    """Return one finding as a record for `imgprep.findings.findings_frame`.

    Parameters
    ----------
    rule_id : str
        Id of a rule in `META_RULES`.
    say : str
        The message after the place: what is needed, and what was found.
    **columns
        ``line``, ``row``, ``field``, ``value``, ``ProductId``, ``PicName``; whatever is known.
    """
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
        "message": f"{', '.join(place)}: {say}" if place else say,
        "fix": rule.remedy,
        **columns,
    }


def cut(text: str, chars: int) -> str:
    """Return `text`, shortened to `chars` characters with a mark that it was."""
    return text if len(text) <= chars else text[:chars] + "…"


def quoted(value: object) -> str:
    """Return a value as messages show it: one short line in quotes."""
    return '"' + cut(str(value), QUOTE_CHARS).replace("\n", "\\n").replace("\r", "\\r") + '"'


def said(records: Sequence[Mapping[str, Any]], what: str) -> str:
    """Return the message of a MetaError about `records`: the first three, and how many there are."""
    shown = "; ".join(str(item["message"]) for item in records[:3])
    more = f"; and {len(records) - 3} more (all in .findings)" if len(records) > 3 else ""
    return f"{what}: {shown}{more}"
