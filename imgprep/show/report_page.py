"""The report page of one run: what was loaded, found, fixed, sent, imported and failed, and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.frames import records
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.text import WHOLE, shown
from imgprep.images.found import Source
from imgprep.images.storage import Several, exists
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.look.duplicates import find_duplicates
from imgprep.look.facts import FACT_COLUMNS
from imgprep.look.rules.book import tally_rules, title
from imgprep.look.tallies import tally_images
from imgprep.outcomes.tallies import tally_causes, tally_outcomes
from imgprep.plan.model import left_note
from imgprep.ship.report.causes import OWNERS, CauseTable, Family, known_to
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run
from imgprep.show.contact_sheet import Card, region_of, sections_for_page
from imgprep.show.template import figure_uri, template, write_page

#: Failed lines shown as cards, shared among the causes.
SHOWN_CARDS = 18
#: Maximum number of rows shown in tables.
SHOWN_ROWS = 200
#: Longest side of a card's image, pixels.
_SIDE = 116


def write_report(
    run: Run,
    path: str | Path,
    *,
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    causes: CauseTable | None = None,
    language: str | None = None,
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
    language : str, optional
        ``en`` or ``zh``; default: the language of the run's project.

    Returns
    -------
    Path
        The file.

    Examples
    --------
    >>> page = ip.write_report(runs[0], "report.html")
    """
    folders = [images] if isinstance(images, str | os.PathLike) else list(images or ())
    t = texts(language or display_language(run.folder))
    context = _context(run, [folder for folder in folders if exists(folder)], known_to(run, causes), t)
    return write_page(path, template("report.html", t.language).render(context))


def _context(run: Run, folders: list[str | os.PathLike[str]], table: CauseTable, t: Texts) -> dict[str, Any]:
    outcome, catalogue = run.outcome, run.catalogue
    findings, excluded, prepared = run.findings, run.excluded, run.prepared
    facts = run.source_facts if len(run.source_facts) else run.facts
    unmatched = outcome.attrs.get("unmatched", pd.DataFrame())
    causes = records(tally_causes(run, causes=table))
    sums = records(tally_outcomes(run))[0]
    by_inspection = set(facts.columns) >= set(FACT_COLUMNS)
    duplicates = find_duplicates(facts, catalogue) if by_inspection else pd.DataFrame()
    duplicate_sections, groups = sections_for_page(duplicates, folders, language=t.language)
    failed = _failed(run, causes)
    changes = prepared[prepared["action"] != "kept"]
    return {
        "run": run,
        "headline": _headline(run, sums, t),
        "sent": _sent(run, t),
        "left": left_note(run.left, t),
        "sums": sums,
        "kinds": list(map(str, Outcome)),
        "catalogue_rows": len(catalogue),
        "products": catalogue["ProductId"].nunique() if "ProductId" in catalogue else 0,
        "findings": records(tally_rules(findings).assign(title=lambda rows: [title(rule, t) for rule in rows["rule"]])),
        "severities": _counts(findings["severity"]),
        "excluded": records(excluded.head(SHOWN_ROWS)),
        "excluded_total": len(excluded),
        "excluded_reasons": _counts(excluded["reason"]),
        "changes": records(changes.head(SHOWN_ROWS)),
        "changes_total": len(changes),
        "groups": _by_who(causes, t),
        "most": max((cause["count"] for cause in causes), default=1) or 1,
        "shown_cards": _cards(failed, causes, Several(folders) if folders else None, t),
        "failed": failed[:SHOWN_ROWS],
        "unknown": records(outcome[outcome["outcome"] == Outcome.UNKNOWN].head(SHOWN_ROWS)),
        "unmatched": records(unmatched.head(SHOWN_ROWS)),
        "unmatched_total": run.unmatched or len(unmatched),
        "side": _SIDE,
        "sections": sections_for_page(findings, folders, language=t.language)[0],
        "duplicates": duplicate_sections,
        "duplicate_groups": groups,
        "histograms": _histograms(facts, catalogue, run.settings.get("service") or "product"),
    }


def _headline(run: Run, sums: dict[str, Any], t: Texts) -> str:
    """Return the answer: how many lines succeeded, failed, or are unknown."""
    lines, done = t.counted(sums["lines"], "line"), f"{sums['imported'] + sums['deleted']:,}"
    failed, unknown = f"{sums['failed']:,}", f"{sums['unknown']:,}"
    if not sums["lines"]:
        return t("Nothing was sent.")
    if not run.ended and not run.undecided:
        return t("The task has not ended; the outcome of its {lines} is not known yet.", lines=lines)
    if sums["unknown"]:
        return t(
            "{done} of {lines} succeeded, {failed} failed, and {unknown} ended unknown.",
            done=done,
            lines=lines,
            failed=failed,
            unknown=unknown,
        )
    if not sums["failed"]:
        return t("{lines} succeeded, none failed.", lines=lines)
    return t("{done} of {lines} succeeded, {failed} failed.", done=done, lines=lines, failed=failed)


def _sent(run: Run, t: Texts) -> str:
    """Return when the run started, in words."""
    try:
        moment = datetime.fromisoformat(run.started_at)
    except ValueError:  # a run without times
        return ""
    zone = moment.tzname() or ""
    return t("Sent on {date.day} {date:%B} {date.year} at {date:%H:%M} {zone}", date=moment, zone=zone).strip()


def _by_who(causes: list[dict[str, Any]], t: Texts) -> list[dict[str, Any]]:
    """Return who has to act, with the causes and their counts."""
    groups: dict[str, list[dict[str, Any]]] = {family: [] for family in OWNERS}
    for cause in causes:
        groups[cause["family"] if cause["family"] in groups else Family.DATA].append(cause)
    return [
        {"who": t(OWNERS[Family(name)][0]), "how": t(OWNERS[Family(name)][1]), "lines": sum(c["count"] for c in some)}
        | {"causes": some}
        for name, some in groups.items()
        if some
    ]


def _failed(run: Run, causes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the failed lines with their expected outcome and the label of their cause, most common cause first."""
    labels = {cause["cause"]: cause["label"] for cause in causes}
    failed = run.outcome[run.outcome["outcome"] == Outcome.FAILED]
    lines = records(failed.merge(run.batch[["line", "Region", "expected"]], on="line", how="left"))
    order = {cause: at for at, cause in enumerate(labels)}
    for line in lines:
        line["label"] = labels.get(line["cause"], line["cause"])
    return sorted(lines, key=lambda line: (order.get(line["cause"], len(order)), line["line"]))


def _cards(lines: list[dict[str, Any]], causes: list[dict[str, Any]], source: Source | None, t: Texts) -> list[Card]:
    """Return cards of the first failed lines of each cause."""
    counts = [cause["count"] for cause in causes]
    each = max(
        (n for n in range(1, SHOWN_CARDS + 1) if sum(min(n, count) for count in counts) <= SHOWN_CARDS), default=1
    )
    cards: list[Card] = []
    taken: Counter[str] = Counter()
    for line in lines:
        taken[line["cause"]] += 1
        if taken[line["cause"]] <= each:
            thumb = Thumb(why=t("no folder of images was given"))
            if not line["PicName"]:
                thumb = Thumb(why=t("the line names no image"))
            elif source is not None:
                thumb = thumb_of(line["PicName"], source, side=_SIDE, region=region_of(line["Region"]))
            place = t("line {line}", line=line["line"])
            where = " · ".join(filter(None, [shown(line["ProductId"], WHOLE), place]))
            note = t(": ").join(filter(None, [where, shown(line["message"], WHOLE)]))
            cards.append(Card(shown(line["PicName"], WHOLE), shown(t(line["label"]), WHOLE), note, thumb))
    return cards


def _counts(values: pd.Series) -> dict[Any, int]:
    return values.value_counts().to_dict()


def _histograms(facts: pd.DataFrame, catalogue: pd.DataFrame, service: str) -> str | None:
    from imgprep.show.charts.images import plot_images  # noqa: PLC0415  matplotlib is heavy

    if facts.empty or "width" not in facts:
        return None
    return figure_uri(plot_images(tally_images(facts, catalogue, service=service)))
