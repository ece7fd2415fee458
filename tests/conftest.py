"""What all tests share: none may leave a secret anywhere; each is searched for the keys that it used."""

import gc
import logging

import hypothesis
import pytest

import tests.light  # noqa: F401  before what imports jsonschema
from imgprep.core import language, processes
from imgprep.demo.history import make_history
from imgprep.sandbox import sandbox as sandboxes
from imgprep.sandbox.access import KeyRing
from tests import warm
from tests.commands import Commands
from tests.leaks import LOGGERS, Watch

# What collecting tests imports stays: looking for garbage in it takes a quarter of the time. `secret_watch` enables it.
gc.disable()

# A slow machine is no failure: nothing here asserts on time. The same examples each time: a test that fails tells of a
# change. New ones are tried with `--hypothesis-profile=search`, and by tests/fuzz.
# `make proof` tries more of the same.
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.register_profile("proof", deadline=None, derandomize=True)
hypothesis.settings.register_profile("imgprep", deadline=None, derandomize=True, max_examples=10)
hypothesis.settings.load_profile("imgprep")

#: These speak to the sandbox with the vendors' clients alone, whose logs are the vendors' affair.
VENDORS_ALONE = ("test_oss_sandbox", "test_imagesearch_sandbox")


@pytest.fixture(scope="session")
def secret_watch():
    """Collect the secrets of every key that a sandbox of this session makes or is given."""
    watch, patch = Watch(), pytest.MonkeyPatch()
    issue, add, find_key = KeyRing.issue, KeyRing.add, sandboxes.Sandbox._key
    patch.setattr(KeyRing, "issue", lambda *given, **more: watch.note(issue(*given, **more)))
    patch.setattr(KeyRing, "add", lambda *given, **more: watch.note(add(*given, **more)))
    patch.setattr(sandboxes.Sandbox, "_key", lambda self: watch.note(find_key(self)))
    gc.enable()
    yield watch
    gc.unfreeze()
    patch.undo()
    watch.look_at_reprs()
    watch.end()


@pytest.fixture(scope="module", autouse=True)
def what_is_older(secret_watch):
    """Leave out of each test's search what earlier files left alive; it is looked through once more at the end.

    Otherwise each test would go through what all tests before it have imported and kept: a second of CPU time each.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def warm_workers():
    """Let workers be forked where the system can; a test that is about how one starts sets PYTHONPATH."""
    with pytest.MonkeyPatch.context() as patch:
        if warm.FORKS:
            warm.begin()
            patch.setattr(processes, "subprocess", warm.STAND_IN)
        yield


@pytest.fixture(scope="session")
def demo_runs(tmp_path_factory):
    """Three weeks of the demo shop. A test that writes to a run's folder copies it first."""
    return make_history(tmp_path_factory.mktemp("weeks") / "runs", weeks=3)


@pytest.fixture(scope="session")
def commands():
    """Runs commands as `subprocess.run` does, without their imports."""
    running = Commands()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def no_project_open():
    """Forget the language of the project that another test opened last."""
    language._active.clear()


@pytest.fixture(autouse=True)
def no_secret_anywhere(request, secret_watch):
    """Search what the test logged, printed and left, and the repr of everything of ours that is alive.

    Reprs are looked at where a key was made since the last look, or where one server serves many tests.
    """
    alone = request.path.name.startswith(VENDORS_ALONE)
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    loggers = [logging.getLogger(name) for name in (LOGGERS[:1] if alone else LOGGERS)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(secret_watch)
        logger.setLevel(logging.DEBUG)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(secret_watch)
        logger.setLevel(level)
    if secret_watch.new or request.path.parent.name == "wire":
        secret_watch.look_at_reprs()
        secret_watch.new = False
    if folder is not None:
        secret_watch.look_at_files(folder)
    secret_watch.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """What a test printed, and what it would show if it failed, is searched too."""
    report = yield
    watch = getattr(item, "funcargs", {}).get("secret_watch")
    if watch is not None and call.when == "call":
        for name, text in report.sections:
            watch.look(text, f"the test's {name}")
    return report
