"""Reconcile: outcomes, retry, undo, and the history of runs."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from imgprep.cli.inputs import cache_of, read_export, regions_of, run_at, settings_of, tier_of
from imgprep.cli.output import ExitCode, escaped, show, show_ended
from imgprep.core.errors import ConfigError, ReportError
from imgprep.core.executors import open_cluster
from imgprep.core.files import require_ours
from imgprep.core.settings import PROJECT_FILE, Settings
from imgprep.core.text import counted


def trace(options: Namespace) -> int:
    from imgprep.outcomes.trace import trace as story_of

    settings = settings_of(options)
    if options.runs or not (settings.project / PROJECT_FILE).is_file():  # a new project has no runs yet
        _runs_folder(options, settings)
    story = story_of(options.product_id, options.runs or settings, ask=options.ask)
    show(story.events, options.format)
    print(escaped(f"{story.product_id}: {story.answer}"), file=sys.stderr)
    return ExitCode.FINE if story.gallery["state"].eq("held").any() else ExitCode.FINDINGS


def review(options: Namespace) -> int:
    from imgprep.outcomes.review import review as review_month
    from imgprep.ship.checks import saved_checks
    from imgprep.ship.gallery import own_runs
    from imgprep.ship.run import load_runs

    require_ours(options.html)
    settings = settings_of(options)
    every = load_runs(_runs_folder(options, settings))
    runs = own_runs(every, settings)
    of, checks = runs[-1].sent_to if runs else settings, saved_checks(settings)
    month = review_month(every, options.month, source=options.source, of=of, checks=checks)
    if len(runs) < len(every) and not settings.instance:
        left_out = counted(len(every) - len(runs), "run")
        print(escaped(f"{left_out} of other galleries not counted; set the instance to choose one"), file=sys.stderr)
    show(getattr(month, options.table), options.format)
    print(escaped(f"{month}; {month.asked}"), file=sys.stderr)
    if options.html:
        month.write(options.html, language=settings.language)
    return ExitCode.FINE


def verify(options: Namespace) -> int:
    from imgprep.cloud.imagesearch import ImageSearch
    from imgprep.outcomes.asking import cost
    from imgprep.outcomes.verify import AS_SENT, GONE, verify_gallery, verify_requests
    from imgprep.ship.run import load_runs

    settings = settings_of(options)
    settings.require("instance")
    runs = load_runs(_runs_folder(options, settings))
    drawn = {"sample": options.sample, "confidence": options.confidence, "margin": options.margin}
    requests, qps = verify_requests(runs, settings, **drawn), ImageSearch(settings).searches_per_second()
    print(escaped(f"{settings.gallery}: {cost(requests, qps)}"), file=sys.stderr)
    if options.dry_run:
        return ExitCode.FINE
    found = verify_gallery(runs, settings, confirm=options.confirm, progress=sys.stderr.isatty(), **drawn)
    asked = found.asked
    show(asked if options.all else asked[~asked["answer"].isin([AS_SENT, GONE])], options.format)
    print(escaped(f"{found.sentence}; answers: {found.file}"), file=sys.stderr)
    return ExitCode.FINE if asked["answer"].isin([AS_SENT, GONE]).all() else ExitCode.FINDINGS


def calibrate(options: Namespace) -> int:
    from imgprep.outcomes.calibrate import SETTLED, UNDECIDED, plan_calibration
    from imgprep.outcomes.calibrate import calibrate as ask

    settings = settings_of(options)
    settings.require("instance", "bucket", "path")
    plan = plan_calibration(settings, apart=options.apart)
    if options.dry_run:
        show(plan.questions, options.format)
        print(escaped(f"{settings.gallery}: {plan}"), file=sys.stderr)
        return ExitCode.FINE
    if not options.clean:
        for task, questions in plan.questions.dropna(subset="task").groupby("task", sort=False):
            print(escaped(f"task {task}:"), *map(escaped, questions["question"]), sep="\n  ", file=sys.stderr)
        print(escaped(f"{settings.gallery}: {plan}"), file=sys.stderr)
    if options.confirm is None and not settings.is_sandbox and not sys.stdin.isatty():
        raise ConfigError(
            f"calibrate: adds images to production instance {settings.instance!r} and deletes them again, and there is "
            "no terminal in which to confirm its name; add --confirm NAME"
        )
    found = ask(settings, apart=options.apart, confirm=options.confirm, only_clean=options.clean)
    if found is None:
        print("no interrupted calibration to clean up", file=sys.stderr)
        return ExitCode.FINE
    columns = ["point", "answer", "meaning", "evidence"]
    answers = found.answers
    if options.format == "table":
        show(answers[answers["state"].isin([SETTLED, UNDECIDED])][columns], options.format)
        for row in answers[~answers["state"].isin([SETTLED, UNDECIDED])].itertuples():
            print(escaped(f"{row.state}: {row.question} {row.meaning}"), file=sys.stderr)
    else:
        show(answers, options.format)
    report = f"; report without names and links: {found.report}" if found.report else ""
    print(escaped(f"{found.note}; facts: {found.facts}{report}"), file=sys.stderr)
    return ExitCode.FINE if answers["state"].ne(UNDECIDED).all() else ExitCode.FINDINGS


def findability(options: Namespace) -> int:
    from imgprep.cloud.imagesearch import ImageSearch
    from imgprep.outcomes.asking import cost
    from imgprep.outcomes.findability import findability as search
    from imgprep.outcomes.findability import requests_for, sampled_images
    from imgprep.ship.run import load_runs

    require_ours(options.html)
    require_ours(options.picture)
    settings = settings_of(options)
    settings.require("instance")
    runs = load_runs(_runs_folder(options, settings))
    drawn = {"sample": options.sample, "by": options.by}
    requests = requests_for(sampled_images(runs, settings, **drawn)[0])
    print(
        escaped(f"{settings.gallery}: {cost(requests, ImageSearch(settings).searches_per_second())}"), file=sys.stderr
    )
    if options.dry_run:
        return ExitCode.FINE
    found = search(runs, settings, confirm=options.confirm, progress=sys.stderr.isatty(), **drawn)
    listed = found.problems[["ProductId", "PicName", "rank", "rank_category", "recall", "before", "reason", "remedy"]]
    show(found.pairs if options.pairs else found.by(options.by) if options.by else listed, options.format)
    print(escaped(found.sentence + (f"; {found.note}" if found.note else "")), file=sys.stderr)
    if options.html:
        from imgprep.show.contact_sheet import contact_sheet

        images = options.images or settings.images
        if images is None:
            raise ConfigError("--html shows images; name their folder with --images")
        print(escaped(f"page: {contact_sheet(found.problems, images).write(options.html)}"), file=sys.stderr)
    if options.picture:
        from imgprep.core.files import overwriting
        from imgprep.show.charts.findability import plot_findability

        with overwriting(options.picture) as draft:
            plot_findability(found, options.by).figure.savefig(draft)  # type: ignore[union-attr]  # a new figure
    return ExitCode.FINDINGS if len(found.problems) else ExitCode.FINE


def what_if(options: Namespace) -> int:
    from imgprep.cloud.imagesearch import ImageSearch
    from imgprep.outcomes.asking import cost
    from imgprep.outcomes.what_if import what_if as compare

    settings = settings_of(options)
    settings.require("instance")
    images = options.images or settings.images
    if images is None:
        raise ConfigError("what-if: needs images to search with; name their folder with --images")
    most = cost(3 * len(options.names), ImageSearch(settings).searches_per_second())
    print(escaped(f"{settings.gallery}: at most {most}"), file=sys.stderr)
    regions = regions_of(options, settings)
    quiet = not sys.stderr.isatty()
    found = compare(options.names, images, settings, regions=regions, confirm=options.confirm, progress=not quiet)
    show(found, options.format)
    if found.attrs["note"]:
        print(found.attrs["note"], file=sys.stderr)
    return ExitCode.FINDINGS if found["problem"].notna().any() else ExitCode.FINE


def _runs_folder(options: Namespace, settings: Settings) -> Path:
    folder: Path = options.runs or settings.runs
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}: no such folder of runs; `imgprep submit` creates it, or choose another with --runs"
        )
    return folder


def report(options: Namespace) -> int:
    from imgprep.outcomes.retry import failed_lines
    from imgprep.outcomes.tallies import tally_causes
    from imgprep.show.export import export_table

    require_ours(options.html)
    require_ours(options.failed)
    settings = settings_of(options)
    runs = [run_at(place, options, settings) for place in options.run_folders]
    if (options.report or options.html) and len(runs) > 1:
        raise ConfigError("--report and --html are for a single run; name one")
    for run in runs:
        run.use_settings(settings)
        if options.report:
            try:
                run.close(report=options.report, confirm=options.confirm)
            except ReportError as error:
                raise ReportError(f"{options.report}: {error}. {run.without_report()}") from error
        elif run.causes_changed:
            run.read_again()
            print(f"{run.id}: its report was read again, with the causes added since", file=sys.stderr)
    causes = tally_causes(runs)
    causes = causes[["run", "cause", "family", "count", *(["again"] if len(runs) > 1 else []), "lines", "remedy"]]
    code = show_ended(runs, options.format, causes)
    if len(causes) and options.format == "table":
        show(causes, options.format)
    if options.html:
        runs[0].report(options.html, images=options.images)
        print(f"page: {options.html}", file=sys.stderr)
    if options.failed:
        print(f"failed and unknown lines: {export_table(failed_lines(runs), options.failed)}", file=sys.stderr)
    return code


def runs(options: Namespace) -> int:
    from imgprep.plan.batch_folder import ABOUT
    from imgprep.ship.prune import list_runs, prunable, prune
    from imgprep.ship.run import load_runs

    settings = settings_of(options)
    folder = _runs_folder(options, settings)
    every = load_runs(folder)
    here = [file.parent for file in settings.project.glob(f"*/{ABOUT}")]
    places = [place for place in (settings.work, folder, *here, *options.batches) if place.is_dir()]
    show(list_runs(every, places), options.format)
    if options.prune:
        old = prunable(every, places, days=options.older_than)
        for batch in old:
            size = f"{counted(len(batch.names), 'image')}, {batch.bytes / 1e6:,.1f} MB"
            print(escaped(f"{batch.images.folder}: {size}, of run {batch.run.id}"), file=sys.stderr)
        if not options.dry_run:
            prune(old)
        done = "would be removed" if options.dry_run else "removed"
        total = counted(sum(len(batch.names) for batch in old), "image")
        print(f"{total} {done}; runs and files that imgprep did not write are kept", file=sys.stderr)
    return ExitCode.FINE


def retry(options: Namespace) -> int:
    from imgprep.outcomes.retry import build_retry
    from imgprep.plan.build import Rules

    settings = settings_of(options)
    options.images = options.images or settings.images
    catalogue = read_export(options.catalogue, options, settings) if options.catalogue else None
    run = run_at(options.run_folder, options, settings)
    with open_cluster(settings.cluster) as executor:
        _, again = build_retry(
            run,
            options.images,
            options.out,
            catalogue=catalogue,
            regions=regions_of(options, settings),
            rules=Rules(**settings.rules),
            tier=tier_of(options),
            target=settings.target,
            cache=cache_of(settings),
            executor=executor,
        )
    show(again.rest, options.format)
    print(f"{counted(len(again.batch), 'line')} in {options.out}, {len(again.rest):,} excluded", file=sys.stderr)
    return ExitCode.FINDINGS if len(again.rest) else ExitCode.FINE


def undo(options: Namespace) -> int:
    from imgprep.outcomes.undo import build_undo

    settings = settings_of(options)
    images = options.images or settings.images or []
    run = run_at(options.run_folder, options, settings)
    built = build_undo(run, images, options.out, later=options.later, confirm=options.confirm)
    show(built.plan.summary(), options.format)
    if built.loss.images:
        print(f"{built.loss}", file=sys.stderr)
    return ExitCode.FINDINGS if len(built.plan.excluded) else ExitCode.FINE
