"""Copies are what the service takes, sources stay what they were, and the log says what was done."""

import hashlib
import io
import json
import random

import pandas as pd
import pytest
from images_made import encoded, photo, turned
from PIL import Image, ImageChops

from imgprep.core.errors import ConfigError
from imgprep.core.regions import Region
from imgprep.fix.prepare import prepare_images, transform_region
from imgprep.images.names import ready_name
from imgprep.images.storage import list_names
from imgprep.images.upright import open_upright
from imgprep.look.inspect import inspect_images


def prepared(root, out, names=None, **options):
    facts = inspect_images(names or list_names(root), root, progress=False)
    return prepare_images(facts, root, out, progress=False, **options).set_index("PicName", drop=False)


@pytest.fixture(scope="module")
def files():
    """One image for each thing that is done to an image."""
    image = photo()
    gps = Image.Exif()
    gps[0x8825] = {1: "N", 2: (31.0, 13.0, 0.0)}
    return {
        "fine.jpg": encoded(image),
        "turned.jpg": turned(image, 6),
        "cmyk.jpg": encoded(image.convert("CMYK")),
        "palette.png": encoded(image.convert("P"), "PNG"),
        "clear.png": encoded(image.convert("RGBA"), "PNG"),
        "deep.png": encoded(Image.new("I;16", (200, 150), 40_000), "PNG"),
        "moving.gif": encoded(image, "GIF", save_all=True, append_images=[image.rotate(180)]),
        "two.jpg": encoded(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
        "place.jpg": encoded(image, exif=gps),
        "place.png": encoded(image, "PNG", exif=gps),
        "place.webp": encoded(image, "WEBP", exif=gps),
        "new.avif": encoded(image, "AVIF"),
        "new.jpg": encoded(image.rotate(90)),
        "no extension": encoded(image),
        "long.jpg": encoded(image.resize((5000, 600))),
        "small.jpg": encoded(image.resize((99, 300))),
        "narrow.jpg": encoded(image.resize((8000, 150))),
        "cut.jpg": encoded(image)[:2000],
    }


@pytest.fixture
def shop(tmp_path, files):
    root = tmp_path / "shop"
    root.mkdir()
    for name, data in files.items():
        (root / name).write_bytes(data)
    return root


def test_each_kind_of_image_is_dealt_with(shop, tmp_path):
    log = prepared(shop, tmp_path / "out", [*list_names(shop), "gone.jpg"])
    assert log["action"].to_dict() == {
        **dict.fromkeys(list_names(shop), "converted"),
        **dict.fromkeys(["fine.jpg", "new.jpg", "no extension"], "kept"),
        **dict.fromkeys(["small.jpg", "narrow.jpg", "cut.jpg"], "refused"),
        "gone.jpg": "missing",
    }
    assert log["new_name"].dropna().is_unique
    assert log.loc["new.avif", "new_name"] == "new_avif.jpg"  # new.jpg is another picture
    assert log.loc["no extension", "new_name"] == "no extension.jpg"
    assert log.loc["moving.gif", "new_name"] == "moving.png"
    assert (log.loc["long.jpg", "width"], log.loc["long.jpg", "height"]) == (4096, 492)
    assert log.loc[log["action"].isin(["refused", "missing"]), "reason"].notna().all()


def test_preparing_the_prepared_changes_nothing(shop, tmp_path):
    first = prepared(shop, tmp_path / "out")
    copies = first.dropna(subset="new_name")
    again = prepared(tmp_path / "out", tmp_path / "again", list(copies["new_name"]))
    assert set(again["action"]) == {"kept"}
    assert again["new_name"].tolist() == again["PicName"].tolist()
    assert again["digest"].tolist() == copies["digest"].tolist()


def test_running_again_writes_nothing_and_says_the_same(shop, tmp_path):
    facts = inspect_images(list_names(shop), shop, progress=False)
    first = prepare_images(facts, shop, tmp_path / "out", progress=False)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
    pd.testing.assert_frame_equal(prepare_images(facts, shop, tmp_path / "out", progress=False), first)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()} == before
    (tmp_path / "out" / "turned.jpg").write_bytes(b"spoiled")
    with pytest.raises(ConfigError, match=r"turned\.jpg: was changed since imgprep wrote it"):
        prepare_images(facts, shop, tmp_path / "out", progress=False)
    assert (tmp_path / "out" / "turned.jpg").read_bytes() == b"spoiled"
    (tmp_path / "out" / "turned.jpg").unlink()
    pd.testing.assert_frame_equal(prepare_images(facts, shop, tmp_path / "out", progress=False), first)
    assert (tmp_path / "out" / "turned.jpg").is_file()


def test_a_dry_run_says_what_a_run_does_and_writes_nothing(shop, tmp_path):
    dry = prepared(shop, tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    wet = prepared(shop, tmp_path / "out")
    columns = ["new_name", "action", "width", "height", "scale_x", "scale_y"]
    pd.testing.assert_frame_equal(dry[columns], wet[columns])


def test_sources_are_never_changed_and_kept_copies_are_the_same_bytes(shop, tmp_path):
    before = {name: (shop / name).read_bytes() for name in list_names(shop)}
    log = prepared(shop, tmp_path / "out")
    assert {name: (shop / name).read_bytes() for name in list_names(shop)} == before
    assert (tmp_path / "out" / "fine.jpg").read_bytes() == before["fine.jpg"]
    for row in log.dropna(subset="new_name").itertuples():
        data = (tmp_path / "out" / row.new_name).read_bytes()
        assert hashlib.md5(data).hexdigest() == row.digest
        assert len(data) == row.bytes
        with (tmp_path / "out" / row.new_name).open("r+b") as copy:
            copy.write(b"edited")
    assert {name: (shop / name).read_bytes() for name in list_names(shop)} == before, "a copy is a link to its source"
    with pytest.raises(ConfigError, match="another folder for the copies"):
        prepared(shop, shop)


@pytest.mark.parametrize("name", ["place.jpg", "place.png", "place.webp", "two.jpg"])
def test_metadata_go_and_not_a_pixel_changes(name, shop, tmp_path):
    log = prepared(shop, tmp_path / "out", [name])
    copy = tmp_path / "out" / log.loc[name, "new_name"]
    assert ImageChops.difference(open_upright(shop / name), open_upright(copy)).getbbox() is None
    with Image.open(copy) as image:
        assert not image.getexif()
        assert getattr(image, "n_frames", 1) == 1


def test_too_heavy_becomes_as_good_as_fits(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    noise = Image.frombytes("RGB", (600, 500), random.Random(1).randbytes(900_000))
    (root / "a.png").write_bytes(encoded(noise, "PNG"))
    log = prepared(root, tmp_path / "out", limits={"image_bytes": 200_000})
    row = log.loc["a.png"]
    assert row["new_name"] == "a.jpg"
    assert 150_000 < row["bytes"] <= 200_000
    assert "quality" in row["reason"]


def test_a_source_that_changed_meanwhile_is_not_sent_as_something_else(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.jpg").write_bytes(encoded(photo(1)))
    (root / "b.jpg").write_bytes(turned(photo(1), 6))
    facts = inspect_images(["a.jpg", "b.jpg"], root, progress=False)
    for name in ("a.jpg", "b.jpg"):
        (root / name).write_bytes(encoded(photo(2)))
    log = prepare_images(facts, root, tmp_path / "out", progress=False)
    assert log["action"].tolist() == ["refused", "refused"]
    assert log["reason"].str.contains("changed").all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_region_lies_on_the_copy_where_it_lay_on_the_photograph(orientation, tmp_path):
    methods = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
               5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
               8: Image.Transpose.ROTATE_270}  # fmt: skip
    region = Region(x1=64, y1=32, x2=160, y2=96)
    upright = Image.new("L", (256, 192), 255)
    upright.paste(0, (region.x1, region.y1, region.x2, region.y2))
    stored = upright.transpose(methods[orientation]) if orientation > 1 else upright
    (tmp_path / "a.png").write_bytes(turned(stored.convert("RGB"), orientation, "PNG"))
    for limits, factor in ({}, 1), ({"side_max": 128, "side_min": 50}, 2):
        log = prepared(tmp_path, tmp_path / f"out{factor}", ["a.png"], limits=limits)
        moved = transform_region(region, log.loc["a.png"])
        with Image.open(tmp_path / f"out{factor}" / "a.png") as copy:
            dark = copy.convert("L").point(lambda value: 255 if value < 128 else 0)
        assert dark.getbbox() == (moved.x1, moved.y1, moved.x2, moved.y2)
        assert moved.width == region.width // factor


def test_a_colour_profile_is_honoured(tmp_path):
    from PIL import ImageCms

    image = Image.new("LAB", (120, 120), (180, 200, 100))
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    (tmp_path / "a.tif").write_bytes(buffer.getvalue())
    prepared(tmp_path, tmp_path / "out", ["a.tif"])
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    expected = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB", renderingIntent=1)
    with Image.open(tmp_path / "out" / "a.png") as copy:
        assert copy.getpixel((9, 9)) == pytest.approx(expected.getpixel((9, 9)), abs=1)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("CON.jpg", "_CON.jpg"),
        ("aux", "_aux.jpg"),
        ("lpt9/nul .tar.jpg", "_lpt9/_nul .tar.jpg"),
        ("a.jpg:b.jpg", "a.jpg_b.jpg"),
        ("a.jpg.", "a.jpg.jpg"),
        ("a.jpg ", "a.jpg .jpg"),
        ("../../etc/passwd", "etc/passwd.jpg"),
        ("\\\\host\\share\\a.jpg", "__host_share_a.jpg"),
        ("C:\\a.jpg", "C__a.jpg"),
        ("console.jpg", "console.jpg"),
        ("com10.jpg", "com10.jpg"),
    ],
)
def test_no_copy_goes_to_a_device_a_stream_or_another_folder_on_any_system(name, wanted):
    assert ready_name(name, "JPEG", converted=False) == wanted


def test_a_copy_stays_good_although_its_reason_is_worded_anew(shop, tmp_path):
    """A manifest of the first version, which wrote "a channel" where it now says "per channel"."""
    out = tmp_path / "out"
    facts = inspect_images(["clear.png", "fine.jpg"], shop, progress=False).assign(depth=16)
    first = prepare_images(facts, shop, out, progress=False).set_index("PicName")
    assert "16 to 8 bits per channel" in first.loc["fine.jpg", "reason"]
    manifest, copy = out / ".imgprep-prepare.jsonl", out / "fine.jpg"
    entries = {entry["pic_name"]: entry for entry in map(json.loads, manifest.read_text().splitlines())}
    width, height = Image.open(copy).size
    plan = f"converted JPEG {width}x{height} 16 to 8 bits a channel fine.jpg"
    entries["fine.jpg"]["plan"] = hashlib.md5(plan.encode()).hexdigest()[:12]
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries.values()))
    before = copy.stat().st_ino
    again = prepare_images(facts, shop, out, progress=False).set_index("PicName")
    assert copy.stat().st_ino == before, "the copy was made again"
    assert again["digest"].to_dict() == first["digest"].to_dict()


def test_equal_changes_add_up_although_their_numbers_and_names_differ():
    from imgprep.fix.convert import CHANGES, _reasons
    from imgprep.fix.prepare import tally_changes

    facts = {"mode": "RGB", "depth": 16, "profile": "p", "frames": 3, "personal": True, "bytes": 9}
    several = [
        ", ".join(map(", ".join, _reasons({**facts, "format": "ICO", "alpha": alpha, "mode": mode}, 8, 6)))
        for alpha, mode in ((True, "RGBA"), (False, "P"))
    ]
    reasons = [*several, "scaled from 9000 × 90, named a.png", "scaled from 8000 × 80", None]
    log = pd.DataFrame({"action": ["converted"] * 4 + ["kept"], "reason": reasons})
    counts = dict(tally_changes(log).values.tolist())
    assert counts["scaled down"] == 2 and counts["turned upright"] == 2 and counts["converted to RGB"] == 1
    assert set(counts) >= set(CHANGES.values()) - {"reduced to 8 bits per channel"}
    assert tally_changes(log.tail(1)).empty
