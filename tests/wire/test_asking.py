"""Searches of the sandbox's gallery: the vendor's SDK and our client over real sockets, with signatures verified."""

import base64

import pytest
from alibabacloud_imagesearch20201214 import models
from alibabacloud_imagesearch20201214.client import Client
from alibabacloud_tea_openapi.exceptions import ClientException
from alibabacloud_tea_openapi.utils_models import Config

from imgprep.cloud.imagesearch import ImageSearch
from imgprep.core.errors import ServiceError
from imgprep.sandbox.sandbox import Sandbox
from tests.gallery_made import BOX, blank, line, meta, put, view
from tests.wire.shipping import FakeClock

X1, Y1, X2, Y2 = BOX
WIRE = f"{X1},{X2},{Y1},{Y2}"


@pytest.fixture(scope="module")
def sandbox():
    """Three products: two views each, the last with a category that nobody would predict."""
    with Sandbox(task_seconds=0, throttle=False) as running:
        pictures = {f"{product}-{number}.jpg": view(product, number) for product in range(3) for number in range(2)}
        lines = [line(name[0], name, Region=WIRE, IntAttr=5) for name in pictures if name[0] != "2"]
        lines += [line("2", name, CategoryId=3, StrAttr4="x") for name in pictures if name[0] == "2"]
        put(running, pictures | {"increment.meta": meta(lines)})
        sdk_of(running).increase_instance(
            models.IncreaseInstanceRequest(instance_name="demo", bucket_name="imgprep-demo", path="/increment")
        )
        running.finish_tasks()
        assert len(running.gallery()) == 6
        yield running


def sdk_of(sandbox, **changes):
    key = sandbox.settings.imagesearch_credentials.credentials()
    config = {"access_key_id": key.access_key_id, "access_key_secret": key.access_key_secret, **changes}
    return Client(Config(**config, endpoint=sandbox.url.removeprefix("http://"), protocol="HTTP"))


@pytest.fixture(scope="module")
def sdk(sandbox):
    return sdk_of(sandbox)


def by_name(sdk, product="0", name="0-0.jpg", **more):
    request = models.SearchImageByNameRequest(instance_name="demo", product_id=product, pic_name=name, **more)
    return sdk.search_image_by_name(request).body


def by_pic(sdk, data, **more):
    request = models.SearchImageByPicRequest(instance_name="demo", pic_content=base64.b64encode(data).decode(), **more)
    return sdk.search_image_by_pic(request).body


def test_an_image_finds_itself_its_sibling_and_then_the_others(sdk):
    body = by_name(sdk)
    assert [hit.pic_name for hit in body.auctions][:2] == ["0-0.jpg", "0-1.jpg"]
    assert (body.auctions[0].score, body.auctions[0].int_attr) == (1.0, 5)
    scores = [hit.score for hit in body.auctions]
    assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores)
    assert (body.head.docs_found, body.head.docs_return) == (4, 4)
    assert body.pic_info.region == WIRE and body.pic_info.category_id == 1
    assert {3: "Bag", 88888888: "Others"}.items() <= {c.id: c.name for c in body.pic_info.all_categories}.items()


def test_a_category_given_when_adding_is_needed_when_searching(sdk):
    assert "2-0.jpg" not in [hit.pic_name for hit in by_name(sdk, "2", "2-0.jpg").auctions]
    found = by_name(sdk, "2", "2-0.jpg", category_id=3)
    assert [hit.pic_name for hit in found.auctions] == ["2-0.jpg", "2-1.jpg"]
    assert found.auctions[0].category_id == found.pic_info.category_id == 3


def test_a_search_by_image_detects_the_subject_or_takes_the_region(sdk):
    data = view(1, 0)
    own = by_pic(sdk, data)
    x1, x2, y1, y2 = map(int, own.pic_info.region.split(","))
    assert all(abs(found - drawn) <= 5 for found, drawn in zip((x1, y1, x2, y2), BOX, strict=True))
    assert own.pic_info.multi_region[0].region == own.pic_info.region
    drawn, whole = by_pic(sdk, data, region=WIRE), by_pic(sdk, data, crop=False)
    assert drawn.pic_info.region == WIRE and drawn.auctions[0].pic_name == "1-0.jpg"
    assert whole.pic_info.region == "0,240,0,240"
    assert by_pic(sdk, blank()).pic_info.multi_region == []


def test_results_are_limited_paged_and_one_per_product(sdk):
    assert [hit.product_id for hit in by_name(sdk, distinct_product_id=True).auctions] == ["0", "1"]
    assert [hit.pic_name for hit in by_name(sdk, num=1, start=1).auctions] == ["0-1.jpg"]
    assert [hit.pic_name for hit in by_name(sdk, score_threshold="1.00").auctions] == ["0-0.jpg"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"num": 101}, "OverflowMaxReturnNum"),
        ({"num": 0}, "InvalidNumParameter"),
        ({"start": 500}, "InvalidStartParameter"),
        ({"category_id": 33}, "InvalidCategory"),
        ({"score_threshold": "0.123"}, "BadRequest"),
        ({"filter": "int_attr>=1"}, "InvalidFilter"),
        ({"name": "gone.jpg"}, "PicNotExist"),
    ],
)
def test_what_a_search_must_not_ask_is_refused(sdk, more, code):
    with pytest.raises(ClientException) as refused:
        by_name(sdk, **more)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("data", "more", "code"),
    [
        (b"", {}, "NoSpecifiedSearchPic"),
        (b"no image", {}, "UnsupportedPicFormat"),
        (view(0, 0) + bytes(4 * 1024 * 1024), {}, "InvalidPicContent"),
        (view(0, 0), {"region": "10,300,10,20"}, "InvalidRegion"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_search_image_has_the_limits_for_adding(sdk, data, more, code):
    with pytest.raises(ClientException) as refused:
        by_pic(sdk, data, **more)
    assert refused.value.code == code


def test_a_search_with_a_wrong_signature_is_refused(sandbox):
    with pytest.raises(ClientException) as refused:
        by_name(sdk_of(sandbox, access_key_secret="wrong"))
    assert refused.value.code == "SignatureDoesNotMatch"


def test_the_record_has_the_category_that_the_service_chose(sandbox):
    service = ImageSearch(sandbox.settings, clock=FakeClock())
    record = service.image_record("0", "0-0.jpg")
    assert (record["CategoryId"], record["IntAttr"]) == (1, 5)
    assert service.image_record("2", "2-1.jpg")["CategoryId"] == 3
    assert service.image_record("2", "gone.jpg") is None


def test_the_client_reads_a_search(sandbox):
    service = ImageSearch(sandbox.settings, clock=FakeClock())
    found = service.search_by_name("0", "0-0.jpg")
    assert (found.place("0", "0-0.jpg"), found.place("0", "0-1.jpg"), found.place("9", "x")) == (1, 2, None)
    assert (found.matching, found.category, found.region, len(found.subjects)) == (4, 1, WIRE, 1)
    assert service.search_by_name("0", "gone.jpg") is None
    assert service.search_by_pic(view(1, 1), region=WIRE).hits[0].product_id == "1"
    assert service.search_by_pic(view(1, 1), crop=False).region == "0,240,0,240"
    with pytest.raises(ServiceError, match="InvalidCategory"):
        service.search_by_name("0", "0-0.jpg", category=33)


def test_the_index_is_made_again_after_a_change_and_survives_a_restart(tmp_path):
    lines = [line("0", name) for name in ("a.jpg", "b.jpg")]
    with Sandbox(tmp_path / "box", task_seconds=0, throttle=False) as first:
        put(first, {"a.jpg": view(0, 0), "b.jpg": view(0, 1), "increment.meta": meta(lines)})
        ImageSearch(first.settings, clock=FakeClock()).start_task()
        first.finish_tasks()
        assert len(by_name(sdk_of(first), name="a.jpg").auctions) == 2
        first.lose("0", "b.jpg")
        assert len(by_name(sdk_of(first), name="a.jpg").auctions) == 1
    with Sandbox(tmp_path / "box", throttle=False) as second:
        assert by_name(sdk_of(second), name="a.jpg").auctions[0].score == 1.0


def test_the_limit_of_searches_per_second_holds_for_all_kinds_together(sandbox):
    sandbox.imagesearch.switch(throttle=True, qps=3)
    try:
        asked = models.CheckImageExistsRequest(instance_name="demo", product_id="0", pic_name="0-0.jpg")
        sdk = sdk_of(sandbox)
        sandbox.clock.advance(10)
        by_name(sdk), sdk.check_image_exists(asked), by_name(sdk)
        with pytest.raises(ClientException) as refused:
            by_pic(sdk, view(0, 0))
        assert refused.value.code == "DeniedRequest"
        sandbox.clock.advance(1)
        by_name(sdk)
    finally:
        sandbox.imagesearch.switch(throttle=False, qps=5)


def test_our_client_never_exceeds_the_limit(sandbox):
    sandbox.imagesearch.switch(throttle=True, qps=10)
    sandbox.clock.advance(10)
    sandbox.imagesearch.calls.clear()
    try:
        service = ImageSearch(sandbox.settings)
        for _ in range(6):
            service.search_by_name("0", "0-0.jpg")
            service.image_record("0", "0-0.jpg")
    finally:
        sandbox.imagesearch.switch(throttle=False, qps=5)
    searches = [call for call in sandbox.calls if call.action != "Detail"]
    assert [call.code for call in searches] == [""] * 12
    assert all(later.at - call.at >= 0.95 for call, later in zip(searches, searches[10:], strict=False))
    assert len([call for call in sandbox.calls if call.action == "Detail"]) == 1
