"""The service's own subjects are asked for once, come back in the upright frame, and are compared with ours."""

import io
import json

import pandas as pd
import pytest
from PIL import Image

from imgprep.core.errors import ConfigError, ServiceError
from imgprep.core.regions import Region
from imgprep.draw.annotator.widget import RegionAnnotator
from imgprep.draw.store import RegionStore
from imgprep.draw.tallies import tally_drawings_saved
from imgprep.outcomes.asking import SANDBOX_NOTE
from imgprep.outcomes.service_regions import service_regions
from imgprep.sandbox.sandbox import Sandbox
from imgprep.show.charts.regions import plot_drawings_saved
from tests.gallery_made import BOX, view
from tests.wire.shipping import FakeClock

SUBJECT = Region(**dict(zip(("x1", "y1", "x2", "y2"), BOX, strict=True)))
CORNER = Region(x1=150, y1=0, x2=240, y2=60)
NAMES = ["near.jpg", "far.jpg", "turned.jpg", "large.png", "gone.jpg"]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(task_seconds=0, throttle=False) as sandbox:
        yield sandbox


@pytest.fixture
def shop(tmp_path, sandbox):
    """Photographs that show the same subject: as it is, turned by its EXIF, and five thousand pixels high."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("near.jpg", "far.jpg"):
        (photos / name).write_bytes(view(1, 0))
    upright = Image.open(io.BytesIO(view(1, 0)))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by 90°
    upright.transpose(Image.Transpose.ROTATE_90).save(photos / "turned.jpg", quality=95, exif=exif)
    upright.resize((4800, 4800)).save(photos / "large.png")
    sandbox.imagesearch.calls.clear()
    return photos, sandbox.settings.with_(project=tmp_path)


@pytest.fixture
def store(tmp_path):
    with RegionStore(tmp_path / "regions.db", who="Ann") as store:
        store.put("near.jpg", SUBJECT)
        store.put("far.jpg", CORNER)
        store.put("turned.jpg", None, state="service")
        store.put("large.png", None, state="whole")
        yield store


def searches(sandbox):
    return sum(call.action == "SearchImageByPic" for call in sandbox.calls)


def test_the_services_subjects_are_compared_in_the_upright_frame(sandbox, shop, store):
    photos, settings = shop
    catalogue = pd.DataFrame({"PicName": NAMES, "CategoryId": ["1", "2", None, "1", "1"]})
    found = service_regions(catalogue, photos, settings, regions=store, progress=False, clock=FakeClock())
    rows = found.set_index("PicName")
    boxes = {name: Region(**row) for name, row in rows[["x1", "y1", "x2", "y2"]].dropna().to_dict("index").items()}
    assert boxes["near.jpg"].iou(SUBJECT) > 0.9 and boxes["turned.jpg"].iou(SUBJECT) > 0.9
    assert boxes["large.png"].iou(SUBJECT.scaled(20, 20, width=4800, height=4800)) > 0.9, "asked with a smaller copy"
    assert all(rows.loc[name, "subjects"][0] == box for name, box in boxes.items())
    assert rows["agree"].dropna().to_dict() == {
        "near.jpg": True, "far.jpg": False, "turned.jpg": True, "large.png": False,
    }  # fmt: skip
    assert rows["same_category"].isna().tolist() == [False, False, True, False, True]
    assert rows["same_category"].dropna().tolist() == [True, False, True]
    assert rows.loc["large.png", "iou"] < 0.5 and rows.loc["far.jpg", "iou"] == 0
    assert rows["problem"].dropna().to_dict() == {"gone.jpg": "no file with this name"}
    assert found.attrs["note"] == SANDBOX_NOTE and "boxes" in SANDBOX_NOTE and not sandbox.gallery()

    both = store.agreement(found)
    assert both["PicName"].tolist()[0] == "far.jpg" and len(both) == 4, "the service is one more annotator"
    tally = tally_drawings_saved(found, thresholds=[0.9])
    assert tally.to_numpy().tolist() == [[0.9, 2, 1, 50.0]]
    ax = plot_drawings_saved(tally)
    assert [bar.get_height() for bar in ax.patches] == [50] and SANDBOX_NOTE in ax.get_xlabel()

    widget = RegionAnnotator(NAMES, photos, store, suggest=False, service=found, order="disagreement")
    order = widget._queue.arrange("v", show="all", order="disagreement")
    assert [NAMES[number] for number in order] == ["far.jpg", "large.png", "near.jpg", "turned.jpg", "gone.jpg"]
    widget.close()


def test_an_answer_is_kept_until_the_file_changes(sandbox, shop):
    photos, settings = shop

    def ask(**options):
        return service_regions(NAMES[:2], photos, settings, progress=False, clock=FakeClock(), **options)

    first = ask()
    assert searches(sandbox) == 2
    (file,) = (settings.work / "subjects").glob("*.check")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))  # killed after the first answer
    pd.testing.assert_frame_equal(ask(), first)
    assert searches(sandbox) == 3
    (photos / "far.jpg").write_bytes(view(2, 0))
    assert ask()["problem"].isna().all() and searches(sandbox) == 4
    ask(again=True)
    assert searches(sandbox) == 6
    assert all("digest" in json.loads(line)["record"] for line in file.read_text().splitlines()[1:])


def test_many_requests_are_confirmed_and_a_refusal_of_the_instance_is_no_problem_of_an_image(
    sandbox, shop, monkeypatch
):
    photos, settings = shop
    with pytest.raises(ConfigError, match="no image is given"):
        service_regions([], photos, settings, progress=False)
    with pytest.raises(ServiceError):
        service_regions(NAMES[:1], photos, settings.with_(instance="other"), progress=False, clock=FakeClock())
    monkeypatch.setattr("imgprep.outcomes.asking.MANY", 1)
    with pytest.raises(ConfigError, match=r"2 requests, at least 1 second at 5 per second.*confirm"):
        service_regions(NAMES[:2], photos, settings, progress=False, clock=FakeClock())
    assert searches(sandbox) == 0
    assert len(service_regions(NAMES[:2], photos, settings, confirm=2, progress=False, clock=FakeClock())) == 2
