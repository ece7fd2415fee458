"""Notebook inputs: a shop's own, or the demo's where the shop is the demo."""

import pandas as pd
import pytest
from runs_made import make_run

from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings
from imgprep.demo.notebook_inputs import earlier_export, last_run, past_runs
from imgprep.shop import init_project, open_project


@pytest.fixture
def shop(tmp_path):
    init_project(tmp_path / "shop")
    (tmp_path / "shop/imgprep-work/runs").mkdir()
    return Settings.load(tmp_path / "shop")


@pytest.fixture
def this():
    """The catalogue that the runs of `make_run` kept, and one more product."""
    return pd.DataFrame({"ProductId": list("ABCDE"), "PicName": ["a.jpg", "b.jpg", "<i>c.jpg", "d.jpg", "e.jpg"]})


def test_without_an_earlier_export_one_is_generated_and_marked_as_such(shop, this):
    last = earlier_export(shop, this)
    assert last["ProductId"].tolist() == list("ABCD")
    assert "generated" in last.attrs["origin"] and "earlier under [shop]" in last.attrs["origin"]
    assert "origin" not in this.attrs


def test_the_newest_runs_copy_is_the_earlier_export_unless_it_is_todays(shop, this):
    run = make_run(shop.runs / "20261012", "2026-10-12", {"A": "imported"})
    assert earlier_export(shop, this)["ProductId"].tolist() == list("ABCD")
    assert "newest run" in earlier_export(shop, this).attrs["origin"]
    assert "generated" in earlier_export(shop, run.catalogue).attrs["origin"]


def test_the_file_that_the_project_names_wins(shop, this):
    make_run(shop.runs / "20261012", "2026-10-12", {"A": "imported"})
    file = shop.project / "imgprep.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('earlier = ""', 'earlier = "old.csv"'), encoding="utf-8")
    (shop.project / "old.csv").write_text("sku,image\nZ,z.jpg\n", encoding="utf-8")
    last = earlier_export(Settings.load(shop.project), this)
    assert last["ProductId"].tolist() == ["Z"] and last.attrs["origin"] == "the file old.csv"


def test_a_shop_without_runs_gets_the_remedy_and_never_the_demos_runs(shop):
    for function in (last_run, past_runs):
        with pytest.raises(ConfigError, match="no run has ended here yet; submit a batch"):
            function(shop)


def test_runs_of_the_shops_own_instance_are_kept_apart_from_rehearsals(shop, caplog):
    make_run(shop.runs / "20261012", "2026-10-12", {"A": "imported"})
    make_run(shop.runs / "20261019", "2026-10-19", {"A": "imported"})
    assert [run.id for run in past_runs(shop.with_(instance="shop"))] == ["20261012", "20261019"]
    assert not caplog.records
    assert len(past_runs(shop.with_(instance="another"))) == 2, "none was sent there: those of the newest run's gallery"
    assert "no run that has ended was sent to another; these are runs of shop" in caplog.text
    assert last_run(shop).id == "20261019"


def test_the_demo_shop_has_two_weeks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_project().earlier is None
    later = open_project(week=2)
    assert later.catalogue.name == "catalogue_week2.csv" and later.earlier == open_project().catalogue
