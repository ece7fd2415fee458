"""Requests that the OSS service must refuse, and with which error; sent by oss2 where oss2 can send them."""

import base64
import hashlib
import http.client
import time
from urllib.parse import urlencode

import oss2
import pytest
from test_oss_sandbox import bucket_of

from imgprep.core.credentials import Credentials
from imgprep.sandbox.http import http_date
from imgprep.sandbox.sandbox import Sandbox

V1, V4 = oss2.AUTH_VERSION_1, oss2.AUTH_VERSION_4


@pytest.fixture
def start():
    running = []

    def begin(**switches):
        running.append(Sandbox(**switches).start())
        return running[-1]

    yield begin
    for sandbox in running:
        sandbox.stop()


def code_of(call, *arguments, **named):
    with pytest.raises(oss2.exceptions.OssError) as caught:
        call(*arguments, **named)
    assert caught.value.request_id
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("version", [V1, V4])
def test_wrong_secrets_wrong_keys_and_unsigned_requests_are_refused(start, version):
    sandbox = start()
    key = sandbox.settings.oss_credentials.credentials()
    wrong = bucket_of(sandbox, key=Credentials(key.access_key_id, key.access_key_secret + "x"), version=version)
    assert code_of(wrong.put_object, "a", b"x") == (403, "SignatureDoesNotMatch")
    assert code_of(wrong.head_object, "a") == (403, "SignatureDoesNotMatch")
    assert code_of(lambda: list(oss2.ObjectIterator(wrong))) == (403, "SignatureDoesNotMatch")
    unknown = bucket_of(sandbox, key=Credentials("LTAIunknown", key.access_key_secret), version=version)
    assert code_of(unknown.put_object, "a", b"x") == (403, "InvalidAccessKeyId")
    anonymous = oss2.Bucket(oss2.AnonymousAuth(), sandbox.url, "imgprep-demo")
    assert code_of(anonymous.get_object, "a") == (403, "AccessDenied")
    assert not sandbox.store.exists("imgprep-demo", "a")


@pytest.mark.parametrize("version", [V1, V4])
def test_tokens_expire_and_belong_to_their_key(start, version):
    sandbox = start()
    token = sandbox.issue_token(900)
    bucket = bucket_of(sandbox, key=token, version=version)
    bucket.put_object("a", b"x")
    url = bucket.sign_url("GET", "a", 600)
    other = Credentials(token.access_key_id, token.access_key_secret, "CAISother")
    assert code_of(bucket_of(sandbox, key=other, version=version).get_object, "a") == (403, "InvalidSecurityToken")
    without = Credentials(token.access_key_id, token.access_key_secret)
    assert code_of(bucket_of(sandbox, key=without, version=version).get_object, "a") == (403, "InvalidAccessKeyId")
    sandbox.clock.advance(901)
    assert code_of(bucket.get_object, "a") == (403, "SecurityTokenExpired")
    assert code_of(bucket.get_object_with_url, url) == (403, "AccessDenied")
    bucket_of(sandbox, version=version).get_object("a")  # a lasting key does not mind


@pytest.mark.parametrize("version", [V1, V4])
@pytest.mark.parametrize("skew", [901, -960])  # the test itself takes its time
def test_a_clock_more_than_15_minutes_off_is_refused_with_the_servers_time(start, version, skew):
    sandbox = start(skew=skew)
    bucket = bucket_of(sandbox, version=version)
    with pytest.raises(oss2.exceptions.OssError) as caught:
        bucket.put_object("a", b"x")
    assert (caught.value.status, caught.value.code) == (403, "RequestTimeTooSkewed")
    assert caught.value.details["MaxAllowedSkewMilliseconds"] == "900000"
    assert caught.value.details["ServerTime"] != caught.value.details["RequestTime"]
    sandbox.clock.set_skew(840)
    bucket.put_object("a", b"x")


def test_a_signature_of_another_region_is_refused(start):
    status, code = code_of(bucket_of(start(), version=V4, region="cn-beijing").get_object, "a")
    assert (status, code) == (400, "InvalidArgument")


@pytest.mark.parametrize("key", ["/a", "\\a", "k" * 1024, "中" * 342])
def test_keys_that_no_object_may_have(start, key):
    sandbox = start()
    bucket = bucket_of(sandbox, version=V4)  # with V1, oss2 refuses some names by itself
    assert code_of(bucket.put_object, key, b"x") == (400, "InvalidObjectName")
    assert code_of(bucket.init_multipart_upload, key) == (400, "InvalidObjectName")
    assert not list(sandbox.store.iter("imgprep-demo"))


def test_content_md5_must_be_valid_and_that_of_the_body(start):
    sandbox = start()
    bucket = bucket_of(sandbox)
    for md5 in ("nonsense", base64.b64encode(b"short").decode(), base64.b64encode(hashlib.md5(b"y").digest()).decode()):
        assert code_of(bucket.put_object, "a", b"x", headers={"Content-MD5": md5}) == (400, "InvalidDigest")
    upload = bucket.init_multipart_upload("a").upload_id
    assert code_of(bucket.upload_part, "a", upload, 1, b"x", headers={"Content-MD5": md5}) == (400, "InvalidDigest")
    assert not sandbox.store.exists("imgprep-demo", "a")


def test_missing_objects_and_uploads(start):
    bucket = bucket_of(start())
    assert code_of(bucket.get_object, "a") == (404, "NoSuchKey")
    assert code_of(bucket.head_object, "a") == (404, "NoSuchKey")
    assert code_of(bucket.upload_part, "a", "X", 1, b"x") == (404, "NoSuchUpload")
    assert code_of(bucket.abort_multipart_upload, "a", "X") == (404, "NoSuchUpload")
    bucket.delete_object("a")
    assert bucket.batch_delete_objects(["a"]).deleted_keys == ["a"]


@pytest.mark.parametrize("version", [V1, V4])
def test_missing_buckets_and_invalid_bucket_names(start, version):
    sandbox = start()
    bucket = bucket_of(sandbox, "not-there", version=version)
    assert code_of(bucket.put_object, "a", b"x") == (404, "NoSuchBucket")
    assert code_of(bucket.list_objects) == (404, "NoSuchBucket")
    assert code_of(bucket.get_bucket_info) == (404, "NoSuchBucket")
    assert code_of(bucket._do, "GET", "a_", "") == (400, "InvalidBucketName")


def test_a_bucket_elsewhere_names_its_endpoint(start):
    sandbox = start(buckets={"far-away": "cn-beijing"})
    with pytest.raises(oss2.exceptions.AccessDenied) as caught:
        bucket_of(sandbox, "far-away").put_object("a", b"x")
    assert caught.value.details["Endpoint"] == "oss-cn-beijing.aliyuncs.com"
    assert code_of(bucket_of(sandbox, "far-away").create_bucket) == (409, "BucketAlreadyExists")


def test_oss_that_is_not_activated_is_distinguished_from_a_missing_bucket(start):
    bucket = bucket_of(start(oss_activated=False), "not-there")
    assert code_of(bucket.get_bucket_info) == (403, "UserDisable")


def test_denied_prefixes_and_operations(start):
    sandbox = start(denied_prefixes=["secret/"], denied_operations=["ListObjects"])
    bucket = bucket_of(sandbox)
    bucket.put_object("open/a", b"x")
    for call in (bucket.get_object, bucket.head_object, bucket.delete_object):
        assert code_of(call, "secret/a") == (403, "AccessDenied")
    assert code_of(bucket.put_object, "secret/a", b"x") == (403, "AccessDenied")
    assert code_of(bucket.batch_delete_objects, ["open/a", "secret/a"]) == (403, "AccessDenied")
    assert code_of(bucket.list_objects) == (403, "AccessDenied")
    assert code_of(bucket.list_objects_v2) == (403, "AccessDenied")
    assert bucket.get_object("open/a").read() == b"x"


def test_a_ram_user_may_do_what_its_policy_allows_and_no_more(start):
    sandbox = start()

    def policy(action, resource):
        return {"Version": "1", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}

    writer = bucket_of(sandbox, key=sandbox.add_user(policy("oss:PutObject", "acs:oss:*:*:imgprep-demo/increment/*")))
    writer.put_object("increment/a", b"x")
    assert code_of(writer.put_object, "other/a", b"x") == (403, "AccessDenied")
    assert code_of(writer.get_object, "increment/a") == (403, "AccessDenied")
    assert code_of(writer.list_objects) == (403, "AccessDenied")
    lister = bucket_of(sandbox, key=sandbox.issue_token(60, policy("oss:ListObjects", "acs:oss:*:*:imgprep-demo")))
    assert [item.key for item in lister.list_objects().object_list] == ["increment/a"]
    double_slash = policy("oss:PutObject", "acs:oss:*:*:imgprep-demo//increment/*")
    assert code_of(bucket_of(sandbox, key=sandbox.add_user(double_slash)).put_object, "increment/a", b"") == (
        403,
        "AccessDenied",
    )


def test_bodies_that_are_too_large_are_refused_unread(start):
    sandbox = start(max_body=1000)
    bucket = bucket_of(sandbox)
    bucket.put_object("a", b"x" * 1000)
    assert code_of(bucket.put_object, "a", b"x" * 1001) == (400, "EntityTooLarge")
    assert bucket.head_object("a").content_length == 1000


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"max-keys": "0"}, "InvalidArgument"),
        ({"max-keys": "1001"}, "InvalidArgument"),
        ({"max-keys": "x"}, "InvalidArgument"),
        ({"encoding-type": "base64"}, "InvalidArgument"),
        ({"list-type": "3"}, "InvalidArgument"),
        ({"list-type": "2", "continuation-token": "!"}, "InvalidArgument"),
        ({"lifecycle": ""}, "NotImplemented"),
    ],
)
def test_bad_arguments_of_listings(start, arguments, code):
    bucket = bucket_of(start(), version=V4)
    with pytest.raises(oss2.exceptions.OssError) as caught:
        bucket._do("GET", bucket.bucket_name, "", params=arguments)
    assert caught.value.code == code


def test_a_batch_delete_needs_its_digest_and_a_valid_list(start):
    bucket = bucket_of(start())
    bucket.put_object("a", b"x")

    def delete(body, **headers):
        return bucket._do("POST", bucket.bucket_name, "", params={"delete": ""}, data=body, headers=headers)

    def digest(body):
        return {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}

    body = b"<Delete><Object><Key>a</Key></Object></Delete>"
    assert code_of(delete, body) == (400, "MissingArgument")
    assert code_of(delete, body, **digest(b"other")) == (400, "InvalidDigest")
    many = b"<Delete>" + b"<Object><Key>a</Key></Object>" * 1001 + b"</Delete>"
    for bad in (b"<Delete><Object/></Delete>", b"<Delete></Delete>", b"<Delete", many):
        assert code_of(delete, bad, **digest(bad)) == (400, "MalformedXML")
    assert bucket.object_exists("a")
    quiet = b"<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>"
    assert b"<Key>" not in delete(quiet, **digest(quiet)).read()
    assert not bucket.object_exists("a")


def test_operations_that_are_not_served_are_refused_and_do_nothing(start):
    sandbox = start()
    bucket = bucket_of(sandbox)
    assert code_of(bucket.append_object, "a", 0, b"x") == (501, "NotImplemented")
    assert code_of(bucket.put_object, "a", b"x", headers={"x-oss-server-side-encryption": "AES256"}) == (
        501,
        "NotImplemented",
    )
    assert code_of(bucket.get_bucket_acl) == (501, "NotImplemented")
    assert code_of(bucket.put_object_acl, "a", "public-read") == (501, "NotImplemented")
    assert not sandbox.store.exists("imgprep-demo", "a")


@pytest.mark.parametrize("version", [V1, V4])
def test_what_is_not_done_here_is_never_ignored_or_blamed_on_the_signature(start, version):
    sandbox = start()
    bucket = bucket_of(sandbox, version=version)
    upload = bucket.init_multipart_upload("a").upload_id
    bucket.upload_part("a", upload, 1, b"x")
    refused = (501, "NotImplemented")
    assert code_of(bucket.complete_multipart_upload, "a", upload, None, {"x-oss-complete-all": "yes"}) == refused
    new = bucket_of(sandbox, "another-bucket", version=version)
    assert code_of(new.create_bucket, "public-read") == refused
    infrequent = oss2.models.BucketCreateConfig(oss2.BUCKET_STORAGE_CLASS_IA)
    assert code_of(new.create_bucket, None, infrequent) == refused
    assert not sandbox.store.exists("another-bucket")
    new.create_bucket("private", oss2.models.BucketCreateConfig(oss2.BUCKET_STORAGE_CLASS_STANDARD))
    for headers in ({"x-oss-object-acl": "public-read"}, {"x-oss-storage-class": "IA"}, {"x-oss-tagging": "a=b"}):
        assert code_of(bucket.put_object, "a", b"x", headers) == refused
    assert code_of(bucket.put_object, "a", b"x", {"x-oss-traffic-limit": "819200"}) == refused
    limited = bucket.sign_url("PUT", "a", 60, params={"x-oss-traffic-limit": "819200"})
    assert code_of(bucket.put_object_with_url, limited, b"x") == refused
    assert not sandbox.store.exists("imgprep-demo", "a")
    for call in (bucket.get_bucket_acl, bucket.get_bucket_versioning, bucket.get_bucket_https_config):
        assert code_of(call) == refused
    for name in ("resourcePoolInfo", "accessPoint", "publicAccessBlock", "asyncFetch", "qosInfo", "never-heard-of"):
        assert code_of(bucket._do, "GET", bucket.bucket_name, "", params={name: ""}) == refused


@pytest.mark.parametrize("version", [V1, V4])
def test_errors_bear_the_vendors_extended_code(start, version):
    sandbox = start()
    bucket = bucket_of(sandbox, version=version)
    missing = bucket_of(sandbox, "no-such-bucket", version=version)
    codes = {}
    for name, call in (("key", bucket.get_object), ("head", bucket.head_object), ("bucket", missing.get_object)):
        with pytest.raises(oss2.exceptions.OssError) as caught:
            call("a")
        assert caught.value.headers["x-oss-ec"] == caught.value.ec
        codes[name] = caught.value.ec
    assert codes == {"key": "0026-00000001", "head": "0026-00000001", "bucket": "0015-00000101"}
    if version == V4:
        with pytest.raises(oss2.exceptions.OssError) as caught:
            bucket_of(sandbox, version=version, region="cn-hangzhou-test-1").head_object("a")
        assert (caught.value.code, caught.value.ec) == ("InvalidArgument", "0002-00000226")
        assert caught.value.message == "Invalid signing region in Authorization header."


def raw(sandbox, method, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "authorization",
    [
        "OSS",
        "OSS nocolon",
        "OSS4-HMAC-SHA256 Credential=a, Signature=b",
        "Basic eA==",
    ],
)
def test_odd_authorizations_are_refused_with_an_answer(start, authorization):
    status, body = raw(start(), "GET", "/imgprep-demo/a", Authorization=authorization, Date=http_date(time.time()))
    assert status in (400, 403)
    assert "<Code>" in body and "<RequestId>" in body


def test_signatures_of_version_2_are_not_served(start):
    bucket = bucket_of(start(), version=oss2.AUTH_VERSION_2)
    assert code_of(bucket.get_object, "a") == (501, "NotImplemented")
    assert code_of(bucket.get_object_with_url, bucket.sign_url("GET", "a", 60)) == (501, "NotImplemented")


@pytest.mark.parametrize("scope", ["{key}/{day}//oss/aliyun_v4_request", "{key}/{day}/oss/aliyun_v4_request"])
@pytest.mark.parametrize("in_url", [False, True])
def test_a_signature_of_version_4_without_a_region_is_refused(start, scope, in_url):
    sandbox = start()
    day = time.strftime("%Y%m%d", time.gmtime())
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    key = sandbox.settings.oss_credentials.credentials().access_key_id
    credential, signature = scope.format(key=key, day=day), "0" * 64
    if in_url:
        query = {
            "x-oss-signature-version": "OSS4-HMAC-SHA256",
            "x-oss-credential": credential,
            "x-oss-date": date,
            "x-oss-expires": "60",
            "x-oss-signature": signature,
        }
        status, body = raw(sandbox, "GET", f"/imgprep-demo/a?{urlencode(query)}")
    else:
        headers = {"x-oss-date": date, "x-oss-content-sha256": "UNSIGNED-PAYLOAD"}
        headers["Authorization"] = f"OSS4-HMAC-SHA256 Credential={credential},Signature={signature}"
        status, body = raw(sandbox, "GET", "/imgprep-demo/a", **headers)
    assert status == 400 and "<Code>InvalidArgument</Code>" in body
    refusal = "signing region in credential is invalid" if in_url else "signing region in Authorization header"
    assert (refusal if "//" in scope else "Credential") in body


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Nov 2005 18:49:58 GMT"])
def test_a_request_needs_a_date(start, date):
    sandbox = start()
    key = sandbox.settings.oss_credentials.credentials()
    status, body = raw(sandbox, "GET", "/imgprep-demo/a", Authorization=f"OSS {key.access_key_id}:x", Date=date)
    assert status == 403
    assert "valid Date" in body
