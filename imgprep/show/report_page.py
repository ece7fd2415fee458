"""The page of one run: what was loaded, found, mended, sent, imported, failed, and why."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.core.errors import RegionError
from imgprep.core.regions import Region
from imgprep.images.storage import Several, Source
from imgprep.images.thumbnails import thumb_of
from imgprep.look.duplicates import find_duplicates
from imgprep.look.facts import FACT_COLUMNS
from imgprep.look.rules.book import summary
from imgprep.look.tallies import tally_images
from imgprep.outcomes.tallies import tally_causes, tally_outcomes
from imgprep.ship.report.causes import CauseTable, known_to
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run
from imgprep.show.galleries import duplicate_sections, finding_sections
from imgprep.show.template import template, write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_uri(figure: Figure) -> str:
    """Return a data URI (SVG) of a figure, and close it."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


#: Failing lines shown with a picture, for each cause; the rest is counted.
SHOWN_PER_CAUSE = 24
#: Rows of the longer tables.
SHOWN_ROWS = 200


def write_report(
    run: Run,
    path: str | Path,
    *,
    images: str | Path | Iterable[str | Path] | None = None,
    causes: CauseTable | None = None,
) -> Path:
    """Write the page of a run: one HTML file that needs nothing else and prints well.

    Parameters
    ----------
    run : Run
        From `submit` or `load_runs`.
    path : path
        The file to write.
    images : path or iterable of path, optional
        Folders or zip archives to look for the images in, for thumbnails of what failed.
    causes : CauseTable, optional
        Default: those that the run was read by.

    Returns
    -------
    Path
        The file.

    Examples
    --------
    >>> page = ip.write_report(runs[0], "report.html")
    """
    folders = [Path(images)] if isinstance(images, (str, Path)) else [Path(item) for item in images or ()]
    table = known_to(run, causes)
    return write_page(path, template("report.html").render(**_context(run, folders, table)))


def _context(run: Run, folders: list[Path], table: CauseTable) -> dict[str, Any]:
    from imgprep.show.charts.causes import plot_causes  # noqa: PLC0415  matplotlib is heavy

    outcome = run.outcome
    unmatched = outcome.attrs.get("unmatched", pd.DataFrame())
    tally = tally_causes(run, causes=table)
    sums = tally_outcomes(run).iloc[0].to_dict()
    findings = run.findings
    excluded = run.excluded
    prepared = run.prepared
    there = [folder for folder in folders if folder.exists()]
    source = Several(there) if there else None
    duplicates, groups = duplicate_sections(_duplicates(run), there)
    return {
        "run": run,
        "sums": sums,
        "kinds": list(map(str, Outcome)),
        "catalogue_rows": len(run.catalogue),
        "products": run.catalogue["ProductId"].nunique() if "ProductId" in run.catalogue else 0,
        "operations": outcome["OperationType"].value_counts().to_dict(),
        "findings": _rows(summary(findings)),
        "severities": findings["severity"].value_counts().to_dict(),
        "excluded": _rows(excluded.head(SHOWN_ROWS)),
        "excluded_total": len(excluded),
        "excluded_reasons": excluded["reason"].value_counts().to_dict() if len(excluded) else {},
        "actions": prepared["action"].value_counts().to_dict() if len(prepared) else {},
        "changes": _rows(prepared[prepared["action"] != "kept"].head(SHOWN_ROWS)) if len(prepared) else [],
        "causes": [_cause(record, outcome, run.batch, source) for record in _rows(tally)],
        "chart": figure_uri(plot_causes(tally).figure) if len(tally) else None,  # type: ignore[arg-type]  # ours, not a part of one
        "unknown": _rows(outcome[outcome["outcome"] == Outcome.UNKNOWN].head(SHOWN_ROWS)),
        "unmatched": _rows(unmatched.head(SHOWN_ROWS)),
        "unmatched_total": run.unmatched or len(unmatched),
        "shown": SHOWN_PER_CAUSE,
        "sections": finding_sections(findings, there),
        "duplicates": duplicates,
        "duplicate_groups": groups,
        "histograms": _histograms(run),
    }


def _facts(run: Run) -> pd.DataFrame:
    """Facts of the pictures as the shop has them."""
    return run.source_facts if len(run.source_facts) else run.facts


def _duplicates(run: Run) -> pd.DataFrame:
    """Groups of pictures that are there more than once, those of several products first."""
    facts = _facts(run)
    if not set(FACT_COLUMNS) <= set(facts.columns):  # not written by inspect_images
        return pd.DataFrame()
    return find_duplicates(facts, run.catalogue)


def _histograms(run: Run) -> str | None:
    """Sizes, weights, formats and shapes of the pictures as the shop has them."""
    from imgprep.show.charts.images import plot_images  # noqa: PLC0415  matplotlib is heavy

    facts = _facts(run)
    if facts.empty or "width" not in facts:
        return None
    return figure_uri(plot_images(tally_images(facts, run.catalogue, service=run.settings.get("service") or "product")))


def _cause(record: dict[str, Any], outcome: pd.DataFrame, batch: pd.DataFrame, source: Source | None) -> dict[str, Any]:
    failed = outcome[(outcome["outcome"] == Outcome.FAILED) & (outcome["cause"] == record["cause"])]
    shown = failed.head(SHOWN_PER_CAUSE).merge(batch[["line", "Region", "expected"]], on="line", how="left")
    return {**record, "lines": [{**row, "picture": _picture(row, source)} for row in _rows(shown)]}


def _picture(row: dict[str, Any], source: Source | None) -> str | None:
    if source is None or not row["PicName"]:
        return None
    return thumb_of(row["PicName"], source, region=_region(row.get("Region"))).uri


def _region(text: Any) -> Region | None:
    try:
        return Region.from_wire(text) if isinstance(text, str) else None
    except RegionError:
        return None


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]
