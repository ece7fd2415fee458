"""The whole path on the demo catalogue, against a sandbox of its own.

Images that can be mended are mended; rows that still ought to be refused are sent all the same, so that the
report has something to show and the predictions can be compared with what came back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from imgprep.core.files import require_ours
from imgprep.load.catalogue import load_catalogue
from imgprep.look.rules.book import summary
from imgprep.outcomes.tallies import tally_outcomes
from imgprep.plan.batch_folder import IMAGES
from imgprep.plan.build import build_batch
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.run import Run
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
from imgprep.shop import shipped
from imgprep.show.report_page import write_report

_REPORT = "report.html"


@dataclass(frozen=True)
class DemoResult:
    """What the demo left.

    Attributes
    ----------
    report : Path
        The HTML page.
    run_folder : Path
        The run.
    sums : pandas.DataFrame
        How the lines ended, one row.
    surprises : pandas.DataFrame
        Lines that did not end as predicted; empty when all is well.
    """

    report: Path
    run_folder: Path
    sums: pd.DataFrame
    surprises: pd.DataFrame


def run_demo(out: str | Path, *, say: Callable[[str], None] = lambda _: None, progress: bool = False) -> DemoResult:
    """Load, look, fix, plan, ship, follow and reconcile the demo catalogue."""
    folder, data = Path(out), shipped("data")
    require_ours(folder / _REPORT)
    catalogue = load_catalogue(data / "catalogue.csv", columns=data / "columns.toml")
    say(f"load     {len(catalogue)} rows, {catalogue['ProductId'].nunique()} products")
    built = build_batch(
        catalogue,
        data / IMAGES,
        folder / "batch",
        keep_refused=True,
        sources=[data / "catalogue.csv"],
        progress=progress,
    )
    rules = summary(built.findings)
    say(f"look     {len(built.findings)} findings by {len(rules)} rules")
    say(f"fix      {(built.prepared['action'] == 'converted').sum()} of {len(built.prepared)} images mended")
    say(f"plan     {len(built.plan.batch)} lines, {len(built.plan.excluded)} rows left out")
    with Sandbox(task_seconds=0, strict=["int32"]) as sandbox:
        log = upload(built.folder, built.folder / IMAGES, sandbox.settings, progress=progress)
        say(f"ship     {(log['outcome'] == 'uploaded').sum()} files uploaded and verified")
        run = submit(built.folder, sandbox.settings, runs=folder / "runs").follow(progress=progress)
    sums = tally_outcomes(run)
    say(f"follow   task {run.task_id}: {run.state}")
    report = write_report(run, folder / _REPORT, images=built.folder / IMAGES)
    return DemoResult(report, run.folder, sums, _surprises(run))


def _surprises(run: Run) -> pd.DataFrame:
    """Lines predicted to be imported or deleted that were not, and lines predicted to be refused that were not."""
    both = run.outcome.merge(run.batch[["line", "expected"]], on="line")
    predicted = both["expected"].where(both["expected"].isin(["imported", "deleted"]), "failed")
    return both.loc[both["outcome"] != predicted, ["line", "ProductId", "PicName", "expected", "outcome", "code"]]
