"""Google Merchant feeds in XML (RSS 2.0 and Atom), read without trusting them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.parsers import expat

import pyarrow as pa

from imgprep.catalogue.documents import counted
from imgprep.catalogue.raw import TEXT, Raw, distinct_names
from imgprep.errors import CatalogueError

#: Elements that are one product each. Source: Google Merchant Center Help, "RSS 2.0 specification", "Atom 1.0".
ITEMS = frozenset({"item", "entry", "product"})


def read_xml(path: Path) -> Raw:
    """Read a product feed: one record per item; an element that comes several times is a JSON list.

    A document type declaration is refused, and with it every entity but XML's own five: a feed needs none, and they
    are how an XML file reads other files or fills the memory.

    Raises
    ------
    CatalogueError
        It is no XML, declares a document type, or holds no items.
    """
    records: list[dict[str, list[str]]] = []
    stack: list[str] = []
    item: dict[str, list[str]] = {}
    inside = 0  # depth at which the item began, 0 outside
    text: list[str] = []

    def refuse(*_: Any) -> None:
        raise CatalogueError(
            f"{path.name}: declares a document type, which a product feed does not need; take the <!DOCTYPE …> away"
        )

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal inside, item
        name = tag.rpartition("}")[2]
        stack.append(name)
        text.clear()
        if not inside and name in ITEMS:
            inside, item = len(stack), {}
        elif inside and name == "link" and attributes.get("href"):
            item.setdefault(name, []).append(attributes["href"])

    def end(tag: str) -> None:
        nonlocal inside
        name = tag.rpartition("}")[2]
        if inside and len(stack) == inside:
            records.append(item)
            inside = 0
        elif inside:
            value = "".join(text).strip()
            if value:
                # Below an item's own elements the path tells them apart: shipping.price is not price.
                item.setdefault(".".join(stack[inside:]), []).append(value)
        stack.pop()
        text.clear()
        assert name  # noqa: S101  expat gives no empty tags

    with path.open("rb") as file:
        head = file.read(200)
    declared = re.search(rb"<\?xml[^>]*encoding=[\"']([A-Za-z0-9._-]+)", head)
    encoding = declared[1].decode() if declared else None
    native = encoding is None or encoding.lower() in ("utf-8", "utf-16", "iso-8859-1", "us-ascii")
    parser = expat.ParserCreate(None if native else "utf-8", namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    try:
        if native:
            with path.open("rb") as file:
                parser.ParseFile(file)
        else:
            parser.Parse(path.read_text(encoding=encoding).encode(), True)
    except (expat.ExpatError, UnicodeDecodeError, LookupError) as error:
        raise CatalogueError(f"{path.name}: cannot be read as XML: {error}") from error
    if not records:
        raise CatalogueError(f"{path.name}: no <item>, <entry> or <product> in it; is it a product feed?")
    found = dict.fromkeys(name for record in records for name in record)
    names, notes = distinct_names(found)
    columns = [pa.array([_cell(record.get(name)) for record in records], TEXT) for name in found]
    return Raw(pa.table(columns, names=names), counted(len(records)), "xml", "XML feed", notes)


def _cell(values: list[str] | None) -> str | None:
    if not values:
        return None
    return values[0] if len(values) == 1 else json.dumps(values, ensure_ascii=False)
