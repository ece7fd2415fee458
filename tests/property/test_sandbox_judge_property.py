"""For any bytes, the sandbox's judge accounts for every line and never crashes."""

import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from imgprep.sandbox.imagesearch.judge import judge_batch, judge_image
from imgprep.sandbox.imagesearch.readings import MESSAGES, Failure, Readings, ServiceType
from imgprep.sandbox.imagesearch.state import Put

FIELDS = (
    "OperationType",
    "ProductId",
    "PicName",
    "CategoryId",
    "CustomContent",
    *("IntAttr", "IntAttr2", "IntAttr3", "IntAttr4"),
    *("StrAttr", "StrAttr2", "StrAttr3", "StrAttr4"),
    "Crop",
    "Region",
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.just("ADD")
    | st.lists(st.none())
)
RECORDS = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), VALUES, max_size=9)
LINES = st.one_of(st.binary(max_size=40), RECORDS.map(lambda record: json.dumps(record).encode()))


class Nothing:
    def count(self, instance, product_id=None, pic_name=None):
        return 0


def image(kind):
    out = io.BytesIO()
    Image.effect_noise((110, 110), 40).save(out, kind)
    return out.getvalue()


IMAGES = [image(kind) for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM")]


@given(st.lists(LINES, max_size=6), st.booleans())
def test_every_line_is_imported_deleted_or_failed_with_a_known_code(lines, strict):
    verdict = judge_batch(
        b"\n".join(lines), lambda name: (IMAGES[0], "TAG"), instance="demo", held=Nothing(), readings=Readings(strict)
    )
    assert verdict.imported + verdict.deleted + len(verdict.failures) == verdict.lines
    assert {failed.code for failed in verdict.failures} <= set(MESSAGES)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(IMAGES), st.data(), st.booleans())
def test_a_damaged_image_is_accepted_or_refused_with_a_known_code(good, data, strict):
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    verdict = judge_image(bytes(damaged[:cut]), "a.jpg", ServiceType.PRODUCT, Readings(strict))
    assert not isinstance(verdict, Failure) or verdict.code in MESSAGES


KEYS = st.tuples(st.sampled_from("AB"), st.sampled_from(["1.jpg", "2.jpg"]))
STEPS = st.lists(st.tuples(st.sampled_from(["ADD", "DELETE", "WHOLE"]), KEYS), max_size=12)


@given(STEPS, st.sets(KEYS), st.integers(0, 4))
def test_the_gallery_never_exceeds_its_capacity_and_equals_a_plain_replay(steps, before, capacity):
    class Held:
        def count(self, instance, product_id=None, pic_name=None):
            return sum((product_id in (None, product)) and (pic_name in (None, name)) for product, name in before)

    rows = [
        {"OperationType": "ADD" if kind == "ADD" else "DELETE", "ProductId": product, "CustomContent": "x"}
        | ({} if kind == "WHOLE" else {"PicName": name})
        for kind, (product, name) in steps
    ]
    meta = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    verdict = judge_batch(meta, lambda name: (IMAGES[0], "TAG"), instance="demo", held=Held(), capacity=capacity)
    gallery, failed = set(before), []
    for line, (kind, (product, name)) in enumerate(steps, 1):
        if kind == "WHOLE":
            gallery = {key for key in gallery if key[0] != product}
        elif kind == "DELETE":
            gallery.discard((product, name))
        elif (product, name) in gallery or len(gallery) < capacity:
            gallery.add((product, name))
        else:
            failed.append(line)
    assert [bad.line for bad in verdict.failures] == failed
    held = set(before)
    for change in verdict.changes:
        key = (change.product_id, change.pic_name)
        if isinstance(change, Put):
            held.add(key)
        else:
            held -= {key} if key[1] else {other for other in held if other[0] == key[0]}
    assert held == gallery
