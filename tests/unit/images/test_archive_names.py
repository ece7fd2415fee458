"""Names in zip archives of programs that do not say their encoding."""

import zipfile

import pytest

from imgprep.images.storage import list_names, open_source


def pack(path, names, encoding):
    """A zip archive with names in `encoding` and no word of it: placeholders of the same length are written over."""
    data = {name: name.encode(encoding) for name in names}
    standing_in = {name: f"{at}".rjust(len(raw), "_") for at, (name, raw) in enumerate(data.items())}
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(standing_in[name], name)
    whole = path.read_bytes()
    for name in names:
        whole = whole.replace(standing_in[name].encode(), data[name])
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("gbk", ["长裙/红色1.jpg", "长裙/喆喆2.jpg", "plain_name3.jpg"]),
        ("utf-8", ["长裙/红色1.jpg", "Größe2.jpg"]),
        ("cp437", ["Größe_1.jpg", "ñandú_öß2.jpg"]),
    ],
)
def test_names_of_an_archive_are_those_that_were_meant_and_each_is_read(tmp_path, encoding, names):
    path = pack(tmp_path / "images.zip", names, encoding)
    assert list_names(path) == sorted(names)
    source = open_source(path)
    for name in names:
        assert source.read(source.find(name)).decode() == name


def test_names_that_say_to_be_utf_8_are_left_alone(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("Größe红.jpg", b"")
    assert list_names(tmp_path / "images.zip") == ["Größe红.jpg"]
