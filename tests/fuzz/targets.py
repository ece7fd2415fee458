"""What is fuzzed: for each reader of untrusted text its seeds, and what must hold for any input."""

import csv
import io
import json
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from imgprep.core.errors import CatalogueError, ConfigError, MetaError, ReportError
from imgprep.load.catalogue import load_catalogue
from imgprep.meta.codec import dumps_meta, loads_meta
from imgprep.ship.report.match import read_report
from imgprep.ship.report.source import line_chunks
from tests.fuzz.mutate import MARK
from tests.reports_made import NAMINGS, SHAPES, make_report

ROOT = Path(__file__).parents[2]
#: Target → inputs that once broke it, one file each; tests/unit/test_fuzz_corpus.py holds that they no longer do.
CORPUS = Path(__file__).parent / "corpus"
BATCH = pd.DataFrame(
    {
        "line": pd.array([1, 2, 3, 4, 5], dtype="Int64"),
        "OperationType": ["ADD", "ADD", "ADD", "DELETE", "DELETE"],
        "ProductId": ["1000", "1000", "1001", "1004", "1005"],
        "PicName": ["a 1.jpg", "b.jpg", "c.jpg", "d.jpg", None],
    }
)


class Target(NamedTuple):
    """A reader under test: inputs are changed seeds, or with `make` the JSON of what an input is made of."""

    seeds: list[bytes]
    holds: Callable[[bytes], None]
    make: Callable[[random.Random], bytes] | None = None


def codec(data: bytes) -> None:
    """Nothing but MetaError is raised; every line is read or has a finding; what is read can be written and read."""
    batch, findings = loads_meta(data, strict=False)
    refused = set(findings.loc[findings["severity"] == "error", "line"].dropna())
    assert not batch["line"].duplicated().any()
    # UTF-16, with a mark or without, is refused as a whole: then line 1 stands for all.
    wide = findings["rule"].eq("meta-utf16").any()
    lines = [number for number, line in enumerate(data.split(b"\n"), 1) if line.strip(b" \t\r\xef\xbb\xbf")]
    for number in [] if wide else lines:
        assert number in refused or number in set(batch["line"]), f"line {number} is neither read nor refused"
    try:
        loads_meta(data)
    except MetaError:
        assert (findings["severity"] == "error").any()
    else:
        again = loads_meta(dumps_meta(batch))
        pd.testing.assert_frame_equal(again.drop(columns="line"), batch.drop(columns="line"))


_HEADER = re.compile(r'(^|[,;\t|])"?(PicName|ErrorCode|图片名称|失败原因)"?([,;\t|]|$)')


def report(data: bytes) -> None:
    """Nothing but ReportError is raised; every line of the batch has an outcome; no word of the report is lost."""
    try:
        outcome = read_report(data, BATCH, other_batch="keep")
    except ReportError:
        return
    assert outcome["line"].tolist() == BATCH["line"].tolist()
    assert outcome["outcome"].isin(["imported", "deleted", "failed", "unknown"]).all()
    # A header is not repeated, wherever it stands. Bytes that are not UTF-8 are read as GB18030, which may take the
    # mark's first letter for the second half of a character: what must come out is what a person would read.
    read = b"".join(line_chunks(io.BytesIO(data))).decode(errors="replace")
    rows = [line for line in read.splitlines()[1:] if not _HEADER.search(line)]
    if any(MARK in line for line in rows) and len(data) < 3000:
        columns = [outcome["raw"], outcome.attrs["unmatched"]["raw"], outcome.attrs["notes"]["raw"]]
        assert any(MARK in str(text) for column in columns for text in column), "a word of the report is nowhere"


def catalogue(data: bytes) -> None:
    """Nothing but CatalogueError is raised; no word of the export is lost without a finding of severity error."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "export.csv"
        file.write_bytes(data)
        try:
            frame = load_catalogue(file)
        except CatalogueError:
            return
    findings = frame.attrs["findings"]
    assert frame["row"].notna().all()
    # Where records are grouped by product, those that bring no image give no row (in Magento: further store views).
    grouped = frame.attrs["preset"]["name"] in ("shopify", "woocommerce", "magento", "google")
    if MARK.encode() in data and not grouped and not (findings["severity"] == "error").any():
        texts = [*frame.columns, *findings["message"], *findings["value"].astype("str")]
        cells = (str(value) for name in frame for value in frame[name])
        assert any(MARK in str(text) for text in (*texts, *cells)), "a word of the export is nowhere"


def _catalogue_seeds() -> list[bytes]:
    demo = (ROOT / "data" / "catalogue.csv").read_bytes().split(b"\n")
    lines = [b"sku;title;image;price\n" + b"".join(b"%03d;Shirt %d;a%d.jpg;12,50\n" % (n, n, n) for n in range(8))]
    shopify = (
        b"Handle,Title,Body (HTML),Vendor,Type,Variant SKU,Variant Price,Image Src,Image Position,Variant Image\n"
        b'tee,"Tee, blue",<p>Soft</p>,Us,Shirts,T-1,9.00,https://h/a,b.jpg?v=1,1,https://h/c.jpg\n'
        b"tee,,,,,T-2,9.00,https://h/d.jpg,2,\ncap,Cap,,Us,Hats,C-1,5.00,,,\n"
    )
    woo = (
        b'ID,Type,SKU,Name,Categories,Images,Parent\n1,simple,A,Shirt,Clothing,"https://h/a.jpg, https://h/b.jpg",\n'
        b"2,variation,A-1,Shirt red,,https://h/c.jpg,id:1\n"
    )
    jsonl = b"".join(
        json.dumps({"sku": f"{n:03}", "title": "Bag", "images": ["a.jpg", "b.jpg"]}).encode() + b"\n" for n in range(5)
    )
    magento = (
        b"sku,product_type,name,base_image,small_image,thumbnail_image,additional_images\n"
        b'M1,simple,Lamp,/l/a/lamp.jpg,/l/a/lamp.jpg,/l/a/lamp.jpg,"/l/a/2.jpg,/l/a/3.jpg"\n'
    )
    return [b"\n".join(demo[:12]) + b"\n", *lines, shopify, woo, jsonl, magento]


def _report_seeds() -> list[bytes]:
    rows = [
        {"ProductId": "1000", "PicName": "b.jpg", "Code": "PicNotExist", "Message": "gone"},
        {"ProductId": "1001", "PicName": "c.jpg", "Code": "IncorrectOrientation", "Message": "turned"},
    ]
    return [
        "".join(json.dumps(row) + "\n" for row in rows).encode(),
        json.dumps(rows, indent=1).encode(),
        b"ProductId,PicName,ErrorCode,Msg\n1000,b.jpg,PicNotExist,x\n1001,c.jpg,IncorrectOrientation,\n",
        b"ProductId=1000 PicName=b.jpg: PicNotExist\nimage c.jpg has a wrong EXIF orientation\n",
        "商品ID,图片名称,失败原因\n1000,b.jpg,图片不存在\n1001,c.jpg,图片旋转\n".encode(),
        "第2行 图片不存在\nline 3: IncorrectOrientation\n".encode(),
    ]


def _made_report(rng: random.Random) -> bytes:
    recipe = {"seed": rng.getrandbits(32), "shape": rng.choice(sorted(SHAPES)), "naming": rng.choice(sorted(NAMINGS))}
    return json.dumps(recipe).encode()


def claims(data: bytes) -> None:
    """No line that a generated report calls failed has an outcome that says it went well."""
    recipe = json.loads(data)
    made = make_report(random.Random(recipe["seed"]), recipe["shape"], recipe["naming"])
    try:
        outcome = read_report(made.text.encode(), made.batch)
    except ReportError:
        return
    well = set(outcome["line"][outcome["outcome"].isin(["imported", "deleted"])])
    assert not well & made.failed, f"called failed and read as done: {sorted(well & made.failed)}"


#: Pieces of cells that dialects write differently.
_PIECES = (
    "a",
    "red",
    "7",
    "12,50",
    " ",
    "'",
    '"',
    '""',
    "''",
    "\\",
    ",",
    ";",
    "\t",
    "|",
    "\n",
    "\r\n",
    "5'11\"",
    "裙",
    "=1+1",
)
_DIALECTS: dict[str, list[Any]] = {
    "delimiter": [",", ";", "\t", "|"],
    "quotechar": ['"', "'"],
    "doublequote": [True, False],
    "escapechar": [None, "\\"],
    "quoting": [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC, csv.QUOTE_NONE],
    "lineterminator": ["\n", "\r\n"],
}


def _made_export(rng: random.Random) -> bytes:
    dialect = {name: rng.choice(values) for name, values in _DIALECTS.items()}
    if dialect["quoting"] == csv.QUOTE_NONE or not dialect["doublequote"]:
        dialect["escapechar"] = "\\"
    titles = ["".join(rng.choices(_PIECES, k=rng.choice((1, 2, 3, 5)))) for _ in range(rng.choice((1, 3, 12)))]
    return json.dumps({"dialect": dialect, "titles": titles}, ensure_ascii=False).encode()


def dialect(data: bytes) -> None:
    """An export in any dialect of CSV has each of its rows, or a finding names what cannot be read as it was meant."""
    recipe = json.loads(data)
    text = io.StringIO(newline="")
    try:
        writer = csv.writer(text, **recipe["dialect"])
        writer.writerow(["sku", "title", "image"])
        writer.writerows([f"sku{n:03}", title, f"a{n}.jpg"] for n, title in enumerate(recipe["titles"]))
    except csv.Error:  # this dialect cannot write these cells
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "export.csv"
        file.write_bytes(text.getvalue().encode())
        try:
            frame = load_catalogue(file, columns={"ProductId": "sku", "PicName": "image"})
        except (CatalogueError, ConfigError):
            return
    findings = frame.attrs["findings"]
    if (findings["severity"] == "error").any():
        return
    found = list(zip(frame["ProductId"], frame["PicName"], strict=True))
    lost = [n for n in range(len(recipe["titles"])) if (f"sku{n:03}", f"a{n}.jpg") not in found]
    assert not lost, f"rows {lost[:5]} are lost, and no finding names them"


def kept(name: str) -> dict[str, bytes]:
    """Return the inputs of a target that once broke it."""
    folder = CORPUS / name
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())} if folder.is_dir() else {}


TARGETS = {
    "codec": Target([(ROOT / "tests" / "golden" / "guide-sample.meta").read_bytes()], codec),
    "report": Target(_report_seeds(), report),
    "catalogue": Target(_catalogue_seeds(), catalogue),
    "claims": Target([], claims, _made_report),
    "dialect": Target([], dialect, _made_export),
}
