"""The sandbox's own judgement of increment.meta and its images, each refusal on its own."""

import io
import json
import struct
from pathlib import Path

import pytest
from PIL import Image

from imgprep.sandbox.imagesearch.judge import Stopped, judge_batch
from imgprep.sandbox.imagesearch.lines import read_lines
from imgprep.sandbox.imagesearch.readings import CATEGORIES, OPEN_POINTS, OTHERS, Failure, Readings, ServiceType
from imgprep.sandbox.imagesearch.state import Drop, Put, State

GUIDE_SAMPLE = (Path(__file__).parents[2] / "golden" / "guide-sample.meta").read_bytes()


def encoded(size=(200, 200), kind="JPEG", mode="RGB", **options):
    out = io.BytesIO()
    Image.new(mode, size, 3 if mode in ("L", "P", "I", "I;16", "1") else None).save(out, kind, **options)
    return out.getvalue()


def turned(orientation, kind="JPEG"):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(kind=kind, exif=exif)


def bomb():
    """A small BMP that claims four billion pixels."""
    image = bytearray(encoded(kind="BMP"))
    image[18:26] = struct.pack("<ii", 65_535, 65_535)
    return bytes(image)


def record(**fields):
    base = {"OperationType": "ADD", "ProductId": "1", "PicName": "a.jpg", "CustomContent": "x"}
    return {name: value for name, value in (base | fields).items() if value is not ...}


def written(*records):
    return b"".join((item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in records)


@pytest.fixture
def state(tmp_path):
    with_file = State(tmp_path)
    yield with_file
    with_file.close()


@pytest.fixture
def judged(state):
    plain = encoded()

    def judge(*records, images=None, **options):
        def fetch(name):
            found = plain if images is None else images.get(name, Failure("PicNotExist"))
            return found if isinstance(found, Failure) else (found, "TAG")

        strict = options.pop("strict", False)
        meta = records[0] if len(records) == 1 and isinstance(records[0], bytes) else written(*records)
        return judge_batch(meta, fetch, instance="demo", held=state, readings=Readings(strict), **options)

    return judge


def codes(verdict):
    return [(failed.line, failed.code) for failed in verdict.failures]


def test_the_guides_sample_is_judged_as_the_guide_says(judged):
    names = [f"girl_cloth{number}.jpg" for number in (1, 2, 3, 4, 6, 7)]
    for strict in (False, True):
        verdict = judged(GUIDE_SAMPLE, images=dict.fromkeys(names, encoded()), strict=strict)
        assert (verdict.lines, verdict.imported, verdict.deleted, verdict.failures) == (8, 6, 2, [])
    first = next(change for change in verdict.changes if change.pic_name == "girl_cloth1.jpg")
    # The guide's order is x1,x2,y1,y2.
    assert first.image["Region"] == {"x1": 20, "x2": 40, "y1": 60, "y2": 80}
    assert (first.image["CategoryId"], first.image["IntAttr"], first.image["StrAttr"]) == (0, 0, "value1")
    whole = next(change for change in verdict.changes if change.pic_name == "girl_cloth4.jpg")
    assert whole.image["Crop"] is False
    assert Drop("1004", "fengyi.jpg") in verdict.changes
    assert Drop("1005", "") in verdict.changes


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"OperationType": "add"}, "InvalidMetaItem"),
        ({"OperationType": ...}, "InvalidMetaItem"),
        ({"ProductId": ...}, "NoSpecifiedProductId"),
        ({"ProductId": ""}, "NoSpecifiedProductId"),
        ({"ProductId": 1000}, "InvalidProductId"),
        ({"ProductId": "p" * 257}, "InvalidProductId"),
        ({"PicName": ...}, "NoSpecifiedPicName"),
        ({"PicName": ""}, "NoSpecifiedPicName"),
        ({"PicName": "p" * 253 + ".jpg"}, "InvalidPicName"),
        ({"PicName": "/a.jpg"}, "InvalidPicName"),
        ({"PicName": "a.jpg/"}, "InvalidPicName"),
        ({"PicName": "folder.d/a"}, "InvalidPicName"),
        ({"PicName": "a."}, "InvalidPicName"),
        ({"CategoryId": 10}, "InvalidCategory"),
        ({"CategoryId": "0"}, "InvalidCategory"),
        ({"CategoryId": 0.0}, "InvalidCategory"),
        ({"CategoryId": True}, "InvalidCategory"),
        ({"CustomContent": ...}, "InvalidCustomContent"),
        ({"CustomContent": "c" * 4097}, "InvalidCustomContent"),
        ({"CustomContent": {"k": "v"}}, "InvalidCustomContent"),
        ({"IntAttr": "1"}, "InvalidIntAttr"),
        ({"IntAttr": 1.5}, "InvalidIntAttr"),
        ({"IntAttr": 2**63}, "InvalidIntAttr"),
        ({"StrAttr": 1}, "InvalidStrAttr"),
        ({"StrAttr": "s" * 129}, "InvalidStrAttr"),
        ({"Crop": "false"}, "InvalidMetaItem"),
        ({"Region": "20,40,60"}, "InvalidRegion"),
        ({"Region": "20,20,60,80"}, "InvalidRegion"),
        ({"Region": "20,40,80,60"}, "InvalidRegion"),
        ({"Region": "-1,40,60,80"}, "InvalidRegion"),
        ({"Region": "20.0,40,60,80"}, "InvalidRegion"),
        ({"Region": "٢٠,40,60,80"}, "InvalidRegion"),
        ({"Region": [20, 40, 60, 80]}, "InvalidRegion"),
        ({"Region": "20,201,60,80"}, "InvalidRegion"),
        ({"Region": "20,40,60,201"}, "InvalidRegion"),
    ],
)
def test_a_field_that_breaks_its_rule_is_refused_with_its_code(judged, fields, code):
    assert codes(judged(record(**fields))) == [(1, code)]


@pytest.mark.parametrize(
    "fields",
    [
        {"ProductId": "p" * 256},
        {"PicName": "p" * 252 + ".jpg"},
        {"CustomContent": "c" * 4096},
        {"StrAttr": "s" * 128},
        {"IntAttr": -(2**31)},
        {"Region": "0,200,0,200"},
        {"Region": "199,200,0,1"},
        {"Crop": True},
        {"PicName": "sub/a.jpg"},
        *({"CategoryId": category} for category in sorted(CATEGORIES)),
    ],
)
def test_a_field_at_its_limit_is_accepted(judged, fields):
    assert codes(judged(record(**fields))) == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"OperationType": "ADD"',
        b"[]",
        b'"text"',
        b"{} {}",
        b'{"OperationType": "ADD", "IntAttr": NaN}',
        b'{"OperationType": "ADD", "ProductId": "\xff"}',
        b'{"ProductId": "\\ud800"}',
        b"[" * 100_000,
        b'{"IntAttr": ' + b"1" * 5000 + b"}",
        "not json at all".encode("utf-16"),
    ],
)
def test_a_line_that_is_not_one_object_fails_alone_as_malformed(judged, line):
    verdict = judged(record(), line, record(PicName="b.jpg"))
    assert codes(verdict) == [(2, "InvalidMetaItem")]
    assert verdict.imported == 2


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (encoded((99, 200)), "UnsupportedPicPixels"),
        (encoded((200, 4097), "PNG", "1"), "UnsupportedPicPixels"),
        (turned(6), "IncorrectOrientation"),
        (turned(2), "IncorrectOrientation"),
        (turned(3, "PNG"), "IncorrectOrientation"),
        (turned(6, "TIFF"), "IncorrectOrientation"),
        (turned(8, "WEBP"), "IncorrectOrientation"),
        (encoded(kind="ICO"), "UnsupportedPicFormat"),
        (encoded()[:-200], "UnsupportedPicFormat"),
        (b"", "UnsupportedPicFormat"),
        (b"<html>not found</html>", "UnsupportedPicFormat"),
        (encoded() + bytes(4 * 1024 * 1024), "InvalidPicContent"),
        (bomb(), "UnsupportedPicPixels"),
        (Failure("PicNotExist"), "PicNotExist"),
        (Failure("NoPermission"), "NoPermission"),
    ],
)
def test_an_image_that_breaks_a_limit_is_refused_with_its_code(judged, image, code):
    assert codes(judged(record(), images={"a.jpg": image})) == [(1, code)]


@pytest.mark.parametrize(
    "image",
    [
        encoded((100, 100)),
        encoded((4096, 100), "PNG", "1"),
        turned(1),
        *(encoded(kind=kind) for kind in ("PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")),
        encoded(mode="CMYK"),
        encoded(kind="PNG", mode="RGBA"),
        encoded(kind="PNG", mode="I;16"),
    ],
)
def test_an_image_within_the_limits_is_accepted_under_any_name(judged, image):
    assert codes(judged(record(), images={"a.jpg": image})) == []


@pytest.mark.parametrize(
    ("service", "side", "accepted"),
    [
        ("product", 100, True),
        ("generic", 4096, True),
        ("fabric", 447, False),
        ("fabric", 448, True),
        ("trademark", 199, False),
        ("trademark", 200, True),
        ("trademark", 4096, False),
        ("trademark_too", 4095, True),
        ("furniture", 100, True),
        ("hardware", 99, False),
    ],
)
def test_sides_are_limited_by_service_type(judged, service, side, accepted):
    image = encoded((side, 500), "PNG", "1")
    verdict = judged(record(), images={"a.jpg": image}, service=ServiceType.named(service))
    assert (codes(verdict) == []) is accepted


def test_only_product_instances_check_the_category_and_others_force_it(judged):
    verdict = judged(record(CategoryId=55), service=ServiceType.GENERIC)
    assert verdict.changes[0].image["CategoryId"] == OTHERS
    assert codes(judged(record(CategoryId=55), service=ServiceType.PRODUCT)) == [(1, "InvalidCategory")]


def test_fabric_search_ignores_the_region(judged):
    verdict = judged(record(Region="0,9999,0,9999"), images={"a.jpg": encoded((500, 500))}, service=ServiceType.FABRIC)
    assert codes(verdict) == []
    assert verdict.changes[0].image["Region"] is None


def test_deleting_an_image_that_is_not_held_succeeds(judged):
    verdict = judged(record(OperationType="DELETE"), record(OperationType="DELETE", PicName=...))
    assert (verdict.deleted, verdict.failures) == (2, [])


def test_an_image_is_fetched_once_however_many_products_share_it(state):
    fetched = []

    def fetch(name):
        fetched.append(name)
        return encoded(), "TAG"

    verdict = judge_batch(
        written(record(), record(ProductId="2"), record(CategoryId=99, PicName="never.jpg")),
        fetch,
        instance="demo",
        held=state,
    )
    assert fetched == ["a.jpg"]
    assert verdict.imported == 2


def test_images_of_a_large_batch_keep_their_rows(judged):
    names = [f"{number}.jpg" for number in range(300)]
    small = encoded((50, 50))
    images = {name: small if number % 7 == 0 else encoded() for number, name in enumerate(names)}
    verdict = judged(*(record(PicName=name) for name in names), images=images)
    assert [bad.line for bad in verdict.failures] == list(range(1, 301, 7))
    assert [change.pic_name for change in verdict.changes] == [n for i, n in enumerate(names) if i % 7]


def test_capacity_counts_new_images_only_and_deletes_free_it(judged, state):
    verdict = judged(
        record(PicName="1.jpg"),
        record(PicName="2.jpg"),
        record(PicName="3.jpg"),  # over
        record(PicName="1.jpg"),  # overwrites
        record(OperationType="DELETE", PicName="1.jpg"),
        record(PicName="4.jpg"),
        record(OperationType="DELETE", PicName=...),
        record(PicName="5.jpg"),
        record(ProductId="2", PicName="5.jpg"),
        record(ProductId="3", PicName="5.jpg"),  # over
        capacity=2,
    )
    assert codes(verdict) == [(3, "InstanceOverQuota"), (10, "InstanceOverQuota")]


def test_work_stops_when_the_sandbox_stops(judged):
    with pytest.raises(Stopped):
        judged(record(), stopped=lambda: True)


def test_line_numbers_count_blank_lines():
    numbers = [line.number for line in read_lines(b"\n{}\n\n{}", ServiceType.PRODUCT, Readings())]
    assert numbers == [2, 4]


TWO_FRAMES = encoded(kind="GIF", save_all=True, append_images=[Image.new("RGB", (200, 200), "red")])
LINE = json.dumps(record()).encode()

#: Point → a batch, and the image behind a.jpg, which pass leniently and fail strictly.
OPEN_CASES = {
    "bom": (b"\xef\xbb\xbf" + LINE, None),
    "crlf": (LINE + b"\r", None),
    "blank_line": (LINE + b"\n\n" + LINE, None),
    "repeated_key": (LINE[:-1] + b', "ProductId": "2"}', None),
    "unknown_field": (written(record(Colour="red")), None),
    "null": (written(record(StrAttr=None)), None),
    "empty_pic_name": (written(record(OperationType="DELETE", PicName="")), None),
    "empty_content": (written(record(CustomContent="")), None),
    "text_length": (written(record(StrAttr="\N{DRESS}" * 100)), None),
    "str_attr_signs": (written(record(StrAttr="100%")), None),
    "int32": (written(record(IntAttr=2**31)), None),
    "sub_folder": (written(record(PicName="sub/a.jpg")), None),
    "extension": (LINE, encoded(kind="PNG")),
    "animation": (LINE, TWO_FRAMES),
    "colours": (LINE, encoded(mode="CMYK")),
    "alpha": (LINE, encoded(kind="PNG", mode="RGBA")),
    "odd_orientation": (LINE, turned(9)),
    "region_spaces": (written(record(Region="20, 40, 60, 80")), None),
    "region_edge": (written(record(Region="20,200,60,200")), None),
}


@pytest.mark.parametrize("point", OPEN_CASES)
def test_an_open_point_is_accepted_leniently_and_refused_strictly(judged, point):
    meta, image = OPEN_CASES[point]
    images = None if image is None else {"a.jpg": image}
    assert judged(meta, images=images).failures == []
    assert judged(meta, images=images, strict=[point]).failures


def test_all_eight_attributes_are_kept_and_a_ninth_is_not(judged):
    attributes = {"IntAttr": 1, "IntAttr2": 2, "IntAttr3": 3, "IntAttr4": 4}
    attributes |= {"StrAttr": "a", "StrAttr2": "b", "StrAttr3": "c", "StrAttr4": "d"}
    image = judged(record(**attributes), strict=True).changes[0].image
    assert {name: value for name, value in image.items() if "Attr" in name} == attributes
    assert judged(record(IntAttr5=5), strict=True).failures
    assert "IntAttr5" not in judged(record(IntAttr5=5)).changes[0].image


def test_every_open_point_has_a_case():
    elsewhere = {"crop_with_region", "row_order", "empty_file", "malformed_line"}
    assert {point.name for point in OPEN_POINTS} == set(OPEN_CASES) | elsewhere


def test_crop_false_beside_a_region_is_open(judged):
    both = record(Crop=False, Region="20,40,60,80")
    assert judged(both).changes[0].image["Region"] is not None
    assert judged(both, strict=["crop_with_region"]).changes[0].image["Region"] is None


def test_the_order_of_rows_is_open(judged):
    rows = [record(), record(OperationType="DELETE")]
    assert [type(change) for change in judged(*rows).changes] == [Put, Drop]
    assert [type(change) for change in judged(*rows, strict=["row_order"]).changes] == [Drop, Put]


def test_an_unknown_point_is_refused_by_name():
    with pytest.raises(ValueError, match="unknown point"):
        Readings(["bomb"])
