"""One bad file is one row, even if it crashes the process that opens it, on any executor."""

import io
import os
import signal
import struct
import time
import zipfile
import zlib
from pathlib import Path

import pandas as pd
import pytest
from images_made import encoded, photo, png_chunk, png_that_claims, turned

from imgprep.core.processes import LostTask, run_in_processes
from imgprep.images.formats import sole_exif
from imgprep.images.thumbnails import thumb_of
from imgprep.images.upright import open_header
from imgprep.look.inspect import inspect_images
from imgprep.look.probe import probe_one

NAMES = [f"{number}.jpg" for number in range(8)]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        (folder / name).write_bytes(encoded(photo(number)))
    return folder


def test_pixels_are_limited_before_any_is_decoded_and_so_is_a_worker_memory(root):
    (root / "bomb.png").write_bytes(png_that_claims(50_000, 50_000))
    task = (str(root), "bomb.png", "decode", frozenset())
    ((_, record),) = run_in_processes("imgprep.look.probe:probe_one", [task], workers=1, memory=2**30)
    assert record["problem"] == "bomb"
    # 100 megapixels pass the limit of pixels, and need more than this worker may have: still one row.
    (root / "wide.png").write_bytes(png_that_claims(10_000, 10_000))
    task = (str(root), "wide.png", "decode", frozenset())
    ((_, record),) = run_in_processes("imgprep.look.probe:probe_one", [task], workers=1, memory=256 * 2**20)
    problem = record.detail if isinstance(record, LostTask) else record["problem"]
    assert problem == "too_large_to_look"


def test_failures_are_kept_and_not_tried_again(root, tmp_path):
    (root / "bad.jpg").write_bytes(b"<html>")
    cache = tmp_path / "cache"
    first = inspect_images(["bad.jpg"], root, cache=cache, progress=False)
    before = (root / "bad.jpg").stat()
    (root / "bad.jpg").write_bytes(b"{json}")
    os.utime(root / "bad.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))
    again = inspect_images(["bad.jpg"], root, cache=cache, progress=False)
    assert first["detail"].tolist() == again["detail"].tolist() == ["an HTML page, not an image"]


class Interrupting:
    """An executor that is interrupted after so many chunks, as by a person."""

    def __init__(self, chunks):
        self.left = chunks
        self.looked_at = []

    _max_workers = 1

    def submit(self, function, tasks, *arguments):
        from concurrent.futures import Future

        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.looked_at += [task[1] for task in tasks]
        future = Future()
        future.set_result(function(tasks, *arguments))
        return future


def test_an_interrupted_run_continues_where_it_stopped(root, tmp_path, monkeypatch):
    monkeypatch.setattr("imgprep.look.inspect.CHUNK", 2)
    monkeypatch.setattr("imgprep.core.executors._PER_THREAD", 1)
    cache = tmp_path / "cache"
    first = Interrupting(2)
    with pytest.raises(KeyboardInterrupt):
        inspect_images(NAMES, root, cache=cache, executor=first, progress=False)
    second = Interrupting(-1)
    facts = inspect_images(NAMES, root, cache=cache, executor=second, progress=False)
    assert first.looked_at + second.looked_at == NAMES
    assert facts["decodes"].all()


def test_an_interrupted_stream_leaves_no_file(root, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        inspect_images(NAMES, root, executor=Interrupting(0), out=tmp_path / "facts.parquet", progress=False)
    assert [file.name for file in tmp_path.iterdir()] == ["root"]


def fate(task):
    """What a decoder might do in a worker, by the file's name."""
    if task[1] == NAMES[2]:
        os.kill(os.getpid(), signal.SIGSEGV)
    if task[1] == NAMES[5]:
        time.sleep(600)
    return probe_one(task)


def test_a_decoder_that_crashes_or_hangs_costs_one_file(root, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{Path(__file__).parents[1]}")

    def apart(target, tasks, **options):
        return run_in_processes("test_images_hostile:fate", tasks, **options)

    monkeypatch.setattr("imgprep.core.executors.run_in_processes", apart)
    cache = tmp_path / "cache"
    facts = inspect_images(NAMES, root, cache=cache, seconds=5, progress=False).set_index("PicName")
    assert facts["problem"].dropna().to_dict() == {NAMES[2]: "crashed", NAMES[5]: "timeout"}
    assert facts["bytes"].notna().all()
    monkeypatch.undo()
    # It is known now, and kills no other process.
    again = inspect_images(NAMES, root, cache=cache, progress=False).set_index("PicName")
    pd.testing.assert_frame_equal(again, facts)


@pytest.mark.parametrize("error", [ValueError, TypeError, SyntaxError, RecursionError, MemoryError, AssertionError])
def test_an_exception_of_any_type_is_one_row(error, root, monkeypatch):
    def stumble(*args):
        raise error("what a decoder says")

    monkeypatch.setattr("imgprep.look.probe.open_header", stumble)
    problems = [probe_one((str(root), name, "decode", ()))["problem"] for name in ("0.jpg", "gone.jpg")]
    expected = "too_large_to_look" if error is MemoryError else "unreadable"
    assert problems == [expected, "missing"]


HEIC_READER = """
from io import BytesIO
from PIL import Image, ImageFile

class HeifImageFile(ImageFile.ImageFile):
    format = "HEIF"
    def _open(self):
        self.fp.seek(12)
        inner = Image.open(BytesIO(self.fp.read()))
        self._size, self._mode, self.tile = inner.size, inner.mode, []
        self.im = inner.im if inner.load() else None

def register_heif_opener():
    Image.register_open("HEIF", HeifImageFile, lambda start: start[4:12] == b"ftypheic")
"""


def test_heic_is_read_in_workers_where_a_reader_is_installed_and_explained_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + encoded(photo(), "PNG"))
    (without,) = inspect_images(["a.heic"], tmp_path, progress=False).to_dict("records")
    if without["problem"] == "no_reader":
        assert "pillow-heif" in without["detail"]
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "pillow_heif.py").write_text(HEIC_READER)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    (found,) = inspect_images(["a.heic"], tmp_path, progress=False).to_dict("records")
    assert (found["format"], found["width"], found["decodes"]) == ("HEIF", 240, True)


PAYLOAD = b"<html><script>alert(1)</script></html>"


def polyglots():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("evil.html", PAYLOAD)
    jpeg = encoded(photo())
    comment = b"\xff\xfe" + struct.pack(">H", len(PAYLOAD) + 2) + PAYLOAD
    return {
        "zip behind.jpg": jpeg + packed.getvalue(),
        "page behind.jpg": jpeg + PAYLOAD,
        "page inside.jpg": jpeg[:2] + comment + jpeg[2:],
        "zip before.jpg": packed.getvalue() + jpeg,
        "page before.jpg": PAYLOAD + jpeg,
    }


def test_a_file_of_two_kinds_is_what_it_begins_as_and_its_other_half_is_never_shown(tmp_path):
    for name, data in polyglots().items():
        (tmp_path / name).write_bytes(data)
    facts = inspect_images(polyglots(), tmp_path, progress=False)
    assert facts["problem"].fillna("").tolist() == ["", "", "", "not_an_image", "not_an_image"]
    for name in polyglots():
        assert b"script" not in thumb_of(name, tmp_path).data


def test_a_hundred_thousand_frames_are_one_picture(tmp_path):
    first = encoded(photo(size=(4, 4)).convert("P"), "GIF")
    frame = b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0"
    (tmp_path / "film.gif").write_bytes(first[:-1] + frame * 99_999 + b";")
    facts = inspect_images(["film.gif"], tmp_path, progress=False)
    assert facts.loc[0, ["frames", "decodes"]].tolist() == [100_000, True]


def test_sixty_megabytes_of_exif_are_not_put_together_piece_by_piece(tmp_path):
    jpeg = turned(photo(), 6)
    exif = jpeg[jpeg.index(b"\xff\xe1") :]
    exif = exif[: 2 + int.from_bytes(exif[2:4], "big")]
    more = b"\xff\xe1" + struct.pack(">H", 65_000) + b"Exif\0\0".ljust(64_998, b"\0")
    before, after = jpeg.split(exif)
    data = before + exif + more * 900 + after
    assert sole_exif(data) == jpeg and sole_exif(jpeg) is jpeg
    (tmp_path / "heavy.jpg").write_bytes(data)
    for source in (io.BytesIO(data), tmp_path / "heavy.jpg"):
        assert len(open_header(source).info["exif"]) < 65_000
    facts = inspect_images(["heavy.jpg"], tmp_path, progress=False)
    assert facts.loc[0, ["orientation", "decodes"]].tolist() == [6, True]
    for end in range(len(jpeg)):
        assert sole_exif(jpeg[:end]) == jpeg[:end]


def png_with(*chunks):
    png = encoded(photo(), "PNG")
    return png[:33] + b"".join(chunks) + png[33:]


@pytest.mark.parametrize(
    ("kind", "data", "problem"),
    [
        (b"tEXt", lambda: b"Comment\0" + b"x" * 60_000_000, ""),
        (b"eXIf", lambda: b"MM\0*\0\0\0\x08".ljust(60_000_000, b"\0"), ""),
        (b"zTXt", lambda: b"Comment\0\0" + zlib.compress(bytes(60_000_000)), "unreadable"),
        (b"iTXt", lambda: b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(60_000_000)), "unreadable"),
        (b"iCCP", lambda: b"p\0\0" + zlib.compress(bytes(60_000_000)), "unreadable"),
    ],
    ids=["tEXt", "eXIf", "zTXt", "iTXt", "iCCP"],
)
def test_sixty_megabytes_beside_the_pixels_are_one_row_whether_read_or_refused(kind, data, problem, tmp_path):
    (tmp_path / "heavy.png").write_bytes(png_with(png_chunk(kind, data())))
    facts = inspect_images(["heavy.png"], tmp_path, progress=False)
    assert facts["problem"].fillna("").tolist() == [problem]


def test_an_archive_that_says_less_than_it_holds_fills_no_memory(tmp_path):
    packed = tmp_path / "photos.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.jpg", bytes(300_000_000))
    assert inspect_images(["bomb.jpg"], packed, progress=False)["problem"].tolist() == ["too_large_to_look"]
    packed.write_bytes(packed.read_bytes().replace(struct.pack("<I", 300_000_000), struct.pack("<I", 1000)))
    facts = inspect_images(["bomb.jpg"], packed, progress=False)
    assert facts["problem"].item() in ("unreadable", "not_an_image")
