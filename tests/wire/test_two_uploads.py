"""Two uploads to one path, from two users or machines: the lock in the temporary folder does not see them."""

import importlib
import os
import subprocess
import sys
import threading

import pytest
from oss2.models import PartInfo

from imgprep.cloud.oss import list_folder, open_bucket
from imgprep.core.errors import ConfigError, StorageError
from imgprep.sandbox.faults import Fault
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.run import load_runs
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
from imgprep.ship.upload_plan import find_differing, wanted_items
from tests.wire.shipping import FakeClock, make_batch, make_images, write_batch

NAMES = [f"图 {at:05d}+%.jpg" for at in range(4)]


@pytest.fixture
def sandbox():
    with Sandbox(throttle=False) as server:
        yield server


@pytest.fixture
def batches(tmp_path):
    """Two batches with the same names, other images and other lines."""
    (tmp_path / "b").mkdir()
    other = make_images(tmp_path / "b" / "images", 4, seed=2).assign(CustomContent="k:w")
    return make_batch(tmp_path / "a", seed=1), write_batch(tmp_path / "b", other)


@pytest.fixture
def upload_as(sandbox, tmp_path, monkeypatch):
    """Upload as one of several users, each with a lock of their own."""
    monkeypatch.setattr("imgprep.core.lock._user", lambda: threading.current_thread().name)

    def run(batch, **options):
        return upload(batch, None, sandbox.settings, progress=False, runs=tmp_path / f"runs of {batch.name}", **options)

    return run


@pytest.fixture
def slower(upload_as, batches, monkeypatch):
    """An upload of batch A that has looked at the folder and sends its images once `send` is called."""
    module = importlib.import_module("imgprep.ship.upload")
    original, looked, may_send, ended = module.send_all, threading.Event(), threading.Event(), []

    def send_all(*arguments, **options):
        if threading.current_thread().name == "slower":
            looked.set()
            assert may_send.wait(60)
        return original(*arguments, **options)

    def run():
        try:
            ended.append(upload_as(batches[0]))
        except StorageError as error:
            ended.append(error)

    def send():
        may_send.set()
        thread.join(60)
        return ended[0]

    monkeypatch.setattr(module, "send_all", send_all)
    thread = threading.Thread(target=run, name="slower")
    thread.start()
    assert looked.wait(60)
    yield send
    may_send.set()
    thread.join(60)


def test_submit_refuses_images_that_another_upload_put_after_this_one_ended(
    sandbox, batches, upload_as, slower, tmp_path
):
    """The slower upload notices and fails; the faster one had ended well and cannot."""
    assert upload_as(batches[1])["outcome"].eq("uploaded").all()
    assert "two uploads to one path" in str(slower())
    with pytest.raises(ConfigError, match=rf"4 objects .* differ .*{NAMES[0][:7]}.*another path") as caught:
        submit(batches[1], sandbox.settings, runs=tmp_path / "runs", clock=FakeClock())
    assert all(name in str(caught.value) for name in NAMES)
    assert not sandbox.tasks() and not load_runs(tmp_path / "runs")

    assert upload_as(batches[1])["outcome"].tolist() == ["uploaded"] * 4 + ["unchanged"]
    assert submit(batches[1], sandbox.settings, runs=tmp_path / "runs", clock=FakeClock()).task_id


def test_an_upload_whose_images_are_replaced_while_it_writes_the_meta_fails(
    batches, upload_as, slower, monkeypatch, caplog
):
    module = importlib.import_module("imgprep.ship.upload")
    original = module.commit

    def commit(*arguments, **options):
        sent = original(*arguments, **options)
        if threading.current_thread().name != "slower":
            slower()
        return sent

    monkeypatch.setattr(module, "commit", commit)
    log = upload_as(batches[1])
    assert log["outcome"].tolist() == ["failed"] * 4 + ["uploaded"]
    assert log["message"].head(4).str.contains("another upload to this path; repeat this upload").all()
    assert "4 objects are missing or differ from this batch" in caplog.text and NAMES[3] in caplog.text
    monkeypatch.undo()
    assert upload_as(batches[1])["outcome"].tolist() == ["uploaded"] * 4 + ["unchanged"]


def test_an_upload_whose_meta_is_replaced_right_after_it_was_written_fails(sandbox, batches, upload_as, monkeypatch):
    module = importlib.import_module("imgprep.ship.upload")
    original = module.commit

    def commit(*arguments, **options):
        sent = original(*arguments, **options)
        open_bucket(sandbox.settings).put_object("increment/increment.meta", b"{}\n")
        return sent

    monkeypatch.setattr(module, "commit", commit)
    log = upload_as(batches[1])
    assert log["outcome"].tolist() == ["uploaded"] * 4 + ["failed"]


def test_the_commands_say_which_images_differ_and_end_with_the_documented_codes(sandbox, batches, tmp_path):
    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "imgprep", *words, "--runs", tmp_path / "runs"],
            env={**os.environ, **sandbox.environment()},
            capture_output=True,
            text=True,
        )

    assert run("upload", batches[1]).returncode == 0
    theirs = (batches[0] / "images" / NAMES[2]).read_bytes()
    open_bucket(sandbox.settings).put_object("increment/" + NAMES[2], theirs)
    done = run("submit", batches[1], "--no-follow")
    assert done.returncode == 2 and "increment/: 1 object is missing or differs" in done.stderr
    assert NAMES[2] in done.stderr and NAMES[1] not in done.stderr and not sandbox.tasks()
    assert run("upload", batches[1]).returncode == 0
    assert run("submit", batches[1], "--no-follow").returncode in (0, 3) and len(sandbox.tasks()) == 1


@pytest.fixture
def in_parts(sandbox, batches, upload_as):
    """Batch B in the bucket, its images put in parts: their ETags are no MD5."""
    upload_as(batches[1])
    bucket = open_bucket(sandbox.settings)

    def put(name, data):
        key = "increment/" + name
        begun = bucket.init_multipart_upload(key).upload_id
        part = bucket.upload_part(key, begun, 1, data)
        bucket.complete_multipart_upload(key, begun, [PartInfo(1, part.etag)])

    for name in NAMES:
        put(name, (batches[1] / "images" / name).read_bytes())
    return put


@pytest.mark.parametrize("way", ["crc64 by head", "no crc64 is returned", "the files are gone"])
def test_objects_whose_etag_is_no_md5_are_compared_by_crc64_or_by_their_bytes(
    sandbox, batches, in_parts, tmp_path, way
):
    ours = (batches[1] / "images" / NAMES[1]).read_bytes()
    if way == "no crc64 is returned":
        sandbox.set_faults(Fault("no_crc", operation="HeadObject"))
    if way == "the files are gone":
        (batches[1] / "images").rename(tmp_path / "elsewhere")
    in_parts(NAMES[1], ours[::-1])
    sandbox.forget_requests()
    with pytest.raises(ConfigError, match=r"1 object .*00001"):
        submit(batches[1], sandbox.settings, runs=tmp_path / "runs", clock=FakeClock())
    read = [request.key for request in sandbox.requests if request.operation == "GetObject"]
    assert len(read) == (0 if way == "crc64 by head" else 4)

    in_parts(NAMES[1], ours)
    assert submit(batches[1], sandbox.settings, runs=tmp_path / "runs", clock=FakeClock()).task_id


def test_an_etag_that_only_looks_like_an_md5_proves_no_difference(sandbox, tmp_path):
    """As after encryption by the bucket."""
    frame = make_images(tmp_path / "images", 3)
    upload(frame, tmp_path / "images", sandbox.settings, progress=False, runs=tmp_path)
    bucket, items = open_bucket(sandbox.settings), wanted_items(frame, tmp_path / "images", "increment/")
    stored = dict(list_folder(bucket, "increment/"))
    odd = {key: there._replace(etag="0" * 32) for key, there in stored.items()}
    assert find_differing(items, odd, bucket) == []
    bucket.put_object(items[1].key, bytes(items[1].bytes))
    assert find_differing(items, odd, bucket) == [items[1]]


def test_an_image_may_be_missing_only_where_its_lines_are_expected_to_be_refused(sandbox, tmp_path):
    frame = make_images(tmp_path / "images", 3)
    frame["expected"] = ["image-too-small", "imported", "imported"]
    items = wanted_items(frame, tmp_path / "images", "increment/")
    assert find_differing(items, {}, open_bucket(sandbox.settings)) == items[1:]


def test_without_access_to_the_bucket_submit_warns_and_without_an_answer_it_stops(
    sandbox, batches, upload_as, tmp_path, caplog
):
    upload_as(batches[1])
    sandbox.set_faults(Fault("503"))
    with pytest.raises(StorageError) as caught:
        submit(batches[1], sandbox.settings, runs=tmp_path / "runs", clock=FakeClock())
    assert caught.value.passing and not sandbox.tasks()
    sandbox.set_faults(Fault("denied"))
    assert submit(batches[1], sandbox.settings, runs=tmp_path / "runs", clock=FakeClock()).task_id
    assert "the upload is not checked" in caplog.text
