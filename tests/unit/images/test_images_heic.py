"""Phones' HEIC, by the reader that people install; skipped where it is not, since nothing here depends on it."""

import http.server
import threading

import pandas as pd
import pytest
from images_made import photo
from PIL import Image, ImageDraw

import imgprep as ip
from imgprep.fix.prepare import prepare_images
from imgprep.images.storage import list_names
from imgprep.images.thumbnails import thumb_of
from imgprep.look.fetch import fetch_images
from imgprep.look.inspect import inspect_images

pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed: no HEIC can be made or read")
pillow_heif.register_heif_opener()


def heic(path, image=None, **options):
    (image or photo(3, (400, 300))).save(path, "HEIF", quality=80, **options)
    return path.read_bytes()


def facts_of(folder):
    return inspect_images(list_names(folder), folder, progress=False).set_index("PicName")


def test_heic_becomes_a_jpeg_as_a_person_sees_it_without_its_place(tmp_path):
    image = photo(3, (400, 300))
    ImageDraw.Draw(image).rectangle([0, 0, 100, 60], fill="red")
    exif = Image.Exif()
    exif[0x8825] = exif._ifds[0x8825] = {1: "N", 2: (31.0, 13.0, 0.0)}
    heic(tmp_path / "IMG_1.HEIC", image, exif=exif)
    heic(tmp_path / "clear.heic", image.convert("RGBA"))
    heic(tmp_path / "named.jpg", image)
    facts = inspect_images(list_names(tmp_path), tmp_path, progress=False)
    assert facts["problem"].isna().all() and facts["decodes"].all() and set(facts["format"]) == {"HEIF"}
    assert facts["personal"].tolist() == [True, False, False]
    log = prepare_images(facts, tmp_path, tmp_path / "out", progress=False).set_index("PicName")
    assert log["new_name"].to_dict() == {"IMG_1.HEIC": "IMG_1.jpg", "clear.heic": "clear.jpg", "named.jpg": "named.jpg"}
    for name in log["new_name"]:
        with Image.open(tmp_path / "out" / name) as copy:
            assert (copy.format, copy.size) == ("JPEG", (400, 300)) and not copy.getexif()
            red, green, blue = copy.getpixel((40, 30))
            assert red > 240 and green < 20 and blue < 20
    again = inspect_images(list(log["new_name"]), tmp_path / "out", progress=False)
    assert set(prepare_images(again, tmp_path / "out", tmp_path / "again", progress=False)["action"]) == {"kept"}


def test_a_whole_thumbnail_beside_a_broken_picture_is_not_taken_for_it(tmp_path):
    data = heic(tmp_path / "whole.heic", photo(3, (800, 600)), thumbnails=[160])
    at = data.index(b"mdat") + 4
    (tmp_path / "broken.heic").write_bytes(data[:at] + b"\xff" * 64 + data[at + 64 :])
    facts = facts_of(tmp_path)
    assert facts["decodes"].to_dict() == {"broken.heic": False, "whole.heic": True}
    assert thumb_of("whole.heic", tmp_path).size == (800, 600)


def test_a_truncated_file_is_distinguished_from_one_without_a_reader(tmp_path):
    data = heic(tmp_path / "whole.heic")
    for name, cut in {"half": len(data) // 2, "last_bytes": len(data) - 30, "head": 60}.items():
        (tmp_path / f"{name}.heic").write_bytes(data[:cut])
    assert facts_of(tmp_path)["problem"].fillna("").to_dict() == {
        "half.heic": "truncated",
        "head.heic": "unreadable",
        "last_bytes.heic": "truncated",
        "whole.heic": "",
    }
    header = inspect_images(["half.heic", "whole.heic"], tmp_path, tier="header", progress=False)
    assert header["ended"].tolist() == [False, True]


def test_heic_finds_its_product_by_likeness_and_by_name(tmp_path):
    earlier, new = tmp_path / "earlier", tmp_path / "new"
    earlier.mkdir()
    new.mkdir()
    for number in (1, 2):
        photo(number, (400, 300)).save(earlier / f"{number}.jpg")
    heic(new / "IMG_0007.HEIC", photo(2, (400, 300)))
    heic(new / "P1_2.heic", photo(5, (400, 300)))
    catalogue = pd.DataFrame({"ProductId": ["P1", "P2"], "PicName": ["1.jpg", "2.jpg"]})
    seen = inspect_images(list_names(earlier), earlier, progress=False)
    matches = ip.match_files(new, catalogue, patterns=["{ProductId}_{n}"], earlier=seen)
    assert matches.set_index("file")["ProductId"].to_dict() == {"IMG_0007.HEIC": "P2", "P1_2.heic": "P1"}
    assert matches["detail"].str.contains("prepare_images converts it to JPEG").all()


def test_heic_is_fetched(tmp_path):
    (tmp_path / "shop").mkdir()
    heic(tmp_path / "shop" / "a.heic")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "shop"))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.heic"
        log = fetch_images(pd.DataFrame({"PicName": [url]}), tmp_path / "got", progress=False, private=True)
        server.shutdown()
    assert log["problem"].isna().all() and log.loc[0, "PicName"].endswith(".heic")
    assert facts_of(tmp_path / "got")["problem"].isna().all()
