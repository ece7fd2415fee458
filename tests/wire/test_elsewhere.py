"""Every step on an executor gives what it gives here, from a folder, a zip or OSS, and sends its workers no secret."""

import pickle
import shutil
from concurrent.futures import Future

import pandas as pd
import pytest

from imgprep.core.errors import ConfigError
from imgprep.core.settings import OssRoot
from imgprep.draw.suggest import suggest_regions
from imgprep.fix.prepare import prepare_images
from imgprep.look.duplicates import find_duplicates
from imgprep.look.inspect import inspect_images
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.upload import upload
from tests.unit.images_made import encoded, photo, turned
from tests.wire.shipping import make_batch

FILES = {
    "a.jpg": encoded(photo(1)),
    "b.jpg": encoded(photo(1), quality=70),
    "new/turned.jpg": turned(photo(2), 6),
    "page.jpg": b"<html>",
}
NAMES = [*FILES, "gone.jpg"]


class Elsewhere:
    """An executor of one thread whose worker gets only what is pickled, and is done when it is asked."""

    _max_workers = 1

    def __init__(self):
        self.sent = []

    def submit(self, *call):
        self.sent.append(pickle.dumps(call))
        future = Future()
        try:
            function, *arguments = pickle.loads(self.sent[-1])
            future.set_result(pickle.loads(pickle.dumps(function(*arguments))))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(task_seconds=0, buckets=["their-photos"]) as server:
        yield server


@pytest.fixture
def elsewhere(sandbox, monkeypatch):
    """An executor whose workers have the sandbox's key in their environment."""
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    executor = Elsewhere()
    yield executor
    key = sandbox.settings.oss_credentials.credentials()
    assert executor.sent
    for sent in executor.sent:
        assert key.access_key_secret.encode() not in sent and key.access_key_id.encode() not in sent


@pytest.fixture(params=["folder", "zip", "oss"])
def root(request, sandbox, tmp_path):
    folder = tmp_path / "root"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        sandbox.store.put("their-photos", f"photos/{name}", data, modified=1_790_000_000.0)
    if request.param == "folder":
        return folder
    if request.param == "zip":
        return shutil.make_archive(str(tmp_path / "photos"), "zip", folder)
    return OssRoot.parse("oss://their-photos/photos", sandbox.settings)


def test_facts_copies_duplicates_and_suggestions_are_the_same(root, elsewhere, tmp_path):
    facts = inspect_images(NAMES, root, progress=False)
    pd.testing.assert_frame_equal(inspect_images(NAMES, root, executor=elsewhere, progress=False), facts)
    logs = [
        prepare_images(facts, root, tmp_path / name, executor=executor, progress=False)
        for name, executor in (("here", None), ("there", elsewhere))
    ]
    pd.testing.assert_frame_equal(*logs)
    assert (tmp_path / "there" / "new/turned.jpg").read_bytes() == (tmp_path / "here" / "new/turned.jpg").read_bytes()
    groups = [find_duplicates(facts, root=root, executor=executor) for executor in (None, elsewhere)]
    pd.testing.assert_frame_equal(*groups)
    found = [suggest_regions(NAMES, root, executor=executor, progress=False) for executor in (None, elsewhere)]
    pd.testing.assert_frame_equal(*found)
    assert found[0]["problem"].notna().tolist() == [False, False, False, True, True]


def test_a_folder_that_a_worker_does_not_have_is_no_folder_of_missing_images(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(FILES["a.jpg"])
    from imgprep.look import inspect

    def mounted_elsewhere(target, tasks, **options):
        yield from ((task, {"PicName": task[1], "exists": False, "problem": "missing"}) for task in tasks)

    monkeypatch.setattr(inspect, "run_tasks", mounted_elsewhere)
    with pytest.raises(ConfigError, match=r"cannot find a\.jpg.*same path on every worker"):
        inspect_images(["a.jpg"], tmp_path, executor=Elsewhere(), progress=False)


def test_an_image_is_sent_by_a_worker_that_reads_it_and_increment_meta_by_the_caller(sandbox, elsewhere, tmp_path):
    batch = make_batch(tmp_path, 6)
    seen = []

    class Watching(Elsewhere):
        def submit(self, *call):
            future = super().submit(*call)
            seen.extend(entry.key for entry in sandbox.store.iter(sandbox.switches.bucket))
            return future

    watching = Watching()
    watching.sent = elsewhere.sent
    log = upload(batch, None, sandbox.settings, executor=watching, progress=False, runs=tmp_path)
    assert log["outcome"].tolist() == ["uploaded"] * 7
    assert len(seen) == 6 and not any(key.endswith("increment.meta") for key in seen)


def test_what_no_worker_reads_or_returns_is_sent_from_here(sandbox, elsewhere, tmp_path, monkeypatch):
    batch = make_batch(tmp_path, 6, seed=1)
    unreadable = {file.name for file in (batch / "images").iterdir()} - {"图 00001+%.jpg"}
    monkeypatch.setattr(
        "imgprep.ship.upload_workers.os.path.exists", lambda file: str(file).split("/")[-1] not in unreadable
    )
    log = upload(batch, None, sandbox.settings, executor=elsewhere, replace=True, progress=False, runs=tmp_path)
    assert log["outcome"].tolist()[:6] == ["uploaded"] * 6


def test_a_lot_whose_worker_was_lost_sends_no_image_again(sandbox, elsewhere, tmp_path):
    batch = make_batch(tmp_path, 6, seed=3)

    class Losing(Elsewhere):
        """Dask gives a lost worker's lot to another one."""

        def submit(self, *call):
            super().submit(call[0], call[1][:4], *call[2:]).result()
            return super().submit(*call)

    losing = Losing()
    losing.sent = elsewhere.sent
    sandbox.forget_requests()
    log = upload(batch, None, sandbox.settings, executor=losing, replace=True, progress=False, runs=tmp_path)
    assert log["outcome"].tolist()[:6] == ["uploaded"] * 6
    assert sum(request.operation == "PutObject" and request.key.endswith(".jpg") for request in sandbox.requests) == 6


def test_a_worker_without_credentials_is_named(sandbox, tmp_path, monkeypatch):
    for name in (
        "OSS_ACCESS_KEY_ID",
        "OSS_ACCESS_KEY_SECRET",
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    ):
        monkeypatch.delenv(name, raising=False)
    batch = make_batch(tmp_path, 3, seed=2)
    with pytest.raises(ConfigError, match=r"worker on .*credentials"):
        upload(batch, None, sandbox.settings, executor=Elsewhere(), replace=True, progress=False, runs=tmp_path)
