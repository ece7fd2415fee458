"""How charts look: colours, hatches, axes, fonts for Chinese text."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by the colour-blind; hatching doubles it and survives grey printing.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#595959")
HATCHES = ("", "///", "...", "xxx")
OUTCOME_COLOURS = {"imported": "#009E73", "deleted": "#56B4E9", "failed": "#D55E00", "unknown": "#999999"}
SEVERITY_COLOURS = {"error": "#D55E00", "warning": "#E69F00", "info": "#56B4E9"}
_CJK_FONTS = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC", "SimHei")


#: Said in a picture that could not be lettered.
NO_GLYPH = "□: no font for this text here; install one, such as Noto Sans CJK"


def new_axes(width: float, height: float) -> Axes:
    """Return the axes of a new figure of so many inches."""
    from matplotlib import pyplot as plt  # noqa: PLC0415  heavy, and only where a figure is made

    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def counted_bars(ax: Axes, counts: pd.Series, names: list[str], looks: list[tuple[str, str]]) -> None:
    """Lying bars, the first on top, each with its count beside it; `looks` are colours and hatches."""
    for at, (count, (colour, hatch)) in enumerate(zip(counts, looks, strict=True)):
        ax.barh(at, count, color=colour, hatch=hatch, edgecolor="white")
        value_beside(ax, f"{count:,}", count, at)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    clean(ax, grid="x")


def value_beside(ax: Axes, text: str, x: float, y: float) -> None:
    """Write a value to the right of the end of a lying bar."""
    ax.annotate(text, (x, y), (4, 0), textcoords="offset points", va="center", fontsize=8)


def clean(ax: Axes, grid: str = "y", *, whole: bool = True) -> Axes:
    """Take away what is not data, and tick whole numbers where bars are counts."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, alpha=0.25)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    if whole and ax.patches:
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

        (ax.xaxis if grid == "x" else ax.yaxis).set_major_locator(MaxNLocator(integer=True))
    return ax


def counted(number: int, what: str) -> str:
    """``1 run``, ``12 runs``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def run_ticks(ax: Axes, runs: list[str]) -> None:
    """Dates under bars, at most about 15 of them; few bars stay narrow."""
    if len(runs) < 3:
        ax.set_xlim(-1.5, len(runs) + 0.5)
    step = -(-len(runs) // 15)
    shown = range(0, len(runs), step)
    ax.set_xticks(list(shown), [_run_date(runs[at]) for at in shown], rotation=45, ha="right", fontsize=8)


def _run_date(run: str) -> str:
    stamp = run.partition("-")[0]
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}" if stamp[:8].isdigit() and len(stamp) > 8 else run[:16]


def font(size: float) -> Any:
    """Return font properties, for a legend whose text may be Chinese."""
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415

    return FontProperties(family=text_style()["family"], size=size)


def text_style() -> dict[str, Any]:
    """Font families for text that may be Chinese: matplotlib's own, then whichever of the usual ones is there."""
    from matplotlib import font_manager, rcParams  # noqa: PLC0415

    there = set(font_manager.get_font_names())
    return {"family": [*rcParams["font.family"], *(name for name in _CJK_FONTS if name in there)]}


def legible(ax: Axes, texts: Iterable[object]) -> list[str]:
    """Return texts as the fonts here can draw them: what has no glyph is □, and the picture says why."""
    asked = [str(text) for text in texts]
    glyphs = _glyphs(tuple(text_style()["family"]))
    drawn = ["".join(char if char.isspace() or ord(char) in glyphs else "□" for char in text) for text in asked]
    figure = ax.get_figure(root=True)
    if drawn != asked and figure is not None and all(text.get_text() != NO_GLYPH for text in figure.texts):
        # The label of the figure, where it has none, is given room; a text would lie on the ticks.
        small: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": 7, "color": "#666666"}
        if figure.get_supxlabel():
            figure.text(0.995, 0.005, NO_GLYPH, **small)
        else:
            figure.supxlabel(NO_GLYPH, x=0.995, **small)
    return drawn


@lru_cache(maxsize=8)
def _glyphs(families: tuple[str, ...]) -> frozenset[int]:
    from matplotlib import font_manager  # noqa: PLC0415

    files = {font_manager.findfont(font_manager.FontProperties(family=[name])) for name in families}
    return frozenset(char for file in files for char in font_manager.get_font(file).get_charmap())
