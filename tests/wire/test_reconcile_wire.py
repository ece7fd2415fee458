"""A sample of the gallery, asked for over sockets."""

from imgprep.outcomes.reconcile import reconcile
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
from tests.wire.shipping import make_batch


def test_images_that_vanished_are_found_by_asking(tmp_path):
    folder = make_batch(tmp_path / "batch", 4)
    with Sandbox(task_seconds=0) as sandbox:
        upload(folder, folder / "images", sandbox.settings, progress=False)
        run = submit(folder, sandbox.settings, runs=tmp_path / "runs").follow(progress=False)
        found = reconcile(run, sample=10, settings=sandbox.settings)
        assert found.differences.empty
        assert "all 3 images were checked" in found.compared
    with Sandbox(task_seconds=0) as other:  # an empty gallery
        found = reconcile(run, sample=2, settings=other.settings)
    assert found.differences["difference"].tolist() == ["imported but not there"] * 2
    assert "at most 100.0%" in found.compared
