"""A batch folder to the service: one function a command, options in, exit code out."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from imgprep.cli.inputs import settings_of
from imgprep.cli.output import ExitCode, show, show_ended


def upload(options: Namespace) -> int:
    """Upload a batch folder: images, verified, then increment.meta."""
    from imgprep.oss import upload as send

    settings = settings_of(options)
    runs = options.runs or settings.runs
    log = send(
        options.batch,
        None,
        settings,
        dry_run=options.dry_run,
        replace=options.replace,
        runs=runs,
        processes=options.processes,
    )
    bad = log["outcome"].isin(["failed", "changed"])
    if options.dry_run or options.format != "table" or bad.any():
        show(log if options.dry_run or options.format != "table" else log[bad], options.format)
    counts = log["outcome"].value_counts()
    print(", ".join(f"{count:,} {name}" for name, count in counts.items()), file=sys.stderr)
    return ExitCode.PARTIAL if bad.any() else ExitCode.FINE


def submit(options: Namespace) -> int:
    """Start the batch task and leave a run folder."""
    from imgprep.runs import submit as start

    settings = settings_of(options)
    run = start(options.batch, settings, runs=options.runs or settings.runs, wait=options.wait, confirm=options.yes)
    print(f"run folder: {run.folder}", file=sys.stderr)
    return show_ended([run if options.no_follow else run.follow(settings)], options.format)


def follow(options: Namespace) -> int:
    """Follow a run's task to its end and save its error report."""
    from imgprep.runs import load_runs, open_run

    settings = settings_of(options)
    if options.run_folder:
        open_ones = [open_run(options.run_folder)]
    else:
        open_ones = [run for run in load_runs(options.runs or settings.runs) if not run.ended]
    return show_ended([run.follow(settings) for run in open_ones], options.format)


def tasks(options: Namespace) -> int:
    """Every batch task of the instance, the console's included."""
    from imgprep.runs import tasks as all_tasks

    settings = settings_of(options)
    show(all_tasks(settings, runs=options.runs or settings.runs), options.format)
    return ExitCode.FINE


def dump(options: Namespace) -> int:
    """Export what the gallery holds; the file is for build --known."""
    from imgprep.runs import dump_gallery

    print(dump_gallery(settings_of(options), into=options.into))
    return ExitCode.FINE


def policy(options: Namespace) -> int:
    """The RAM documents and the console's steps to set them up."""
    from imgprep import access

    settings = settings_of(options)
    documents = access.documents(settings)
    if options.document:
        print(json.dumps(documents[options.document], indent=2))
    else:
        print(access.console_steps(settings))
    return ExitCode.FINE
