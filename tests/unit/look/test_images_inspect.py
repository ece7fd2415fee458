"""Any file is one row of facts, and the run goes on."""

import io
import os
import zipfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest
from images_made import CORRUPTORS, encoded, photo, png_that_claims, turned
from PIL import Image

from imgprep.core.errors import ConfigError
from imgprep.images.found import Unfit
from imgprep.images.storage import Folder, list_names
from imgprep.images.upright import open_upright, upright_size
from imgprep.look.facts import FACT_COLUMNS
from imgprep.look.inspect import inspect_images


def looked_at(names, root, **options):
    return inspect_images(names, root, progress=False, **options).set_index("PicName", drop=False)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_orientation_comes_out_upright(orientation, format_, tmp_path):
    upright = Image.new("RGB", (40, 24), "white")
    upright.paste((255, 0, 0), (0, 0, 16, 8))
    methods = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
               5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
               8: Image.Transpose.ROTATE_270}  # fmt: skip
    stored = upright.transpose(methods[orientation]) if orientation > 1 else upright
    data = turned(stored, orientation, format_, **({"quality": 95} if format_ in ("JPEG", "WEBP") else {}))
    seen = open_upright(data)
    assert seen.size == (40, 24)
    red = seen.getpixel((4, 3))
    assert red[0] > 200 and red[1] < 90
    assert min(seen.getpixel((36, 20))) > 220
    (tmp_path / "a").write_bytes(data)
    facts = looked_at(["a"], tmp_path, tier="header").loc["a"]
    assert facts["orientation"] == orientation
    assert (facts["width"], facts["height"]) == stored.size
    assert upright_size(facts["width"], facts["height"], facts["orientation"]) == (40, 24)


def test_broken_files_are_those_that_a_full_load_refuses(tmp_path):
    names, broken = [], {}
    for seed in range(4):
        data = encoded(photo(seed))
        for kind, corrupt in {"whole": lambda data: data, **CORRUPTORS}.items():
            name = f"{kind}-{seed}.jpg"
            (tmp_path / name).write_bytes(corrupt(data))
            names.append(name)
            try:
                with Image.open(io.BytesIO(corrupt(data))) as image:
                    image.load()
                broken[name] = False
            except Exception:
                broken[name] = True
    facts = looked_at(names, tmp_path)
    found = facts["problem"].notna()
    assert found.to_dict() == broken
    assert sum(broken.values()) > 40
    assert facts.loc["empty-0.jpg", "problem"] == "empty"
    assert facts.loc["html-0.jpg", "problem"] == "not_an_image"
    assert facts.loc["cut_in_half-0.jpg", "problem"] == "truncated"


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_that_claims(60_000, 60_000))
    facts = looked_at(["bomb.png"], tmp_path).loc["bomb.png"]
    assert facts["problem"] == "bomb"
    assert pd.isna(facts["decodes"])


def test_names_that_lead_out_are_not_opened(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.jpg").write_bytes(encoded(photo()))
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "away").symlink_to(tmp_path)
    names = ["../secret.jpg", str(tmp_path / "secret.jpg"), "link.jpg", "away/secret.jpg", "C:\\secret.jpg"]
    facts = looked_at(names, root)
    assert facts["problem"].tolist() == ["outside_root"] * 5
    assert facts["digest"].isna().all()


def test_odd_things_under_a_name_are_rows_too(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    facts = looked_at(["folder.jpg", "pipe.jpg", "gone.jpg", "x" * 300, "nul\0.jpg"], tmp_path)
    assert facts["problem"].tolist() == ["not_a_file", "not_a_file", "missing", "missing", "missing"]


def test_a_file_that_grows_or_shrinks_after_its_size_was_read_is_read_whole(tmp_path):
    folder = Folder(tmp_path)
    for before, after in ((b"", b"now there is more"), (b"there was more", b"less")):
        (tmp_path / "a.jpg").write_bytes(before)
        found = folder.find("a.jpg")
        (tmp_path / "a.jpg").write_bytes(after)
        assert folder.read(found) == after


def test_facts_have_their_shape_names_once_and_in_order(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(encoded(photo(), "PNG"))
    frame = pd.DataFrame({"PicName": ["b.png", "a.png", None, "b.png"]}, dtype="str")
    facts = inspect_images(frame, tmp_path, progress=False)
    assert facts["PicName"].tolist() == ["b.png", "a.png"]
    assert {name: str(dtype) for name, dtype in facts.dtypes.items()} == FACT_COLUMNS
    paths = inspect_images(sorted(tmp_path.glob("*.png")), tmp_path, progress=False)
    assert paths["PicName"].tolist() == ["a.png", "b.png"]


def test_a_warm_cache_opens_no_file_and_a_changed_file_is_seen(tmp_path):
    root, cache = tmp_path / "root", tmp_path / "cache"
    root.mkdir()
    (root / "a.jpg").write_bytes(encoded(photo(1)))
    (root / "bad.jpg").write_bytes(b"text")
    first = inspect_images(["a.jpg", "bad.jpg"], root, cache=cache, progress=False)
    before = (root / "a.jpg").stat()
    (root / "a.jpg").write_bytes(bytes(before.st_size))  # other bytes that look the same from outside
    os.utime(root / "a.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))
    pd.testing.assert_frame_equal(
        inspect_images(["a.jpg", "bad.jpg"], root, cache=cache, progress=False), first, check_exact=True
    )
    os.utime(root / "a.jpg")
    assert looked_at(["a.jpg"], root, cache=cache).loc["a.jpg", "problem"] == "not_an_image"


def test_streaming_gives_the_same_facts(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(photo()))
    names = ["a.jpg", "gone.jpg"]
    path = inspect_images(names, tmp_path, out=tmp_path / "facts.parquet", progress=False)
    assert path == tmp_path / "facts.parquet"
    pd.testing.assert_frame_equal(pd.read_parquet(path), inspect_images(names, tmp_path, progress=False))


def test_an_archive_is_read_like_a_folder(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(photo()))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "a.jpg", "autumn/a.jpg")
    assert list_names(tmp_path / "all.zip") == ["autumn/a.jpg"]
    facts = looked_at(["autumn/a.jpg", "b.jpg"], tmp_path / "all.zip")
    assert facts["problem"].fillna("").tolist() == ["", "missing"]
    assert facts["digest"].iloc[0] == looked_at(["a.jpg"], tmp_path)["digest"].iloc[0]


@pytest.mark.parametrize("place", [0, 6], ids=["signature", "version"])
def test_an_archive_with_a_damaged_directory_is_refused_as_such(place, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.jpg", encoded(photo()))
    whole = bytearray((tmp_path / "all.zip").read_bytes())
    whole[whole.rindex(b"PK\1\2") + place] = 99
    (tmp_path / "all.zip").write_bytes(whole)
    with pytest.raises(ConfigError, match=r"all\.zip is a zip archive whose file list cannot be read"):
        list_names(tmp_path / "all.zip")


def test_a_name_that_no_disk_can_hold_is_a_problem_of_its_row_alone(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(photo()))
    folder = Folder(tmp_path)
    assert folder.find("a.jpg").bytes
    for name in ("\ud800/a.jpg", "\ud800.jpg"):
        with pytest.raises(Unfit):
            folder.find(name)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_any_executor_gives_the_same_facts(kind, tmp_path):
    for seed in range(3):
        (tmp_path / f"{seed}.jpg").write_bytes(encoded(photo(seed)))
    names = ["0.jpg", "1.jpg", "2.jpg", "gone.jpg"]
    pool = ThreadPoolExecutor(1) if kind == "threads" else ProcessPoolExecutor(1, get_context("spawn"))
    with pool:
        facts = inspect_images(names, tmp_path, executor=pool, progress=False)
    pd.testing.assert_frame_equal(facts, inspect_images(names, tmp_path, progress=False))


def test_a_wrong_call_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match="stat, header"):
        inspect_images([], tmp_path, tier="deep")
    with pytest.raises(ConfigError, match="neither a folder"):
        inspect_images([], tmp_path / "none")
    with pytest.raises(ConfigError, match="for one image"):
        inspect_images("a.jpg", tmp_path)
    assert inspect_images([], tmp_path, progress=False).empty


@pytest.mark.shared
def test_real_photographs_have_nothing_wrong():
    root = Path(__file__).parents[3].parent / "shared" / "data" / "clothing" / "images"
    if not root.is_dir():
        pytest.skip("the shared photographs are not here")
    facts = inspect_images(list_names(root), root, progress=False)
    assert facts["problem"].isna().all()
    assert facts["decodes"].all()
