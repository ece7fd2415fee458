"""A made shop's weeks: real batches on a sandbox, with faults that people mend as the weeks pass."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.clock import SystemClock
from imgprep.core.errors import ConfigError
from imgprep.core.fields import META_NAME
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

#: When the first week's batch went; a made history has made dates, so that pages about it stay the same.
START = datetime(2026, 9, 7, 6, 0, tzinfo=UTC)
_PAYLOAD = ["CategoryId", "IntAttr", "StrAttr", "CustomContent", "Region"]
_SOURCES = ("studio", "supplier", "phone")


def make_history(out: str | Path, *, weeks: int = 12, seed: int = 7) -> list[Run]:
    """Ship the demo shop in weekly batches, and return their runs, oldest first.

    Each week brings new products, some changes, and what failed before. Faults are mended one after the other, from
    the fourth week on regions are drawn. The catalogues have a made column ``source``: who took the picture. Dates
    and the runs' names are made; all else is what the sandbox answered.

    Parameters
    ----------
    out : path
        The folder of run folders, new or empty, or one that an earlier call made: that one starts over. The images as
        sent last are in ``out/../images``.
    weeks : int
        How many.
    seed : int
        Other numbers make other histories.

    Returns
    -------
    list of Run

    Raises
    ------
    ConfigError
        `out` holds something that no earlier call made; nothing is removed.

    Examples
    --------
    >>> runs = ip.make_history("weeks/runs", weeks=1)
    >>> ip.tally_outcomes(runs)[["lines", "imported", "failed"]]
       lines  imported  failed
    0    103        91      12
    """
    written, data = _fresh(Path(out)), shipped("data")
    folder = Path(out)
    images = Written(folder.parent / IMAGES)
    draw = random.Random(seed)  # noqa: S311
    # Nobody else asks this sandbox, so it need not hold its one client to one request a second.
    with (
        tempfile.TemporaryDirectory(prefix="imgprep-history-") as name,
        Sandbox(task_seconds=0, throttle=False) as sandbox,
    ):
        clock = _Hurried()
        work = Path(name)
        catalogue = load_catalogue(data / "catalogue.csv", columns=data / "columns.toml")
        built = build_batch(catalogue, data / IMAGES, work / "shop", keep_refused=True, progress=False)
        shop = _Shop(built, catalogue, draw, weeks)
        images.require(list_names(shop.images))
        for week in range(weeks):
            batch = shop.week(week)
            target = _batch_folder(shop, batch, week, work / f"week{week:02d}")
            upload(target, target / IMAGES, sandbox.settings, replace=True, progress=False, clock=clock)
            run = submit(target, sandbox.settings, runs=work / "runs", clock=clock)
            sandbox.finish_tasks()
            run.follow(progress=False, clock=clock)
            shop.ended(run)
            _date(run.folder, written, week, len(batch))
        images.folder.mkdir(exist_ok=True)
        _copied(shop.images, images)
    return load_runs(folder)


def _copied(source: Path, target: Written, below: str = "") -> None:
    """Copy the files of a folder, which are not hidden."""
    for name in list_names(source):
        with target.writing(below + name) as draft:
            shutil.copyfile(source / name, draft)


def _fresh(folder: Path) -> Written:
    """An empty folder for a made history. Real runs are never removed, whatever they are called."""
    written = Written(folder)
    there = list_names(folder) if folder.exists() else []
    if not all(map(written.is_ours, there)):
        raise ConfigError(f"{folder}: holds something that is no made history, or was changed; name a new folder")
    for name in there:
        written.remove(name)
    for left in sorted(folder.glob("*/")):  # runs without a file
        with contextlib.suppress(OSError):
            left.rmdir()
    folder.mkdir(parents=True, exist_ok=True)
    return written


class _Hurried(SystemClock):
    """Waiting costs no time: whoever sleeps is told that the time has passed."""

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
    """What the shop has, week by week."""

    def __init__(self, built: Built, catalogue: pd.DataFrame, draw: random.Random, weeks: int) -> None:
        self.built, self.draw = built, draw
        self.images = built.folder / IMAGES
        self.facts = built.facts
        # Any: pandas' types of a single cell name everything that a cell may ever hold.
        self.lines: Any = built.plan.batch.drop_duplicates(["ProductId", "PicName"]).reset_index(drop=True)
        products = sorted(catalogue["ProductId"].dropna().unique())
        self.arrival = {name: draw.choice([0, 0, 0, *range(weeks)]) for name in products}
        faulty = ~self.lines["expected"].eq("imported")
        # The hardest faults stay: about a fifth is never mended.
        self.mended = {at: draw.randrange(1, max(2, weeks + weeks // 4)) for at in self.lines.index[faulty]}
        self.pending: set[int] = set()
        sources = [_SOURCES[sum(map(ord, name)) % 3] for name in catalogue["ProductId"].fillna("")]
        self.catalogue = catalogue.assign(source=pd.Series(sources, index=catalogue.index, dtype="str"))

    def week(self, week: int) -> pd.DataFrame:
        """Return the batch of a week: new, changed, and what has not come through yet."""
        for at in [at for at, when in self.mended.items() if when == week]:
            self._mend(at)
        arrived = self.lines["ProductId"].map(self.arrival)
        chosen, reasons = [], []
        for at in self.lines.index:
            changed = arrived[at] < week and self.draw.random() < 0.08
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
        """Note what has to be sent again."""
        outcome = run.outcome
        failed = set(outcome.loc[outcome["outcome"] != "imported", ["ProductId", "PicName"]].itertuples(index=False))
        keys = self.lines[["ProductId", "PicName"]].itertuples(index=False)
        self.pending = {at for at, key in enumerate(keys) if key in failed}

    def _mend(self, at: int) -> None:
        """Give a line the values, and its picture the pixels, of one that is right."""
        right = self.draw.choice(self.lines.index[self.lines["expected"].eq("imported")])
        for name in [*_PAYLOAD, "digest"]:
            self.lines.at[at, name] = self.lines.at[right, name]
        self.lines.at[at, "expected"] = "imported"
        name, copied = self.lines.at[at, "PicName"], self.lines.at[right, "file"]
        (self.images / self.lines.at[at, "file"]).write_bytes((self.images / copied).read_bytes())
        fact = self.facts[self.facts["PicName"] == copied].assign(PicName=name)
        self.facts = pd.concat([self.facts[self.facts["PicName"] != name], fact], ignore_index=True)

    def _draw_region(self, at: int) -> None:
        fact = self.facts[self.facts["PicName"] == self.lines.at[at, "PicName"]]
        if fact.empty or fact["width"].isna().any():
            return
        width, height = int(fact["width"].iloc[0]), int(fact["height"].iloc[0])
        left, top = (self.draw.uniform(0.05, 0.25) for _ in range(2))
        right, bottom = (self.draw.uniform(0.7, 0.95) for _ in range(2))
        box = Region(x1=int(width * left), y1=int(height * top), x2=int(width * right), y2=int(height * bottom))
        self.lines.at[at, "Region"] = box.wire()


def _batch_folder(shop: _Shop, batch: pd.DataFrame, week: int, target: Path) -> Path:
    (target / IMAGES).mkdir(parents=True)
    for name in batch["file"].dropna().unique():
        if (shop.images / name).is_file():
            (target / IMAGES / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shop.images / name, target / IMAGES / name)
    there = [name for name, when in shop.arrival.items() if when <= week]
    catalogue = shop.catalogue[shop.catalogue["ProductId"].isin(there)]
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


def _date(made: Path, runs: Written, week: int, lines: int) -> None:
    """Move a run to its week: name and times are made, so that the history is the same wherever it is made."""
    begun = START + timedelta(weeks=week)
    ended = begun + timedelta(seconds=40 + 3 * lines)
    about = json.loads((made / "run.json").read_text(encoding="utf-8"))
    about["id"] = f"{begun:%Y%m%dT%H%M%SZ}-demo-{week + 1:04x}"
    about["task_id"] = str(1000 + week)
    about["times"] = {
        name: (ended if name == "ended" else begun).isoformat()
        for name in ("intended", "submitted", "created", "ended")
    }
    (made / "run.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _copied(made, runs, f"{about['id']}/")
