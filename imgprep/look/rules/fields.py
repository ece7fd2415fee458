"""Rules about a row's fields: operation, ids, categories, attributes, content and image name."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import polars as pl

from imgprep.core.fields import (
    CATEGORIES,
    FORCING,
    INT_ATTRS,
    META_NAME,
    SEARCH_CATEGORY,
    STR_ATTRS,
    Operation,
    Service,
)
from imgprep.core.findings import Basis, Severity
from imgprep.images.names import WINDOWS_DEVICES
from imgprep.look.rules.limits import FORMAT_OF
from imgprep.look.rules.rule import Rule, Test
from imgprep.look.rules.sheet import PLAIN, TYPED, Sheet


def _spaces(name: str) -> Rule:
    return Rule(
        id=f"{_kebab(name)}-spaces",
        field=name,
        severity=Severity.WARNING,
        source="own",
        what=f"{name} starts or ends with white space; whether the service trims it is undocumented",
        remedy="trim it",
        among=name if name in PLAIN else "",
        test=lambda sheet: pl.col(name) != pl.col(name).str.strip_chars(),
        fix=lambda text: text.str.strip_chars(),
    )


def _too_long(name: str, limit: str, source: str) -> Rule:
    return Rule(
        id=f"{_kebab(name)}-too-long",
        field=name,
        source=source,
        what=f"{name} is longer than the service allows",
        message=f"{name} has {{chars}} characters; at most {{limit:{limit}}} are allowed",
        remedy="shorten it",
        # Counting bytes is cheap, and a string within the limit in bytes is also within it in characters.
        test=lambda sheet: pl.col(name).str.len_bytes() > sheet.limits[limit],
        confirm=lambda sheet: pl.col(name).str.len_chars() > sheet.limits[limit],
        refuses=True,
    )


def _html_entity(name: str) -> Rule:
    return Rule(
        id=f"{_kebab(name)}-html-entity",
        field=name,
        severity=Severity.WARNING,
        source="own",
        what=f"{name} contains HTML, such as &amp;, which search results would show literally",
        remedy="write the character itself",
        among=name if name in PLAIN else "",
        test=lambda sheet: pl.col(name).str.contains(
            r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});"
        ),
        fix=lambda text: text.map_elements(html.unescape, return_dtype=pl.String),
    )


def _control_character(name: str) -> Rule:
    return Rule(
        id=f"{_kebab(name)}-control-character",
        field=name,
        severity=Severity.WARNING,
        source="own",
        what=f"{name} contains a line break or another control character, often a sign of a broken export",
        remedy="remove it at the source",
        among=name if name in PLAIN else "",
        test=lambda sheet: pl.col(name).str.contains(r"[\x00-\x1f\x7f]"),
    )


def _int_attr_not_integer(name: str) -> Rule:
    return Rule(
        id="int-attr-not-integer",
        field=name,
        source="guide",
        what=f"{name} is not an integer",
        remedy='map it with a scale, such as {{ column = "price", scale = 100 }}, or leave it out',
        test=_unreadable(name, TYPED[name]),
        confirm=lambda sheet: ~pl.col(name).str.contains(_INTEGER),
        fix=_whole_number,
        refuses=True,
        unwritable=True,
    )


def _int_attr_range(name: str) -> Rule:
    number = pl.col(TYPED[name])
    return Rule(
        id="int-attr-range",
        field=name,
        source="api",
        basis=Basis.WEAK,
        what=f"{name} is outside 32 bits",
        message=f"{name} {{{name}}} is outside the range {{limit:int_attr_min}} to {{limit:int_attr_max}}",
        remedy="choose a smaller scale",
        test=lambda sheet: (
            (number < sheet.limits["int_attr_min"])
            | (number > sheet.limits["int_attr_max"])
            | (number.is_null() & pl.col(name).is_not_null())
        ),
        confirm=lambda sheet: pl.col(name).str.contains(_INTEGER),
        refuses=True,
    )


def _str_attr_characters(name: str) -> Rule:
    return Rule(
        id="str-attr-characters",
        field=name,
        severity=Severity.WARNING,
        source="api",
        basis=Basis.WEAK,
        what=f"{name} contains one of \\ ¥ $ & %, which newer vendor pages forbid",
        remedy="replace the character",
        among=name,
        test=lambda sheet: pl.col(name).str.contains_any(["\\", "¥", "$", "&", "%"]),
    )


def _str_attr_empty(name: str) -> Rule:
    return Rule(
        id="str-attr-empty",
        field=name,
        severity=Severity.WARNING,
        source="own",
        what=f"{name} is empty; how the service treats that is undocumented, so it is left out of the line",
        remedy="leave it out",
        among=name,
        test=lambda sheet: pl.col(name) == "",
        fix=lambda text: pl.when(text != "").then(text),
    )


def _each(names: Sequence[str], rule: Callable[[str], Rule]) -> Rule:
    """Return one rule about several fields, under the id for the first field."""
    first, *others = map(rule, names)
    return replace(first, also=tuple(replace(other, id=first.id) for other in others))


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


_INTEGER = r"^[+-]?[0-9]+$"
_OPERATIONS = [operation.value for operation in Operation]
#: Ids of the rules about product ids changed by a spreadsheet or a wrong encoding.
DAMAGED_ID, DATE_ID = "product-id-damaged", "product-id-date"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mrz|Mär|Mai|Okt|Dez)"
#: Dates as Excel shows them and writes them to CSV: 1-Mar, Mar-01, 01. Mrz, 3/1/2024, 2024-03-01, 3月1日, 2024年3月1日.
_DATE = (
    rf"^(?:[0-9]{{1,2}}[-.] ?{_MONTH}(?:[-. ] ?[0-9]{{2,4}})?|{_MONTH}[- ][0-9]{{2,4}}|[0-9]{{1,2}}[/.][0-9]{{1,2}}[/.]"
    r"(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}[-/][0-9]{1,2}[-/][0-9]{1,2}(?: 0?0:00(?::00)?)?"
    r"|(?:(?:19|20)[0-9]{2}年)?[0-9]{1,2}月[0-9]{1,2}日)$"
)
_TRUE, _FALSE = ("true", "yes", "y", "1", "t", "on"), ("false", "no", "n", "0", "f", "off")

_NAMED = "|".join(FORMAT_OF)
#: Windows allows neither these characters nor a dot or space at the end of a file or folder name. Source: Microsoft,
#: "Naming Files, Paths, and Namespaces".
_NO_LETTERS = list('<>:"|?*')
_NOT_ON_WINDOWS = (
    rf"(?i)(?:^|/)(?:{'|'.join(map(re.escape, WINDOWS_DEVICES))}) *(?:\.[^/]*)?(?:/|$)|[{''.join(_NO_LETTERS)}]|[. ]/"
)
#: Every name that the slower expression above can match contains one of these.
_PERHAPS = [name + end for name in WINDOWS_DEVICES for end in "./ "] + _NO_LETTERS + ["./", " /"]
#: Joiners, direction marks and other characters that are invisible in a name.
_HIDDEN = [
    chr(code) for span in ((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2069)) for code in range(span[0], span[1] + 1)
]
_HIDDEN += ["\u00ad", "\u061c", "\ufeff"]
_SEVERAL = rf"(?i)\.(?:{_NAMED})\s*[,;|]\s*\S.*\.(?:{_NAMED})\s*$"


def _unreadable(name: str, typed: str) -> Test:
    return lambda sheet: pl.col(typed).is_null() & pl.col(name).is_not_null()


def _whole_number(text: pl.Expr) -> pl.Expr:
    """Rewrite whole numbers: ``"3.0"`` → ``"3"``, ``" 5"`` → ``"5"``, ``""`` → absent."""
    trimmed = text.str.strip_chars()
    number = trimmed.str.replace(r"\.0*$", "")
    return pl.when(trimmed == "").then(None).when(number.str.contains(_INTEGER)).then(number).otherwise(text)


def _boolean(text: pl.Expr) -> pl.Expr:
    word = text.str.strip_chars().str.to_lowercase()
    true, false = (pl.when(word.is_in(words)).then(pl.lit(words[0])) for words in (_TRUE, _FALSE))
    return pl.when(word == "").then(None).otherwise(pl.coalesce(true, false, text))


def _operation(text: pl.Expr) -> pl.Expr:
    word = text.str.strip_chars().str.to_uppercase()
    return pl.when(word.is_in(_OPERATIONS)).then(word).otherwise(text)


def _several(sheet: Sheet) -> pl.Expr:
    several = pl.col("name").str.contains(_SEVERAL)
    # If a file with exactly this name exists, it is one image, however odd the name.
    return several & ~pl.col("i_exists").fill_null(value=False) if sheet.has("facts") else several


#: Base for rules about PicName that a plain name cannot fail.
_NAME = partial(Rule, field="PicName", among="PicName")

RULES: tuple[Rule, ...] = (
    Rule(
        id="operation-unknown",
        field="OperationType",
        source="guide",
        what="OperationType is neither ADD nor DELETE",
        remedy="use ADD or DELETE",
        test=lambda sheet: ~pl.col("op").is_in(_OPERATIONS),
        fix=_operation,
        refuses=True,
        unwritable=True,
    ),
    Rule(
        id="product-id-missing",
        field="ProductId",
        source="guide",
        what="ProductId is missing; every line needs one",
        remedy="map ProductId to a filled column, or fill it",
        among="ProductId",
        test=lambda sheet: pl.col("ProductId").fill_null("") == "",
        refuses=True,
        unwritable=True,
    ),
    _too_long("ProductId", "product_id_chars", "api"),
    _spaces("ProductId"),
    _control_character("ProductId"),
    Rule(
        id=DAMAGED_ID,
        field="ProductId",
        severity=Severity.WARNING,
        source="own",
        what="ProductId looks like an id that a spreadsheet or a wrong encoding changed",
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
        source="own",
        what="ProductId is a date; a spreadsheet probably converted it from a code such as 3-1 or MAR1",
        remedy="export the ids as text; if ids are dates, set this rule to off",
        among="ProductId",
        test=lambda sheet: pl.col("ProductId").str.contains(_DATE),
    ),
    Rule(
        id="category-not-integer",
        field="CategoryId",
        source="guide",
        what="CategoryId is not an integer",
        remedy="use the number from the category reference, such as 0 for tops, or leave it out",
        test=_unreadable("CategoryId", "category"),
        confirm=lambda sheet: ~pl.col("CategoryId").str.contains(_INTEGER),
        fix=_whole_number,
        refuses=True,
        unwritable=True,
    ),
    Rule(
        id="category-unknown",
        field="CategoryId",
        # Whether the two types that do not force a category accept this one is undocumented.
        by_service=dict.fromkeys([*FORCING, Service.MULTIMODAL, Service.UNKNOWN], Severity.INFO),
        source="guide",
        what="CategoryId is not in the category reference; most service types other than product overwrite it anyway",
        remedy="choose one of " + ", ".join(f"{number} {name}" for number, name in CATEGORIES.items()),
        scope="add",
        test=lambda sheet: (
            ~pl.col("category").is_in(list(CATEGORIES))
            | (pl.col("category").is_null() & pl.col("CategoryId").is_not_null())
        ),
        confirm=lambda sheet: pl.col("CategoryId").str.contains(_INTEGER),
        refuses=True,
    ),
    Rule(
        id="category-missing",
        field="CategoryId",
        severity=Severity.INFO,
        source="guide",
        what="CategoryId is missing: the service predicts one from the image",
        remedy=f"map CategoryId if the shop's category is more reliable than a prediction; {SEARCH_CATEGORY}",
        scope="add",
        test=lambda sheet: pl.col("CategoryId").is_null() if sheet.service is Service.PRODUCT else pl.lit(value=False),
    ),
    _each(INT_ATTRS, _int_attr_not_integer),
    _each(INT_ATTRS, _int_attr_range),
    _each(STR_ATTRS, lambda name: _too_long(name, "str_attr_chars", "guide")),
    _each(STR_ATTRS, _spaces),
    _each(STR_ATTRS, _html_entity),
    _each(STR_ATTRS, _str_attr_characters),
    _each(STR_ATTRS, _str_attr_empty),
    Rule(
        id="custom-content-missing",
        field="CustomContent",
        source="guide",
        what="CustomContent is missing; the guide requires it on ADD (the AddImage reference calls it optional)",
        remedy='map one, such as CustomContent = "title:{{title}}"',
        scope="add",
        test=lambda sheet: pl.col("CustomContent").is_null(),
        refuses=True,
    ),
    Rule(
        id="custom-content-empty",
        field="CustomContent",
        severity=Severity.WARNING,
        source="own",
        what="CustomContent is empty; whether that counts as present is undocumented",
        remedy="map something that a search result can show",
        scope="add",
        test=lambda sheet: pl.col("CustomContent") == "",
    ),
    _too_long("CustomContent", "custom_content_chars", "guide"),
    _html_entity("CustomContent"),
    Rule(
        id="crop-not-boolean",
        field="Crop",
        source="guide",
        what="Crop is neither true nor false",
        remedy="use true or false, or leave Crop out (true)",
        test=_unreadable("Crop", "crop"),
        fix=_boolean,
        refuses=True,
        unwritable=True,
    ),
    _NAME(
        id="pic-name-missing",
        source="guide",
        what="PicName is missing; an ADD needs one",
        remedy="find an image of the product, or leave the product out",
        scope="add",
        test=lambda sheet: pl.col("PicName").fill_null("") == "",
        refuses=True,
        unwritable=True,
    ),
    _NAME(
        id="delete-empty-pic-name",
        source="own",
        what="a DELETE has an empty PicName: it may delete every image of the product",
        message="PicName is an empty string on a DELETE; read as absent, it deletes every image of {ProductId}",
        remedy="name the image, or leave PicName out to delete the whole product",
        scope="delete",
        test=lambda sheet: pl.col("PicName").str.strip_chars() == "",
        unwritable=True,
    ),
    Rule(
        id="delete-whole-product",
        field="PicName",
        severity=Severity.INFO,
        source="guide",
        what="a DELETE without PicName: it deletes every image of the product",
        message="PicName is missing: every image of {ProductId} is deleted",
        remedy="name the image to delete only that one",
        scope="delete",
        test=lambda sheet: pl.col("PicName").is_null(),
    ),
    _too_long("PicName", "pic_name_chars", "api"),
    _spaces("PicName"),
    _control_character("PicName"),
    _NAME(
        id="pic-name-hidden-character",
        severity=Severity.WARNING,
        source="own",
        what="PicName contains an invisible character (a joiner, a direction mark), so it looks like another name",
        remedy="remove it, in the file name as well",
        test=lambda sheet: pl.col("name").str.contains_any(_HIDDEN),
    ),
    _NAME(
        id="pic-name-not-on-windows",
        severity=Severity.WARNING,
        source="own",
        what='Windows does not allow this file name: a device (CON, NUL …), one of < > : " | ? *, a dot at an end',
        message='PicName "{PicName}" cannot be a file name on Windows, so its image is missing there',
        remedy="rename the file if anyone works on Windows; copies from prepare_images get a different name",
        scope="add",
        test=lambda sheet: pl.col("name").str.contains_any(_PERHAPS, ascii_case_insensitive=True),
        # URLs, paths out of the folder and several names in one have their own findings.
        confirm=lambda sheet: (
            pl.col("name").str.contains(_NOT_ON_WINDOWS)
            & ~pl.col("name").str.contains(rf"://|(?:^|/)\.\.?(?:/|$)|{_SEVERAL}")
        ),
    ),
    _NAME(
        id="pic-name-slash",
        source="guide",
        what="PicName starts or ends with a slash; names are relative to the task's folder",
        remedy="remove the slash",
        test=lambda sheet: pl.col("name").str.contains(r"^/|/$"),
        fix=lambda text: text.str.strip_chars("/\\"),
        refuses=True,
    ),
    _NAME(
        id="pic-name-edge-backslash",
        source="own",
        what="PicName starts or ends with a backslash: part of the name in OSS, but a disk's root elsewhere; not sent",
        remedy="remove the backslash",
        test=lambda sheet: pl.col("name").str.contains(r"^\\|\\$"),
        fix=lambda text: text.str.strip_chars("/\\"),
    ),
    _NAME(
        id="pic-name-backslash",
        severity=Severity.WARNING,
        source="own",
        what="PicName contains a backslash; in OSS it is part of the name and does not separate folders",
        remedy="use / between folders",
        test=lambda sheet: pl.col("name").str.contains("\\", literal=True),
        fix=lambda text: text.str.replace_all("\\", "/", literal=True),
    ),
    _NAME(
        id="pic-name-dotdot",
        source="oss",
        what="PicName has a part that is . or ..; such a name is not below the task's folder",
        remedy="use a name relative to the image folder",
        test=lambda sheet: pl.col("name").str.contains(r"(?:^|[/\\])\.\.?(?:[/\\]|$)"),
        refuses=True,
    ),
    _NAME(
        id="pic-name-double-slash",
        severity=Severity.WARNING,
        source="own",
        what="PicName has two slashes in a row, which is a folder without a name",
        remedy="use one slash",
        test=lambda sheet: (
            pl.col("name").str.contains("//", literal=True) & ~pl.col("name").str.contains("://", literal=True)
        ),
        fix=lambda text: text.str.replace_all(r"/{2,}", "/"),
    ),
    _NAME(
        id="pic-name-url",
        source="guide",
        what="PicName is a URL; the service takes names of objects in the bucket",
        remedy="fetch the images first (imgprep fetch), and use the names of the files",
        test=lambda sheet: pl.col("name").str.contains("://", literal=True),
        refuses=True,
    ),
    _NAME(
        id="pic-name-several",
        source="guide",
        what="PicName contains several names; a line allows one",
        remedy="make one row for each name",
        test=lambda sheet: pl.col("name").str.contains_any([",", ";", "|"]),
        confirm=_several,
        refuses=True,
    ),
    _NAME(
        id="pic-name-no-extension",
        source="api",
        what="PicName has no extension; the service requires one",
        remedy="name the file with its extension, such as .jpg",
        test=lambda sheet: (pl.col("name") != "") & ~pl.col("name").str.contains(r"[^./\\ ][^/\\]*\.[^./\\ ]+ *$"),
        # A name that is a folder or only dots has its own finding.
        confirm=lambda sheet: ~pl.col("name").str.contains(r"(?:^|[/\\])\.*$"),
        refuses=True,
    ),
    _NAME(
        id="pic-name-extension",
        severity=Severity.WARNING,
        source="limits",
        basis=Basis.WEAK,
        what="PicName does not have one of the extensions " + ", ".join(FORMAT_OF),
        remedy="convert the image (imgprep prepare)",
        prepared=True,
        scope="add",
        test=lambda sheet: (
            pl.col("name").str.contains(r"\.[^./\\]+$") & ~pl.col("name").str.contains(rf"(?i)\.(?:{_NAMED})\s*$")
        ),
    ),
    _NAME(
        id="pic-name-is-meta",
        source="guide",
        what="PicName is the name of the batch file itself; uploading it would destroy the batch",
        remedy="rename the image",
        test=lambda sheet: pl.col("name") == META_NAME,
    ),
    Rule(
        id="key-too-long",
        field="PicName",
        source="oss",
        what="folder and PicName together are longer than an object key may be",
        message="folder and PicName have {bytes} bytes together; a key allows {limit:key_bytes}",
        remedy="shorten the folder or the name",
        test=lambda sheet: (
            pl.col("name").str.len_bytes() + int(sheet.limits["folder_bytes"]) > sheet.limits["key_bytes"]
        ),
        refuses=True,
    ),
    Rule(
        id="pic-name-folder",
        field="PicName",
        severity=Severity.INFO,
        source="api",
        basis=Basis.WEAK,
        what="PicName has a folder; newer vendor pages allow it, but the guide requires images beside increment.meta",
        remedy="keep images beside increment.meta if such rows fail",
        scope="add",
        test=lambda sheet: pl.col("name").str.contains("/", literal=True),
        confirm=lambda sheet: (
            pl.col("name").str.contains(r"[^/]/[^/]") & ~pl.col("name").str.contains("://", literal=True)
        ),
    ),
)
