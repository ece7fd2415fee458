"""One export against another: one function a command, options in, exit code out."""

from __future__ import annotations

from argparse import Namespace

from imgprep.cli.inputs import settings_of
from imgprep.cli.output import ExitCode, show
from imgprep.written import overwriting, require_ours


def compare(options: Namespace) -> int:
    """This export against the last one: rows, products, columns, categories."""
    from imgprep.catalogue import compare_exports, compare_products, load_catalogue
    from imgprep.charts import plot_drift

    require_ours(options.picture)
    settings = settings_of(options)
    columns, preset = options.columns or settings.columns, options.preset or settings.preset
    last, this = (load_catalogue(file, preset=preset, columns=columns) for file in (options.last, options.this))
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
