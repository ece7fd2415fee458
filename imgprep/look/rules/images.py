"""Rules about the image of a row, judged by its facts."""

from __future__ import annotations

import polars as pl

from imgprep.core.findings import Basis, Severity
from imgprep.look.rules.limits import EXTENSIONS, FORMATS
from imgprep.look.rules.rule import QUOTE_CHARS, Rule
from imgprep.look.rules.sheet import Sheet

#: Codes of ``problem`` with a rule of their own; any other is ``image-unreadable``.
_OWN_RULE = ("missing", "empty", "outside_root")
#: Pillow's name of the JPEG with several pictures that cameras and phones write.
_MPO = "MPO"
_EXAMPLES = 3


def _promised() -> pl.Expr:
    extension = pl.col("name").str.extract(r"\.([A-Za-z0-9]+)\s*$", 1).str.to_lowercase()
    return extension.replace_strict(EXTENSIONS, default=None, return_dtype=pl.String)


def _longest() -> pl.Expr:
    return pl.max_horizontal("i_width", "i_height")


def _shortest() -> pl.Expr:
    return pl.min_horizontal("i_width", "i_height")


def _missing(sheet: Sheet) -> pl.Expr:
    gone = ~pl.col("i_exists").fill_null(value=False) | (pl.col("i_problem") == "missing").fill_null(value=False)
    named = pl.col("name").fill_null("") != ""
    return named & gone & (pl.col("i_problem").is_null() | ~pl.col("i_problem").is_in(["outside_root"]))


def _nearest(text: pl.Expr) -> pl.Expr:
    return pl.coalesce("f_file", text)


def _unnamed(sheet: Sheet) -> tuple[int, str]:
    """Say how many files no row means, and some of them."""
    count = len(sheet.unnamed)
    shown = ", ".join(f'"{name[:QUOTE_CHARS]}"' for name in sheet.unnamed[:_EXAMPLES])
    more = ", …" if count > _EXAMPLES else ""
    return count, f"{count:,} {'file is' if count == 1 else 'files are'} named by no row: {shown}{more}"


RULES: tuple[Rule, ...] = (
    Rule(
        id="file-unnamed",
        field="PicName",
        severity=Severity.INFO,
        basis=Basis.UNKNOWN,
        source="own",
        what="files that no row names are in the folder of images: they are not sent",
        message="files are named by no row",
        remedy="match them to products (imgprep match), or leave them",
        needs="files",
        tell=_unnamed,
    ),
    Rule(
        id="image-missing",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="the image is not there",
        message='image "{name}" {absent}',
        remedy="add the file, or match the product to the right one",
        scope="add",
        needs="facts",
        test=_missing,
        mend=_nearest,
        by_file=True,
        refuses=True,
    ),
    Rule(
        id="image-outside-root",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.UNKNOWN,
        source="own",
        what="PicName leads out of the folder of images",
        message='PicName "{PicName}" leads out of the folder of images; it was not looked at',
        remedy="copy the file into the folder of images",
        scope="add",
        needs="facts",
        test=lambda sheet: pl.col("i_problem") == "outside_root",
        mend=_nearest,
        by_file=True,
    ),
    Rule(
        id="image-empty",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="limits",
        what="the image file is empty",
        message='image "{name}" has 0 bytes',
        remedy="fetch the file again",
        scope="add",
        needs="facts",
        test=lambda sheet: (pl.col("i_bytes") == 0) | (pl.col("i_problem") == "empty"),
        value="i_bytes",
        refuses=True,
    ),
    Rule(
        id="image-unreadable",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="limits",
        what="the image cannot be read: not an image, truncated, or too large to be decoded safely",
        message='image "{name}" cannot be read: {why}',
        remedy="fetch or export the file again",
        scope="add",
        needs="facts",
        test=lambda sheet: (
            (
                (pl.col("i_problem").is_not_null() & ~pl.col("i_problem").is_in(list(_OWN_RULE)))
                | ((pl.col("i_decodes") == False) & pl.col("i_problem").is_null())  # noqa: E712  an expression
            )
            & (pl.col("i_bytes").fill_null(1) > 0)
            & pl.col("i_exists")
        ),
        value="i_problem",
        refuses=True,
    ),
    Rule(
        id="image-too-heavy",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="limits",
        what="the image file is larger than 4 MB",
        message='image "{name}" has {i_bytes} bytes; at most {limit:image_bytes} are taken',
        remedy="make a smaller copy (imgprep prepare)",
        scope="add",
        needs="facts",
        test=lambda sheet: pl.col("i_bytes") > sheet.limits["image_bytes"],
        value="i_bytes",
        refuses=True,
    ),
    Rule(
        id="image-format",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="limits",
        what="the image is in a format that the service does not take, whatever its name says",
        message='image "{name}" is a {i_format}; the service takes ' + ", ".join(FORMATS),
        remedy="convert it (imgprep prepare)",
        scope="picture",
        needs="facts",
        test=lambda sheet: ~pl.col("i_format").is_in([*FORMATS, _MPO]),
        value="i_format",
        refuses=True,
    ),
    Rule(
        id="image-too-small",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="limits",
        what="a side of the image is shorter than the service type allows",
        message='image "{name}" is {i_width} × {i_height}; each side needs {limit:side_min} pixels or more',
        remedy="use a larger photograph; enlarging adds nothing to search by",
        scope="picture",
        needs="facts",
        test=lambda sheet: _shortest() < sheet.limits["side_min"],
        value="size",
        refuses=True,
    ),
    Rule(
        id="image-too-large",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="limits",
        what="a side of the image is longer than the service type allows",
        message='image "{name}" is {i_width} × {i_height}; no side may have more than {limit:side_max} pixels',
        remedy="make a smaller copy (imgprep prepare)",
        scope="picture",
        needs="facts",
        test=lambda sheet: _longest() > sheet.limits["side_max"],
        value="size",
        refuses=True,
    ),
    Rule(
        id="image-rotated",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="limits",
        what="the image is turned by its EXIF orientation",
        message='image "{name}" has EXIF orientation {i_orientation}; only 1 is taken',
        remedy="make an upright copy (imgprep prepare)",
        scope="picture",
        needs="facts",
        test=lambda sheet: pl.col("i_orientation") != 1,
        value="i_orientation",
        refuses=True,
    ),
    Rule(
        id="image-several-pictures",
        field="PicName",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="the file holds several pictures (animation, multi-page TIFF, MPO)",
        message='image "{name}" holds {i_frames} pictures; nobody says which one the service takes',
        remedy="keep the first (imgprep prepare)",
        scope="picture",
        needs="facts",
        test=lambda sheet: (pl.col("i_frames") > 1) | (pl.col("i_format") == _MPO),
        value="i_frames",
    ),
    Rule(
        id="image-cmyk",
        field="PicName",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="the image is in print colours",
        message='image "{name}" is in {i_mode}; nobody says what the service makes of print colours',
        remedy="convert it to RGB (imgprep prepare)",
        scope="picture",
        needs="facts",
        test=lambda sheet: pl.col("i_mode").is_in(["CMYK", "YCCK", "LAB"]),
        value="i_mode",
    ),
    Rule(
        id="image-deep",
        field="PicName",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="the image has more than 8 bits a channel",
        message='image "{name}" is in mode {i_mode}, more than 8 bits a channel; nobody says whether it is taken',
        remedy="convert it to RGB (imgprep prepare)",
        scope="picture",
        needs="facts",
        test=lambda sheet: pl.col("i_mode").is_in(["I", "F", "I;16", "I;16L", "I;16B", "I;16N"]),
        value="i_mode",
    ),
    Rule(
        id="image-transparent",
        field="PicName",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="the image has transparency",
        message='image "{name}" is in mode {i_mode}; nobody says which background the service puts behind it',
        remedy="put it on white (imgprep prepare)",
        scope="picture",
        needs="facts",
        test=lambda sheet: pl.col("i_mode").is_in(["RGBA", "LA", "PA", "La", "RGBa"]),
        value="i_mode",
    ),
    Rule(
        id="image-narrow",
        field="PicName",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="the image is much longer one way than the other",
        message='image "{name}" is {i_width} × {i_height}, beyond {limit:aspect_ratio} to 1',
        remedy="crop it to the product",
        scope="picture",
        needs="facts",
        test=lambda sheet: _longest() > sheet.limits["aspect_ratio"] * _shortest(),
        value="size",
    ),
    Rule(
        id="image-extension-differs",
        field="PicName",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="the extension promises another format than the file has",
        message='image "{name}" is a {i_format}, whatever its name says',
        remedy="name it after its content",
        scope="picture",
        needs="facts",
        test=lambda sheet: _promised() != pl.col("i_format").replace(_MPO, "JPEG"),
        value="i_format",
    ),
)
