"""A generated history: weekly batches of the demo shop on a sandbox, with faults that are corrected over time."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd

from imgprep.core.clock import SystemClock
from imgprep.core.errors import ConfigError
from imgprep.core.fields import META_NAME, PAYLOAD
from imgprep.core.files import Written
from imgprep.core.frames import detached
from imgprep.core.regions import Region
from imgprep.images.storage import list_names
from imgprep.load.catalogue import load_catalogue
from imgprep.meta.codec import write_meta
from imgprep.plan.batch_folder import IMAGES, Built
from imgprep.plan.build import build_batch
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.run import Run, load_runs
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
from imgprep.shop import shipped

#: Date of the first batch; a generated history has fixed dates, so that pages about it stay the same.
START = datetime(2026, 9, 7, 6, 0, tzinfo=UTC)
_SOURCES = ("studio", "supplier", "phone")


def make_history(out: str | Path, *, weeks: int = 12, seed: int = 7) -> list[Run]:
    """Ship the demo shop in weekly batches, and return their runs, oldest first.

    Each batch has new products, some changes, and the lines that failed before. Faults are corrected one by one, and
    from the fifth week on regions are drawn. The catalogues have an invented column ``source``: who took the image.
    Dates and run ids are invented; everything else is what the sandbox answered.

    Examples
    --------
    >>> runs = make_history("weeks/runs", weeks=1)
    >>> ip.tally_outcomes(runs)[["lines", "imported", "failed"]]
       lines  imported  failed
    0    103        91      12
    """
    written, data = _emptied(Path(out)), shipped("data")
    folder = Path(out)
    images = Written(folder.parent / IMAGES)
    random = Random(seed)
    # This sandbox has one client, which need not be limited to one request per second.
    with (
        tempfile.TemporaryDirectory(prefix="imgprep-history-") as name,
        Sandbox(task_seconds=0, throttle=False) as sandbox,
    ):
        clock = _InstantClock()
        work = Path(name)
        catalogue = load_catalogue(data / "catalogue.csv", columns=data / "columns.toml")
        built = build_batch(catalogue, data / IMAGES, work / "shop", keep_refused=True, progress=False)
        shop = _Shop(built, catalogue, random, weeks)
        images.require(list_names(shop.images))
        for week in range(weeks):
            batch = shop.week(week)
            target = _batch_folder(shop, batch, week, work / f"week{week:02d}")
            upload(target, target / IMAGES, sandbox.settings, replace=True, progress=False, clock=clock)
            run = submit(target, sandbox.settings, runs=work / "runs", clock=clock)
            sandbox.finish_tasks()
            run.follow(progress=False, clock=clock)
            shop.ended(run)
            _place_in_week(run.folder, written, week, len(batch))
        images.folder.mkdir(exist_ok=True)
        _copy(shop.images, images)
    return load_runs(folder)


def _copy(source: Path, target: Written, below: str = "") -> None:
    """Copy the files of a folder that are not hidden."""
    for name in list_names(source):
        with target.writing(below + name) as draft:
            shutil.copyfile(source / name, draft)


def _emptied(folder: Path) -> Written:
    """Return an emptied folder for a generated history. Real runs are never removed, whatever their names."""
    written = Written(folder)
    there = list_names(folder) if folder.exists() else []
    if not all(map(written.is_ours, there)):
        rule = "contains files that are not from a generated history, or that were changed since"
        raise ConfigError(f"{folder}: {rule}; choose a new folder")
    for name in there:
        written.remove(name)
    for run_folder in sorted(folder.glob("*/")):  # emptied above
        with contextlib.suppress(OSError):
            run_folder.rmdir()
    folder.mkdir(parents=True, exist_ok=True)
    return written


class _InstantClock(SystemClock):
    """A clock on which sleeping takes no time: it only moves the clock."""

    def __init__(self) -> None:
        self._slept = 0.0

    def time(self) -> float:
        return super().time() + self._slept

    def monotonic(self) -> float:
        return super().monotonic() + self._slept

    def sleep(self, seconds: float) -> None:
        self._slept += seconds
        super().sleep(0)


class _Shop:
    """The demo shop's lines and images, as they change from week to week."""

    def __init__(self, built: Built, catalogue: pd.DataFrame, random: Random, weeks: int) -> None:
        self.built, self.random = built, random
        self.images = built.folder / IMAGES
        self.facts = built.facts
        # Any: pandas types a single cell as everything that a cell could contain.
        self.lines: Any = built.plan.batch.drop_duplicates(["ProductId", "PicName"]).reset_index(drop=True)
        products = sorted(catalogue["ProductId"].dropna().unique())
        self.arrival = {name: random.choice([0, 0, 0, *range(weeks)]) for name in products}
        faulty = ~self.lines["expected"].eq("imported")
        # Some faults stay: about 20 % are never corrected.
        self.corrections = {at: random.randrange(1, max(2, weeks + weeks // 4)) for at in self.lines.index[faulty]}
        self.pending: set[int] = set()
        sources = [_SOURCES[sum(map(ord, name)) % 3] for name in catalogue["ProductId"].fillna("")]
        self.catalogue = catalogue.assign(source=pd.Series(sources, index=catalogue.index, dtype="str"))

    def week(self, week: int) -> pd.DataFrame:
        """Return the batch of a week: new lines, changed ones, and those that have not been imported yet."""
        for at in [at for at, when in self.corrections.items() if when == week]:
            self._correct(at)
        arrived = self.lines["ProductId"].map(self.arrival)
        chosen, reasons = [], []
        for at in self.lines.index:
            changed = arrived[at] < week and self.random.random() < 0.08
            if changed and week >= 4 and self.lines.at[at, "expected"] == "imported":
                self._draw_region(at)
            if arrived[at] == week or at in self.pending or changed:
                chosen.append(at)
                reasons.append("new" if arrived[at] == week else "again" if at in self.pending else "changed")
        batch = self.lines.loc[chosen].reset_index(drop=True)
        numbered: pd.DataFrame = batch.assign(
            line=pd.array(range(1, len(batch) + 1), dtype="Int64"), reason=pd.Series(reasons, dtype="str")
        )
        return numbered

    def ended(self, run: Run) -> None:
        """Record which lines have to be sent again."""
        outcome = run.outcome
        failed = set(outcome.loc[outcome["outcome"] != "imported", ["ProductId", "PicName"]].itertuples(index=False))
        keys = self.lines[["ProductId", "PicName"]].itertuples(index=False)
        self.pending = {at for at, key in enumerate(keys) if key in failed}

    def _correct(self, at: int) -> None:
        """Give a line the values and the image of a correct one."""
        correct = self.random.choice(self.lines.index[self.lines["expected"].eq("imported")])
        for name in [*PAYLOAD, "digest"]:
            self.lines.at[at, name] = self.lines.at[correct, name]
        self.lines.at[at, "expected"] = "imported"
        name, copied = self.lines.at[at, "PicName"], self.lines.at[correct, "file"]
        (self.images / self.lines.at[at, "file"]).write_bytes((self.images / copied).read_bytes())
        fact = self.facts[self.facts["PicName"] == copied].assign(PicName=name)
        self.facts = pd.concat([self.facts[self.facts["PicName"] != name], fact], ignore_index=True)

    def _draw_region(self, at: int) -> None:
        fact = self.facts[self.facts["PicName"] == self.lines.at[at, "PicName"]]
        if fact.empty or fact["width"].isna().any():
            return
        width, height = int(fact["width"].iloc[0]), int(fact["height"].iloc[0])
        left, top = (self.random.uniform(0.05, 0.25) for _ in range(2))
        right, bottom = (self.random.uniform(0.7, 0.95) for _ in range(2))
        box = Region(x1=int(width * left), y1=int(height * top), x2=int(width * right), y2=int(height * bottom))
        self.lines.at[at, "Region"] = box.wire()


def _batch_folder(shop: _Shop, batch: pd.DataFrame, week: int, target: Path) -> Path:
    (target / IMAGES).mkdir(parents=True)
    for name in batch["file"].dropna().unique():
        if (shop.images / name).is_file():
            (target / IMAGES / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shop.images / name, target / IMAGES / name)
    arrived = [name for name, when in shop.arrival.items() if when <= week]
    catalogue = shop.catalogue[shop.catalogue["ProductId"].isin(arrived)]
    excluded = shop.built.plan.excluded
    tables = {
        "batch": batch,
        "catalogue": catalogue,
        "facts": shop.facts,
        "source_facts": shop.built.source_facts,
        "findings": shop.built.findings[shop.built.findings["row"].isin(catalogue["row"])],
        "excluded": excluded[excluded["row"].isin(catalogue["row"])],
        "prepare": shop.built.prepared,
    }
    for name, table in tables.items():
        detached(table).to_parquet(target / f"{name}.parquet", index=False)
    write_meta(batch, target / META_NAME)
    return target


def _place_in_week(source: Path, runs: Written, week: int, lines: int) -> None:
    """Move a run to its week, with an invented id and invented times: the history is the same on every machine."""
    begun = START + timedelta(weeks=week)
    ended = begun + timedelta(seconds=40 + 3 * lines)
    about = json.loads((source / "run.json").read_text(encoding="utf-8"))
    about["id"] = f"{begun:%Y%m%dT%H%M%SZ}-demo-{week + 1:04x}"
    about["task_id"] = str(1000 + week)
    sent = dict.fromkeys(("intended", "submitted", "created"), begun.isoformat())
    about["times"] = {**sent, "ended": ended.isoformat()}
    (source / "run.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _copy(source, runs, f"{about['id']}/")
