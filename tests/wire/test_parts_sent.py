"""Parts of an export are sent one after another, each with its images, although the gallery changes in between."""

import imgprep as ip
from imgprep.cli.main import main
from imgprep.core.frames import detached
from imgprep.plan.model import Baseline
from imgprep.plan.parts import build_parts
from imgprep.ship.submit import submit, submit_all
from imgprep.ship.upload import upload


def test_each_part_is_sent_with_its_images_and_none_is_outdated_by_another(tmp_path, monkeypatch, capsys):
    shop = ip.open_project()
    path = tmp_path / "export.parquet"
    detached(shop.load().head(40)).to_parquet(path)
    built = build_parts(path, tmp_path / "parts", parts=3, baseline=Baseline(confirm_rows=40), progress=False)
    first, *rest = built.folders
    with ip.Sandbox(task_seconds=0) as sandbox:
        options = {"runs": tmp_path / "runs", "progress": False}
        upload(first, shop.images, sandbox.settings, **options)
        done = [submit(first, sandbox.settings, runs=tmp_path / "runs").follow(progress=False)]
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        words = ["upload", str(rest[0]), "--images", str(shop.images), "--runs", str(tmp_path / "runs")]
        assert main(words) == 0, "the first part outdated it"
        assert main(["upload", str(rest[1]), "--images", str(path), *words[4:]]) == 2
        assert "is not a folder" in capsys.readouterr().err
        whole = ip.build_batch(shop.load().head(2), shop.images, tmp_path / "batch", progress=False)
        assert main(["upload", str(whole.folder), *words[2:]]) == 2, "its copies are what its lines describe"
        done += submit_all(rest, sandbox.settings, images=shop.images, stop_share=1.0, **options)
    assert sum(run.counts["lines"] for run in done) == built.summary().set_index("what").loc["add", "rows"].sum()
    assert all(run.counts["unknown"] == 0 for run in done)
