"""One bad row never ends a run: a catalogue whose every cell is hostile goes through the whole command line."""

import json
import os
import socket
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from imgprep.cli.main import main
from imgprep.load.catalogue import load_catalogue
from imgprep.meta.codec import read_meta
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.run import load_runs

#: Names and ids that some part of a system trips over.
HOSTILE = [
    "n",
    "b" * 255,
    "b" * 256,
    "b" * 1023,
    "b" * 4096,
    "山" * 86,
    "nul\0here",
    "line\nbreak",
    "per%cent%41",
    "back\\slash",
    "half\ud800surrogate",
    "caf\u00e9",
    "cafe\u0301",
    "CON",
    "trailing.",
    "trailing ",
    "'",
    '"quoted"',
    "=cmd()",
    "../up",
    "/root",
    "C:\\x",
    "\u202egpj",
    "\ufeff",
    "{braces}",
    "increment.meta",
]
SOUND = ["good-1", "good-2", "good-3"]


@pytest.fixture
def server():
    with Sandbox(task_seconds=0) as sandbox:
        yield sandbox


@pytest.fixture
def photos(tmp_path):
    """Files under every name that this disk takes, and a folder, a pipe, a socket and links in circles."""
    folder = tmp_path / "photos"
    folder.mkdir()
    sound = tmp_path / "sound.jpg"
    Image.effect_noise((240, 300), 80).convert("RGB").save(sound)
    for number, name in enumerate(SOUND):
        Image.effect_noise((240 + number, 300), 80).convert("RGB").save(folder / f"{name}.jpg")
    for number, name in enumerate(HOSTILE):
        try:
            if "/" not in name:
                Image.effect_noise((260 + number, 300), 80).convert("RGB").save(folder / f"{name}.jpg", "JPEG")
        except (OSError, ValueError):
            continue
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "circle.jpg").symlink_to("circle2.jpg")
    (folder / "circle2.jpg").symlink_to("circle.jpg")
    (folder / "out.jpg").symlink_to(sound)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not an image")
    (folder / "locked.jpg").write_bytes(sound.read_bytes())
    (folder / "locked.jpg").chmod(0)
    place = Path.cwd()
    os.chdir(folder)  # the path of a socket may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket.jpg")
            yield folder
    finally:
        os.chdir(place)


@pytest.fixture
def export(tmp_path):
    """Rows with a hostile id, a hostile name, both, or a hostile file; sound ones between them."""
    files = ["folder", "pipe", "socket", "circle", "circle2", "out", "empty", "text", "locked", "missing", ""]
    pairs = [(name, "good-1") for name in HOSTILE] + [(f"P{n}", name) for n, name in enumerate(HOSTILE)]
    pairs += [(name, name) for name in HOSTILE] + [(f"F-{name}", name) for name in files]
    pairs += [("", "good-2"), (SOUND[0], SOUND[0]), (SOUND[1], SOUND[1]), ("second", SOUND[1]), (SOUND[2], SOUND[2])]
    file = tmp_path / "export.jsonl"
    rows = [{"ProductId": one, "PicName": f"{name}.jpg" if name else "", "CustomContent": one} for one, name in pairs]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def run(*words):
    """Run a command in this process: anything that is not ours escapes, and fails the test."""
    return main([str(word) for word in words])


@pytest.mark.parametrize("keep", [False, True], ids=["sent if sound", "refused rows too"])
def test_a_hostile_catalogue_loses_no_row_and_ships_the_rest(
    tmp_path, server, photos, export, keep, monkeypatch, capfd
):
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    batch, runs = tmp_path / f"batch-{keep}", tmp_path / "runs"
    if not keep:
        assert run("check", export, "--images", photos) == 1
        assert run("check", export, "--images", photos, "--summary", "--format", "json") == 1
        assert run("look", export, "--images", photos, "--out", tmp_path / "look.html") == 1
        assert run("feedback", export, "--images", photos, "--out", tmp_path / "sheet.html") == 1
        assert run("duplicates", export, "--images", photos, "--out", tmp_path / "twins.html") == 0
        assert (
            run("match", export, "--images", photos, "--map", tmp_path / "m.jsonl", "--out", tmp_path / "m.parquet") < 2
        )
        assert run("fetch", export, "--into", tmp_path / "fetched") in (0, 3)
        assert run("prepare", export, "--images", photos, "--out", tmp_path / "copies") == 1
        assert run("check", export, "--images", photos, "--near-names") == 1
    build = ["build", export, "--images", photos, "--out", batch]
    rows = load_catalogue(export)
    assert run(*build, *(["--keep-refused"] if keep else ["--confirm-rows", len(rows)])) == 1
    sent = pd.read_parquet(batch / "batch.parquet")
    excluded = pd.read_parquet(batch / "excluded.parquet")
    assert sorted([*sent["row"], *excluded["row"]]) == rows["row"].tolist()
    written, _ = read_meta(batch / "increment.meta", strict=False)
    assert len(written) == len(sent)
    assert {(name, f"{name}.jpg") for name in SOUND} <= set(zip(sent["ProductId"], sent["PicName"], strict=True))
    assert run("upload", batch, "--runs", runs) == 0
    assert run("submit", batch, "--runs", runs, "--yes", server.settings.instance) in (0, 1)
    (shipped,) = load_runs(runs)
    outcome = shipped.outcome
    assert len(outcome) == len(sent) and not outcome["outcome"].eq("unknown").any()
    imported = outcome[outcome["outcome"] == "imported"]
    assert set(SOUND) <= set(imported["ProductId"])
    assert run("report", shipped.folder, "--html", tmp_path / "report.html") in (0, 1)
    for table in ("funnel", "coverage"):
        assert run("review", "--runs", runs, "--table", table) in (0, 1, 2)
    assert run("trace", SOUND[0], "--runs", runs) == 0
    assert "Traceback" not in capfd.readouterr().err


def test_a_name_that_no_disk_takes_is_a_missing_image(tmp_path, photos):
    from imgprep.look.inspect import inspect_images

    names = [f"{'b' * 300}.jpg", f"{'山' * 100}.jpg", "half\ud800.jpg", "good-1.jpg"]
    facts = inspect_images(names, photos, progress=False)
    assert facts["exists"].tolist() == [False, False, False, True]
    assert facts["problem"].tolist()[:3] == ["missing"] * 3
