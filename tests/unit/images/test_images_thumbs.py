import io
import zipfile

import pytest
from images_made import encoded, photo, png_that_claims, turned
from PIL import Image

from imgprep.core.regions import Region
from imgprep.images.storage import Several
from imgprep.images.thumbnails import draw_thumb, thumb_of


def opened(thumb):
    return Image.open(io.BytesIO(thumb.data)).convert("RGB")


def test_is_no_larger_than_asked_and_knows_the_whole_size(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(photo(size=(2400, 1200))))
    thumb = thumb_of("a.jpg", tmp_path, side=160)
    assert opened(thumb).size == (160, 80)
    assert thumb.size == (2400, 1200)
    assert thumb.why == ""
    assert thumb.uri.startswith("data:image/jpeg;base64,")


def test_stands_upright_with_its_size():
    thumb = draw_thumb(turned(photo(size=(400, 200)), 6), side=100)
    assert thumb.size == (200, 400)
    assert opened(thumb).size == (50, 100)


def test_a_region_is_drawn_where_it_lies_in_the_upright_frame():
    grey = Image.new("RGB", (400, 200), "grey")
    thumb = draw_thumb(turned(grey, 6), side=100, region=Region(x1=0, y1=0, x2=200, y2=200))
    picture = opened(thumb)
    outlined = [picture.getpixel((25, down)) for down in range(48, 51)]
    assert max(red - blue for red, _, blue in outlined) > 100, "its lower edge crosses the middle"
    assert max(picture.getpixel((25, 90))) - min(picture.getpixel((25, 90))) < 30


def test_a_dashed_outline_has_gaps_on_each_side_and_lies_where_the_solid_one_does():
    grey, region = encoded(Image.new("RGB", (100, 80), "grey")), Region(x1=10, y1=10, x2=90, y2=70)
    solid, dashed = (opened(draw_thumb(grey, side=100, region=region, dashed=each)) for each in (False, True))
    sides = ([(x, 10) for x in range(10, 90)], [(x, 69) for x in range(10, 90)])
    sides += ([(10, y) for y in range(10, 70)], [(89, y) for y in range(10, 70)])
    for side in sides:
        marked = [red - blue > 80 for red, _, blue in map(dashed.getpixel, side)]
        assert 0.3 < sum(marked) / len(marked) < 0.8
        assert all(red - blue > 80 for red, _, blue in map(solid.getpixel, side))
    assert max(dashed.getpixel((50, 40))) - min(dashed.getpixel((50, 40))) < 30


def test_a_region_beyond_the_image_is_no_reason_to_fail():
    assert draw_thumb(encoded(photo()), region=Region(x1=9000, y1=9000, x2=9001, y2=9001)).data


def test_what_is_left_of_a_broken_file_is_shown_with_what_is_wrong():
    data = encoded(photo(size=(800, 600)))
    thumb = draw_thumb(data[: len(data) // 2])
    assert thumb.data and "truncated" in thumb.why


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"<html>", png_that_claims(60_000, 60_000)])
def test_a_file_that_cannot_be_shown_says_why(data):
    thumb = draw_thumb(data)
    assert thumb.uri is None and thumb.why


@pytest.mark.parametrize("name", ["../b.jpg", "/etc/hostname", "c:\\b.jpg", "", "a\0b", "gone.jpg", "folder"])
def test_a_name_from_a_catalogue_leads_nowhere_else(tmp_path, name):
    (tmp_path / "b.jpg").write_bytes(encoded(photo()))
    (tmp_path / "images" / "folder").mkdir(parents=True)
    thumb = thumb_of(name, tmp_path / "images")
    assert thumb.uri is None and thumb.why


def test_reads_zip_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("in/a.jpg", encoded(photo()))
    assert thumb_of("in/a.jpg", tmp_path / "a.zip").size == (240, 180)


def test_a_folder_that_is_not_there_says_so(tmp_path):
    assert "neither a folder nor a zip archive" in thumb_of("a.jpg", tmp_path / "gone").why


def test_of_several_places_the_first_that_has_a_picture_shows_it(tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(encoded(photo(size=(40, 30))))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", encoded(photo(size=(80, 60))))
        archive.writestr("b.jpg", encoded(photo(size=(20, 10))))
    (tmp_path / "b.jpg").write_bytes(b"not among the places")
    monkeypatch.chdir(tmp_path)
    both = Several([folder, tmp_path / "photos.zip"])
    assert [thumb_of(name, both).size for name in ("a.jpg", "b.jpg")] == [(40, 30), (20, 10)]
    assert "no file with this name" in thumb_of("c.jpg", both).why and list(both.names()) == ["a.jpg", "a.jpg", "b.jpg"]
