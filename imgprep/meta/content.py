"""Rules about the values of lines, tested over whole columns: the same for lines read and for lines to be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from imgprep.errors import RegionError
from imgprep.fields import FIELDS, Operation
from imgprep.meta.rules import RULE, record
from imgprep.regions import Region

#: A text that no more than begins like two file names: an image's extension, a separator, another extension.
_EXTENSION = r"\.(?:jpe?g|png|bmp|gif|webp|tiff?|ppm)"
_TWO_NAMES = rf"(?i){_EXTENSION}\s*[,;|]\s*.*{_EXTENSION}"
#: The text of a region whose numbers can be read; whether they are in order is asked afterwards.
_REGION = r"^[0-9]{1,10},[0-9]{1,10},[0-9]{1,10},[0-9]{1,10}$"

_Say = Callable[[dict[str, Any]], str]


def content_findings(frame: pl.DataFrame, *, unwritable: bool = False) -> list[dict[str, Any]]:
    """Test the values of `frame`.

    Parameters
    ----------
    frame : polars.DataFrame
        ``line`` and the fields of increment.meta in their types; ``row`` where the lines came from a catalogue.
    unwritable : bool
        Only what cannot be written (see `MetaRule`).

    Returns
    -------
    list of dict
        Records of findings, by line.
    """
    if not frame.height:
        return []
    tests = [test for test in _tests() if RULE[test[0]].unwritable or not unwritable]
    masks = frame.lazy().select(**{str(i): test for i, (_, _, test, _) in enumerate(tests)}).collect()
    hits = masks.select(pl.all().any()).row(0)
    found: list[dict[str, Any]] = []
    for i, (rule_id, field, _, say) in enumerate(tests):
        if hits[i]:
            for values in frame.filter(masks[str(i)]).iter_rows(named=True):
                found.append(_record(rule_id, field, say(values), values))
    if not unwritable:
        found += _several_names(frame)
        found += _regions(frame)
    found.sort(key=lambda item: item["line"])
    return found


def _tests() -> list[tuple[str, str, pl.Expr, _Say]]:
    operation = pl.col("OperationType")
    tests: list[tuple[str, str, pl.Expr, _Say]] = [
        (
            "meta-operation",
            "OperationType",
            operation.is_not_null() & ~operation.is_in([item.value for item in Operation]),
            lambda values: f"needs {' or '.join(Operation)}",
        )
    ]
    for field in FIELDS:
        column = pl.col(field.name)
        for wanted in field.required:
            optional_somewhere = field.name == "CustomContent"
            rule = "meta-no-custom-content" if optional_somewhere else "meta-missing-field"
            where = column.is_null() & (operation == wanted)
            if field.required == frozenset(Operation):  # needed also where no operation says so
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
                # A text has at most as many characters as bytes: the cheap count settles nearly every row.
                long = (column.str.len_bytes() > field.max_chars) & (column.str.len_chars() > field.max_chars)
                tests.append(
                    ("meta-too-long", field.name, long.fill_null(value=False), _long(field.name, field.max_chars))
                )
        if field.minimum is not None:
            low, high = field.minimum, field.maximum
            outside = column < low if high is None else ~column.is_between(low, high)
            tests.append(("meta-out-of-range", field.name, outside.fill_null(value=False), _outside(low, high)))
    return tests


def _missing(name: str) -> _Say:
    return lambda values: f"needs {name}" + (f" on {values['OperationType']}" if values["OperationType"] else "")


def _empty(name: str) -> _Say:
    def say(values: dict[str, Any]) -> str:
        if name == "PicName" and values["OperationType"] == Operation.DELETE:
            return "is empty; the service may delete the whole product"
        return "is empty"

    return say


def _long(name: str, limit: int) -> _Say:
    return lambda values: f"takes {limit} characters; got {len(values[name])}"


def _outside(low: int, high: int | None) -> _Say:
    bounds = f"{low} or more" if high is None else f"{low} … {high}"
    return lambda values: f"needs {bounds}"


def _several_names(frame: pl.DataFrame) -> list[dict[str, Any]]:
    # Nearly no name holds a separator: the cheap look comes first, the pattern only where it is worth it.
    names = pl.col("PicName")
    given = frame.filter(names.str.contains_any([",", ";", "|"])).filter(names.str.contains(_TWO_NAMES))
    say = "holds more than one name"
    return [_record("meta-two-names", "PicName", say, values) for values in given.iter_rows(named=True)]


def _regions(frame: pl.DataFrame) -> list[dict[str, Any]]:
    if frame["Region"].null_count() == frame.height:
        return []
    parts = pl.col("Region").str.splitn(",", 4)
    x1, x2, y1, y2 = (parts.struct.field(f"field_{place}").cast(pl.Int64, strict=False) for place in range(4))
    shaped = pl.col("Region").str.contains(_REGION)
    sound = frame.lazy().select(sound=shaped & (x1 < x2) & (y1 < y2)).collect(engine="streaming")["sound"]
    found = []
    given = frame.filter(~sound.fill_null(value=False)).filter(pl.col("Region").is_not_null())
    for values in given.iter_rows(named=True):
        try:
            Region.from_wire(values["Region"])
        except RegionError as error:
            found.append(_record("meta-region", "Region", str(error).partition(": ")[2], values))
    return found


def _record(rule_id: str, field: str, say: str, values: dict[str, Any]) -> dict[str, Any]:
    given = {name: values[name] for name in ("line", "row", "ProductId", "PicName") if values.get(name) is not None}
    return record(rule_id, say, field=field, value=values.get(field), **given)
