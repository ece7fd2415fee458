"""What has to be done to an image before the service takes it: decided from facts alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imgprep.images.storage import Problem
from imgprep.images.upright import upright_size

#: Raised whenever the same source would give another copy.
RECIPE_VERSION = 2

_PLAIN = ("RGB", "L")
#: Formats that metadata and further pictures can be taken out of without touching a pixel; see `strip`.
_BARED = ("JPEG", "MPO", "PNG", "WEBP")
#: Format of the source → format of a copy; others become PNG, or JPEG where that is too heavy.
_TARGET = {
    "JPEG": "JPEG",
    "MPO": "JPEG",
    "WEBP": "WEBP",
    "AVIF": "JPEG",
    "HEIF": "JPEG",
    "JPEG2000": "JPEG",
}


@dataclass(frozen=True, slots=True)
class Fit:
    """What the service takes.

    Attributes
    ----------
    side_min, side_max : int
        Pixels of a side.
    bytes_max : int
        Size of a file.
    formats : tuple of str
        By Pillow's names.
    """

    side_min: int
    side_max: int
    bytes_max: int
    formats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What would be done to one image.

    Attributes
    ----------
    action : str
        ``kept``, ``converted``, ``refused`` or ``missing``.
    reason : str
        Why, in words; empty where it is kept.
    target : str
        Format of the copy.
    width, height : int
        Size of the copy, pixels.
    lossless : bool
        Taking metadata and further pictures away is enough: pixels stay as they are.
    side_min : int
        Pixels below which it is not scaled down to make it lighter.
    """

    action: str
    reason: str = ""
    target: str = ""
    width: int = 0
    height: int = 0
    lossless: bool = False
    side_min: int = 1


def decide(facts: Mapping[str, Any], fit: Fit) -> Recipe:
    """Return what has to be done to an image."""
    problem = facts.get("problem")
    if problem == Problem.MISSING or (facts.get("exists") is False and problem is None):
        return Recipe("missing", facts.get("detail") or "no file of this name")
    if problem is not None:
        return Recipe("refused", f"{str(problem).replace('_', ' ')}: {facts.get('detail') or 'see facts'}")
    if not facts.get("width") or not facts.get("height") or not facts.get("format"):
        return Recipe("refused", "nothing is known of it; inspect it with tier header or deeper")

    orientation = facts.get("orientation") or 1
    width, height = upright_size(facts["width"], facts["height"], orientation)
    if min(width, height) < fit.side_min:
        return Recipe("refused", f"{width} × {height}: a side is under {fit.side_min} pixels; it is not enlarged")
    new_width, new_height = _within(width, height, fit.side_max)
    if min(new_width, new_height) < fit.side_min:
        return Recipe(
            "refused",
            f"{width} × {height}: brought to {fit.side_max} pixels, its other side is under {fit.side_min}; crop it",
        )

    format_ = facts["format"]
    pixels, rest = _needs(facts, fit, orientation)
    if (new_width, new_height) != (width, height):
        pixels.append(f"scaled from {width} × {height}")
    target = _TARGET.get(format_, "PNG")
    if not pixels and not rest:
        return Recipe("kept", "", format_, width, height)
    lossless = not pixels and format_ in _BARED
    return Recipe(
        "converted",
        ", ".join(pixels + rest),
        ("JPEG" if format_ == "MPO" else format_) if lossless else target,
        new_width,
        new_height,
        lossless=lossless,
        side_min=fit.side_min,
    )


def is_open(recipe: Recipe, source_bytes: int, bytes_max: int) -> bool:
    """Tell whether only making a copy will show its format and size: it may be too heavy."""
    if recipe.action != "converted":
        return False
    if recipe.lossless:
        return source_bytes > bytes_max
    pixels = recipe.width * recipe.height
    if recipe.target in ("JPEG", "WEBP"):
        # At the least quality noise takes a byte or two a pixel, and a photograph far less than its source.
        return 2 * pixels > bytes_max and 4 * source_bytes > bytes_max
    return 3 * pixels + recipe.height + 10_000 > bytes_max  # as a PNG that nothing can be saved on


def _needs(facts: Mapping[str, Any], fit: Fit, orientation: int) -> tuple[list[str], list[str]]:
    """Return reasons to make new pixels, and reasons that may be met without."""
    format_, mode, frames = facts["format"], facts.get("mode") or "RGB", facts.get("frames") or 1
    pixels = []
    rest = []
    if format_ not in fit.formats and format_ != "MPO":
        pixels.append(f"{format_} is not taken")
    if orientation != 1:
        pixels.append(f"turned upright (EXIF orientation {orientation})")
    if facts.get("alpha"):
        pixels.append("transparency put on white")
    elif mode in ("P", "PA"):
        pixels.append("palette to RGB")
    elif mode not in _PLAIN:
        pixels.append(f"{mode} to RGB")
    if (facts.get("depth") or 8) > 8 and mode in _PLAIN:
        pixels.append(f"{facts['depth']} to 8 bits a channel")
    if facts.get("profile"):
        pixels.append("colours to sRGB")
    if frames > 1 and format_ not in ("MPO", "PNG"):
        pixels.append(f"first of {frames} pictures")
    elif frames > 1 or format_ == "MPO":
        rest.append(f"first of {frames} pictures")
    if facts.get("personal"):
        rest.append("personal metadata removed")
    if (facts.get("bytes") or 0) > fit.bytes_max:
        rest.append(f"over {fit.bytes_max:,} bytes")
    return pixels, rest


def _within(width: int, height: int, side: int) -> tuple[int, int]:
    longest = max(width, height)
    if longest <= side:
        return width, height
    return max(round(width * side / longest), 1), max(round(height * side / longest), 1)
