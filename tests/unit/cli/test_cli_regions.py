"""`imgprep regions`: several people's regions in one store; and batches without any."""

import json

import pandas as pd
import pytest
from images_made import photo

from imgprep.cli.main import main
from imgprep.core.regions import Region
from imgprep.draw.store import RegionStore

BOX = Region(x1=10, y1=20, x2=110, y2=180)


@pytest.fixture
def people(tmp_path, monkeypatch):
    """The project's store by Ann, one by Bo, who decides two pictures otherwise, and a file by Cai."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imgprep-work").mkdir()
    with RegionStore(tmp_path / "imgprep-work/regions.sqlite", who="Ann") as ann:
        ann.put("a.jpg", BOX)
    with RegionStore(tmp_path / "bo.sqlite", who="Bo") as bo:
        bo.put("a.jpg", None, state="whole")
        bo.put("b.jpg", BOX)
    (tmp_path / "cai.csv").write_text("PicName,x1,y1,x2,y2\nc.jpg,1,2,30,40\nb.jpg,0,0,9,9\n", encoding="utf-8")
    return tmp_path


def test_stores_and_files_are_brought_together_and_nothing_is_replaced(people, capsys):
    assert main(["regions", "bo.sqlite", "cai.csv", "--format", "json"]) == 1
    printed = capsys.readouterr()
    assert [(each["PicName"], each["outcome"], each["source"]) for each in json.loads(printed.out)] == [
        ("a.jpg", "conflict", "bo.sqlite"),
        ("b.jpg", "new", "bo.sqlite"),
        ("b.jpg", "conflict", "cai.csv"),
        ("c.jpg", "new", "cai.csv"),
    ]
    assert "2 decided differently" in printed.err and "notebook 02" in printed.err
    with RegionStore(people / "imgprep-work/regions.sqlite") as store:
        assert store.get("a.jpg") == store.get("b.jpg") == BOX
        assert store.entry("c.jpg").who == "cai"


def test_bringing_in_the_same_again_changes_nothing(people, capsys):
    for _ in range(2):
        main(["regions", "bo.sqlite", "cai.csv"])
        capsys.readouterr()
        main(["regions", "--format", "json"])
        listed = json.loads(capsys.readouterr().out)
        assert [(each["PicName"], each["who"]) for each in listed] == [
            ("a.jpg", "Ann"), ("b.jpg", "Bo"), ("c.jpg", "cai")
        ]  # fmt: skip
        assert main(["regions", "--conflicts", "--format", "json"]) == 1
        assert [each["PicName"] for each in json.loads(capsys.readouterr().out)] == ["a.jpg", "b.jpg"]


def test_what_is_not_there_is_named_and_no_store_is_made(people, capsys):
    assert main(["regions", "gone.sqlite", "--into", "new.sqlite"]) == 2
    assert "gone.sqlite" in capsys.readouterr().err and not (people / "new.sqlite").exists()
    assert main(["regions", "--into", "new.sqlite"]) == 2
    assert (
        "no region store or file of regions is there" in capsys.readouterr().err
        and not (people / "new.sqlite").exists()
    )


def test_a_batch_takes_the_projects_regions_unless_none_are_wanted(people, capsys):
    (people / "photos").mkdir()
    photo(seed=1).save("photos/a.jpg")
    (people / "shop.csv").write_text("ProductId,CategoryId,CustomContent,PicName\n1,0,x,a.jpg\n", encoding="utf-8")
    words = ["build", "shop.csv", "--images", "photos", "--out", "batch"]
    assert main(words) == 0
    assert pd.read_parquet("batch/batch.parquet")["Region"].tolist() == [BOX.wire()]
    assert main([*words, "--no-regions"]) == 0
    assert pd.read_parquet("batch/batch.parquet")["Region"].isna().all()
    with pytest.raises(SystemExit):
        main([*words, "--no-regions", "--regions", "bo.sqlite"])
    assert "not allowed with" in capsys.readouterr().err
