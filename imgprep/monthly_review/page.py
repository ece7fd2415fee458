"""A month in frames and charts, shown in a notebook or written as one page."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAID = {"in_gallery": "in the gallery", "value": "taken by", "count": "failed", "lines": "lines sent"}

_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Image search review</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body { margin: 0 auto; max-width: 1000px; padding: 24px; color: #1c2430; background: #fff;
  font: 15px/1.5 system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; }
img { max-width: 100%; height: auto; } h2 { font-size: 20px; } h3 { font-size: 15px; margin: 24px 0 4px; }
table { border-collapse: collapse; break-inside: avoid; } tr { text-align: left !important; }
th { color: #5b6675; font-weight: 600; border-bottom: 1.5px solid #dde2e8; } th, td { padding: 3px 22px 3px 0; }
td { border-bottom: 1px solid #dde2e8; font-variant-numeric: tabular-nums; }
main { columns: 2; column-gap: 40px; margin-top: 12px; } section { break-inside: avoid; padding-top: 1px; }
section h3 { margin-top: 12px; } section table { width: 100%; }
@page { size: A4; margin: 12mm; }
@media print { body { max-width: none; padding: 0; font-size: 10.5px; line-height: 1.3; }
  img { display: block; max-height: 105mm; margin: 0 auto; }
  h2 { font-size: 15px; margin: 0 0 6px; } h3 { font-size: 11.5px; } th, td { padding: 1.5px 14px 1.5px 0; } }
</style></head>
"""


@dataclass(frozen=True, repr=False)
class Review:
    """A month in frames; shows itself as a page in a notebook.

    Attributes
    ----------
    month : str
        As ``2026-11``.
    funnel : pandas.DataFrame
        ``stage, pictures, share`` (of the catalogue): catalogue → has image → passes → in gallery → with region. A
        picture counts in a stage only if it is in all before it.
    coverage : pandas.DataFrame
        ``category, catalogue, in_gallery, share``.
    backlog : pandas.DataFrame
        ``age, pictures``: how long pictures of the catalogue have been waiting to be in the gallery.
    findable : pandas.DataFrame
        ``days, pictures``: from the first catalogue that had them to the gallery, for those that came in this month.
    sources : pandas.DataFrame
        Causes of failure by who took the picture (`tally_by`); empty where the catalogue does not tell.
    better : pandas.DataFrame
        ``measure, before, now``: against the month before, and failures by `tally_changes`.

    Examples
    --------
    >>> month = ip.review(runs)
    >>> month.month
    '2026-09'
    >>> month.coverage.columns.tolist()
    ['category', 'catalogue', 'in_gallery', 'share']
    """

    month: str
    funnel: pd.DataFrame
    coverage: pd.DataFrame
    backlog: pd.DataFrame
    findable: pd.DataFrame
    sources: pd.DataFrame
    better: pd.DataFrame

    def __repr__(self) -> str:
        share = self.funnel["share"].iloc[3]
        return f"Review({self.month}: {self.funnel['pictures'].iloc[3]:,} pictures in the gallery, {share:.1%})"

    def figure(self) -> Figure:
        """Return the page's charts as one figure."""
        from imgprep.charts import plot_review  # noqa: PLC0415  matplotlib is heavy

        return plot_review(self)

    def _repr_html_(self) -> str:
        return f"<h2>{self._title()}</h2>{''.join(self._sections())}"

    def _title(self) -> str:
        return f"Image search, {html.escape(self.month)}"

    def _sections(self) -> list[str]:
        tables = {
            "From catalogue to gallery": self.funnel,
            "Coverage by category": self.coverage,
            "Waiting": self.backlog,
            "Days from new to findable": self.findable,
            "Why pictures failed, by who took them": self.sources.head(12),
            "What changed": self.better,
        }
        return [
            f"<h3>{html.escape(title)}</h3>{_shown(table) if len(table) else '<p>none</p>'}"
            for title, table in tables.items()
        ]

    def write(self, path: str | Path) -> Path:
        """Write the page: one HTML file that needs nothing else."""
        from imgprep.html.figures import figure_uri  # noqa: PLC0415
        from imgprep.html.template import write_page  # noqa: PLC0415

        chart = f'<img alt="charts of the tables below" src="{figure_uri(self.figure())}">'
        sections = "".join(f"<section>{section}</section>" for section in self._sections())
        body = f"<body><h2>{self._title()}</h2>{chart}<main>{sections}</main></body>"
        return write_page(path, f"{_HEAD}{body}</html>")


def _shown(table: pd.DataFrame) -> str:
    """A table as people read it: causes by their labels, shares in percent, nothing where nothing is known."""
    labels = table.attrs.get("labels", {})
    named = (
        table.assign(cause=table["cause"].map(lambda cause: labels.get(cause, cause))) if "cause" in table else table
    )
    said = {
        _SAID.get(str(name), str(name)): named[name].map("{:.1%}".format if name == "share" else _number)
        for name in named
    }
    return pd.DataFrame(said, dtype="str").to_html(index=False, border=0)


def _number(value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]  # a cell, whatever its kind
        return ""
    return f"{value:,.12g}" if isinstance(value, (int, float)) else str(value)
