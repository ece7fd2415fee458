"""Twelve weeks of the demo shop, shipped to a sandbox: what improved, what was stopped, and what recurred."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd

from imgprep.core.clock import SystemClock
from imgprep.core.errors import ConfigError, ImgprepError
from imgprep.core.files import Written
from imgprep.core.regions import Region
from imgprep.demo.assortment import CATEGORIES, COLUMNS, PORTAL, composed
from imgprep.demo.files import made
from imgprep.demo.goods import COLOURS, Look
from imgprep.demo.shop import PART, DemoShop, alone, demo_shop
from imgprep.draw.store import RegionStore
from imgprep.images.storage import list_names
from imgprep.load.catalogue import load_catalogue
from imgprep.outcomes.retry import build_retry
from imgprep.plan.batch_folder import IMAGES, Built
from imgprep.plan.build import build_batch
from imgprep.plan.model import Baseline
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.gallery import gallery_state
from imgprep.ship.run import Run, load_runs
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload

#: Date of the first batch. A generated history has fixed dates, so that pages about it do not change.
START = datetime(2026, 9, 7, 6, 0, tzinfo=UTC)
#: Weeks, counted from 0, with special events.
_TOO_LONG, _HALF, _DRAWN, _TIMEOUTS = (1, 8), 4, 5, 6
#: Number of products with a season that is too long, in each week with this fault.
_CAPSULE = 4
#: Number of images that time out in week 7.
_LATE = 9
_STORY, _RUNS = "history.json", "runs"
_PEOPLE = ("Ann", "Bo", "Cai")
#: Column of the history's exports that marks records not to be sent until a person has corrected them.
_WAITING = "waiting"
_SEASON = "from the capsule of the look book of spring and summer, re-issued in autumn and winter; " * 2


def make_history(out: str | Path, *, weeks: int = 12, seed: int = 7) -> list[Run]:
    """Ship part of the demo shop to a sandbox week by week, and return the runs, oldest first.

    Each week has its own export, which is loaded, compared with the last one, built against the gallery state, and
    sent. Failed records wait until they are corrected. Week 5 starts with half an export, which the comparison stops;
    in week 7 some lines time out and are sent again; StrAttr is too long in weeks 2 and 9; three people draw regions,
    and two of them disagree. Dates and run ids are invented; everything else is the sandbox's answer. The history is
    generated once and cached, with a record of its events, ``history.json``.

    Examples
    --------
    >>> runs = make_history("weeks/runs", weeks=1)
    >>> len(runs), str(runs[0].state)
    (1, 'partial')
    """
    folder = Path(out)
    written, images, beside = _emptied(folder), Written(folder.parent / IMAGES), Written(folder.parent)
    kept = history_folder(weeks, seed)
    images.require(list_names(kept / IMAGES))
    images.folder.mkdir(exist_ok=True)
    _copy(kept / _RUNS, written)
    _copy(kept / IMAGES, images)
    for store in sorted(kept.glob("*.sqlite")):
        if not (beside.folder / store.name).exists():  # keep the user's own regions
            shutil.copyfile(store, beside.folder / store.name)
    return load_runs(folder)


def history_folder(weeks: int = 12, seed: int = 7) -> Path:
    """Return the folder of a history in the cache; generate the history first if necessary."""
    shop = demo_shop(every=PART, progress=False)
    version = hashlib.md5(Path(__file__).read_bytes()).hexdigest()[:8]
    kept = shop.folder / f"history-{weeks}-{seed}-{version}"
    if not (kept / _STORY).is_file():
        kept.mkdir(exist_ok=True)
        with alone(kept):
            if not (kept / _STORY).is_file():
                _make(shop, kept, weeks, seed)
    return kept


def _make(shop: DemoShop, kept: Path, weeks: int, seed: int) -> None:
    """Ship every week and keep the runs; replace the files of an interrupted attempt, and write the story last."""
    # This sandbox has one client, so no limit of one request per second is needed.
    with (
        tempfile.TemporaryDirectory(prefix="imgprep-history-") as name,
        Sandbox(task_seconds=0, throttle=False, strict=["int32"]) as sandbox,
    ):
        history = _History(shop, Path(name), sandbox, Random(seed), weeks)
        for week in range(weeks):
            history.ship(week)
        for folder in (_RUNS, IMAGES):
            (kept / folder).mkdir(exist_ok=True)
        for run, begun in zip(load_runs(history.runs), history.begun, strict=True):
            _place(run.folder, Written(kept / _RUNS), begun)
        _copy(history.images, Written(kept / IMAGES))
        for person in filter(Path.exists, history.stores):  # they exist from week 6 on
            with Written(kept).writing(person.name) as draft:
                shutil.copyfile(person, draft)
        with Written(kept).writing(_STORY) as draft:
            draft.write_text(json.dumps(history.story, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _copy(source: Path, target: Written, below: str = "") -> None:
    """Copy the files in a folder, except hidden ones."""
    for name in list_names(source):
        with target.writing(below + name) as draft:
            shutil.copyfile(source / name, draft)


def _emptied(folder: Path) -> Written:
    """Empty and return the folder for a generated history. Real runs are never removed, whatever their names."""
    written = Written(folder)
    there = list_names(folder) if folder.exists() else []
    if not all(map(written.is_ours, there)):
        rule = "contains files that are not from a generated history, or have changed since"
        raise ConfigError(f"{folder}: {rule}; choose a new folder")
    for name in there:
        written.remove(name)
    for run_folder in sorted(folder.glob("*/")):  # emptied above
        with contextlib.suppress(OSError):
            run_folder.rmdir()
    folder.mkdir(parents=True, exist_ok=True)
    return written


class _InstantClock(SystemClock):
    """A clock on which sleeping takes no time and only advances the clock."""

    def __init__(self) -> None:
        self._slept = 0.0

    def time(self) -> float:
        return super().time() + self._slept

    def monotonic(self) -> float:
        return super().monotonic() + self._slept

    def sleep(self, seconds: float) -> None:
        self._slept += seconds
        super().sleep(0)


class _History:
    """The shop as it changes from week to week, and the record of its events."""

    def __init__(self, shop: DemoShop, work: Path, sandbox: Sandbox, random: Random, weeks: int) -> None:
        self.shop, self.work, self.sandbox, self.random = shop, work, sandbox, random
        self.runs, self.images, self.clock = work / "runs", work / "photos", _InstantClock()
        self.stores = [work / "regions.sqlite", *(work / f"regions-{name.lower()}.sqlite" for name in _PEOPLE[1:])]
        self.begun: list[datetime] = []
        self.story: dict[str, Any] = {"every": PART, "photographer": PORTAL, "too_long": [], "sent": []}
        self.last: pd.DataFrame | None = None
        self.waiting: set[str] = set()
        shutil.copytree(shop.images, self.images, ignore=shutil.ignore_patterns(".*"))
        with shop.catalogue.open(encoding="utf-8", newline="") as file:
            self.records: list[dict[str, str]] = list(csv.DictReader(file))
        self.truth = shop.planted()
        families = dict.fromkeys(map(self._family, range(len(self.records))))
        self.arrival = {name: 0 if random.random() < 0.45 else random.randrange(weeks) for name in families}
        self.corrections: dict[int, list[tuple[int, str]]] = {}
        refused = [fault["rows"] for fault in self.truth["faults"].values() if fault["sent"] == "refused"]
        for at in (row[0] - 1 for rows in refused for row in rows):  # one photographer's faulty images keep arriving
            if self.records[at]["photographer"] == PORTAL:
                self.arrival[self._family(at)] = random.randrange(max(weeks - 2, 1))
        for name, fault in self.truth["faults"].items():
            for row, _, _ in fault["rows"] if fault["sent"] == "refused" else ():
                self._plan_correction(row - 1, name, weeks)

    def _plan_correction(self, at: int, fault: str, weeks: int) -> None:
        """Decide when to fix a fault: over time, more often before it is first sent, except for one photographer."""
        arrival, is_portal = self._arrival(at), self.records[at]["photographer"] == PORTAL
        if arrival and not is_portal and self.random.random() < 0.3 + 0.7 * arrival / weeks:
            when = arrival
        else:
            when = arrival + self.random.randint(*((3, 8) if is_portal else (1, 3)))
        self.corrections.setdefault(when, []).append((at, fault))

    def _arrival(self, at: int) -> int:
        return self.arrival[self._family(at)]

    def _family(self, at: int) -> str:
        return self.records[at]["sku"].partition("-")[0].strip()

    def ship(self, week: int) -> None:
        """Change the shop, export it, and send what changed."""
        for at, fault in self.corrections.get(week, ()):
            self._correct(at, fault)
        self._change(week)
        begun = START + timedelta(weeks=week)
        records = [record for at, record in enumerate(self.records) if self._arrival(at) <= week]
        if week == _HALF:
            self._send_half(records, week)
        catalogue = self._export(records)
        baseline = Baseline(known=self._known(), last=self.last)
        built = self._build(catalogue, baseline, week)
        self.last = catalogue
        sound = built.plan.batch.query("reason == 'new' and expected == 'imported'")["PicName"]
        late = sound.head(_LATE if week == _TIMEOUTS else 0).tolist()
        self.sandbox.imagesearch.switch(row_faults=dict.fromkeys(late, "RequestTimeout"))
        run = self._sent(built, begun)
        self.sandbox.imagesearch.switch(row_faults={})
        waiting = run.outcome.query("outcome == 'failed' and PicName not in @late")["ProductId"]
        self.waiting.update(waiting.dropna().tolist())
        if late:
            with self._regions() as store:
                again, _ = build_retry(
                    run, self.images, self.work / "retry", regions=store, keep_refused=True, progress=False
                )
            retried = self._sent(again, begun + timedelta(days=1))
            self.story["retry"] = {"week": week + 1, "timed_out": len(late), **_ends(retried)}
        self.story["sent"].append({"week": week + 1, **_ends(run)})

    def _change(self, week: int) -> None:
        """Lower some prices; in some weeks, give new products an overlong season text for one week."""
        faulty = {row[0] - 1 for fault in self.truth["faults"].values() for row in fault["rows"]}
        long = self.story["too_long"]
        for at, record in enumerate(self.records):
            arrival = self._arrival(at)
            if at in faulty or arrival > week:
                continue
            if record["season"] == _SEASON:
                record["season"] = "AW26"
                self.waiting.discard(record["sku"])
            elif arrival == week and week in _TOO_LONG and sum(week + 1 == when for when, _ in long) < _CAPSULE:
                record["season"] = _SEASON
                long.append((week + 1, record["sku"]))
            elif arrival < week and self.random.random() < 0.04:
                record["price"] = f"{float(record['price']) * 0.9:.2f}"

    def _correct(self, at: int, fault: str) -> None:
        """Give a record sound values, or replace its image with a sound file."""
        record = self.records[at]
        sound = {"long-care": {"care": ""}, "long-season": {"season": "AW26"}, "price-range": {"price": "30.00"}}
        name = next(row[2] for row in self.truth["faults"][fault]["rows"] if row[0] == at + 1)
        kind = next(kind for kind in CATEGORIES if f"-{kind}-" in name)
        if fault == "garden":
            record["type"] = CATEGORIES[kind].word
        elif fault.startswith("region-"):
            record["region"] = ""
        elif fault in sound:
            record.update(sound[fault])
        else:
            colour = COLOURS[record["colour"]]
            look = Look(kind, colour, colour, 0, at, record["brand"])
            picture = composed(name, look, "studio", Random(at), (480, 480))
            (self.images / name).write_bytes(made(picture))
        self.waiting.discard(record["sku"])

    def _export(self, records: list[dict[str, str]]) -> pd.DataFrame:
        """Write a week's export, and load it like a real shop's export."""
        file = self.work / "export.csv"
        with file.open("w", encoding="utf-8", newline="") as text:
            writer = csv.DictWriter(text, [*COLUMNS, _WAITING], lineterminator="\n")
            writer.writeheader()
            writer.writerows(row | {_WAITING: "yes" if row["sku"] in self.waiting else ""} for row in records)
        return load_catalogue(file, columns=self.shop.columns, where=f"{_WAITING} is empty")

    def _send_half(self, records: list[dict[str, str]], week: int) -> None:
        """Try to send a truncated export, which the comparison with the last one must stop."""
        half = self._export(records[: len(records) * 2 // 5])
        try:
            self._build(half, Baseline(known=self._known(), last=self.last), week)
        except ConfigError as error:
            self.story["stopped"] = {"week": week + 1, "rows": len(half), "message": str(error)}
        else:
            raise ImgprepError("the demo's history: half an export was not stopped; report this as a bug in imgprep")

    def _known(self) -> pd.DataFrame:
        return gallery_state(load_runs(self.runs), of=self.sandbox.settings)

    def _build(self, catalogue: pd.DataFrame, baseline: Baseline, week: int) -> Built:
        regions = self._regions() if week >= _DRAWN else contextlib.nullcontext()
        with regions as store:
            return build_batch(
                catalogue,
                self.images,
                self.work / "batch",
                baseline=baseline,
                regions=store,
                keep_refused=True,
                cache=self.work / "cache",
                progress=False,
            )

    @contextlib.contextmanager
    def _regions(self) -> Iterator[RegionStore]:
        """Open the region store, after three people have drawn regions; two of them disagree on two images."""
        first = not self.stores[0].exists()
        with RegionStore(self.stores[0], who=_PEOPLE[0]) as store:
            if first:
                self._draw(store)
            yield store

    def _draw(self, store: RegionStore) -> None:
        planted = {row[2] for fault in self.truth["faults"].values() for row in fault["rows"]}
        mapped = {record["image"] for record in self.records if record["region"]}
        names = [name for name in self.truth["subjects"] if name not in planted | mapped]
        shares = (names[:30], names[24:50], names[50:70])  # two people draw six of them
        self.story["disagree"] = shares[1][:2]
        for file, person, share in zip(self.stores, _PEOPLE, shares, strict=True):
            with contextlib.nullcontext(store) if person == store.who else RegionStore(file, who=person) as own:
                for name in share:
                    x1, y1, x2, y2, width, height = self.truth["subjects"][name]
                    if person == _PEOPLE[1] and name in self.story["disagree"]:
                        x2, y2 = (x1 + x2) // 2, (y1 + y2) // 2
                    own.put(name, Region(x1=x1, y1=y1, x2=x2, y2=y2), size=(width, height), at=START.isoformat())
        for file in self.stores[1:]:
            store.merge(file)

    def _sent(self, built: Built, begun: datetime) -> Run:
        settings = self.sandbox.settings
        upload(built.folder, built.folder / IMAGES, settings, replace=True, progress=False, clock=self.clock)
        run = submit(built.folder, settings, runs=self.runs, clock=self.clock)
        self.sandbox.finish_tasks()
        self.begun.append(begun)
        return run.follow(progress=False, clock=self.clock)


def _ends(run: Run) -> dict[str, int]:
    counts = run.outcome["outcome"].value_counts()
    return {"lines": len(run.outcome)} | {end: int(counts.get(end, 0)) for end in ("imported", "deleted", "failed")}


def _place(source: Path, runs: Written, begun: datetime) -> None:
    """Copy a run to its day, with an invented id and invented times, so that histories are equal on every machine."""
    about = json.loads((source / "run.json").read_text(encoding="utf-8"))
    number = (begun - START).days
    about["id"] = f"{begun:%Y%m%dT%H%M%SZ}-demo-{number:04x}"
    about["task_id"] = str(1000 + number)
    sent = dict.fromkeys(("intended", "submitted", "created"), begun.isoformat())
    about["times"] = {**sent, "ended": (begun + timedelta(minutes=4)).isoformat()}
    (source / "run.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _copy(source, runs, f"{about['id']}/")
