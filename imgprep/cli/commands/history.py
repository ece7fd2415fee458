"""Over all runs: one product's story, and the month's page."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from imgprep.cli.inputs import settings_of
from imgprep.cli.output import ExitCode, escaped, show
from imgprep.errors import ConfigError
from imgprep.settings import Settings
from imgprep.written import require_ours


def trace(options: Namespace) -> int:
    """Why is this product found, or not? Its whole story over all runs."""
    from imgprep.product_story import trace as tell

    settings = settings_of(options)
    folder = _runs_folder(options, settings)
    story = tell(options.product_id, folder if options.runs else settings)
    show(story.events, options.format)
    print(escaped(f"{story.product_id}: {story.answer}"), file=sys.stderr)
    return ExitCode.FINE if story.gallery["state"].eq("held").any() else ExitCode.FINDINGS


def review(options: Namespace) -> int:
    """A month in numbers: how much of the catalogue is findable, what fails, what got better."""
    from imgprep.monthly_review import review as sum_up
    from imgprep.runs import load_runs

    require_ours(options.html)
    settings = settings_of(options)
    of = settings if settings.instance else None
    month = sum_up(load_runs(_runs_folder(options, settings)), options.month, source=options.source, of=of)
    show(getattr(month, options.table), options.format)
    print(escaped(f"{month}"), file=sys.stderr)
    if options.html:
        month.write(options.html)
    return ExitCode.FINE


def _runs_folder(options: Namespace, settings: Settings) -> Path:
    folder: Path = options.runs or settings.runs
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no folder of runs is there; imgprep submit makes one, and --runs names another")
    return folder
