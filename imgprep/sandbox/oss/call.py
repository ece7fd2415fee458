"""A request on its way through the OSS side, and what the operations work on."""

from __future__ import annotations

from dataclasses import dataclass

from imgprep.sandbox.clock import Clock
from imgprep.sandbox.config import Switches
from imgprep.sandbox.http import Request, Response
from imgprep.sandbox.object_file import Entry
from imgprep.sandbox.objects import ObjectStore
from imgprep.sandbox.oss.aim import Aim
from imgprep.sandbox.oss.errors import Refused, invalid_argument
from imgprep.sandbox.oss.keys import Principal
from imgprep.sandbox.uploads import Uploads

MAX_KEY_BYTES = 1023


@dataclass(frozen=True, slots=True)
class Shop:
    """What the operations work on."""

    store: ObjectStore
    uploads: Uploads
    clock: Clock
    switches: Switches


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is signed rightly, its aim, and whose it is."""

    request: Request
    aim: Aim
    principal: Principal

    @property
    def encoding(self) -> str:
        """How keys are to be written in the answer: empty, or ``url``."""
        given = self.aim.parameters.get("encoding-type", "")
        if given not in ("", "url"):
            raise invalid_argument("encoding-type", given)
        return given

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return a parameter that is a whole number from `least` to `most`."""
        given = self.aim.parameters.get(name, "")
        if not given:
            return default
        if not (given.isascii() and given.isdigit()) or not least <= int(given[:12]) <= most:
            raise invalid_argument(name, given, f"Argument {name} must be an integer from {least} to {most}.")
        return int(given)

    def may(self, operation: str, bucket: str, key: str, switches: Switches) -> bool:
        """Whether who asks may do that."""
        if operation in switches.denied_operations or (key and key.startswith(tuple(switches.denied_prefixes))):
            return False
        return self.principal.may(operation, bucket, key, switches.region, switches.account)


def check_key(key: str) -> None:
    """Pass a key that an object may have. Source: object naming rules.

    Raises
    ------
    Refused
        InvalidObjectName.
    """
    if key.startswith(("/", "\\")):
        raise Refused("InvalidObjectName", more={"ObjectName": key})
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise Refused("InvalidObjectName") from None
    if not 1 <= length <= MAX_KEY_BYTES:
        raise Refused("InvalidObjectName", "The length of object name must be between 1 and 1023 bytes.")


def xml(body: bytes, headers: dict[str, str] | None = None) -> Response:
    """Return an answer that is a document."""
    return Response(200, {"Content-Type": "application/xml", **(headers or {})}, body)


def stored(entry: Entry) -> dict[str, str]:
    """Return the headers by which a client verifies what was stored."""
    return {"ETag": f'"{entry.etag}"', "x-oss-hash-crc64ecma": str(entry.crc)}
