"""A full disk, a folder that may not be written, a kill at any moment: reported, nothing half done, and repeatable."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from images_made import encoded, photo

from imgprep.cli.main import main
from imgprep.fix.prepare import prepare_images
from imgprep.look.inspect import inspect_images
from imgprep.shop import init_project
from tests.samples import sampled


@pytest.fixture
def shop(tmp_path):
    images = tmp_path / "photos"
    images.mkdir()
    for number in range(30):
        (images / f"{number}.jpg").write_bytes(encoded(photo(number), quality=95))
    rows = "".join(f"S{number},Shirt {number},{number}.jpg\n" for number in range(30))
    (tmp_path / "export.csv").write_text("sku,title,image\n" + rows)
    return tmp_path


def building(shop, **options):
    command = [sys.executable, "-m", "imgprep", "build", shop / "export.csv", "--images", shop / "photos"]
    return subprocess.Popen(
        [*command, "--out", shop / "batch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def built_again(shop):
    return main(["build", f"{shop}/export.csv", "--images", f"{shop}/photos", "--out", f"{shop}/batch"])


def limited(size):
    """Let the process write files of this size only: to whoever writes, the disk is full."""
    resource = pytest.importorskip("resource")
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", sampled([500, 2_000, 12_000], 1))
def test_where_no_room_is_left_a_build_stops_and_leaves_nothing_that_could_be_sent(shop, size):
    # CPython renames byte code that was cut at the limit into place, where every later process would read it.
    without_byte_code = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    with building(shop, preexec_fn=limited(size), env=without_byte_code) as build:
        errors = build.communicate(timeout=120)[1]
    assert build.returncode == 2, errors
    assert "large" in errors and "Traceback" not in errors
    assert not (shop / "batch" / "increment.meta").exists()
    assert main(["upload", str(shop / "batch")]) == 2
    assert built_again(shop) == 0
    assert len((shop / "batch" / "increment.meta").read_text().splitlines()) == 30


def test_a_build_that_is_killed_leaves_nothing_that_could_be_sent_and_is_repeated(shop):
    with building(shop) as build:
        while not list((shop / "batch").glob("images/*.jpg")):
            assert build.poll() is None, build.stderr.read()
            time.sleep(0.01)
        build.send_signal(signal.SIGKILL)
        build.communicate(timeout=60)
    meta = shop / "batch" / "increment.meta"
    assert not meta.exists() or len(meta.read_text().splitlines()) == 30
    assert built_again(shop) == 0
    assert len(meta.read_text().splitlines()) == 30
    assert sorted(file.suffix for file in (shop / "batch" / "images").glob("[!.]*")) == [".jpg"] * 30


@contextlib.contextmanager
def read_only():
    """A folder that this process may read and not write, also where it runs as root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions of folders mean something else on Windows")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shop"
        folder.mkdir()
        folder.chmod(0o555)
        Path(name).chmod(0o755)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_a_folder_that_may_not_be_written_is_named_and_nothing_is_made(capsys):
    from imgprep.core.errors import ImgprepError, RegionError
    from imgprep.draw.store import RegionStore

    with read_only() as folder:
        assert main(["init", str(folder / "project")]) == 2
        errors = capsys.readouterr().err
        with pytest.raises((ImgprepError, OSError)):
            init_project(folder)
        with pytest.raises(RegionError):
            RegionStore(folder / "regions.db")
        assert not list(folder.iterdir())
    assert str(folder) in errors and "ermission" in errors


def test_copies_are_not_refused_one_by_one_where_none_can_be_written(shop, monkeypatch):
    import errno

    from imgprep.core.errors import ConfigError

    facts = inspect_images([f"{number}.jpg" for number in range(30)], shop / "photos", progress=False)

    def full(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        ConfigError, match=r"no copy of \d+.jpg .*free in .*free some space, then try again; finished copies are kept"
    ):
        prepare_images(facts, shop / "photos", shop / "out", progress=False)
