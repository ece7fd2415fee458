"""The report page of one run: what was loaded, found, fixed, sent, imported and failed, and why."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.frames import records
from imgprep.images.found import Source
from imgprep.images.storage import Several, exists
from imgprep.images.thumbnails import thumb_of
from imgprep.look.duplicates import find_duplicates
from imgprep.look.facts import FACT_COLUMNS
from imgprep.look.rules.book import summary
from imgprep.look.tallies import tally_images
from imgprep.outcomes.tallies import tally_causes, tally_outcomes
from imgprep.plan.model import left_note
from imgprep.ship.report.causes import CauseTable, known_to
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run
from imgprep.show.contact_sheet import region_of, sections_for_page
from imgprep.show.template import figure_uri, template, write_page

#: Failed lines shown with their image per cause; the rest are counted.
SHOWN_PER_CAUSE = 24
#: Most rows shown in the longer tables.
SHOWN_ROWS = 200


def write_report(
    run: Run,
    path: str | Path,
    *,
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    causes: CauseTable | None = None,
) -> Path:
    """Write the report page of a run: one self-contained HTML file that prints well.

    Parameters
    ----------
    run : Run
        The run, from `submit` or `load_runs`.
    path : path
        The file to write.
    images : path or iterable of path, optional
        Folders, zip archives or addresses in OSS (``oss://BUCKET/FOLDER``) to search for the images of failed lines.
    causes : CauseTable, optional
        The cause table; default: the one that the run was read with.

    Returns
    -------
    Path
        The file.

    Examples
    --------
    >>> page = ip.write_report(runs[0], "report.html")
    """
    folders = [images] if isinstance(images, str | os.PathLike) else list(images or ())
    context = _context(run, [folder for folder in folders if exists(folder)], known_to(run, causes))
    return write_page(path, template("report.html").render(context))


def _context(run: Run, folders: list[str | os.PathLike[str]], table: CauseTable) -> dict[str, Any]:
    from imgprep.show.charts.causes import plot_causes  # noqa: PLC0415  matplotlib is heavy

    outcome, batch, catalogue = run.outcome, run.batch, run.catalogue
    findings, excluded, prepared = run.findings, run.excluded, run.prepared
    facts = run.source_facts if len(run.source_facts) else run.facts
    unmatched = outcome.attrs.get("unmatched", pd.DataFrame())
    tally = tally_causes(run, causes=table)
    source = Several(folders) if folders else None
    by_inspection = set(facts.columns) >= set(FACT_COLUMNS)
    duplicates = find_duplicates(facts, catalogue) if by_inspection else pd.DataFrame()
    duplicate_sections, groups = sections_for_page(duplicates, folders)
    return {
        "run": run,
        "left": left_note(run.left),
        "sums": tally_outcomes(run).iloc[0].to_dict(),
        "kinds": list(map(str, Outcome)),
        "catalogue_rows": len(catalogue),
        "products": catalogue["ProductId"].nunique() if "ProductId" in catalogue else 0,
        "operations": _counts(outcome["OperationType"]),
        "findings": records(summary(findings)),
        "severities": _counts(findings["severity"]),
        "excluded": records(excluded.head(SHOWN_ROWS)),
        "excluded_total": len(excluded),
        "excluded_reasons": _counts(excluded["reason"]),
        "actions": _counts(prepared["action"]),
        "changes": records(prepared[prepared["action"] != "kept"].head(SHOWN_ROWS)),
        "causes": [_cause(record, outcome, batch, source) for record in records(tally)],
        "chart": figure_uri(plot_causes(tally).figure) if len(tally) else None,  # type: ignore[arg-type]  # ours, not a part of one
        "unknown": records(outcome[outcome["outcome"] == Outcome.UNKNOWN].head(SHOWN_ROWS)),
        "unmatched": records(unmatched.head(SHOWN_ROWS)),
        "unmatched_total": run.unmatched or len(unmatched),
        "shown": SHOWN_PER_CAUSE,
        "sections": sections_for_page(findings, folders)[0],
        "duplicates": duplicate_sections,
        "duplicate_groups": groups,
        "histograms": _histograms(facts, catalogue, run.settings.get("service") or "product"),
    }


def _counts(values: pd.Series) -> dict[Any, int]:
    return values.value_counts().to_dict()


def _histograms(facts: pd.DataFrame, catalogue: pd.DataFrame, service: str) -> str | None:
    from imgprep.show.charts.images import plot_images  # noqa: PLC0415  matplotlib is heavy

    if facts.empty or "width" not in facts:
        return None
    return figure_uri(plot_images(tally_images(facts, catalogue, service=service)))


def _cause(record: dict[str, Any], outcome: pd.DataFrame, batch: pd.DataFrame, source: Source | None) -> dict[str, Any]:
    failed = outcome[(outcome["outcome"] == Outcome.FAILED) & (outcome["cause"] == record["cause"])]
    part = failed.head(SHOWN_PER_CAUSE).merge(batch[["line", "Region", "expected"]], on="line", how="left")
    lines = records(part)
    for line in lines:
        line["picture"] = None
        if source is not None and line["PicName"]:
            line["picture"] = thumb_of(line["PicName"], source, region=region_of(line["Region"])).uri
    return {**record, "lines": lines}
