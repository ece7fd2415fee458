"""The whole path with the demo catalogue, on a sandbox of its own.

Images that can be corrected are corrected; rows that are expected to be refused are sent all the same, so that the
report has something to show and the predictions can be compared with the outcomes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from imgprep.core.files import require_ours
from imgprep.core.text import counted
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
    """The result of the demo: its HTML report, its run, how the lines ended, and the lines not ended as predicted."""

    report: Path
    run_folder: Path
    sums: pd.DataFrame
    surprises: pd.DataFrame


def run_demo(
    out: str | Path, *, print_step: Callable[[str], None] = lambda _: None, progress: bool = False
) -> DemoResult:
    """Load, look, fix, plan, ship, follow and reconcile the demo catalogue."""
    folder, data = Path(out), shipped("data")
    require_ours(folder / _REPORT)
    export = data / "catalogue.csv"
    catalogue = load_catalogue(export, columns=data / "columns.toml")
    print_step(f"load     {counted(len(catalogue), 'row')}, {counted(catalogue['ProductId'].nunique(), 'product')}")
    built = build_batch(
        catalogue, data / IMAGES, folder / "batch", keep_refused=True, sources=[export], progress=progress
    )
    findings, rules, plan = built.findings, summary(built.findings), built.plan
    print_step(f"look     {counted(len(findings), 'finding')} of {counted(len(rules), 'rule')}")
    corrected = (built.prepared["action"] == "converted").sum()
    print_step(f"fix      {corrected} of {counted(len(built.prepared), 'image')} corrected")
    print_step(f"plan     {counted(len(plan.batch), 'line')}, {counted(len(plan.excluded), 'row')} excluded")
    with Sandbox(task_seconds=0, strict=["int32"]) as sandbox:
        log = upload(built.folder, built.folder / IMAGES, sandbox.settings, progress=progress)
        print_step(f"ship     {counted((log['outcome'] == 'uploaded').sum(), 'file')} uploaded and verified")
        run = submit(built.folder, sandbox.settings, runs=folder / "runs").follow(progress=progress)
    sums = tally_outcomes(run)
    print_step(f"follow   task {run.task_id}: {run.state}")
    report = write_report(run, folder / _REPORT, images=built.folder / IMAGES)
    return DemoResult(report, run.folder, sums, _surprises(run))


def _surprises(run: Run) -> pd.DataFrame:
    """Return the lines that were neither imported, deleted nor refused as predicted."""
    both = run.outcome.merge(run.batch[["line", "expected"]], on="line")
    predicted = both["expected"].where(both["expected"].isin(["imported", "deleted"]), "failed")
    return both.loc[both["outcome"] != predicted, ["line", "ProductId", "PicName", "expected", "outcome", "code"]]
