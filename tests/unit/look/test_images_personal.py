"""Places, people, serial numbers and what somebody typed: found wherever a format keeps them, and not in the copies."""

import io
import zlib

import pytest
from images_made import encoded, photo, png_chunk
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imgprep.fix.prepare import prepare_images
from imgprep.look.inspect import inspect_images

SECRET = b"SN-123456789"


def _exif(directory=None, values=(), **tags):
    exif = Image.Exif()
    exif.update({int(tag, 16): value for tag, value in tags.items()})
    if directory is not None:
        exif[directory] = exif._ifds[directory] = dict(values)
    return exif


GPS = _exif(0x8825, {1: "N", 2: (31.0, 13.0, 0.0), 3: "E", 4: (121.0, 28.0, 0.0)})
SERIAL = _exif(0x8769, {0xA431: SECRET.decode()})
MAKER = _exif(0x8769, {0x927C: SECRET + b" in a note of the maker"})
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><aux:SerialNumber>' + SECRET + b"</aux:SerialNumber></x:xmpmeta>"
KINDS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF"}


def looked_at_and_prepared(name, data, tmp_path):
    """The facts of one image, its line of the prepare log, and the bytes of its copy."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / name).write_bytes(data)
    facts = inspect_images([name], tmp_path / "shop", tier="header", progress=False)
    (row,) = prepare_images(facts, tmp_path / "shop", tmp_path / "out", progress=False).to_dict("records")
    return facts.loc[0], row, (tmp_path / "out" / row["new_name"]).read_bytes()


def is_gone(name, data, tmp_path):
    facts, row, copy = looked_at_and_prepared(name, data, tmp_path)
    assert facts["personal"], "it was not found"
    assert "personal metadata removed" in row["reason"]
    assert SECRET not in copy
    again = inspect_images([row["new_name"]], tmp_path / "out", tier="header", progress=False)
    assert not again.loc[0, "personal"], "it was found again in the copy"
    with Image.open(io.BytesIO(copy)) as made, Image.open(io.BytesIO(data)) as source:
        made.load()
        assert not made.getexif() and not set(made.info) & {"xmp", "comment", "XML:com.adobe.xmp"}
        assert made.convert("RGB").tobytes() == source.convert("RGB").tobytes()


@pytest.mark.parametrize("extension", KINDS)
@pytest.mark.parametrize("what", ["gps", "serial", "maker", "xmp"])
def test_nothing_personal_is_left_and_the_pixels_are_the_same(what, extension, tmp_path):
    format_ = KINDS[extension]
    options = {"exif": {"gps": GPS, "serial": SERIAL, "maker": MAKER}.get(what)}
    if what == "xmp":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = (
            {"pnginfo": info} if format_ == "PNG" else {"tiffinfo": {700: XMP}} if format_ == "TIFF" else {"xmp": XMP}
        )
    data = encoded(photo(), format_, **options)
    assert SECRET in data or what == "gps"
    is_gone(f"a.{extension}", data, tmp_path)


def with_segments(*segments):
    """A JPEG with further segments after its first: (marker, data)."""
    plain = encoded(photo())
    more = b"".join(bytes([0xFF, marker]) + (len(data) + 2).to_bytes(2, "big") + data for marker, data in segments)
    return plain[:20] + more + plain[20:]


IPTC = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + (8 + len(SECRET)).to_bytes(4, "big") + b"\x1c\x02\x50\0\x0c" + SECRET
JPEGS = {
    "a comment": with_segments((0xFE, b"Taken by Anna with " + SECRET)),
    "a comment behind a program's": with_segments((0xFE, b"Created with GIMP"), (0xFE, SECRET)),
    "IPTC": with_segments((0xED, IPTC)),
    "IPTC in a second segment": with_segments((0xED, IPTC), (0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x25" + bytes(6))),
    "XMP that goes on": with_segments((0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + XMP)),
    "a second EXIF": with_segments((0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0"), (0xE1, SERIAL.tobytes())),
    "who took it": encoded(photo(), exif=_exif(**{"013B": "Anna " + SECRET.decode()})),
    "whose rights": encoded(photo(), exif=_exif(**{"8298": "(c) Anna " + SECRET.decode()})),
    "a description": encoded(photo(), exif=_exif(**{"010E": "Anna's flat " + SECRET.decode()})),
    "a user's comment": encoded(photo(), exif=_exif(0x8769, {0x9286: b"ASCII\0\0\0" + SECRET})),
    "an author as Windows writes it": encoded(photo(), exif=_exif(**{"9C9D": "Anna".encode("utf-16-le") + b"\0\0"})),
    "where it looked": encoded(photo(), exif=_exif(0x8825, {0x14: (31.0, 13.0, 0.0)})),
}


@pytest.mark.parametrize("what", JPEGS)
def test_in_a_jpeg_it_is_found_in_every_segment(what, tmp_path):
    is_gone("a.jpg", JPEGS[what], tmp_path)


def png_with(*chunks):
    """A PNG with chunks between its pixels and its end, where Pillow looks only when it decodes."""
    plain = encoded(photo(), "PNG")
    return plain[:-12] + b"".join(png_chunk(kind, data) for kind, data in chunks) + plain[-12:]


def _raw(what, block):
    return (
        f"Raw profile type {what}".encode()
        + b"\0\0"
        + zlib.compress(f"\n{what}\n{len(block):8}\n{block.hex()}\n".encode())
    )


PNGS = {
    "late EXIF": [(b"eXIf", SERIAL.tobytes().removeprefix(b"Exif\0\0"))],
    "late XMP, packed": [(b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + zlib.compress(XMP))],
    "late XMP, plain": [(b"iTXt", b"XML:com.adobe.xmp\0\0\0en\0XMP\0" + XMP)],
    "a packed text": [(b"zTXt", b"Comment\0\0" + zlib.compress(SECRET))],
    "an author": [(b"tEXt", b"Author\0Anna " + SECRET)],
    "a place in a program's words": [(b"tEXt", b"exif:GPSLatitude\x0031/1, 13/1")],
    "EXIF in hex": [(b"zTXt", _raw("exif", SERIAL.tobytes()))],
    "IPTC in hex": [(b"zTXt", _raw("iptc", IPTC))],
}


@pytest.mark.parametrize("what", PNGS)
def test_in_a_png_it_is_found_behind_the_pixels_and_unpacked(what, tmp_path):
    is_gone("a.png", png_with(*PNGS[what]), tmp_path)


def test_of_a_text_too_long_to_be_looked_through_the_worst_is_taken(tmp_path):
    long = zlib.compress(b" " * 2_000_000 + XMP)
    data = png_with((b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + long))
    facts, _, copy = looked_at_and_prepared("a.png", data, tmp_path)
    assert facts["personal"] and long not in copy


def test_a_webp_keeps_its_pictures_chunks_and_no_other(tmp_path):
    plain = encoded(photo(), "WEBP", exif=GPS)
    own = b"ANNA" + len(SECRET).to_bytes(4, "little") + SECRET
    data = b"RIFF" + (len(plain) - 8 + len(own)).to_bytes(4, "little") + plain[8:] + own
    is_gone("a.webp", data, tmp_path)


def test_a_gif_s_comment_counts(tmp_path):
    facts, _, copy = looked_at_and_prepared("a.gif", encoded(photo(), "GIF", comment=SECRET), tmp_path)
    assert facts["personal"] and SECRET not in copy


HARMLESS = {
    "gd.jpg": with_segments((0xFE, b"CREATOR: gd-jpeg v1.0 (using IJG JPEG v62), quality = 90\n")),
    "gimp.jpg": with_segments((0xFE, b"Created with GIMP")),
    "blank.jpg": with_segments((0xFE, b"  \0\0")),
    "camera.jpg": encoded(photo(), exif=_exif(0x8769, {0x9286: b"ASCII\0\0\0" + b" " * 20}, **{"010F": "Maker"})),
    "xmp.jpg": encoded(photo(), xmp=b'<x:xmpmeta xmlns:Iptc4xmpCore="http://iptc.org/"><dc:format>image/jpeg'),
    "software.png": png_with((b"tEXt", b"Software\0Adobe ImageReady"), (b"tEXt", b"date:create\x002026-01-01")),
    "gimp.png": png_with((b"tEXt", b"Comment\0Created with GIMP")),
    "spoiled.png": png_with((b"zTXt", b"Comment\0\0not packed at all")),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_programs_write_of_themselves_costs_no_copy(name, tmp_path):
    facts, row, copy = looked_at_and_prepared(name, HARMLESS[name], tmp_path)
    assert not facts["personal"]
    assert row["action"] == "kept" and copy == HARMLESS[name]
