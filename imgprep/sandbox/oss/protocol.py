"""The OSS wire protocol: a request's target and parameters, error codes, and reading and writing XML."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote
from xml.etree import ElementTree

from imgprep.sandbox.access import Principal
from imgprep.sandbox.config import Switches
from imgprep.sandbox.faults import Fault
from imgprep.sandbox.http import Refused, Request, Response
from imgprep.sandbox.oss.storage import Entry

#: Code → (HTTP status, default message).
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
    "InvalidObjectState": (403, "The operation is not valid for the object's state."),
    "InvalidPart": (400, "One or more of the specified parts could not be found or the ETag did not match."),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order."),
    "InvalidRange": (416, "The requested range cannot be satisfied."),
    "InvalidSecurityToken": (403, "The security token you provided is invalid."),
    "MalformedXML": (400, "The XML you provided was not well-formed or did not validate against our published schema."),
    "MissingArgument": (400, "Missing Some Required Arguments."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (404, "The specified upload does not exist. It may be invalid, aborted, or completed."),
    "NotImplemented": (501, "The sandbox does not support this; the real OSS may."),
    "NotModified": (304, ""),
    "PartNotSequential": (
        400,
        "For sequential multipart upload, you must upload or complete parts with sequential part number.",
    ),
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


#: Values of the element EC and the header x-oss-ec that the vendor publishes. Source: its pages on these codes.
EXTENDED_CODES = {
    "NoSuchBucket": "0015-00000101",
    "NoSuchKey": "0026-00000001",
    "SignatureDoesNotMatch": "0002-00000040",
}
SIGNING_REGION = "0002-00000226"


class OssError(Refused):
    """An error response from OSS: a `code` from `ERRORS` (any other is a 503, as throttling has several codes).

    `more` holds additional XML elements, such as Endpoint or StringToSign.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        more: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        status, default = ERRORS.get(code, ERRORS["SlowDown"])
        super().__init__(status, code, message or default)
        self.more = more or {}
        self.headers = headers or {}


def invalid_argument(name: str, value: str, message: str = "") -> OssError:
    """Return an InvalidArgument error that names the argument and its value."""
    return OssError("InvalidArgument", message, {"ArgumentName": name, "ArgumentValue": value})


@dataclass(slots=True)
class Call:
    """A request to OSS: operation (``Unknown`` if not served), bucket and key (empty if none), fault, and signer.

    If a parameter is repeated, `parameters` has its last value.
    """

    request: Request
    operation: str
    bucket: str
    key: str
    parameters: Mapping[str, str] = field(repr=False)  # may contain a signature or a token
    fault: Fault | None = None
    principal: Principal | None = None

    @property
    def resource(self) -> str:
        """The resource path, as covered by signatures."""
        return f"/{self.bucket}/{self.key}" if self.bucket else "/"

    @property
    def encoding(self) -> str | None:
        """The encoding of keys in the response: ``url`` or None."""
        given = self.parameters.get("encoding-type", "")
        if given not in ("", "url"):
            raise invalid_argument("encoding-type", given)
        return given or None

    def written(self, key: str) -> str:
        """Return a key in the response's encoding: percent-encoded if the client asked for it."""
        return quote(key, safe="") if self.encoding else key

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return an integer parameter from `least` to `most`, or `default` if it is missing."""
        given = self.parameters.get(name, "")
        if not given:
            return default
        if not (given.isascii() and given.isdigit()) or not least <= int(given[:12]) <= most:
            raise invalid_argument(name, given, f"Argument {name} must be an integer from {least} to {most}.")
        return int(given)

    def require_access(self, operation: str, bucket: str, key: str, switches: Switches) -> None:
        """Raise AccessDenied if the signer may not perform `operation` on `bucket` or `key`."""
        denied = operation in switches.denied_operations or (key and key.startswith(tuple(switches.denied_prefixes)))
        signer = self.principal
        if denied or signer is None or not signer.may(operation, bucket, key, switches.region, switches.account):
            raise OssError("AccessDenied", "You have no right to access this object.", {"AuthAction": operation})


def stored(entry: Entry) -> dict[str, str]:
    """Return the headers with which a client verifies the stored object."""
    return {"ETag": f'"{entry.etag}"', "x-oss-hash-crc64ecma": str(entry.crc)}


#: An element's content: text, child elements, or several elements with the same name; None omits the element.
Content: TypeAlias = "str | int | Mapping[str, Content] | Sequence[Mapping[str, Content]] | Sequence[str] | None"

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_SPECIAL = re.compile("[&<>\"'\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}


class Markup(str):
    """Serialized XML, which is inserted into a document unchanged and without an enclosing element."""

    __slots__ = ()


def xml_response(root: str, content: Content, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response whose body is an XML document."""
    return Response(200, {"Content-Type": "application/xml", **(headers or {})}, dumps(root, content))


def dumps(root: str, content: Content) -> bytes:
    """Return an XML document."""
    pieces: list[str] = []
    _write(pieces, root, content)
    return _DECLARATION + "".join(pieces).encode()


def _write(pieces: list[str], name: str, content: Content) -> None:
    if content is None:
        return
    if isinstance(content, Markup):
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


def escape(text: str) -> str:
    """Escape text for use in an element."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda found: _NAMES.get(found[0]) or f"&#{ord(found[0])};", text)


def iso_time(seconds: float) -> str:
    """Return a time (seconds since 1970) in the format that OSS uses in XML."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".000Z"


#: Characters that are allowed in keys but not in XML 1.0; clients send them literally or as character references.
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|&#(?:0*([0-9]{1,2})|x0*([0-9A-Fa-f]{1,2}));")
#: The forbidden characters are replaced by private-use characters for parsing; no real text contains these.
_PRIVATE = 0x10_FF00
_MEANT = {_PRIVATE + code: code for code in range(32)}


def _stand_in(found: re.Match[bytes]) -> bytes:
    code = int(found[1]) if found[1] else int(found[2], 16) if found[2] else found[0][0]
    return chr(_PRIVATE + code).encode() if code < 32 else found[0]


def loads(text: bytes, root: str) -> ElementTree.Element:
    """Parse an XML document from a client; return its root element, with namespaces removed."""
    if b"<!" in text:
        raise OssError("MalformedXML")
    try:
        found = ElementTree.fromstring(_FORBIDDEN.sub(_stand_in, text))  # noqa: S314  entities are refused above
    except (ElementTree.ParseError, ValueError, LookupError):
        raise OssError("MalformedXML") from None
    for element in found.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.text = element.text and element.text.translate(_MEANT)
    if found.tag != root:
        raise OssError("MalformedXML")
    return found
