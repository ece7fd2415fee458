"""The signatures that the sandbox expects, against the vendor's published examples."""

import hashlib

from imgprep.sandbox.http import Request
from imgprep.sandbox.oss.protocol import Call
from imgprep.sandbox.signatures import v1_signature, v1_text, v4_request, v4_signature, v4_text


def call(method, bucket, key, parameters, headers=None):
    return Call(Request(method, "/", headers=headers or {}), "", bucket, key, parameters)


def test_v1_is_that_of_the_vendors_example():
    headers = {
        "content-md5": "ODBGOERFMDMzQTczRUY3NUE3NzA5QzdFNUYzMDQxNEM=",
        "content-type": "text/html",
        "x-oss-magic": "abracadabra",
        "x-oss-meta-author": "foo@bar.com",
        "host": "not signed",
    }
    text = v1_text(call("PUT", "oss-example", "nelson", {}, headers), "Thu, 17 Nov 2005 18:49:58 GMT")
    assert v1_signature("OtxrzxIsfpFjA7SwPzILwy8Bw21TLhquhboDYROV", text) == "26NBxoKdsyly4EDv6inkoDft/yA="


def test_v1_signs_sub_resources_in_order_and_nothing_else_of_the_query():
    parameters = {"uploadId": "X", "partNumber": "1", "prefix": "p", "uploads": ""}
    assert (
        v1_text(call("PUT", "demo", "a b", parameters), "D") == b"PUT\n\n\nD\n/demo/a b?partNumber=1&uploadId=X&uploads"
    )
    assert v1_text(call("GET", "", "", {"prefix": "p"}), "D").endswith(b"\n/")


def test_v4_is_that_of_the_vendors_example():
    headers = {
        "content-disposition": "attachment",
        "content-length": "3",
        "content-md5": "ICy5YqxZB1uWSwcVLSNLcA==",
        "content-type": "text/plain",
        "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
        "x-oss-date": "20250411T064124Z",
        "user-agent": "not signed",
    }
    put = call("PUT", "examplebucket", "exampleobject", {}, headers)
    request = v4_request(put, "content-disposition;content-length")
    assert hashlib.sha256(request).hexdigest() == "c46d96390bdbc2d739ac9363293ae9d710b14e48081fcb22cd8ad54b63136eca"
    text = v4_text("20250411T064124Z", "cn-hangzhou", request)
    assert (
        v4_signature("yourAccessKeySecret", "20250411T064124Z", "cn-hangzhou", text)
        == "d3694c2dfc5371ee6acd35e88c4871ac95a7ba01d3a2f476768fe61218590097"
    )


def test_v4_encodes_the_whole_query_and_the_key_except_its_slashes():
    get = call("GET", "demo", "a/中 +.jpg", {"b": "x/y", "a": "", "x-oss-signature": "left out"})
    lines = v4_request(get, "").decode().split("\n")
    assert lines[1] == "/demo/a/%E4%B8%AD%20%2B.jpg"
    assert lines[2] == "a&b=x%2Fy"
