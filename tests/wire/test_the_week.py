"""The routine as one story: a made shop's week, day by day, with public names only."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image, ImageDraw

import imgprep as ip
from imgprep.cli.main import main
from imgprep.core.settings import gallery_name
from imgprep.draw.share import assign
from imgprep.load.drift import compare_products
from imgprep.load.matches import read_matches
from imgprep.outcomes.retry import build_retry, plan_retry

PROJECT = """
[shop]
catalogue = "monday.csv"
images = "photos"

[shop.columns]
ProductId = "sku"
PicName = "image"
IntAttr = { column = "price", scale = 100 }
CustomContent = "title:{title},price:{price}"
CategoryId = { column = "type", map = { Shirts = 0, Bags = 3 } }
"""
SOLD = [f"CL-{n:04d}" for n in range(1, 23)]
NEW = [f"CL-{n:04d}" for n in range(23, 27)]
TOO_SMALL, NO_PICTURE, CHEAPER, GONE = "CL-0004", "CL-0005", "CL-0007", "CL-0022"
#: What photographers call the pictures of the new products.
BADLY_NAMED = {"CL-0023_1.jpg": NEW[0], "cl0024 (1).JPG": NEW[1], "DSC_4711.jpg": NEW[2], "tuesday/front.jpg": NEW[3]}


def picture(file: Path, number: int, side: int = 160) -> Path:
    """A thing of its own colour on white."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (side, side), "white")
    edge = side // 4
    ImageDraw.Draw(image).rectangle(
        (edge, edge, side - edge, side - edge - number % 7), (number * 37 % 200, number * 91 % 200, number * 53 % 200)
    )
    image.save(file, "JPEG", quality=90)
    return file


def export(file: Path, products: dict[str, str], cheaper: str = "") -> Path:
    rows = [
        (sku, f"Thing {sku[-2:]}", "Bags" if sku in NEW else "Shirts", "9.90" if sku == cheaper else "19.90", image)
        for sku, image in products.items()
    ]
    frame = pd.DataFrame(rows, columns=["sku", "title", "type", "price", "image"])
    frame.to_csv(file, index=False)
    return file


@pytest.fixture
def shop(tmp_path):
    """The shop as it was a week ago: 22 photographed products, two of them badly."""
    for number, sku in enumerate(SOLD):
        picture(tmp_path / "photos" / f"{sku}.jpg", number, 60 if sku == TOO_SMALL else 160)
    (tmp_path / "photos" / f"{NO_PICTURE}.jpg").write_bytes(b"<html>404 not found</html>")
    export(tmp_path / "last.csv", {sku: f"{sku}.jpg" for sku in SOLD})
    (tmp_path / "imgprep.toml").write_text(PROJECT, encoding="utf-8")
    return ip.open_project(tmp_path).settings


@pytest.fixture
def there(shop):
    with ip.Sandbox(task_seconds=0, throttle=False) as sandbox:
        yield sandbox.settings.with_(project=shop.project)


def load(shop, name):
    return ip.load_catalogue(shop.project / name, columns=shop.columns)


def ship(built, there, runs):
    log = ip.upload(built.folder, None, there, replace=True, runs=runs, progress=False)
    assert set(log["outcome"]) <= {"uploaded", "unchanged"}
    return ip.submit(built.folder, there, runs=runs).follow(progress=False)


def monday(shop):
    """A new export and a folder of new photographs → the catalogue with its files."""
    export(
        shop.project / "monday.csv",
        {sku: f"{sku}.jpg" for sku in SOLD if sku != GONE} | dict.fromkeys(NEW, ""),
        cheaper=CHEAPER,
    )
    for number, name in enumerate(BADLY_NAMED, 50):
        picture(shop.images / "new" / name, number)
    last, this = load(shop, "last.csv"), load(shop, "monday.csv")

    drift = ip.compare_exports(last, this).set_index("what")
    assert drift.loc["products", ["last", "this", "verdict"]].tolist() == [22, 25, "changed"]
    moved = compare_products(last, this)
    assert moved.groupby("change")["ProductId"].unique().map(list).to_dict() == {
        "changed": [CHEAPER],
        "gone": [GONE],
        "new": NEW,
    }
    assert moved[moved["field"] == "price"][["last", "this"]].values.tolist() == [["19.90", "9.90"]]

    found = ip.match_files(shop.images, this, within="new")
    assert found.set_index("file")["ProductId"].dropna().to_dict() == {
        "new/CL-0023_1.jpg": NEW[0],
        "new/cl0024 (1).JPG": NEW[1],
    }
    panel = ip.MatchPanel(found, shop.images, this, path=shop.work / "map.jsonl")
    for file in found.loc[found["state"] != "matched", "file"]:  # a person looks at the rest
        panel.choose(file, BADLY_NAMED[file.removeprefix("new/")])
    catalogue = ip.apply_matches(this, read_matches(shop.work / "map.jsonl"))
    facts = ip.inspect_images(catalogue, shop.images, progress=False)
    errors = ip.check(catalogue, facts).query("severity == 'error'")
    assert errors.set_index("ProductId")["rule"].to_dict() == {
        TOO_SMALL: "image-too-small",
        NO_PICTURE: "image-unreadable",
    }
    return catalogue, facts


def tuesday(shop, catalogue, facts):
    """Three people draw, each on a machine of their own; what two see differently is decided."""
    shares = assign(catalogue, ["Ann", "Bo", "Cem"], shared=0.1)
    looks = facts.dropna(subset=["width"]).set_index("PicName")
    for person, part in shares.groupby("person"):
        with ip.RegionStore(shop.project / person / "regions.sqlite", who=person) as own:
            for name in part["PicName"].drop_duplicates():
                if name in looks.index:
                    region, _ = ip.suggest_region(shop.images / name)
                    look = looks.loc[name]
                    size = int(look["width"]), int(look["height"])
                    own.put(name, region, digest=look["digest"], size=size, how="accepted")
            if person == "Bo":  # who sees one of the shared pictures differently
                argued = shares.loc[shares.duplicated("PicName", keep=False), "PicName"].iloc[0]
                own.put(argued, ip.Region(x1=0, y1=0, x2=90, y2=90), digest=looks.loc[argued, "digest"])

    store = ip.RegionStore(shop.regions)
    merged = [store.merge(shop.project / person / "regions.sqlite") for person in ("Ann", "Bo", "Cem")]
    assert [list(one.loc[one["outcome"] == "conflict", "PicName"]) for one in merged[:2]] == [[], [argued]]
    ann, bo = (ip.RegionStore(shop.project / person / "regions.sqlite") for person in ("Ann", "Bo"))
    assert ann.agreement(bo)["PicName"].iloc[0] == argued, "the worst is first"
    for conflict in store.conflicts().itertuples():
        store.decide(conflict.PicName, revision=conflict.theirs)
    assert store.conflicts().empty
    assert store.get(argued) == ip.Region(x1=0, y1=0, x2=90, y2=90)
    assert set(store.frame()["PicName"]) == set(looks.index), "everybody's work is there"
    ann.close(), bo.close()
    return store


def wednesday(shop, there, catalogue, store):
    """Plan against what the gallery holds, failures included; rehearse; ship."""
    runs = ip.load_runs(shop.runs)
    known = ip.gallery_state(runs)
    assert {TOO_SMALL, NO_PICTURE}.isdisjoint(known["ProductId"]), "what failed last week is not held"
    built = ip.build_batch(
        catalogue, shop.images, shop.work / "wednesday", regions=store, keep_refused=True, progress=False,
        baseline=ip.Baseline(known=known, last=load(shop, "last.csv"), delete_missing=True),
    )  # fmt: skip
    batch = built.plan.batch.set_index("ProductId")
    assert batch.loc[GONE, ["OperationType", "reason"]].tolist() == ["DELETE", "gone"]
    assert batch.loc[CHEAPER, "reason"] == "region, IntAttr, CustomContent"
    assert set(batch[batch["reason"] == "new"].index) == {*NEW, TOO_SMALL, NO_PICTURE}
    assert built.plan.excluded.empty

    with ip.Sandbox(task_seconds=0, throttle=False) as sandbox:
        rehearsal = ship(built, sandbox.settings.with_(project=shop.project), shop.work / "rehearsal")
    run = ship(built, there, shop.runs)
    columns = ["line", "outcome", "code"]
    assert run.outcome[columns].equals(rehearsal.outcome[columns]), "the rehearsal predicted it"
    assert str(run.state) == "partial"
    assert set(run.outcome.query("outcome == 'failed'")["ProductId"]) == {TOO_SMALL, NO_PICTURE}
    return built, run


def thursday(shop, there, store, built, run):
    """Causes; a sheet for the photographers; their new photographs; the batch of what can succeed now."""
    causes = ip.tally_causes(run)
    assert causes["count"].sum() == 2
    assert causes["remedy"].notna().all()
    sheet = ip.write_feedback(built.findings, shop.project / "faults.html", root=shop.images)
    assert all(f"{sku}.jpg" in sheet.read_text(encoding="utf-8") for sku in (TOO_SMALL, NO_PICTURE))
    assert set(plan_retry(run).rest["ProductId"]) == {TOO_SMALL, NO_PICTURE}, "nothing was mended yet"

    for number, sku in enumerate((TOO_SMALL, NO_PICTURE), 80):
        picture(shop.images / f"{sku}.jpg", number)
    retried, again = build_retry(run, shop.images, shop.work / "thursday", regions=store, progress=False)
    assert set(again.batch["ProductId"]) == {TOO_SMALL, NO_PICTURE}
    assert again.rest.empty
    assert again.batch["Region"].isna().all(), "a region that was drawn on the bad photograph is not sent"
    assert "region-stale" in set(retried.findings["rule"]), "and that is reported"
    assert str(ship(retried, there, shop.runs).state) == "success"


def month_end(shop, catalogue):
    month = ip.review(ip.load_runs(shop.runs))
    stages = month.funnel.set_index("stage")["images"]
    assert stages["in gallery"] == stages["catalogue"] == len(catalogue)
    assert stages["with region"] == len(catalogue) - 2
    assert month.write(shop.project / "month.html").stat().st_size > 1000


def test_a_week_with_a_shop_loses_no_row_and_needs_no_glue(shop, there):
    last_week = ip.build_batch(
        load(shop, "last.csv"), shop.images, shop.work / "last", keep_refused=True, progress=False
    )
    assert str(ship(last_week, there, shop.runs).state) == "partial"

    catalogue, facts = monday(shop)
    store = tuesday(shop, catalogue, facts)
    built, run = wednesday(shop, there, catalogue, store)
    thursday(shop, there, store, built, run)
    month_end(shop, catalogue)

    answers = {sku: ip.trace(sku, shop).answer for sku in (NEW[2], NO_PICTURE, GONE)}
    held = f"the gallery {gallery_name(there.gallery)} holds"
    assert answers[NEW[2]] == answers[NO_PICTURE] == f"{held} 1 of its images"
    assert answers[GONE].startswith(f"{held} 0 of its images; deleted: line ")
    assert answers[GONE].endswith("DELETE: gone")
    held = ip.gallery_state(ip.load_runs(shop.runs))
    assert ip.plan_batch(
        catalogue, known=held, images=ip.inspect_images(catalogue, shop.images, progress=False),
        regions=store, delete_missing=True,
    ).batch.empty, "the gallery is what the shop wants"  # fmt: skip
    assert ip.reconcile(ip.load_runs(shop.runs), sample=10, settings=there).differences.empty
    store.close()


def test_the_same_monday_at_the_command_line_leads_to_the_same_batch(shop, capsys, monkeypatch):
    catalogue, _ = monday(shop)
    monkeypatch.chdir(shop.project)
    assert main(["compare", "last.csv", "monday.csv", "--products", "--format", "csv"]) == 0
    assert f"{CHEAPER},changed,price,19.90,9.90" in capsys.readouterr().out
    store = ip.RegionStore(shop.regions)
    store.put(f"{CHEAPER}.jpg", ip.Region(x1=10, y1=20, x2=120, y2=140))
    match = ["match", "monday.csv", "--images", "photos", "--within", "new", "--map", "imgprep-work/map.jsonl"]
    assert main([*match, "--out", "kept.parquet"]) == 0, "what a person decided on Monday stays"
    assert main(["build", "kept.parquet", "--images", "photos", "--out", "batch"]) == 1  # two are left out
    batch = pd.read_parquet(shop.project / "batch" / "batch.parquet")
    by_hand = ip.build_batch(catalogue, shop.images, shop.work / "by-hand", regions=store, progress=False).plan.batch
    columns = ["OperationType", "ProductId", "PicName", "CategoryId", "IntAttr", "CustomContent"]
    assert batch[columns].values.tolist() == by_hand[columns].values.tolist()
    drawn = batch.dropna(subset="Region")[["ProductId", "Region"]].values.tolist()
    assert drawn == [[CHEAPER, "10,120,20,140"]], "without --regions no region is removed"
    store.close()
