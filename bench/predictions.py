"""A shop of 5,000 images with every fault that `check` knows seeded at known rows, shipped whole to a sandbox.

What can be written goes as `build_batch(keep_refused=True)` sends it; what the codec refuses to write goes as a
script would have written it, in a task of its own. Then each prediction is held against what came back.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import imgprep as ip
from imgprep.core.fields import INT_ATTRS
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.report.match import Outcome, settle

ROWS = 5_000
TINY = {"rows": 12}
PREFIX = "increment/2026/autumn/week-48/photos/"
_EMOJI = "/".join(["😀" * 63] * 3) + "/" + "😀" * 56


def _bytes(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _turned(orientation: int, kind: str = "JPEG") -> Callable[[Image.Image], bytes]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return lambda photo: _bytes(photo, kind, exif=exif)


def _sized(width: int, height: int) -> Callable[[Image.Image], bytes]:
    return lambda photo: _bytes(photo.resize((width, height)), "PNG")


def _as(kind: str, mode: str = "RGB", **options: Any) -> Callable[[Image.Image], bytes]:
    return lambda photo: _bytes(photo.convert(mode), kind, **options)


def _heavy(size: int) -> Callable[[Image.Image], bytes]:
    return lambda photo: (data := _bytes(photo, "JPEG")) + bytes(size - len(data))


def _animated(photo: Image.Image) -> bytes:
    return _bytes(photo, "GIF", save_all=True, append_images=[photo.rotate(90)])


def _stereo(photo: Image.Image) -> bytes:
    return _bytes(photo, "MPO", save_all=True, append_images=[photo.rotate(180)])


_PLAIN = _as("JPEG")


@dataclass(frozen=True)
class Kind:
    """One kind of row.

    Attributes
    ----------
    rule : str
        What `check` shall say of it, at whatever severity; empty: no error, however odd it looks.
    fields : mapping
        What differs from a good row; ``{n}`` is the row's number, None means absent.
    picture : callable or None
        Photograph → bytes of the file; None: there is no file.
    twin : mapping or None
        What a second row, right behind it, has otherwise.
    """

    rule: str
    fields: dict[str, str | None] = field(default_factory=dict)
    picture: Callable[[Image.Image], bytes] | None = _PLAIN
    twin: dict[str, str | None] | None = None


KINDS: tuple[Kind, ...] = (
    Kind("operation-unknown", {"OperationType": "UPDATE"}),
    Kind("operation-unknown", {"OperationType": "add"}),
    Kind("product-id-missing", {"ProductId": None}),
    Kind("product-id-missing", {"ProductId": ""}),
    Kind("product-id-too-long", {"ProductId": "p" * 257}),
    Kind("", {"ProductId": "{n}" + "衣" * 240}),
    Kind("product-id-spaces", {"ProductId": " P{n}"}),
    Kind("product-id-control-character", {"ProductId": "P\t{n}"}),
    Kind("product-id-damaged", {"ProductId": "6.93E+{n}"}),
    Kind("product-id-date", {"ProductId": "1-Mar"}),
    Kind("category-not-integer", {"CategoryId": "Dresses"}),
    Kind("category-not-integer", {"CategoryId": "1.0"}),
    Kind("category-unknown", {"CategoryId": "17"}),
    Kind("category-unknown", {"CategoryId": "-1"}),
    Kind("category-unknown", {"CategoryId": "99999999999999999999"}),
    Kind("", {"CategoryId": "88888888"}),
    Kind("category-missing", {"CategoryId": None}),
    Kind("int-attr-not-integer", {"IntAttr": "12.5"}),
    Kind("int-attr-not-integer", {"IntAttr": "€ 12"}),
    Kind("int-attr-range", {"IntAttr": "4000000000"}),
    Kind("int-attr-range", {"IntAttr": "99999999999999999999"}),
    Kind("", {"IntAttr": "-2147483648"}),
    Kind("int-attr-range", {"IntAttr4": "-4000000000"}),
    Kind("str-attr-too-long", {"StrAttr": "s" * 129}),
    Kind("", {"StrAttr": "品" * 128}),
    Kind("str-attr-too-long", {"StrAttr3": "s" * 129}),
    Kind("", {"IntAttr2": "1", "IntAttr3": "2", "IntAttr4": "3", "StrAttr2": "a", "StrAttr3": "b", "StrAttr4": "c"}),
    Kind("str-attr-spaces", {"StrAttr": "brand "}),
    Kind("str-attr-characters", {"StrAttr": "A & B"}),
    Kind("str-attr-empty", {"StrAttr": ""}),
    Kind("custom-content-missing", {"CustomContent": None}),
    Kind("custom-content-empty", {"CustomContent": ""}),
    Kind("custom-content-too-long", {"CustomContent": "c" * 4097}),
    Kind("", {"CustomContent": "裙" * 4096}),
    Kind("crop-not-boolean", {"Crop": "yes"}),
    Kind("crop-with-region", {"Crop": "false", "Region": "10,100,20,90"}),
    Kind("region-format", {"Region": "10;100;20;90"}),
    Kind("region-format", {"Region": "10,100,20"}),
    Kind("region-format", {"Region": "1.5,100,20,90"}),
    Kind("region-empty", {"Region": "100,100,20,90"}),
    Kind("region-empty", {"Region": "-5,100,20,90"}),
    Kind("region-outside", {"Region": "10,241,20,90"}),
    Kind("", {"Region": "0,240,0,180"}),
    Kind("pic-name-missing", {"PicName": None}),
    Kind("pic-name-missing", {"PicName": ""}),
    Kind("pic-name-too-long", {"PicName": "n" * 120 + "/" + "{n}" + "n" * 140 + ".jpg"}),
    Kind("pic-name-spaces", {"PicName": "a{n}.jpg "}),
    Kind("pic-name-control-character", {"PicName": "a\x07{n}.jpg"}),
    Kind("pic-name-hidden-character", {"PicName": "a\u202e{n}.jpg"}),
    Kind("pic-name-not-on-windows", {"PicName": "con.{n}.jpg"}),
    Kind("pic-name-not-on-windows", {"PicName": "a?v={n}.jpg"}),
    Kind("pic-name-slash", {"PicName": "/a{n}.jpg"}, None),
    Kind("pic-name-backslash", {"PicName": "a\\{n}.jpg"}),
    Kind("pic-name-edge-backslash", {"PicName": "\\a{n}.jpg"}),
    Kind("pic-name-dotdot", {"PicName": "../a{n}.jpg"}, None),
    Kind("image-outside-root", {"PicName": "../b{n}.jpg"}, None),
    Kind("pic-name-double-slash", {"PicName": "a//{n}.jpg"}),
    Kind("pic-name-url", {"PicName": "https://cdn.example/a{n}.jpg"}, None),
    Kind("pic-name-several", {"PicName": "a{n}.jpg,b{n}.jpg"}, None),
    Kind("", {"PicName": "c{n}.jpg,d{n}.jpg"}),
    Kind("pic-name-no-extension", {"PicName": "image{n}"}),
    Kind("pic-name-no-extension", {"PicName": "image{n}."}),
    Kind("pic-name-no-extension", {"PicName": "Dress No. {n}"}),
    Kind("pic-name-no-extension", {"PicName": ".jpg"}),
    Kind("pic-name-extension", {"PicName": "a{n}.heic"}),
    Kind("pic-name-is-meta", {"PicName": "increment.meta"}, None),
    Kind("key-too-long", {"PicName": _EMOJI + "{n}.jpg"}),
    Kind("pic-name-folder", {"PicName": "spring/a{n}.jpg"}),
    Kind("pic-name-case-twins", {"PicName": "t{n}.jpg"}, twin={"PicName": "T{n}.jpg"}),
    Kind("delete-whole-product", {"OperationType": "DELETE", "PicName": None}),
    Kind("delete-empty-pic-name", {"OperationType": "DELETE", "PicName": ""}),
    Kind("pic-name-slash", {"OperationType": "DELETE", "PicName": "/a{n}.jpg"}, None),
    Kind("", {"OperationType": "DELETE", "PicName": "never-there{n}.jpg"}, None),
    Kind("duplicate-key", twin={}),
    Kind("duplicate-conflict", twin={"IntAttr": "7"}),
    Kind("add-and-delete", twin={"OperationType": "DELETE"}),
    Kind("add-and-product-delete", twin={"OperationType": "DELETE", "PicName": None}),
    Kind("image-missing", picture=None),
    Kind("image-empty", picture=lambda photo: b""),
    Kind("image-unreadable", picture=lambda photo: b"<!doctype html><title>404</title>"),
    Kind("image-unreadable", picture=lambda photo: (data := _bytes(photo, "JPEG"))[: len(data) // 2]),
    Kind("image-unreadable", picture=lambda photo: (data := _bytes(photo, "PNG"))[: len(data) // 2]),
    Kind("image-too-heavy", picture=_heavy(4_194_305)),
    Kind("", picture=_heavy(4_194_304)),
    Kind("image-format", picture=_as("ICO")),
    Kind("image-format", picture=_as("JPEG2000")),
    Kind("image-unreadable", picture=_as("TGA")),
    Kind("image-too-small", picture=_sized(99, 300)),
    Kind("image-too-large", picture=_sized(4097, 120)),
    Kind("", picture=_sized(100, 100)),
    Kind("image-narrow", picture=_sized(4096, 100)),
    *(Kind("image-rotated", picture=_turned(turn)) for turn in (2, 3, 6, 8)),
    *(Kind("image-rotated", picture=_turned(6, kind)) for kind in ("PNG", "TIFF", "WEBP")),
    *(Kind("", picture=_turned(turn)) for turn in (0, 1, 9)),
    *(Kind("", picture=_as(kind)) for kind in ("BMP", "GIF", "PNG", "PPM", "TIFF", "WEBP")),
    Kind("image-several-pictures", picture=_animated),
    Kind("image-several-pictures", picture=_stereo),
    Kind("image-cmyk", picture=_as("JPEG", "CMYK")),
    Kind("image-deep", picture=_as("PNG", "I;16")),
    Kind("image-transparent", picture=_as("PNG", "RGBA")),
    Kind("image-extension-differs", picture=_as("PNG")),
    Kind(
        "image-placeholder",
        picture=lambda photo: _bytes(Image.new("RGB", (150, 150)), "JPEG"),
        twin={"ProductId": "H{n}", "PicName": "h{n}.jpg"},
    ),
    Kind("region-stale", {"PicName": "stale{n}.jpg"}),
    Kind("region-unverified", {"PicName": "undated{n}.jpg"}),
)

#: Rules that no single row can break.
NOT_SEEDED = {
    "service-unknown": "about the type of the instance, not about a row",
    "region-order-suspect": "judges the regions of a whole batch by their majority",
    "row-numbers-shared": "is about exports that were put together, not about what is sent",
    "custom-content-html-entity": "is about what people see beside a result: the service takes any text",
    "str-attr-html-entity": "is about what people filter by: the service takes any text",
    "file-unnamed": "is about files that no row names, and so are never sent",
}

#: Rule, or code of a refusal → why prediction and outcome differ where they do.
WHY = {
    "int-attr-range": "basis weak: one source says 32 bits; the sandbox takes 64 unless strict=['int32']",
    "pic-name-slash": "a DELETE of a name that nothing can have: it succeeds, as documented, and deletes nothing",
    "pic-name-edge-backslash": "basis unknown: a letter in OSS; imgprep never sends such a name",
    "delete-empty-pic-name": "basis unknown: read as absent, it deletes the whole product; imgprep never sends it",
    "duplicate-conflict": "basis unknown: both lines are taken, and which one wins is not documented",
    "add-and-delete": "basis unknown: both lines are taken; what stays is not documented",
    "add-and-product-delete": "basis unknown: both lines are taken; what stays is not documented",
}


def make_shop(folder: Path, rows: int = ROWS, *, every: int = 3) -> tuple[pd.DataFrame, ip.RegionStore]:
    """Write the photographs, and return the catalogue with the seeded kind beside each row, and drawn regions."""
    folder.mkdir(parents=True)
    store = ip.RegionStore(folder.parent / "regions.db")
    records: list[dict[str, Any]] = []
    while len(records) < rows:
        at = len(records)
        kind = KINDS[at // every % len(KINDS)] if at % every == every - 1 else Kind("")
        records += _records(at, kind, folder, store)
    catalogue = pd.DataFrame(records, dtype="str")
    catalogue.insert(0, "row", pd.array(range(1, len(records) + 1), dtype="Int64"))
    return catalogue, store


def _records(at: int, kind: Kind, folder: Path, store: ip.RegionStore) -> Iterator[dict[str, Any]]:
    good = {"OperationType": "ADD", "ProductId": "P{n}", "PicName": "p{n}.jpg", "CategoryId": "0", "IntAttr": "5"}
    good |= {"StrAttr": "brand", "CustomContent": "title:Dress {n}", "Crop": None, "Region": None}
    for number, other in enumerate((kind.fields, kind.twin)):
        if other is None:
            continue
        made = good | kind.fields | (other if number else {})
        row = {name: value.replace("{n}", str(at)) if value else value for name, value in made.items()}
        name = row["PicName"]
        if kind.picture is not None and name:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(kind.picture(_photo(at)))
        if kind.rule == "region-stale":
            store.put(name, ip.Region(x1=1, y1=1, x2=90, y2=90), digest="0" * 32, size=(100, 100))
        elif kind.rule == "region-unverified":
            store.put(name, ip.Region(x1=1, y1=1, x2=90, y2=90))
        yield row | {"kind": kind.rule, "seed": str(at)}


def _photo(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((240, 180))


def compare(folder: Path, rows: int = ROWS, *, every: int = 3, **switches: Any) -> pd.DataFrame:
    """Ship the shop and return one row per catalogue row.

    Returns
    -------
    pandas.DataFrame
        ``row, kind`` (rule seeded), ``found`` (whether `check` reported it), ``rule, basis`` (first error; NA: none
        predicted), ``documented`` (whether an error is), ``sent`` (``batch``, or ``raw`` where only a script would
        write it), ``outcome, code``.
    """
    catalogue, store = make_shop(folder / "photos", rows, every=every)
    with Sandbox(folder / "sandbox", **switches) as sandbox:
        settings = replace(sandbox.settings, path=f"/{PREFIX.strip('/')}")
        service = str(switches.get("instances", {}).get("demo", "product"))
        built = ip.build_batch(
            catalogue,
            folder / "photos",
            folder / "batch",
            rules=ip.Rules(service=service, limits={"folder_bytes": len(PREFIX), "placeholder_products": 2}),
            baseline=ip.Baseline(confirm="gallery"),
            regions=store,
            keep_refused=True,
            prepare=False,
            progress=False,
        )
        log = ip.upload(built.folder, built.folder / "images", settings, progress=False)
        assert not log["outcome"].isin(["failed", "changed"]).any(), log[log["outcome"] == "failed"]["message"].tolist()
        run = ip.submit(built.folder, settings, runs=folder / "runs").follow(progress=False)
        sent = run.outcome.merge(built.plan.batch[["line", "row"]], on="line").assign(sent="batch")
        left = catalogue[catalogue["row"].isin(built.plan.excluded["row"])]
        raw = _ship_raw(left, folder / "photos", sandbox)
    ended = pd.concat([sent, raw], ignore_index=True)[["row", "sent", "outcome", "code"]]
    return _held_against(catalogue, built.findings, ended)


def _ship_raw(rows: pd.DataFrame, photos: Path, sandbox: Sandbox) -> pd.DataFrame:
    """Send rows as a script without a codec would write them."""
    from imgprep.cloud.imagesearch import ImageSearch

    settings = replace(sandbox.settings, path="/raw")
    bucket = settings.bucket or ""
    for name in rows["PicName"].dropna().unique():
        if name and not name.startswith("/") and ".." not in name and (photos / name).is_file():
            sandbox.store.put(bucket, f"raw/{name}", (photos / name).read_bytes(), modified=1.0)
    lines = [json.dumps(_record(row), ensure_ascii=False) for row in rows.to_dict("records")]
    sandbox.store.put(bucket, "raw/increment.meta", "\n".join(lines).encode(), modified=1.0)
    service = ImageSearch(settings)
    task_id = service.start_task()
    sandbox.finish_tasks()
    task = service.task(task_id)
    batch = rows.assign(line=range(1, len(rows) + 1)).reset_index(drop=True)
    if task is None or not task.report_url:
        return settle(batch).assign(row=batch["row"], sent="raw")
    with urllib.request.urlopen(task.report_url) as answer:
        return ip.read_report(answer.read(), batch).assign(row=batch["row"], sent="raw")


def _record(row: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name in ip.loads_meta("").columns.intersection(list(row)):
        value = row[name]
        if name == "row" or value is None or value != value:  # noqa: PLR0124  NaN
            continue
        if name in ("CategoryId", *INT_ATTRS) and re.fullmatch(r"[+-]?[0-9]+", value):
            value = int(value)
        elif name == "Crop" and value in ("true", "false"):
            value = value == "true"
        record[name] = value
    return record


def _held_against(catalogue: pd.DataFrame, findings: pd.DataFrame, ended: pd.DataFrame) -> pd.DataFrame:
    rules = findings.groupby("row")["rule"].agg(set)
    errors = findings[findings["severity"] == "error"]
    first = errors.drop_duplicates("row").set_index("row")[["rule", "basis"]]
    documented = set(errors.loc[errors["basis"] == "documented", "row"])
    both = catalogue[["row", "kind"]].merge(first, left_on="row", right_index=True, how="left")
    # Of twins, it is enough that one is found.
    hit = [not kind or kind in rules.get(row, set()) for row, kind in zip(both["row"], both["kind"], strict=True)]
    both["found"] = pd.Series(hit, index=both.index).groupby(catalogue["seed"]).transform("any")
    both["documented"] = both["row"].isin(documented)
    # An identical row is not sent again: the line that carries its like speaks for it.
    return both.merge(ended, on="row", how="left")


def disagreements(both: pd.DataFrame) -> pd.DataFrame:
    """Return rule, basis, outcome, code, rows and why, of every kind of difference."""
    failed = both["outcome"].eq(Outcome.FAILED)
    differ = both[failed == both["rule"].isna()]
    keys = ["rule", "basis", "outcome", "code"]
    table = differ.groupby(keys, dropna=False).size().rename("rows").reset_index()
    reported = table["rule"].fillna(table["code"])
    return table.assign(why=reported.map(WHY).fillna("UNEXPLAINED"))


def main(rows: int = ROWS) -> None:
    """Print the figures and the table."""
    with tempfile.TemporaryDirectory() as name:
        both = compare(Path(name), rows)
    failed, predicted = both["outcome"].eq(Outcome.FAILED), both["rule"].notna()
    wrong = both["documented"] & both["outcome"].eq(Outcome.IMPORTED)
    kinds = both["kind"].nunique() - 1
    print(f"{len(both):,} rows, {kinds} rules seeded in {len(KINDS)} ways; {failed.sum():,} lines refused,")
    print(
        f"{both['sent'].eq('raw').sum():,} rows sent as a script writes them; {(~both['found']).sum()} faults not found"
    )
    print(f"recall of refusals at severity error: {(failed & predicted).sum() / failed.sum():.4f}")
    print(
        f"precision of documented errors, by rows that were imported: {1 - wrong.sum() / both['documented'].sum():.4f}"
    )
    print("\nevery disagreement:")
    print(disagreements(both).to_string(index=False, max_colwidth=None))


if __name__ == "__main__":
    main()
