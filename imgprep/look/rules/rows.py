"""Rules about a row's own fields: operation, ids, categories, attributes, content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import polars as pl

from imgprep.core.fields import CATEGORIES, Operation, Service
from imgprep.core.findings import Basis, Severity
from imgprep.look.rules.rule import Rule
from imgprep.look.rules.sheet import Sheet


def _longer(name: str, limit: str) -> Callable[[Sheet], pl.Expr]:
    # Bytes are counted in no time; a text within the limit in bytes is within it in characters.
    return lambda sheet: pl.col(name).str.len_bytes() > sheet.limits[limit]


def _longer_chars(name: str, limit: str) -> Callable[[Sheet], pl.Expr]:
    return lambda sheet: pl.col(name).str.len_chars() > sheet.limits[limit]


def _trimmed(text: pl.Expr) -> pl.Expr:
    return text.str.strip_chars()


def spaces(name: str) -> Rule:
    """Return the rule against white space around the field `name`."""
    return Rule(
        id=f"{_KEBAB[name]}-spaces",
        field=name,
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what=f"{name} starts or ends with white space",
        message=f'{name} "{{{name}}}" starts or ends with white space; nobody says whether the service trims it',
        remedy="trim it",
        among=_PLAIN_FIELDS.get(name, ""),
        test=lambda sheet: pl.col(name) != pl.col(name).str.strip_chars(),
        mend=_trimmed,
    )


_PLAIN_FIELDS: dict[str, Literal["ProductId", "PicName", "StrAttr"]] = {
    "ProductId": "ProductId",
    "PicName": "PicName",
    "StrAttr": "StrAttr",
}
_KEBAB = {
    "ProductId": "product-id",
    "PicName": "pic-name",
    "StrAttr": "str-attr",
    "CustomContent": "custom-content",
}


def too_long(name: str, limit: str, source: str) -> Rule:
    """Return the rule that the field `name` has at most as many characters as the threshold `limit` says."""
    return Rule(
        id=f"{_KEBAB[name]}-too-long",
        field=name,
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source=source,
        what=f"{name} is longer than the service takes",
        message=f"{name} has {{chars}} characters; at most {{limit:{limit}}} are taken",
        remedy="shorten it",
        test=_longer(name, limit),
        confirm=_longer_chars(name, limit),
        refuses=True,
    )


def control(name: str) -> Rule:
    """Return the rule against control characters in the field `name`."""
    return Rule(
        id=f"{_KEBAB[name]}-control-character",
        field=name,
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what=f"{name} contains a line break or another control character",
        message=f"{name} contains a line break or another control character, often the trace of a broken export",
        remedy="take it out at the source",
        among=_PLAIN_FIELDS.get(name, ""),
        test=lambda sheet: pl.col(name).str.contains(r"[\x00-\x1f\x7f]"),
    )


_INTEGER = r"^[+-]?[0-9]+$"
#: The rule on ids that are not what the shop calls its product.
DAMAGED_ID, DATE_ID = "product-id-damaged", "product-id-date"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mrz|Mär|Mai|Okt|Dez)"
#: What Excel shows of a date, and writes to CSV: 1-Mar, Mar-01, 01. Mrz, 3/1/2024, 2024-03-01, 3月1日, 2024年3月1日.
_DATE = (
    rf"^(?:[0-9]{{1,2}}[-.] ?{_MONTH}(?:[-. ] ?[0-9]{{2,4}})?|{_MONTH}[- ][0-9]{{2,4}}|[0-9]{{1,2}}[/.][0-9]{{1,2}}[/.]"
    r"(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}[-/][0-9]{1,2}[-/][0-9]{1,2}(?: 0?0:00(?::00)?)?"
    r"|(?:(?:19|20)[0-9]{2}年)?[0-9]{1,2}月[0-9]{1,2}日)$"
)
_TRUE, _FALSE = ("yes", "y", "1", "t", "on"), ("no", "n", "0", "f", "off")
_NOT_PRODUCT = [service for service in Service if service is not Service.PRODUCT]


def _unreadable(name: str, typed: str) -> Callable[[Sheet], pl.Expr]:
    return lambda sheet: pl.col(typed).is_null() & pl.col(name).is_not_null()


def whole_number(text: pl.Expr) -> pl.Expr:
    """Mend what is a whole number but for its dress: ``"3.0"`` → ``"3"``, ``" 5"`` → ``"5"``, ``""`` → absent."""
    plain = text.str.strip_chars().str.replace(r"\.0*$", "")
    return (
        pl.when(text.str.strip_chars() == "").then(None).when(plain.str.contains(_INTEGER)).then(plain).otherwise(text)
    )


def _truth(text: pl.Expr) -> pl.Expr:
    plain = text.str.strip_chars().str.to_lowercase()
    return (
        pl.when(plain == "")
        .then(None)
        .when(plain.is_in([*_TRUE, "true"]))
        .then(pl.lit("true"))
        .when(plain.is_in([*_FALSE, "false"]))
        .then(pl.lit("false"))
        .otherwise(text)
    )


def _upper(text: pl.Expr) -> pl.Expr:
    plain = text.str.strip_chars().str.to_uppercase()
    return pl.when(plain.is_in([operation.value for operation in Operation])).then(plain).otherwise(text)


RULES: tuple[Rule, ...] = (
    Rule(
        id="operation-unknown",
        field="OperationType",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="OperationType is neither ADD nor DELETE",
        message='OperationType "{OperationType}" is neither ADD nor DELETE',
        remedy="write ADD or DELETE",
        test=lambda sheet: ~pl.col("op").is_in([operation.value for operation in Operation]),
        mend=_upper,
        refuses=True,
    ),
    Rule(
        id="product-id-missing",
        field="ProductId",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="there is no ProductId",
        message="there is no ProductId; every line needs one",
        remedy="map ProductId to a column that is filled, or fill it",
        among="ProductId",
        test=lambda sheet: pl.col("ProductId").fill_null("") == "",
        refuses=True,
    ),
    too_long("ProductId", "product_id_chars", "api"),
    spaces("ProductId"),
    control("ProductId"),
    Rule(
        id=DAMAGED_ID,
        field="ProductId",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="ProductId looks like what a spreadsheet or a wrong encoding makes of an id",
        message='ProductId "{ProductId}" looks like what a spreadsheet or a wrong encoding made of an id',
        remedy="export the ids as text",
        among="ProductId",
        test=lambda sheet: pl.col("ProductId").str.contains(
            r"^(#[A-Z/0]+[?!A]?|'.*|[0-9]\.[0-9]+[eE][+-]?[0-9]+|.*\x{FFFD}.*)$"
        ),
    ),
    Rule(
        id=DATE_ID,
        field="ProductId",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="ProductId is a date, which spreadsheets make of codes such as 3-1 or MAR1",
        message='ProductId "{ProductId}" is a date; a spreadsheet probably made it of a code such as 3-1 or MAR1',
        remedy="export the ids as text; where ids are dates, set this rule off",
        among="ProductId",
        test=lambda sheet: pl.col("ProductId").str.contains(_DATE),
    ),
    Rule(
        id="category-not-integer",
        field="CategoryId",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="CategoryId cannot be read as an integer",
        message='CategoryId "{CategoryId}" is not an integer',
        remedy="write the number from the category reference, such as 0 for tops, or leave it out",
        test=_unreadable("CategoryId", "category"),
        confirm=lambda sheet: ~pl.col("CategoryId").str.contains(_INTEGER),
        mend=whole_number,
        refuses=True,
    ),
    Rule(
        id="category-unknown",
        field="CategoryId",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="CategoryId is not in the category reference; service types other than product overwrite it anyway",
        message="CategoryId {CategoryId} is not in the category reference",
        remedy="choose one of " + ", ".join(f"{number} {name}" for number, name in CATEGORIES.items()),
        scope="add",
        test=lambda sheet: (
            ~pl.col("category").is_in(list(CATEGORIES))
            | (pl.col("category").is_null() & pl.col("CategoryId").is_not_null())
        ),
        confirm=lambda sheet: pl.col("CategoryId").str.contains(_INTEGER),
        refuses=True,
        by_service=dict.fromkeys(_NOT_PRODUCT, Severity.INFO),
    ),
    Rule(
        id="category-missing",
        field="CategoryId",
        severity=Severity.INFO,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="there is no CategoryId: the service predicts one",
        message="there is no CategoryId; the service predicts one from the image",
        remedy="map it where the shop knows better than a prediction",
        scope="add",
        test=lambda sheet: pl.col("CategoryId").is_null() if sheet.service is Service.PRODUCT else pl.lit(value=False),
    ),
    Rule(
        id="int-attr-not-integer",
        field="IntAttr",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="IntAttr cannot be read as an integer",
        message='IntAttr "{IntAttr}" is not an integer',
        remedy='map it with a scale, such as {{ column = "price", scale = 100 }}, or leave it out',
        test=_unreadable("IntAttr", "int_attr"),
        confirm=lambda sheet: ~pl.col("IntAttr").str.contains(_INTEGER),
        mend=whole_number,
        refuses=True,
    ),
    Rule(
        id="int-attr-range",
        field="IntAttr",
        severity=Severity.ERROR,
        basis=Basis.WEAK,
        source="api",
        what="IntAttr is outside 32 bits",
        message="IntAttr {IntAttr} is outside {limit:int_attr_min} … {limit:int_attr_max}",
        remedy="choose a smaller scale",
        test=lambda sheet: (
            (pl.col("int_attr") < sheet.limits["int_attr_min"])
            | (pl.col("int_attr") > sheet.limits["int_attr_max"])
            | (pl.col("int_attr").is_null() & pl.col("IntAttr").is_not_null())
        ),
        confirm=lambda sheet: pl.col("IntAttr").str.contains(_INTEGER),
        refuses=True,
    ),
    too_long("StrAttr", "str_attr_chars", "guide"),
    spaces("StrAttr"),
    Rule(
        id="str-attr-characters",
        field="StrAttr",
        severity=Severity.WARNING,
        basis=Basis.WEAK,
        source="api",
        what="StrAttr contains a character that newer pages of the vendor rule out: \\ ¥ $ & %",
        message='StrAttr "{StrAttr}" contains one of \\ ¥ $ & %, which newer pages of the vendor rule out',
        remedy="replace the character",
        among="StrAttr",
        test=lambda sheet: pl.col("StrAttr").str.contains_any(["\\", "¥", "$", "&", "%"]),
    ),
    Rule(
        id="str-attr-empty",
        field="StrAttr",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="StrAttr is an empty text; it is left out of the line",
        message="StrAttr is an empty text; nobody says what the service makes of one, so it is left out",
        remedy="leave it out",
        among="StrAttr",
        test=lambda sheet: pl.col("StrAttr") == "",
        mend=lambda text: pl.when(text != "").then(text),
    ),
    Rule(
        id="custom-content-missing",
        field="CustomContent",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="an ADD has no CustomContent (the guide requires it; the reference of AddImage calls it optional)",
        message="there is no CustomContent; the guide requires it on ADD",
        remedy='map one, such as CustomContent = "title:{{title}}"',
        scope="add",
        test=lambda sheet: pl.col("CustomContent").is_null(),
        refuses=True,
    ),
    Rule(
        id="custom-content-empty",
        field="CustomContent",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="CustomContent is an empty text",
        message="CustomContent is an empty text; nobody says whether that counts as there",
        remedy="map something that a search result can show",
        scope="add",
        test=lambda sheet: pl.col("CustomContent") == "",
    ),
    too_long("CustomContent", "custom_content_chars", "guide"),
    Rule(
        id="crop-not-boolean",
        field="Crop",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="Crop is neither true nor false",
        message='Crop "{Crop}" is neither true nor false',
        remedy="write true or false, or leave it out (true)",
        test=_unreadable("Crop", "crop"),
        mend=_truth,
        refuses=True,
    ),
)
