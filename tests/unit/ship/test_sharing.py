"""Several people on one folder of runs: the lock, who submitted, and the images of old batches."""

import multiprocessing
import os
from datetime import UTC, datetime

import pandas as pd
import pytest
from images_made import photo

import imgprep as ip
from imgprep.cli.main import main
from imgprep.core import lock
from imgprep.core.clock import SystemClock
from imgprep.core.errors import ConfigError
from imgprep.core.lock import gallery_lock
from imgprep.core.settings import Settings
from imgprep.plan.batch_folder import IMAGES
from imgprep.ship.gallery import gallery_state
from imgprep.ship.prune import prunable, prune
from imgprep.ship.run import batch_digest, make_run

SHOP = Settings(instance="shop", region="cn-shanghai", bucket="b", path="/p")


def _hold(folder, ready, done):
    with gallery_lock(SHOP, folder):
        ready.set()
        done.wait(30)


def test_the_lock_lies_beside_the_runs_and_names_its_holder(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, done))
    other.start()
    try:
        assert ready.wait(30)
        with pytest.raises(
            ConfigError, match=rf"submit to shop in cn-shanghai.*{lock.who()}, process {other.pid}, since"
        ):
            gallery_lock(SHOP, tmp_path).__enter__()
        with gallery_lock(SHOP.with_(instance="another"), tmp_path):
            pass  # another gallery has a lock of its own
    finally:
        done.set()
        other.join()
    with gallery_lock(SHOP, tmp_path):
        pass
    assert [file.name for file in tmp_path.iterdir() if "shop" in file.name] == [".shop-in-cn-shanghai.lock"]
    if os.name == "posix":
        assert (tmp_path / ".shop-in-cn-shanghai.lock").stat().st_mode & 0o777 == 0o666, "others of the folder lock too"


def test_a_drive_without_locks_is_no_reason_to_go_without(tmp_path, monkeypatch):
    def refuse(_handle):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock, "_lock", refuse)
    with pytest.raises(ConfigError, match="keep the runs on a drive that supports locks"):
        gallery_lock(SHOP, tmp_path).__enter__()


class DaysAgo(SystemClock):
    """A clock that is some days behind."""

    def __init__(self, days):
        self.days = days

    def time(self):
        return super().time() - self.days * 86_400


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A project with a batch and its ended run of each of 300, 200, 100 and 1 days ago."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imgprep.toml").write_text("")
    (tmp_path / "photos").mkdir()
    photo(seed=1).save("photos/a.jpg")
    catalogue = pd.DataFrame({"ProductId": ["1"], "PicName": ["a.jpg"], "CustomContent": ["k:v"]})
    for days in (300, 200, 100, 1):
        built = ip.build_batch(catalogue, "photos", f"imgprep-work/batch{days}", progress=False)
        digest = batch_digest(built.folder)
        run = make_run(built.folder, SHOP, tmp_path / "imgprep-work/runs", digest=digest, clock=DaysAgo(days))
        run.update(state="processing" if days == 200 else "success")
    return tmp_path


def left(shop):
    return sorted(
        int(file.parents[1].name.removeprefix("batch")) for file in shop.glob("imgprep-work/batch*/images/*.jpg")
    )


def test_only_images_of_old_ended_runs_go_and_the_gallery_stays_the_same(shop, capsys):
    runs = ip.load_runs(shop / "imgprep-work/runs")
    assert [run.submitted_by for run in runs] == [lock.who()] * 4
    (shop / "imgprep-work/batch100/images/mine.jpg").write_bytes(b"theirs")
    before = {file: file.read_bytes() for file in shop.glob("imgprep-work/runs/*/*")}
    assert main(["runs", "--prune", "--dry-run"]) == 0 and left(shop) == [1, 100, 100, 200, 300]
    assert "2 images would be removed" in capsys.readouterr().err
    assert main(["runs", "--prune"]) == 0
    printed = capsys.readouterr()
    assert "2 images removed" in printed.err and lock.who() in printed.out
    assert left(shop) == [1, 100, 200], "recent, of a task that runs, or not written by imgprep"
    assert {file: file.read_bytes() for file in shop.glob("imgprep-work/runs/*/*")} == before
    assert len(gallery_state(ip.load_runs(shop / "imgprep-work/runs"))) == 1
    assert main(["runs", "--prune"]) == 0
    assert "0 images removed" in capsys.readouterr().err


def test_a_changed_copy_and_the_newest_batch_of_a_gallery_stay(shop):
    runs = ip.load_runs(shop / "imgprep-work/runs")
    (shop / "imgprep-work/batch300" / IMAGES / "a.jpg").write_bytes(b"changed by hand")
    old = prunable(runs, [shop], days=0.5, now=datetime.now(UTC))
    prune(old)
    assert left(shop) == [1, 200, 300]
