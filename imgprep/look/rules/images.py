"""Rules about a row's image, based on its facts."""

from __future__ import annotations

from functools import partial

import polars as pl

from imgprep.core.findings import QUOTE_CHARS, Severity
from imgprep.core.text import counted, some_of
from imgprep.look.rules.limits import FORMAT_OF, FORMATS, MPO
from imgprep.look.rules.rule import Rule
from imgprep.look.rules.sheet import Sheet

#: Values of ``problem`` that have their own rule; all others fall under ``image-unreadable``.
_OWN_RULE = ("missing", "empty", "outside_root")
_EXAMPLES = 3

_LONGEST, _SHORTEST = pl.max_horizontal("i_width", "i_height"), pl.min_horizontal("i_width", "i_height")


def _promised() -> pl.Expr:
    extension = pl.col("name").str.extract(r"\.([A-Za-z0-9]+)\s*$", 1).str.to_lowercase()
    return extension.replace_strict(FORMAT_OF, default=None, return_dtype=pl.String)


def _missing(sheet: Sheet) -> pl.Expr:
    gone = ~pl.col("i_exists").fill_null(value=False) | (pl.col("i_problem") == "missing").fill_null(value=False)
    named = pl.col("name").fill_null("") != ""
    return named & gone & (pl.col("i_problem").is_null() | (pl.col("i_problem") != "outside_root"))


def _unreadable(sheet: Sheet) -> pl.Expr:
    problem = pl.col("i_problem").is_not_null() & ~pl.col("i_problem").is_in(list(_OWN_RULE))
    undecoded = (pl.col("i_decodes") == False) & pl.col("i_problem").is_null()  # noqa: E712  an expression
    return (problem | undecoded) & (pl.col("i_bytes").fill_null(1) > 0) & pl.col("i_exists")


def _near_file(text: pl.Expr) -> pl.Expr:
    return pl.coalesce("f_file", text)


def _unnamed(sheet: Sheet) -> tuple[int, str]:
    count = len(sheet.unnamed)
    some = some_of([f'"{name[:QUOTE_CHARS]}"' for name in sheet.unnamed[:_EXAMPLES]], count)
    return count, f"{counted(count, 'file is', 'files are')} not named by any row: {some}"


#: Bases for rules about the file of an ADD, and for rules about an image that could be read.
_FILE = partial(Rule, field="PicName", scope="add", needs="facts")
_PICTURE = partial(Rule, field="PicName", scope="picture", needs="facts")

RULES: tuple[Rule, ...] = (
    Rule(
        id="file-unnamed",
        field="PicName",
        severity=Severity.INFO,
        source="own",
        what="files in the image folder that no row names: they are not sent",
        remedy="match them to products (imgprep match), or leave them in the folder",
        needs="files",
        note=_unnamed,
    ),
    _FILE(
        id="image-missing",
        source="guide",
        what="the image is missing",
        message='image "{name}" {absent}',
        remedy="add the file, or match the product to the right one",
        where_url="download it from its URL: imgprep fetch --into DIR, or ip.fetch_images",
        test=_missing,
        fix=_near_file,
        by_file=True,
        refuses=True,
    ),
    _FILE(
        id="image-outside-root",
        source="own",
        what="PicName points outside the image folder",
        message='PicName "{PicName}" points outside the image folder; the file was not opened',
        remedy="copy the file into the image folder",
        test=lambda sheet: pl.col("i_problem") == "outside_root",
        fix=_near_file,
        by_file=True,
    ),
    _FILE(
        id="image-empty",
        source="limits",
        what="the image file is empty",
        message='image "{name}" has 0 bytes',
        remedy="fetch the file again",
        test=lambda sheet: (pl.col("i_bytes") == 0) | (pl.col("i_problem") == "empty"),
        value="i_bytes",
        refuses=True,
    ),
    _FILE(
        id="image-unreadable",
        source="limits",
        what="the image cannot be read: not an image, truncated, or too large to be decoded safely",
        message='image "{name}" cannot be read: {why}',
        remedy="fetch or export the file again",
        test=_unreadable,
        value="i_problem",
        refuses=True,
    ),
    _FILE(
        id="image-too-heavy",
        source="limits",
        what="the image file is larger than 4 MB",
        message='image "{name}" has {i_bytes} bytes; at most {limit:image_bytes} are allowed',
        remedy="make a smaller copy (imgprep prepare)",
        prepared=True,
        test=lambda sheet: pl.col("i_bytes") > sheet.limits["image_bytes"],
        value="i_bytes",
        refuses=True,
    ),
    _PICTURE(
        id="image-format",
        source="limits",
        what="the image is in a format that the service does not accept",
        message='image "{name}" has the format {i_format}; the service accepts ' + ", ".join(FORMATS),
        remedy="convert it (imgprep prepare)",
        prepared=True,
        test=lambda sheet: ~pl.col("i_format").is_in([*FORMATS, MPO]),
        value="i_format",
        refuses=True,
    ),
    _PICTURE(
        id="image-too-small",
        source="limits",
        what="a side of the image is shorter than the service type allows",
        message='image "{name}" is {i_width} × {i_height}; each side needs {limit:side_min} pixels or more',
        remedy="use a larger image; enlarging adds no detail",
        test=lambda sheet: sheet.limits["side_min"] > _SHORTEST,
        value="size",
        refuses=True,
    ),
    _PICTURE(
        id="image-too-large",
        source="limits",
        what="a side of the image is longer than the service type allows",
        message='image "{name}" is {i_width} × {i_height}; no side may have more than {limit:side_max} pixels',
        remedy="make a smaller copy (imgprep prepare)",
        prepared=True,
        test=lambda sheet: sheet.limits["side_max"] < _LONGEST,
        value="size",
        refuses=True,
    ),
    _PICTURE(
        id="image-rotated",
        source="limits",
        what="the image is rotated by its EXIF orientation",
        message='image "{name}" has EXIF orientation {i_orientation}; only 1 is accepted',
        remedy="make an upright copy (imgprep prepare)",
        prepared=True,
        test=lambda sheet: pl.col("i_orientation") != 1,
        value="i_orientation",
        refuses=True,
    ),
    _PICTURE(
        id="image-several-pictures",
        severity=Severity.WARNING,
        source="own",
        what="the file contains several frames (animation, multi-page TIFF, MPO)",
        message='image "{name}" contains {i_frames} frames; which one the service uses is undocumented',
        remedy="keep the first (imgprep prepare)",
        prepared=True,
        test=lambda sheet: (pl.col("i_frames") > 1) | (pl.col("i_format") == MPO),
        value="i_frames",
    ),
    _PICTURE(
        id="image-cmyk",
        severity=Severity.WARNING,
        source="own",
        what="the image is in print colours",
        message='image "{name}" is in {i_mode}; how the service treats print colours is undocumented',
        remedy="convert it to RGB (imgprep prepare)",
        prepared=True,
        test=lambda sheet: pl.col("i_mode").is_in(["CMYK", "YCCK", "LAB"]),
        value="i_mode",
    ),
    _PICTURE(
        id="image-deep",
        severity=Severity.WARNING,
        source="own",
        what="the image has more than 8 bits per channel",
        message='image "{name}" is in mode {i_mode}, over 8 bits per channel; whether it is accepted is undocumented',
        remedy="convert it to RGB (imgprep prepare)",
        prepared=True,
        test=lambda sheet: pl.col("i_mode").is_in(["I", "F", "I;16", "I;16L", "I;16B", "I;16N"]),
        value="i_mode",
    ),
    _PICTURE(
        id="image-transparent",
        severity=Severity.WARNING,
        source="own",
        what="the image has transparency",
        message='image "{name}" is in mode {i_mode}; which background the service puts behind it is undocumented',
        remedy="flatten it onto white (imgprep prepare)",
        prepared=True,
        test=lambda sheet: pl.col("i_mode").is_in(["RGBA", "LA", "PA", "La", "RGBa"]),
        value="i_mode",
    ),
    _PICTURE(
        id="image-narrow",
        severity=Severity.WARNING,
        source="own",
        what="one side of the image is much longer than the other",
        message='image "{name}" is {i_width} × {i_height}, beyond {limit:aspect_ratio} to 1',
        remedy="crop it to the product",
        test=lambda sheet: sheet.limits["aspect_ratio"] * _SHORTEST < _LONGEST,
        value="size",
    ),
    _PICTURE(
        id="image-extension-differs",
        severity=Severity.WARNING,
        source="own",
        what="the extension does not match the format of the file",
        message='image "{name}" has the format {i_format}; its extension does not match',
        remedy="rename it to match its content",
        test=lambda sheet: _promised() != pl.col("i_format").replace(MPO, "JPEG"),
        value="i_format",
    ),
)
