"""Reports from dishonest, redirecting or endless servers, and decompression bombs."""

import gzip
import io
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from imgprep.core.errors import ReportError
from imgprep.ship.download import save_link
from imgprep.ship.report.match import read_report
from imgprep.ship.report.source import line_chunks

BATCH = pd.DataFrame({"line": [1], "OperationType": ["ADD"], "ProductId": ["1"], "PicName": ["a.jpg"]})


class DishonestServer(BaseHTTPRequestHandler):
    def do_GET(self):
        port = self.server.server_port
        leads = {
            "/elsewhere": f"http://localhost:{port}/report",
            "/inside": "http://169.254.169.254/latest",
            "/round": "/round",
            "/file": "file:///etc/passwd",
        }
        self.send_response(302 if self.path in leads else 200)
        if self.path in leads:
            self.send_header("Location", leads[self.path])
        elif self.path == "/short":
            self.send_header("Content-Length", "1000")
        self.end_headers()
        if self.path == "/endless":
            try:
                while not self.server.stop.is_set():
                    self.wfile.write(b"PicNotExist\n" * 1000)
            except OSError:
                return
        elif self.path == "/meeting":
            self.wfile.write(b"x" * 2_000_000)
            self.server.meeting.wait(30)
            self.wfile.write(b"y" * 2_000_000)
        elif self.path not in leads:
            self.wfile.write(b"a.jpg PicNotExist\n")

    def log_message(self, *args):
        pass


@pytest.fixture
def link():
    with ThreadingHTTPServer(("127.0.0.1", 0), DishonestServer) as server:
        server.stop, server.meeting = threading.Event(), threading.Barrier(2)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.stop.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/elsewhere", "is redirected to another host, localhost"),
        ("/inside", "is redirected to another host"),
        ("/round", "is redirected more than 3 times"),
        ("/file", "neither http nor https"),
        ("/short", "cannot be downloaded: ProtocolError"),
        ("/endless", "longer than 50,000 bytes"),
    ],
)
def test_a_dishonest_server_leaves_no_file_and_no_link_in_the_message(link, path, words, tmp_path):
    with pytest.raises(ReportError, match=words) as caught:
        save_link(link + path, tmp_path / "report.raw", local=True, limit=50_000)
    assert not list(tmp_path.iterdir()) and link not in str(caught.value)


def test_a_report_of_an_honest_server_is_saved(link, tmp_path):
    assert save_link(link + "/report", tmp_path / "report.raw", local=True) == len(b"a.jpg PicNotExist\n")


def test_a_disk_error_is_not_reported_as_a_dead_link(link, tmp_path):
    with pytest.raises(ReportError, match=r"cannot be saved in .*nowhere: No such file") as caught:
        save_link(link + "/report", tmp_path / "nowhere" / "report.raw", local=True)
    assert type(caught.value) is ReportError, "a fresh link would not help"


def test_two_downloads_of_one_report_leave_it_complete(link, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        sizes = [pool.submit(save_link, link + "/meeting", tmp_path / "report.raw", local=True) for _ in range(2)]
        assert [size.result() for size in sizes] == [4_000_000] * 2
    assert (tmp_path / "report.raw").read_bytes() == b"x" * 2_000_000 + b"y" * 2_000_000
    assert len(list(tmp_path.iterdir())) == 1


def bombs():
    plain = b"\n" * 2**21
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.txt", plain)
    return gzip.compress(plain), packed.getvalue()


@pytest.mark.parametrize("bomb", bombs(), ids=["gzip", "zip"])
def test_a_decompression_bomb_is_refused(bomb, monkeypatch):
    monkeypatch.setattr("imgprep.ship.report.source.UNPACKED_MAX", 2**20)
    with pytest.raises(ReportError, match="unpacks to more than"):
        read_report(bomb, BATCH)


def test_an_endless_line_is_refused_before_it_fills_the_memory():
    endless = io.BytesIO(bytes(2**20))
    with pytest.raises(ReportError, match="not an error report"):
        list(line_chunks(endless, size=1000))
    assert endless.tell() < 10_000
