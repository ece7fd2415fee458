"""XML as OSS writes and reads it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote
from xml.etree import ElementTree

from imgprep.sandbox.oss.errors import Refused


class Written(str):
    """XML that is written already: it stands in a document as it is, under no name of its own."""

    __slots__ = ()


#: An element's content: text, more elements, or several elements of one name.
Content: TypeAlias = "str | int | Mapping[str, Content] | Sequence[Mapping[str, Content]] | Sequence[str]"

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_SPECIAL = re.compile("[&<>\"'\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}


def escape(text: str) -> str:
    """Return text as it stands in an element.

    Signs that XML does not know become numbers, as the real service writes them: the reader fails on those, which is
    why clients ask for ``encoding-type=url``.
    """
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda found: _NAMES.get(found[0]) or f"&#{ord(found[0])};", text)


def dumps(root: str, content: Content) -> bytes:
    """Return a document.

    Examples
    --------
    >>> dumps("Owner", {"ID": 1, "Name": "a&b"})[39:]
    b'<Owner><ID>1</ID><Name>a&amp;b</Name></Owner>'
    """
    pieces: list[str] = []
    _write(pieces, root, content)
    return _DECLARATION + "".join(pieces).encode()


def _write(pieces: list[str], name: str, content: Content) -> None:
    if isinstance(content, Written):
        pieces.append(content)
    elif isinstance(content, Mapping):
        pieces.append(f"<{name}>")
        for inner, value in content.items():
            _write(pieces, inner, value)
        pieces.append(f"</{name}>")
    elif isinstance(content, str | int):
        pieces.append(f"<{name}>{escape(str(content))}</{name}>")
    else:
        for value in content:
            _write(pieces, name, value)


def loads(text: bytes, root: str) -> ElementTree.Element:
    """Return the root element of a document that a client sent.

    Raises
    ------
    Refused
        MalformedXML: it is none, has another root, or declares entities (which could be made to grow without end).
    """
    if b"<!" in text:
        raise Refused("MalformedXML")
    try:
        found = ElementTree.fromstring(text)  # noqa: S314  entities are refused above
    except (ElementTree.ParseError, ValueError, LookupError):
        raise Refused("MalformedXML") from None
    if found.tag.rpartition("}")[2] != root:
        raise Refused("MalformedXML")
    return found


def children(element: ElementTree.Element, name: str) -> Iterable[ElementTree.Element]:
    """Return the children of that name, whatever their namespace."""
    return (child for child in element if child.tag.rpartition("}")[2] == name)


def text_of(element: ElementTree.Element, name: str) -> str | None:
    """Return the text of the child of that name; None where there is none."""
    for child in children(element, name):
        return child.text or ""
    return None


def iso_time(seconds: float) -> str:
    """Return a time, seconds since 1970, as OSS writes it in XML."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".000Z"


def name_writer(encoding: str) -> Callable[[str], str]:
    """Return what writes keys: percent-encoded where `encoding` is ``url``."""
    return _quoted if encoding == "url" else str


def _quoted(text: str) -> str:
    return quote(text, safe="")
