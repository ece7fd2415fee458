"""The watch over secrets finds them wherever they stand; a watch that is blind would guard nothing."""

import logging
import subprocess
import sys

import pytest

from imgprep.core.credentials import Credentials
from imgprep.core.settings import Settings
from imgprep.sandbox.sandbox import Sandbox
from tests.leaks import Watch

KEY = Credentials("the-id", "the-secret-of-the-test", "the-token-of-the-test")


@pytest.fixture
def watch():
    made = Watch()
    made.note(KEY)
    return made


def test_the_keys_of_every_sandbox_are_known_to_the_watch(secret_watch):
    with Sandbox() as server:
        keys = [server.settings.oss_credentials.credentials(), server.issue_token(60), server.add_user()]
        assert {key.access_key_secret for key in keys} <= secret_watch.secrets[True]
        assert keys[1].security_token in secret_watch.secrets[True]


@pytest.mark.parametrize("secret", [KEY.access_key_secret, KEY.security_token])
def test_a_secret_in_a_log_is_found_also_among_its_arguments(watch, secret):
    logger = logging.getLogger("imgprep.somewhere")
    logger.addHandler(watch)
    logger.warning("signed with %s", {"key": secret})
    logger.removeHandler(watch)
    assert watch.found == ["the log of imgprep.somewhere: 'signed with %s'"]


def test_a_secret_in_a_repr_is_found(watch, monkeypatch):
    monkeypatch.setattr("tests.leaks.REPRS_OF_A_KIND", 1_000_000)  # those of earlier tests may still be alive
    settings = Settings(bucket=KEY.access_key_secret)
    watch.look_at_reprs()
    assert "the repr of a Settings" in watch.found and settings


def test_a_secret_in_a_file_is_found_unless_it_is_the_sandboxs_own(watch, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "key.json").write_text(KEY.access_key_secret)
    watch.look_at_files(tmp_path)
    assert not watch.found
    (tmp_path / "run" / "run.json").write_text(f"x{KEY.security_token}x")
    watch.look_at_files(tmp_path)
    assert [where.rpartition("/")[2] for where in watch.found] == ["run.json"]


def test_a_key_of_a_sandbox_in_another_process_is_found_by_its_shape(tmp_path):
    started = "from imgprep import Sandbox; s = Sandbox(); print(s.environment(), s.issue_token(60).security_token)"
    done = subprocess.run([sys.executable, "-c", started], capture_output=True, text=True, check=True, timeout=60)
    for at, text in enumerate(done.stdout.rsplit(maxsplit=1)):
        watch = Watch()
        (tmp_path / f"{at}.ipynb").write_text(text)
        watch.look_at_files(tmp_path)
        watch.look(text, "what it printed")
        assert [where.rpartition("/")[2] for where in watch.found] == [f"{at}.ipynb", "what it printed"]
        (tmp_path / f"{at}.ipynb").unlink()
