"""Rules about a row's subject region and its Crop."""

from __future__ import annotations

import polars as pl

from imgprep.core.findings import Basis, Severity
from imgprep.look.rules.rule import Rule
from imgprep.look.rules.sheet import is_legal, is_outside


def _four_integers(text: pl.Expr) -> pl.Expr:
    plain = text.str.replace_all(r"[\s\[\]()]", "")
    legal = plain.str.contains(r"^[+-]?[0-9]+(?:,[+-]?[0-9]+){3}$")
    return pl.when(plain == "").then(None).when(legal).then(plain).otherwise(text)


RULES: tuple[Rule, ...] = (
    Rule(
        id="region-format",
        field="Region",
        severity=Severity.ERROR,
        source="guide",
        what="Region is not four integers separated by commas",
        message='Region "{region}": needs 4 integers x1,x2,y1,y2',
        remedy='use a Region such as "20,40,60,80", or leave Region out',
        scope="add",
        test=lambda sheet: (
            pl.any_horizontal(pl.col(edge).is_null() for edge in ("x1", "y1", "x2", "y2"))
            & pl.col("region").is_not_null()
        ),
        value="region",
        fix=_four_integers,
        refuses=True,
    ),
    Rule(
        id="region-empty",
        field="Region",
        severity=Severity.ERROR,
        source="secondary",
        what="Region encloses nothing, or starts outside the image",
        message='Region "{region}" encloses nothing, or starts outside: needs 0 ≤ x1 < x2 and 0 ≤ y1 < y2{swap}',
        remedy="draw the region again, or use the order x1,x2,y1,y2 (not x1,y1,x2,y2)",
        scope="add",
        test=lambda sheet: (
            pl.col("x1").is_not_null()
            & pl.col("x2").is_not_null()
            & pl.col("y1").is_not_null()
            & pl.col("y2").is_not_null()
            & ~is_legal()
        ),
        value="region",
        refuses=True,
    ),
    Rule(
        id="region-outside",
        field="Region",
        severity=Severity.ERROR,
        source="secondary",
        what="Region reaches beyond its (upright) image",
        message='Region "{region}" reaches beyond its image, which is {width} × {height}{swap}',
        remedy="draw the region again on the image that is sent",
        scope="add",
        needs="facts",
        test=lambda sheet: is_legal() & is_outside(sheet.limits["region_edge"]),
        value="region",
        refuses=True,
    ),
    Rule(
        id="region-stale",
        field="Region",
        severity=Severity.WARNING,
        source="own",
        basis=Basis.DOCUMENTED,
        what="the region was drawn on another version of the image; it is not sent",
        message='the region of "{PicName}" was drawn on another version of the image; it is not sent',
        remedy="review it: the annotator offers it as a suggestion",
        scope="add",
        needs="regions",
        test=lambda sheet: pl.col("stale"),
    ),
    Rule(
        id="region-unverified",
        field="Region",
        severity=Severity.WARNING,
        source="own",
        basis=Basis.DOCUMENTED,
        what="which image the region was drawn on is unknown; the region is sent as if drawn on the image as found",
        message='which image the region of "{PicName}" was drawn on is unknown; the region is sent nevertheless',
        remedy="store regions with digest= or size=",
        scope="add",
        needs="regions",
        test=lambda sheet: pl.col("unverified"),
    ),
    Rule(
        id="crop-with-region",
        field="Crop",
        severity=Severity.WARNING,
        source="guide",
        what="Crop is false but a Region is given: the vendor's pages disagree about which one counts",
        message="Crop is false but a Region is given; the vendor's pages disagree about which one counts",
        remedy="keep one of the two",
        scope="add",
        test=lambda sheet: (pl.col("subject_crop") == False) & pl.col("region").is_not_null(),  # noqa: E712
    ),
)
