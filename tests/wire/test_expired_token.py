"""Temporary credentials that expire: the upload stops at once, and the command ends with the code for access."""

import pytest

from imgprep.cli.main import main
from imgprep.core.credentials import StaticCredentials
from imgprep.core.errors import StorageError
from imgprep.sandbox.faults import Fault
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.upload import upload
from tests.wire.shipping import FakeClock, make_batch


class Renewed:
    """A provider that has newer credentials once the first have expired."""

    def __init__(self, server, token):
        self.server, self.given = server, token

    def credentials(self):
        given, self.given = self.given, self.server.issue_token()
        return given


@pytest.mark.parametrize("moment", ["before", "while images are sent"])
def test_an_expired_token_stops_the_upload_at_once_and_is_not_safe_to_repeat(tmp_path, moment):
    batch, clock = make_batch(tmp_path / "batch", 6), FakeClock()
    with Sandbox(throttle=False) as server:
        settings = server.settings.with_(oss_credentials=StaticCredentials(server.issue_token(seconds=60)))
        if moment == "before":
            server.clock.advance(61)
        else:
            server.set_faults(Fault("expired_token", operation="PutObject", after=2))
        with pytest.raises(StorageError, match="set new ones, then run the command again") as caught:
            upload(batch, None, settings, progress=False, runs=tmp_path / "runs", clock=clock)
        assert not caught.value.passing and not clock.slept


def test_the_command_asks_for_new_credentials_with_exit_2(tmp_path, monkeypatch, capsys):
    batch = make_batch(tmp_path / "batch", 2)
    with Sandbox(throttle=False) as server:
        token = server.issue_token(seconds=60)
        server.clock.advance(61)
        found = {"ID": token.access_key_id, "SECRET": token.access_key_secret}
        variables = server.environment() | {f"OSS_ACCESS_KEY_{name}": value for name, value in found.items()}
        for name, value in (variables | {"OSS_SESSION_TOKEN": token.security_token}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("imgprep.core.clock.SystemClock.sleep", lambda self, seconds: pytest.fail("it waited"))
        assert main(["upload", str(batch), "--runs", str(tmp_path / "runs")]) == 2
    assert "SecurityTokenExpired" in capsys.readouterr().err


def test_newer_credentials_are_taken_where_there_are_some(tmp_path):
    batch, clock = make_batch(tmp_path / "batch", 6), FakeClock()
    with Sandbox(throttle=False) as server:
        settings = server.settings.with_(oss_credentials=Renewed(server, server.issue_token(seconds=60)))
        server.clock.advance(61)
        log = upload(batch, None, settings, progress=False, runs=tmp_path / "runs", clock=clock)
    assert log["outcome"].eq("uploaded").all()
