"""After the run: one function a command, options in, exit code out."""

from __future__ import annotations

import sys
from argparse import Namespace

from imgprep.cli.inputs import regions_of, settings_of
from imgprep.cli.output import ExitCode, show, show_ended
from imgprep.errors import ConfigError
from imgprep.written import require_ours


def report(options: Namespace) -> int:
    """Outcome and causes of runs; one HTML page."""
    from imgprep.html import write_report
    from imgprep.runs import open_run
    from imgprep.tallies import tally_causes

    require_ours(options.html)
    runs = [open_run(folder) for folder in options.run_folders]
    if (options.report or options.html) and len(runs) > 1:
        raise ConfigError("--report and --html are about one run; name one")
    settings = settings_of(options)
    for run in runs:
        run.settings_for(settings)
        if options.report:
            run.close(report=options.report)
        elif run.read_before_taught:
            run.read_again()
            print(f"{run.id}: its report was read again, by the causes that were taught since", file=sys.stderr)
    causes = tally_causes(runs)[["run", "cause", "family", "count", "lines", "remedy"]]
    code = show_ended(runs, options.format, causes)
    if len(causes) and options.format == "table":
        show(causes, options.format)
    if options.html:
        own = settings.images if settings.images and settings.images.exists() else None
        write_report(runs[0], options.html, images=options.images or own)
        print(f"page: {options.html}", file=sys.stderr)
    return code


def retry(options: Namespace) -> int:
    """Make the next batch of what can succeed now."""
    from imgprep.build import build_retry
    from imgprep.catalogue import load_catalogue
    from imgprep.runs import open_run

    settings = settings_of(options)
    options.images = options.images or settings.images
    catalogue = None
    if options.catalogue:
        columns = options.columns or settings.columns
        catalogue = load_catalogue(options.catalogue, preset=options.preset or settings.preset, columns=columns)
    run = open_run(options.run_folder)
    _, again = build_retry(
        run,
        options.images,
        options.out,
        catalogue=catalogue,
        regions=regions_of(options, settings),
        **settings.rules,
    )
    show(again.rest, options.format)
    print(f"{len(again.batch):,} lines in {options.out}, {len(again.rest):,} left out", file=sys.stderr)
    return ExitCode.FINDINGS if len(again.rest) else ExitCode.FINE


def undo(options: Namespace) -> int:
    """Make the batch that takes a run back."""
    from imgprep.runs import open_run
    from imgprep.undoing import build_undo

    run = open_run(options.run_folder)
    built = build_undo(run, options.images, options.out, later=options.later, confirm=options.confirm)
    show(built.plan.summary(), options.format)
    if built.loss.images:
        print(f"{built.loss}", file=sys.stderr)
    return ExitCode.FINDINGS if len(built.plan.excluded) else ExitCode.FINE
