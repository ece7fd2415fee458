"""From an export to a batch folder: init, lab, check, fetch, match, prepare, build."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.cli.inputs import cache_of, catalogue_of, known_of, last_of, regions_of, settings_of, tier_of
from imgprep.cli.output import ExitCode, escaped, say_findings, show
from imgprep.core.errors import ConfigError
from imgprep.core.executors import open_cluster
from imgprep.core.fields import FORCING, SEARCH_CATEGORY
from imgprep.core.files import overwriting, require_ours
from imgprep.core.frames import detached
from imgprep.core.settings import PROJECT_FILE, find_project, is_oss
from imgprep.core.text import counted

if TYPE_CHECKING:
    from imgprep.core.settings import Settings
    from imgprep.plan.batch_folder import Built
    from imgprep.plan.model import Baseline, Plan


def init(options: Namespace) -> int:
    from imgprep.load.column_map import load_columns
    from imgprep.shop import init_project

    made = init_project(options.folder, catalogue=options.catalogue, images=options.images)
    for file in made:
        print(f"created {file}")
    if made:
        here = "" if options.folder == Path() else f" --project {options.folder}"
        file = options.folder / PROJECT_FILE
        if options.catalogue:
            print(f"Columns that {options.catalogue.name} seems to have for the fields, in [shop.columns]:")
            print(f"  {'ProductId':<14} recognised in the export at each load; to choose its column, name it there")
            for field, entry in load_columns(file)[0].items():
                print(f"  {field:<14} {entry['column'] if isinstance(entry, Mapping) else entry}")
        todo = f"correct {file} if a column is wrong" if options.catalogue and options.images else f"fill in {file}"
        print(f"Next: {todo}, run `imgprep lab{here}`, and open 00_quickstart.")
    else:
        print("Everything exists already.")
    return ExitCode.FINE


def lab(options: Namespace) -> int:
    from imgprep.shop import shipped

    folder = Path(options.project).resolve() if options.project else find_project()
    start = "notebooks/START.md"
    if folder is None or not (folder / start).is_file():
        lacking = f"{folder}: has no {start}" if folder else f"no {PROJECT_FILE} here or above"
        raise ConfigError(f"{lacking}; create it with: imgprep init {folder or 'my-shop'}")
    # Jupyter's settings that open START.md as a page, before those of the user.
    settings = [str(shipped("notebooks") / ".jupyter"), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    opened = [f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{start}"]
    command = [sys.executable, "-m", "jupyterlab", *opened, *options.jupyter]
    environment = {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(settings)}
    os.execve(sys.executable, command, environment)  # noqa: S606  Ctrl+C is then JupyterLab's own


def check(options: Namespace) -> int:
    from imgprep.load.image_names import IMAGE_URL
    from imgprep.load.left_out import left_out
    from imgprep.look.rules.book import check as check_rows
    from imgprep.look.rules.book import tally_rules

    settings, catalogue = catalogue_of(options)
    facts = files = None
    # Without an image column, the loader's findings state the cause and the remedy.
    if options.images and "PicName" in catalogue.columns:
        from imgprep.look.inspect import inspect_images
        from imgprep.look.match_names import match_names

        with open_cluster(settings.cluster) as executor:
            facts = inspect_images(
                catalogue, options.images, tier=tier_of(options), cache=cache_of(settings), executor=executor
            )
        files = match_names(catalogue, options.images)
    judged = check_rows(catalogue, facts, regions=regions_of(options, settings), **settings.rules, files=files)
    findings = pd.concat([catalogue.attrs["findings"], judged], ignore_index=True)
    findings.attrs = judged.attrs  # the rows on which each rule's share is based
    table = tally_rules(findings)
    if options.format == "table" and not (options.all or options.summary):
        say_findings(findings, table)
    else:
        show(table if options.summary else _worst_first(findings), options.format)
    if options.format == "table":
        totals = table.groupby("severity", sort=False)["count"].sum()
        counts = ", ".join(
            counted(int(count), str(name).replace("info", "info finding")) for name, count in totals.items()
        )
        wanted = left_out(catalogue).isna().sum()
        print(f"\n{counted(int(wanted), 'row')} checked: {counts or 'no findings'}")
        if not options.images and IMAGE_URL in catalogue and catalogue[IMAGE_URL].notna().any():
            print("Next: `imgprep fetch --into DIR` downloads the images; then add --images DIR", file=sys.stderr)
        elif len(findings):
            print("Next: `imgprep look --out FILE.html` shows the images; --all lists every finding", file=sys.stderr)
    return ExitCode.FINDINGS if (findings["severity"] == "error").any() else ExitCode.FINE


def _worst_first(findings: pd.DataFrame) -> pd.DataFrame:
    order = findings["severity"].map({"error": 0, "warning": 1, "info": 2}).to_numpy()
    return findings.iloc[order.argsort(kind="stable")]


def fetch(options: Namespace) -> int:
    from imgprep.look.fetch import REMEDY, fetch_images

    settings, catalogue = catalogue_of(options)
    private = options.private or settings.private_hosts
    log = fetch_images(catalogue, options.into, column=options.column, private=private)
    show(log, options.format)
    if options.format == "table":
        failed = int(log["problem"].notna().sum())
        result = f"{len(log) - failed:,} fetched, {failed:,} failed" if len(log) else "no image is a URL; see --column"
        print(f"\n{counted(len(log), 'URL')}: {result}")
        for problem in log["problem"].dropna().unique():
            print(f"{problem}: {REMEDY[problem]}", file=sys.stderr)
    return ExitCode.PARTIAL if log["problem"].notna().any() else ExitCode.FINE


def match(options: Namespace) -> int:
    from imgprep.load.matches import apply_matches, read_matches, write_matches
    from imgprep.look.inspect import inspect_images
    from imgprep.look.match_files import PATTERNS, match_files

    require_ours(options.out)
    settings, catalogue = catalogue_of(options)
    earlier, known = None, read_matches(options.map) if options.map and options.map.exists() else None
    patterns = options.pattern or PATTERNS
    with open_cluster(settings.cluster) as executor:
        if options.earlier:
            earlier = inspect_images(catalogue, options.earlier, cache=cache_of(settings), executor=executor)
        named: dict[str, Any] = {"earlier": earlier, "known": known, "within": options.within, "executor": executor}
        found = match_files(options.images, catalogue, patterns, **named)
    if options.map:
        write_matches(found, options.map)
    if options.out:
        with overwriting(options.out) as draft:
            detached(apply_matches(catalogue, found)).to_parquet(draft, index=False)
    show(found.assign(candidates=[", ".join(each) for each in found["candidates"]]), options.format)
    if options.format == "table":
        states = ", ".join(f"{count} {state}" for state, count in found["state"].value_counts().items())
        print("\nTried:")
        show(found.attrs["tried"], options.format)
        print(f"\n{counted(len(found), 'file')}: {states or 'none'}")
    return ExitCode.FINDINGS if found["state"].isin(["ambiguous", "unmatched"]).any() else ExitCode.FINE


def prepare(options: Namespace) -> int:
    from imgprep.fix.prepare import prepare_images
    from imgprep.look.inspect import inspect_images

    settings, catalogue = catalogue_of(options)
    tier = "header" if is_oss(options.images) else "decode"
    with open_cluster(settings.cluster) as executor:
        facts = inspect_images(catalogue, options.images, tier=tier, cache=cache_of(settings), executor=executor)
        log = prepare_images(
            facts,
            options.images,
            options.out,
            dry_run=options.dry_run,
            service=settings.service,
            limits=settings.limits,
            executor=executor,
        )
    show(log, options.format)
    return ExitCode.FINDINGS if log["action"].isin(["refused", "missing"]).any() else ExitCode.FINE


def plan(options: Namespace) -> int:
    from imgprep.plan.build import Rules, preview_batch

    settings, catalogue, baseline = _inputs(options)
    _print_export(catalogue)
    with open_cluster(settings.cluster) as executor:
        found, prepared, stops = preview_batch(
            catalogue,
            options.images,
            rules=Rules(**settings.rules),
            baseline=baseline,
            regions=regions_of(options, settings),
            tier=tier_of(options),
            target=settings.target,
            cache=cache_of(settings),
            executor=executor,
        )
    shown, carried = (
        found.rows() if options.lines else found.summary(),
        found.carried.rename(columns={"field": "reason"}),
    )
    if not options.lines:
        groups = carried.groupby("reason", as_index=False)
        carried = groups.agg(rows=("line", "size"), products=("ProductId", "nunique"))
    carried = carried.assign(what="carried over").reindex(columns=shown.columns)
    show(pd.concat([shown, carried], ignore_index=True) if len(carried) else shown, options.format)
    converted = int(prepared["action"].eq("converted").sum())
    if converted and baseline.known is not None:
        note = "whether the copies differ from the gallery's images is unknown until they are made"
        print(f"{counted(converted, 'image')} would be converted; {note}", file=sys.stderr)
    _print_categories(found, settings)
    _print_left(found, options)
    for stop in stops:
        print(escaped(f"building would stop: {stop}"), file=sys.stderr)
    if found.batch.empty:
        print("nothing to do: the batch would have no lines", file=sys.stderr)
    return ExitCode.FINE


def _print_categories(plan: Plan, settings: Settings) -> None:
    recategorised = int(plan.category_changes()["images"].sum())
    if recategorised and settings.service not in FORCING:  # these services ignore a line's category
        print(f"{counted(recategorised, 'image')} with another category: {SEARCH_CATEGORY}", file=sys.stderr)


def _print_export(catalogue: pd.DataFrame) -> None:
    """Print the findings on the whole export, such as unread sheets or products that the shop hides."""
    from imgprep.load.image_columns import IMAGE_COLUMNS

    found = catalogue.attrs["findings"]
    whole = found[found[["row", "ProductId", "PicName"]].isna().all(axis=1) & found["rule"].ne(IMAGE_COLUMNS)]
    for message, fix in zip(whole["message"], whole["fix"], strict=True):
        print(escaped(f"export: {message}; {fix}"), file=sys.stderr)


def _print_left(plan: Plan, options: Namespace) -> None:
    from imgprep.plan.model import left_note

    note = left_note(plan.left)
    if note is not None:
        print(f"{note}{'' if options.delete_missing else '; --delete-missing deletes them'}", file=sys.stderr)


def _inputs(options: Namespace) -> tuple[Settings, pd.DataFrame, Baseline]:
    """Return the settings, the catalogue, and the baseline to plan against."""
    from imgprep.ship.gallery import own_runs
    from imgprep.ship.run import load_runs

    if options.catalogue is None and len(options.known or ()) > 1:
        raise ConfigError("--known takes all names that follow; put CATALOGUE before --known")
    settings, catalogue = catalogue_of(options)
    known, last = known_of(options.known, settings), last_of(options, settings, catalogue)
    if known is None and settings.runs.is_dir() and (own := own_runs(load_runs(settings.runs), settings)):
        print(
            escaped(
                f"--known is not given, so the images that {counted(len(own), 'run')} in {settings.runs} sent count as "
                "new, and lose the fields for which the catalogue has no column; add --known "
                f"{settings.runs}"
            ),
            file=sys.stderr,
        )
    return settings, catalogue, _baseline(options, settings, known, last)


def _baseline(
    options: Namespace, settings: Settings, known: pd.DataFrame | None, last: pd.DataFrame | None
) -> Baseline:
    from imgprep.plan.model import Baseline

    return Baseline(
        known=known,
        last=last,
        delete_missing=options.delete_missing,
        instance=settings.instance,
        confirm=options.confirm,
        confirm_rows=options.confirm_rows,
    )


def build(options: Namespace) -> int:
    if _in_parts(options):
        return _build_parts(options)
    code, built = _build(options, *_inputs(options))
    images = set(built.plan.batch["PicName"].dropna()) & set(built.facts["PicName"])  # not those of excluded rows
    content = f"{counted(len(built.plan.batch), 'line')}, {counted(len(images), 'image')}"
    following = f"Next: imgprep upload {built.folder}" if len(built.plan.batch) else "There is nothing to send"
    print(escaped(f"{built.folder}: {content}. {following}"), file=sys.stderr)
    return code


def _in_parts(options: Namespace) -> bool:
    """Return whether to build in parts: as asked, or because an export without images is large."""
    from imgprep.load.parts import count_rows
    from imgprep.plan.parts import PARTS_FROM

    settings = settings_of(options)
    options.catalogue = options.catalogue or settings.catalogue
    rows = count_rows(options.catalogue) if options.catalogue and options.parts is None else None
    if rows is not None and rows >= PARTS_FROM:
        about = f"{options.catalogue}: about {rows:,} rows"
        if options.images or settings.images:
            note = "are read whole: about 0.7 GB of memory per million rows; with --parts, 1 GB in all, but no images"
            print(escaped(f"{about} {note}"), file=sys.stderr)
        else:
            print(escaped(f"{about} are built in parts (--parts)"), file=sys.stderr)
            options.parts = 0
    if options.facts and options.parts is None:
        raise ConfigError("--facts: only for --parts; otherwise the images themselves are inspected (--images)")
    return options.parts is not None


#: Option → what to do in place of it, as parts see neither the images nor the whole export.
_WHOLE = {
    "images": (
        "parts are checked with facts about the images, and no image is copied or repaired. Inspect them once, "
        "ip.inspect_images(names, images, out='facts.parquet'), build with --facts facts.parquet, and name the images "
        "when sending a part: imgprep upload PART --images DIR. Images that need repair: ip.prepare_images makes the "
        "copies, and the facts must then be those of the copies"
    ),
    "near_names": "parts do not look for files: correct the names in the export, or use a column map",
    "keep_refused": "it compares predictions with outcomes, for which a part of the export is enough (--where)",
    "last": (
        "the last export is not compared. A collapse still shows: many excluded rows and many deletions must be "
        "confirmed for all parts together; `imgprep compare` compares two exports that fit in memory"
    ),
}


def _build_parts(options: Namespace) -> int:
    from imgprep.look.rules.book import tally_rules
    from imgprep.plan.build import Rules
    from imgprep.plan.model import left_note
    from imgprep.plan.parts import build_parts

    settings = settings_of(options)
    reading = {name: getattr(options, name) or value for name, value in settings.reading.items()}
    for name, remedy in _WHOLE.items():
        if getattr(options, name):
            raise ConfigError(f"--{name.replace('_', '-')}: cannot be used with --parts; {remedy}")
    built = build_parts(
        options.catalogue,
        options.out,
        parts=options.parts or None,
        rules=Rules(**settings.rules),
        baseline=_baseline(options, settings, known_of(options.known, settings), None),
        regions=regions_of(options, settings),
        facts=options.facts,
        **reading,
    )
    show(built.summary(), options.format)
    if options.format == "table" and len(built.excluded):
        print("\nExcluded:")
        show(built.excluded.reset_index(), options.format)
    if built.loss.images:
        print(f"{built.loss}", file=sys.stderr)
    if (note := left_note(built.left)) is not None:
        print(f"{note}{'' if options.delete_missing else '; --delete-missing deletes them'}", file=sys.stderr)
    content = f"{counted(len(built.folders), 'batch folder')} for {counted(built.rows, 'row')}"
    images = f"Images were not copied. Next, for each part: imgprep upload {built.folders[0]} --images DIR"
    print(escaped(f"{built.folder}: {content}. {images}"), file=sys.stderr)
    table = tally_rules(built.findings)
    return ExitCode.FINDINGS if (table["severity"] == "error").any() else ExitCode.FINE


def week(options: Namespace) -> int:
    from imgprep.load.drift import compare_exports
    from imgprep.look.rules.book import tally_rules
    from imgprep.ship.gallery import gallery_state, kept_export, own_runs, project_state
    from imgprep.ship.run import load_runs

    settings, catalogue = catalogue_of(options)
    options.last, options.out = options.last or settings.earlier, options.out or settings.work / "week"
    options.known, options.keep_refused = None, False
    runs = own_runs(load_runs(settings.runs), settings)
    known = project_state(settings)
    known = gallery_state([]) if known is None else known
    last = last_of(options, settings, catalogue) if options.last else kept_export(runs, catalogue)
    _step(options, f"load: {counted(len(catalogue), 'row')}")
    if last is None:
        _step(options, "compare: no earlier export is known; name one with --last, or as earlier in imgprep.toml")
    else:
        drift = compare_exports(last, catalogue)
        _step(options, "compare with the last export:", drift[drift["verdict"] != "same"])
    code, built = _build(options, settings, catalogue, _baseline(options, settings, known, last))
    _step(options, "check:", tally_rules(built.findings))
    gallery = runs[-1].gallery if runs else settings.gallery
    held = f"planned against the gallery {gallery}: {counted(len(known), 'image')}, from {counted(len(runs), 'run')}"
    if not runs and not settings.instance:
        images = counted(len(known), "image")
        held = f"no instance is set, so the plan assumes a gallery of {images}; set instance in imgprep.toml"
    if dump := known.attrs["basis"]["dump"]:
        held += f" and the export {dump}"
    next_steps = f"Nothing was sent. Next: imgprep upload {options.out}, then imgprep submit {options.out}"
    if built.plan.batch.empty:
        next_steps = "There is nothing to send"
    print(escaped(f"{held}\n{next_steps}"), file=sys.stderr)
    return code


def _step(options: Namespace, title: str, frame: pd.DataFrame | None = None) -> None:
    """Print a step of the weekly workflow, for people only; programs read one list."""
    if options.format == "table":
        print(f"\n{title}")
        if frame is not None:
            show(frame, options.format)


def _build(
    options: Namespace, settings: Settings, catalogue: pd.DataFrame, baseline: Baseline
) -> tuple[ExitCode, Built]:
    from imgprep.load.left_out import LEFT_OUT_REASONS
    from imgprep.outcomes.tallies import tally_durations
    from imgprep.plan.build import Rules, build_batch
    from imgprep.plan.preview import estimate
    from imgprep.ship.gallery import own_runs
    from imgprep.ship.run import load_runs

    _print_export(catalogue)
    with open_cluster(settings.cluster) as executor:
        built = build_batch(
            catalogue,
            options.images,
            options.out,
            rules=Rules(**settings.rules),
            baseline=baseline,
            regions=regions_of(options, settings),
            keep_refused=options.keep_refused,
            prepare=not options.keep_refused,
            sources=[options.catalogue],
            tier=tier_of(options),
            target=settings.target,
            cache=cache_of(settings),
            executor=executor,
        )
    show(built.plan.summary(), options.format)
    if options.format == "table" and len(built.plan.excluded):
        print("\nExcluded:")
        show(built.plan.excluded["reason"].value_counts().rename("rows").reset_index(), options.format)
    _print_categories(built.plan, settings)
    if len(built.plan.carried):
        fields = built.plan.carried["field"].value_counts(sort=False)
        kept = ", ".join(f"{field} ({counted(int(lines), 'line')})" for field, lines in fields.items())
        print(f"Kept as in the gallery, because the catalogue has no columns for them: {kept}", file=sys.stderr)
    if options.format == "table" and len(built.plan.batch):
        print("\nEstimated cost:")
        earlier = tally_durations(own_runs(load_runs(settings.runs), settings))
        costs = estimate(built.plan, built.facts, durations=earlier)
        show(costs[costs["value"].notna()], options.format)
    if built.loss.images:
        print(f"{built.loss}", file=sys.stderr)
    _print_left(built.plan, options)
    unwanted = built.plan.excluded["reason"].isin(LEFT_OUT_REASONS)
    errors = (built.findings["severity"] == "error").any() or not unwanted.all()
    return ExitCode.FINDINGS if errors else ExitCode.FINE, built
