"""Fetching from a server that misbehaves."""

import gzip
import io
import ipaddress
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
from PIL import Image

from imgprep.core.errors import ConfigError
from imgprep.core.files import LOG
from imgprep.core.network import is_public
from imgprep.load.catalogue import load_catalogue
from imgprep.load.image_names import MAP, pic_name_for_url
from imgprep.look.fetch import Failed, fetch_images, is_private, next_hop
from imgprep.look.field_fixes import use_files
from imgprep.look.inspect import inspect_images


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").save(buffer, "JPEG")
    return buffer.getvalue()


#: Path → where it redirects to.
LEADS = {
    "/moved.jpg": "/a.jpg",
    "/round.jpg": "/round.jpg",
    "/file.jpg": "file:///etc/passwd",
    "/nonsense.jpg": "http://[x",
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.server.asked
        asked[self.path] += 1
        data = picture()
        path = self.path.partition("?")[0]
        if path in LEADS:
            self.send_response(302)
            self.send_header("Location", LEADS[path])
            self.end_headers()
            return
        if path.startswith("/closed"):
            self.send_response(503)
            self.send_header("Retry-After", "50")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if path == "/later.jpg" and asked[self.path] < 2:
            self.send_response(429)
            self.send_header("Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if path == "/gone.jpg" or (path == "/flaky.jpg" and asked[self.path] < 3):
            self.send_error(404 if path == "/gone.jpg" else 503)
            return
        self.send_response(200)
        if path.startswith("/crowd"):
            with self.server.lock:
                self.server.inside += 1
                self.server.most = max(self.server.most, self.server.inside)
            self.server.full.wait(2)
        if path == "/page.jpg":
            data = b"<!doctype html><title>Sorry</title>"
        if path == "/large.jpg":
            data += b"\0" * 200_000
        if path.startswith("/half"):
            # As cameras write them: the thumbnail before the pixels has an end of its own.
            thumbnail = b"\xff\xe1" + (len(data) + 8).to_bytes(2, "big") + b"Exif\0\0" + data
            data = (data[:2] + thumbnail + data[2:])[: -len(data) // 2]
        if path == "/half-close.jpg":
            self.end_headers()
            self.wfile.write(data)
            return
        if path == "/bomb.jpg":
            data = gzip.compress(data + bytes(50_000_000))
            self.send_header("Content-Encoding", "gzip")
        if path == "/endless.jpg":
            self.end_headers()
            while not self.server.stop.is_set():
                try:
                    self.wfile.write(data)
                except OSError:
                    return
            return
        self.send_header("Content-Length", str(len(data) + (1000 if path == "/cut.jpg" else 0)))
        self.end_headers()
        if path == "/slow.jpg":
            self.wfile.write(data[:10])
            self.wfile.flush()
            self.server.stop.wait(10)
            return
        if path.startswith("/crowd"):
            with self.server.lock:  # before the last byte: whoever has it may ask again at once
                self.server.inside -= 1
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = Counter()
        server.lock, server.stop, server.full = threading.Lock(), threading.Event(), threading.Barrier(2)
        server.inside = server.most = 0
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.stop.set()
        server.shutdown()
        thread.join()


def fetched(server, into, *paths, **options):
    base = f"http://127.0.0.1:{server.server_port}"
    urls = [path if "://" in path else base + path for path in paths]
    options = {"pause": 0, "progress": False, "max_bytes": 100_000, "private": True, **options}
    return fetch_images(pd.DataFrame({"PicName": urls}, dtype="str"), into, **options)


def files_in(folder):
    return [file.name for file in folder.iterdir() if file.name not in (MAP, LOG)]


def test_each_failure_has_its_cause_and_leaves_no_file(server, tmp_path):
    log = fetched(
        server, tmp_path, "/a.jpg", "/gone.jpg", "/page.jpg", "/large.jpg", "/cut.jpg", "ftp://host/x.jpg", "http://[x"
    )
    assert log["problem"].fillna("").tolist() == [
        "", "not_found", "not_an_image", "too_large", "cut_off", "bad_url", "bad_url",
    ]  # fmt: skip
    assert files_in(tmp_path) == [log["PicName"][0]]
    assert "HTML" in log["detail"][2]


def test_a_body_without_end_and_one_that_unpacks_to_more_are_given_up(server, tmp_path):
    log = fetched(server, tmp_path, "/endless.jpg", "/bomb.jpg", "/a.jpg")
    assert log["problem"].fillna("").tolist() == ["too_large", "too_large", ""]
    assert files_in(tmp_path) == [log["PicName"][2]]


def test_many_failures_of_one_host_do_not_use_its_connections_up(server, tmp_path):
    log = fetched(server, tmp_path, *(f"/gone.jpg?{number}" for number in range(12)), "/a.jpg", per_host=2)
    assert log["problem"].fillna("").tolist() == ["not_found"] * 12 + [""]


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    log = fetched(server, tmp_path, "/flaky.jpg")
    assert log["problem"].isna().all()
    assert log["attempts"].tolist() == [3]


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    first = fetched(server, tmp_path, "/a.jpg")
    again = fetched(server, tmp_path, "/a.jpg")
    assert server.asked["/a.jpg"] == 1
    assert again["digest"].tolist() == first["digest"].tolist()


def test_urls_that_differ_only_in_the_query_do_not_share_a_file_versions_of_one_picture_do(server, tmp_path):
    log = fetched(server, tmp_path, "/a.jpg?w=1", "/a.jpg?w=2", "/a.jpg?w=1")
    assert log["PicName"].nunique() == len(log) == 2
    versions = fetched(server, tmp_path, "/b.jpg?v=1", "/b.jpg?v=2")
    assert versions["PicName"].nunique() == 1 and "same PicName" in versions["detail"][1]


@pytest.mark.parametrize(("how", "problem", "attempts"), [("length", "incomplete", 1), ("close", "cut_off", 2)])
def test_a_picture_without_its_end_is_refused_with_any_stated_length(how, problem, attempts, server, tmp_path):
    log = fetched(server, tmp_path, f"/half-{how}.jpg", tries=2)
    assert (log["problem"][0], log["attempts"][0]) == (problem, attempts)
    assert "is cut off after" in log["detail"][0] and log.attrs["findings"]["fix"].notna().all()
    assert not files_in(tmp_path)


def test_a_name_is_readable_and_stable():
    assert pic_name_for_url("https://x.example/a/红裙%20red.jpg?x").startswith("红裙-red-")
    assert pic_name_for_url("https://x.example/../../etc/") == pic_name_for_url("https://x.example/../../etc/")
    assert "/" not in pic_name_for_url("https://x.example/%2e%2e%2fetc%2fpasswd.jpg")


def test_a_redirect_is_followed_only_where_a_url_might_lead(server, tmp_path):
    log = fetched(server, tmp_path, "/moved.jpg", "/round.jpg", "/file.jpg", "/nonsense.jpg")
    assert log["problem"].fillna("").tolist() == ["", "http_error", "refused", "refused"]
    assert log["PicName"][0].startswith("moved-")
    assert server.asked["/round.jpg"] == 6
    assert "only http" in log["detail"][2]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_an_export_cannot_make_this_machine_ask_itself(server, tmp_path, host):
    frame = pd.DataFrame({"PicName": [f"http://{host}:{server.server_port}/a.jpg"]})
    log = fetch_images(frame, tmp_path, progress=False)
    assert log["problem"].tolist() == ["private_host"] and not server.asked
    (found,) = log.attrs["findings"].to_dict("records")
    assert found["rule"] == "fetch-private-host" and "private=True" in found["fix"] and "--private" in found["fix"]


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/a.jpg", "http://169.254.1.1/a.jpg", "http://192.168.1.1/", "http://[fe80::1]/"]
)
def test_an_export_cannot_make_this_machine_ask_its_network(tmp_path, url):
    log = fetch_images(pd.DataFrame({"PicName": [url]}), tmp_path, progress=False)
    assert log["problem"].tolist() == ["private_host"] and log["attempts"].tolist() == [1]


METADATA = [
    "169.254.169.254",
    "100.100.100.200",
    "[fd00:ec2::254]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "2852039166",
]


@pytest.mark.parametrize("host", METADATA)
def test_the_metadata_of_a_cloud_is_never_asked_even_where_private_hosts_are(server, tmp_path, host, monkeypatch):
    monkeypatch.setitem(LEADS, "/credentials.jpg", f"http://{host}/latest/meta-data")
    base = f"http://127.0.0.1:{server.server_port}"
    frame = pd.DataFrame({"PicName": [f"http://{host}/latest/meta-data/a.jpg", f"{base}/credentials.jpg"]})
    log = fetch_images(frame, tmp_path, progress=False, private=True)
    assert log["problem"].tolist() == ["refused", "refused"]
    assert log["detail"].str.contains("metadata service").all()


def test_a_proxy_is_not_asked_for_an_address_of_the_private_network(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    inside = ["10.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "１２７.0。0.1", "ⓛocalhost", "0"]
    metadata = ["169.254.169.254", "2852039166", "0x64.0x64.0x64.0xc8"]
    frame = pd.DataFrame({"PicName": [f"http://{host}/a.jpg" for host in (*inside, *metadata)]})
    log = fetch_images(frame, tmp_path, progress=False, tries=1)
    assert log["problem"].tolist() == ["private_host"] * len(inside) + ["refused"] * len(metadata) and not server.asked


def test_a_host_that_two_readers_understand_differently_is_not_asked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    log = fetch_images(pd.DataFrame({"PicName": ["http://127.0.0.1\\@8.8.8.8/a.jpg"]}), tmp_path, progress=False)
    assert log["problem"].tolist() == ["bad_url"] and not server.asked


@pytest.mark.parametrize(
    "text", ["::7f00:1", "64:ff9b:1::a00:1", "::ffff:0:7f00:1", "2002:a00:1::", "fec0::1", "ff02::1", "224.0.0.1"]
)
def test_an_address_within_another_is_judged_and_one_of_many_hosts_is_not_public(text):
    assert not is_public(ipaddress.ip_address(text))
    assert is_public(ipaddress.ip_address("::808:808")) and is_public(ipaddress.ip_address("2400:3200::1"))


def test_no_redirect_leads_from_a_public_host_into_a_private_network():
    for inside in ("127.0.0.1", "10.1.2.3", "192.168.0.9", "169.254.169.254", "[::1]", "[fd00::1]", "localhost"):
        with pytest.raises(Failed, match="private network"):
            next_hop("http://8.8.8.8/a.jpg", f"http://{inside}/latest/meta-data")
        assert next_hop("http://10.0.0.1/a.jpg", f"http://{inside}/b.jpg").endswith("/b.jpg")
    assert not is_private("8.8.8.8")
    assert next_hop("http://10.0.0.1/a.jpg", "https://8.8.8.8/b.jpg") == "https://8.8.8.8/b.jpg"


def test_a_server_that_stops_in_the_middle_is_not_waited_for(server, tmp_path):
    log = fetched(server, tmp_path, "/slow.jpg", seconds=0.2, tries=1)
    assert log["problem"].tolist() == ["timeout"]
    assert not files_in(tmp_path)


def test_one_host_is_never_asked_for_more_at_once_than_allowed(server, tmp_path):
    log = fetched(server, tmp_path, *(f"/crowd-{number}.jpg" for number in range(6)), at_once=6, per_host=2)
    assert log["problem"].isna().all()
    assert server.most == 2


def test_a_host_that_is_not_there_is_a_row_too(tmp_path):
    frame = pd.DataFrame({"PicName": ["http://127.0.0.1:9/a.jpg"]})
    log = fetch_images(frame, tmp_path, pause=0, tries=2, progress=False, private=True)
    assert (log["problem"][0], log["attempts"][0]) == ("unreachable", 2)


def test_each_failure_is_a_finding_of_its_row_with_a_remedy(server, tmp_path):
    base = f"http://127.0.0.1:{server.server_port}"
    catalogue = pd.DataFrame(
        {"row": [4, 5, 6], "ProductId": ["p", "q", "r"], "PicName": [f"{base}/a.jpg", f"{base}/gone.jpg", "b.jpg"]}
    )
    log = fetch_images(catalogue, tmp_path, pause=0, progress=False, private=True)
    findings = log.attrs["findings"]
    assert findings[["rule", "row", "ProductId", "severity"]].values.tolist() == [["fetch-not-found", 5, "q", "error"]]
    assert "HTTP 404" in findings["message"][0] and findings["fix"].notna().all()
    fixed, changes = use_files(catalogue, log)
    assert fixed["PicName"].tolist() == [log["PicName"][0], f"{base}/gone.jpg", "b.jpg"]
    assert changes["rule"].tolist() == ["file-name-fetched"]
    with pytest.raises(ConfigError, match="'image'"):
        fetch_images(catalogue, tmp_path, column="image")


def test_an_interrupted_run_leaves_no_half_file_and_continues(server, tmp_path):
    fetched(server, tmp_path, "/a.jpg", "/flaky.jpg", tries=1)
    assert len(files_in(tmp_path)) == 1
    fetched(server, tmp_path, "/a.jpg", "/flaky.jpg", tries=3)
    assert server.asked["/a.jpg"] == 1
    assert len(files_in(tmp_path)) == 2


def exported(tmp_path, *urls, header="ProductId,PicName"):
    rows = "".join(f"P-{number},{url}\n" for number, url in enumerate(urls))
    (tmp_path / "export.csv").write_text(f"{header}\n{rows}", encoding="utf-8")
    return load_catalogue(tmp_path / "export.csv")


@pytest.mark.parametrize("header", ["ProductId,PicName", "sku,image"])
def test_what_a_loaded_export_names_by_url_is_there_under_the_names_it_has(server, tmp_path, header):
    base = f"http://127.0.0.1:{server.server_port}"
    catalogue = exported(tmp_path, f"{base}/a.jpg", f"{base}/b.jpg?w=5", f"{base}/gone.jpg", "own.jpg", header=header)
    log = fetch_images(catalogue, tmp_path / "images", pause=0, progress=False, private=True)
    assert log["problem"].fillna("").tolist() == ["", "", "not_found"]
    facts = inspect_images(catalogue, tmp_path / "images", tier="stat", progress=False)
    assert facts["exists"].tolist() == [True, True, False, False]
    assert log.attrs["findings"][["PicName", "field"]].values.tolist() == [[catalogue["PicName"][2], "image_url"]]
    assert use_files(catalogue, log)[0]["PicName"].tolist() == catalogue["PicName"].tolist()


def test_a_new_version_behind_the_same_name_is_fetched_and_an_old_one_is_not(server, tmp_path):
    base = f"http://127.0.0.1:{server.server_port}"
    for url in ("/a.jpg?v=1", "/a.jpg?v=1", "/a.jpg?v=2", "/a.jpg?v=2"):
        fetch_images(exported(tmp_path, base + url), tmp_path / "images", progress=False, private=True)
    assert (server.asked["/a.jpg?v=1"], server.asked["/a.jpg?v=2"]) == (1, 1)
    assert len(files_in(tmp_path / "images")) == 1


def test_two_versions_in_one_export_are_one_file_and_the_log_says_which(server, tmp_path):
    base = f"http://127.0.0.1:{server.server_port}"
    log = fetch_images(
        exported(tmp_path, f"{base}/a.jpg?v=1", f"{base}/a.jpg?v=2"), tmp_path / "i", progress=False, private=True
    )
    assert log["PicName"].nunique() == 1 and log["problem"].isna().all()
    assert log["attempts"].tolist() == [1, 0] and "same PicName" in log["detail"][1]


def test_a_name_that_leads_out_of_the_folder_is_written_nowhere(server, tmp_path):
    base = f"http://127.0.0.1:{server.server_port}"
    frame = pd.DataFrame({"PicName": ["../a.jpg", "b/c.jpg"], "image_url": [f"{base}/a.jpg", f"{base}/c.jpg"]})
    log = fetch_images(frame, tmp_path / "images", progress=False, private=True)
    assert log["problem"].fillna("").tolist() == ["bad_name", ""]
    assert not (tmp_path / "a.jpg").exists() and (tmp_path / "images/b/c.jpg").exists()
    assert not server.asked["/a.jpg"]


def test_a_map_that_was_cut_off_does_not_stop_a_run(server, tmp_path):
    (tmp_path / MAP).write_text('{"PicName": "x.jpg", "url"', encoding="utf-8")
    assert fetched(server, tmp_path, "/a.jpg")["problem"].isna().all()


def test_a_date_to_come_back_at_is_understood(server, tmp_path):
    assert fetched(server, tmp_path, "/later.jpg")["attempts"].tolist() == [2]


class Interrupted:
    """A bar that is interrupted as a person would: while the others wait for their next try."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self):
        raise KeyboardInterrupt


def test_who_interrupts_waits_for_no_server(server, tmp_path, monkeypatch):
    import tqdm.auto

    monkeypatch.setattr(tqdm.auto, "tqdm", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetched(server, tmp_path, *(f"/closed-{number}.jpg" for number in range(4)), "ftp://x/a.jpg", tries=3)
    assert max(server.asked.values(), default=0) <= 1


def test_a_host_that_asks_for_time_gets_it_from_every_request(server, tmp_path, monkeypatch):
    waits = []
    real = threading.Event.wait

    def noted(event, timeout=None):
        waits.append(timeout)
        return real(event, 0 if timeout and timeout > 10 else timeout)

    monkeypatch.setattr(threading.Event, "wait", noted)
    fetched(server, tmp_path, "/closed.jpg", "/a.jpg", at_once=1, tries=1)
    assert any(timeout and timeout > 40 for timeout in waits)
