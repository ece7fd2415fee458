"""No token, signature or signed link in a log or in a traceback, whatever the service repeats of a request."""

import logging
import traceback

import pytest

from imgprep.cloud.imagesearch import ImageSearch
from imgprep.cloud.oss import head, list_folder, open_bucket, probe_put
from imgprep.core.credentials import Credentials, StaticCredentials
from imgprep.core.errors import ImgprepError, ReportError
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.download import save_link


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as server:
        yield server


@pytest.fixture(params=["V1", "V4"])
def wrong(request, sandbox):
    """A valid token with a wrong secret: the service answers with the text that it expected to be signed."""
    key = sandbox.issue_token(3600)
    provider = StaticCredentials(Credentials(key.access_key_id, "wrong", key.security_token))
    region = sandbox.settings.region if request.param == "V4" else ""
    settings = sandbox.settings.with_(oss_credentials=provider, imagesearch_credentials=provider, region=region)
    return settings, key.security_token


def assert_hidden(token, *texts):
    for text in texts:
        assert token not in text
        assert token.encode().hex() not in text.replace(" ", "").lower()


@pytest.mark.parametrize(
    "call",
    [
        lambda bucket: list(list_folder(bucket, "increment/")),
        lambda bucket: head(bucket, "increment/a.jpg"),
        lambda bucket: probe_put(bucket, "increment/increment.meta"),
    ],
    ids=["list", "head", "put"],
)
def test_a_token_is_in_no_log_and_no_traceback_of_a_refused_request(wrong, caplog, call):
    settings, token = wrong
    with caplog.at_level(logging.DEBUG), pytest.raises(ImgprepError) as caught:
        call(open_bucket(settings))
    assert "SignatureDoesNotMatch" in str(caught.value)
    assert caught.value.__cause__ is not None
    shown = "".join(traceback.format_exception(caught.value))
    assert "SignatureDoesNotMatch" in shown and caplog.text
    assert_hidden(token, caplog.text, shown, repr(vars(caught.value.__cause__)))


def test_a_token_that_image_search_repeats_is_in_no_traceback(wrong, sandbox, caplog, monkeypatch):
    settings, token = wrong
    # The service itself quotes the request's headers in its message.
    from imgprep.sandbox import signatures

    original = signatures.Refused

    def quoting(status, code, message):
        more = {"x-acs-security-token": token}
        return original(status, code, f"{message} server string to sign is:[x-acs-security-token:{token}\n] {more}")

    monkeypatch.setattr(signatures, "Refused", quoting)
    with caplog.at_level(logging.DEBUG), pytest.raises(ImgprepError) as caught:
        ImageSearch(settings).tasks()
    shown = "".join(traceback.format_exception(caught.value))
    assert "server string to sign" in shown
    assert_hidden(token, caplog.text, shown)


def test_a_signed_link_is_in_no_log(sandbox, tmp_path, caplog):
    link = f"{sandbox.url}/imgprep-demo/report.txt?Expires=9&OSSAccessKeyId=K&Signature=c2lnbmF0dXJl"
    with caplog.at_level(logging.DEBUG), pytest.raises(ReportError):
        save_link(link, tmp_path / "report", local=True)
    assert "GET /imgprep-demo/report.txt" in caplog.text
    assert "c2lnbmF0dXJl" not in caplog.text


def test_what_third_parties_log_with_a_traceback_is_hidden_too(sandbox, caplog):
    open_bucket(sandbox.settings)
    with caplog.at_level(logging.DEBUG):
        try:
            raise ValueError("x-oss-security-token:CAISsecret")
        except ValueError:
            logging.getLogger("oss2.api").exception("headers %s", {"x-oss-security-token": "CAISsecret"})
        unfit = "headers %s %s"
        logging.getLogger("oss2.api").debug(unfit, {"x-oss-security-token": "CAISsecret"})
    assert "headers {" in caplog.text and "ValueError" in caplog.text
    assert "CAISsecret" not in caplog.text
