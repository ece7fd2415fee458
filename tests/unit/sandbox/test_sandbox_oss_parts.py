"""The parts of the sandbox's OSS service that need no socket."""

from xml.etree import ElementTree

import pytest

from imgprep.sandbox.access import KeyRing, new_key
from imgprep.sandbox.config import Clock, Switches
from imgprep.sandbox.faults import Fault, Faults, planned
from imgprep.sandbox.http import Request, http_date, is_loopback
from imgprep.sandbox.oss import protocol as xml
from imgprep.sandbox.oss.operations import check_conditions, read_range
from imgprep.sandbox.oss.protocol import OssError
from imgprep.sandbox.oss.service import read_call
from imgprep.sandbox.oss.storage import Entry, ObjectStore, crc64
from imgprep.sandbox.sandbox import Sandbox


def test_crc_is_that_of_oss_and_continues_over_pieces():
    assert crc64(b"123456789") == 0x995DC9BBDF1939FA
    assert crc64(b"6789", crc64(b"12345")) == crc64(b"123456789")


@pytest.mark.parametrize(
    ("method", "path", "query", "operation"),
    [
        ("GET", "/", (), "ListBuckets"),
        ("GET", "/demo", (), "ListObjects"),
        ("GET", "/demo/", (("list-type", "2"),), "ListObjects"),
        ("GET", "/demo/", (("stat", ""),), "GetBucketStat"),
        ("PUT", "/demo/", (), "PutBucket"),
        ("POST", "/demo/", (("delete", ""),), "DeleteMultipleObjects"),
        ("PUT", "/demo/a", (), "PutObject"),
        ("PUT", "/demo/a", (("partNumber", "1"), ("uploadId", "X")), "UploadPart"),
        ("POST", "/demo/a", (("uploads", ""),), "InitiateMultipartUpload"),
        ("POST", "/demo/a", (("append", ""), ("position", "0")), "Unknown"),
        ("GET", "/demo/a", (("acl", ""),), "Unknown"),
        ("GET", "/demo/", (("acl", ""),), "Unknown"),
        ("PUT", "/demo/a", (("x-oss-copy-source", "/demo/b"),), "Unknown"),
        ("PUT", "/demo/", (("lifecycle", ""),), "Unknown"),
        ("PATCH", "/demo/a", (), "Unknown"),
    ],
)
def test_the_operation_follows_from_method_path_and_query(method, path, query, operation):
    assert read_call(Request(method, path, query)).operation == operation


def test_a_key_is_decoded_once_and_kept_whole():
    assert read_call(Request("GET", "/demo/a%2F%2Fb%252F+%20")).key == "a//b%2F+ "


def test_xml_escapes_every_text_and_writes_lists_as_repeated_elements():
    document = xml.dumps("R", {"A": "<&\"'>", "B": [{"C": 1}, {"C": "中"}], "D": ["x", "y"]})
    root = ElementTree.fromstring(document)
    assert root.findtext("A") == "<&\"'>"
    assert [item.text for item in root.iter("C")] == ["1", "中"]
    assert [item.text for item in root.iter("D")] == ["x", "y"]


def test_characters_outside_xml_become_numbers():
    assert xml.escape("a\x01b") == "a&#1;b"


@pytest.mark.parametrize(
    "text",
    [b"", b"<Delete>", b"<Other/>", b'<!DOCTYPE d [<!ENTITY e "x">]><Delete>&e;</Delete>', b"\xff\xfe", b"plain"],
)
def test_bad_documents_are_refused_and_entities_never_expanded(text):
    with pytest.raises(OssError, match="MalformedXML"):
        xml.loads(text, "Delete")


@pytest.mark.parametrize(
    ("asked", "usual", "standard"),
    [
        ("bytes=0-4", (0, 5), (0, 5)),
        ("bytes=5-", (5, 5), (5, 5)),
        ("bytes=-3", (7, 3), (7, 3)),
        ("bytes=5-99", None, (5, 5)),
        ("bytes=-99", None, (0, 10)),
        ("bytes=10-", None, OssError),
        ("bytes=0-1,3-4", (0, 2), (0, 2)),
        ("bytes=4-2", None, None),
        ("byte=0-4", None, None),
        ("bytes=-", None, None),
        ("bytes=-0", None, OssError),
    ],
)
def test_ranges_are_read_as_the_vendor_describes(asked, usual, standard):
    assert read_range({"range": asked}, 10) == usual
    headers = {"range": asked, "x-oss-range-behavior": "standard"}
    if standard is OssError:
        with pytest.raises(OssError, match="InvalidRange"):
            read_range(headers, 10)
    else:
        assert read_range(headers, 10) == standard


ENTRY = Entry("a", 1, "AB", 0, modified=1_000_000_000.5)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, ""),
        ({"if-match": '"ab"'}, ""),
        ({"if-match": '"X", "AB"'}, ""),
        ({"if-match": '"X"'}, "PreconditionFailed"),
        ({"if-none-match": '"X"'}, ""),
        ({"if-none-match": "*"}, "NotModified"),
        ({"if-none-match": "AB"}, "NotModified"),
        ({"if-modified-since": http_date(1_000_000_000)}, "NotModified"),
        ({"if-modified-since": http_date(999_999_999)}, ""),
        ({"if-modified-since": http_date(1_000_000_000), "if-none-match": "X"}, ""),
        ({"if-unmodified-since": http_date(1_000_000_000)}, ""),
        ({"if-unmodified-since": http_date(999_999_999)}, "PreconditionFailed"),
        ({"if-modified-since": "nonsense"}, ""),
    ],
)
def test_conditions(headers, code):
    if code:
        with pytest.raises(OssError, match=code):
            check_conditions(headers, ENTRY)
    else:
        check_conditions(headers, ENTRY)


def test_dates_are_written_in_the_format_of_http():
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert http_date(784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT"  # the example of RFC 9110


@pytest.mark.parametrize(
    "host", ["evil.example", "", "10.0.0.1:80", "127.0.0.1.evil.example", "localhost.evil", "[::2]"]
)
def test_other_hosts_are_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost:1", "[::1]:80", "127.9.9.9"])
def test_loopback_hosts_are(host):
    assert is_loopback(host)


def test_a_misspelt_switch_names_the_nearest_known_one():
    with pytest.raises(TypeError, match="did you mean skew"):
        Switches.of({"skrew": 1})
    with pytest.raises(TypeError, match=r"unknown switch 'zzz'\. Known: access_fails"):
        Switches.of({"zzz": 1})
    with pytest.raises(TypeError, match="did you mean failing_task"):
        Sandbox(failing_taks="x")


def test_an_instance_of_another_name_exists():
    assert "shop" in Switches(instance="shop").instances


def test_buckets_may_be_in_another_region():
    assert Switches(buckets={"far": "eu-central-1"}).all_buckets() == {
        "imgprep-demo": "cn-shanghai",
        "far": "eu-central-1",
    }


def test_time_moves_for_things_that_age_and_not_for_signatures():
    clock = Clock(skew=5, source=lambda: 100.0)
    clock.advance(7200)
    assert (clock.now(), clock.wall()) == (7305.0, 105.0)


def test_a_fault_hits_its_share_and_the_same_requests_each_time():
    def hits():
        faults = Faults([Fault("503", rate=0.1, operation="PutObject", seed=7)])
        return [number for number in range(2000) if faults.next("PutObject", f"k{number}")]

    first = hits()
    assert first == hits()
    assert 140 < len(first) < 260


def test_a_retry_of_a_key_that_was_hit_may_pass():
    faults = Faults([Fault("500", rate=0.5)])
    outcomes = {bool(faults.next("PutObject", "same")) for _ in range(50)}
    assert outcomes == {True, False}


def test_faults_are_chosen_by_operation_key_count_and_after():
    faults = Faults([Fault("500", operation=["PutObject", "UploadPart"], key="in/*", count=2, after=1)])
    asked = [("PutObject", "in/a"), ("GetObject", "in/a"), ("PutObject", "out"), *[("UploadPart", "in/x/y")] * 3]
    assert [bool(faults.next(*one)) for one in asked] == [False, False, False, True, True, False]
    assert [hits for _, hits in faults.hits()] == [2]


def test_unknown_faults_are_refused():
    with pytest.raises(ValueError, match="unknown kind"):
        Fault("explode")
    with pytest.raises(ValueError, match="rate"):
        Fault("500", rate=2)


def test_no_secret_is_in_a_repr(tmp_path):
    key = new_key()
    ring = KeyRing(key)
    token = ring.issue(0)
    shown = repr([Switches(access_key_id="a", access_key_secret="hidden"), ring.find(token.access_key_id), key])
    for secret in ("hidden", key.access_key_secret, token.access_key_secret, token.security_token):
        assert secret not in shown


def test_a_half_written_object_is_gone_after_a_restart(tmp_path):
    store = ObjectStore(tmp_path)
    store.create_bucket("demo", "r", 0)
    store.put("demo", "a", b"x", modified=1)
    (tmp_path / "demo" / "new" / "1-1").write_bytes(b"half")
    again = ObjectStore(tmp_path)
    assert [entry.key for entry in again.iter("demo")] == ["a"]
    assert not list((tmp_path / "demo" / "new").iterdir())


def test_listing_in_pages_gives_every_key_once(tmp_path):
    store = ObjectStore(tmp_path)
    store.create_bucket("demo", "r", 0)
    for number in range(2500):
        store.put("demo", f"k/{number:05d}", b"", modified=1)
    assert sum(1 for _ in store.iter("demo", "k/")) == 2500
    assert [entry.key for entry in store.iter("demo", "k/", after="k/02497")] == ["k/02498", "k/02499"]


def test_planned_faults_are_used_up_one_by_one_or_stay():
    faults = Faults(planned({"Detail": ["empty", "reset"], "*": "throttled"}))
    assert [faults.next("Detail").kind for _ in range(3)] == ["empty", "reset", "throttled"]
    assert [faults.next("DumpMeta").kind for _ in range(2)] == ["throttled", "throttled"]


@pytest.mark.parametrize(
    "switches",
    [
        {"report_format": "xml"},
        {"api_faults": {"Detail": "boom"}},
        {"strict": ["nothing"]},
        {"instances": {"demo": "shoes"}},
        {"role_policy": {"Version": "2"}},
        {"task_ids": "float"},
    ],
)
def test_a_switch_with_an_unknown_value_is_refused_at_once(switches):
    with pytest.raises(ValueError, match=r"use one of|unknown point|must have|needs|service type"):
        Switches(**switches)
