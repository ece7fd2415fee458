"""Look: drift, pages of findings, duplicates, and fault sheets for the people who make the images."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from imgprep.cli.inputs import cache_of, catalogue_of, read_export, regions_of, settings_of, tier_of
from imgprep.cli.output import ExitCode, show
from imgprep.core.executors import open_cluster
from imgprep.core.files import overwriting, require_ours

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from imgprep.show.contact_sheet import ContactSheet


def compare(options: Namespace) -> int:
    from imgprep.load.drift import compare_exports, compare_products
    from imgprep.show.charts.plans import plot_drift

    require_ours(options.picture)
    settings = settings_of(options)
    last, this = (read_export(file, options, settings) for file in (options.last, options.this))
    drift = compare_exports(last, this)
    if options.products:
        show(compare_products(last, this), options.format)
    else:
        show(drift if options.all else drift[drift["verdict"] != "same"], options.format)
    if options.picture:
        figure = plot_drift(drift).get_figure(root=True)
        if figure is not None:
            with overwriting(options.picture) as draft:
                figure.savefig(draft, dpi=120)
    return ExitCode.FINDINGS if drift["verdict"].isin(["collapsed", "emptied", "vanished"]).any() else ExitCode.FINE


#: Findings per rule on a page; a page in a file may be longer than a notebook cell.
_PER_RULE = 48


def look(options: Namespace) -> int:
    from imgprep.look.rules.book import tally_rules
    from imgprep.show.contact_sheet import contact_sheet

    require_ours(options.out)
    findings = _found(options)
    sheet = contact_sheet(
        findings,
        options.images,
        rules=options.rule,
        regions=regions_of(options, settings_of(options)),
        page=options.page,
        per_page=_PER_RULE,
    )
    show(tally_rules(findings), options.format)
    _write_sheet(sheet, options.out)
    return ExitCode.FINDINGS if (findings["severity"] == "error").any() else ExitCode.FINE


def feedback(options: Namespace) -> int:
    from imgprep.look.rules.book import tally_rules
    from imgprep.show.feedback import write_feedback

    require_ours(options.out)
    findings = _found(options)
    language = settings_of(options).language
    write_feedback(findings, options.out, root=options.images, by=options.by, rules=options.rule, language=language)
    show(tally_rules(findings[findings["PicName"].notna()]), options.format)
    print(f"{options.out}: ready to print or mail; the file is self-contained", file=sys.stderr)
    return ExitCode.FINDINGS if (findings["severity"] == "error").any() else ExitCode.FINE


def duplicates(options: Namespace) -> int:
    from imgprep.look.duplicates import find_duplicates
    from imgprep.look.inspect import inspect_images
    from imgprep.show.contact_sheet import contact_sheet

    require_ours(options.out)
    settings, catalogue = catalogue_of(options)
    with open_cluster(settings.cluster) as executor:
        facts = inspect_images(catalogue, options.images, cache=cache_of(settings), executor=executor)
        groups = find_duplicates(facts, catalogue, root=options.images, executor=executor)
    show(groups, options.format)
    if options.out:
        sheet = contact_sheet(groups, options.images, page=options.page, per_page=_PER_RULE)
        _write_sheet(sheet, options.out)
    return ExitCode.FINE


def _write_sheet(sheet: ContactSheet, file: Path) -> None:
    sheet.write(file)
    print(f"{file}: {sheet.title}; page {sheet.page} of {sheet.pages}", file=sys.stderr)


def _found(options: Namespace) -> pd.DataFrame:
    """Return the findings for rows and images."""
    from imgprep.look.inspect import inspect_images
    from imgprep.look.match_names import match_names
    from imgprep.look.rules.book import check

    settings, catalogue = catalogue_of(options)
    with open_cluster(settings.cluster) as executor:
        facts = inspect_images(
            catalogue, options.images, tier=tier_of(options), cache=cache_of(settings), executor=executor
        )
    return check(
        catalogue,
        facts,
        regions=regions_of(options, settings),
        **settings.rules,
        files=match_names(catalogue, options.images),
    )
