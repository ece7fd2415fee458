"""Which reader a file needs."""

from __future__ import annotations

import zipfile
from pathlib import Path

from imgprep.core.errors import CatalogueError
from imgprep.load.delimited import read_delimited
from imgprep.load.documents import read_json, read_parquet, read_xml
from imgprep.load.excel import read_excel
from imgprep.load.raw import Raw, sniff_encoding, without_blank

EXCEL = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})


def read_raw(path: Path) -> Raw:
    """Read an export of any form as texts, without the records that are blank."""
    return without_blank(_read(path))


def _read(path: Path) -> Raw:
    if path.exists() and not path.is_file() and not path.is_dir():  # read more than once, and mapped: a pipe is neither
        raise CatalogueError(f"{path}: is no file but a pipe or a device; save the export, and name its file")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except FileNotFoundError:
        raise CatalogueError(f"{path}: no such file; mend its name (in imgprep.toml: relative to it)") from None
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be read: {error.strerror or error}") from error
    if head.startswith(b"PAR1"):
        return read_parquet(path)
    if head.startswith(b"PK\3\4"):
        if path.suffix.lower() in EXCEL or _is_workbook(path):
            return read_excel(path)
        raise CatalogueError(f"{path.name}: is a zip archive and no workbook; unpack it and name the export in it")
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return read_excel(path)
    if head.startswith(b"\x1f\x8b"):
        raise CatalogueError(f"{path.name}: is compressed with gzip; unpack it first")
    if path.suffix.lower() in EXCEL - {".xls"}:
        raise CatalogueError(f"{path.name}: is named like a workbook and is none; export it again")
    if _binary(head):
        raise CatalogueError(f"{path.name}: is no text; export the catalogue as CSV, Excel, Parquet or JSON Lines")
    text = head.decode(sniff_encoding(head), errors="replace").lstrip("\ufeff \r\n\t")
    if text.startswith(("<?xml", "<rss", "<feed")):
        return read_xml(path)
    if text.startswith("<"):
        raise CatalogueError(f"{path.name}: is HTML or XML of a form that is not known; export it as CSV")
    if text.startswith(("{", "[{", "[\n", "[\r", "[ ")) or (text.startswith("[") and path.suffix.lower() == ".json"):
        return read_json(path)
    return read_delimited(path)


def _binary(head: bytes) -> bool:
    """More control characters than any text has; UTF-16 has only its NULs."""
    control = sum(byte < 32 and byte not in b"\0\t\n\r\f\x1a\x1b" for byte in head)
    return control * 20 > len(head)


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return "[Content_Types].xml" in names or "mimetype" in names
