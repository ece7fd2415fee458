"""The errors of OSS: codes, statuses, words. Source: the vendor's pages on each operation and on each HTTP status."""

from __future__ import annotations

from collections.abc import Mapping

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
