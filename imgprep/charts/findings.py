"""What check found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from imgprep.charts.look import (
    SEVERITY_COLOURS,
    counted_bars,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_findings(summary: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw findings by rule.

    Parameters
    ----------
    summary : pandas.DataFrame
        From `imgprep.summary`: ``rule, severity, count``.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> catalogue = pd.DataFrame({"ProductId": ["1", None], "PicName": ["a.jpg", "b.jpg"], "CustomContent": "k:v"})
    >>> ip.plot_findings(ip.summary(ip.check(catalogue))).get_title()
    'Findings by rule, 3 in all'
    """
    ax = ax if ax is not None else new_axes(8, 0.9 + 0.32 * max(3, len(summary)))
    hatches = {"error": "", "warning": "///", "info": "..."}
    names = [f"{rule} ({severity})" for rule, severity in summary[["rule", "severity"]].values]
    looks = [(SEVERITY_COLOURS[severity], hatches[severity]) for severity in summary["severity"]]
    counted_bars(ax, summary["count"], names, looks)
    ax.tick_params(axis="y", labelsize=8)
    ax.set_xlabel("findings")
    ax.set_title(f"Findings by rule, {int(summary['count'].sum()):,} in all")
    return ax
