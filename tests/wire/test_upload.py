"""Uploads over real sockets, with everything that can go wrong on the way."""

import contextlib
import hashlib
import importlib
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from imgprep.cloud.connection import Connections
from imgprep.cloud.oss import open_bucket
from imgprep.cloud.put import Item, Sender
from imgprep.core.clock import SystemClock
from imgprep.core.credentials import Credentials, StaticCredentials
from imgprep.core.errors import ConfigError, StorageError
from imgprep.core.retry import Pace
from imgprep.sandbox.faults import Fault
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.upload import THREADS, upload
from imgprep.ship.upload_workers import send_all
from tests.wire.shipping import FakeClock, make_batch, make_blobs, write_batch


@pytest.fixture
def sandbox():
    with Sandbox() as server:
        yield server


@pytest.fixture
def send(sandbox, tmp_path):
    """Upload forty files without waiting for anything; returns the log and the requests by operation."""
    frame = make_blobs(tmp_path / "images", 40)

    def run(settings=None, **options):
        sandbox.forget_requests()
        options = {"progress": False, "clock": FakeClock(), "runs": tmp_path / "runs", "threads": 4, **options}
        log = upload(options.pop("batch", frame), tmp_path / "images", settings or sandbox.settings, **options)
        return log, Counter(request.operation for request in sandbox.requests)

    run.frame, run.folder = frame, tmp_path / "images"
    return run


def test_every_image_is_put_once_and_the_meta_last(send, sandbox):
    log, did = send()
    assert log["outcome"].eq("uploaded").all() and len(log) == 41
    assert did["PutObject"] == 41
    puts = [request.key for request in sandbox.requests if request.operation == "PutObject"]
    assert puts[-1] == "increment/increment.meta"
    assert log["verified"].value_counts().to_dict() == {"etag": 40, "readback": 1}


def test_a_repeated_upload_lists_once_and_puts_nothing(send):
    send()
    log, did = send()
    assert log["outcome"].eq("unchanged").all()
    assert did["ListObjects"] == 1 and did["PutObject"] == 0


@pytest.mark.parametrize(
    "kind", ["503", "500", "reset", "reset_body", "answer_lost", "500_after", "wrong_crc", "no_crc", "wrong_etag"]
)
def test_a_faulty_wire_loses_and_repeats_nothing(send, sandbox, kind):
    sandbox.set_faults(Fault(kind, rate=0.2, operation="PutObject"))
    log, did = send()
    hits = sum(count for _, count in sandbox.fault_hits())
    assert hits and log["outcome"].eq("uploaded").all()
    done_all_the_same = kind in ("answer_lost", "wrong_crc", "no_crc", "wrong_etag")
    assert did["PutObject"] == 41 if done_all_the_same else did["PutObject"] >= 41 + hits - 1


@pytest.mark.parametrize("operation", ["ListObjects", "HeadObject", "GetObject"])
@pytest.mark.parametrize("kind", ["503", "500", "reset", "reset_body", "answer_lost"])
def test_looking_is_tried_again_like_sending(send, sandbox, kind, operation):
    sandbox.set_faults(Fault(kind, operation=operation, count=3))
    log, did = send()
    assert log["outcome"].eq("uploaded").all() and did["PutObject"] == 41
    assert sum(count for _, count in sandbox.fault_hits()) == 3


def test_a_meta_that_was_changed_on_its_way_back_is_read_again(send, sandbox):
    sandbox.set_faults(Fault("corrupt", operation="GetObject", count=1))
    assert send()[0]["verified"].iloc[-1] == "readback"


@pytest.mark.parametrize(("kind", "code"), [("503", "SlowDown"), ("reset", None)])
def test_looking_is_given_up_after_a_while_and_can_be_repeated(send, sandbox, kind, code):
    sandbox.set_faults(Fault(kind, operation="ListObjects"))
    clock = FakeClock()
    with pytest.raises(StorageError) as caught:
        send(clock=clock, patience=90)
    assert caught.value.passing and caught.value.code == code
    assert 45 < sum(clock.slept) <= 90
    sandbox.set_faults()
    assert send()[0]["outcome"].eq("uploaded").all()


PAGE = "<ListBucketResult><IsTruncated>{}</IsTruncated>{}</ListBucketResult>"
THING = (
    "<Contents><Key>a</Key><LastModified>yesterday</LastModified><ETag>x</ETag><Type>N</Type><Size>1</Size></Contents>"
)


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("<html><body>Log in to the hotel</body></html>", "login page"),
        ("<html>Log in<br>to the hotel", "login page"),
        (PAGE.format("false", THING), "login page"),
        (PAGE.format("true", "<NextMarker></NextMarker>"), "does not continue"),
    ],
)
def test_a_login_page_is_no_list(send, sandbox, page, says):
    class Portal(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Portal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(StorageError, match=says):
            send(sandbox.settings.with_(oss_endpoint=f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()


def test_a_checksum_that_is_no_number_is_as_good_as_none(send, monkeypatch):
    exchange = Connections.exchange

    def mangled(self, *asked, **options):
        status, headers, text = exchange(self, *asked, **options)
        headers["x-oss-hash-crc64ecma"] = "none"
        return status, headers, text

    monkeypatch.setattr(Connections, "exchange", mangled)
    log, did = send()
    assert log["verified"].value_counts().to_dict() == {"head": 40, "readback": 1} and did["PutObject"] == 41


def test_credentials_that_run_out_while_looking_are_asked_for_again(send, sandbox):
    class Changing:
        asked = 0

        def credentials(self):
            self.asked += 1
            return sandbox.settings.oss_credentials.credentials() if self.asked > 1 else old

    old = sandbox.issue_token(60)
    sandbox.set_faults(Fault("expired_token", operation="ListObjects", count=1))
    assert send(sandbox.settings.with_(oss_credentials=Changing()))[0]["outcome"].eq("uploaded").all()


def test_bytes_that_were_corrupted_on_the_way_are_sent_again(send, sandbox):
    sandbox.set_faults(Fault("corrupt", rate=0.2, operation="PutObject"))
    assert send()[0]["outcome"].eq("uploaded").all()
    sandbox.set_faults()
    assert send()[0]["outcome"].eq("unchanged").all()


def test_what_is_corrupted_again_and_again_fails_and_the_meta_stays_unwritten(send, sandbox):
    sandbox.set_faults(Fault("corrupt", operation="PutObject", key="*00007*"))
    log, _ = send()
    assert log["outcome"].value_counts().to_dict() == {"uploaded": 39, "failed": 2}
    assert log.iloc[-1]["outcome"] == "failed" and "1 of 40" in log.iloc[-1]["message"]
    assert not [r for r in sandbox.requests if r.operation == "PutObject" and r.key.endswith("increment.meta")]
    sandbox.set_faults()
    log, did = send()
    assert log["outcome"].value_counts().to_dict() == {"unchanged": 39, "uploaded": 2} and did["PutObject"] == 2


def test_a_file_that_changed_since_it_was_planned_is_reported_and_stops_the_meta(send):
    file = send.folder / send.frame["file"][3]
    file.write_bytes(b"another" + file.read_bytes()[7:])
    log, _ = send()
    assert log["outcome"].value_counts().to_dict() == {"uploaded": 39, "changed": 1, "failed": 1}


def test_a_file_that_is_missing_fails_unless_it_was_expected_to_be_refused(send):
    (send.folder / send.frame["file"][0]).unlink()
    assert send()[0]["outcome"].value_counts().to_dict() == {"uploaded": 39, "failed": 2}
    frame = send.frame.assign(expected=["image-missing"] + ["imported"] * 39)
    assert send(batch=frame)[0]["outcome"].value_counts().to_dict() == {"unchanged": 39, "missing": 1, "uploaded": 1}


def test_what_is_no_file_and_what_is_no_digest_fail_alone(send):
    """A pipe is not even opened: it could be waited for without end."""
    names = send.frame["PicName"]
    for name, make in ((names[0], os.mkdir), (names[1], getattr(os, "mkfifo", os.mkdir))):
        (send.folder / name).unlink()
        make(send.folder / name)
    digests = send.frame["digest"].where(send.frame.index != 2, "5ha1")
    log, _ = send(batch=send.frame.assign(digest=digests))
    assert log["outcome"].tolist() == ["failed"] * 3 + ["uploaded"] * 37 + ["failed"]
    assert log["message"][:2].str.contains("not a file").all() and "not an MD5" in log["message"][2]


def test_names_never_lead_out_of_the_folder(send, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"x")
    frame = send.frame.head(1).assign(PicName="../secret.jpg", file="../secret.jpg", digest=None)
    log, did = send(batch=frame)
    assert log["outcome"].tolist() == ["failed", "failed"] and did["PutObject"] == 0


@pytest.mark.parametrize(("kind", "code"), [("denied", "AccessDenied"), ("skew", "RequestTimeTooSkewed")])
def test_what_no_file_gets_past_stops_at_once(send, sandbox, kind, code):
    sandbox.set_faults(Fault(kind, operation="PutObject"))
    with pytest.raises(StorageError) as caught:
        send()
    assert caught.value.code == code and caught.value.request_id and caught.value.__cause__ is not None
    assert len([r for r in sandbox.requests if r.operation == "PutObject"]) <= 8


def test_no_bucket_another_region_and_a_wrong_secret_are_distinguished(send, sandbox):
    with pytest.raises(StorageError, match=r"NoSuchBucket.*create the bucket"):
        send(sandbox.settings.with_(bucket="another-bucket"))
    with pytest.raises(StorageError, match=r"the bucket is in another region: set the bucket's region"):
        send(sandbox.settings.with_(region="cn-hangzhou"))
    key = sandbox.settings.oss_credentials.credentials()
    wrong = StaticCredentials(Credentials(key.access_key_id, "not-the-secret"))
    with pytest.raises(StorageError, match="SignatureDoesNotMatch"):
        send(sandbox.settings.with_(oss_credentials=wrong))
    unknown = StaticCredentials(Credentials("LTAIunknown", "not-the-secret"))
    with pytest.raises(StorageError, match=r"InvalidAccessKeyId.*set another"):
        send(sandbox.settings.with_(oss_credentials=unknown))


def test_expired_credentials_are_asked_for_again(send, sandbox):
    old, new = sandbox.issue_token(60), sandbox.issue_token(100_000)
    sandbox.clock.advance(3600)

    class Provider:
        asked = 0

        def credentials(self):
            self.asked += 1
            return old if self.asked == 1 else new

    provider, clock = Provider(), FakeClock()
    bucket = open_bucket(sandbox.settings.with_(oss_credentials=provider))
    sender = Sender(bucket, clock, Pace(2, clock), patience=60, stop=threading.Event())
    sent = sender.send_bytes(Item("increment/a.jpg", "a.jpg", "", 3, None), b"abc")
    assert (sent.outcome, sent.attempts, provider.asked) == ("uploaded", 2, 2)
    with pytest.raises(StorageError, match="expired"):
        send(sandbox.settings.with_(oss_credentials=StaticCredentials(old)))


def test_what_oss_asks_to_wait_is_waited(send, sandbox):
    sandbox.set_faults(
        Fault("503", count=3, operation="PutObject", retry_after=17),
        Fault("503", count=1, operation="PutObject", qos_delay=31_000),
    )
    clock = FakeClock()
    assert send(clock=clock)[0]["outcome"].eq("uploaded").all()
    assert sum(clock.slept) >= 3 * 17 + 31


def test_an_interrupt_is_heard_while_every_thread_waits(sandbox, tmp_path):
    (tmp_path / "batch").mkdir()
    write_batch(tmp_path / "batch", make_blobs(tmp_path / "batch/images", 20))
    sandbox.set_faults(Fault("503", operation="PutObject", retry_after=100))
    child = subprocess.Popen(
        [sys.executable, "-m", "imgprep", "upload", str(tmp_path / "batch"), "--runs", str(tmp_path / "runs")],
        env={**os.environ, **sandbox.environment()},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while child.poll() is None and sum(request.status == 503 for request in sandbox.requests) < THREADS:
        time.sleep(0.01)  # looks again; nothing is asserted on time
    child.send_signal(signal.SIGINT)
    errors = child.communicate(timeout=60)[1]  # a pause is 100 seconds
    assert (child.returncode, "interrupted; run the command again" in errors) == (3, True)


def test_a_server_that_takes_nothing_is_given_up(send, sandbox):
    sandbox.set_faults(Fault("500", operation="PutObject"))
    with pytest.raises(StorageError, match="has stored nothing"):
        send(patience=60)


def test_without_the_right_to_list_each_object_is_asked_for(sandbox, send, caplog):
    sandbox.set_faults(Fault("denied", operation="ListObjects"))
    with caplog.at_level(logging.WARNING):
        assert send()[0]["outcome"].eq("uploaded").all()
        log, did = send()
    assert log["outcome"].eq("unchanged").all() and did["HeadObject"] >= 41 and did["PutObject"] == 0
    assert "may not list" in caplog.text


def test_strays_are_named_and_left(send, sandbox):
    send()
    log, did = send(batch=send.frame.head(39), replace=True)
    assert log.attrs["strays"]["key"].tolist() == ["increment/" + send.frame["PicName"][39]]
    assert did["DeleteObject"] == 0


def test_a_meta_of_unknown_origin_is_not_replaced_without_the_option(send):
    send()
    with pytest.raises(ConfigError, match="replace=True"):
        send(batch=send.frame.head(39))
    assert send(batch=send.frame.head(39), replace=True)[0].iloc[-1]["outcome"] == "uploaded"


def test_a_dry_run_sends_nothing(send):
    log, did = send(dry_run=True)
    assert log["outcome"].eq("planned").all() and did["PutObject"] == 0


def test_somebody_elses_meta_written_meanwhile_is_detected(send, sandbox, monkeypatch):
    module = importlib.import_module("imgprep.ship.upload")

    original = module._look_again

    def meanwhile(*arguments):
        open_bucket(sandbox.settings).put_object("increment/increment.meta", b"{}\n")
        return original(*arguments)

    monkeypatch.setattr(module, "_look_again", meanwhile)
    with pytest.raises(StorageError, match="two uploads to one path"):
        send()


def test_an_image_overwritten_meanwhile_is_detected(send, sandbox, monkeypatch):
    module = importlib.import_module("imgprep.ship.upload")

    original = module._look_again

    def meanwhile(*arguments):
        open_bucket(sandbox.settings).put_object("increment/" + send.frame["PicName"][5], b"theirs")
        return original(*arguments)

    monkeypatch.setattr(module, "_look_again", meanwhile)
    assert send()[0]["outcome"].value_counts().to_dict() == {"uploaded": 39, "failed": 2}


def test_two_uploads_to_one_path_on_one_machine_are_detected(send, sandbox):
    from imgprep.core.lock import only_one

    at = sandbox.settings
    with (
        only_one(f"upload to {at.oss_url} {at.bucket}/{at.prefix}"),
        pytest.raises(ConfigError, match="already running in another process"),
    ):
        send()


def test_several_processes_send_everything(sandbox, tmp_path):
    frame = make_blobs(tmp_path / "images", 420, size=100)
    log = upload(frame, tmp_path / "images", sandbox.settings, progress=False, runs=tmp_path, processes=2, threads=2)
    assert log["outcome"].eq("uploaded").all()
    assert len([r for r in sandbox.requests if r.operation == "PutObject"]) == 421


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_while_files_are_waited_for_as_many_threads_run_as_were_asked_for(sandbox, tmp_path):
    """A pipe can be opened for writing once somebody reads it: all four are opened before one is fed."""
    data = random.Random(1).randbytes(9000)
    pipes = [tmp_path / f"{at}.jpg" for at in range(4)]
    items = [Item(f"increment/{pipe.name}", pipe.name, str(pipe), 1, hashlib.md5(data).hexdigest()) for pipe in pipes]
    for pipe in pipes:
        os.mkfifo(pipe)

    def feed():
        with contextlib.ExitStack() as stack:
            for file in [stack.enter_context(pipe.open("wb")) for pipe in pipes]:
                file.write(data)

    feeding = threading.Thread(target=feed, daemon=True)
    feeding.start()
    options = {"threads": 4, "processes": 1, "patience": 60, "clock": SystemClock()}
    sent = list(send_all(sandbox.settings, open_bucket(sandbox.settings), items, **options))
    assert [one.verified for one in sent] == ["etag"] * 4, "and read to their end, whatever size was noted"
    feeding.join(30)


def test_another_process_stops_the_upload_with_its_own_word(sandbox, tmp_path):
    frame = make_blobs(tmp_path / "images", 420, size=100)
    sandbox.set_faults(Fault("denied", operation="PutObject"))
    with pytest.raises(StorageError, match="AccessDenied"):
        upload(frame, tmp_path / "images", sandbox.settings, progress=False, runs=tmp_path, processes=3, threads=1)


def test_settings_that_cannot_go_to_another_process_are_refused(sandbox, tmp_path):
    class Here:
        def credentials(self):
            return sandbox.settings.oss_credentials.credentials()

    frame, settings = make_blobs(tmp_path / "images", 420, size=100), sandbox.settings.with_(oss_credentials=Here())
    with pytest.raises(ConfigError, match="pickled"):
        upload(frame, tmp_path / "images", settings, progress=False, runs=tmp_path, processes=2)


def test_files_that_end_their_worker_are_named_and_the_rest_is_sent(sandbox, tmp_path, monkeypatch):
    (tmp_path / "deadly_keys.py").write_text(
        "import os, signal\n"
        "class Provider:\n"
        "    def credentials(self):\n"
        "        if os.getpid() != self.parent:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return self.found\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    import deadly_keys

    provider = deadly_keys.Provider()
    provider.found, provider.parent = sandbox.settings.oss_credentials.credentials(), os.getpid()
    frame, settings = make_blobs(tmp_path / "images", 420, size=100), sandbox.settings.with_(oss_credentials=provider)
    log = upload(frame, tmp_path / "images", settings, progress=False, runs=tmp_path, processes=2)
    lost, meta = log.iloc[:-1].query("outcome == 'failed'"), log.iloc[-1]
    assert len(lost) == 100, "one lot of five; the other four were sent by this process"
    assert meta["outcome"] != "uploaded", "increment.meta is written only when every image is there"
    assert lost["message"].str.contains(r"SIGKILL.*twice.*repeat the upload, with processes=1").all()
    assert log["outcome"].value_counts()["uploaded"] == 320


def test_two_thousand_files_under_every_fault_end_complete(sandbox, tmp_path):
    frame = make_blobs(tmp_path / "images", 2000, size=200)
    sandbox.set_faults(*(Fault(kind, rate=0.01, operation="PutObject", seed=at) for at, kind in enumerate(
        ["503", "reset", "answer_lost", "wrong_crc"])))  # fmt: skip
    log = upload(
        frame, tmp_path / "images", sandbox.settings, progress=False, clock=FakeClock(), runs=tmp_path, threads=4
    )
    assert log["outcome"].eq("uploaded").all()
    puts = Counter(r.key for r in sandbox.requests if r.operation == "PutObject" and r.status == 200)
    assert set(puts.values()) == {1}, "an object that was stored is not stored again"
    sandbox.set_faults()
    again = upload(frame, tmp_path / "images", sandbox.settings, progress=False, clock=FakeClock(), runs=tmp_path)
    assert again["outcome"].eq("unchanged").all()


def test_no_secret_is_logged(sandbox, tmp_path, caplog):
    token = sandbox.issue_token(3600)
    settings = sandbox.settings.with_(
        oss_credentials=StaticCredentials(token), imagesearch_credentials=StaticCredentials(token)
    )
    with caplog.at_level(logging.DEBUG):
        upload(make_batch(tmp_path / "batch"), None, settings, progress=False, runs=tmp_path / "runs")
    assert caplog.text
    for secret in (token.access_key_secret, token.security_token):
        assert secret not in caplog.text
        assert all(secret.encode() not in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
