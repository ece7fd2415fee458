"""Against a real account: nothing runs without IMGPREP_LIVE=1, nothing is written without IMGPREP_LIVE_WRITE=1.

Settings and credentials come from the usual variables (IMGPREP_REGION, IMGPREP_BUCKET, IMGPREP_PATH,
IMGPREP_INSTANCE, and the vendor's own). With writing allowed, one made image is imported below the path, found in the
gallery, and deleted again.
"""

import os

import pandas as pd
import pytest
from PIL import Image

from imgprep.cloud.imagesearch import ImageSearch
from imgprep.core.settings import Settings
from imgprep.plan.build import build_batch
from imgprep.ship.preflight import preflight
from imgprep.ship.submit import submit, tasks
from imgprep.ship.upload import upload

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.environ.get("IMGPREP_LIVE") != "1", reason="set IMGPREP_LIVE=1 to use a real account"),
]
WRITES = pytest.mark.skipif(
    os.environ.get("IMGPREP_LIVE_WRITE") != "1", reason="set IMGPREP_LIVE_WRITE=1 to change the gallery"
)
PRODUCT, PICTURE = "imgprep-live-test", "imgprep-live-test.png"


@pytest.fixture(scope="module")
def settings():
    return Settings.from_env()


def ship(settings, tmp_path, operation):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.effect_noise((320, 240), 60).convert("RGB").save(photos / PICTURE)
    row = {"row": 1, "OperationType": operation, "ProductId": PRODUCT, "PicName": PICTURE, "CustomContent": "k:v"}
    built = build_batch(pd.DataFrame([row]), photos, tmp_path / "batch", progress=False)
    upload(built.folder, None, settings, replace=True, progress=False)
    return submit(built.folder, settings, runs=tmp_path / "runs", confirm=settings.instance).follow(progress=False)


def test_the_service_answers_in_the_shapes_that_are_read(settings):
    assert ImageSearch(settings).detail().name == settings.instance
    assert tasks(settings)["status"].isin(["PROCESSING", "FAIL", "SUCCESS"]).all()


def test_preflight_says_what_is_ready(settings):
    assert len(preflight(settings))


@WRITES
def test_an_image_is_imported_found_and_deleted(settings, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    assert ship(settings, tmp_path / "in", "ADD").state == "success"
    assert ImageSearch(settings).image_record(PRODUCT, PICTURE) is not None
    assert ship(settings, tmp_path / "out", "DELETE").state == "success"
