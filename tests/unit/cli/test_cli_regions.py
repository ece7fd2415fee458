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
    assert "2 conflicting decisions" in printed.err and "notebook 02" in printed.err
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


def test_regions_of_a_batch_with_scaled_and_turned_copies_come_back_to_their_sources(people, capsys):
    (people / "photos").mkdir()
    photo(seed=1, size=(6000, 3000)).save("photos/large.jpg")
    turned = photo(seed=2, size=(5000, 3000))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save("photos/turned.jpg", exif=exif)
    photo(seed=3).save("photos/plain.bmp")
    drawn = {"large.jpg": (6000, 3000), "turned.jpg": (3000, 5000), "plain.bmp": photo(seed=3).size}
    boxes = {name: Region(x1=11, y1=7, x2=width - 31, y2=height // 2 + 1) for name, (width, height) in drawn.items()}
    names = [*boxes, "undecided.jpg"]
    photo(seed=4).save("photos/undecided.jpg")
    lines = [f"{at},0,x,{name}" for at, name in enumerate(names)]
    (people / "shop.csv").write_text(
        "\n".join(["ProductId,CategoryId,CustomContent,PicName", *lines]), encoding="utf-8"
    )
    with RegionStore("mine.sqlite") as store:
        for name, box in boxes.items():
            store.put(name, box, size=drawn[name])
    build = ["build", "shop.csv", "--images", "photos"]
    assert main([*build, "--regions", "mine.sqlite", "--out", "one"]) == 0
    sent = pd.read_parquet("one/batch.parquet")[["PicName", "Region"]]
    for written in ("one/increment.meta", "mine.csv", "mine.json"):
        if not written.startswith("one"):
            capsys.readouterr()
            assert main(["regions", "--into", "mine.sqlite", "--format", written[-4:].strip(".")]) == 0
            (people / written).write_text(capsys.readouterr().out, encoding="utf-8")
        again = f"{written.replace('/', '-')}.sqlite"
        assert main(["regions", written, "--into", again]) == 0
        with RegionStore(again) as store:
            assert sorted(store.frame()["PicName"]) == sorted(boxes), "and no decision on the other"
        assert main([*build, "--regions", again, "--out", f"batch {again}"]) == 0
        pd.testing.assert_frame_equal(pd.read_parquet(f"batch {again}/batch.parquet")[["PicName", "Region"]], sent)


def test_what_is_not_there_is_named_and_no_store_is_made(people, capsys):
    assert main(["regions", "gone.sqlite", "--into", "new.sqlite"]) == 2
    assert "gone.sqlite" in capsys.readouterr().err and not (people / "new.sqlite").exists()
    assert main(["regions", "--into", "new.sqlite"]) == 2
    assert "not a region store or region file" in capsys.readouterr().err and not (people / "new.sqlite").exists()


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
