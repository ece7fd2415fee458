"""Fifty random weeks against the sandbox: plans, failures, unknown ends, late photographs, and the way back."""

import hashlib
import io
import random

import pandas as pd
import pytest
from PIL import Image

from imgprep.core.findings import findings_frame
from imgprep.meta.codec import write_meta
from imgprep.outcomes.undo import build_undo, plan_undo
from imgprep.plan.make import plan_batch
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.gallery import gallery_state
from imgprep.ship.run import load_runs
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
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

    def plan(self, late=()):
        rows = [
            {"row": n, "ProductId": p, "PicName": name, "IntAttr": str(price), "CustomContent": "k:v"}
            for n, ((p, name), (price, _)) in enumerate(sorted(self.wanted.items()), 1)
        ]
        looks = [
            {"PicName": name, "exists": (p, name) not in late, "digest": hashlib.md5(data).hexdigest()}
            for (p, name), (_, data) in sorted(self.wanted.items())
        ]
        columns = ["row", "ProductId", "PicName", "IntAttr", "CustomContent"]
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
            known=self.state(),
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


@pytest.mark.parametrize("seed", [11])
def test_fifty_weeks_end_at_what_is_wanted_and_lose_nothing_on_the_way(tmp_path, seed):
    with Sandbox(task_seconds=0, throttle=False) as sandbox:
        shop = Shop(tmp_path, sandbox, seed)
        ends = set()
        for _ in range(50):
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
