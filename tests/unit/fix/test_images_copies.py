"""Pixels, bytes and names of copies, and runs that are interrupted."""

import doctest
import hashlib
import importlib
import io
import os
import random
import signal
import struct
import subprocess
import sys
import zipfile
import zlib

import pandas as pd
import pytest
from images_made import encoded, photo, turned
from PIL import Image, ImageCms

from imgprep.core.regions import Region
from imgprep.core.text import discreet
from imgprep.fix.convert import Recipe, ready
from imgprep.fix.prepare import prepare_images, transform_region
from imgprep.images.storage import list_names
from imgprep.look.inspect import inspect_images


def noise(size=(600, 500), mode="RGB"):
    return Image.frombytes("RGB", size, random.Random(1).randbytes(3 * size[0] * size[1])).convert(mode)


def prepared(root, out, **options):
    facts = inspect_images(list_names(root), root, progress=False)
    return prepare_images(facts, root, out, progress=False, **options).set_index("PicName", drop=False)


@pytest.fixture
def shop(tmp_path):
    """A folder to fill: name → bytes."""

    def fill(**files):
        return filled({name.replace("__", "."): data for name, data in files.items()})

    def filled(files):
        root = tmp_path / "shop"
        for name, data in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        return root

    fill.names = filled
    return fill


def colour_of(data, tmp_path, name="a.png", at=(60, 60)):
    """The colour of one pixel of the copy of an image."""
    root = tmp_path / "one"
    root.mkdir(exist_ok=True)
    (root / name).write_bytes(data)
    row = prepared(root, tmp_path / "copies").loc[name]
    assert row["action"] in ("kept", "converted"), row["reason"]
    with Image.open(tmp_path / "copies" / row["new_name"]) as copy:
        assert copy.mode in ("RGB", "L") and "icc_profile" not in copy.info
        return copy.convert("RGB").getpixel(at)


# Quality


@pytest.mark.parametrize(("target", "again"), [("JPEG", {"optimize": True}), ("WEBP", {"method": 4})])
def test_one_step_better_would_not_fit(target, again):
    image, most = noise(), 200_000
    copied, made = ready(encoded(image, "PNG"), Recipe("converted", target=target, width=600, height=500), most)
    quality = int(copied.note.removeprefix("quality "))
    with Image.open(io.BytesIO(made)) as copy:
        assert copy.format == target and copy.size == (600, 500)
    for step, fits in ((0, True), (1, False)):
        options = again | ({"subsampling": 0 if quality + step >= 90 else 2} if target == "JPEG" else {})
        assert (len(encoded(image, target, quality=quality + step, **options)) <= most) is fits


def test_what_fits_at_no_quality_is_made_smaller_at_the_best_that_fits():
    recipe = Recipe("converted", target="JPEG", width=600, height=500, side_min=100)
    copied, made = ready(encoded(noise(), "PNG"), recipe, 40_000)
    assert len(made) <= 40_000
    assert 100 <= copied.height < 500 and copied.width / copied.height == pytest.approx(1.2, abs=0.01)
    assert f"scaled to {copied.width} × {copied.height} to fit" in copied.note


def test_what_cannot_be_light_enough_is_refused_and_never_too_small(shop, tmp_path):
    root = shop(a__png=encoded(noise(), "PNG"))
    row = prepared(root, tmp_path / "out", limits={"image_bytes": 900}).loc["a.png"]
    assert row["action"] == "refused"
    assert "100 pixels per side" in row["reason"] and "900 bytes" in row["reason"]


@pytest.mark.parametrize("format_", ["BMP", "TIFF", "PPM"])
def test_what_is_too_heavy_only_for_its_format_gets_a_name_that_says_what_it_is(format_, shop, tmp_path):
    extension = format_.lower()
    root = shop.names({f"a.{extension}": encoded(photo(1, (640, 480)), format_)})
    row = prepared(root, tmp_path / "out", limits={"image_bytes": 500_000}).loc[f"a.{extension}"]
    assert row["new_name"] == "a.png"
    with Image.open(tmp_path / "out" / "a.png") as copy:
        assert copy.format == "PNG"


@pytest.mark.parametrize("size", [(100, 100), (120, 4096)])
def test_nothing_is_enlarged_and_what_just_fits_is_kept(size, shop, tmp_path):
    log = prepared(shop(a__jpg=encoded(photo(1, size)), b__jpg=encoded(photo(1, (99, 200)))), tmp_path / "out")
    assert log["action"].tolist() == ["kept", "refused"]
    assert "not enlarged" in log.loc["b.jpg", "reason"]
    assert (log.loc["a.jpg", "width"], log.loc["a.jpg", "height"]) == size


# Colours


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGBA", (120, 120), (200, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (120, 120), (200, 0, 100, 128)), (227, 127, 177)),
        (Image.new("LA", (120, 120), (0, 51)), (204, 204, 204)),
    ],
)
def test_what_is_see_through_lies_on_white(image, expected, tmp_path):
    assert colour_of(encoded(image, "PNG"), tmp_path) == pytest.approx(expected, abs=1)


def test_a_colour_that_stands_for_transparency_is_white_and_others_stay(tmp_path):
    image = Image.new("RGB", (120, 120), (1, 2, 3))
    image.paste((40, 80, 120), (50, 50, 70, 70))
    data = encoded(image, "PNG", transparency=(1, 2, 3))
    assert colour_of(data, tmp_path) == (40, 80, 120)
    assert colour_of(data, tmp_path, at=(5, 5)) == (255, 255, 255)


def test_a_palette_keeps_its_colours_and_its_clear_entry_is_white(tmp_path):
    image = Image.new("P", (120, 120), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.paste(0, (50, 50, 70, 70))
    assert colour_of(encoded(image, "PNG"), tmp_path, at=(5, 5)) == (10, 200, 30)
    assert colour_of(encoded(image, "PNG"), tmp_path) == (0, 0, 0)
    assert colour_of(encoded(image, "PNG", transparency=0), tmp_path) == (255, 255, 255)
    assert colour_of(encoded(image, "GIF", transparency=1), tmp_path, "b.gif", at=(5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("ink", "seen"),
    [
        ((0, 255, 255, 0), (255, 0, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 0, 0), (255, 255, 255)),
    ],
)
@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_ink_without_a_profile_is_what_a_browser_makes_of_it(ink, seen, format_, tmp_path):
    data = encoded(Image.new("CMYK", (120, 120), ink), format_)
    assert colour_of(data, tmp_path, f"a.{format_.lower()}") == pytest.approx(seen, abs=3)


def test_sixteen_bits_become_eight_without_clipping(tmp_path):
    assert colour_of(encoded(Image.new("I;16", (120, 120), 40_000), "PNG"), tmp_path) == pytest.approx(
        (156,) * 3, abs=1
    )
    assert colour_of(encoded(Image.new("I;16", (120, 120), 90), "PNG"), tmp_path) == (0, 0, 0)
    rows = (b"\0" + struct.pack(">3H", 65_535, 32_896, 257) * 120) * 120

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 120, 120, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert colour_of(data, tmp_path) == pytest.approx((255, 128, 1), abs=1)
    with Image.open(next((tmp_path / "copies").glob("*.png"))) as copy:
        assert copy.mode == "RGB"
    assert (tmp_path / "copies" / "a.png").read_bytes()[24] == 8, "the copy still has 16 bits a channel"


@pytest.mark.parametrize(
    ("format_", "name"), [("GIF", "a.gif"), ("WEBP", "a.webp"), ("TIFF", "a.tif"), ("PNG", "a.png")]
)
def test_of_a_moving_picture_the_first_is_taken(format_, name, tmp_path):
    first, second = Image.new("RGB", (120, 120), (250, 10, 10)), Image.new("RGB", (120, 120), (10, 10, 250))
    data = encoded(
        first, format_, save_all=True, append_images=[second], **({"lossless": True} if format_ == "WEBP" else {})
    )
    assert colour_of(data, tmp_path, name) == pytest.approx((250, 10, 10), abs=6)
    with Image.open(next((tmp_path / "copies").glob("a.*"))) as copy:
        assert getattr(copy, "n_frames", 1) == 1


def matrix_profile(name, columns, gamma):
    """An ICC profile (version 2) of three primaries and a gamma. Source: ICC.1:2001-04."""

    def xyz(values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65_536) for value in values))

    text = name.encode()
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(78)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    tags = {b"desc": desc, b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz((0.9642, 1, 0.8249)),
            **{tag: xyz(column) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)},
            b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}  # fmt: skip
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\x02\x40\0\0", b"mntrRGB XYZ ", b"acsp"
    head[68:80] = struct.pack(">3i", 63_190, 65_536, 54_061)
    whole = bytes(head) + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


# Primaries seen from D50. Source: Adobe RGB (1998) encoding; SMPTE EG 432-1 with a D65 white (Display P3).
ADOBE = matrix_profile(
    "Adobe RGB (1998)",
    [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)],
    2.2,
)
P3 = matrix_profile(
    "Display P3", [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)], 2.2
)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(("profile", "seen"), [(ADOBE, (108, 150, 99)), (P3, (115, 151, 98))])
def test_colours_of_a_wide_profile_are_what_srgb_shows(profile, seen, format_, tmp_path):
    stored = Image.new("RGB", (120, 120), (120, 150, 100))
    options = (
        {"quality": 100, "subsampling": 0} if format_ == "JPEG" else {"lossless": True} if format_ == "WEBP" else {}
    )
    data = encoded(stored, format_, icc_profile=profile, **options)
    colour = colour_of(data, tmp_path, f"a.{format_.lower()}")
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    expected = ImageCms.profileToProfile(stored, source, target, renderingIntent=1).getpixel((0, 0))
    assert colour == pytest.approx(expected, abs=3)
    assert colour == pytest.approx(seen, abs=6)
    assert colour[0] < 120, "the profile was dropped, not honoured"


def test_a_profile_that_says_srgb_or_nothing_sensible_costs_no_pixel(shop, tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(photo(), "PNG", icc_profile=srgb)
    root = shop(a__png=data, b__png=encoded(photo(), "PNG", icc_profile=b"nonsense"))
    log = prepared(root, tmp_path / "out")
    assert log.loc["a.png", "action"] == "kept" and (tmp_path / "out" / "a.png").read_bytes() == data
    with Image.open(tmp_path / "out" / "b.png") as copy:
        assert copy.tobytes() == photo().tobytes()


# Names


NAMES = {
    "a.HEIC.jpg": "a.HEIC.jpg",
    "tab\there.jpg": "tab_here.jpg",
    "back\\slash.jpg": "back_slash.jpg",
    "no extension": "no extension.jpg",
    "no_extension.jpg": "no_extension.jpg",
    "odd.jfif": "odd_jfif.jpg",
    "odd.jpg": "odd.jpg",
    "über/größe 1.jpg": "über/größe 1.jpg",
}


def test_names_are_legal_each_its_own_and_those_that_were_stay(shop, tmp_path):
    root = shop.names({name: encoded(photo(number)) for number, name in enumerate(NAMES)})
    log = prepared(root, tmp_path / "out")
    assert log["new_name"].to_dict() == NAMES
    for name, new in NAMES.items():
        assert (tmp_path / "out" / new).read_bytes() == (root / name).read_bytes()
    again = prepared(tmp_path / "out", tmp_path / "again")
    assert set(again["action"]) == {"kept"} and (again["new_name"] == again["PicName"]).all()


def test_of_names_that_some_disks_take_for_one_each_keeps_its_picture(shop, tmp_path):
    files = {"a.heic": encoded(photo(2), "AVIF"), "a.avif": encoded(photo(3), "AVIF")}
    files |= {"a.jpg": encoded(photo(4)), "A.jpeg": encoded(photo(5)), "A.bmp": encoded(noise((200, 150)), "BMP")}
    root = shop.names(files)
    log = prepared(root, tmp_path / "out", limits={"image_bytes": 60_000})
    assert log["new_name"].str.casefold().is_unique
    assert log.loc["a.jpg", "new_name"] == "a.jpg"
    for name, row in log.iterrows():
        assert hashlib.md5((tmp_path / "out" / row["new_name"]).read_bytes()).hexdigest() == row["digest"], name


def test_names_that_no_folder_can_hold_cost_their_own_rows_only(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("a", "a.jpg/b.jpg", f"{'長' * 120}.jpg", "c.jpg"):
            archive.writestr(name, encoded(photo()))
        archive.writestr(f"{'長' * 121}.jpg", turned(photo(), 6))
    facts = inspect_images(list_names(tmp_path / "all.zip"), tmp_path / "all.zip", progress=False)
    log = prepare_images(facts, tmp_path / "all.zip", tmp_path / "out", progress=False).set_index("PicName")
    assert log["action"].value_counts().to_dict() == {"kept": 2, "refused": 3}
    assert log.loc["c.jpg", "action"] == "kept" and log.loc[log["action"] == "refused", "reason"].notna().all()


# Regions


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_region_lies_to_the_pixel_where_an_uneven_scale_puts_it(orientation, shop, tmp_path):
    region = Region(x1=311, y1=97, x2=700, y2=402)
    upright = Image.new("L", (901, 677), 255)
    upright.paste(0, (region.x1, region.y1, region.x2, region.y2))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what undoes each EXIF orientation, as Pillow numbers it
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    root = shop(a__png=turned(stored.convert("RGB"), orientation, "PNG"))
    row = prepared(root, tmp_path / "out", limits={"side_max": 400}).loc["a.png"]
    assert (row["width"], row["height"]) == (400, 301)
    moved = transform_region(region, row)
    assert moved.fits(400, 301)
    with Image.open(tmp_path / "out" / "a.png") as copy:
        dark = copy.convert("L").point(lambda value: 255 if value < 128 else 0).getbbox()
    assert dark == pytest.approx((moved.x1, moved.y1, moved.x2, moved.y2), abs=1)
    exact = [value * 400 / 901 for value in (311, 700)] + [value * 301 / 677 for value in (97, 402)]
    assert [moved.x1, moved.x2, moved.y1, moved.y2] == [round(value) for value in exact]


# Runs


def mixed():
    return {
        "kept.jpg": encoded(photo()),
        "turned.jpg": turned(photo(2, (900, 700)), 6),
        "heavy.png": encoded(noise(), "PNG"),
        "heavy.bmp": encoded(noise((700, 300)), "BMP"),
        "clear.png": encoded(noise((400, 300), "RGBA"), "PNG"),
        "long.jpg": encoded(noise((5000, 700)), quality=60),
        "light.avif": encoded(photo(), "AVIF"),
        "small.jpg": encoded(photo(1, (50, 50))),
        "no extension": encoded(photo(3)),
    }


def test_a_dry_run_foresees_what_is_done_to_the_heavy_ones_too(shop, tmp_path):
    root, limits = shop.names(mixed()), {"image_bytes": 250_000}
    dry = prepared(root, tmp_path / "out", limits=limits, dry_run=True)
    assert not (tmp_path / "out").exists()
    wet = prepared(root, tmp_path / "out", limits=limits)
    assert wet["new_name"].str.endswith(".jpg").sum() >= 6
    known = dry["digest"].notna()
    assert known.sum() >= 4
    unknown = ["digest", "bytes"]
    pd.testing.assert_frame_equal(dry.drop(columns=unknown), wet.drop(columns=unknown))
    pd.testing.assert_frame_equal(dry.loc[known, unknown], wet.loc[known, unknown])


def test_preparing_the_heavy_ones_again_changes_nothing(shop, tmp_path):
    limits = {"image_bytes": 250_000}
    first = prepared(shop.names(mixed()), tmp_path / "out", limits=limits).dropna(subset="new_name")
    again = prepared(tmp_path / "out", tmp_path / "again", limits=limits)
    assert set(again["action"]) == {"kept"}
    assert again["digest"].to_dict() == first.set_index("new_name")["digest"].to_dict()


class Stops:
    """A bar that stops the run at its n-th image, as Ctrl+C would."""

    def __init__(self, after):
        self.left = after

    def __call__(self, *args, **options):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def update(self, _=1):
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 4, 6])
def test_an_interrupted_run_continues_and_gives_the_same_result(after, shop, tmp_path, monkeypatch):
    root = shop.names(mixed())
    whole = prepared(root, tmp_path / "whole")
    facts = inspect_images(list_names(root), root, progress=False)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tqdm.auto.tqdm", Stops(after))
        prepare_images(facts, root, tmp_path / "out", progress=False)
    begun = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("[!.]*")}
    assert not list((tmp_path / "out").glob(".imgprep-draft*"))
    pd.testing.assert_frame_equal(prepared(root, tmp_path / "out"), whole)
    assert list_names(tmp_path / "out") == list_names(tmp_path / "whole")
    assert begun == {file: file.stat().st_mtime_ns for file in begun}, "finished copies were made again"


#: Prepares a folder, and prints a line when a copy has its name.
LOUD = """
import sys
from imgprep.core.files import Written
from imgprep.fix.prepare import prepare_images
from imgprep.images.storage import list_names
from imgprep.look.inspect import inspect_images
placed = Written.place
Written.place = lambda *names: (placed(*names), print("placed", flush=True))[0]
root, out = sys.argv[1:]
prepare_images(inspect_images(list_names(root), root, progress=False), root, out, progress=False)
"""


@pytest.mark.skipif(os.name == "nt", reason="kills a process as Unix does")
def test_a_run_that_was_killed_leaves_no_half_copy(shop, tmp_path):
    photographs = {f"{number}.jpg": turned(photo(number, (1500, 1100)), 6) for number in range(24)}
    root, out = shop.names(photographs), tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", LOUD, str(root), str(out)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout.readline() == b"placed\n"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(list_names(out)) < 24
    for file in out.glob("[!.]*"):
        with Image.open(file) as image:
            image.load()
    for drafts in out.glob(".imgprep-draft*"):
        os.utime(drafts, (0, 0))  # long ago
    log = prepared(root, out)
    assert set(log["action"]) == {"converted"} and len(list_names(out)) == 24
    assert sorted(file.name for file in out.glob(".*")) == [".imgprep-prepare.jsonl", ".imgprep-written.jsonl"]


#: Modules whose examples run on their own; those of public names run in test_examples too.
WITH_EXAMPLES = (
    *("look.duplicates", "look.inspect", "look.match_files", "look.match_names", "look.rules.book"),
    *("look.rules.region_order", "fix.prepare"),
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_are_true(name):
    failed, attempted = doctest.testmod(importlib.import_module(f"imgprep.{name}"))
    assert attempted and not failed


def test_the_message_of_a_failure_holds_no_signature():
    message = discreet("cannot parse http://shop.example/a.jpg?Signature=abc&Expires=9 or 'x?token=t': no port")
    assert message == "cannot parse http://shop.example/a.jpg?… or 'x?…': no port"
