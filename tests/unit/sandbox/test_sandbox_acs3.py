"""Signatures of Image Search requests: each mistake has its own error code."""

import hashlib
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from imgprep.core.credentials import Credentials
from imgprep.sandbox.access import Principal
from imgprep.sandbox.config import Clock
from imgprep.sandbox.http import Refused, Request
from imgprep.sandbox.signatures import ACS3, MAX_SKEW, Nonces, acs3_signature, verify_acs3

NOW = datetime(2026, 11, 24, 3, 15, tzinfo=UTC).timestamp()
KEYS = {
    "id": Principal(Credentials("id", "secret")),
    "sts": Principal(Credentials("sts", "secret", "token"), expires=NOW + 1),
    "old": Principal(Credentials("old", "secret", "token"), expires=NOW),
}
QUERY = (("Path", "/a b+c~中文"), ("InstanceName", "demo"))


def signed(*, key="id", secret="secret", body=b"", at=NOW, nonce="n1", unsigned=(), **headers):
    headers = {
        "host": "127.0.0.1:1",
        "x-acs-action": "Detail",
        "x-acs-date": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    names = sorted(set(headers) - set(unsigned))
    mark = acs3_signature(secret, Request("POST", "/", QUERY, headers), names, headers["x-acs-content-sha256"])
    headers["authorization"] = f"{ACS3} Credential={key},SignedHeaders={';'.join(names)},Signature={mark}"
    return headers


def refused(headers, *, query=QUERY, body=b"", nonces=None):
    keys, clock = SimpleNamespace(find=KEYS.get), Clock(source=lambda: NOW)
    try:
        verify_acs3(Request("POST", "/", query, headers, body), keys, Nonces() if nonces is None else nonces, clock)
    except Refused as refusal:
        return refusal.code
    return None


def test_a_correctly_signed_request_passes_with_any_order_of_its_query():
    assert refused(signed()) is None
    assert refused(signed(), query=QUERY[::-1]) is None
    assert refused(signed(key="sts", x_acs_security_token="token")) is None


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (signed(secret="other"), "SignatureDoesNotMatch"),
        (signed(key="unknown"), "InvalidAccessKeyId.NotFound"),
        (signed() | {"authorization": ""}, "IncompleteSignature"),
        (signed() | {"authorization": "Basic aWQ6c2VjcmV0"}, "IncompleteSignature"),
        (signed() | {"authorization": signed()["authorization"].replace("SHA256", "SM3")}, "InvalidSignatureMethod"),
        (signed() | {"x-acs-action": "DumpMeta"}, "SignatureDoesNotMatch"),
        (signed() | {"x-acs-version": "2020-12-14"}, "IncompleteSignature"),
        (signed(unsigned=["host"]), "IncompleteSignature"),
        (signed(key="sts"), "MissingSecurityToken"),
        (signed(key="sts", x_acs_security_token="old"), "InvalidSecurityToken.MismatchWithAccessKey"),
        (signed(x_acs_security_token="token"), "InvalidSecurityToken.MismatchWithAccessKey"),
        (signed(key="old", x_acs_security_token="token"), "InvalidSecurityToken.Expired"),
        (signed(at=NOW - MAX_SKEW - 1), "InvalidTimeStamp.Expired"),
        (signed(at=NOW + MAX_SKEW + 1), "InvalidTimeStamp.Expired"),
        (signed(x_acs_date="yesterday"), "InvalidTimeStamp.Format"),
        (signed(nonce=""), "MissingSignatureNonce"),
    ],
)
def test_each_fault_of_a_signature_has_its_code(headers, code):
    assert refused(headers) == code


def test_a_query_or_body_that_was_changed_on_the_way_is_refused():
    assert refused(signed(), query=(("InstanceName", "other"),)) == "SignatureDoesNotMatch"
    assert refused(signed(body=b"a"), body=b"b") == "SignatureDoesNotMatch"


def test_a_nonce_is_accepted_once_and_only_with_a_valid_signature():
    nonces = Nonces()
    assert refused(signed(secret="other"), nonces=nonces) == "SignatureDoesNotMatch"
    assert refused(signed(), nonces=nonces) is None
    assert refused(signed(), nonces=nonces) == "SignatureNonceUsed"


def test_nonces_are_forgotten_when_their_date_is_no_longer_accepted():
    nonces = Nonces()
    assert nonces.take("a", 0)
    assert not nonces.take("a", MAX_SKEW)
    assert nonces.take("b", 3 * MAX_SKEW)
    assert nonces.take("a", 3 * MAX_SKEW)
