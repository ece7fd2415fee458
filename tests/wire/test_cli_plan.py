"""The commands around a plan: exports compared, stops that are confirmed, and a run taken back."""

import json

from tests.wire.test_cli import META, imgprep, sandbox, shop  # noqa: F401  fixtures

COLLAPSED = "sku,image,title,type\n001,p1.jpg,Shirt 1,Tops\n"


def lines_of(batch):
    return [json.loads(line) for line in (batch / META).read_text(encoding="utf-8").splitlines()]


def test_an_export_is_compared_with_the_last_one(imgprep, shop, tmp_path):  # noqa: F811
    catalogue, _, columns = shop
    assert imgprep("compare", catalogue, catalogue, "--columns", columns, json_out=True) == []
    small = tmp_path / "small.csv"
    small.write_text(COLLAPSED, encoding="utf-8")
    picture = tmp_path / "drift.png"
    words = ("compare", catalogue, small, "--columns", columns, "--picture", picture)
    drift = imgprep(*words, code=1, json_out=True)
    assert [(row["what"], row["verdict"]) for row in drift[:1]] == [("rows", "collapsed")]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_collapse_and_a_loss_are_confirmed_and_a_run_is_taken_back(imgprep, shop, tmp_path):  # noqa: F811
    catalogue, photos, columns = shop
    runs, first, second = tmp_path / "runs", tmp_path / "first", tmp_path / "second"
    imgprep("build", catalogue, "--images", photos, "--columns", columns, "--out", first, code=1)
    imgprep("upload", first)
    imgprep("submit", first, "--runs", runs)
    small = tmp_path / "small.csv"
    small.write_text(COLLAPSED, encoding="utf-8")
    words = ("build", small, "--images", photos, "--columns", columns, "--known", runs, "--delete-missing")
    # The newest run kept its export, which need not be named.
    imgprep(*words, "--out", second, code=2)
    imgprep(*words, "--out", second, "--confirm-rows", 2, code=2)
    imgprep(*words, "--out", second, "--confirm-rows", 1, code=2)
    assert not (second / META).exists()
    imgprep(*words, "--out", second, "--confirm-rows", 1, "--confirm", "demo")
    assert lines_of(second) == [{"OperationType": "DELETE", "ProductId": "002"}]
    imgprep("upload", second, "--replace")
    imgprep("submit", second, "--runs", runs)
    newest = max(folder for folder in runs.iterdir() if folder.is_dir())
    oldest = min(folder for folder in runs.iterdir() if folder.is_dir())
    back = tmp_path / "back"
    imgprep("undo", oldest, "--images", first / "images", "--out", back, code=2)
    imgprep("undo", newest, "--images", first / "images", "--out", back)
    assert [(line["OperationType"], line["PicName"]) for line in lines_of(back)] == [("ADD", "p2.jpg")]
    assert (back / "images" / "p2.jpg").read_bytes() == (first / "images" / "p2.jpg").read_bytes()


def test_a_small_export_beside_a_large_one_of_the_same_gallery_is_no_collapse(imgprep, shop, tmp_path):  # noqa: F811
    catalogue, photos, columns = shop
    runs, small = tmp_path / "runs", tmp_path / "small.csv"
    small.write_text(COLLAPSED.replace("001", "900"), encoding="utf-8")
    # The first time nothing tells that it is another export; its rows are typed once.
    for export, more in ((small, ()), (catalogue, ("--confirm-rows", 3))):
        batch = tmp_path / export.stem
        words = ("build", export, "--images", photos, "--columns", columns, "--out", batch, "--known", runs)
        imgprep(*(words if runs.exists() else words[:-2]), *more, code=0 if export == small else 1)
        imgprep("upload", batch, "--replace")
        imgprep("submit", batch, "--runs", runs)
    words = ("build", small, "--images", photos, "--columns", columns, "--known", runs)
    imgprep(*words, "--out", tmp_path / "again")
    assert lines_of(tmp_path / "again") == []


def test_a_plan_shows_what_a_batch_would_contain_and_makes_nothing(imgprep, shop, tmp_path):  # noqa: F811
    catalogue, photos, columns = shop
    runs = tmp_path / "runs"
    words = ("plan", catalogue, "--images", photos, "--columns", columns)
    before = sorted(tmp_path.rglob("*"))
    first = imgprep(*words, json_out=True)
    assert [(row["what"], row["reason"], row["rows"]) for row in first] == [
        ("add", "new", 2),
        ("excluded", "image-missing", 1),
    ]
    assert sorted(tmp_path.rglob("*")) == before
    imgprep("build", *words[1:], "--out", tmp_path / "first", code=1)
    imgprep("upload", tmp_path / "first", "--path", "/plan")
    imgprep("submit", tmp_path / "first", "--path", "/plan", "--runs", runs)

    again = imgprep.again(*words, "--known", runs, variables={})
    assert again.returncode == 0 and "nothing to do" in again.stderr
    catalogue.write_text("sku,image,title,type\n001,p1.jpg,Another,Tops\n", encoding="utf-8")
    known = (*words, "--known", runs)
    lines = imgprep(*known, "--lines", json_out=True)
    assert [(row["what"], row["reason"], row["ProductId"]) for row in lines] == [
        ("replace", "CustomContent", "001"),
        ("deferred", "deletion was not requested", "002"),
    ]
    notes = imgprep.again(*known, variables={}).stderr
    assert "1 image of 1 product stays in the gallery" in notes and "--delete-missing deletes them" in notes
    assert "building would stop: the export collapsed" in notes and "--confirm-rows)" in notes
    gone = imgprep(*known, "--delete-missing", "--lines", json_out=True)
    assert [(row["what"], row["ProductId"]) for row in gone] == [("replace", "001"), ("delete", "002")]
    columns.write_text(columns.read_text(encoding="utf-8").replace("Tops = 0", "Tops = 2"), encoding="utf-8")
    message = imgprep.again(*known, variables={}).stderr
    assert (
        "1 image with another category: a category set when adding an image must also be set when searching" in message
    )
    message = imgprep.again(*known, "--service", "generic", variables={}).stderr
    assert "another category" not in message, "the service stores one category for all"
    (tmp_path / "imgprep-work").mkdir()
    runs.rename(tmp_path / "imgprep-work" / "runs")
    message = imgprep.again(*words, variables={}).stderr
    assert "the images that 1 run in imgprep-work/runs sent count as new" in " ".join(message.split())
