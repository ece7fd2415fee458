"""In a folder tree full of other people's files, no command changes a file that it did not write."""

import contextlib
import io
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from imgprep.cli.main import main

#: Names of foreign files: any, and all that imgprep itself writes.
NAMES = (
    *("a.jpg", "thesis.txt", "export.csv", "page.html", "picture.png", "map.jsonl", "regions.sqlite", "t.parquet"),
    *("batch.json", "increment.meta", "batch.parquet", "catalogue.parquet", "prepare.parquet", "upload.jsonl"),
    *("report.html", "run.json", "outcome.parquet", "imgprep.toml", "key.json", "bucket.json"),
)
FOLDERS = ("", "images", "shop", "shop/images", "shop/batch", "shop/batch/images", "runs", "notebooks", "objects/b/new")
FILES = st.sets(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)), max_size=12)
LINKS = st.sets(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(["images", "way", "page.html"])), max_size=3)
PLACES = st.sampled_from([*FOLDERS[1:], ".", "new", "shop/new", "way", "shop/way", "page.html", "shop/page.html"])
TARGETS = st.one_of(
    PLACES, st.builds(lambda folder, name: f"{folder or '.'}/{name}", st.sampled_from(FOLDERS), st.sampled_from(NAMES))
)
COMMANDS = (
    ("build", "{export}", "--images", "{images}", "--out", "{out}"),
    ("build", "{export}", "--images", "{images}", "--out", "{out}", "--keep-refused"),
    ("prepare", "{export}", "--images", "{images}", "--out", "{out}"),
    ("init", "{out}"),
    ("look", "{export}", "--images", "{images}", "--out", "{out}"),
    ("feedback", "{export}", "--images", "{images}", "--out", "{out}"),
    ("duplicates", "{export}", "--images", "{images}", "--out", "{out}"),
    ("fetch", "{export}", "--into", "{out}"),
    ("match", "{export}", "--images", "{images}", "--map", "{out}"),
    ("match", "{export}", "--images", "{images}", "--out", "{out}"),
    ("compare", "{export}", "{export}", "--picture", "{out}"),
    ("regions", "--into", "{out}"),
    ("regions", "{export}", "--into", "{out}"),
    ("check", "{export}", "--images", "{images}", "--regions", "{out}"),
    ("report", "{run}", "--html", "{out}"),
    ("report", "{run}", "--failed", "{out}"),
    ("runs", "{out}", "--runs", "{runs}", "--prune", "--older-than", "0"),
    ("week", "{export}", "--images", "{images}", "--out", "{out}"),
    ("review", "--runs", "{runs}", "--html", "{out}"),
    ("retry", "{run}", "--images", "{images}", "--out", "{out}"),
    ("undo", "{run}", "--images", "{images}", "--out", "{out}", "--confirm", "demo"),
    ("close", "{out}", "--message", "FAIL"),
    ("follow", "{out}"),
    ("upload", "{out}", "--runs", "{runs}"),
    ("submit", "{out}", "--runs", "{out}"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, demo_runs):
    """A run of ours, apart from the tree."""
    folder = tmp_path_factory.mktemp("week") / "runs"
    shutil.copytree(demo_runs[0].folder, folder / demo_runs[0].folder.name)
    return folder


def plant(root, files, links):
    """Make the tree; every file in it is somebody else's, the photographs and the export too."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for folder, name in files:
        (root / folder / name).write_bytes(f"{folder}/{name} of somebody else".encode())
    for number in (1, 2):
        image = Image.new("RGB", (120, 120), (90 * number, 40, 40))
        for folder in ("images", "shop/images"):
            image.save(root / folder / f"p{number}.jpg")
    (root / "catalogue.csv").write_text("ProductId,PicName,CustomContent\n1,p1.jpg,k:v\n2,p2.jpg,k:v\n")
    for folder, name in links:
        with contextlib.suppress(OSError):
            (root / folder / name).symlink_to(root / "shop" / ("a.jpg" if name == "page.html" else ""))


def content(root):
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder) / name
            if path.is_symlink():
                found[path] = path.readlink()
            elif path.is_file():
                found[path] = path.read_bytes()
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    command=st.sampled_from(COMMANDS),
    files=FILES,
    links=LINKS,
    out=TARGETS,
    images=st.sampled_from(["images", "shop/images", "shop", "shop/way"]),
    twice=st.booleans(),
)
@example(
    command=COMMANDS[0], files={("shop/images", "a.jpg")}, links=set(), out="shop", images="shop/images", twice=False
)
@example(
    command=COMMANDS[0], files={("shop", "catalogue.parquet")}, links=set(), out="shop", images="images", twice=False
)
@example(
    command=COMMANDS[0], files=set(), links={("notebooks", "images")}, out="notebooks", images="images", twice=False
)
@example(command=COMMANDS[2], files=set(), links=set(), out="shop/images", images="images", twice=True)
def test_no_command_changes_a_file_that_it_did_not_write(runs, monkeypatch, command, files, links, out, images, twice):
    with tempfile.TemporaryDirectory() as name, monkeypatch.context() as patch:
        root = Path(name).resolve()
        plant(root, files, links)
        patch.chdir(root)
        before = content(root)
        run = next(runs.glob("*/run.json")).parent
        words = [word.format(export="catalogue.csv", images=images, out=out, run=run, runs=runs) for word in command]
        for _ in range(1 + twice):
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
                contextlib.suppress(Exception, SystemExit),  # what a command says is tested elsewhere
            ):
                main(words)
        after = content(root)
        changed = [str(path.relative_to(root)) for path, data in before.items() if after.get(path) != data]
        assert not changed, f"imgprep {' '.join(words)} changed {changed}"
