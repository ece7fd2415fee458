"""A cluster named on the command line, or in imgprep.toml for a notebook's cells, does the work on images."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pandas as pd
import pytest

import imgprep as ip
from imgprep.cli.main import main
from imgprep.core import executors
from imgprep.core.errors import ConfigError
from imgprep.core.executors import do_chunk
from imgprep.look.inspect import inspect_images
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.run import load_runs
from tests.unit.images_made import encoded, photo, turned

distributed = pytest.importorskip("distributed")
COUNT = 12
CELLS = [
    "import imgprep as ip\nshop = ip.open_project()\ncatalogue = shop.load()",
    "facts = shop.inspect(catalogue, progress=False)\nbuilt = shop.build(catalogue, progress=False)",
    "run = shop.ship(built, progress=False)\nprint(run.state, run.counts['imported'])",
]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(task_seconds=0, throttle=False, buckets=["their-photos"]) as server:
        for number in range(COUNT):
            data = turned(photo(number), 6) if number == 3 else encoded(photo(number))
            server.store.put("their-photos", f"photos/{number}.jpg", data, modified=1_790_000_000.0)
        yield server


@pytest.fixture(scope="module")
def address(sandbox):
    """The scheduler of one worker, which has credentials of its own, as on another machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sandbox.environment().items():
            patch.setenv(name, value)
        options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
        with distributed.LocalCluster(**options) as cluster:
            yield cluster.scheduler_address


@pytest.fixture
def project(sandbox, address, tmp_path, monkeypatch):
    """The current folder: a project whose images are in OSS. No work on images is done here."""
    monkeypatch.chdir(tmp_path)
    for name, value in (sandbox.environment() | {"IMGPREP_PATH": f"/{tmp_path.name}"}).items():
        monkeypatch.setenv(name, value)
    rows = "".join(f"S{number},{number}.jpg,k:v\n" for number in range(COUNT))
    (tmp_path / "export.csv").write_text("ProductId,PicName,CustomContent\n" + rows)
    (tmp_path / "imgprep.toml").write_text(
        f'[shop]\ncatalogue = "export.csv"\nimages = "oss://their-photos/photos"\n[cluster]\naddress = "{address}"\n'
    )
    run_here = executors.run_in_processes

    def run(target, tasks, **options):
        kept = list(tasks)
        assert not kept, "an image was not sent away"
        return run_here(target, kept, **options)

    monkeypatch.setattr(executors, "run_in_processes", run)
    return tmp_path


def test_commands_work_on_the_cluster_that_they_are_given(project, sandbox, address, capsys):
    (project / "imgprep.toml").unlink()
    words = ["export.csv", "--images", "oss://their-photos/photos", "--cluster", address]
    assert main(["check", *words]) == 1 and "orientation" in capsys.readouterr().out
    assert main(["build", *words, "--out", "batch"]) == 0
    sandbox.forget_requests()
    assert main(["upload", "batch", "--cluster", address]) == 0, capsys.readouterr().err
    sent = [request.key for request in sandbox.requests if request.operation in ("PutObject", "CopyObject")]
    assert len(sent) == len(set(sent)) == COUNT + 1
    assert main(["check", *words[:-1], "tcp:nowhere"]) == 2
    assert "use the scheduler's address" in capsys.readouterr().err


def test_every_step_of_a_project_works_on_its_cluster(project, capsys):
    shop = ip.open_project()
    catalogue = shop.load()
    with pytest.raises(AssertionError, match="not sent away"):
        inspect_images(catalogue, shop.images, progress=False)
    facts = shop.inspect(catalogue, progress=False)
    copies = shop.prepare(facts, "copies", progress=False)
    assert copies["action"].value_counts().to_dict() == {"kept": COUNT - 1, "converted": 1}
    assert shop.duplicates(facts, catalogue).empty
    assert shop.suggest_regions(["0.jpg", "3.jpg"], progress=False)["problem"].isna().all()
    # As `match` finds them: the files have no name in the catalogue, and look like earlier images.
    named = facts.assign(ProductId=catalogue["ProductId"])
    assert shop.match_files(catalogue.assign(PicName=pd.NA), earlier=named)["how"].str.contains("the same file").all()
    words = ["--images", os.fspath(shop.images), "--earlier", os.fspath(shop.images), "--format", "json"]
    assert main(["match", *words]) == 0 and len(json.loads(capsys.readouterr().out)) == COUNT
    run = shop.ship(shop.build(catalogue, progress=False), progress=False)
    assert main(["retry", str(run.folder), "--out", "again"]) == 0, capsys.readouterr().err


def test_copies_that_workers_do_not_reach_are_inspected_here(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(encoded(photo(1)))
    catalogue = pd.DataFrame({"ProductId": ["A"], "PicName": ["a.jpg"]})
    with ThreadPoolExecutor(1) as executor, pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "do_chunk", partial(far_away, str(tmp_path / "batch")))
        built = ip.build_batch(catalogue, tmp_path / "photos", tmp_path / "batch", executor=executor, progress=False)
    assert built.facts[["PicName", "problem"]].fillna("").values.tolist() == [["a.jpg", ""]]


def far_away(folder, tasks, *arguments):
    """Do a chunk as a worker that has no such folder."""
    if str(tasks[0][0]).startswith(folder):
        raise ConfigError(f"images: {folder} is neither a folder nor a zip archive")
    return do_chunk(tasks, *arguments)


def test_a_notebooks_cells_work_on_the_projects_cluster_to_the_end_of_the_task(project):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    where = {"metadata": {"path": str(project)}}
    NotebookClient(notebook, kernel_name="python3", timeout=300, resources=where).execute(env=dict(os.environ))
    (printed,) = [output["text"] for output in notebook.cells[2].outputs if output.get("name") == "stdout"]
    assert printed.strip() == f"success {COUNT}"
    (run,) = load_runs(project / "imgprep-work" / "runs")
    assert run.outcome["outcome"].eq("imported").all()
