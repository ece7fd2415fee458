"""XML as OSS writes and reads it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote
from xml.etree import ElementTree

#: Code → (HTTP status, message). ``{}`` in a message is filled by whoever raises it.
ERRORS: dict[str, tuple[int, str]] = {
    "AccessDenied": (403, "You have no right to access this object because of bucket acl."),
    "BucketAlreadyExists": (409, "The requested bucket name is not available."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed size."),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size."),
    "FileAlreadyExists": (409, "The object you specified already exists and can not be overwritten."),
    "InternalError": (500, "Please contact the server administrator, oss@service.aliyun.com."),
    "InvalidAccessKeyId": (403, "The OSS Access Key Id you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid Argument."),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDigest": (400, "The Content-MD5 you specified was invalid."),
    "InvalidObjectName": (400, "The specified object is not valid."),
    "InvalidPart": (400, "One or more of the specified parts could not be found or the ETag did not match."),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order."),
    "InvalidRange": (416, "The requested range cannot be satisfied."),
    "InvalidSecurityToken": (403, "The security token you provided is invalid."),
    "MalformedXML": (400, "The XML you provided was not well-formed or did not validate against our published schema."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingArgument": (400, "Missing Some Required Arguments."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (404, "The specified upload does not exist. It may be invalid, aborted, or completed."),
    "NotImplemented": (501, "The sandbox does not do this; the real OSS may."),
    "NotModified": (304, ""),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold."),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the current time is too large."),
    "SecurityTokenExpired": (403, "The security token you provided has expired."),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
    ),
    "SlowDown": (503, "Please reduce your request rate."),
    "UserDisable": (403, "UserDisable"),
}


class Refused(Exception):
    """An answer that is an error.

    Parameters
    ----------
    code : str
        One of `ERRORS`; another is a 503, as OSS has several names for throttling.
    message : str
        Empty: the usual one.
    more : mapping of str to str
        More elements of the XML, such as Endpoint or StringToSign.
    headers : mapping of str to str
        More headers.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        more: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.status, usual = ERRORS.get(code, ERRORS["SlowDown"])
        self.message = message or usual
        self.more = more or {}
        self.headers = headers or {}
        super().__init__(f"{code}: {self.message}")


def invalid_argument(name: str, value: str, message: str = "") -> Refused:
    """Return the error that names an argument and its value."""
    return Refused("InvalidArgument", message, {"ArgumentName": name, "ArgumentValue": value})


class Written(str):
    """XML that is written already: it stands in a document as it is, under no name of its own."""

    __slots__ = ()


#: An element's content: text, more elements, or several elements of one name.
Content: TypeAlias = "str | int | Mapping[str, Content] | Sequence[Mapping[str, Content]] | Sequence[str]"

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_SPECIAL = re.compile("[&<>\"'\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}


def escape(text: str) -> str:
    """Return text as it stands in an element."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda found: _NAMES.get(found[0]) or f"&#{ord(found[0])};", text)


def dumps(root: str, content: Content) -> bytes:
    """Return a document."""
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
    """Return the root element of a document that a client sent."""
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
