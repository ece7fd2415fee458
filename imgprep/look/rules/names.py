"""Rules about PicName: what may be the name of an object below the task's folder."""

from __future__ import annotations

import re

import polars as pl

from imgprep.core.fields import META_NAME
from imgprep.core.findings import Basis, Severity
from imgprep.images.names import WINDOWS_DEVICES
from imgprep.look.rules.limits import EXTENSIONS
from imgprep.look.rules.rows import control, spaces, too_long
from imgprep.look.rules.rule import Rule
from imgprep.look.rules.sheet import Sheet

_NAMED = "|".join(EXTENSIONS)
#: Windows takes none of these characters, nor a dot or a space at the end of a name or a folder. Source: Microsoft,
#: "Naming Files, Paths, and Namespaces".
_NO_LETTERS = list('<>:"|?*')
_NOT_ON_WINDOWS = (
    rf"(?i)(?:^|/)(?:{'|'.join(map(re.escape, WINDOWS_DEVICES))}) *(?:\.[^/]*)?(?:/|$)|[{''.join(_NO_LETTERS)}]|[. ]/"
)
#: What must be in a name for it to be worth the expression above.
_PERHAPS = [name + end for name in WINDOWS_DEVICES for end in "./ "] + _NO_LETTERS + ["./", " /"]
#: Joiners, marks of direction, and what else is not seen in a name that looks like another.
_HIDDEN = [
    chr(code) for span in ((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2069)) for code in range(span[0], span[1] + 1)
]
_HIDDEN += ["\u00ad", "\u061c", "\ufeff"]
_SEVERAL = rf"(?i)\.(?:{_NAMED})\s*[,;|]\s*\S.*\.(?:{_NAMED})\s*$"


def _several(sheet: Sheet) -> pl.Expr:
    several = pl.col("name").str.contains(_SEVERAL)
    # A file of exactly this name is one image, however odd its name.
    return several & ~pl.col("i_exists").fill_null(value=False) if sheet.has("facts") else several


RULES: tuple[Rule, ...] = (
    Rule(
        id="pic-name-missing",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="an ADD has no PicName",
        message="there is no PicName; an ADD needs one",
        remedy="find the product's photograph, or leave the product out",
        scope="add",
        among="PicName",
        test=lambda sheet: pl.col("PicName").fill_null("") == "",
        refuses=True,
    ),
    Rule(
        id="delete-empty-pic-name",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.UNKNOWN,
        source="own",
        what="a DELETE has an empty PicName: it may delete every image of the product",
        message="PicName is an empty text on a DELETE; taken as absent, it deletes every image of {ProductId}",
        remedy="name the image, or leave PicName out to delete the whole product",
        scope="delete",
        among="PicName",
        test=lambda sheet: pl.col("PicName").str.strip_chars() == "",
    ),
    Rule(
        id="delete-whole-product",
        field="PicName",
        severity=Severity.INFO,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="a DELETE without PicName: it deletes every image of the product",
        message="no PicName: every image of {ProductId} goes",
        remedy="name the image where only one shall go",
        scope="delete",
        test=lambda sheet: pl.col("PicName").is_null(),
    ),
    too_long("PicName", "pic_name_chars", "api"),
    spaces("PicName"),
    control("PicName"),
    Rule(
        id="pic-name-hidden-character",
        field="PicName",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="PicName has a character that is not seen, such as a mark of direction: it looks like another name",
        message="PicName has a character that is not seen (a joiner, a mark of direction); it looks like another name",
        remedy="take it out, in the name of the file as well",
        among="PicName",
        test=lambda sheet: pl.col("name").str.contains_any(_HIDDEN),
    ),
    Rule(
        id="pic-name-not-on-windows",
        field="PicName",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what='PicName is no name of a file on Windows: a device (CON, NUL …), one of < > : " | ? *, a dot at an end',
        message='PicName "{PicName}" cannot be the name of a file on Windows; there, its image is missing',
        remedy="name the file otherwise where anybody works on Windows; copies of prepare_images get another name",
        scope="add",
        among="PicName",
        test=lambda sheet: pl.col("name").str.contains_any(_PERHAPS, ascii_case_insensitive=True),
        # URLs, folders that lead out and names that are several have findings of their own.
        confirm=lambda sheet: (
            pl.col("name").str.contains(_NOT_ON_WINDOWS)
            & ~pl.col("name").str.contains(rf"://|(?:^|/)\.\.?(?:/|$)|{_SEVERAL}")
        ),
    ),
    Rule(
        id="pic-name-slash",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="PicName starts or ends with a slash",
        message='PicName "{PicName}" starts or ends with a slash; names are relative to the task\'s folder',
        remedy="take the slash away",
        among="PicName",
        test=lambda sheet: pl.col("name").str.contains(r"^/|/$"),
        mend=lambda text: text.str.strip_chars("/\\"),
        refuses=True,
    ),
    Rule(
        id="pic-name-edge-backslash",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.UNKNOWN,
        source="own",
        what="PicName starts or ends with a backslash: a letter in OSS, the root of a disk elsewhere; it is not sent",
        message='PicName "{PicName}" starts or ends with a backslash; on some machines it names no file below a folder',
        remedy="take the backslash away",
        among="PicName",
        test=lambda sheet: pl.col("name").str.contains(r"^\\|\\$"),
        mend=lambda text: text.str.strip_chars("/\\"),
    ),
    Rule(
        id="pic-name-backslash",
        field="PicName",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="PicName contains a backslash, which is a letter like any other in OSS",
        message='PicName "{PicName}" contains a backslash; in OSS it is a letter, not a folder',
        remedy="write / between folders",
        among="PicName",
        test=lambda sheet: pl.col("name").str.contains("\\", literal=True),
        mend=lambda text: text.str.replace_all("\\", "/", literal=True),
    ),
    Rule(
        id="pic-name-dotdot",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="oss",
        what="PicName has a part that is . or ..",
        message='PicName "{PicName}" has a part that is . or ..; it names nothing below the task\'s folder',
        remedy="write the name below the folder of images",
        among="PicName",
        test=lambda sheet: pl.col("name").str.contains(r"(?:^|[/\\])\.\.?(?:[/\\]|$)"),
        refuses=True,
    ),
    Rule(
        id="pic-name-double-slash",
        field="PicName",
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what="PicName has two slashes in a row, which is a folder without a name",
        message='PicName "{PicName}" has two slashes in a row, which is a folder without a name',
        remedy="write one slash",
        among="PicName",
        test=lambda sheet: (
            pl.col("name").str.contains("//", literal=True) & ~pl.col("name").str.contains("://", literal=True)
        ),
        mend=lambda text: text.str.replace_all(r"/{2,}", "/"),
    ),
    Rule(
        id="pic-name-url",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="PicName is a URL, not the name of an object",
        message='PicName "{PicName}" is a URL; the service takes names of objects in the bucket',
        remedy="fetch the images first (imgprep fetch), and use the names of the files",
        among="PicName",
        test=lambda sheet: pl.col("name").str.contains("://", literal=True),
        refuses=True,
    ),
    Rule(
        id="pic-name-several",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="PicName holds several names",
        message='PicName "{PicName}" holds several names; a line takes one',
        remedy="make one row of each",
        among="PicName",
        test=lambda sheet: pl.col("name").str.contains_any([",", ";", "|"]),
        confirm=_several,
        refuses=True,
    ),
    Rule(
        id="pic-name-no-extension",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="api",
        what="PicName has no extension",
        message='PicName "{PicName}" has no extension; the service wants one',
        remedy="name the file with its extension, such as .jpg",
        among="PicName",
        test=lambda sheet: (pl.col("name") != "") & ~pl.col("name").str.contains(r"[^./\\ ][^/\\]*\.[^./\\ ]+ *$"),
        # A name that is a folder, or nothing but dots, has a finding of its own.
        confirm=lambda sheet: ~pl.col("name").str.contains(r"(?:^|[/\\])\.*$"),
        refuses=True,
    ),
    Rule(
        id="pic-name-extension",
        field="PicName",
        severity=Severity.WARNING,
        basis=Basis.WEAK,
        source="limits",
        what="the extension of PicName is none of the formats that the service takes",
        message='PicName "{PicName}" has an extension that is none of ' + ", ".join(EXTENSIONS),
        remedy="convert the image (imgprep prepare)",
        scope="add",
        among="PicName",
        test=lambda sheet: (
            pl.col("name").str.contains(r"\.[^./\\]+$") & ~pl.col("name").str.contains(rf"(?i)\.(?:{_NAMED})\s*$")
        ),
    ),
    Rule(
        id="pic-name-is-meta",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="guide",
        what="PicName is increment.meta itself",
        message='PicName "{PicName}" is the name of the batch file itself; uploading it would destroy the batch',
        remedy="name the image otherwise",
        among="PicName",
        test=lambda sheet: pl.col("name") == META_NAME,
    ),
    Rule(
        id="key-too-long",
        field="PicName",
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source="oss",
        what="folder and PicName together are longer than an object key may be",
        message="folder and PicName have {bytes} bytes together; a key takes {limit:key_bytes}",
        remedy="shorten the folder or the name",
        test=lambda sheet: (
            pl.col("name").str.len_bytes() + int(sheet.limits["folder_bytes"]) > sheet.limits["key_bytes"]
        ),
        refuses=True,
    ),
    Rule(
        id="pic-name-folder",
        field="PicName",
        severity=Severity.INFO,
        basis=Basis.WEAK,
        source="api",
        what="PicName has a folder: newer pages allow it, the guide wants images beside increment.meta",
        message='PicName "{PicName}" has a folder; newer pages of the vendor allow it, the guide does not speak of it',
        remedy="keep images beside increment.meta where rows fail for it",
        scope="add",
        test=lambda sheet: pl.col("name").str.contains("/", literal=True),
        confirm=lambda sheet: (
            pl.col("name").str.contains(r"[^/]/[^/]") & ~pl.col("name").str.contains("://", literal=True)
        ),
    ),
)
