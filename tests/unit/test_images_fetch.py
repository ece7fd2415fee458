"""Fetching from a server that misbehaves."""

import io
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
from PIL import Image

from imgprep.images import fetch_images
from imgprep.images.fetch import url_stem


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").save(buffer, "JPEG")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.server.asked
        asked[self.path] += 1
        data = picture()
        path = self.path.partition("?")[0]
        if path == "/gone.jpg" or (path == "/flaky.jpg" and asked[self.path] < 3):
            self.send_error(404 if path == "/gone.jpg" else 503)
            return
        self.send_response(200)
        if path == "/page.jpg":
            data = b"<!doctype html><title>Sorry</title>"
        if path == "/large.jpg":
            data += b"\0" * 200_000
        self.send_header("Content-Length", str(len(data) + (1000 if path == "/cut.jpg" else 0)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = Counter()
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetched(server, into, *paths, **options):
    base = f"http://127.0.0.1:{server.server_port}"
    urls = [path if "://" in path else base + path for path in paths]
    options = {"pause": 0, "progress": False, "max_bytes": 100_000, **options}
    return fetch_images(pd.DataFrame({"PicName": urls}, dtype="str"), into, **options)


def test_each_failure_has_its_cause_and_leaves_no_file(server, tmp_path):
    log = fetched(
        server, tmp_path, "/a.jpg", "/gone.jpg", "/page.jpg", "/large.jpg", "/cut.jpg", "ftp://host/x.jpg", "http://[x"
    )
    assert log["problem"].fillna("").tolist() == [
        "", "not_found", "not_an_image", "too_large", "cut_off", "bad_url", "bad_url",
    ]  # fmt: skip
    assert [file.name for file in tmp_path.iterdir()] == [log["PicName"][0]]
    assert "HTML" in log["detail"][2]


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    log = fetched(server, tmp_path, "/flaky.jpg")
    assert log["problem"].isna().all()
    assert log["attempts"].tolist() == [3]


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    first = fetched(server, tmp_path, "/a.jpg")
    again = fetched(server, tmp_path, "/a.jpg")
    assert server.asked["/a.jpg"] == 1
    assert again["digest"].tolist() == first["digest"].tolist()


def test_urls_that_differ_only_in_the_query_do_not_share_a_file(server, tmp_path):
    log = fetched(server, tmp_path, "/a.jpg?v=1", "/a.jpg?v=2", "/a.jpg?v=1")
    assert log["PicName"].nunique() == 2
    assert len(log) == 2


def test_a_name_is_readable_and_stable():
    assert url_stem("https://x.example/a/红裙%20red.jpg?x").startswith("红裙-red-")
    assert url_stem("https://x.example/../../etc/") == url_stem("https://x.example/../../etc/")
    assert "/" not in url_stem("https://x.example/%2e%2e%2fetc%2fpasswd.jpg")
