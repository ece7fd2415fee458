"""Each fault as oss2 sees it, and what is stored afterwards."""

import oss2
import pytest
from test_oss_sandbox import bucket_of

from imgprep.sandbox.faults import Fault
from imgprep.sandbox.sandbox import Sandbox

DATA = b"0123456789" * 20_000


@pytest.fixture
def sandbox():
    with Sandbox() as running:
        yield running


@pytest.fixture
def bucket(sandbox):
    return bucket_of(sandbox)


def stored(sandbox, key="a"):
    return sandbox.store.exists("imgprep-demo", key)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("503", 503, "SlowDown"),
        ("500", 500, "InternalError"),
        ("skew", 403, "RequestTimeTooSkewed"),
        ("expired_token", 403, "SecurityTokenExpired"),
        ("denied", 403, "AccessDenied"),
    ],
)
def test_faults_that_refuse_leave_nothing_stored(sandbox, bucket, kind, status, code):
    sandbox.set_faults(Fault(kind, count=1))
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.put_object("a", DATA)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert caught.value.request_id
    assert not stored(sandbox)
    bucket.put_object("a", DATA)
    assert stored(sandbox)
    assert [hits for _, hits in sandbox.fault_hits()] == [1]


def test_throttling_names_the_wait_and_has_several_codes(sandbox, bucket):
    sandbox.set_faults(Fault("503", code="QpsLimitExceeded", retry_after=2, qos_delay=150))
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.put_object("a", b"x")
    assert caught.value.code == "QpsLimitExceeded"
    assert caught.value.headers["Retry-After"] == "2"
    assert caught.value.headers["x-oss-qos-delay-time"] == "150"


@pytest.mark.parametrize("kind", ["reset", "reset_body"])
def test_a_broken_upload_stores_nothing(sandbox, bucket, kind):
    sandbox.set_faults(Fault(kind, operation="PutObject"))
    with pytest.raises(oss2.exceptions.RequestError):
        bucket.put_object("a", DATA)
    assert not stored(sandbox)
    assert [(item.status, item.fault) for item in sandbox.requests] == [(0, kind)]


def test_a_broken_download_gives_half_of_the_body(sandbox, bucket):
    bucket.put_object("a", DATA)
    sandbox.set_faults(Fault("reset_body", operation="GetObject"))
    answer = bucket.get_object("a")
    # oss2 raises something other than OssError for a truncated body: one of its traps.
    with pytest.raises(Exception) as caught:
        answer.read()
    assert not isinstance(caught.value, oss2.exceptions.OssError)


def test_a_lost_answer_leaves_the_object_stored(sandbox, bucket):
    sandbox.set_faults(Fault("answer_lost", operation="PutObject"))
    with pytest.raises(oss2.exceptions.RequestError):
        bucket.put_object("a", DATA)
    assert bucket.get_object("a").read() == DATA


def test_an_error_after_the_work_leaves_the_object_stored(sandbox, bucket):
    sandbox.set_faults(Fault("500_after", operation="PutObject"))
    with pytest.raises(oss2.exceptions.ServerError):
        bucket.put_object("a", DATA)
    assert stored(sandbox)


def test_a_wrong_crc_raises_after_the_store(sandbox, bucket):
    sandbox.set_faults(Fault("wrong_crc", operation="PutObject"))
    with pytest.raises(oss2.exceptions.InconsistentError):
        bucket.put_object("a", DATA)
    assert stored(sandbox)


def test_no_crc_goes_unnoticed_by_oss2(sandbox, bucket):
    sandbox.set_faults("no_crc")
    assert "x-oss-hash-crc64ecma" not in bucket.put_object("a", DATA).headers
    assert "x-oss-hash-crc64ecma" not in bucket.head_object("a").headers


def test_a_wrong_etag_is_another_one(sandbox, bucket):
    right = bucket.put_object("a", DATA).etag
    sandbox.set_faults("wrong_etag")
    assert bucket.put_object("a", DATA).etag not in ("", right)


def test_corrupt_bytes_are_seen_by_the_checksums_of_what_is_stored(sandbox, bucket):
    sandbox.set_faults(Fault("corrupt", operation="PutObject", count=1), Fault("corrupt", operation="GetObject"))
    with pytest.raises(oss2.exceptions.InconsistentError):
        bucket.put_object("a", DATA)
    assert sandbox.store.get("imgprep-demo", "a")[0] != DATA
    bucket.put_object("a", DATA)
    answer = bucket.get_object("a")
    assert answer.read() != DATA
    assert answer.client_crc != answer.server_crc


def test_a_stall_ends_with_the_clients_time_out(sandbox):
    bucket = bucket_of(sandbox, connect_timeout=0.3)
    sandbox.set_faults("stall")
    with pytest.raises(oss2.exceptions.RequestError):
        bucket.put_object("a", DATA)
    assert not stored(sandbox)


def test_a_stall_does_not_keep_the_sandbox_from_stopping():
    import threading

    with Sandbox(faults=["stall"]) as sandbox:
        bucket = bucket_of(sandbox)
        errors = []

        def put():
            try:
                bucket.put_object("a", b"x")
            except oss2.exceptions.RequestError as error:
                errors.append(error)

        thread = threading.Thread(target=put)
        thread.start()
        while not sandbox.requests:
            thread.join(0.01)
    thread.join()
    assert len(errors) == 1


def test_faults_by_rate_hit_some_matching_requests_and_no_others(sandbox, bucket):
    sandbox.set_faults(Fault("503", rate=0.2, operation="PutObject", key="k/*"))
    failed = 0
    for number in range(100):
        bucket.put_object(f"other/{number}", b"")
        try:
            bucket.put_object(f"k/{number}", b"")
        except oss2.exceptions.ServerError:
            failed += 1
    assert 5 <= failed <= 40
    assert sum(item.code == "SlowDown" for item in sandbox.requests) == failed


def test_faults_on_listings_and_heads(sandbox, bucket):
    sandbox.set_faults(Fault("503", operation="ListObjects"), Fault("500", operation="HeadObject"))
    with pytest.raises(oss2.exceptions.ServerError):
        bucket.list_objects()
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.head_object("a")
    assert caught.value.code == "InternalError"
