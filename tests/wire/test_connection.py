"""The connections of PUTs against servers that answer in every way HTTP allows, and in some that it does not."""

import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from imgprep.cloud.connection import Connections
from imgprep.cloud.imagesearch import ImageSearch
from imgprep.core.credentials import Credentials, StaticCredentials
from imgprep.core.errors import ConfigError, ServiceError
from imgprep.core.network import open_pool
from imgprep.core.settings import Settings

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "AB"\r\nx-oss-request-id: 5C3D\r\n\r\n'


@pytest.fixture
def server():
    """Answer each request with the next of some texts; after "" the connection is closed. Counts connections."""
    listening = socket.create_server(("127.0.0.1", 0))

    class Server:
        answers, requests, connections = [], [], 0
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    def serve():
        while True:
            try:
                at, _ = listening.accept()
            except OSError:
                return
            Server.connections += 1
            with at, at.makefile("rb") as stream:
                while line := stream.readline():
                    head = [line]
                    while (line := stream.readline()) not in (b"\r\n", b""):
                        head.append(line)
                    length = next(int(item[15:]) for item in head if item.lower().startswith(b"content-length:"))
                    Server.requests.append((b"".join(head), stream.read(length)))
                    answer = Server.answers.pop(0)
                    for part in answer if isinstance(answer, list) else [answer]:
                        at.sendall(part)
                    if not answer or b"close" in answer:
                        break

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield Server
    listening.close()


@pytest.fixture
def put(server):
    connections = Connections(server.url, None, read_timeout=10)
    yield lambda headers=None, body=b"abc": connections.exchange("PUT", "/b/k", headers or {}, body, connect_timeout=5)
    connections.close()


def test_one_connection_serves_many_puts(server, put):
    server.answers = [GOOD] * 3
    for body in (b"", b"x", b"y" * 300_000):
        status, headers, text = put({"Content-MD5": "m"}, body)
        assert (status, headers["etag"], headers["X-Oss-Request-Id"], text) == (200, '"AB"', "5C3D", b"")
    assert server.connections == 1 and [len(body) for _, body in server.requests] == [0, 1, 300_000]
    assert b"Content-MD5: m\r\n" in server.requests[0][0]


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\nRetry-After: 3\r\n\r\n<E/>\n", 503, b"<E/>\n"),
        (b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n<E/>\r\n0\r\n\r\n", 403, b"<E/>"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, 200, b""),
        ([GOOD[:10], GOOD[10:40], GOOD[40:]], 200, b""),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"late"], 200, b"late"),
    ],
)
def test_whatever_http_allows_is_read_and_disturbs_no_later_request(server, put, answer, status, text):
    server.answers = [answer, GOOD]
    assert put()[::2] == (status, text)
    assert put()[0] == 200


def test_a_hint_before_the_answer_is_not_the_answer(server, put):
    hints = [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b""]
    server.answers = [hint + GOOD for hint in hints]
    assert [put()[0] for _ in range(3)] == [200, 200, 200] and server.connections == 1


def test_what_follows_an_answer_is_not_taken_for_the_next(server, put):
    server.answers = [GOOD + GOOD.replace(b"AB", b"EVIL"), GOOD]
    assert put()[0] == 200
    assert put()[1]["etag"] == '"AB"' and server.connections == 2


@pytest.mark.parametrize("close", [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", b""])
def test_a_connection_that_was_closed_is_not_used_again(server, put, close):
    server.answers = [close, GOOD]
    if close:
        assert put()[0] == 200
    else:
        with pytest.raises(http.client.HTTPException):
            put()
    assert put()[0] == 200 and server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n\r\nclose",
        b"HTTP/1.1 200 OK\r\nclose: 1\r\nContent-Length: 9\r\n\r\n1",
        b'HTTP/1.1 200 OK\r\nclose: 1\r\nETag: "AB"\r\n',
        b"HTTP/1.1 200 OK\r\nclose: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_whole_answer_is_an_error(server, put, answer):
    server.answers = [answer]
    with pytest.raises((http.client.HTTPException, OSError)):
        put()


def refusing(say_why, *, close):
    """A server that reads the head alone, answers, and then hangs up, or stays and reads nothing more."""
    listening, done = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve():
        with contextlib.suppress(OSError):
            at, _ = listening.accept()
            with at:
                at.recv(200)
                at.sendall(say_why)
                if close:
                    at.shutdown(socket.SHUT_WR)
                done.wait(30)

    threading.Thread(target=serve, daemon=True).start()
    return listening, done


@pytest.mark.parametrize("close", [True, False])
def test_a_refusal_that_comes_while_the_body_is_being_sent_is_heard(close):
    listening, done = refusing(b"HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\n<E/>", close=close)
    connections = Connections(f"http://127.0.0.1:{listening.getsockname()[1]}", None, read_timeout=0.5)
    status, _, text = connections.exchange("PUT", "/b/k", {}, b"x" * 30_000_000, connect_timeout=5)
    assert (status, text) == (403, b"<E/>")
    done.set()
    listening.close()


def test_a_slow_line_is_given_up_only_where_it_stands_still():
    """Each part in less than the timeout, all of them in more."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    size, took = 12_000_000, threading.Event()

    def serve():
        at, _ = listening.accept()
        with at:
            left = size
            while left > 0:
                took.wait(0.004)
                left -= len(at.recv(30_000))
            at.sendall(GOOD)

    threading.Thread(target=serve, daemon=True).start()
    connections = Connections(f"http://127.0.0.1:{listening.getsockname()[1]}", None, read_timeout=1.0)
    assert connections.exchange("PUT", "/b/k", {}, b"x" * size, connect_timeout=5)[0] == 200
    listening.close()


def test_a_header_cannot_smuggle_another(server, put):
    with pytest.raises(ValueError, match="line break"):
        put({"Content-Type": "image/jpeg\r\nx-oss-object-acl: public-read"})
    assert not server.requests


@pytest.fixture
def https(tmp_path):
    """A server that says GOOD to whoever trusts it: its address, and the certificate that vouches for it."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    pem, crt = str(tmp_path / "both.pem"), tmp_path / "crt.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", pem, "-out", str(crt)]
    subprocess.run(made, check=True, capture_output=True)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(crt, pem)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                at, _ = listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), ours.wrap_socket(at, server_side=True) as tls:
                tls.recv(65536)
                tls.sendall(GOOD)

    threading.Thread(target=serve, daemon=True).start()
    yield f"https://localhost:{listening.getsockname()[1]}", crt
    listening.close()


@pytest.fixture(params=["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def variable(request, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    return request.param


def test_an_untrusted_certificate_is_refused(https, variable, monkeypatch):
    url, crt = https

    def put():
        context = open_pool(url).connection_pool_kw["ssl_context"]
        return Connections(url, context, read_timeout=10).exchange("PUT", "/", {}, b"", connect_timeout=5)[0]

    with pytest.raises(ssl.SSLCertVerificationError):
        put()
    monkeypatch.setenv(variable, str(crt))
    assert put() == 200


def test_image_search_too_trusts_whom_the_environment_names(https, variable, monkeypatch):
    url, crt = https
    key = StaticCredentials(Credentials("the-id", "the-secret"))
    settings = Settings(imagesearch_endpoint=url, instance="demo", imagesearch_credentials=key)

    def message():
        with pytest.raises(ServiceError) as caught:
            ImageSearch(settings, patience=0).tasks(newest=1)
        return str(caught.value)

    assert "certificate" in message().lower()
    monkeypatch.setenv(variable, str(crt))
    assert "certificate" not in message().lower(), "an empty answer is what it complains of"


@pytest.mark.parametrize(("text", "says"), [(None, "does not exist"), ("no certificate", "not a certificate file")])
def test_certificates_that_cannot_be_read_are_named(variable, monkeypatch, tmp_path, text, says):
    bundle = tmp_path / "bundle.pem"
    if text is not None:
        bundle.write_text(text)
    monkeypatch.setenv(variable, str(bundle))
    with pytest.raises(ConfigError, match=f"bundle.pem.*{says}"):
        open_pool("https://oss.example")
