"""Chart style: subjects, colours, axes, and fonts for Chinese text."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache, wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.ship.run import Run

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

P = ParamSpec("P")
Drawn = TypeVar("Drawn", bound="Artist")

# Okabe and Ito's palette, which the colour-blind can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#595959")
#: Outcome → colour; their lightness tells them apart in grey.
OUTCOME_COLOURS = {"imported": "#00634A", "deleted": "#56B4E9", "failed": "#D55E00", "unknown": "#CCCCCC"}
SEVERITY_COLOURS = {"error": "#D55E00", "warning": "#E69F00", "info": "#56B4E9"}
_CJK_FONTS = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC", "SimHei")

#: Noto Sans SC, the characters of GB 2312 only (SIL Open Font License): draws Chinese text on any machine.
_BUNDLED = Path(__file__).parents[1] / "fonts" / "NotoSansSC-subset.ttf"

#: Note on a figure whose text no installed font can draw.
NO_GLYPH = "□: no installed font has this character; install one that does, such as Noto Sans CJK"


#: What a chart of outcomes counts: runs, or a tally of them.
Countable = pd.DataFrame | Run | Iterable[Run]


def tallied(data: Countable, tally: Callable[[Run | Iterable[Run]], pd.DataFrame]) -> pd.DataFrame:
    """Return `data` if it is a tally, or else the tally of these runs."""
    return data if isinstance(data, pd.DataFrame) else tally(data)


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return `ax`, or the axes of a new figure of this size in inches if `ax` is None."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt  # noqa: PLC0415  heavy, and needed only to make a figure

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def counted_bars(ax: Axes, counts: pd.Series, names: list[str], colours: Iterable[str]) -> None:
    """Draw horizontal bars, the first on top, each with its count beside it."""
    for at, (count, colour) in enumerate(zip(counts, colours, strict=True)):
        ax.barh(at, count, color=colour, edgecolor="white")
        value_beside(ax, f"{count:,}", count, at)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    clean(ax, grid="x")


def value_beside(ax: Axes, text: str, x: float, y: float, *, gap: float = 4) -> None:
    """Write a value to the right of the end of a horizontal bar, `gap` points away."""
    ax.annotate(text, (x, y), (gap, 0), textcoords="offset points", va="center", fontsize=8)


def shaded_table(ax: Axes, counts: pd.DataFrame, shares: Any, darkest: float, label: str) -> None:
    """Draw counts as a table with cells shaded by their share in percent; empty cells stay white."""
    image = ax.imshow(np.ma.masked_equal(shares, 0), cmap="cividis_r", aspect="auto", vmin=0, vmax=darkest)
    for (row, column), count in np.ndenumerate(counts.to_numpy()):
        if count:
            colour = "white" if shares[row, column] > darkest * 0.55 else "black"
            ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=colour)
    ax.tick_params(labelsize=8, length=0)
    bar = ax.figure.colorbar(image, ax=ax, label=label).ax
    bar.tick_params(labelsize=8)
    add_fonts(bar)


def clean(ax: Axes, grid: str = "y", *, whole: bool = True) -> Axes:
    """Remove non-data ink; use integer ticks for bars if `whole`."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, alpha=0.25)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    if whole and ax.patches:
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

        (ax.xaxis if grid == "x" else ax.yaxis).set_major_locator(MaxNLocator(integer=True))
    return ax


def nothing(ax: Axes, why: str) -> Axes:
    """Show only a title that says why there is nothing to draw."""
    ax.set_axis_off()
    ax.set_title(why)
    return ax


def run_axes(ax: Axes | None, runs: int, height: float) -> Axes:
    """Return axes wide enough for all runs; see `axes`."""
    return axes(ax, max(6, min(14, 3 + 0.5 * runs)), height)


def run_places(runs: list[str]) -> list[float]:
    """Return the place of each run on a time axis, in days; evenly spaced if true distances would not keep bars apart.

    Distances are those of the times in the runs' ids.
    """
    even = [float(at) for at in range(len(runs))]
    if len(runs) < 3 or not all(map(_is_stamped, runs)):
        return even
    times = pd.to_datetime([run[:15] for run in runs], format="%Y%m%dT%H%M%S")
    days = (times - times[0]) / pd.Timedelta(days=1)
    return days.tolist() if np.diff(days).min() >= days[-1] / _MOST_APART > 0 else even


#: Bars at true distances must be at least this share of the axis apart.
_MOST_APART = 120


def bar_width(places: list[float]) -> float:
    """Return the width of bars at these places: 70 % of the usual distance, never overlapping."""
    gaps = np.diff(places)
    return float(min(0.7 * np.median(gaps), 0.95 * gaps.min())) if len(gaps) else 0.7


def run_ticks(ax: Axes, runs: list[str], places: list[float]) -> None:
    """Label at most about 15 bars with dates; keep bars narrow if there are few."""
    gap = np.median(np.diff(places)) if len(places) > 1 else 1.0
    margin = gap * (1.5 if len(runs) < 3 else 0.6)
    ax.set_xlim(places[0] - margin, places[-1] + margin) if places else None
    shown: list[int] = []
    for at, place in enumerate(places):  # labels are at least one of 15 parts of the axis apart
        if not shown or place - places[shown[-1]] >= max(0.5 * gap, (places[-1] - places[0]) / 15):
            shown.append(at)
    labels = [_run_date(runs[at]) for at in shown]
    ax.set_xticks([places[at] for at in shown], labels, rotation=45, ha="right", fontsize=8)


def _is_stamped(run: str) -> bool:
    return bool(_STAMPED.match(run))


_STAMPED = re.compile(r"\d{8}T\d{6}(\.\d{6})?Z")


def _run_date(run: str) -> str:
    stamp = run.partition("-")[0]
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}" if stamp[:8].isdigit() and len(stamp) > 8 else run[:16]


def are_runs(subject: object) -> bool:
    """Whether this is a run, or a collection of runs."""
    runs = subject if isinstance(subject, Collection) else [subject]
    return not isinstance(subject, pd.DataFrame) and all(hasattr(run, "outcome_columns") for run in runs)


def chart(
    accepted: str, *columns: str, other: Callable[[object], bool] | None = None, part: str = ""
) -> Callable[[Callable[P, Drawn]], Callable[P, Drawn]]:
    """Decorate a plot: check its first argument, and draw its texts with fonts that have Chinese characters.

    It draws a frame with `columns`, what meets `other`, or an object with either as its `part`.
    """

    def decorate(plot: Callable[P, Drawn]) -> Callable[P, Drawn]:
        first = next(iter(signature(plot).parameters))

        def subject(given: Any) -> Any:
            it = given if isinstance(given, pd.DataFrame) else getattr(given, part or "_", given)
            it = list(it) if isinstance(it, Iterator) else it
            if other is not None and other(it):
                return it
            missing = [name for name in columns if not isinstance(it, pd.DataFrame) or name not in it]
            if isinstance(it, pd.DataFrame) and columns and not missing:
                return it
            what = (
                f"a frame without {', '.join(missing)}"
                if isinstance(it, pd.DataFrame) and missing
                else type(it).__name__
            )
            raise ConfigError(f"{plot.__name__} cannot draw {what}; pass {accepted}")

        @wraps(plot)
        def drawing(*args: Any, **named: Any) -> Drawn:
            if args:
                args = (subject(args[0]), *args[1:])
            elif first in named:
                named[first] = subject(named[first])
            drawn = plot(*args, **named)
            add_fonts(drawn)
            return drawn

        return drawing

    return decorate


def add_fonts(artist: Artist) -> None:
    """Let every text of an axes or figure fall back on the Chinese fonts."""
    from matplotlib.text import Text  # noqa: PLC0415

    chinese = _chinese_fonts()
    for text in artist.findobj(Text):
        assert isinstance(text, Text)  # noqa: S101  findobj filters by class
        text.set_fontfamily(list(dict.fromkeys([*text.get_fontfamily(), *chinese])))


def _chinese_fonts() -> list[str]:
    """Return the families of Chinese fonts: installed common ones, then the bundled one."""
    from matplotlib import font_manager  # noqa: PLC0415

    installed = set(font_manager.get_font_names())
    return [*(name for name in _CJK_FONTS if name in installed), _bundled_font()]


@lru_cache(maxsize=1)
def _bundled_font() -> str:
    """Make the bundled font known to matplotlib, and return its family."""
    from matplotlib import font_manager  # noqa: PLC0415

    font_manager.fontManager.addfont(_BUNDLED)
    return font_manager.fontManager.ttflist[-1].name


def legible(ax: Axes, texts: Iterable[object]) -> list[str]:
    """Return labels as the installed fonts can draw them; missing glyphs become □, with a note on the figure."""
    from matplotlib import rcParams  # noqa: PLC0415

    asked = [str(text) for text in texts]
    glyphs = _glyphs((*rcParams["font.family"], *_chinese_fonts()))
    drawn = ["".join(char if char.isspace() or ord(char) in glyphs else "□" for char in text) for text in asked]
    figure = ax.get_figure(root=True)
    if drawn != asked and figure is not None and all(text.get_text() != NO_GLYPH for text in figure.texts):
        # The figure reserves space for its own label, if that is unused; other text would cover the ticks.
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
