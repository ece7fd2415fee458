"""oss2 itself against the sandbox's OSS side: what it stores comes back, with what it needs to verify it."""

import base64
import hashlib
import io
import json

import oss2
import pytest
from oss2.models import PartInfo

from imgprep.sandbox.sandbox import Sandbox

KEYS = [
    "a//b",
    "%2F",
    "a+b",
    "a b",
    "中文/图 片.jpg",
    "../../etc/passwd",
    "a/../b",
    "x?y=1&z",
    "a#b",
    "~!*'()",
    "tab\tnewline\n\x01",
    "e\u0301",
    "\u00e9",
    "A.JPG",
    "a.jpg",
    "k" * 1023,
    "a/",
]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as running:
        yield running


def bucket_of(sandbox, name="imgprep-demo", *, version=oss2.AUTH_VERSION_1, key=None, region="cn-shanghai", **more):
    key = key or sandbox.settings.oss_credentials.credentials()
    if key.security_token:
        auth = oss2.StsAuth(key.access_key_id, key.access_key_secret, key.security_token, version)
    else:
        auth = oss2.make_auth(key.access_key_id, key.access_key_secret, version)
    return oss2.Bucket(auth, sandbox.url, name, region=region, **more)


@pytest.fixture(params=["V1", "V4", "STS V1", "STS V4"])
def bucket(request, sandbox):
    """A bucket of its own for each test, as each kind of client sees it."""
    name = f"b{hashlib.md5(request.node.nodeid.encode()).hexdigest()[:20]}"
    version = oss2.AUTH_VERSION_4 if request.param.endswith("V4") else oss2.AUTH_VERSION_1
    key = sandbox.issue_token() if request.param.startswith("STS") else None
    found = bucket_of(sandbox, name, version=version, key=key)
    found.create_bucket()
    return found


def test_every_key_comes_back_as_it_was(bucket):
    for key in KEYS:
        result = bucket.put_object(key, key.encode(), headers={"Content-Type": "text/plain", "x-oss-meta-who": "me"})
        assert result.etag == hashlib.md5(key.encode()).hexdigest().upper()
    for key in KEYS:
        assert bucket.get_object(key).read() == key.encode()
        head = bucket.head_object(key)
        assert (head.content_length, head.content_type) == (len(key.encode()), "text/plain")
        assert head.headers["x-oss-meta-who"] == "me"
    wanted = sorted(KEYS, key=str.encode)
    assert [item.key for item in oss2.ObjectIterator(bucket, max_keys=4)] == wanted
    assert [item.key for item in oss2.ObjectIteratorV2(bucket, max_keys=4)] == wanted
    assert sorted(bucket.batch_delete_objects(KEYS[:10]).deleted_keys) == sorted(KEYS[:10])
    for key in KEYS[10:]:
        bucket.delete_object(key)
    assert not list(oss2.ObjectIterator(bucket))


def test_an_upload_is_verified_by_md5_and_crc(bucket):
    data = bytes(range(256)) * 400
    md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
    result = bucket.put_object("a", data, headers={"Content-MD5": md5})
    assert result.crc == int(result.headers["x-oss-hash-crc64ecma"])
    listed = bucket.list_objects().object_list[0]
    assert (listed.etag, listed.size, listed.type) == (hashlib.md5(data).hexdigest().upper(), len(data), "Normal")
    got = bucket.get_object("a")
    assert got.read() == data
    assert got.client_crc == got.server_crc
    assert got.headers["Content-MD5"] == md5
    assert result.request_id and result.request_id != got.request_id


def test_bodies_without_a_length_come_in_chunks(bucket):
    bucket.put_object("a", iter([b"one", b"two"] * 1000))
    assert bucket.get_object("a").read() == b"onetwo" * 1000
    bucket.put_object("empty", b"")
    assert bucket.get_object("empty").read() == b""


def test_a_text_is_sent_compressed_to_who_asks_for_it_without_length_and_etag(bucket):
    text = b"line\n" * 1000
    bucket.put_object("a.txt", text, headers={"Content-Type": "text/plain; charset=utf-8"})
    bucket.put_object("a.jpg", text, headers={"Content-Type": "image/jpeg"})
    bucket.put_object("short.txt", text[:1000], headers={"Content-Type": "text/plain"})
    asked = {"Accept-Encoding": "gzip"}
    got = bucket.get_object("a.txt", headers=asked)
    assert (got.read(), got.content_length) == (text, None)
    assert (got.headers["Content-Encoding"], got.headers["Transfer-Encoding"]) == ("gzip", "chunked")
    assert "ETag" not in got.headers and "Accept-Ranges" not in got.headers
    assert bucket.get_object("a.txt", headers=asked).read() == text  # the connection stays usable
    for name in ("a.jpg", "short.txt"):
        assert bucket.get_object(name, headers=asked).content_length == len(bucket.get_object(name).read())
    assert bucket.get_object("a.txt", byte_range=(5, 9), headers=asked).read() == b"line\n"
    assert bucket.get_object("a.txt").headers["Content-Length"] == "5000"
    assert "ETag" not in bucket.head_object("a.txt", headers=asked).headers


def test_a_description_of_a_bucket_has_what_oss2_reads(bucket):
    found = bucket.get_bucket_info()
    assert (found.acl.grant, found.comment, found.data_redundancy_type) == ("private", "", "LRS")
    assert (found.bucket_encryption_rule.sse_algorithm, found.versioning_status) == (None, None)
    assert found.resource_group_id


def test_listings_fold_at_the_delimiter_and_page(bucket):
    for key in ["a/1", "a/2", "b", "c/1", "d", "d/x/y"]:
        bucket.put_object(key, b"")
    for iterator in (oss2.ObjectIterator, oss2.ObjectIteratorV2):
        found = list(iterator(bucket, delimiter="/", max_keys=1))
        assert sorted((item.key, item.is_prefix()) for item in found) == [
            ("a/", True),
            ("b", False),
            ("c/", True),
            ("d", False),
            ("d/", True),
        ]
        assert [item.key for item in iterator(bucket, prefix="d/")] == ["d/x/y"]
    assert [item.key for item in bucket.list_objects(marker="b").object_list] == ["c/1", "d", "d/x/y"]
    assert [item.key for item in bucket.list_objects_v2(start_after="b").object_list] == ["c/1", "d", "d/x/y"]
    assert bucket.list_objects_v2(fetch_owner=True).object_list[0].owner.id


def test_parts_of_an_object(bucket):
    bucket.put_object("a", b"0123456789")
    assert bucket.get_object("a", byte_range=(2, 4)).read() == b"234"
    assert bucket.get_object("a", byte_range=(None, 3)).read() == b"789"
    assert bucket.get_object("a", byte_range=(7, None)).status == 206
    whole = bucket.get_object("a", byte_range=(5, 99))
    assert (whole.status, whole.read()) == (200, b"0123456789")
    headers = {"x-oss-range-behavior": "standard"}
    assert bucket.get_object("a", byte_range=(5, 99), headers=headers).read() == b"56789"
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_object("a", byte_range=(10, 12), headers=headers)
    assert (caught.value.status, caught.value.code) == (416, "InvalidRange")


def test_resumable_upload_and_download(bucket, tmp_path):
    data = bytes(range(256)) * 2000
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    store = oss2.ResumableStore(root=str(tmp_path))
    result = oss2.resumable_upload(
        bucket, "大/big", str(source), store=store, multipart_threshold=100 * 1024, part_size=100 * 1024, num_threads=2
    )
    assert result.etag.endswith("-5")
    head = bucket.head_object("大/big")
    assert head.object_type == "Multipart"
    assert int(head.headers["x-oss-hash-crc64ecma"]) == result.crc
    download = oss2.ResumableDownloadStore(root=str(tmp_path))
    oss2.resumable_download(
        bucket,
        "大/big",
        str(target),
        store=download,
        multiget_threshold=100 * 1024,
        part_size=100 * 1024,
        num_threads=2,
    )
    assert target.read_bytes() == data


def test_a_multipart_upload_by_hand(bucket):
    part = b"x" * 100 * 1024
    upload = bucket.init_multipart_upload("k", headers={"Content-Type": "image/png"}).upload_id
    other = bucket.init_multipart_upload("中/k").upload_id
    results = [bucket.upload_part("k", upload, number, part) for number in (2, 1)]
    last = bucket.upload_part("k", upload, 3, b"end")
    parts = bucket.list_parts("k", upload, max_parts=2)
    assert ([item.part_number for item in parts.parts], parts.is_truncated) == ([1, 2], True)
    assert [item.part_number for item in oss2.PartIterator(bucket, "k", upload, max_parts=1)] == [1, 2, 3]
    found = oss2.MultipartUploadIterator(bucket, max_uploads=1)
    assert [(item.key, item.upload_id) for item in found] == [("k", upload), ("中/k", other)]
    bucket.abort_multipart_upload("中/k", other)
    assert [item.key for item in oss2.MultipartUploadIterator(bucket)] == ["k"]

    named = [PartInfo(1, results[1].etag), PartInfo(2, results[0].etag), PartInfo(3, last.etag)]
    for wrong, code in (
        ([named[0], PartInfo(2, "0" * 32)], "InvalidPart"),
        ([PartInfo(9, last.etag)], "InvalidPart"),
    ):
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            bucket.complete_multipart_upload("k", upload, wrong)
        assert caught.value.code == code
    done = bucket.complete_multipart_upload("k", upload, named)
    digests = hashlib.md5(part).digest() * 2 + hashlib.md5(b"end").digest()
    assert done.etag == f"{hashlib.md5(digests).hexdigest().upper()}-3"
    assert bucket.head_object("k").content_type == "image/png"
    assert bucket.get_object("k").read() == part * 2 + b"end"
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.list_parts("k", upload)


def test_parts_that_are_too_small_or_out_of_order_are_refused(bucket):
    upload = bucket.init_multipart_upload("k").upload_id
    one, two = (PartInfo(number, bucket.upload_part("k", upload, number, b"x").etag) for number in (1, 2))

    def complete(*parts):
        listed = "".join(f"<Part><PartNumber>{p.part_number}</PartNumber><ETag>{p.etag}</ETag></Part>" for p in parts)
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            bucket._do("POST", bucket.bucket_name, "k", params={"uploadId": upload}, data=body)
        return caught.value.code

    assert complete(one, two) == "EntityTooSmall"
    assert complete(two, one) == "InvalidPartOrder"
    assert complete(one, one) == "InvalidPartOrder"
    assert complete() == "MalformedXML"


def test_conditions_of_reads(bucket):
    etag = bucket.put_object("a", b"x").etag
    with pytest.raises(oss2.exceptions.NotModified):
        bucket.get_object("a", headers={"If-None-Match": f'"{etag}"'})
    with pytest.raises(oss2.exceptions.NotModified):
        bucket.head_object("a", headers={"If-None-Match": f'"{etag}"'})
    with pytest.raises(oss2.exceptions.PreconditionFailed):
        bucket.get_object("a", headers={"If-Match": '"0"'})
    head = bucket.head_object("a")
    with pytest.raises(oss2.exceptions.NotModified):
        bucket.get_object("a", headers={"If-Modified-Since": head.headers["Last-Modified"]})
    # An answer without a body must leave the connection usable.
    assert bucket.get_object("a", headers={"If-Match": f'"{etag}"'}).read() == b"x"


def test_forbid_overwrite_keeps_what_is_there(bucket):
    bucket.put_object("a", b"first", headers={"x-oss-forbid-overwrite": "true"})
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.put_object("a", b"second", headers={"x-oss-forbid-overwrite": "true"})
    assert (caught.value.status, caught.value.code) == (409, "FileAlreadyExists")
    bucket.put_object("a", b"third")
    assert bucket.get_object("a").read() == b"third"


def test_copies(bucket):
    bucket.put_object("a b/中", b"x", headers={"x-oss-meta-a": "1"})
    result = bucket.copy_object(bucket.bucket_name, "a b/中", "copy")
    assert result.etag == hashlib.md5(b"x").hexdigest().upper()
    assert bucket.head_object("copy").headers["x-oss-meta-a"] == "1"
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.copy_object(bucket.bucket_name, "nothing", "copy")


def test_signed_urls(bucket, sandbox):
    session = oss2.Session()
    for slash_safe in (False, True):
        url = bucket.sign_url("PUT", "dir/中 a", 60, slash_safe=slash_safe)
        assert session.do_request(oss2.http.Request("PUT", url, data=b"signed"), 10).status == 200
        url = bucket.sign_url("GET", "dir/中 a", 60, slash_safe=slash_safe)
        assert bucket.get_object_with_url(url).read() == b"signed"
    with pytest.raises(oss2.exceptions.SignatureDoesNotMatch):
        bucket.get_object_with_url(url.replace("/dir/", "/other/"))


def test_buckets(bucket, sandbox):
    info = bucket.get_bucket_info()
    assert (info.name, info.location, info.acl.grant) == (bucket.bucket_name, "oss-cn-shanghai", "private")
    assert bucket.get_bucket_location().location == "oss-cn-shanghai"
    bucket.put_object("a", b"123")
    stat = bucket.get_bucket_stat()
    assert (stat.object_count, stat.storage_size_in_bytes) == (1, 3)
    with pytest.raises(oss2.exceptions.BucketNotEmpty):
        bucket.delete_bucket()
    service = oss2.Service(bucket.auth, sandbox.url, region="cn-shanghai")
    assert bucket.bucket_name in [item.name for item in oss2.BucketIterator(service, max_keys=2)]
    bucket.delete_object("a")
    upload = bucket.init_multipart_upload("a").upload_id
    with pytest.raises(oss2.exceptions.BucketNotEmpty):
        bucket.delete_bucket()
    bucket.abort_multipart_upload("a", upload)
    bucket.delete_bucket()
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        bucket.get_bucket_info()
    bucket.create_bucket()
    bucket.put_object("a", b"again")


def test_file_objects_and_progress(bucket):
    seen = []
    bucket.put_object("a", io.BytesIO(b"abc"), progress_callback=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3, 3)
    assert bucket.object_exists("a") and not bucket.object_exists("b")
    assert bucket.get_object_meta("a").content_length == 3


def test_the_settings_and_the_environment_point_here(sandbox, monkeypatch):
    from imgprep.core.settings import Settings

    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_env()
    assert settings.is_sandbox and settings.public() == sandbox.settings.public()
    assert settings.oss_credentials.credentials() == sandbox.settings.oss_credentials.credentials()
    assert settings.imagesearch_credentials.credentials() == sandbox.settings.imagesearch_credentials.credentials()
    assert sandbox.settings.oss_credentials.credentials().access_key_secret not in repr(sandbox.settings)


def test_requests_are_remembered_in_their_order(sandbox):
    bucket = bucket_of(sandbox)
    sandbox.forget_requests()
    bucket.put_object("one", b"x")
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.get_object("none")
    first, second = sandbox.requests
    assert (first.operation, first.key, first.status, first.size) == ("PutObject", "one", 200, 1)
    assert (second.operation, second.status, second.code) == ("GetObject", 404, "NoSuchKey")
    key = sandbox.settings.oss_credentials.credentials()
    assert first.principal == key.access_key_id
    assert key.access_key_secret not in json.dumps([str(item) for item in sandbox.requests])


def test_a_key_of_control_characters_is_deleted_with_others(bucket):
    keys = ["a\x0cb", "\x01", "tab\there", "a\x1f.jpg", "&amp;#12;"]
    for key in keys:
        bucket.put_object(key, b"x")
    bucket.put_object("stays", b"x")
    assert sorted(bucket.batch_delete_objects(keys).deleted_keys) == sorted(keys)
    assert [item.key for item in oss2.ObjectIterator(bucket)] == ["stays"]


def test_an_object_of_a_sequential_upload_has_the_digest_of_the_whole(bucket):
    data = [b"x" * 102_400, b"y" * 10]
    for params in (None, {"sequential": ""}):
        upload = bucket.init_multipart_upload("a", params=params).upload_id
        parts = [
            PartInfo(number, bucket.upload_part("a", upload, number, part).etag) for number, part in enumerate(data, 1)
        ]
        bucket.complete_multipart_upload("a", upload, parts)
        digest = base64.b64encode(hashlib.md5(b"".join(data)).digest()).decode()
        assert bucket.get_object("a").headers.get("Content-MD5") == (digest if params else None)


def test_parts_of_a_sequential_upload_come_in_order(bucket):
    upload = bucket.init_multipart_upload("a", params={"sequential": ""}).upload_id
    with pytest.raises(oss2.exceptions.PartNotSequential):
        bucket.upload_part("a", upload, 2, b"x")
    bucket.upload_part("a", upload, 1, b"x")
    bucket.upload_part("a", upload, 2, b"x")


def test_the_statistics_of_a_bucket_are_complete(bucket):
    bucket.put_object("a", b"abc")
    upload = bucket.init_multipart_upload("b").upload_id
    bucket.upload_part("b", upload, 1, b"x")
    stat = bucket.get_bucket_stat()
    assert (stat.storage_size_in_bytes, stat.object_count, stat.multi_part_upload_count) == (3, 1, 1)
    assert (stat.standard_storage, stat.standard_object_count, stat.multipart_part_count) == (3, 1, 1)
    assert stat.last_modified_time > 1_700_000_000
    assert {stat.live_channel_count, stat.delete_marker_count, stat.deep_cold_archive_real_storage} == {0}
    assert {stat.infrequent_access_storage, stat.archive_object_count, stat.cold_archive_real_storage} == {0}
