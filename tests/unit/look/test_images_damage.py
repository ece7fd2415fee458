"""Broken files are those that a full load refuses, however packed; strict finds some that load all the same."""

import io
import random
from pathlib import Path

import pytest
from images_made import CORRUPTORS, encoded, photo
from PIL import Image

from imgprep.images.storage import list_names
from imgprep.look.inspect import inspect_images
from imgprep.look.probe import probe_one, without_fine_scans

PHOTOS = Path(__file__).parents[3].parent / "shared" / "data" / "clothing" / "images"
LARGE = (640, 560)  # large enough to be decoded at an eighth


def loads(data):
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except Exception:
        return False
    return True


def changed(data, seed, count, *, start=0):
    numbers = random.Random(seed)
    result = bytearray(data)
    for _ in range(count):
        result[numbers.randrange(start, len(result) - 2)] ^= numbers.randrange(1, 256)
    return bytes(result)


def near_markers(data, seed):
    """Other markers where markers were: scans that end early, tables that are none."""
    numbers = random.Random(seed)
    result = bytearray(data)
    places = [at for at in range(len(data) - 1) if data[at] == 0xFF]
    for at in numbers.sample(places, 3):
        result[at + 1] = numbers.randrange(256)
    return bytes(result)


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 4}], ids=["plain", "restarts"])
def test_a_progressive_photograph_is_broken_exactly_where_a_full_load_refuses_it(options, tmp_path):
    whole = encoded(photo(1, LARGE), progressive=True, **options)
    variants = {f"{kind}.jpg": corrupt(whole) for kind, corrupt in CORRUPTORS.items()}
    for seed in range(12):
        variants[f"flipped-{seed}.jpg"] = changed(whole, seed, 5 + seed)
        variants[f"markers-{seed}.jpg"] = near_markers(whole, seed)
        variants[f"cut-out-{seed}.jpg"] = whole[: 500 * seed + 700] + whole[500 * seed + 1400 :]
    variants["whole.jpg"] = whole
    for name, data in variants.items():
        (tmp_path / name).write_bytes(data)
    facts = inspect_images(variants, tmp_path, progress=False).set_index("PicName")
    assert facts["problem"].isna().to_dict() == {name: loads(data) for name, data in variants.items()}
    assert facts["problem"].isna().sum() > 5


def test_the_coarse_scans_of_a_progressive_photograph_give_the_same_brightness():
    whole = encoded(photo(1, LARGE), progressive=True)
    lean = without_fine_scans(whole)
    assert lean is not None and len(lean) < len(whole) / 2
    pictures = []
    for data in (whole, lean):
        with Image.open(io.BytesIO(data)) as image:
            image.draft("L", (1, 1))
            pictures.append(image.tobytes())
    assert pictures[0] == pictures[1]
    assert without_fine_scans(encoded(photo(1, LARGE))) is None
    assert without_fine_scans(whole[: len(whole) // 2]) is not None
    assert without_fine_scans(b"\xff\xd8\xff\xe0") is None
    assert without_fine_scans(b"") is None


def test_strict_finds_damage_that_decoders_pass_over(tmp_path):
    pytest.importorskip("cv2")
    photos = [encoded(photo(seed, LARGE), quality=90, progressive=bool(seed % 2)) for seed in range(6)]
    for seed, data in enumerate(photos):
        (tmp_path / f"{seed}-whole.jpg").write_bytes(data)
        at = data.index(b"\xff\xda") + 40
        (tmp_path / f"{seed}-zeroed.jpg").write_bytes(data[:at] + bytes(400) + data[at + 400 :])
    png = encoded(photo(9), "PNG")
    (tmp_path / "whole.png").write_bytes(png)
    (tmp_path / "flipped.png").write_bytes(png[:-40] + bytes([png[-40] ^ 1]) + png[-39:])
    facts = inspect_images(list_names(tmp_path), tmp_path, tier="strict", progress=False).set_index("PicName")
    damaged = facts["problem"].notna()
    assert not damaged[[name for name in facts.index if "whole" in name]].any()
    assert damaged[[name for name in facts.index if "whole" not in name]].all()
    assert facts.loc["0-zeroed.jpg", "problem"] == "damaged"
    assert facts.loc["0-zeroed.jpg", "detail"].startswith("Corrupt JPEG data")
    assert (facts["tier"] == "strict").all()
    assert inspect_images(["0-zeroed.jpg"], tmp_path, progress=False)["problem"].isna().all()


def test_without_opencv_a_jpeg_has_tier_decode(tmp_path, monkeypatch, caplog):
    (tmp_path / "a.jpg").write_bytes(encoded(photo()))
    (tmp_path / "a.png").write_bytes(encoded(photo(), "PNG"))
    monkeypatch.setattr("imgprep.look.pixels.importlib.util.find_spec", lambda name: None)
    # In this process, where OpenCV is hidden; `inspect_images` warns before it starts others.
    tiers = [probe_one((str(tmp_path), name, "strict", ()))["tier"] for name in ("a.jpg", "a.png")]
    assert tiers == ["decode", "strict"]
    inspect_images([], tmp_path, tier="strict", progress=False)
    assert "OpenCV is not installed" in caplog.text


def test_what_others_write_to_standard_error_is_passed_on(capfd):
    pytest.importorskip("cv2")
    import os

    from imgprep.look.pixels import _standard_error

    with _standard_error():
        os.write(2, b"Corrupt JPEG data: bad Huffman code\nsomebody else\n")
    assert capfd.readouterr().err == "somebody else\n"


@pytest.mark.shared
def test_no_real_photograph_is_called_damaged_and_most_damaged_ones_are(tmp_path):
    pytest.importorskip("cv2")
    if not PHOTOS.is_dir():
        pytest.skip("the shared photographs are not here")
    facts = inspect_images(list_names(PHOTOS), PHOTOS, tier="strict", progress=False)
    assert facts["problem"].isna().all()
    names = list_names(PHOTOS)[:50]
    for seed, name in enumerate(names):
        data = (PHOTOS / name).read_bytes()
        (tmp_path / f"{seed}.jpg").write_bytes(changed(data, seed, 5, start=data.index(b"\xff\xda") + 14))
    found = inspect_images(list_names(tmp_path), tmp_path, tier="strict", progress=False)["problem"].notna()
    assert found.sum() >= 30
