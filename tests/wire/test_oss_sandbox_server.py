"""The HTTP server on raw sockets, and what survives a restart. Nothing that a client sends may end it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import oss2
import pytest
from test_oss_sandbox import bucket_of

from imgprep.sandbox import server
from imgprep.sandbox.http import http_date
from imgprep.sandbox.sandbox import Sandbox


@pytest.fixture
def sandbox():
    with Sandbox() as running:
        yield running


def talk(sandbox, data, *, finish=True):
    """Send bytes and return all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as connection:
        connection.sendall(data)
        if finish:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while piece := connection.recv(65_536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


HOST = b"Host: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
        (b"GET / HTTP/1.1\r\n\r\n", b"421"),
        (b"GET /\r\n\r\n", b"400"),
        (b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n" + HOST + b"\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n folded: x\r\n" + HOST + b"\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", b"400"),
        (b"PUT /imgprep-demo/a HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", b"400"),
        (b"PUT /imgprep-demo/a HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (
            b"PUT /imgprep-demo/a HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
            b"400",
        ),
        (b"PUT /imgprep-demo/a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rY: b\r\n\r\n", b"400"),
        (b"GET /\rX HTTP/1.1\r\n" + HOST + b"\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Content Length: 5\r\n\r\n", b"400"),
        (b"GET http://evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n", b"421"),
        (b"GET http://127.0.0.1@evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n", b"421"),
        (b"GET / HTTP/1.1\r\nHost: [::1]evil.example\r\n\r\n", b"421"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:80@evil.example\r\n\r\n", b"421"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:80:90\r\n\r\n", b"421"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:\r\n\r\n", b"421"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431"),
    ],
)
def test_malformed_requests_get_an_error_and_the_connection_is_closed(sandbox, data, status):
    assert talk(sandbox, data).startswith(b"HTTP/1.1 " + status)
    bucket_of(sandbox).put_object("still", b"there")


@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        (b"zz\r\n", b"400"),
        (b"-5\r\n", b"400"),
        (b"+5\r\nhello\r\n0\r\n\r\n", b"400"),
        (b"0x5\r\nhello\r\n0\r\n\r\n", b"400"),
        (b"1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n", b"400"),
        (b" 5\r\nhello\r\n0\r\n\r\n", b"400"),
        (b"5;a\rb\r\nhello\r\n0\r\n\r\n", b"400"),
        (b"5\r\nhelloo\r\n0\r\n\r\n", b"400"),
        (b"00000000000000005\r\nhello\r\n0\r\n\r\n", b"400"),
        (b"fffffffff\r\n", b"413"),
        (b"5;name=value\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", b"200"),
    ],
)
def test_chunks_are_read_by_the_letter(sandbox, chunks, status):
    target = bucket_of(sandbox).sign_url("PUT", "a", 600).removeprefix(sandbox.url).encode()
    head = b"PUT " + target + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert talk(sandbox, head + chunks).startswith(b"HTTP/1.1 " + status)
    assert sandbox.store.exists("imgprep-demo", "a") == (status == b"200")


def test_a_client_that_lies_about_its_length_stores_nothing(sandbox):
    assert talk(sandbox, b"PUT /imgprep-demo/a HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\nshort") == b""
    assert not sandbox.store.exists("imgprep-demo", "a")


def test_an_absurd_length_is_refused_at_once(sandbox):
    head = b"PUT /imgprep-demo/a HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n"
    assert b"EntityTooLarge" in talk(sandbox, head, finish=False)


def test_a_length_with_many_digits_is_not_cut_to_another(sandbox):
    one = b"PUT /imgprep-demo/a HTTP/1.1\r\n" + HOST + b"Content-Length: %s\r\n\r\n"
    smuggled = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
    answer = talk(sandbox, one % (b"%025d" % len(smuggled)) + smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1
    for length in (b"1" + b"0" * 20, b"0" * 20 + b"9" * 21):
        answer = talk(sandbox, one % length + smuggled, finish=False)
        assert b"EntityTooLarge" in answer and answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE"])
def test_a_body_that_means_nothing_is_not_waited_for(sandbox, method):
    head = method + b" /imgprep-demo/a HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n"
    began = time.monotonic()
    assert talk(sandbox, head, finish=False).startswith(b"HTTP/1.1 403")
    assert time.monotonic() - began < 10
    again = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
    assert talk(sandbox, head + again).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("more", [b"Content-Length: 200000000\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize("signed", [b"", b"Authorization: OSS unknown:c2ln\r\n", b"x-acs-action: Detail\r\n"])
def test_a_large_body_is_not_read_before_its_sender_is_known(sandbox, more, signed):
    date = f"Date: {http_date(time.time())}\r\n".encode()
    head = b"PUT /imgprep-demo/a HTTP/1.1\r\n" + HOST + date + more + signed + b"\r\n"
    status = b"413" if b"acs" in signed else b"403"
    assert talk(sandbox, head, finish=False).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("signed", [False, True])
def test_large_bodies_of_unknown_senders_take_no_memory(sandbox, signed):
    key = sandbox.settings.oss_credentials.credentials().access_key_id
    lines = [f"Date: {http_date(time.time())}", "Content-Length: 20000000"]
    lines += [f"Authorization: OSS {key}:c2ln"] if signed else []
    head = b"PUT /imgprep-demo/a HTTP/1.1\r\n" + HOST + "\r\n".join([*lines, "", ""]).encode()
    piece = b"x" * 100_000

    def send(_):
        with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as connection:
            try:
                for data in (head, *[piece] * 200):
                    connection.sendall(data)
            except OSError:  # refused and closed
                pass

    tracemalloc.start()
    try:
        with ThreadPoolExecutor(4) as senders:
            list(senders.map(send, range(4)))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_large_bodies_of_known_senders_are_stored_whole(sandbox):
    for version in (oss2.AUTH_VERSION_1, oss2.AUTH_VERSION_4):
        bucket = bucket_of(sandbox, version=version)
        bucket.put_object("large", b"x" * 3_000_000)
        bucket.put_object("chunked", iter([b"y" * 100_000] * 20))
        assert [bucket.head_object(key).content_length for key in ("large", "chunked")] == [3_000_000, 2_000_000]


def test_requests_in_one_packet_are_answered_in_their_order(sandbox):
    one = b"GET /imgprep-demo/%s HTTP/1.1\r\n" + HOST + b"\r\n"
    answer = talk(sandbox, one % b"a" + one % b"b")
    assert answer.count(b"HTTP/1.1 403") == 2


def test_continue_is_sent_on_request(sandbox):
    head = b"PUT /imgprep-demo/a HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx"
    assert talk(sandbox, head).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403")


def test_a_slow_client_is_disconnected(sandbox, monkeypatch):
    monkeypatch.setattr(server, "READ_SECONDS", 0.05)
    assert talk(sandbox, b"GET / HTTP/1.1\r\nHo", finish=False) == b""


def test_a_slow_body_is_dropped_and_not_stored(sandbox, monkeypatch):
    monkeypatch.setattr(server, "READ_SECONDS", 0.05)
    head = b"PUT /imgprep-demo/a HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nx"
    assert talk(sandbox, head, finish=False) == b""


def test_too_many_connections_do_not_end_existing_ones(sandbox, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    bucket = bucket_of(sandbox)
    bucket.put_object("a", b"x")
    others = [socket.create_connection(("127.0.0.1", sandbox.port), timeout=5) for _ in range(4)]
    bucket.put_object("b", b"x")
    for other in others:
        other.close()


def test_only_loopback_is_listened_on(sandbox):
    assert sandbox._server._listener.getsockname()[0] == "127.0.0.1"


def test_many_clients_at_once_lose_nothing(sandbox):
    def work(name):
        bucket = bucket_of(sandbox)
        for number in range(25):
            bucket.put_object(f"{name}/{number}", name.encode())
            bucket.put_object("shared", name.encode())

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bucket = bucket_of(sandbox)
    assert sum(1 for _ in oss2.ObjectIterator(bucket, max_keys=7)) == 151
    assert bucket.get_object("shared").read() in {f"t{number}".encode() for number in range(6)}


def test_objects_uploads_and_the_key_survive_a_restart(tmp_path):
    with Sandbox(tmp_path) as first:
        bucket = bucket_of(first)
        bucket.put_object("中/a", b"x", headers={"x-oss-meta-a": "b", "Content-Type": "image/png"})
        etag = bucket.put_object("b", b"y").etag
        bucket.delete_object("b")
        upload = bucket.init_multipart_upload("big").upload_id
        part = bucket.upload_part("big", upload, 1, b"part")
        environment = first.environment()
    with Sandbox(tmp_path, port=first.port) as second:
        assert second.environment() == environment
        bucket = bucket_of(second)
        assert [item.key for item in oss2.ObjectIterator(bucket)] == ["中/a"]
        head = bucket.head_object("中/a")
        assert (head.headers["x-oss-meta-a"], head.content_type) == ("b", "image/png")
        assert [item.etag for item in bucket.list_parts("big", upload).parts] == [part.etag]
        bucket.complete_multipart_upload("big", upload, [oss2.models.PartInfo(1, part.etag)])
        assert bucket.get_object("big").read() == b"part"
        assert bucket.put_object("b", b"y").etag == etag


def test_a_kill_leaves_every_answered_object_whole(tmp_path):
    code = (
        "import sys; from imgprep.sandbox.sandbox import Sandbox; s = Sandbox(sys.argv[1]); s.start();"
        "print(s.port, flush=True); s.serve_forever()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline())
    with Sandbox(tmp_path / "own") as own:
        auth = oss2.Auth(*json.loads((tmp_path / "key.json").read_text()))
        bucket = oss2.Bucket(auth, f"http://127.0.0.1:{port}", own.settings.bucket)
        done = []
        killer = threading.Timer(0.3, os.kill, (process.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(oss2.exceptions.RequestError):
            for number in range(100_000):
                bucket.put_object(f"k/{number}", f"{number}".encode() * 5000)
                done.append(number)
    process.wait()
    process.stdout.close()
    with Sandbox(tmp_path) as again:
        keys = {entry.key for entry in again.store.iter("imgprep-demo")}
        assert {f"k/{number}" for number in done} <= keys
        assert len(keys) <= len(done) + 1
        for number in done:
            assert again.store.get("imgprep-demo", f"k/{number}")[0] == f"{number}".encode() * 5000


def test_a_temporary_sandbox_leaves_nothing_behind():
    with Sandbox() as sandbox:
        root = sandbox.root
        bucket_of(sandbox).put_object("a", b"x")
    assert not root.exists()


def test_a_sandbox_stops_while_clients_are_connected(sandbox):
    idle = socket.create_connection(("127.0.0.1", sandbox.port), timeout=5)
    idle.sendall(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert b"403" in idle.recv(65_536)
    sandbox.stop()
    assert idle.recv(1) == b""
    idle.close()


def test_a_sandbox_that_never_started_stops_too_and_twice():
    sandbox = Sandbox()
    root, port = sandbox.root, sandbox.port
    sandbox.stop()
    sandbox.stop()
    assert not root.exists()
    Sandbox(port=port).stop()


def test_a_port_in_use_is_refused(sandbox):
    with pytest.raises(OSError):
        Sandbox(port=sandbox.port)
