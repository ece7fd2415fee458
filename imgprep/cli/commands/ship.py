"""Ship: upload, submit, follow, and everything about tasks and access."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from imgprep.cli.inputs import run_at, settings_of
from imgprep.cli.output import ExitCode, escaped, show, show_ended
from imgprep.core.errors import ConfigError, ImgprepError, ServiceError
from imgprep.core.executors import open_cluster
from imgprep.core.settings import Settings
from imgprep.core.text import counted, some_of

if TYPE_CHECKING:
    from imgprep.ship.run import Run

#: Maximum number of unknown objects or tasks named in a message; a dry run lists all.
_NAMED = 5


def upload(options: Namespace) -> int:
    from imgprep.plan.batch_folder import IMAGES
    from imgprep.ship.upload import upload as send

    settings = settings_of(options)
    runs = options.runs or settings.runs
    if options.images and next((options.batch / IMAGES).glob("*"), None):
        raise ConfigError(f"{options.batch}: the batch folder contains its own images; leave --images out")
    if options.replan:
        _replan(options, settings, runs)
    with open_cluster(settings.cluster) as executor:
        log = send(
            options.batch,
            options.images,
            settings,
            dry_run=options.dry_run,
            replace=options.replace,
            stale_ok=options.stale_ok,
            runs=runs,
            processes=options.processes,
            executor=executor,
        )
    if log.empty:
        print(escaped(f"{options.batch}: the batch has no lines, so there is nothing to send"), file=sys.stderr)
        return ExitCode.FINE
    bad = log["outcome"].isin(["failed", "changed"])
    counts, strays = log["outcome"].value_counts(), _strays(log, settings, runs)
    if options.dry_run:
        log = pd.concat([log, strays.drop(columns="modified").assign(outcome="stray")], ignore_index=True)
        bad = bad.reindex(log.index, fill_value=False)
    if options.dry_run or options.format != "table" or bad.any():
        show(log if options.dry_run or options.format != "table" else log[bad], options.format)
    print(", ".join(f"{count:,} {name}" for name, count in counts.items()), file=sys.stderr)
    if len(strays):
        named = some_of(strays["key"].head(_NAMED), len(strays))
        more = "" if options.dry_run else " (--dry-run lists them)"
        count = counted(len(strays), "object")
        note = f"{count} in the folder, neither in the batch nor in the gallery, left in place{more}"
        print(escaped(f"{note}: {named}"), file=sys.stderr)
    if not bad.any() and not options.dry_run:
        print(
            escaped(f"{settings.bucket}/{settings.prefix} is ready. Next: imgprep submit {options.batch}"),
            file=sys.stderr,
        )
    return ExitCode.PARTIAL if bad.any() else ExitCode.FINE


def _replan(options: Namespace, settings: Settings, runs: Path) -> None:
    from imgprep.plan.build import replan_batch
    from imgprep.plan.model import left_note
    from imgprep.ship.stale import known_now

    settings.require("instance")
    plan = replan_batch(options.batch, known_now(options.batch, settings, runs), confirm=options.confirm)
    left = left_note(plan.left)
    print(f"planned again: {plan}{f'; {left}' if left else ''}", file=sys.stderr)


def _strays(log: pd.DataFrame, settings: Settings, runs: Path) -> pd.DataFrame:
    """Return the objects in the batch's folder that no earlier run uploaded."""
    from imgprep.ship.gallery import gallery_state
    from imgprep.ship.run import load_runs

    strays: pd.DataFrame = log.attrs["strays"]
    if strays.empty or not settings.instance:
        return strays
    known = gallery_state(load_runs(runs), of=settings)
    return strays[~strays["key"].isin(settings.prefix + known["PicName"])]


def preflight(options: Namespace) -> int:
    from imgprep.ship.preflight import preflight as look

    found = look(settings_of(options), options.batch)
    if options.format == "table":
        show(found.drop(columns="remedy"), options.format)
        print(escaped(_remedies(found)))
    else:
        show(found, options.format)
    return ExitCode.UNUSABLE if found["result"].eq("fail").any() else ExitCode.FINE


def _remedies(found: pd.DataFrame) -> str:
    """Return the remedies in full; a table would truncate them."""
    bad = found[found["result"] != "ok"]
    lines = [f"{', '.join(group['check'])}: {remedy}" for remedy, group in bad.groupby("remedy", sort=False)]
    counts = [f"{number:,} {result}" for result, number in found["result"].value_counts().items()]
    return "\n".join(["", ", ".join(counts), *lines])


def submit(options: Namespace) -> int:
    from imgprep.ship.submit import submit as start
    from imgprep.ship.task_status import task_steps

    settings = settings_of(options)
    runs = options.runs or settings.runs
    if options.now and options.confirm is None and not settings.is_sandbox and not sys.stdin.isatty():
        raise ConfigError(
            f"submit --now: may start a second task on production instance {settings.instance!r}, and there "
            "is no terminal in which to confirm its name; omit --now to wait instead, or add --confirm NAME"
        )
    run = start(
        options.batch,
        settings,
        runs=runs,
        wait=options.wait,
        confirm=options.confirm,
        again=options.again,
        stale_ok=options.stale_ok,
        now=options.now,
        by_hand=options.by_hand,
    )
    print(f"run folder: {run.folder}", file=sys.stderr)
    if options.by_hand and not run.ended:
        print(task_steps(settings, run.folder), end="")
        return ExitCode.PARTIAL
    code = show_ended([run if options.no_follow else run.follow(settings)], options.format)
    if options.no_follow and run.task_id and not run.ended:
        print(
            "the task continues in the service; `imgprep follow` waits for its end and saves its report",
            file=sys.stderr,
        )
    elif run.ended:
        print(escaped(f"Next: imgprep report {run.folder} --html report.html"), file=sys.stderr)
    return code


def follow(options: Namespace) -> int:
    from imgprep.ship.gallery import reached
    from imgprep.ship.lost_answer import look_for_late
    from imgprep.ship.run import load_runs

    settings = settings_of(options)
    if options.run_folder:
        return show_ended([run_at(options.run_folder, options, settings).follow(settings)], options.format)
    try:
        look_for_late(settings, options.runs or settings.runs)
    except ImgprepError as error:  # still follow the runs that have a task
        print(escaped(f"imgprep: {error}"), file=sys.stderr)
    open_ones: list[Run] = []
    newest: dict[str, Run] = {}
    for run in load_runs(options.runs or settings.runs):
        newest |= {run.gallery: run} if reached(run) else {}
        if reached(run) and not run.ended:
            open_ones.append(run)
        elif not run.ended:
            note = (
                f"no task was started{f' ({run.note})' if run.note else ''}; submit the batch again, or close the run"
            )
            print(escaped(f"{run.id}: {note}"), file=sys.stderr)
    refused: ServiceError | None = None
    for run in open_ones:
        try:
            run.follow(settings)
        except ImgprepError as error:  # continue with the others, whose report links expire after two hours
            print(escaped(f"imgprep: {error}"), file=sys.stderr)
            if isinstance(error, ServiceError) and not error.passing:
                refused = error
    code = show_ended(open_ones, options.format)
    # Cron repeats this command, so lines that are still unknown are reported every time.
    doubtful = [run for run in newest.values() if run.ended and run.counts.get("unknown") and run not in open_ones]
    for run in doubtful:
        unknown = counted(run.counts["unknown"], "unknown line")
        note = f"ended with {unknown}; close the run with its report, or settle the lines with `imgprep dump`"
        print(escaped(f"{run.id}: {note}"), file=sys.stderr)
    if refused is not None:
        return ExitCode.UNUSABLE
    return max(code, ExitCode.PARTIAL) if doubtful else code


def close(options: Namespace) -> int:
    if options.message is None and options.report is None and not options.ignore_unmatched:
        raise ConfigError("close: add --message TEXT, as the console shows it, and --report FILE if there is a report")
    settings = settings_of(options)
    run = run_at(options.run_folder, options, settings)
    run.use_settings(settings)
    run.close(
        message=options.message,
        report=options.report,
        ignore_unmatched=options.ignore_unmatched,
        confirm=options.confirm,
    )
    return show_ended([run], options.format)


def adopt(options: Namespace) -> int:
    from imgprep.ship.submit import adopt as take

    settings = settings_of(options)
    run = take(options.task, settings, runs=options.runs or settings.runs)
    print(escaped(f"run folder: {run.folder}"), file=sys.stderr)
    return show_ended([run], options.format)


def tasks(options: Namespace) -> int:
    from imgprep.ship.submit import tasks as all_tasks

    settings = settings_of(options)
    found = all_tasks(settings, runs=options.runs or settings.runs)
    show(found, options.format)
    strange = found.loc[found["run"].isna(), "id"]
    if len(strange):
        note = f"{len(strange):,} of {counted(len(found), 'task')} without a run here; `imgprep adopt ID` creates one"
        print(f"{note}: {some_of(strange.head(_NAMED), len(strange))}", file=sys.stderr)
    return ExitCode.FINE


def dump(options: Namespace) -> int:
    from imgprep.ship.dump import dump_gallery

    print(dump_gallery(settings_of(options), into=options.into))
    return ExitCode.FINE


def policy(options: Namespace) -> int:
    from imgprep.ship.access import console_steps, documents

    settings = settings_of(options)
    found = documents(settings)
    if options.document:
        print(json.dumps(found[options.document], indent=2))
    else:
        print(console_steps(settings))
    return ExitCode.FINE
