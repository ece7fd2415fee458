"""The faults planted in the demo shop, and the ground truth, which records what was planted and is never measured."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from imgprep.core.regions import EDGES, Region
from imgprep.demo.assortment import KERN, LUND, PHONES, PORTAL, WANG, Item, composed, items
from imgprep.demo.scenes import Picture

SEED = 20261130
#: Number of products at the top of the export that have no fault; examples use them.
_SOUND = 20

Remedy = Literal["prepare", "person"]
Fate = Literal["imported", "refused", "excluded"]
Changes = dict[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault, and how to plant it in a picture or a record."""

    rows: int  #: number of rows with the fault
    what: str
    rules: tuple[str, ...]  #: the rules of `load_catalogue` and `check` that report the fault
    remedy: Remedy  #: who corrects the fault
    sent: Fate  #: outcome of its rows if every row that can be sent is sent; excluded rows never are
    by: tuple[str, ...] = ()  #: photographers whose images have the fault; empty for all
    picture: Callable[[Picture, random.Random], Picture] | None = None
    record: Callable[[Item, random.Random], Changes] | None = None
    absent: bool = False  #: whether the image file is missing


def _saved(form: str, end: str | None = None) -> Callable[[Picture, random.Random], Picture]:
    """Return a function that saves a picture in a form from `imgprep.demo.files`, under a name ending in `end`."""

    def change(picture: Picture, _: random.Random) -> Picture:
        return replace(picture, name=picture.name if end is None else _stem(picture) + end, form=form)

    return change


def _sized(size: tuple[int, int], form: str = "jpeg", end: str = ".jpg") -> Callable[[Picture, random.Random], Picture]:
    """Return a function that composes a picture again in another size."""
    return lambda picture, rng: composed(_stem(picture) + end, picture.look, "studio", rng, size, form=form)


def _scaled(picture: Picture, _: random.Random) -> Picture:
    return replace(picture, scale=4200 / max(picture.size))


def _heavy(picture: Picture, _: random.Random) -> Picture:
    scale = (1_440_000 / (picture.size[0] * picture.size[1])) ** 0.5
    return replace(picture, name=_stem(picture) + ".bmp", form="bmp", scale=scale)


def _placeholder(name: str, text: str) -> Callable[[Picture, random.Random], Picture]:
    def change(picture: Picture, _: random.Random) -> Picture:
        place = (150, 140, 350, 290)
        return Picture(name, picture.look, (500, 500), place, "studio", (0, 0, 0), 0, badge=text, form="placeholder")

    return change


def _renamed(start: str = "", end: str | None = None) -> Callable[[Picture, random.Random], Picture]:
    return lambda picture, _: replace(picture, name=start + (picture.name if end is None else _stem(picture) + end))


def _stem(picture: Picture) -> str:
    return picture.name.rpartition(".")[0]


def _with(**changes: str) -> Callable[[Item, random.Random], Changes]:
    return lambda item, rng: changes


def _region_outside(item: Item, rng: random.Random) -> Changes:
    x1, y1, _, y2 = item.pictures[0].box
    return {"region": f"{x1},{item.pictures[0].size[0] + rng.randint(20, 900)},{y1},{y2}"}


def _region_empty(item: Item, _: random.Random) -> Changes:
    x1, y1, x2, y2 = item.pictures[0].box
    return {"region": f"{x2},{x1},{y1},{y2}"}


_FIXED: tuple[Remedy, Fate] = ("prepare", "imported")
_LOST: tuple[Remedy, Fate] = ("person", "refused")
_POOR: tuple[Remedy, Fate] = ("person", "imported")
_NEVER: tuple[Remedy, Fate] = ("person", "excluded")
_NUMBER = ("number-not-read", "int-attr-not-integer")
_OUTSIDE = ("pic-name-dotdot", "image-outside-root", "pic-name-folder")
_CARE = "Wash at 30 °C; do not bleach; dry flat; cool iron. "
_SEASON = (
    "spring and summer 2026, re-issued for autumn and winter 2026 with the capsule of the same name; see page 12 of "
)

FAULTS: dict[str, Fault] = {
    # Files that `prepare_images` corrects.
    "turned-right": Fault(74, "rotated, with a tag that states how", ("image-rotated",), *_FIXED, (PHONES,),
        _saved("turned-6")),
    "cut-out": Fault(63, "cut out, with transparency", ("image-transparent",), *_FIXED, (LUND, WANG),
        _saved("transparent", ".png")),
    "print-colours": Fault(41, "in CMYK", ("image-cmyk",), *_FIXED, (KERN,), _saved("cmyk")),
    "webp-named-jpg": Fault(34, "WebP, named .jpg", ("image-extension-differs",), *_POOR, (PORTAL,), _saved("webp",
        ".jpg")),
    "turned-left": Fault(33, "turned the other way", ("image-rotated",), *_FIXED, (PHONES,), _saved("turned-8")),
    "too-large": Fault(26, "4,200 pixels long", ("image-too-large",), *_FIXED, (KERN, LUND), _scaled),
    "icon": Fault(14, "an icon, not an accepted format", ("image-format", "pic-name-extension"), *_FIXED, (PORTAL,),
        _sized((256, 256), "icon", ".ico")),
    "no-extension": Fault(12, "a name without an extension", ("pic-name-no-extension",), *_FIXED, (WANG,),
        _renamed(end="")),
    "upside-down": Fault(11, "upside down, with a tag", ("image-rotated",), *_FIXED, (PHONES, WANG),
        _saved("turned-3")),
    "too-heavy": Fault(9, "over 4 MB", ("image-too-heavy",), *_FIXED, (KERN,), _heavy),
    "png-named-jpg": Fault(8, "PNG, named .jpg", ("image-extension-differs",), *_POOR, (LUND,), _saved("png", ".jpg")),
    "animated": Fault(7, "an animation", ("image-several-pictures",), *_FIXED, (PORTAL,), _saved("animated", ".gif")),
    "deep": Fault(3, "16 bits per channel", ("image-deep",), *_FIXED, (KERN,), _saved("deep", ".png")),
    # Files that a person must replace.
    "missing": Fault(87, "never delivered", ("image-missing",), *_LOST, (PORTAL, PHONES), absent=True),
    "thumbnail": Fault(46, "under 100 pixels", ("image-too-small",), *_LOST, (PORTAL,), _sized((84, 110))),
    "truncated": Fault(31, "breaks off", ("image-unreadable",), *_LOST, (PORTAL, WANG), _saved("truncated")),
    "error-page": Fault(22, "an error page, saved as an image", ("image-unreadable",), *_LOST, (PORTAL,),
        _saved("page")),
    "heic-named-jpg": Fault(13, "HEIC from a phone, named .jpg", ("image-unreadable",), *_LOST, (PHONES,),
        _saved("heic")),
    "empty": Fault(6, "no bytes", ("image-empty",), *_LOST, picture=_saved("empty")),
    "coming-soon": Fault(64, "a placeholder", ("image-placeholder",), *_POOR, (PORTAL, KERN),
        _placeholder("coming-soon.png", "picture coming soon")),
    "no-photo": Fault(24, "another placeholder", ("image-placeholder",), *_POOR, (PHONES, WANG),
        _placeholder("no-photo.png", "no photo yet")),
    "strip": Fault(15, "a strip, beyond 4 to 1", ("image-narrow",), *_POOR, (LUND, KERN), _sized((1200, 240))),
    "elsewhere": Fault(2, "a name that points outside the folder", _OUTSIDE, *_NEVER,
        picture=_renamed("../old-shop/"), absent=True),
    # Records that a person must correct.
    "no-image": Fault(38, "no image is given", ("product-without-image", "pic-name-missing"), *_NEVER, record=_with()),
    "gift-card": Fault(19, "a category that the map leaves out", ("value-unmapped", "category-missing"), *_POOR,
        record=_with(type="Gift cards")),
    "comma-price": Fault(17, "a price with a comma among prices with a point", _NUMBER, *_NEVER, (KERN,),
        record=lambda item, _: {"price": item.record["price"].replace(".", ",")}),
    "garden": Fault(11, "a category that the service does not have", ("category-unknown",), *_LOST,
        record=_with(type="Garden")),
    "on-request": Fault(9, "words instead of a price", _NUMBER, *_NEVER, record=lambda _,
        rng: {"price": rng.choice(["on request", "auf Anfrage", "询价"])}),
    "repeated": Fault(8, "the same record again", ("duplicate-key",), *_NEVER, record=_with()),
    "contradictory": Fault(6, "the same product and image with two prices", ("duplicate-conflict",), *_NEVER,
        record=_with()),
    "no-sku": Fault(5, "no product id", ("product-id-missing",), *_NEVER, record=_with(sku="")),
    "region-outside": Fault(5, "a region beyond its image", ("region-outside",), *_LOST, record=_region_outside),
    "rounded-sku": Fault(4, "an id that a spreadsheet rounded", ("product-id-damaged",), *_POOR, record=lambda _,
        rng: {"sku": f"{rng.uniform(1, 9):.5f}E+12"}),
    "long-care": Fault(4, "CustomContent above 4,096 characters", ("custom-content-too-long",), *_LOST,
        record=_with(care=_CARE * 90)),
    "blank-in-sku": Fault(3, "an id with a trailing space", ("product-id-spaces",), *_POOR, record=lambda item,
        _: {"sku": item.record["sku"] + " "}),
    "long-season": Fault(3, "StrAttr above 128 characters", ("str-attr-too-long",), *_LOST,
        record=_with(season=_SEASON + "the look book of this year")),
    "region-empty": Fault(2, "a region that encloses nothing", ("region-empty",), *_LOST, record=_region_empty),
    "price-range": Fault(2, "a price beyond 32 bits", ("int-attr-range",), *_LOST, record=_with(price="30000000.00")),
    "region-format": Fault(1, "a region of two numbers", ("region-format",), *_LOST, record=_with(region="20,40")),
    "date-sku": Fault(1, "an id that a spreadsheet converted to a date", ("product-id-date",), *_POOR,
        record=_with(sku="3-Mar")),
}  # fmt: skip

#: Numbers of images that copy another product's: same bytes, saved again, or one file under one name.
_COPIES: dict[str, int] = {"bytes": 24, "near": 30, "shared": 18}
#: Columns that hold a record's images.
_SLOTS = ("image", "image_2", "image_3")
#: Number of new products in a part's export of the following week.
_NEW = 8
#: Number of sound products whose subject region is in the export.
_REGIONS = 120


@dataclass(frozen=True, slots=True)
class Stock:
    """The planned shop: records of the export, files to draw, and the ground truth about both."""

    records: list[dict[str, str]]
    pictures: dict[str, Picture]
    truth: dict[str, Any]
    later: list[dict[str, str]] = field(default_factory=list)  #: for a part: the export of the following week


def stock(seed: int = SEED) -> Stock:
    """Decide what the shop sells and which faults it has."""
    rng = random.Random(seed)
    every = list(items(rng))
    others = every[_SOUND:]
    copies = _plant_copies(others, rng)
    for name, fault in FAULTS.items():
        _plant(name, fault, others, rng)
    single = [item for item in every if item.is_free and len(item.pictures) == 1]
    for item in rng.sample(single, _REGIONS):
        item.record["region"] = Region(**dict(zip(EDGES, item.pictures[0].box, strict=True))).wire()
    return _written(every, copies, seed)


def _plant_copies(every: list[Item], rng: random.Random) -> list[dict[str, Any]]:
    """Assign another product's image to some products."""
    plain = [item for item in every if [p.form for p in item.pictures] == ["jpeg"] and "-" not in item.record["sku"]]
    chosen = rng.sample(plain, 2 * sum(_COPIES.values()))
    found = []
    for kind in (kind for kind, count in _COPIES.items() for _ in range(count)):
        item, other = chosen.pop(), chosen.pop()
        source, name = item.pictures[0], other.pictures[0].name
        resaved = {"form": "again", "scale": rng.choice((1.0, 0.75))} if kind == "near" else {}
        copy = source if kind == "shared" else replace(source, name=name, **resaved)  # type: ignore[arg-type]  # fields of Picture
        item.fault = other.fault = "copy"
        other.pictures = [copy]
        same = ("brand", "type", "title", "colour", "photographer")
        other.record.update({column: item.record[column] for column in same})
        products = [item.record["sku"], other.record["sku"]]
        found.append({"kind": kind, "images": sorted({source.name, copy.name}), "products": products})
    return found


def _plant(name: str, fault: Fault, every: list[Item], rng: random.Random) -> None:
    """Plant a fault in as many products as it states; record faults go to products with one image."""
    free = [
        item
        for item in every
        if item.is_free
        and (not fault.by or item.record["photographer"] in fault.by)
        and all(picture.form == "jpeg" for picture in item.pictures)
        and (len(item.pictures) == 1 or not (fault.record or "image-placeholder" in fault.rules))
    ]
    for item in rng.sample(free, fault.rows):
        item.fault = name
        at = rng.randrange(len(item.pictures))
        if fault.picture is not None:
            item.pictures[at] = fault.picture(item.pictures[at], rng)
        item.faulty = item.pictures[at]
        if fault.record is not None:
            item.record.update(fault.record(item, rng))
        if name == "no-image":
            item.pictures, item.faulty = [], None


def _written(every: list[Item], copies: list[dict[str, Any]], seed: int) -> Stock:
    """Return the records in export order, with the ground truth about them."""
    again = [item for item in every if item.fault in ("repeated", "contradictory")]
    records = [_record(item) for item in every]
    records += [_record(item) | ({"price": "1.00"} if item.fault == "contradictory" else {}) for item in again]
    rows: dict[str, list[list[Any]]] = {name: [] for name in FAULTS}
    for number, item in enumerate([*every, *again], 1):
        # If a record is repeated, the later one is the fault.
        if item.fault in FAULTS and not (item.fault == "repeated" and number <= len(every)):
            rows[item.fault].append([number, item.record["sku"] or None, item.faulty and item.faulty.name])
    files = {
        picture.name: picture
        for item in every
        for picture in item.pictures
        if picture is not item.faulty or not FAULTS[item.fault].absent
    }
    empty = [(item.faulty.name, item.record["sku"]) for item in every if item.fault == "empty" and item.faulty]
    names, skus = (sorted(values) for values in zip(*empty, strict=True))
    copies = [*copies, {"kind": "bytes", "images": names, "products": skus}]  # empty files are equal
    families = itertools.groupby((item.record["sku"] for item in every), lambda sku: sku.partition("-")[0])
    truth = {
        "seed": seed,
        "records": len(records),
        "rows": sum(max(len(item.pictures), 1) for item in [*every, *again]),
        "products": len({record["sku"] for record in records} - {""}),
        "names": len({picture.name for item in every for picture in item.pictures}),
        "files": len(files),
        "faults": {
            name: {
                "what": fault.what,
                "rules": fault.rules,
                "remedy": fault.remedy,
                "sent": fault.sent,
                "rows": rows[name],
            }
            for name, fault in FAULTS.items()
        },
        "copies": copies,
        "variants": [skus for _, group in families if len(skus := list(group)) > 1],
        "subjects": {
            name: [*picture.saved_box, *picture.saved_size] for name, picture in files.items() if picture.is_readable
        },
    }
    return Stock(records, files, truth)


def _record(item: Item) -> dict[str, str]:
    slots = itertools.zip_longest(_SLOTS, item.pictures)
    return item.record | {column: picture.name if picture else "" for column, picture in slots}


def part_of(whole: Stock, every: int) -> Stock:
    """Return one product in `every`, the sound ones at the top, an example of each fault, and both sides of copies."""
    truth, family = whole.truth, [_family(record, at) for at, record in enumerate(whole.records)]
    kept = {name for at, name in enumerate(dict.fromkeys(family)) if at < _SOUND or at % every == 0}
    kept |= {family[fault["rows"][0][0] - 1] for fault in truth["faults"].values()}
    copies = [copy for copy in truth["copies"] if not kept.isdisjoint(map(_stem_of, copy["products"]))]
    kept |= {_stem_of(sku) for copy in copies for sku in copy["products"]}
    ours = [at for at, name in enumerate(family) if name in kept]
    number = {at + 1: new for new, at in enumerate(ours, 1)}
    records = [whole.records[at] for at in ours]
    faults = {
        name: fault | {"rows": [[number[row], *rest] for row, *rest in fault["rows"] if row in number]}
        for name, fault in truth["faults"].items()
    }
    faulty = {row[0] for fault in truth["faults"].values() for row in fault["rows"]}
    sound = [at for at in range(len(family)) if at + 1 not in faulty and not whole.records[at]["image_2"]]
    new = [whole.records[at] for at in sound if family[at] not in kept][:_NEW]
    # Ids damaged by a spreadsheet block every deletion by absence, so their products are removed.
    damaged = [row[0] - 1 for name in ("rounded-sku", "date-sku") for row in faults[name]["rows"]]
    later, changes = _week_after([whole.records[at] for at in sound if at in ours], records, damaged)
    named = {record[slot] for record in records for slot in _SLOTS} - {""}
    part = {
        "every": every,
        "records": len(records),
        "rows": sum(max(sum(bool(record[slot]) for slot in _SLOTS), 1) for record in records),
        "products": len({record["sku"] for record in records} - {""}),
        "names": len(named),
        "files": len(named & set(whole.pictures)),
        "faults": faults,
        "copies": copies,
        "variants": [skus for skus in truth["variants"] if _stem_of(skus[0]) in kept],
        "subjects": {name: subject for name, subject in truth["subjects"].items() if name in named},
        "later": {"new": [record["sku"] for record in new], **changes},
    }
    drawn = named | {record["image"] for record in new}
    pictures = {name: picture for name, picture in whole.pictures.items() if name in drawn}
    return Stock(records, pictures, truth | part, [*later, *new])


def _week_after(
    sound: list[dict[str, str]], records: list[dict[str, str]], damaged: list[int]
) -> tuple[list[dict[str, str]], dict[str, list[str]]]:
    """Return the export of the following week without its new products, and the ids of changed products."""
    gone, cheaper = ({record["sku"] for record in sound[start::step]} for start, step in ((5, 25), (2, 9)))
    gone |= {records[at]["sku"] for at in damaged}
    lower = [
        record | {"price": f"{float(record['price']) * 0.8:.2f}", "line": "Outlet"}
        if record["sku"] in cheaper - gone
        else record
        for record in records
        if record["sku"] not in gone
    ]
    return lower, {"gone": sorted(gone), "cheaper": sorted(cheaper - gone)}


def _family(record: dict[str, str], at: int) -> str:
    return _stem_of(record["sku"]) or f"record {at}"


def _stem_of(sku: str) -> str:
    return sku.partition("-")[0].strip()
