"""Where requests go: through the environment's proxy, and never where a name leads that meant another place before."""

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
import urllib3

from imgprep.core.errors import ConfigError, ReportError
from imgprep.core.network import open_pool
from imgprep.look.fetch import fetch_images
from imgprep.ship.download import save_link

PICTURE = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"


class Recorder(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Host"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(PICTURE)))
        self.end_headers()
        self.wfile.write(PICTURE)

    def log_message(self, *args):
        pass


@pytest.fixture
def inside():
    """A server that only this machine can reach, and what it was asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def turning(monkeypatch):
    """A name that has a public address when it is looked up first, and this machine's ever after."""
    ask, looked_up = socket.getaddrinfo, []

    def answer(host, port, *args, **options):
        if host != "turning.example":
            return ask(host, port, *args, **options)
        looked_up.append(host)
        address = "8.8.8.8" if len(looked_up) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return looked_up


def fetch(url, into):
    return fetch_images(pd.DataFrame({"PicName": [url]}), into, pause=0, progress=False, private=True).iloc[0]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_image_is_not_fetched_where_its_host_turns_to_a_private_address_meanwhile(scheme, inside, turning, tmp_path):
    row = fetch(f"{scheme}://turning.example:{inside.server_port}/a.gif", tmp_path)
    assert row["problem"] == "refused" and "127.0.0.1" in row["detail"] and "nothing was requested" in row["detail"]
    assert len(turning) == 2 and not inside.asked and row["attempts"] == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_report_is_not_fetched_where_its_host_turns_to_a_private_address_meanwhile(scheme, inside, turning, tmp_path):
    with pytest.raises(ReportError, match=r"resolves to 127\.0\.0\.1, which is not public"):
        save_link(f"{scheme}://turning.example:{inside.server_port}/report", tmp_path / "report.raw")
    assert len(turning) == 2 and not inside.asked and not list(tmp_path.iterdir())


def test_a_private_host_whose_name_was_not_found_for_a_moment_is_asked_again(inside, monkeypatch, tmp_path):
    ask, looked_up = socket.getaddrinfo, []

    def answer(host, port, *args, **options):
        if host != "images.corp.example":
            return ask(host, port, *args, **options)
        looked_up.append(host)
        if len(looked_up) == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    row = fetch(f"http://images.corp.example:{inside.server_port}/a.gif", tmp_path)
    assert pd.isna(row["problem"]) and row["attempts"] == 2


def test_a_private_host_that_the_catalogue_names_itself_is_asked_by_its_own_name(inside, tmp_path):
    row = fetch(f"http://localhost:{inside.server_port}/a.gif", tmp_path)
    assert pd.isna(row["problem"]) and inside.asked == [("/a.gif", f"localhost:{inside.server_port}")]


def test_images_come_through_the_proxy_which_looks_their_host_up_by_itself(inside, monkeypatch, tmp_path):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{inside.server_port}")
    row = fetch("http://unknown-host.invalid/a.gif", tmp_path)
    assert pd.isna(row["problem"]) and inside.asked == [("http://unknown-host.invalid/a.gif", "unknown-host.invalid")]


def test_a_proxy_that_cannot_be_used_stops_the_whole_call_and_not_each_image(monkeypatch, tmp_path):
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    with pytest.raises(ConfigError, match="ALL_PROXY: socks5"):
        fetch("http://shop.example/a.gif", tmp_path)


def test_proxies_of_the_environment_are_honoured_but_not_for_loopback(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pass@proxy.example:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    assert isinstance(open_pool("https://oss-cn-shanghai.aliyuncs.com"), urllib3.ProxyManager)
    assert not isinstance(open_pool("http://127.0.0.1:80"), urllib3.ProxyManager)
    monkeypatch.setenv("NO_PROXY", ".aliyuncs.com")
    assert not isinstance(open_pool("https://oss-cn-shanghai.aliyuncs.com"), urllib3.ProxyManager)


def test_a_proxy_without_a_scheme_is_one_of_http_and_one_that_cannot_be_used_is_named(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert open_pool("https://oss.example").proxy.url == "http://proxy.example:3128"
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret-of-proxy@proxy.example:1080")
    with pytest.raises(ConfigError, match="HTTPS_PROXY: socks5") as caught:
        open_pool("https://oss.example")
    assert "secret-of-proxy" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["http://user:secret@:99999", "http://user:secret@[bad", "http://", "host:port"])
def test_a_proxy_that_is_not_a_url_is_reported_once_and_without_its_password(proxy, monkeypatch, tmp_path):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ConfigError, match="HTTP_PROXY: is not a proxy URL") as caught:
        fetch("http://shop.example/a.gif", tmp_path)
    assert "secret" not in str(caught.value)


def test_a_proxy_for_all_holds_where_none_is_named_for_the_scheme(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://all.example:3128")
    assert open_pool("https://oss.example").proxy.url == "http://all.example:3128"
    monkeypatch.setenv("ALL_PROXY", "socks5://all.example:1080")
    with pytest.raises(ConfigError, match="ALL_PROXY: socks5"):
        open_pool("https://oss.example")
    monkeypatch.setenv("HTTPS_PROXY", "http://own.example:3128")
    assert open_pool("https://oss.example").proxy.url == "http://own.example:3128"


def test_tls_is_verified():
    context = open_pool("https://oss-cn-shanghai.aliyuncs.com").connection_pool_kw["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
