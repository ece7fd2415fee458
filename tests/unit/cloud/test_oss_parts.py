"""The parts of an upload that need no bucket."""

import io
import re
import sys
import tempfile
import threading
import time
from datetime import datetime
from itertools import product
from types import SimpleNamespace
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import oss2
import pandas as pd
import pytest
from oss2.xml_utils import parse_list_objects

from imgprep.cloud.oss import Stored, _Bridge, _page, _SignatureV1, _SignatureV4
from imgprep.cloud.put import Item, crc64, same
from imgprep.core.clock import SystemClock
from imgprep.core.credentials import Credentials, StaticCredentials
from imgprep.core.errors import ConfigError, ReportError
from imgprep.core.lock import only_one
from imgprep.core.settings import Settings
from imgprep.ship import upload_workers as crew
from imgprep.ship.download import save_link
from imgprep.ship.panel import check_confirmed, confirm_production
from imgprep.ship.task_status import ALL_IMPORTED, SOME_FAILED, Meaning, meaning
from imgprep.ship.upload_plan import decide, wanted_items
from imgprep.ship.upload_workers import NEXT_SECONDS, Load, idle

DIGEST = "d41d8cd98f00b204e9800998ecf8427e"


def test_the_crc_is_that_of_oss():
    assert crc64()(b"123456789") == 11051210869376104954


@pytest.mark.parametrize("token", [None, "CAIS+/="])
@pytest.mark.parametrize("key", ["a.jpg", "photos/1 ü~*'%2F.jpg", "裙/连衣裙.png", ""])
@pytest.mark.parametrize(
    "headers", [{}, {"X-Oss-Meta-imgprep": "copy", "Content-MD5": "1B2M==", "content-type": "image/jpeg", "range": "-"}]
)
@pytest.mark.parametrize(
    "params", [{}, {"prefix": "a b/ü", "uploadId": "ü+1", "delimiter": "", "acl": "", "max-keys": "1000"}]
)
@pytest.mark.parametrize(
    ("theirs", "ours"), [(oss2.ProviderAuthV4, _SignatureV4), (oss2.ProviderAuth, _SignatureV1)], ids=["V4", "V1"]
)
def test_our_signature_is_that_of_oss2(token, key, headers, params, theirs, ours):
    bridge = _Bridge(StaticCredentials(Credentials("id", "secret", token)))

    def signed(auth):
        given = {"headers": dict(headers), "params": dict(params), "region": "cn-x", "product": "oss"}
        request = oss2.http.Request("GET", "http://h/", **given)
        auth._sign_request(request, "bucket", key)
        return dict(request.headers.lower_items())

    theirs, ours = theirs(bridge), ours(bridge)
    assert ours.auth_version() == theirs.auth_version()
    date = "x-oss-date" if isinstance(ours, _SignatureV4) else "date"
    while (by_us := signed(ours))[date] != (by_them := signed(theirs))[date]:
        pass  # a second has just ended
    assert by_us == by_them


def test_the_slow_crc_is_the_same_and_says_that_it_is_slow(monkeypatch, caplog):
    import importlib

    crcmod = importlib.import_module("crcmod.crcmod")
    monkeypatch.setitem(sys.modules, "anycrc", None)
    assert crc64()(b"123456789") == 11051210869376104954
    monkeypatch.setattr(crcmod, "_usingExtension", False)
    crc64()
    assert "pure Python" in caplog.text


def test_threads_are_added_only_while_a_core_stands_idle():
    assert not idle(0.0, NEXT_SECONDS), "not before the first could show what it does"
    assert idle(0.01, 0.2), "waiting for a network"
    assert not idle(0.17, 0.2), "as fast as a core can send"
    assert idle(0.17, 2.0), "a file that hangs delays no other"


def test_threads_are_added_soon_after_a_long_fast_time_turns_slow():
    load, now = Load(0.0), 0.0
    while now < 3600:
        now += 0.01
        assert not load.is_low(now * 0.9, now)
    while not load.is_low(3240.0, now):
        now += 0.01
    assert now < 3600 + 2 * crew.RECENT_SECONDS


def test_a_thread_is_waited_for_though_an_interrupt_came_as_it_was_started(monkeypatch):
    class Slow:
        def __init__(self, *args, **options):
            pass

        def send(self, item):
            time.sleep(0.1)
            return item

    def interrupted(thread, start=threading.Thread.start):
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(crew, "Sender", Slow)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(crew.send_all(None, None, range(9), threads=2, processes=1, patience=9, clock=SystemClock()))
    assert not [thread for thread in threading.enumerate() if thread.name == "imgprep-put"]


def test_sameness_is_never_judged_by_size_alone():
    item = Item("k", "k", "f", 5, DIGEST)
    assert same(item, Stored(5, DIGEST)) is True
    assert same(item, Stored(5, "0" * 32)) is False and same(item, Stored(6, DIGEST)) is False
    assert same(item, Stored(5, "ABC-2")) is None and same(item._replace(digest=None), Stored(5, DIGEST)) is None


def test_every_image_is_in_exactly_one_part_of_the_decision(tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(b"")
    frame = pd.DataFrame(
        {
            "OperationType": ["ADD"] * 6 + ["DELETE"],
            "PicName": ["a", "a", "b", "c", "gone", "/slash", "z"],
            "digest": [DIGEST, DIGEST, DIGEST, None, None, None, None],
            "expected": ["imported"] * 4 + ["image-missing", "imported", "deleted"],
        }
    )
    items = wanted_items(frame, tmp_path, "p/")
    assert [item.key for item in items] == ["p/a", "p/b", "p/c", "p/gone", "p//slash"]
    decision = decide(items, {"p/a": Stored(0, DIGEST), "p/c": Stored(0, DIGEST), "p/other": Stored(1, "x")})
    assert [item.pic_name for item, _ in decision.unchanged] == ["a", "c"]
    assert [item.pic_name for item in decision.send] == ["b"]
    assert [item.pic_name for item in decision.missing] == ["gone"]
    assert [item.pic_name for item in decision.failed] == ["/slash"]


def test_one_name_for_two_files_is_refused():
    frame = pd.DataFrame({"PicName": ["a", "a"], "digest": ["1" * 32, "2" * 32]})
    with pytest.raises(ConfigError, match="different files"):
        wanted_items(frame, "", "p/")


@pytest.mark.parametrize("file", ["../x", "a/../../x", "/etc/passwd", "..\\x", "a\0b"])
def test_a_file_outside_the_folder_is_never_read(tmp_path, file):
    (item,) = wanted_items(pd.DataFrame({"PicName": ["a"], "file": [file]}), tmp_path, "p/")
    assert item.problem and item.bytes is None


def test_no_link_out_of_the_folder_is_followed(tmp_path):
    images, outside = tmp_path / "images", tmp_path / "outside"
    for folder in (images, outside):
        folder.mkdir()
        (folder / "a.jpg").write_bytes(b"picture")
    (images / "file.jpg").symlink_to(outside / "a.jpg")
    (images / "folder").symlink_to(outside)
    (images / "inside.jpg").symlink_to(images / "a.jpg")
    (tmp_path / "link").symlink_to(images)
    frame = pd.DataFrame({"PicName": ["a.jpg", "inside.jpg", "file.jpg", "folder/a.jpg"]})
    items = wanted_items(frame, tmp_path / "link", "p/")
    assert [item.bytes for item in items] == [7, 7, None, None]
    assert all("link points outside the image folder" in item.problem for item in items[2:])


def test_a_lock_is_held_by_one_and_free_afterwards(tmp_path):
    with only_one("this", file=tmp_path / "lock"), pytest.raises(ConfigError, match="another"):  # noqa: SIM117
        with only_one("this", file=tmp_path / "lock"):
            pass
    with only_one("this", file=tmp_path / "lock"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no open file")
def test_a_lock_without_a_place_of_its_own_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with only_one("this"):
        assert len(list(tmp_path.iterdir())) == 1
        with pytest.raises(ConfigError, match="another"), only_one("this"):
            pass
        assert len(list(tmp_path.iterdir())) == 1, "one that was refused takes nothing away"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no open file")
def test_a_lock_that_its_holder_removes_in_between_is_not_held_by_two(tmp_path, monkeypatch):
    """The file is opened, then removed by the upload that ends, and only then locked."""
    from imgprep.core import lock as locks

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lock, removed = locks._lock, []

    def ends_in_between(handle):
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        lock(handle)

    monkeypatch.setattr(locks, "_lock", ends_in_between)
    with only_one("this"), pytest.raises(ConfigError, match="another"), only_one("this"):
        pass
    assert removed and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (ALL_IMPORTED, Meaning.ALL_IMPORTED),
        (SOME_FAILED, Meaning.SOME_FAILED),
        (" success. ", Meaning.ALL_IMPORTED),
        ("FAIL", Meaning.TASK_FAILED),
        ("Failed to read increment.meta", Meaning.TASK_FAILED),
        (None, Meaning.UNKNOWN),
        ("Unsuccessful", Meaning.UNKNOWN),
    ],
)
def test_messages_mean_what_they_say(message, expected):
    assert meaning(message) is expected


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/x", "http://192.168.1.1/x", "http://[::1]/x", "http://[64:ff9b::a9fe:a9fe]/x", "gopher://x/"],
)
def test_reports_are_not_fetched_from_private_places(tmp_path, url):
    with pytest.raises(ReportError, match="not followed"):
        save_link(url, tmp_path / "report.raw")
    assert not list(tmp_path.iterdir())


def test_production_asks_for_the_instances_name(monkeypatch):
    production = Settings(region="cn-shanghai", instance="shop")
    check_confirmed(production, "shop")
    with pytest.raises(ConfigError, match="nothing was sent"):
        check_confirmed(production, "shpo")
    monkeypatch.setattr("builtins.input", lambda question: "shop" if "PRODUCTION" in question else "")
    assert confirm_production(production) == "shop"

    def no_user(question):
        raise RuntimeError("no frontend")

    monkeypatch.setattr("builtins.input", no_user)
    monkeypatch.setattr("imgprep.ship.panel.in_notebook", lambda: True)
    with pytest.raises(ConfigError, match="needs confirmation, which cannot be typed here"):
        check_confirmed(production, None)
    sandbox = production.with_(oss_endpoint="http://127.0.0.1:1", imagesearch_endpoint="http://127.0.0.1:1")
    check_confirmed(sandbox, None)


def test_the_panel_escapes_what_the_service_says():
    from imgprep.cloud.imagesearch import Task
    from imgprep.ship.panel import panel_html

    text = panel_html(Task("1", "b", "/p", "PROCESSING", message="<script>x</script>"), "shop <b>", 61, waiting=True)
    assert "<script>" not in text and "shop &lt;b&gt;" in text and "1 min 1 s" in text


def test_no_message_of_the_service_acts_on_a_terminal(capsys, monkeypatch):
    from imgprep.cloud.imagesearch import Task, _wrapped
    from imgprep.ship.panel import task_progress

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    acting = "\x1b[2J\x1b]0;owned\x07done"
    with task_progress("1", "shop", show=True, clock=SystemClock()) as show:
        show(Task("1\x1b[5m", "b", "/p", "PRO\x1b[8m", message=acting))
    printed = capsys.readouterr().err
    assert "⟨001B⟩[2J" in printed and "owned" in printed
    error = RuntimeError(acting)
    error.code, error.status_code, error.message = "Bad\x1b[1m", 400, acting
    refused = [str(_wrapped("Detail", "shop", error)), str(oss_refusal(acting))]
    for text in (printed, *refused):
        assert "\x1b[2J" not in text and "\x1b]0" not in text and "\x1b[8m" not in text and "\x1b[1m" not in text
        assert "\x1b[5m" not in text and "\x07" not in text


def oss_refusal(message):
    import oss2

    from imgprep.cloud.oss import wrapped

    details = {"Code": "AccessDenied", "Message": message}
    return wrapped(oss2.exceptions.ServerError(403, {}, b"", details), "put", "a.jpg")


def test_a_success_that_lost_images_is_not_shown_as_one():
    from imgprep.cloud.imagesearch import Task
    from imgprep.ship.panel import panel_html
    from imgprep.ship.task_status import ALL_IMPORTED, SOME_FAILED

    good, partial = (
        panel_html(Task("1", "b", "/p", "SUCCESS", message=text), "shop", 26) for text in (ALL_IMPORTED, SOME_FAILED)
    )
    assert "<b>success</b>" in good and "--jp-success-color1" in good
    assert "<b>partial</b>" in partial and "--jp-success-color1" not in partial
    assert "although lines failed" in partial and "26 s" in partial


def test_the_panel_shows_the_time_by_quota_and_then_the_outcome_of_the_lines(capsys, monkeypatch):
    from imgprep.cloud.imagesearch import Task
    from imgprep.ship.panel import Progress, panel_html, task_progress

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    task, counts = Task("1", "b", "/p", "PROCESSING"), {"lines": 1405}
    text = panel_html(task, "shop", 3, progress=Progress(counts, None, 20.0, 80.0))
    assert "<b>processing</b> · 1,405 lines sent · task 1 on shop · 3 s" in text
    assert '<progress max="80.0" value="20.0"' in text and "20 s of about 1 min 20 s by the vendor&#39;s quotas" in text
    done, counts = Task("1", "b", "/p", "SUCCESS", message="x"), {**counts, "imported": 1400, "failed": 5, "unknown": 0}
    text = panel_html(done, "shop", 90, progress=Progress(counts, "partial"))
    assert "<b>partial</b> · 1,400 imported, 5 failed · task 1" in text and "1 min 30 s" in text
    assert 'title="5 failed" style="flex:5 0 3px;background:var(--jp-error-color1' in text and "unknown" not in text
    with task_progress("1", "shop", show=True, clock=SystemClock()) as show:
        show(done, None, Progress(counts, "partial"))
    assert "task 1: partial, 1,400 imported, 5 failed" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with task_progress("1", "shop", show=True, clock=SystemClock()) as show:
        show(done, None, Progress(counts, "partial"))
    assert not capsys.readouterr().err  # a log file gets no line that is drawn again and again


def test_the_panel_is_in_the_projects_language(monkeypatch):
    from imgprep.cloud.imagesearch import Task
    from imgprep.ship.panel import Progress, panel_html

    monkeypatch.setenv("IMGPREP_LANGUAGE", "zh")
    text = panel_html(Task("1", "b", "/p", "PROCESSING"), "shop", 61, progress=Progress({"lines": 8}, None, 20, 80))
    assert "<b>进行中</b> · 已发送 8 行 · 任务 1，实例 shop · 1 分 1 秒" in text and "约需 1 分 20 秒" in text
    text = panel_html(Task("1", "b", "/p", "SUCCESS"), "shop", None, progress=Progress({"imported": 7, "failed": 1}))
    assert "已导入 7 行，失败 1 行" in text and 'title="失败 1 行"' in text


def test_the_banner_cannot_be_mistaken_and_escapes_names():
    from imgprep.ship.panel import banner

    production = Settings(region="cn-shanghai", instance="<b>shop", bucket="b", path="/p")
    assert repr(banner(production)) == "PRODUCTION: instance <b>shop in cn-shanghai, bucket b, path /p"
    assert "<b>shop" not in banner(production)._repr_html_() and "PRODUCTION" in banner(production)._repr_html_()
    local = production.with_(oss_endpoint="http://127.0.0.1:1", imagesearch_endpoint="http://127.0.0.1:1")
    assert repr(banner(local)).startswith("SANDBOX") and "127.0.0.1" not in repr(banner(local))


_OBJECT = (
    "<Contents><Key>{}</Key><LastModified>2026-11-30T06:07:48.000Z</LastModified><ETag>&quot;{}&quot;</ETag>"
    "<Type>Normal</Type><Size>{}</Size><StorageClass>Standard</StorageClass></Contents>"
)
_KEYS = ["a/1.jpg", "a/100%.jpg", "a/25%25.jpg", "a/x+y z.jpg", "a/\n.jpg", "a/裙子&lt;1>.jpg", "a/é/b%C3.png", "b"]


def _listing(keys: list[str], *, quoted: bool, more: str) -> str:
    names = [quote(key, safe="") if quoted else escape(key) for key in keys]
    objects = "".join(_OBJECT.format(name, f"{at:032X}", at) for at, name in enumerate(names))
    encoding = "<EncodingType>url</EncodingType>" if quoted else ""
    following = f"<NextMarker>{names[-1]}</NextMarker>" if more == "true" else ""
    return f"<ListBucketResult>{encoding}<IsTruncated>{more}</IsTruncated>{following}{objects}</ListBucketResult>"


class _Bucket:
    """A bucket whose every answer is one text."""

    bucket_name = "shop"

    def __init__(self, text: str) -> None:
        self.text = text

    def _do(self, *_: object, **__: object) -> io.BytesIO:
        return io.BytesIO(self.text.encode())


@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("more", ["true", "false"])
def test_a_page_of_a_listing_is_read_as_oss2_reads_it(quoted, more):
    text = _listing(_KEYS, quoted=quoted, more=more)
    peer = SimpleNamespace(object_list=[], prefix_list=[], next_marker=None)
    parse_list_objects(peer, text.encode())
    objects, following = _page(_Bucket(text), "a/", "")
    assert [key for key, _ in objects] == _KEYS
    assert objects == [
        (each.key, Stored(each.size, each.etag.lower(), None, each.last_modified)) for each in peer.object_list
    ]
    assert following == peer.next_marker


@pytest.mark.parametrize("tag", ["IsTruncated", "NextMarker", "Key", "LastModified", "ETag", "Size"])
def test_a_listing_without_a_part_is_refused(tag):
    text = re.sub(f"<{tag}>.*?</{tag}>", "", _listing(["a"], quoted=True, more="true"))
    with pytest.raises(ValueError, match=tag if tag != "IsTruncated" else "listing"):
        _page(_Bucket(text), "", "")


_PLAIN = _OBJECT.replace("&quot;", '"').format("a/1%20.jpg", "0" * 32, 5)
_PARTS = [
    _PLAIN,
    _PLAIN.replace("><", ">\n<"),
    _PLAIN.replace("</StorageClass>", '</StorageClass><RestoreInfo>ongoing-request="false"</RestoreInfo>'),
    _PLAIN.replace("</Contents>", "<Owner><ID>1</ID><DisplayName>me</DisplayName></Owner></Contents>"),
    _OBJECT.format("a/2&amp;&#51;.jpg", "1" * 32, 6),
    "<Contents><Size>7</Size><ETag>x</ETag><Key>b</Key><LastModified>2026-11-30T06:07:48.000Z</LastModified></Contents>",
    "<Contents><Key>b</Key></Contents>",
    "<Contents/>",
    f"<!-- {_PLAIN} -->",
    f"<![CDATA[{_PLAIN}]]>",
    f"<CommonPrefixes>{_PLAIN}</CommonPrefixes>",
    _PLAIN.replace("<Key>", "<Key><!-- -->"),
    _PLAIN.replace("</Contents>", "<Size>8</Size></Contents>"),
    "<!--",
    "-->",
    "<CommonPrefixes>",
    "</CommonPrefixes>",
    "&unknown;",
    "text",
    "\0",
    "裙",
]


def test_objects_found_by_a_pattern_are_those_that_a_parser_finds():
    cases = [*product(_PARTS, repeat=2), *product(_PARTS[-8:], [_PLAIN], _PARTS[-8:])]
    for parts, end in product(cases, [None, -30]):
        text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(parts)}</ListBucketResult>"[:end]
        assert _result(lambda text: _page(_Bucket(text), "", "")[0], text) == _result(_parsed, text), text


def test_a_plain_page_needs_no_parser_for_its_objects(monkeypatch):
    read = []
    monkeypatch.setattr(
        ElementTree, "fromstring", lambda text, parse=ElementTree.fromstring: read.append(text) or parse(text)
    )
    plain = "".join(part for part in _PARTS[:4])
    objects, _ = _page(_Bucket(f"<ListBucketResult><IsTruncated>false</IsTruncated>{plain}</ListBucketResult>"), "", "")
    assert len(objects) == 4 and len(read) == 1 and len(read[0]) < 120


def _parsed(text):
    found = []
    for node in ElementTree.fromstring(text.encode()).iterfind("Contents"):
        texts = {part.tag: part.text or "" for part in node}
        names = ("Size", "ETag", "LastModified", "Key")
        size, etag, changed, key = (texts[name] for name in names)
        modified = int(datetime.fromisoformat(changed).timestamp())
        stored = Stored(int(size), etag.strip('"'), None, modified, restored="RestoreInfo" in texts)
        found.append((key, stored))
    return found


def _result(work, text):
    try:
        return work(text)
    except (ElementTree.ParseError, KeyError, ValueError):
        return "refused"
