"""What went wrong with a call, in our words: refused, or nobody knows."""

from __future__ import annotations

from imgprep.errors import ImgprepError, ServiceError

#: A batch task runs already. Source: seen by others, not in the reference.
BUSY = "Console.IncrementStatusError"
#: An export runs already. Source: as above.
EXPORT_BUSY = "Console.TaskAlreadyExist"

#: Codes that mean "too fast", and nothing was done.
THROTTLED = ("DeniedRequest", "Throttling", "Throttling.User", "Throttling.Api", "RequestTimeTooFrequent")
_REMEDIES = {
    EXPORT_BUSY: "another export runs on this instance; wait for its end",
    BUSY: "another batch task runs on this instance; `imgprep tasks` shows it",
    "InvalidInstance": "use the instance's name, not its id, and the instance's own region",
    "InstanceStatusError": "look at the instance in the console: is it running and paid for?",
    "NoPermission": "allow the caller imagesearch actions on this instance, and see `imgprep policy` for the role",
    "InvalidAccessKeyId.NotFound": "the access key does not exist (any more); set another",
    "SignatureDoesNotMatch": "the access key's secret is wrong, or the machine's clock is",
    "InvalidTimeStamp.Expired": "set the machine's clock",
    "InvalidSecurityToken.Expired": "the temporary credentials have expired; get new ones",
}


class AnswerLost(ServiceError):
    """No usable answer came: the request may have been carried out."""

    def __init__(self, message: str, *, code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message, code=code, request_id=request_id, passing=True)


def wrapped(action: str, instance: str, error: Exception) -> ServiceError:
    """Return our error for what the SDK raised; raise what was ours already."""
    code, status = getattr(error, "code", None), getattr(error, "status_code", None)
    text = str(getattr(error, "message", None) or error) or type(error).__name__
    request_id = getattr(error, "request_id", None)
    # The SDK wraps what its credentials provider raises.
    inner = getattr(error, "inner_exception", None)
    for ours in (error, inner):
        if isinstance(ours, ImgprepError):
            raise ours  # credentials that cannot be had
    if status is None or code in (None, "", "None") or status >= 500:
        told = f"{code}: {text}" if status else _plain(text)
        return AnswerLost(
            f"{action} on instance {instance}: no usable answer: {told}; look at the network and the endpoint",
            code=code if status else None,
            request_id=request_id,
        )
    remedy = _REMEDIES.get(str(code), "the code is in the vendor's list of Image Search error codes")
    said = f"{action} on instance {instance}: refused with {code}: {text}; {remedy}"
    passing = str(code) in (*THROTTLED, BUSY, EXPORT_BUSY)
    return ServiceError(said, code=str(code), request_id=request_id, passing=passing)


def _plain(text: str) -> str:
    """What urllib3 says, without the proxy that nobody set: on loopback the server stands as its own."""
    return "connection refused" if "Connection refused" in text else text
