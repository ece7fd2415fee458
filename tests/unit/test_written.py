"""Files of somebody else: nothing replaces or removes them; what imgprep wrote is replaced when it is made again."""

import errno
import io
import json
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from PIL import Image

import imgprep as ip
from imgprep.cli.main import main
from imgprep.cloud.put import Sent
from imgprep.core.clock import SystemClock
from imgprep.core.errors import CatalogueError, ConfigError, RegionError
from imgprep.core.files import LOG, Written, overwriting, replacing
from imgprep.demo.history import make_history
from imgprep.demo.shop import part_shop
from imgprep.load.matches import write_matches
from imgprep.look.facts_cache import FactCache
from imgprep.plan.batch_folder import is_marked
from imgprep.ship.upload import open_journal
from imgprep.show.export import export_table
from tests.samples import sampled

MINE = b"three years of work"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o027, 0o640), (0o022, 0o644)])
def test_files_get_the_permissions_that_the_umask_gives(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "run.json") as draft:
            draft.write_text("{}")
            assert draft.stat().st_mode & 0o777 == mode
        with overwriting(tmp_path / "page.html") as draft:
            draft.write_text("page")
        export_table(pd.DataFrame({"a": [1]}), tmp_path / "table.csv")
    finally:
        os.umask(before)
    made = [file for file in tmp_path.iterdir() if file.name != LOG]
    assert len(made) == 3 and {file.stat().st_mode & 0o777 for file in made} == {mode}


@pytest.mark.parametrize("write", [replacing, overwriting])
def test_a_full_disk_names_the_file_and_the_free_space(tmp_path, write):
    with pytest.raises(OSError, match="No space left") as caught, write(tmp_path / "run.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "run.json")
    assert f"free in {tmp_path}: " in caught.value.strerror and "bytes); free some space" in caught.value.strerror
    assert not list(tmp_path.iterdir())
    with pytest.raises(PermissionError, match="denied"), write(tmp_path / "run.json"):
        raise PermissionError(errno.EACCES, "denied")


def test_a_full_disk_names_the_part_of_the_cache_of_facts(tmp_path, monkeypatch):
    def full(*_, **__):  # as polars words it
        raise pl.exceptions.ComputeError("parquet: underlying IO error: No space left on device (os error 28)")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(OSError, match=r"No space left on device \(free in .*bytes\); free some space") as caught:
        FactCache(tmp_path / "cache", tmp_path).add([{"PicName": "a.jpg", "bytes": 1, "mtime_ns": 1}])
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename.startswith(str(tmp_path / "cache" / "facts-"))


def test_a_full_disk_names_the_journal_of_an_upload(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "journal"
    monkeypatch.setattr(Path, "open", lambda name, *_, **__: Full(name, "a"))
    with (
        pytest.raises(OSError, match=r"No space left on device \(free in .*free some space") as caught,
        open_journal(path, SystemClock()),
    ):
        pytest.fail("the first line was written")
    assert caught.value.filename == str(path)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder: an export of three products, and shop/images/spring with their photographs."""
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "shop" / "images" / "spring"
    photos.mkdir(parents=True)
    for number in (1, 2, 3):
        Image.effect_noise((300, 300), 80).convert("RGB").save(photos / f"p{number}.jpg")
    (tmp_path / "shop" / "images" / "summer.jpg").write_bytes(MINE)
    rows = ["ProductId,PicName,CustomContent", *(f"{n},p{n}.jpg,k:v" for n in (1, 2, 3))]
    (tmp_path / "export.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def content(folder):
    return {
        str(path.relative_to(folder)): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def build(out, *more, images="shop/images/spring", export="export.csv"):
    return main(["build", export, "--images", str(images), "--out", str(out), *more])


def refused(here, capsys, *words, match):
    """Run a command that is refused; nothing of what is there may be touched by it."""
    before = content(here)
    assert main([str(word) for word in words]) == 2
    printed = capsys.readouterr().err
    assert match in printed, printed
    assert content(here) == before


def links_or_skip(link, target):
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError:  # Windows, without the right to make links
        pytest.skip("no links can be made here")


@pytest.mark.parametrize("out", ["shop", "shop/images", "shop/images/spring", "shop/images/spring/batch", "."])
def test_a_batch_folder_that_overlaps_with_the_photographs_is_refused(here, capsys, out):
    words = "build", "export.csv", "--images", "shop/images/spring", "--out", out
    refused(here, capsys, *words, match="another --out")


def test_a_batch_folder_that_overlaps_by_way_of_a_link_is_refused(here, capsys):
    links_or_skip(here / "way", here / "shop")
    refused(
        here, capsys, "build", "export.csv", "--images", "shop/images/spring", "--out", "way", match="another --out"
    )
    refused(
        here, capsys, "build", "export.csv", "--images", "way/images/spring", "--out", "shop", match="another --out"
    )


@pytest.mark.parametrize("names", [["images/other.jpg"], ["catalogue.parquet"], ["batch.json"], ["upload.jsonl"]])
def test_a_folder_whose_names_are_those_of_a_batch_folder_is_none(here, capsys, names):
    for name in names:
        (here / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "mine" / name).write_bytes(MINE)
    words = "build", "export.csv", "--images", "shop/images/spring", "--out", "mine"
    refused(here, capsys, *words, match="has no batch.json with imgprep's mark")


def test_a_batch_folder_without_the_mark_is_refused_with_the_remedy(here, capsys):
    assert build("batch") == 0
    about = json.loads((here / "batch" / "batch.json").read_text())
    del about["imgprep"]
    (here / "batch" / "batch.json").write_text(json.dumps(about))
    words = "build", "export.csv", "--images", "shop/images/spring", "--out", "batch"
    refused(here, capsys, *words, match="delete it yourself if an earlier imgprep built it")


def test_images_of_a_batch_that_are_a_link_are_not_followed(here, capsys):
    assert build("batch") == 0
    shutil.rmtree(here / "batch" / "images")
    links_or_skip(here / "batch" / "images", here / "shop")
    words = "build", "export.csv", "--images", "shop/images/spring", "--out", "batch"
    refused(here, capsys, *words, match="is a link, and links are not followed")


def test_a_folder_of_copies_that_is_a_link_is_not_followed(here, capsys):
    shutil.move(here / "shop" / "images" / "spring", here / "shop" / "images" / "all" / "spring")
    (here / "export.csv").write_text("ProductId,PicName,CustomContent\n1,spring/p1.jpg,k:v\n", encoding="utf-8")
    assert build("batch", images="shop/images/all") == 0
    shutil.rmtree(here / "batch" / "images" / "spring")
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "p1.jpg").write_bytes(MINE)
    links_or_skip(here / "batch" / "images" / "spring", here / "elsewhere")
    assert build("batch", images="shop/images/all") == 2
    assert "a link points outside" in capsys.readouterr().err
    assert (here / "elsewhere" / "p1.jpg").read_bytes() == MINE


@pytest.mark.parametrize(
    "name", sampled(["images/p1.jpg", "increment.meta", "catalogue.parquet", "images/stranger.jpg"], 3)
)
def test_what_was_changed_or_put_into_a_batch_folder_is_left_as_it_is(here, capsys, name):
    assert build("batch") == 0
    (here / "batch" / name).write_bytes(MINE)
    words = "build", "export.csv", "--images", "shop/images/spring", "--out", "batch"
    why = "was not written by imgprep" if "stranger" in name else "was changed since imgprep wrote it"
    if name == "images/p1.jpg":  # found by its digest, when the copy is to be made again
        assert main(list(words)) == 2
        assert why in capsys.readouterr().err
        assert (here / "batch" / name).read_bytes() == MINE
    else:
        refused(here, capsys, *words, match=why)


def test_a_changed_copy_that_the_new_batch_has_not_is_not_removed(here, capsys):
    assert build("batch") == 0
    (here / "batch" / "images" / "p3.jpg").write_bytes(MINE)
    (here / "export.csv").write_text("ProductId,PicName,CustomContent\n1,p1.jpg,k:v\n", encoding="utf-8")
    assert build("batch") == 2
    assert "was changed since imgprep wrote it" in capsys.readouterr().err
    assert (here / "batch" / "images" / "p3.jpg").read_bytes() == MINE


@pytest.mark.parametrize("more", [(), ("--keep-refused",)])
def test_a_batch_is_built_again_with_the_copies_that_are_right_and_without_the_others(here, more):
    assert build("batch", *more) == 0
    (here / "batch" / "notes.txt").write_bytes(MINE)
    kept = (here / "batch" / "images" / "p1.jpg").stat()
    (here / "export.csv").write_text("ProductId,PicName,CustomContent\n1,p1.jpg,k:v\n", encoding="utf-8")
    assert build("batch", *more) == 0
    names = [file.name for file in (here / "batch" / "images").iterdir() if file.name[0] != "."]
    assert names == ["p1.jpg"] and (here / "batch" / "notes.txt").read_bytes() == MINE
    if not more:
        again = (here / "batch" / "images" / "p1.jpg").stat()
        assert (again.st_ino, again.st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)


def test_a_batch_is_not_built_from_its_own_tables(here, capsys):
    assert build("batch") == 0
    words = "build", "batch/catalogue.parquet", "--images", "shop/images/spring", "--out", "batch"
    refused(here, capsys, *words, match="which the batch is built from")


@pytest.mark.parametrize("second", [False, True], ids=["new", "again"])
@pytest.mark.parametrize("at", sampled((1, 2, 3, 5, 8, 12, 17, 23, 30, 38), 3))
def test_a_build_that_was_killed_anywhere_goes_on_when_it_is_repeated(here, commands, second, at):
    Image.effect_noise((300, 300), 80).convert("RGB").save(here / "shop/images/spring/p1.gif")
    rows = ["ProductId,PicName,CustomContent", "1,p1.gif,k:v", "2,p2.jpg,k:v"]
    words = ["build", "export.csv", "--images", "shop/images/spring", "--out", "batch"]
    if second:
        assert build("batch") == 0
        (here / "export.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    done = commands.run(words, cwd=here, env=os.environ, killed_at=at)
    assert done.returncode in ((9,) if at <= 8 else (0, 9)), done.stderr
    assert build("batch") == 0
    assert is_marked(here / "batch") and (here / "batch" / "increment.meta").is_file()


@pytest.mark.parametrize("out", ["ready", "shop/images/spring/ready"])
def test_copies_do_not_take_the_place_of_other_files(here, capsys, out):
    (here / out).mkdir()
    (here / out / "p2.jpg").write_bytes(MINE)
    words = "prepare", "export.csv", "--images", "shop/images/spring", "--out", out
    refused(here, capsys, *words, match="was not written by imgprep")
    (here / out / "p2.jpg").unlink()
    assert main(list(words)) == main(list(words)) == 0
    Image.effect_noise((300, 300), 80).convert("RGB").save(here / "shop/images/spring/p2.jpg")
    assert main(list(words)) == 0
    (here / out / "p2.jpg").write_bytes(MINE)
    assert main(list(words)) == 2
    assert (here / out / "p2.jpg").read_bytes() == MINE


def test_copies_do_not_take_the_place_of_photographs_below_their_own_folder(here, capsys):
    photos = here / "shop" / "images" / "spring"
    (photos / "sub").mkdir()
    shutil.copyfile(photos / "p1.jpg", photos / "sub" / "p1.jpg")
    refused(
        here,
        capsys,
        *("prepare", "export.csv", "--images", "shop/images/spring", "--out", "shop/images/spring/sub"),
        match="was not written by imgprep",
    )


def test_drafts_that_are_not_in_the_log_are_not_taken_for_a_killed_runs(here):
    drafts = here / "ready" / ".imgprep-draft-mine"
    drafts.mkdir(parents=True)
    (drafts / "1").write_bytes(MINE)
    long_ago = time.time() - 86_400
    os.utime(drafts, (long_ago, long_ago))
    assert main(["prepare", "export.csv", "--images", "shop/images/spring", "--out", "ready"]) == 0
    assert (drafts / "1").read_bytes() == MINE


@pytest.mark.parametrize(
    "words",
    [
        ("look", "export.csv", "--images", "shop/images/spring", "--out", "page.html"),
        ("feedback", "export.csv", "--images", "shop/images/spring", "--out", "page.html"),
        ("duplicates", "export.csv", "--images", "shop/images/spring", "--out", "page.html"),
        ("compare", "export.csv", "export.csv", "--picture", "page.png"),
        ("match", "export.csv", "--images", "shop/images/spring", "--out", "page.parquet"),
        ("match", "export.csv", "--images", "shop/images/spring", "--map", "page.jsonl"),
    ],
    ids=lambda words: f"{words[0]} {words[-2]}",
)
def test_an_output_is_written_again_but_not_over_another_file(here, capsys, words):
    page = here / words[-1]
    assert main(list(words)) in (0, 1)
    assert page.stat().st_size
    assert main(list(words)) in (0, 1)
    page.write_bytes(MINE)
    refused(here, capsys, *words, match="page.")


def test_a_runs_page_and_a_months_are_written_again_but_not_over_another_file(here, capsys, demo_runs):
    run = f"weeks/runs/{demo_runs[0].id}"
    shutil.copytree(demo_runs[0].folder, run)
    for words in (["report", run, "--html", "page.html"], ["review", "--runs", "weeks/runs", "--html", "month.html"]):
        assert main(words) in (0, 1)
        assert main(words) in (0, 1)
        (here / words[-1]).write_bytes(MINE)
        refused(here, capsys, *words, match="was changed since imgprep wrote it")


def test_a_made_history_takes_the_place_of_no_photographs_and_of_no_real_run(here):
    before = content(here / "shop")
    Image.effect_noise((90, 90), 80).convert("RGB").save(here / "shop" / "images" / "dress-blue-1.jpg")
    name = next(file.name for file in part_shop().images.glob("*.jpg"))
    (here / "shop" / "images" / name).write_bytes(MINE)
    with pytest.raises(ConfigError, match="was not written by imgprep"):
        make_history(here / "shop" / "runs", weeks=3)
    assert content(here / "shop").items() >= before.items()
    assert (here / "shop" / "images" / name).read_bytes() == MINE

    run = make_history(here / "weeks" / "runs", weeks=3)[0]
    real = here / "weeks" / "runs" / "20261124T031500Z-shoes-abcd"
    shutil.copytree(run.folder, real)
    before = content(here / "weeks")
    with pytest.raises(ConfigError, match="not from a generated history"):
        make_history(here / "weeks" / "runs", weeks=3)
    assert content(here / "weeks") == before


def test_a_demo_takes_the_place_of_nothing(here, capsys):
    (here / "mine" / "batch" / "images").mkdir(parents=True)
    (here / "mine" / "batch" / "images" / "a.jpg").write_bytes(MINE)
    refused(here, capsys, "demo", "--out", "mine", match="another --out")
    (here / "other").mkdir()
    (here / "other" / "report.html").write_bytes(MINE)
    refused(here, capsys, "demo", "--out", "other", match="was not written by imgprep")


def test_a_project_is_made_around_what_is_there(here):
    (here / "new" / "notebooks").mkdir(parents=True)
    (here / "new" / "notebooks" / "00_quickstart.ipynb").write_bytes(MINE)
    links_or_skip(here / "new" / "imgprep.toml", here / "nowhere.toml")
    assert main(["init", "new"]) == main(["init", "new"]) == 0
    assert (here / "new" / "notebooks" / "00_quickstart.ipynb").read_bytes() == MINE
    assert not (here / "nowhere.toml").exists()


def test_another_programs_database_is_not_even_opened(here):
    with sqlite3.connect(here / "till.db") as till:
        till.execute("PRAGMA journal_mode = WAL")
        till.execute("CREATE TABLE sale (sum)")
        till.commit()
        shutil.copytree(here, here / "left", ignore=shutil.ignore_patterns("shop", "left"))  # as a crash leaves it
    till.close()
    before = content(here / "left")
    assert "till.db-wal" in before
    with pytest.raises(RegionError, match="another program's database"):
        ip.RegionStore(here / "left" / "till.db")
    assert content(here / "left") == before
    (here / "left" / "text").write_bytes(MINE)
    assert main(["regions", "--into", str(here / "left" / "text")]) == 2
    assert (here / "left" / "text").read_bytes() == MINE


def test_a_sandbox_keeps_its_state_only_in_a_folder_of_its_own(here, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    (here / "mine" / "objects" / "photos" / "new").mkdir(parents=True)
    (here / "mine" / "objects" / "photos" / "data").mkdir()
    (here / "mine" / "objects" / "photos" / "bucket.json").write_text('{"region": "x", "created": 1}')
    (here / "mine" / "objects" / "photos" / "new" / "a.jpg").write_bytes(MINE)
    before = content(here)
    with pytest.raises(FileExistsError, match="contains files that do not belong to a sandbox"):
        ip.Sandbox(here / "mine")
    refused(here, capsys, "sandbox", "--root", "mine", match="pass a new or empty folder")
    assert content(here) == before
    for _ in range(2):
        with ip.Sandbox(here / "own"):
            pass


def test_an_upload_adds_to_no_file_but_its_own_journal(here):
    class Clock:
        def time(self):
            return 1_790_000_000.0

        monotonic = time

    for made in ("mine", "own", "link"):
        (here / made).mkdir()
    (here / "mine" / "upload.jsonl").write_bytes(MINE)
    links_or_skip(here / "link" / "upload.jsonl", here / "mine" / "upload.jsonl")
    for folder in ("mine", "own", "own", "link"):
        with open_journal(here / folder / "upload.jsonl", Clock()) as write:
            write(Sent("increment.meta", "uploaded", "etag", 1, 0.0), None)
    assert (here / "mine" / "upload.jsonl").read_bytes() == MINE
    assert len((here / "own" / "upload.jsonl").read_text().splitlines()) == 3


def test_what_a_notebook_writes_takes_the_place_of_no_other_file(here):
    frame = pd.DataFrame({"OperationType": ["DELETE"], "ProductId": ["1005"]})
    photos = here / "shop" / "images" / "spring"
    writers = {
        "t.csv": lambda file: export_table(frame, file),
        "t.xlsx": lambda file: export_table(frame, file),
        "facts.parquet": lambda file: ip.inspect_images(["p1.jpg"], photos, out=file, progress=False),
        "map.jsonl": lambda file: write_matches(
            ip.match_files(photos, pd.DataFrame({"row": [1], "ProductId": ["p"]})), file
        ),
    }
    for name, write in writers.items():
        write(here / name)
        write(here / name)
        (here / name).write_bytes(MINE)
        with pytest.raises((ConfigError, CatalogueError)):
            write(here / name)
        assert (here / name).read_bytes() == MINE


def test_a_cache_removes_no_file_but_its_parts(here):
    cache = FactCache(here / "cache", here)
    (here / "cache" / "facts-2024.parquet").write_bytes(MINE)
    for _ in range(30):
        cache.add([{"PicName": "a.jpg", "mtime_ns": 1, "bytes": 1}])
    cache.close()
    assert (here / "cache" / "facts-2024.parquet").read_bytes() == MINE
    assert len(list((here / "cache").glob("facts-*.parquet"))) == 2


def test_what_was_fetched_takes_the_place_of_no_other_file(here, monkeypatch):
    data = (here / "shop/images/spring/p1.jpg").read_bytes()
    monkeypatch.setattr("imgprep.look.fetch.Fetcher._follow", lambda *_: data)
    catalogue = pd.DataFrame({"ProductId": ["1"], "PicName": ["https://shop.example/a.jpg?v=1"]})
    log = ip.fetch_images(catalogue, here / "into", progress=False)
    newer = catalogue.assign(PicName="https://shop.example/a.jpg?v=2")
    assert ip.fetch_images(newer, here / "into", progress=False)["problem"].isna().all()
    file = here / "into" / log["PicName"].iloc[0]
    file.write_bytes(MINE)
    again = ip.fetch_images(catalogue, here / "into", progress=False)
    assert again["problem"].tolist() == ["occupied"] and file.read_bytes() == MINE


def test_a_log_that_is_a_link_is_not_written_through(here):
    (here / "mine").write_bytes(MINE)
    links_or_skip(here / LOG, here / "mine")
    with pytest.raises(ConfigError, match="is a link"), overwriting(here / "page.html"):
        pass
    assert (here / "mine").read_bytes() == MINE


def test_a_body_that_fails_leaves_what_was_there(here):
    def write(text, *, fails=False):
        with Written(here).writing("page.html") as draft:
            draft.write_text(text)
            if fails:
                raise RuntimeError

    write("first")
    with pytest.raises(RuntimeError):
        write("second", fails=True)
    assert (here / "page.html").read_text() == "first"
    assert not list(here.glob(".imgprep-draft-*"))


def test_a_file_is_known_by_every_spelling_of_its_path(tmp_path):
    written = Written(tmp_path)
    with written.writing("a.txt") as draft:
        draft.write_bytes(b"ours")
    (tmp_path / "b").mkdir()
    with written.writing("b//c.txt") as draft:
        draft.write_bytes(b"ours too")
    again = Written(tmp_path)
    assert "./a.txt" in again and again.is_ours("b/c.txt")
    again.remove("b/c.txt")
    assert not (tmp_path / "b" / "c.txt").exists()
