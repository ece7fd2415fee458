"""A batch folder to the service: one function a command, options in, exit code out."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

import pandas as pd

from imgprep.cli.inputs import settings_of
from imgprep.cli.output import ExitCode, escaped, show, show_ended
from imgprep.core.errors import ConfigError, ImgprepError, ServiceError
from imgprep.core.settings import Settings

#: Objects that belong to nothing known and are named after an upload; a dry run lists all.
_NAMED = 5


def upload(options: Namespace) -> int:
    """Upload a batch folder: images, verified, then increment.meta."""
    from imgprep.ship.upload import upload as send

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
    counts, strays = log["outcome"].value_counts(), _strays(log, settings, runs)
    if options.dry_run:
        log = pd.concat([log, strays.drop(columns="modified").assign(outcome="stray")], ignore_index=True)
        bad = bad.reindex(log.index, fill_value=False)
    if options.dry_run or options.format != "table" or bad.any():
        show(log if options.dry_run or options.format != "table" else log[bad], options.format)
    print(", ".join(f"{count:,} {name}" for name, count in counts.items()), file=sys.stderr)
    if len(strays):
        named = ", ".join(strays["key"].head(_NAMED)) + (", …" if len(strays) > _NAMED else "")
        more = "" if options.dry_run else " (--dry-run lists them)"
        said = f"{len(strays):,} objects in the folder are neither in the batch nor in the gallery, and stay{more}"
        print(escaped(f"{said}: {named}"), file=sys.stderr)
    return ExitCode.PARTIAL if bad.any() else ExitCode.FINE


def _strays(log: pd.DataFrame, settings: Settings, runs: Path) -> pd.DataFrame:
    """What `upload` found besides the batch, without what earlier runs put there."""
    from imgprep.ship.gallery import gallery_state
    from imgprep.ship.run import load_runs

    strays: pd.DataFrame = log.attrs["strays"]
    if strays.empty or not settings.instance:
        return strays
    known = gallery_state(load_runs(runs), of=settings)
    return strays[~strays["key"].isin(settings.prefix + known["PicName"])]


def preflight(options: Namespace) -> int:
    """Look at everything that a batch task needs; change nothing."""
    from imgprep.ship.preflight import preflight as look

    found = look(settings_of(options), options.batch)
    if options.format == "table":
        show(found.drop(columns="remedy"), options.format)
        print(escaped(_remedies(found)))
    else:
        show(found, options.format)
    return ExitCode.UNUSABLE if found["result"].eq("fail").any() else ExitCode.FINE


def _remedies(found: pd.DataFrame) -> str:
    """What to do about what is not good, in full: a table would cut it short."""
    bad = found[found["result"] != "ok"]
    lines = [f"{', '.join(group['check'])}: {remedy}" for remedy, group in bad.groupby("remedy", sort=False)]
    counts = [f"{number:,} {result}" for result, number in found["result"].value_counts().items()]
    return "\n".join(["", ", ".join(counts), *lines])


def submit(options: Namespace) -> int:
    """Start the batch task and leave a run folder."""
    from imgprep.ship.submit import submit as start
    from imgprep.ship.task_status import task_steps

    settings = settings_of(options)
    runs = options.runs or settings.runs
    if options.now and options.yes is None and not settings.is_sandbox and not sys.stdin.isatty():
        raise ConfigError(
            f"submit --now: may start a second task on production instance {settings.instance!r}, and there is no "
            "terminal to type its name in; leave out --now and the command waits, or add --yes NAME"
        )
    run = start(
        options.batch,
        settings,
        runs=runs,
        wait=options.wait,
        confirm=options.yes,
        now=options.now,
        by_hand=options.by_hand,
    )
    print(f"run folder: {run.folder}", file=sys.stderr)
    if options.by_hand and not run.ended:
        print(task_steps(settings, run.folder), end="")
        return ExitCode.PARTIAL
    code = show_ended([run if options.no_follow else run.follow(settings)], options.format)
    if options.no_follow and run.task_id and not run.ended:
        print("the task goes on by itself; `imgprep follow` sees it to its end and saves its report", file=sys.stderr)
    return code


def follow(options: Namespace) -> int:
    """Follow a run's task to its end and save its error report."""
    from imgprep.ship.lost_answer import look_for_late
    from imgprep.ship.run import load_runs, open_run

    settings = settings_of(options)
    if options.run_folder:
        return show_ended([open_run(options.run_folder).follow(settings)], options.format)
    try:
        look_for_late(settings, options.runs or settings.runs)
    except ImgprepError as error:  # what has a task is followed all the same
        print(escaped(f"imgprep: {error}"), file=sys.stderr)
    open_ones = [run for run in load_runs(options.runs or settings.runs) if not run.ended]
    refused: ServiceError | None = None
    for run in open_ones:
        try:
            run.follow(settings)
        except ImgprepError as error:  # the others go on: their reports wait two hours and no longer
            print(escaped(f"imgprep: {error}"), file=sys.stderr)
            if isinstance(error, ServiceError) and not error.passing:
                refused = error
    code = show_ended(open_ones, options.format)
    return code if refused is None else ExitCode.UNUSABLE


def close(options: Namespace) -> int:
    """End a run from what the console says about its task."""
    from imgprep.ship.run import open_run

    if options.message is None and options.report is None and not options.ignore_unmatched:
        raise ConfigError("close: say what the console says: --message TEXT, and --report FILE where there is one")
    run = open_run(options.run_folder)
    run.use_settings(settings_of(options))
    run.close(message=options.message, report=options.report, ignore_unmatched=options.ignore_unmatched)
    return show_ended([run], options.format)


def adopt(options: Namespace) -> int:
    """Make a run of a task that was made elsewhere, such as in the console."""
    from imgprep.ship.submit import adopt as take

    settings = settings_of(options)
    run = take(options.task, settings, runs=options.runs or settings.runs)
    print(escaped(f"run folder: {run.folder}{f'; {run.note}' if run.note else ''}"), file=sys.stderr)
    return show_ended([run], options.format)


def tasks(options: Namespace) -> int:
    """Every batch task of the instance, the console's included."""
    from imgprep.ship.submit import tasks as all_tasks

    settings = settings_of(options)
    found = all_tasks(settings, runs=options.runs or settings.runs)
    show(found, options.format)
    strange = found.loc[found["run"].isna(), "id"]
    if len(strange):
        said = (
            f"{len(strange):,} of {len(found):,} belong to no run here; `imgprep adopt ID` makes one, with its report"
        )
        print(f"{said}: {', '.join(strange.head(_NAMED))}{', …' if len(strange) > _NAMED else ''}", file=sys.stderr)
    return ExitCode.FINE


def dump(options: Namespace) -> int:
    """Export what the gallery holds; the file is for build --known."""
    from imgprep.ship.dump import dump_gallery

    print(dump_gallery(settings_of(options), into=options.into))
    return ExitCode.FINE


def policy(options: Namespace) -> int:
    """The RAM documents and the console's steps to set them up."""
    from imgprep.ship.access import console_steps, documents

    settings = settings_of(options)
    found = documents(settings)
    if options.document:
        print(json.dumps(found[options.document], indent=2))
    else:
        print(console_steps(settings))
    return ExitCode.FINE
