"""Find the columns of an export that hold images, by their values, in the order of the product's images."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from imgprep.core.findings import Severity
from imgprep.load.export import Findings, export_finding
from imgprep.load.image_names import IMAGE_URL, has_extension, is_url, split_images
from imgprep.load.suggestions import NAMES, SAMPLE_ROWS, plain_name

#: Rule id of the finding that names the image columns.
IMAGE_COLUMNS = "image-columns"
#: Least share of images among a column's values; a column named after images needs fewer, as it often has notes.
_MOST, _SOME = 0.5, 0.2
#: Number of values examined.
_WEIGHED = 500
_NAMED = re.compile(r"image|img|pictur|photo|foto|bild|galler|图")
#: Columns with text about an image, which may look like file names.
_ABOUT = re.compile(r"alt|label|caption|text|title|descr|position|width|height")
#: Columns with images that do not show the product, or show it too small for a search.
_OTHER = re.compile(r"thumb|swatch|icon|logo|banner|flag|avatar")
_MAIN = re.compile(r"main|base|primary|cover|hero|featured|haupt|主图")
_MORE = re.compile(r"other|extra|addition|more|galler|secondary|alternat|weitere|附图")
#: A name without an extension, such as IMG_0012; short plain numbers are counts or positions.
_STEM = re.compile(r"(?=.*(?:[^\W\d]|\d{4}))[^\s<>{}\"',;|]{2,200}")
_WORDS = frozenset(["true", "false", "yes", "no", "y", "n", "none", "null", "na", "n/a", "tbd"])
#: Least share of URLs that end in the local name of the same record for two columns to name the same images.
_SAME = 0.8


@dataclass(frozen=True, slots=True)
class ImageColumns:
    """The columns of an export that hold images.

    Attributes
    ----------
    taken : tuple of str
        Columns with the product's images, the main one first.
    others : mapping
        Column that looks like images but is not taken → the reason.
    without_extension : bool
        Whether the column taken has names without an extension.
    """

    taken: tuple[str, ...]
    others: dict[str, str]
    without_extension: bool = False


def find_image_columns(table: pa.Table) -> ImageColumns:
    """Return the columns that hold images, judged by their first values."""
    values = {name: _first_values(table[name]) for name in table.column_names if name != IMAGE_URL}
    values = {name: texts for name, texts in values.items() if texts}
    found = [name for name, texts in values.items() if not _ABOUT.search(plain_name(name)) and _are_images(name, texts)]
    if not found:
        stems = [name for name, texts in values.items() if plain_name(name) in NAMES["PicName"] and _are_stems(texts)]
        return ImageColumns(tuple(stems[:1]), {}, without_extension=bool(stems))
    others = {name: "it does not seem to show the product" for name in found if _OTHER.search(plain_name(name))}
    if len(others) == len(found):
        others = {}
    taken = main_first(name for name in found if name not in others)
    for url in [name for name in taken if is_url(values[name][0])]:
        for local in taken:
            if url != local and not is_url(values[local][0]) and _same_images(table, url, local):
                others[url] = f"it seems to contain the URLs of the images in {local!r}"
    return ImageColumns(tuple(name for name in taken if name not in others), others)


def no_images_in(table: pa.Table, column: str) -> str | None:
    """Return one of a column's values if too few look like images; None if enough do, or the column is empty."""
    texts = _first_values(table[column])
    named = plain_name(column) in NAMES["PicName"] and _are_stems(texts)
    return texts[0] if texts and not named and not _are_images(column, texts) else None


def main_first(names: Iterable[str]) -> list[str]:
    """Return image columns in the order of the product's images: the main one, numbered ones, further ones."""

    def place(name: str) -> tuple[int, int]:
        plain = plain_name(name)
        number = re.search(r"(\d+)\W*$", name)
        rank = 0 if _MAIN.search(plain) else 2 if _MORE.search(plain) else 1
        return rank, int(number[1][:9]) if number else 0

    return sorted(names, key=place)


def image_column_findings(table: pa.Table, taken: Iterable[str], *, own: bool) -> Findings:
    """Return findings on image columns: those `taken`, named by the column map if `own`, and those not used."""
    used = list(taken)
    found = find_image_columns(table)
    notes = []
    if found.without_extension and set(found.taken) <= set(used):
        message = f"{found.taken[0]!r} contains names without an extension; each is matched to the file of that name"
        fix = "accept the files found (--near-names, use_files), or add the extensions in the export"
        notes.append(export_finding("image-without-extension", message, fix, field=found.taken[0]))
    elif len(used) > 1 and not own:
        message = f"images are taken from {', '.join(map(repr, used))}, in this order"
        fix = 'if a column does not show the product, list the right ones in the column map: PicName = ["…"]'
        notes.append(export_finding(IMAGE_COLUMNS, message, fix, Severity.INFO, field="PicName"))
    for name in [*found.taken, *found.others]:
        if name not in used:
            why = found.others.get(
                name, "the column map names other columns" if own else "the preset does not include it"
            )
            message = f"the column {name!r} looks like images but is not used: {why}"
            columns = ", ".join(f'"{each}"' for each in [*used, name])
            fix = f"if it shows the product, add it to the column map: PicName = [{columns}]"
            severity = Severity.INFO if own else Severity.WARNING
            value = _first_values(table[name])[0][:200]
            notes.append(export_finding("image-column-not-taken", message, fix, severity, field=name, value=value))
    return notes


def _first_values(column: pa.ChunkedArray) -> list[str]:
    head = column.slice(0, SAMPLE_ROWS).drop_null()
    if not len(head) and column.null_count < len(column):  # only filled further down
        head = column.drop_null().slice(0, SAMPLE_ROWS)
    return [text for text in head.to_pylist() if text.strip()]


def _are_images(name: str, texts: list[str]) -> bool:
    named = bool(_NAMED.search(plain_name(name)))
    cells = [[] if "<" in text else split_images(text) for text in texts[:_WEIGHED]]
    # An empty list counts as an empty cell; HTML is not a list.
    filled = [parts for parts, text in zip(cells, texts, strict=False) if parts or "<" in text]
    images = sum(
        bool(parts) and all(has_extension(part) or (named and is_url(part)) for part in parts) for parts in filled
    )
    return images > 0 and images >= (_SOME if named else _MOST) * len(filled)


def _are_stems(texts: list[str]) -> bool:
    stems = sum(bool(_STEM.fullmatch(text)) and text.casefold() not in _WORDS for text in texts)
    return stems >= 0.8 * len(texts)


def _same_images(table: pa.Table, url: str, local: str) -> bool:
    pairs = table.select([url, local]).slice(0, SAMPLE_ROWS).to_pydict()
    ends = [
        (one.partition("?")[0].rpartition("/")[2], other.rpartition("/")[2])
        for one, other in zip(pairs[url], pairs[local], strict=True)
        if one and other
    ]
    return bool(ends) and sum(one == other for one, other in ends) >= _SAME * len(ends)
