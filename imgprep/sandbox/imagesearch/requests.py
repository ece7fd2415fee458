"""A request's parameters, looked at as the API reference describes them."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping


class Refusal(Exception):
    """A request that is refused.

    Parameters
    ----------
    status : int
        HTTP status; 4xx becomes the SDK's ClientException, 5xx its ServerException.
    code, message : str
        As the SDK hands them on.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message

    def body(self, host: str) -> bytes:
        """Return the answer's JSON."""
        answer = {"RequestId": request_id(), "HostId": host, "Code": self.code, "Message": self.message}
        return json.dumps(answer).encode()


def request_id() -> str:
    """Return an id in the form that the service uses."""
    return str(uuid.uuid4()).upper()


def throttled() -> Refusal:
    """Refusal of a request that came too soon after the last. Source: the vendor's page of error codes."""
    return Refusal(403, "DeniedRequest", "Your request was denied due to instance flow control.")


def invalid(name: str, rule: str) -> Refusal:
    """Refusal of a parameter."""
    return Refusal(400, "BadRequest", f"The request has invalid parameters: {name}: {rule}")


def missing(name: str) -> Refusal:
    """Refusal for want of a parameter."""
    return Refusal(400, f"Missing{name}", f"{name} is mandatory for this action.")


INSTANCE_NAME_LENGTH = 20
INCREASE_LIST_MAX = 500
DUMP_META_LIST_MAX = 30
DEFAULT_PAGE_SIZE = 10

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


def required(parameters: Mapping[str, str], name: str) -> str:
    """Return a parameter that must be there."""
    value = parameters.get(name, "")
    if not value:
        raise missing(name)
    return value


def instance_name(parameters: Mapping[str, str]) -> str:
    """Return InstanceName: the name, not the id, of at most 20 characters."""
    name = required(parameters, "InstanceName")
    if len(name) > INSTANCE_NAME_LENGTH:
        raise invalid_instance()
    return name


def invalid_instance() -> Refusal:
    """Refusal of an instance that is not there. Source: the vendor's page of error codes."""
    return Refusal(400, "InvalidInstance", "The specified instance name is invalid.")


def bucket_name(value: str) -> str:
    """Return a bucket's name: 3 to 63 of a-z, 0-9 and hyphens, with a letter or digit at both ends."""
    if not _BUCKET.fullmatch(value):
        raise invalid("BucketName", "must be 3 to 63 lower-case letters, digits and hyphens.")
    return value


def path(value: str) -> str:
    """Return Path: starts with a slash and does not end with one."""
    if not value.startswith("/"):
        raise invalid("Path", "must start with a forward slash (/).")
    if value.endswith("/"):
        raise invalid("Path", "must not end with a forward slash (/).")
    return value


def number(parameters: Mapping[str, str], name: str) -> int | None:
    """Return a whole number, or None where it is not given."""
    value = parameters.get(name, "")
    if not value:
        return None
    if not _NUMBER.fullmatch(value):
        raise invalid(name, "must be a whole number.")
    return int(value)


def paging(parameters: Mapping[str, str], largest: int) -> tuple[int, int]:
    """Return (page number, page size); defaults are 1 and 10."""
    page, size = number(parameters, "PageNumber"), number(parameters, "PageSize")
    page, size = 1 if page is None else page, DEFAULT_PAGE_SIZE if size is None else size
    if page < 1:
        raise invalid("PageNumber", "must be 1 or more.")
    if not 1 <= size <= largest:
        raise invalid("PageSize", f"must be 1 to {largest}.")
    return page, size
