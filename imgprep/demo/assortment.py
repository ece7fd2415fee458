"""The demo shop's assortment: brands, categories, product records, and the composition of product images."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from imgprep.demo.drawing import extent
from imgprep.demo.goods import COLOURS, STYLES, Look, parts_of
from imgprep.demo.scenes import STANDING, Picture, Setting

LUND, KERN, PORTAL, PHONES, WANG = "Studio Lund", "Agentur Kern", "Supplier portal", "Store phones", "王工作室"
#: Brand → its photographer, and the kinds of product that it makes.
BRANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Mira": (LUND, ("shirt", "dress", "trousers")),
    "Nordlys": (LUND, ("lamp", "chair", "mug")),
    "Tonik": (LUND, ("headphones",)),
    "Kern": (KERN, ("watch", "bag")),
    "Atelier 12": (KERN, ("dress", "shoe")),
    "Vento": (PORTAL, ("shoe", "bag", "trousers")),
    "LIMA": (PORTAL, ("bottle",)),
    "Bruno": (PORTAL, ("toy", "headphones")),
    "O'Hara": (PHONES, ("shirt", "trousers", "watch")),
    "Käthe": (PHONES, ("toy", "mug", "lamp")),
    "山木": (WANG, ("chair", "lamp", "mug")),
    "日月": (WANG, ("dress", "bag", "watch")),
    "大田": (WANG, ("bottle", "shirt")),
}


@dataclass(frozen=True, slots=True)
class Category:
    """A category: the shop's name, the service's number, names of its styles, and its price range."""

    word: str
    number: int
    names: tuple[str, ...]
    chinese: str
    prices: tuple[int, int]
    products: int
    settings: tuple[Setting, ...]


_HUNG: tuple[Setting, ...] = ("studio", "grey", "gradient", "spot", "tiles")
_LAID: tuple[Setting, ...] = ("studio", "grey", "gradient", "spot", "table", "shelf", "tiles")
_PUT: tuple[Setting, ...] = ("studio", "grey", "gradient", "room")

#: Kind → category. The numbers follow the service's category reference.
CATEGORIES: dict[str, Category] = {
    "shirt": Category("T-shirts & tops", 0, ("T-shirt", "Long sleeve", "Polo shirt", "Tank top"), "上衣", (15, 59), 300,
        _HUNG),
    "dress": Category("Dresses 连衣裙", 1, ("Summer dress", "Day dress"), "连衣裙", (49, 189), 240, _HUNG),
    "trousers": Category("Trousers", 2, ("Wide trousers", "Slim trousers", "Shorts"), "裤子", (35, 99), 190, _HUNG),
    "bag": Category("Bags 包", 3, ("Handbag", "Backpack, 24 l", "Tote"), "包", (39, 260), 210, _LAID),
    "shoe": Category("Shoes", 4, ("Sneaker", "Pump, 7 cm", "Boot"), "鞋", (59, 210), 220, _LAID),
    "watch": Category("Watches", 5, ("Watch: round, 38 mm", "Watch: square"), "手表", (79, 480), 150, _LAID),
    "headphones": Category("Headphones", 22, ("Headphones", "Earbuds"), "耳机", (39, 320), 110, _LAID),
    "mug": Category("Mugs", 88888888, ("Mug",), "杯子", (9, 24), 130, _LAID),
    "lamp": Category("Lamps", 9, ("Table lamp", "Floor lamp", "Desk lamp"), "灯", (39, 240), 130, _PUT),
    "chair": Category("Chairs & stools", 9, ("Chair", "Stool", "Arm-chair"), "椅子", (49, 690), 110, _PUT),
    "bottle": Category("Drinks", 8, ("Bottle", "Carton", "Can"), "饮料", (2, 9), 120, _LAID),
    "toy": Category("Toys 玩具", 20, ("Bear", "Toy car", "Building bricks"), "玩具", (12, 79), 90, _LAID),
}  # fmt: skip

_CHINESE = {
    "white": "白色", "black": "黑色", "red": "红色", "navy": "藏青色", "sky": "天蓝色", "sand": "米色",
    "olive": "橄榄色", "rose": "粉色", "mustard": "芥末黄", "teal": "青色", "brown": "棕色", "grey": "灰色",
    "green": "绿色", "violet": "紫色", "orange": "橙色", "mint": "薄荷色",
}  # fmt: skip
_PINYIN = {"山木": "shanmu", "日月": "riyue", "大田": "datian"}
_SOFT, _FIRM = ("cotton", "linen", "wool", "recycled polyester"), ("leather", "steel", "oak", "glass")
_LINES = ("Basic", "Studio", "Outlet", "新品")
_SEASONS = ("SS26", "AW26", "all year")
#: Relative frequencies of image sizes, and of file formats with extensions.
_SIZES = {
    (360, 360): 9, (420, 420): 8, (360, 480): 8, (300, 400): 8, (480, 400): 5, (540, 540): 5, (560, 420): 5,
    (480, 640): 4, (320, 320): 4, (720, 720): 2, (900, 1200): 1,
}  # fmt: skip
_FORMATS = {
    ("jpeg", ".jpg"): 900,
    ("jpeg", ".JPG"): 40,
    ("webp", ".webp"): 40,
    ("png", ".png"): 30,
    ("tiff", ".tif"): 4,
}
#: Kinds that are sold in several colours, and colours that cannot be confused.
_VARIED = ("shirt", "dress", "trousers", "bag", "mug")
_APART = ("red", "mustard", "black", "white", "violet")

COLUMNS = (
    "sku", "title", "brand", "type", "price", "list_price", "stock", "year", "weight_g", "season", "colour", "material",
    "line", "care", "description", "photographer", "image", "image_2", "image_3", "region",
)  # fmt: skip


#: Images that turned out too similar to another one, and are therefore composed again.
_ALIKE = frozenset({"atelier12-shoe-002743-2.png", "vento-shoe-001556-1.jpg"})


@dataclass(slots=True)
class Item:
    """A product before it is written to the export."""

    record: dict[str, str]
    look: Look
    pictures: list[Picture]
    fault: str = ""  #: the planted fault, if any; an item has at most one
    faulty: Picture | None = None  #: the picture that has the fault

    @property
    def is_free(self) -> bool:
        """Whether the item has neither a planted fault nor a region."""
        return not self.fault and not self.record["region"]


def items(rng: random.Random) -> Iterator[Item]:
    """Yield every product; colour variants are consecutive."""
    makers = {kind: [brand for brand, (_, kinds) in BRANDS.items() if kind in kinds] for kind in CATEGORIES}
    kinds = [kind for kind, category in CATEGORIES.items() for _ in range(category.products)]
    rng.shuffle(kinds)
    number, left = 1000, Counter(kinds)
    for kind in kinds:
        if not left[kind]:
            continue
        brand = rng.choice(makers[kind])
        accent, style, seed = rng.choice(list(COLOURS)), rng.randrange(STYLES[kind]), rng.getrandbits(32)
        first = Look(kind, (0, 0, 0), COLOURS[accent], style, seed, brand)
        several = kind in _VARIED and left[kind] >= 4 and rng.random() < 0.12
        colours = rng.sample(_APART, rng.randint(2, 4)) if several else [rng.choice(list(COLOURS))]
        setting = rng.getrandbits(32)
        for place, colour in enumerate(colours):
            look = replace(first, colour=COLOURS[colour])
            sku = f"{number:06d}" + (f"-{'ABCD'[place]}" if several else "")
            own, scene = (random.Random(setting), random.Random(setting)) if several else (rng, rng)
            record = _record(sku, look, colour, own)
            yield Item(record, look, list(_pictures(record, look, rng, scene)))
            left[kind] -= 1
        number += 1


def _record(sku: str, look: Look, colour: str, rng: random.Random) -> dict[str, str]:
    category, (photographer, _) = CATEGORIES[look.kind], BRANDS[look.brand]
    name, chinese = category.names[look.style], photographer == WANG
    cents = rng.randrange(category.prices[0] * 100, category.prices[1] * 100, 5)
    listed = f"{cents * rng.choice((100, 100, 120, 150)) // 10000:,}".replace(",", ".")
    title = f"{look.brand} {_CHINESE[colour]}{category.chinese}" if chinese else f"{name}, {colour}"
    descriptions = [
        f"{title}.",
        f'{title}.\nMade to last; "a favourite" of our customers.',
        f"<p>{title}, <b>{look.brand}</b></p>",
        f"{_CHINESE[colour]}，舒适耐用。",
        "",
    ]
    return {
        "sku": sku,
        "title": title,
        "brand": look.brand,
        "type": category.word,
        "price": f"{cents / 100:.2f}",
        "list_price": f"{listed},{rng.choice(('00', '90', '95'))} €",
        "stock": str(rng.randrange(0, 400)),
        "year": str(rng.choice((2024, 2025, 2026, 2026))),
        "weight_g": str(rng.randrange(40, 9000, 10)),
        "season": rng.choice(_SEASONS),
        "colour": colour,
        "material": rng.choice(_SOFT if category.settings is _HUNG else _FIRM),
        "line": rng.choice(_LINES),
        "care": rng.choice(["", "30 °C, do not tumble", "wipe clean", "手洗 (hand wash)"]),
        "description": rng.choice(descriptions),
        "photographer": photographer,
        "region": "",
    }


def _pictures(record: dict[str, str], look: Look, rng: random.Random, scene: random.Random) -> Iterator[Picture]:
    """Yield one to three pictures of a product; the first has a plain background."""
    category = CATEGORIES[look.kind]
    maker = _PINYIN.get(look.brand) or re.sub(r"[^a-z0-9]", "", look.brand.lower().replace("ä", "ae"))
    badges = ("NEW", "-20%", "上山", f"© {look.brand}", "Autumn offer")
    for view in range(rng.choices((1, 2, 3), (57, 29, 14))[0]):
        form, end = rng.choices(list(_FORMATS), list(_FORMATS.values()))[0]
        name = f"{maker}-{look.kind}-{record['sku'].lower()}-{view + 1}{end}"
        plain = scene.random() < (0.15 if view else 0.75)
        setting = scene.choice(category.settings[:2] if plain else category.settings[2:])
        badge = scene.choice(badges) if view and scene.random() < 0.12 else ""
        picture = composed(name, look, setting, scene, badge=badge, form=form)
        yield composed(name, look, setting, random.Random(name), form=form) if name in _ALIKE else picture


def composed(
    name: str, look: Look, setting: Setting, rng: random.Random, size: tuple[int, int] | None = None, **more: Any
) -> Picture:
    """Return a picture with its subject placed: roughly centred, or standing on the ground if the setting has one."""
    width, height = size or rng.choices(list(_SIZES), list(_SIZES.values()))[0]
    turn = 0.0 if setting in STANDING or rng.random() < 0.4 else rng.uniform(-18, 18)
    across, down = extent(parts_of(look), turn)
    scale = min(width * 0.9 / across, height * 0.86 / down) * rng.uniform(0.55, 1)
    wide, high = max(round(across * scale), 1), max(round(down * scale), 1)
    x = round((width - wide) * rng.uniform(0.1, 0.9))
    y = round((height - high) * (rng.uniform(0.6, 0.85) if setting in STANDING else rng.uniform(0.2, 0.8)))
    tint, seed, mirror = COLOURS[rng.choice(list(COLOURS))], rng.getrandbits(32), rng.random() < 0.3
    return Picture(name, look, (width, height), (x, y, x + wide, y + high), setting, tint, seed, turn, mirror, **more)
