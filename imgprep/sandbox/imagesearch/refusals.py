"""How Image Search says no: RPC errors as JSON, and the codes the sandbox uses."""

from __future__ import annotations

import json
import uuid


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
