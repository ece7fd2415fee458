"""Files that the first version wrote still open: a project, its regions, its cache of facts, its batch and its run.

`tests/golden/first_version` was written by the code before it was moved into rooms by step.
"""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

import imgprep as ip

SAMPLES = Path(__file__).parents[1] / "golden" / "first_version"
REGIONS = {("P1", "a.jpg"): "10,200,20,150", ("P2", "c.jpg"): "5,300,6,250"}


@pytest.fixture
def shop(tmp_path):
    return shutil.copytree(SAMPLES, tmp_path / "shop")


def test_the_project_file_opens_and_reads_its_export(shop):
    project = ip.open_project(shop)
    catalogue = project.load()
    assert (project.settings.instance, project.settings.region) == ("shop", "cn-shanghai")
    assert catalogue["PicName"].tolist() == ["a.jpg", "b.png", "c.jpg", "d.jpg", "e.jpg", "f.jpg"]
    assert catalogue["IntAttr"].tolist() == ["1250", "1250", "3000", "400", "999", "500"]
    assert catalogue["CustomContent"].iloc[0] == "title:Red shirt,price:12.50"


def test_the_region_store_opens(shop):
    store = ip.RegionStore(shop / "regions.db")
    assert store.get("a.jpg").wire() == REGIONS["P1", "a.jpg"]
    assert store.get("c.jpg", "P2").wire() == REGIONS["P2", "c.jpg"]
    store.put("b.png", ip.Region(x1=1, y1=2, x2=3, y2=4))
    assert len(store.frame()) == 3


class Refusing:
    """An executor for images that are known already."""

    def submit(self, function, *given):
        raise AssertionError("an image was inspected although its facts are in the cache")


def test_the_cache_of_facts_is_used(shop):
    (file,) = (shop / "cache").glob("*.parquet")
    cached = pd.read_parquet(file)
    for name, when in zip(cached["PicName"], cached["mtime_ns"], strict=True):
        os.utime(shop / "photos" / name, ns=(when, when))  # cached facts hold for one size and time of the file
    facts = ip.inspect_images(
        cached["PicName"], shop / "photos", cache=shop / "cache", executor=Refusing(), progress=False
    )
    assert facts["digest"].tolist() == cached["digest"].tolist()
    assert facts["orientation"].tolist() == [1, 1, 1, 1, 6]


def test_the_run_opens_and_folds_into_the_gallery(shop):
    (run,) = ip.load_runs(shop / "runs")
    assert run.outcome["outcome"].tolist() == ["imported", "imported", "imported", "failed", "imported", "failed"]
    assert run.outcome["cause"].dropna().tolist() == ["bad_pixels", "image_missing"]
    assert run.catalogue["PicName"].tolist()[-1] == "f.jpg" and len(run.batch) == 6
    assert run.batch[["IntAttr2", "StrAttr4"]].isna().all(axis=None) and run.batch["IntAttr2"].dtype == "Int64"
    state = ip.gallery_state([run])
    assert state["PicName"].tolist() == ["a.jpg", "b.png", "c.jpg", "e.jpg"]
    held = state.set_index(["ProductId", "PicName"])["Region"].dropna().to_dict()
    assert held == REGIONS
    assert set(ip.tally_causes([run])["cause"]) == {"bad_pixels", "image_missing"}


def test_the_batch_can_be_shipped(shop, tmp_path):
    assert len(ip.read_meta(shop / "batch" / "increment.meta")) == 6
    with ip.Sandbox() as sandbox:
        ip.upload(shop / "batch", shop / "batch" / "images", sandbox.settings, progress=False)
        run = ip.submit(shop / "batch", sandbox.settings, runs=tmp_path / "runs", progress=False)
        run.follow(progress=False)
    assert run.outcome["outcome"].tolist() == ["imported", "imported", "imported", "failed", "imported", "failed"]
    assert (run.batch["PicName"] == ip.load_runs(shop / "runs")[0].batch["PicName"]).all()
