"""Charts of regions: places, sizes, what became of suggestions, drawings saved, and the order of coordinates."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from PIL import Image

from imgprep.core.errors import ConfigError, ImgprepError
from imgprep.core.frames import records
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.regions import EDGES, named_edges, reordered
from imgprep.draw.share import AGREES
from imgprep.draw.store import RegionStore
from imgprep.draw.tallies import (
    tally_drawings_saved,
    tally_region_places,
    tally_region_sizes,
    tally_suggestions,
)
from imgprep.images.found import Source, Unfit
from imgprep.images.storage import open_source
from imgprep.images.upright import open_upright
from imgprep.show.charts.style import COLOURS, add_fonts, axes, chart, clean, nothing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Height of an image in `plot_region_order`, pixels.
_TALL = 240

#: Verdict on the order of coordinates → title.
_ORDERS = {"right": "The regions are x1,x2,y1,y2, as they should be", "swapped": "The regions are x1,y1,x2,y2: swapped"}
_OPEN = "The order of the regions is open ({verdict})"
#: What became of a suggestion → colour, from best to worst; lighter in grey where a person had to do more.
_FATES = {"accepted": "#00634A", "edited": "#4FB58F", "replaced": "#F2C14E", "rejected": "#D9D9D9"}


def _has_regions(subject: object) -> bool:
    if isinstance(subject, pd.DataFrame):
        return "regions" in subject.attrs or not {"state", "fate", "covers", "suggestions"}.isdisjoint(subject)
    return isinstance(subject, RegionStore)


@chart("a store of regions, its frame, or the tally of the chart", other=_has_regions)
def plot_regions(
    regions: RegionStore | pd.DataFrame,
    of: Literal["places", "sizes", "suggestions"] = "places",
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw where regions are, how much of their images they cover, or what became of suggestions.

    Parameters
    ----------
    regions : RegionStore or pandas.DataFrame
        A store, its frame, or the tally of the chart, from `imgprep.draw.tallies`.
    of : {"places", "sizes", "suggestions"}
        ``places``: which part of the image each region covers; ``sizes``: how much of it; ``suggestions``: whether
        suggestions were accepted, edited, replaced or rejected, by confidence.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Raises
    ------
    ConfigError
        If `of` is none of these.

    Examples
    --------
    >>> boxes = {"x1": [0, 10], "y1": [0, 20], "x2": [50, 60], "y2": [100, 80], "width": 100, "height": 100}
    >>> regions = pd.DataFrame({"state": "region", "how": ["drawn", "accepted"], **boxes})
    >>> ip.plot_regions(regions).get_title()
    '2 regions, centred at 29 % of the width and 50 % of the height'
    >>> ip.plot_regions(regions, "sizes").get_title()
    '0 of 2 regions cover less than 10 % of the image'
    >>> shown = pd.DataFrame({"confidence": [0.9, 0.1], "fate": ["accepted", "replaced"], "iou": [1.0, 0.2]})
    >>> ip.plot_regions(shown, "suggestions").get_title()
    '1 of 2 suggestions was accepted or edited; at confidence 0.8–1.0, 1 of 1'
    """
    if of not in _CHARTS:
        raise ConfigError(f"of={of!r}: there is no such chart of regions; choose one of {', '.join(_CHARTS)}")
    if isinstance(regions, RegionStore):
        regions = regions.suggestions() if of == "suggestions" else regions.frame()
    column, tally, draw = _CHARTS[of]
    return draw(tally(regions) if column in regions else regions, ax)


def _plot_places(heat: pd.DataFrame, ax: Axes | None) -> Axes:
    ax, t = axes(ax, 5, 4), texts(display_language())
    shares = heat.to_numpy(dtype="float64") * 100
    image = ax.imshow(shares, cmap="cividis_r", vmin=0, vmax=100, extent=(0, 100, 100, 0))
    ax.set_xlabel(t("% of the width"))
    ax.set_ylabel(t("% of the height"))
    ax.set_title(
        _places_answer(heat, int(heat.attrs.get("regions", 0)), t), fontsize=11, pad=12
    )  # above the labels of the colour bar
    add_fonts(ax.figure.colorbar(image, ax=ax, label=t("% of regions that cover this point")).ax)
    return ax


def _places_answer(heat: pd.DataFrame, regions: int, t: Texts) -> str:
    weights = heat.to_numpy(dtype="float64")
    if not regions or not weights.sum():
        return t("No regions yet")
    across, down = (
        100 * float(np.average((np.arange(len(sums)) + 0.5) / len(sums), weights=sums))
        for sums in (weights.sum(axis=0), weights.sum(axis=1))
    )
    return t(
        "{regions}, centred at {across} % of the width and {down} % of the height",
        regions=t.counted(regions, "region"),
        across=f"{across:.0f}",
        down=f"{down:.0f}",
    )


def _plot_sizes(sizes: pd.DataFrame, ax: Axes | None) -> Axes:
    ax, t = axes(ax, 6, 3), texts(display_language())
    ax.bar(range(len(sizes)), sizes["regions"], color=COLOURS[2], edgecolor="white")
    ax.set_xticks(range(len(sizes)), sizes["covers"], rotation=45, ha="right", fontsize=8)
    ax.set_ylabel(t("regions"))
    ax.set_xlabel(t("share of the image"))
    few, total = int(sizes["regions"].iloc[0]), int(sizes["regions"].sum())
    regions = t.counted(total, "region")
    ax.set_title(t("{few} of {regions} cover less than 10 % of the image", few=f"{few:,}", regions=regions))
    return clean(ax)


def _plot_suggestions(tally: pd.DataFrame, ax: Axes | None) -> Axes:
    # High confidence should be accepted, low confidence may be replaced.
    seen = tally[tally["suggestions"] > 0].reset_index(drop=True)
    ax, t = axes(ax, 6.5, 1.4 + 0.42 * max(1, len(seen))), texts(display_language())
    if seen.empty:
        return nothing(ax, _suggestions_answer(seen, t))
    left = pd.Series(0.0, index=seen.index)
    for fate, colour in _FATES.items():
        share = 100 * seen[fate] / seen["suggestions"]
        ax.barh(seen.index, share, left=left, color=colour, edgecolor="white", label=t(fate))
        for at, (count, middle) in enumerate(zip(seen[fate], left + share / 2, strict=True)):
            if count:
                ink = "white" if fate == "accepted" else "black"
                ax.text(middle, at, f"{count:,}", ha="center", va="center", color=ink, fontsize=8)
        left += share
    for at, (count, iou) in enumerate(zip(seen["suggestions"], seen["mean_iou"], strict=True)):
        of_all = t("of {count}", count=f"{count:,}") + ("" if pd.isna(iou) else t(", IoU {iou}", iou=f"{iou:.2f}"))
        ax.text(102, at, of_all, va="center", fontsize=8)
    ax.set_yticks(list(seen.index), seen["confidence"])
    ax.set_xlim(0, 100)
    ax.set_ylabel(t("confidence"))
    ax.set_xlabel(t("% of the suggestions; beside them: their number, and the mean IoU with the saved region"))
    ax.set_title(_suggestions_answer(seen, t), pad=24, fontsize=11)
    ax.legend(ncols=len(_FATES), loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=8)
    return clean(ax, grid="x")


def _suggestions_answer(seen: pd.DataFrame, t: Texts) -> str:
    if seen.empty:
        return t("No suggestion to compare with a drawn region yet")
    kept, total = seen["accepted"] + seen["edited"], int(seen["suggestions"].sum())
    text = t(
        "{count} of {suggestions} was accepted or edited"
        if kept.sum() == 1
        else "{count} of {suggestions} were accepted or edited",
        count=f"{int(kept.sum()):,}",
        suggestions=t.counted(total, "suggestion"),
    )
    if len(seen) <= 1:
        return text
    return text + t(
        "; at confidence {confidence}, {count} of {total}",
        confidence=seen["confidence"].iloc[-1],
        count=f"{kept.iloc[-1]:,}",
        total=f"{seen['suggestions'].iloc[-1]:,}",
    )


#: Chart → a column of what it counts, how it counts, how it draws.
_CHARTS: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame], Callable[[pd.DataFrame, Axes | None], Axes]]] = {
    "places": ("state", tally_region_places, _plot_places),
    "sizes": ("state", tally_region_sizes, _plot_sizes),
    "suggestions": ("fate", tally_suggestions, _plot_suggestions),
}


@chart("the result of service_regions, or its tally_drawings_saved", "iou")
def plot_drawings_saved(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how many drawings per hundred images the service's own boxes would save.

    Parameters
    ----------
    tally : pandas.DataFrame
        The result of `service_regions`, or a tally of it from `imgprep.draw.tallies.tally_drawings_saved`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> compared = pd.DataFrame({"state_ours": "region", "category": 1, "iou": [0.95, 0.92, 0.2]})
    >>> plot_drawings_saved(compared).get_title()
    "The service's box saves 67 of 100 drawings at IoU ≥ 0.9 (3 images)"
    """
    tally = tally if "per_hundred" in tally else tally_drawings_saved(tally)
    ax, t = axes(ax, 6, 3.4), texts(display_language())
    shares = tally["per_hundred"].fillna(0).astype(float)
    ax.bar(range(len(tally)), shares, color=COLOURS[2], edgecolor="white")
    for at, (share, saved) in enumerate(zip(shares, tally["saved"], strict=True)):
        ax.text(at, share + 1, f"{saved:,}", ha="center", va="bottom", fontsize=8)
    ax.set_xticks(range(len(tally)), [f"≥ {least:g}" for least in tally["iou"]])
    ax.set_ylim(0, 108)
    ax.set_yticks(range(0, 101, 20))
    ax.set_ylabel(t("drawings saved per 100 images"))
    note = tally.attrs.get("note")  # a sandbox's boxes must not be taken for the vendor's
    ax.set_xlabel(t("IoU of the service's box and our region; labels: images") + (f"\n{t(note)}" if note else ""))
    images = t.counted(int(tally["images"].max()) if len(tally) else 0, "image")
    at_agreement = shares[tally["iou"].eq(AGREES) & tally["images"].gt(0)]
    saved = f"{at_agreement.iloc[0]:.0f}" if len(at_agreement) else ""
    title = t(
        "The service's box saves {saved} of 100 drawings at IoU ≥ {iou} ({images})"
        if saved
        else "The service's box saves drawings ({images})",
        saved=saved,
        iou=f"{AGREES:g}",
        images=images,
    )
    ax.set_title(title)
    return clean(ax, whole=False)


@chart("the result of Project.detect_swapped_regions", "PicName", "Region", "evidence")
def plot_region_order(
    found: pd.DataFrame, root: str | os.PathLike[str], *, images: int = 4, ax: Axes | None = None
) -> Axes:
    """Draw regions on their images in both orders of coordinates, to show which order is meant.

    Parameters
    ----------
    found : pandas.DataFrame
        From `Project.detect_swapped_regions`.
    root : path
        The folder or zip archive of the images; unreadable ones are skipped.
    images : int
        Maximum number of images to draw, those with the strongest evidence first.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> from imgprep.look.rules.region_order import detect_swapped_regions
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (60, 80)).save(pathlib.Path(folder) / "a.png")
    ...     batch = pd.DataFrame({"PicName": ["a.png"], "Region": ["5,8,50,70"]})
    ...     plot_region_order(detect_swapped_regions(batch), folder).get_title()
    'The order of the regions is open (undecided): 1 image'
    """
    pictures, t = _pictures(found, open_source(root), images), texts(display_language())
    ax = axes(ax, max(3.0, 2.4 * len(pictures)), 3.6)
    left = 0.0
    for name, wire, picture, scale in pictures:
        ax.imshow(picture, extent=(left, left + picture.width, picture.height, 0))
        edges = {name: edge * scale for name, edge in named_edges(wire).items()}
        _outline(ax, left, edges, COLOURS[5], "-")
        _outline(ax, left, reordered(edges), COLOURS[4], "--")
        # Names are external: matplotlib would typeset text between dollar signs.
        ax.text(left, -4, f"{textwrap.fill(name[:72], 24)}\n{wire}", fontsize=7, va="bottom", parse_math=False)
        left += picture.width + 12
    ax.set_xlim(0, max(left - 12, 1))
    ax.set_ylim(_TALL, 0)
    ax.set_axis_off()
    verdict = found.attrs["verdict"].iloc[0]["verdict"] if "verdict" in found.attrs else "none"
    answer = t(_ORDERS.get(verdict, _OPEN), verdict=t(verdict))
    title = t("{answer}: {images}", answer=answer, images=t.counted(len(pictures), "image"))
    ax.set_title(title, pad=36, fontsize=11)
    if pictures:
        ax.plot([], [], "-", color=COLOURS[5], label=t("as x1,x2,y1,y2 (the wire)"))
        ax.plot([], [], "--", color=COLOURS[4], label=t("as x1,y1,x2,y2"))
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False, fontsize=8)
    return ax


def _pictures(found: pd.DataFrame, source: Source, count: int) -> list[tuple[str, str, Image.Image, float]]:
    """Return name, wire text, small copy and scale for the images with the strongest evidence."""
    pictures: list[tuple[str, str, Image.Image, float]] = []
    strongest = found.assign(_order=-found["evidence"].abs()).sort_values("_order", kind="stable")
    for row in records(strongest.drop_duplicates("PicName")[["PicName", "Region"]]):
        if len(pictures) == count:
            break
        try:
            image = open_upright(source.read(source.find(row["PicName"])))
        except (Unfit, ImgprepError, OSError, ValueError):
            continue
        scale = _TALL / image.height
        small = image.convert("RGB").resize((max(1, round(image.width * scale)), _TALL))
        pictures.append((row["PicName"], row["Region"], small, scale))
    return pictures


def _outline(ax: Axes, left: float, edges: Mapping[str, float], colour: str, style: str) -> None:
    x1, y1, x2, y2 = (edges[name] for name in EDGES)
    across = [left + x for x in (x1, x2, x2, x1, x1)]
    ax.plot(across, [y1, y1, y2, y2, y1], color=colour, ls=style, lw=1.8)
