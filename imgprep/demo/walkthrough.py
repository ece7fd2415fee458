"""The complete workflow with the demo shop, on its own sandbox.

Images that can be corrected are corrected. Rows that are expected to be refused are sent anyway, so that the report
has something to show and the predictions can be compared with the outcomes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from imgprep.core.files import require_ours
from imgprep.core.text import counted
from imgprep.demo.shop import demo_shop
from imgprep.load.catalogue import load_catalogue
from imgprep.look.rules.book import check
from imgprep.outcomes.tallies import tally_outcomes
from imgprep.plan.batch_folder import IMAGES
from imgprep.plan.build import build_batch
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.run import Run
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
from imgprep.show.report_page import write_report

_REPORT = "report.html"


@dataclass(frozen=True)
class DemoResult:
    """The result of the demo: its HTML report, its run, the outcomes, and the lines that did not end as predicted."""

    report: Path
    run_folder: Path
    sums: pd.DataFrame
    surprises: pd.DataFrame


def run_demo(
    out: str | Path, *, print_step: Callable[[str], None] = lambda _: None, progress: bool = False
) -> DemoResult:
    """Load, look, fix, plan, ship, follow and reconcile the demo catalogue."""
    folder = Path(out)
    require_ours(folder / _REPORT)
    shop = demo_shop(progress=progress)
    catalogue = load_catalogue(shop.catalogue, columns=shop.columns)
    records, products = catalogue["row"].nunique(), catalogue["ProductId"].nunique()
    print_step(
        f"load     {counted(records, 'record')} of {counted(products, 'product')}: {counted(len(catalogue), 'row')}"
    )
    built = build_batch(
        catalogue,
        shop.images,
        folder / "batch",
        keep_refused=True,
        sources=[shop.catalogue],
        cache=folder / "cache",
        progress=progress,
    )
    plan, prepared = built.plan, built.prepared
    found = _by_severity(check(catalogue, built.source_facts))  # of the images as they are; the batch has fewer
    print_step(f"look     {counted(len(built.source_facts), 'image')} named; {found}")
    actions = prepared["action"].value_counts()
    print_step(f"fix      {counted(int(actions.get('converted', 0)), 'image')} corrected, the others sent as they are")
    lines, excluded = counted(len(plan.batch), "line"), counted(len(plan.excluded), "row")
    refused = int((plan.batch["expected"] != "imported").sum())
    print_step(f"plan     {lines}, {refused} of them expected to be refused; {excluded} cannot be sent")
    with Sandbox(task_seconds=0, strict=["int32"]) as sandbox:
        log = upload(built.folder, built.folder / IMAGES, sandbox.settings, progress=progress)
        print_step(f"ship     {counted((log['outcome'] == 'uploaded').sum(), 'file')} uploaded and verified")
        run = submit(built.folder, sandbox.settings, runs=folder / "runs").follow(progress=progress)
    sums = tally_outcomes(run)
    imported, failed = (int(sums[name].iloc[0]) for name in ("imported", "failed"))
    print_step(f"follow   {run.state}: {lines} = {imported:,} imported + {failed:,} failed")
    report = write_report(run, folder / _REPORT, images=built.folder / IMAGES)
    return DemoResult(report, run.folder, sums, _surprises(run))


def _by_severity(findings: pd.DataFrame) -> str:
    counts = findings["severity"].value_counts()
    return ", ".join(counted(int(counts[level]), level) for level in ("error", "warning") if level in counts)


def _surprises(run: Run) -> pd.DataFrame:
    """Return the lines that were neither imported, deleted nor refused as predicted."""
    both = run.outcome.merge(run.batch[["line", "expected"]], on="line")
    predicted = both["expected"].where(both["expected"].isin(["imported", "deleted"]), "failed")
    return both.loc[both["outcome"] != predicted, ["line", "ProductId", "PicName", "expected", "outcome", "code"]]
