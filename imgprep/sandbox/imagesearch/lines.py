"""Checks of increment.meta as text: each line becomes a `Line`, parsed or failed.

Based on the guide's table of parameters, the page on filter conditions and the AddImage reference. imgprep's own codec
is not used: if both sides shared code, their agreement would prove nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from imgprep.sandbox.imagesearch.readings import CATEGORIES, OTHERS, Failure, Readings, ServiceType

PRODUCT_ID_LENGTH = PIC_NAME_LENGTH = 256
CUSTOM_CONTENT_LENGTH = 4096
STR_ATTR_LENGTH = 128

_INT_ATTRS = ("IntAttr", "IntAttr2", "IntAttr3", "IntAttr4")
_STR_ATTRS = ("StrAttr", "StrAttr2", "StrAttr3", "StrAttr4")
_KNOWN = (
    *("OperationType", "ProductId", "PicName", "CategoryId", "CustomContent", "Crop", "Region"),
    *_INT_ATTRS,
    *_STR_ATTRS,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNWANTED = re.compile(r"[\\¥$&%]")
_REGION = re.compile(r"(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})", re.ASCII)
#: Valid extension; in "Dress No. 5", for example, the text after the last dot is not one.
_EXTENSION = re.compile(r"[^ \\]+ *")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of increment.meta; `number` counts from 1.

    Strings are empty if the line lacks them; an empty pic name on a DELETE means the whole product. `fields` holds the
    fields that the gallery stores for an ADD; `region` is ``(x1, y1, x2, y2)`` in pixels from the top left, or None if
    there is no region or it is ignored.
    """

    number: int
    operation: str = ""
    product_id: str = ""
    pic_name: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    region: tuple[int, int, int, int] | None = None
    failure: Failure | None = None


class _Refused(Exception):
    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.failure = Failure(code, detail)


def read_lines(meta: bytes, service: ServiceType, readings: Readings) -> Iterator[Line]:
    """Yield every line of `meta` in order; blank lines are included only under the strict reading."""
    if meta.startswith(_BOM) and not readings.strict("bom"):
        meta = meta[len(_BOM) :]
    raw_lines = meta.split(b"\n")
    if raw_lines and not raw_lines[-1]:
        raw_lines.pop()
    for number, raw in enumerate(raw_lines, 1):
        if raw.strip() or readings.strict("blank_line"):
            yield judge_line(number, raw, service, readings)


def judge_line(number: int, raw: bytes, service: ServiceType, readings: Readings) -> Line:
    """Check the text of one line, without its image."""
    try:
        record = _record(raw, readings)
    except _Refused as refused:
        return Line(number, failure=refused.failure)
    names = [record.get(name) for name in ("OperationType", "ProductId", "PicName")]
    operation, product_id, pic_name = (name if isinstance(name, str) else "" for name in names)
    try:
        fields, region = _judge(record, service, readings)
    except _Refused as refused:
        return Line(number, operation, product_id, pic_name, failure=refused.failure)
    return Line(number, operation, product_id, pic_name, fields, region)


def _record(raw: bytes, readings: Readings) -> dict[str, Any]:
    if readings.strict("crlf") and raw.endswith(b"\r"):
        raise _Refused("InvalidMetaItem", "A carriage return ends it.")
    repeated: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            repeated.extend(name for name, _ in items)
        return found

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        record = json.loads(raw.decode("utf-8"), object_pairs_hook=pairs, parse_constant=refuse)
    except UnicodeDecodeError:
        raise _Refused("InvalidMetaItem", "It is not UTF-8.") from None
    except (ValueError, RecursionError):
        raise _Refused("InvalidMetaItem", "It is not one JSON object.") from None
    if not isinstance(record, dict):
        raise _Refused("InvalidMetaItem", "It is not one JSON object.")
    if b"\\ud" in raw.lower() and _SURROGATE.search(json.dumps(record, ensure_ascii=False)):
        raise _Refused("InvalidMetaItem", "It contains half a surrogate pair.")
    if repeated and readings.strict("repeated_key"):
        raise _Refused("InvalidMetaItem", "A key is given twice.")
    if not readings.strict("null"):
        record = {name: value for name, value in record.items() if value is not None}
    return record


def _judge(
    record: dict[str, Any], service: ServiceType, readings: Readings
) -> tuple[dict[str, Any], tuple[int, int, int, int] | None]:
    unknown = [name for name in record if name not in _KNOWN]
    if unknown and readings.strict("unknown_field"):
        raise _Refused("InvalidMetaItem", f"Unknown field {unknown[0][:64]}.")
    operation = record.get("OperationType")
    if operation not in ("ADD", "DELETE"):
        raise _Refused("InvalidMetaItem", "OperationType must be ADD or DELETE.")
    _product_id(record, readings)
    _pic_name(record, operation, readings)
    if operation == "DELETE":
        return {}, None
    fields: dict[str, Any] = {"CategoryId": _category(record, service)}
    fields["CustomContent"] = _custom_content(record, readings)
    for name in _INT_ATTRS:
        if name in record:
            fields[name] = _int_attr(record[name], name, readings)
    for name in _STR_ATTRS:
        if name in record:
            fields[name] = _str_attr(record[name], name, readings)
    if "Crop" in record:
        if not isinstance(record["Crop"], bool):
            raise _Refused("InvalidMetaItem", "Crop must be true or false.")
        fields["Crop"] = record["Crop"]
    region = _region(record["Region"], readings) if "Region" in record else None
    if service is ServiceType.FABRIC or (record.get("Crop") is False and readings.strict("crop_with_region")):
        region = None  # documented for fabric: Region is ignored, and the whole image is searched
    return fields, region


def _text(value: Any, most: int, code: str, readings: Readings, name: str = "It") -> str:
    if not isinstance(value, str):
        raise _Refused(code, f"{name} must be a string.")
    length = len(value.encode("utf-16-le", "surrogatepass")) // 2 if readings.strict("text_length") else len(value)
    if length > most:
        raise _Refused(code, f"{name} is longer than {most} characters.")
    return value


def _product_id(record: dict[str, Any], readings: Readings) -> None:
    value = record.get("ProductId", "")
    if value == "":
        raise _Refused("NoSpecifiedProductId")
    _text(value, PRODUCT_ID_LENGTH, "InvalidProductId", readings)


def _pic_name(record: dict[str, Any], operation: str, readings: Readings) -> None:
    if "PicName" not in record:
        if operation == "DELETE":
            return
        raise _Refused("NoSpecifiedPicName")
    value = record["PicName"]
    if value == "":
        if operation == "DELETE" and not readings.strict("empty_pic_name"):
            return
        raise _Refused("NoSpecifiedPicName")
    _text(value, PIC_NAME_LENGTH, "InvalidPicName", readings)
    if operation == "DELETE":
        return
    if value.startswith("/") or value.endswith("/"):
        raise _Refused("InvalidPicName", "It must not start or end with a slash.")
    folder, _, name = value.rpartition("/")
    stem, _, extension = name.rpartition(".")
    if not stem.strip(". ") or _EXTENSION.fullmatch(extension) is None:
        raise _Refused("InvalidPicName", "It needs an extension.")
    if folder and readings.strict("sub_folder"):
        raise _Refused("InvalidPicName", "The image must lie in the task's path itself.")


def _category(record: dict[str, Any], service: ServiceType) -> int | None:
    value = record.get("CategoryId")
    if "CategoryId" in record and (not isinstance(value, int) or isinstance(value, bool)):
        raise _Refused("InvalidCategory", "It must be an integer.")
    if service is not ServiceType.PRODUCT:
        return OTHERS
    if value is not None and value not in CATEGORIES:
        raise _Refused("InvalidCategory", f"{str(value)[:20]} is not in the category reference.")
    return value


def _custom_content(record: dict[str, Any], readings: Readings) -> str:
    value = record.get("CustomContent")
    if "CustomContent" not in record or (value == "" and readings.strict("empty_content")):
        raise _Refused("InvalidCustomContent", "It is missing.")
    return _text(value, CUSTOM_CONTENT_LENGTH, "InvalidCustomContent", readings)


def _int_attr(value: Any, name: str, readings: Readings) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Refused("InvalidIntAttr", f"{name} must be an integer.")
    bits = 32 if readings.strict("int32") else 64
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise _Refused("InvalidIntAttr", f"{name} does not fit {bits} bits.")
    return value


def _str_attr(value: Any, name: str, readings: Readings) -> str:
    text = _text(value, STR_ATTR_LENGTH, "InvalidStrAttr", readings, name)
    if readings.strict("str_attr_signs") and _UNWANTED.search(text):
        raise _Refused("InvalidStrAttr", rf"{name} must not contain \ ¥ $ & %.")
    return text


def _region(value: Any, readings: Readings) -> tuple[int, int, int, int]:
    if not isinstance(value, str):
        raise _Refused("InvalidRegion", "It must be a string.")
    text = value if readings.strict("region_spaces") else ",".join(part.strip(" ") for part in value.split(","))
    match = _REGION.fullmatch(text)
    if match is None:
        raise _Refused("InvalidRegion", "It must be four integers x1,x2,y1,y2.")
    x1, x2, y1, y2 = map(int, match.groups())
    if x1 >= x2 or y1 >= y2:
        raise _Refused("InvalidRegion", "x1 must be less than x2, and y1 less than y2.")
    return x1, y1, x2, y2
