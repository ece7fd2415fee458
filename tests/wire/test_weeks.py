"""Random weeks against the sandbox: plans, failures, unknown ends, late images, kept fields, and the way back."""

import hashlib
import io
import random

import pandas as pd
import pytest
from PIL import Image

from imgprep.core.errors import ConfigError
from imgprep.core.findings import findings_frame
from imgprep.core.frames import records
from imgprep.meta.codec import write_meta
from imgprep.outcomes.retry import build_retry
from imgprep.outcomes.undo import build_undo, plan_undo
from imgprep.plan.build import build_batch
from imgprep.plan.make import plan_batch
from imgprep.plan.model import Baseline
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.dump import dump_gallery
from imgprep.ship.gallery import gallery_state
from imgprep.ship.run import load_runs
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
from tests.samples import sampled
from tests.wire.shipping import FakeClock

WEEK = 7 * 86_400
PRODUCTS, PICTURES = 4, 3


def picture(colour, *, side=120):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


class Shop:
    """A shop whose catalogue, photographs and luck change from week to week, and the gallery it ships to."""

    def __init__(self, root, sandbox, seed):
        self.root, self.sandbox, self.luck = root, sandbox, random.Random(seed)
        self.clock = FakeClock(sandbox.clock.now())
        self.runs = root / "runs"
        self.wanted = {}  # (product, picture) → (price, bytes)
        self.weeks = 0
        self.named = []  # fields that the export names beside those of every week

    def change(self):
        for _ in range(3):
            product = f"P{self.luck.randrange(PRODUCTS)}"
            key = product, f"{product}-{self.luck.randrange(PICTURES)}.png"
            if self.luck.random() < 0.35:
                self.wanted.pop(key, None)
            else:
                # One photograph in eight is too small: the service refuses it until it is taken again.
                data = picture(self.luck.randrange(200), side=40 if self.luck.random() < 0.12 else 120)
                self.wanted[key] = self.luck.randrange(3), data

    def repair(self):
        for key, (price, data) in self.wanted.items():
            if Image.open(io.BytesIO(data)).width < 100:
                self.wanted[key] = price, picture(220)

    def attribute(self):
        return None if self.luck.random() < 0.3 else str(self.luck.randrange(5))

    def plan(self, late=(), known=None):
        rows = [
            {"row": n, "ProductId": p, "PicName": name, "IntAttr": str(price), "CustomContent": "k:v"}
            | {field: self.attribute() for field in self.named}
            for n, ((p, name), (price, _)) in enumerate(sorted(self.wanted.items()), 1)
        ]
        looks = [
            {"PicName": name, "exists": (p, name) not in late, "digest": hashlib.md5(data).hexdigest()}
            for (p, name), (_, data) in sorted(self.wanted.items())
        ]
        columns = ["row", "ProductId", "PicName", "IntAttr", "CustomContent", *self.named]
        catalogue = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:], "str") | {"row": "Int64"})
        images = pd.DataFrame(looks, columns=["PicName", "exists", "digest"]).astype({"PicName": "str"})
        missing = [
            {"rule": "image-missing", "severity": "error", "row": row["row"]}
            for row, look in zip(rows, looks, strict=True)
            if not look["exists"]
        ]
        return plan_batch(
            catalogue,
            images=images,
            known=self.state() if known is None else known,
            findings=findings_frame(missing),
            delete_missing=True,
        )

    def state(self):
        return gallery_state(load_runs(self.runs))

    def ship(self, plan, *, lost=False):
        """Send a plan; where the end is `lost`, its outcome is not read."""
        folder = self.root / f"week{self.weeks:03d}"
        (folder / "images").mkdir(parents=True)
        for line in plan.batch.dropna(subset="file").itertuples():
            (folder / "images" / line.file).write_bytes(self.wanted[line.ProductId, line.PicName][1])
        plan.batch.to_parquet(folder / "batch.parquet", index=False)
        write_meta(plan.batch, folder / "increment.meta")
        return self.send(folder, lost=lost)

    def send(self, folder, *, lost=False):
        self.weeks += 1
        self.sandbox.clock.advance(WEEK)
        self.clock.now += WEEK
        settings = self.sandbox.settings
        upload(folder, folder / "images", settings, replace=True, progress=False)
        run = submit(folder, settings, runs=self.runs, clock=self.clock)
        self.sandbox.finish_tasks()
        return run.close(clock=self.clock) if lost else run.follow(progress=False, clock=self.clock)

    def held(self):
        """What the gallery really holds: key → (price, ETag)."""
        return {(i["ProductId"], i["PicName"]): (i["IntAttr"], i["ETag"].lower()) for i in self.sandbox.gallery()}

    def hoped(self):
        return {key: (price, hashlib.md5(data).hexdigest()) for key, (price, data) in self.wanted.items()}


def check_that_the_state_is_true(shop):
    """What runs say is held is held as they say, and the gallery holds nothing that they do not speak of."""
    state, really = shop.state(), shop.held()
    sure = state[state["state"] == "held"]
    expected = {
        (row.ProductId, row.PicName): (row.IntAttr, row.digest) for row in sure.itertuples()
    }  # fmt: skip
    assert {key: really.get(key) for key in expected} == expected
    assert set(really) <= set(zip(state["ProductId"], state["PicName"], strict=True))


@pytest.mark.parametrize(("weeks", "seed"), sampled([(12, 11), (50, 11)], 1))
def test_weeks_end_at_what_is_wanted_and_lose_nothing_on_the_way(tmp_path, weeks, seed):
    with Sandbox(task_seconds=0, throttle=False) as sandbox:
        shop = Shop(tmp_path, sandbox, seed)
        ends = set()
        for _ in range(weeks):
            shop.change()
            if shop.luck.random() < 0.3:
                shop.repair()
            late = {key for key in shop.wanted if shop.luck.random() < 0.2}
            plan = shop.plan(late)
            before = shop.held()
            assert not set(plan.batch.loc[plan.batch["OperationType"] == "ADD", "PicName"]) & {n for _, n in late}
            if plan.batch.empty:
                continue
            run = shop.ship(plan, lost=shop.luck.random() < 0.1)
            ends |= set(run.outcome["outcome"])
            lost = set(before) - set(shop.held())
            assert not lost & set(shop.wanted), "an image that is wanted was deleted"
            check_that_the_state_is_true(shop)
        assert ends == {"imported", "deleted", "failed", "unknown"}, "the weeks were too quiet to show anything"
        # Now every photograph is there and right, and nothing goes wrong: ADDs first, then what waited for them.
        shop.repair()
        for _ in range(2):
            plan = shop.plan()
            if len(plan.batch):
                shop.ship(plan)
        assert shop.held() == shop.hoped()
        assert shop.plan().batch.empty


#: Fields that an export may name in one week and not in the next.
COMING_AND_GOING = ["CategoryId", "IntAttr2", "IntAttr3", "IntAttr4", "StrAttr", "StrAttr2", "StrAttr3", "StrAttr4"]


def record(row):
    """The fields of a line, of the gallery's state or of an image in the sandbox, absent ones left out."""
    return {name: row[name] for name in COMING_AND_GOING if row.get(name) is not None and not pd.isna(row[name])}


@pytest.mark.parametrize("seed", sampled([3, 4], 1))
def test_no_week_wipes_a_field_that_the_catalogue_does_not_name(tmp_path, seed):
    kept = cleared = 0
    with Sandbox(task_seconds=0, throttle=False) as sandbox:
        shop = Shop(tmp_path, sandbox, seed)
        for week in range(20):
            shop.change()
            if shop.luck.random() < 0.5:
                shop.repair()
            shop.named = [name for name in COMING_AND_GOING if shop.luck.random() < 0.4]
            dump = None
            if week % 3 == 2:  # the runs, corrected by an export of the gallery
                exported = dump_gallery(sandbox.settings, into=tmp_path, progress=False, clock=shop.clock)
                dump = exported.rename(tmp_path / "gallery.dump")  # without a date it is newer than every run
            known = gallery_state(load_runs(shop.runs), dump=dump)
            plan = shop.plan(known=known)
            if plan.batch.empty:
                continue
            state = {(row["ProductId"], row["PicName"]): row for row in records(known)}
            before = {(image["ProductId"], image["PicName"]): image for image in sandbox.gallery()}
            run = shop.ship(plan, lost=shop.luck.random() < 0.1)
            after = {(image["ProductId"], image["PicName"]): image for image in sandbox.gallery()}
            ended = dict(zip(run.outcome["line"], run.outcome["outcome"], strict=True))
            for line in records(plan.batch[plan.batch["OperationType"] == "ADD"]):
                key = line["ProductId"], line["PicName"]
                old = {name: value for name, value in record(state.get(key, {})).items() if name not in shop.named}
                assert record(line) == record(line) | old, "the plan loses a field that is known"
                if ended[line["line"]] == "imported":
                    assert record(after[key]) == record(line)
                if ended[line["line"]] == "imported" and key in before and state[key]["state"] == "held":
                    unnamed = [name for name in record(before[key]) if name not in shop.named]
                    assert all(after[key].get(name) == before[key][name] for name in unnamed), (
                        "the gallery lost a field"
                    )
                    kept += len(unnamed)
                    cleared += len(set(record(before[key])) - set(record(after[key])))
    assert kept > 20 and cleared > 5, "the weeks were too quiet to show anything"


def test_a_retry_keeps_the_fields_that_the_catalogue_does_not_name(tmp_path):
    images, runs = tmp_path / "photos", tmp_path / "runs"
    images.mkdir()
    columns = {"ProductId": "1", "PicName": "a.png", "StrAttr2": "kept", "CustomContent": "k:v"}
    catalogue = pd.DataFrame([columns], dtype="str").assign(row=pd.array([1], dtype="Int64"))

    def ship(built):
        upload(built.folder, built.folder / "images", sandbox.settings, replace=True, progress=False)
        run = submit(built.folder, sandbox.settings, runs=runs)
        sandbox.finish_tasks()
        return run.follow(progress=False)

    with Sandbox(task_seconds=0, throttle=False) as sandbox:
        (images / "a.png").write_bytes(picture(1))
        ship(build_batch(catalogue, images, tmp_path / "one", progress=False))
        (images / "a.png").write_bytes(picture(2, side=40))  # too small
        catalogue = catalogue.drop(columns="StrAttr2")
        baseline = Baseline(known=gallery_state(load_runs(runs)))
        options = {"keep_refused": True, "prepare": False, "progress": False}
        run = ship(build_batch(catalogue, images, tmp_path / "two", baseline=baseline, **options))
        assert run.outcome["outcome"].tolist() == ["failed"]
        (images / "a.png").write_bytes(picture(3))
        built, again = build_retry(run, images, tmp_path / "three", progress=False)
        assert again.batch["StrAttr2"].tolist() == ["kept"]
        assert built.plan.carried.values.tolist() == [[1, "1", "a.png", "StrAttr2"]]
        ship(built)
        (image,) = sandbox.gallery()
        assert image["StrAttr2"] == "kept" and image["ETag"].lower() == hashlib.md5(picture(3)).hexdigest()


def test_what_only_an_export_of_the_gallery_knew_outlives_a_retry_and_an_undo(tmp_path):
    images = tmp_path / "photos"
    images.mkdir()
    (images / "a.png").write_bytes(picture(1))
    columns = {"ProductId": "1", "PicName": "a.png", "StrAttr2": "kept", "CustomContent": "k:v"}
    catalogue = pd.DataFrame([columns], dtype="str").assign(row=pd.array([1], dtype="Int64"))

    def ship(built, runs):
        upload(built.folder, built.folder / "images", sandbox.settings, replace=True, progress=False)
        run = submit(built.folder, sandbox.settings, runs=tmp_path / runs)
        sandbox.finish_tasks()
        return run.follow(progress=False)

    with Sandbox(task_seconds=0, throttle=False) as sandbox:
        ship(build_batch(catalogue, images, tmp_path / "one", progress=False), "runs of another shop")
        known = gallery_state([], dump=dump_gallery(sandbox.settings, into=tmp_path, progress=False))
        changed = catalogue.drop(columns="StrAttr2").assign(CustomContent="k:w")
        sandbox.imagesearch.switch(row_faults={"a.png": "RequestTimeout"})
        two = build_batch(changed, images, tmp_path / "two", baseline=Baseline(known=known), progress=False)
        assert two.plan.batch["reason"].tolist() == ["CustomContent"]
        failed = ship(two, "runs")
        assert failed.counts["failed"] == 1
        sandbox.imagesearch.switch(row_faults={})
        built, _ = build_retry(failed, images, tmp_path / "three", progress=False)
        assert built.plan.carried["field"].tolist() == ["StrAttr2"]
        ship(two, "other runs")
        (run,) = load_runs(tmp_path / "other runs")
        assert plan_undo(run).batch.empty, "the image was there before the run"
        ship(built, "runs")
        (image,) = sandbox.gallery()
        assert (image["StrAttr2"], image["CustomContent"]) == ("kept", "k:w")


def test_a_run_is_taken_back_to_what_the_gallery_held_before_it(tmp_path):
    with Sandbox(task_seconds=0, throttle=False) as sandbox:
        shop = Shop(tmp_path, sandbox, seed=5)
        for _ in range(3):
            shop.change()
            shop.repair()
        shop.ship(shop.plan())
        before = shop.held()
        keys = sorted(shop.wanted)
        shop.wanted[keys[0]] = 9, picture(7)  # replaced
        shop.wanted["P9", "P9-0.png"] = 1, picture(9)  # new
        gone = next(key for key in keys if key[0] != keys[0][0])
        del shop.wanted[gone]
        run = shop.ship(shop.plan())
        changed = shop.held()
        assert changed != before and gone not in changed
        images = [tmp_path / f"week{n:03d}" / "images" for n in range(2)]
        built = build_undo(run, images, tmp_path / "back", confirm="demo")
        assert built.plan.excluded.empty
        shop.send(tmp_path / "back")
        assert shop.held() == before
        check_that_the_state_is_true(shop)
        with pytest.raises(Exception, match="1 later run changed this gallery too"):
            plan_undo(run)
        assert plan_undo(run, later=True).batch.empty, "the way back is made already"


HELD = {("A", "a.png"): 1, ("B", "b.png"): 2}


def test_images_whose_bytes_are_gone_are_listed_and_the_rest_is_taken_back(tmp_path):
    with Sandbox(task_seconds=0, throttle=False) as sandbox:
        shop = Shop(tmp_path, sandbox, seed=5)
        shop.wanted = {("A", "a.png"): (1, picture(1)), ("B", "b.png"): (1, picture(2))}
        shop.ship(shop.plan())
        shop.wanted = {
            ("A", "a.png"): (1, picture(3)),
            ("C", "c.png"): (1, picture(4)),
            ("B", "b.png"): (1, picture(2)),
        }
        run = shop.ship(shop.plan())
        built = build_undo(run, tmp_path / "week001" / "images", tmp_path / "back", confirm="demo")
        assert built.plan.excluded[["PicName", "reason"]].values.tolist() == [["a.png", "image-not-at-hand"]]
        assert built.plan.batch[["line", "OperationType", "ProductId"]].values.tolist() == [[1, "DELETE", "C"]]
        assert set(shop.held()) == {("A", "a.png"), ("B", "b.png"), ("C", "c.png")}
        with pytest.raises(Exception, match="confirm with the name of the instance: 'demo'"):
            build_undo(run, [], tmp_path / "other")
        # A copy in OSS of what was replaced: the service copies it, and nothing passes through this machine.
        kept, changed = f"oss://{sandbox.switches.bucket}/kept", tmp_path / "week001" / "images"
        sandbox.store.put(sandbox.switches.bucket, "kept/a.png", picture(1), modified=1_790_000_000.0)
        address = sandbox.settings.with_(images=kept).images
        built = build_undo(run, [changed, address], tmp_path / "back", confirm="demo")
        assert built.plan.excluded.empty and not list((tmp_path / "back" / "images").glob("*.png"))
        assert built.facts["PicName"].tolist() == ["a.png"]
        shop.send(tmp_path / "back")
        assert shop.held() == {key: (1, hashlib.md5(picture(n)).hexdigest()) for key, n in HELD.items()}
        with pytest.raises(ConfigError, match="one address in OSS"):
            build_undo(run, [address, address], tmp_path / "other", later=True, confirm="demo")
