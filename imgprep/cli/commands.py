"""One function a command: options in, exit code out."""

from __future__ import annotations

import json
import signal
import sys
import threading
from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.cli.output import ExitCode, records, show
from imgprep.errors import ConfigError
from imgprep.settings import PROJECT_FILE, Settings

_SETTINGS = ("region", "bucket", "path", "instance", "role_arn", "oss_endpoint", "imagesearch_endpoint", "service")


def settings_of(options: Namespace) -> Settings:
    """Settings from arguments, environment and project file, in this order."""
    given = {name: getattr(options, name, None) for name in _SETTINGS}
    arguments: dict[str, Any] = {name: value for name, value in given.items() if value}
    if options.project or Path(PROJECT_FILE).exists():
        return Settings.load(options.project or PROJECT_FILE, **arguments)
    return Settings.from_env(**arguments)


def demo(options: Namespace) -> int:
    """The whole path on the demo catalogue and a sandbox of its own."""
    from imgprep.demo import run_demo

    result = run_demo(options.out, say=print)
    show(result.sums, options.format)
    print(f"\nreport:     {result.report}\nrun folder: {result.run_folder}")
    if result.surprises.empty:
        return ExitCode.FINE
    print("\nThese lines did not end as predicted:")
    show(result.surprises, options.format)
    return ExitCode.FINDINGS


def init(options: Namespace) -> int:
    """Make a project folder: imgprep.toml and the notebooks."""
    from imgprep.project import init_project

    made = init_project(options.folder)
    for file in made:
        print(f"made {file}")
    print("Everything is there already." if not made else f"Next: fill in {options.folder / PROJECT_FILE}")
    return ExitCode.FINE


def check(options: Namespace) -> int:
    """Check every row, and every image, against the service's rules."""
    from imgprep.checks import check as check_rows
    from imgprep.checks import summary
    from imgprep.images import inspect_images

    settings, catalogue = _catalogue(options)
    images = options.images or settings.images
    facts = inspect_images(catalogue, images, cache=_cache(settings)) if images else None
    findings = check_rows(
        catalogue,
        facts,
        regions=_regions(options),
        service=settings.service,
        severity=settings.severity,
        limits=settings.limits,
    )
    findings = pd.concat([catalogue.attrs["findings"], findings], ignore_index=True)
    show(summary(findings) if options.summary else findings, options.format)
    if options.format == "table":
        told = ", ".join(f"{count} {name}" for name, count in findings["severity"].value_counts().items())
        print(f"\n{len(catalogue):,} rows looked at: {told or 'nothing found'}")
    return ExitCode.FINDINGS if (findings["severity"] == "error").any() else ExitCode.FINE


def fetch(options: Namespace) -> int:
    """Fetch images that the catalogue names by URL."""
    from imgprep.images import fetch_images

    _, catalogue = _catalogue(options)
    log = fetch_images(catalogue, options.into)
    show(log, options.format)
    return ExitCode.PARTIAL if log["problem"].notna().any() else ExitCode.FINE


def prepare(options: Namespace) -> int:
    """Make service-ready copies of images, with a log."""
    from imgprep.images import inspect_images, prepare_images

    settings, catalogue = _catalogue(options)
    facts = inspect_images(catalogue, options.images, cache=_cache(settings))
    log = prepare_images(facts, options.images, options.out, dry_run=options.dry_run, service=settings.service)
    show(log, options.format)
    return ExitCode.FINDINGS if log["action"].isin(["refused", "missing"]).any() else ExitCode.FINE


def build(options: Namespace) -> int:
    """Make a batch folder: increment.meta, its tables, and images."""
    from imgprep.build import build_batch

    settings, catalogue = _catalogue(options)
    built = build_batch(
        catalogue,
        options.images,
        options.out,
        service=settings.service,
        regions=_regions(options),
        known=_known(options.known, settings),
        delete_missing=options.delete_missing,
        keep_refused=options.keep_refused,
        prepare=not options.keep_refused,
        severity=settings.severity,
        limits=settings.limits,
        sources=[options.catalogue],
        cache=_cache(settings),
    )
    show(built.plan.summary(), options.format)
    if options.format == "table" and len(built.plan.excluded):
        print("\nLeft out:")
        show(built.plan.excluded["reason"].value_counts().rename("rows").reset_index(), options.format)
    errors = (built.findings["severity"] == "error").any() or len(built.plan.excluded)
    return ExitCode.FINDINGS if errors else ExitCode.FINE


def upload(options: Namespace) -> int:
    """Upload a batch folder: images, verified, then increment.meta."""
    from imgprep.oss import upload as send

    settings = settings_of(options)
    runs = options.runs or settings.runs
    log = send(options.batch, None, settings, dry_run=options.dry_run, replace=options.replace, runs=runs)
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
    return _ended([run if options.no_follow else run.follow(settings)], options.format)


def follow(options: Namespace) -> int:
    """Follow a run's task to its end and save its error report."""
    from imgprep.runs import load_runs, open_run

    settings = settings_of(options)
    open_ones = [open_run(options.run_folder)] if options.run_folder else load_runs(options.runs or settings.runs)
    return _ended([run.follow(settings) for run in open_ones if options.run_folder or not run.ended], options.format)


def report(options: Namespace) -> int:
    """Outcome and causes of runs; one HTML page."""
    from imgprep.html import write_report
    from imgprep.runs import open_run
    from imgprep.tallies import tally_causes

    runs = [open_run(folder) for folder in options.run_folders]
    if (options.report or options.html) and len(runs) > 1:
        raise ConfigError("--report and --html are about one run; name one")
    if options.report:
        runs[0].close(report=options.report)
    causes = tally_causes(runs)[["run", "cause", "family", "count", "lines", "remedy"]]
    code = _ended(runs, options.format, causes)
    if len(causes) and options.format == "table":
        show(causes, options.format)
    if options.html:
        write_report(runs[0], options.html, images=options.images)
    return code


def retry(options: Namespace) -> int:
    """Make the next batch of what can succeed now."""
    from imgprep.build import build_retry
    from imgprep.catalogue import load_catalogue
    from imgprep.runs import open_run

    settings = settings_of(options)
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
        service=settings.service,
        regions=_regions(options),
        severity=settings.severity,
        limits=settings.limits,
    )
    show(again.rest, options.format)
    print(f"{len(again.batch):,} lines in {options.out}, {len(again.rest):,} left out", file=sys.stderr)
    return ExitCode.FINDINGS if len(again.rest) else ExitCode.FINE


def tasks(options: Namespace) -> int:
    """Every batch task of the instance, the console's included."""
    from imgprep.runs import tasks as all_tasks

    settings = settings_of(options)
    show(all_tasks(settings, runs=options.runs or settings.runs), options.format)
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


def sandbox(options: Namespace) -> int:
    """Run the local OSS and Image Search server in the foreground."""
    from imgprep.sandbox import Sandbox

    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    if not 0 <= options.port <= 65535:
        raise ConfigError(f"--port {options.port}: needs 0 to 65535; 0 takes a free one")
    with Sandbox(options.root, port=options.port) as server:
        for name, value in server.environment().items():
            print(f"export {name}={value}")
        print(f"# sandbox at {server.url}; Ctrl+C stops it", flush=True)
        stop.wait()
    return ExitCode.FINE


def _catalogue(options: Namespace) -> tuple[Settings, pd.DataFrame]:
    from imgprep.catalogue import load_catalogue

    settings = settings_of(options)
    columns = options.columns or settings.columns
    return settings, load_catalogue(options.catalogue, preset=options.preset or settings.preset, columns=columns)


def _cache(settings: Settings) -> Path | None:
    return settings.work / "cache" / "facts" if settings.work.is_dir() else None


def _regions(options: Namespace) -> Any:
    from imgprep.store import RegionStore

    if options.regions is None:
        return None
    if not options.regions.exists():
        raise ConfigError(f"{options.regions}: no region store is there; RegionStore(path) makes one")
    return RegionStore(options.regions)


def _known(sources: list[Path] | None, settings: Settings) -> pd.DataFrame | None:
    """The gallery's state from run folders, folders of runs, and at most one DumpMeta export."""
    if not sources:
        return None
    from imgprep.runs import gallery_state, load_runs, open_run

    runs: list[Any] = []
    dumps = []
    for source in sources:
        if source.is_file():
            dumps.append(source)
        elif (source / "run.json").exists():
            runs.append(open_run(source))
        elif source.is_dir():
            runs += load_runs(source)
        else:
            raise ConfigError(f"{source}: neither a run folder, nor a folder of runs, nor a DumpMeta export")
    if len(dumps) > 1:
        raise ConfigError(f"--known: two DumpMeta exports ({dumps[0]}, {dumps[1]}); name the newer one")
    of = settings if settings.instance else None
    state: pd.DataFrame = gallery_state(runs, dump=dumps[0] if dumps else None, of=of)
    return state


def _ended(runs: list[Any], form: str, causes: pd.DataFrame | None = None) -> int:
    """Print how runs ended (as JSON with their causes); the exit code of the worst."""
    from imgprep.tallies import tally_outcomes

    tally = tally_outcomes(runs).assign(state=[run.state for run in sorted(runs, key=lambda run: run.id)])
    if form == "json" and causes is not None:
        each = [records(causes[causes["run"] == run].drop(columns="run")) for run in tally["run"]]
        tally = tally.assign(causes=pd.Series(each, index=tally.index, dtype=object))
    show(tally, form)
    if tally["unknown"].any() or not all(run.ended for run in runs):
        return ExitCode.PARTIAL
    return ExitCode.FINDINGS if tally["failed"].any() else ExitCode.FINE
