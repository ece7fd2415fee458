"""What the bytes of a file say before anything decodes them."""

from imgprep.images.formats import has_ended, orientation_in, raw_profile


def test_a_file_without_its_end_is_cut_off_and_some_formats_mark_none():
    assert (has_ended("JPEG", b"\xff\xd8 and so on"), has_ended("BMP", b"BM")) == (False, None)


def test_the_orientation_is_read_from_a_bare_exif_block():
    assert orientation_in(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0") == 6


def test_exif_that_a_png_holds_as_hex_is_found():
    assert raw_profile(b"Raw profile type exif", b"\nexif\n       2\n4d4d\n") == b"MM"
