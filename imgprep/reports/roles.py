"""What the parts of a report's entry are called, in the languages and spellings seen."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

#: Longest raw text kept in a frame, characters; report.raw has all of it.
RAW_MAX = 4000

ENTRY_SCHEMA: dict[str, Any] = {
    "raw": pl.String,
    "at": pl.Int64,
    "ProductId": pl.String,
    "PicName": pl.String,
    "code": pl.String,
    "message": pl.String,
}

#: The parts that say which line an entry is about.
KEYS = frozenset({"at", "nth", "ProductId", "PicName"})

NAMES: dict[str, tuple[str, ...]] = {
    "at": ("line", "lineno", "linenumber", "linenum", "row", "rownumber", "行号", "行"),
    # The number of a line, or of an entry: believed only where nothing else names the line.
    "nth": ("index", "序号"),
    "ProductId": ("productid", "itemid", "product", "id", "商品id", "产品id", "商品编号", "产品编号"),
    "PicName": (
        "picname",
        "pic",
        "picturename",
        "imagename",
        "image",
        "filename",
        "file",
        "图片名称",
        "图片",
        "图片名",
        "图片文件名",
        "文件名",
    ),
    "code": ("code", "errorcode", "errcode", "failurecode", "错误码", "失败码", "错误代码"),
    "message": ("message", "msg", "errormsg", "errormessage", "errmsg", "reason", "failurereason", "cause")
    + ("error", "description", "detail", "失败原因", "原因", "错误信息", "错误", "错误原因", "错误描述"),
}
#: Longest name of a column, with what stands between its words.
_NAME_MAX = 30
_PLURAL = re.compile(r"(?:s|_?list|列表)$", re.IGNORECASE)
_SIGNS = dict.fromkeys(map(ord, " \t\r\n\xa0\u3000_-."))
_ROLE = {name: role for role, names in NAMES.items() for name in names}


def role_of(name: str) -> str | None:
    """Return which part of an entry a column or key called `name` holds, or None."""
    return _ROLE.get(name.translate(_SIGNS).casefold()) if len(name) <= _NAME_MAX else None


def list_role(name: str) -> str | None:
    """Return what the values of a list called `name` are, such as those of PicName, pic_names or 图片列表."""
    return role_of(name) or role_of(_PLURAL.sub("", name))
