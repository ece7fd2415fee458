"""A Python file that lies among the images never runs, whichever way imgprep was started."""

import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from images_made import encoded, photo

import imgprep
from imgprep.core.errors import ConfigError
from imgprep.core.processes import run_in_processes
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.upload import upload
from tests.samples import sampled
from tests.wire.shipping import make_blobs, write_batch

PLANTED = ("PIL", "pickle", "json", "numpy", "struct", "imgprep")
COMMANDS = {
    "script": [shutil.which("imgprep", path=Path(sys.executable).parent)],
    "module": [sys.executable, "-m", "imgprep"],
}


@pytest.fixture
def shop(tmp_path):
    """A folder that somebody sent: images, an export, and Python files that leave a mark when they run."""
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(encoded(photo(number)))
    rows = "".join(f"S{number},Shirt {number},{number}.jpg\n" for number in range(3))
    (tmp_path / "export.csv").write_text("sku,title,image\n" + rows)
    mark = f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__)\nraise SystemExit\n"
    for name in PLANTED:
        (tmp_path / f"{name}.py").write_text(mark)
    return tmp_path


def run(shop, command, *arguments, **environment):
    done = subprocess.run(
        [*command, *map(str, arguments)], cwd=shop, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert not (shop / "ran").exists(), f"{(shop / 'ran').read_text()} ran\n{done.stderr}"
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("how", "words"), sampled(product(COMMANDS, (["check"], ["build", "--out", "batch"])), 2), ids=str
)
def test_check_and_build_run_nothing_from_the_current_folder(shop, how, words):
    if how == "module":  # Python itself looks for imgprep there; `python -P -m imgprep.cli.main` does not
        (shop / "imgprep.py").unlink()
    name, *more = words
    run(shop, COMMANDS[how], name, "export.csv", "--images", "photos", *more)


def test_an_upload_by_several_processes_runs_nothing_from_the_current_folder(shop):
    (shop / "batch").mkdir()
    write_batch(shop / "batch", make_blobs(shop / "batch/images", 210, size=100))
    with Sandbox() as sandbox:
        run(shop, COMMANDS["script"], "upload", "batch", "--processes", 2, **sandbox.environment())


@pytest.mark.parametrize("pythonpath", ["", os.pathsep, f".{os.pathsep}"], ids=["none", "empty entries", "a dot"])
def test_a_worker_never_searches_the_current_folder(shop, monkeypatch, pythonpath):
    monkeypatch.chdir(shop)
    monkeypatch.setenv("PYTHONPATH", pythonpath)
    monkeypatch.setattr(sys, "path", ["", ".", str(shop), *sys.path])
    task = (str(shop / "photos"), "0.jpg", "header", frozenset())
    ((_, record),) = run_in_processes("imgprep.look.probe:probe_one", [task], workers=1)
    assert record["format"] == "JPEG" and not (shop / "ran").exists()


def test_a_worker_finds_imgprep_where_its_caller_found_it(tmp_path):
    """In a source tree that is the current folder, though another imgprep is installed."""
    package = tmp_path / "tree" / "imgprep"
    shutil.copytree(Path(imgprep.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "which.py").write_text("def file(_):\n    return __file__\n")
    code = "from imgprep.core import processes; print(*processes.run_in_processes('imgprep.which:file', [0]))"
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, cwd=package.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str((0, str(package / "which.py")))


def test_a_worker_that_cannot_import_the_credentials_provider_names_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "my_keys.py").write_text("class Provider:\n    def credentials(self):\n        return self.found\n")
    frame = make_blobs(tmp_path / "images", 420, size=100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    import my_keys

    with Sandbox() as sandbox:
        provider = my_keys.Provider()
        provider.found = sandbox.settings.oss_credentials.credentials()
        settings = sandbox.settings.with_(oss_credentials=provider)
        with pytest.raises(ConfigError, match=r"No module named 'my_keys'.*PYTHONPATH, or use processes=1"):
            upload(frame, tmp_path / "images", settings, progress=False, runs=tmp_path, processes=2)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        log = upload(
            frame, tmp_path / "images", settings.with_(path="/other"), progress=False, runs=tmp_path, processes=2
        )
    assert log["outcome"].eq("uploaded").all()
