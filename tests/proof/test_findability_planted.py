"""Five hundred images with planted faults: each is reported with its reason, and nothing else is."""

from imgprep.outcomes.findability import findability
from imgprep.sandbox.sandbox import Sandbox
from tests.gallery_made import planted, reasons, shipped
from tests.wire.shipping import FakeClock


def test_planted_faults_among_500_images_are_explained_and_a_random_ranking_is_not(tmp_path):
    rows, pictures, expected = planted(500, categories=10, swapped=20, twins=10, blanks=5)
    with Sandbox(task_seconds=0, throttle=False) as sandbox:
        run, settings = shipped(sandbox, tmp_path, rows, pictures)
        for row in rows[-20::4]:
            sandbox.lose(row["ProductId"], row["PicName"])
            expected[row["ProductId"], row["PicName"]] = "not in the gallery"
        found = findability(run, settings, sample=500, progress=False, confirm=540, clock=FakeClock())
        assert len(found.images) == 500 and reasons(found) == expected
        sandbox.imagesearch.switch(shuffled=True)
        random = findability(run, settings, sample=500, progress=False, confirm=540, clock=FakeClock())
    assert not random.meaningful and set(random.problems["reason"]) == {"", "not in the gallery"}
