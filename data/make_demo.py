"""Make the demo catalogue: made pictures, two weekly exports, regions, and one of each fault. Seeded.

Run from anywhere: ``python data/make_demo.py``. The result is committed; running it again gives the same pixels, and
the same bytes wherever Pillow's encoders are the same.
"""

from __future__ import annotations

import csv
import hashlib
import io
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from drawing import COLOURS
from PIL import Image
from scenes import BACKGROUNDS, picture

HERE = Path(__file__).parent
IMAGES = HERE / "images"
SEED = 20261124
COLUMNS = ("sku", "title", "type", "price", "brand", "season", "colour", "care", "description", "image", "region")

#: kind and style of the drawing → type in the shop's words, name, price from … to.
GOODS: dict[tuple[str, int], tuple[str, str, int, int]] = {
    ("tee", 0): ("T-Shirts", "T-shirt, organic cotton", 15, 30),
    ("tee", 1): ("T-Shirts", "Striped T-shirt", 18, 35),
    ("tee", 2): ("T-Shirts", 'T-shirt "North"', 20, 39),
    ("dress", 0): ("Dresses", "Summer dress", 49, 120),
    ("dress", 1): ("Dresses", "Polka dot dress 波点连衣裙", 59, 129),
    ("trousers", 0): ("Trousers", "Chino trousers, slim: fit", 45, 90),
    ("trousers", 1): ("Trousers", "Shorts", 25, 45),
    ("bag", 0): ("Bags", "Handbag 手提包", 79, 260),
    ("bag", 1): ("Bags", "Backpack, 24 l", 59, 140),
    ("shoe", 0): ("Shoes", "Sneaker", 59, 130),
    ("shoe", 1): ("Shoes", "Pumps, 7 cm", 69, 160),
    ("bottle", 0): ("Drinks", "Lemonade LIMA", 2, 4),
    ("bottle", 1): ("Drinks", "Oat drink, 1 l", 2, 3),
    ("lamp", 0): ("Furniture", "Table lamp", 39, 110),
    ("lamp", 1): ("Furniture", "Chair 椅子", 69, 190),
    ("scarf", 0): ("Accessories", "Wool scarf", 29, 69),
    ("scarf", 1): ("Accessories", "Wrist watch: 38 mm", 89, 240),
    ("snack", 0): ("Snacks", "Crisps, sea salt", 1, 3),
    ("snack", 1): ("Make-up", "Lipstick", 12, 28),
    ("toy", 0): ("Toys", "Teddy bear", 19, 45),
    ("toy", 1): ("Electronics", "Headphones", 49, 199),
}
BRANDS = ("Mira", "Nordlys & Co", "LIMA", "山茶", "O'Hara", 'Atelier "Zwei"')
SEASONS = ("SS26", "AW26", "all year")
LABELS = ("", "", "", "", "NEW", "-20%", "© Mira Studio", "Autumn offer")
SHADOWS = ("soft", "hard", "contact", "none")
SIZES = ((600, 800), (800, 800), (720, 540), (640, 640), (900, 1200), (480, 640), (1000, 750))


@dataclass
class Shop:
    """What is made: rows of the export, and the box of each product on its picture."""

    rows: list[dict[str, str]] = field(default_factory=list)
    boxes: dict[str, tuple[tuple[int, int, int, int], tuple[int, int]]] = field(default_factory=dict)


def main() -> None:
    """Make everything anew."""
    shutil.rmtree(IMAGES, ignore_errors=True)
    IMAGES.mkdir()
    shop = Shop()
    sound_products(shop, random.Random(SEED))
    good = [dict(row) for row in shop.rows]
    faults(shop, random.Random(SEED + 1))
    write_rows(HERE / "catalogue.csv", shop.rows)
    write_rows(HERE / "catalogue_week2.csv", second_week(shop.rows, random.Random(SEED + 2)))
    write_regions(good, shop)


def sound_products(shop: Shop, rng: random.Random) -> None:
    """Make 42 products without a fault, with one to three pictures each."""
    kinds = list(GOODS)
    for number in range(42):
        kind, style = kinds[number % len(kinds)]
        colour = list(COLOURS)[(number * 5 + number // 21 + 2) % len(COLOURS)]
        row = describe(f"{1000 + number:06d}", kind, style, colour, rng)
        for view in range((2, 1, 2, 3, 1)[number % 5]):
            stem = f"{row['type'].lower().replace(' ', '-')}-{row['sku']}-{view + 1}"
            scene = "studio" if view == 0 and number % 3 else BACKGROUNDS[(number + view * 3) % len(BACKGROUNDS)]
            name = draw(shop, stem, kind, style, colour, scene=scene, rng=rng, view=view)
            shop.rows.append({**row, "image": name})


def describe(sku: str, kind: str, style: int, colour: str, rng: random.Random) -> dict[str, str]:
    """Return a row of the export for one product."""
    what, name, low, high = GOODS[kind, style]
    price = f"{rng.randrange(low * 100, high * 100, 5) / 100:.2f}"
    care = rng.choice(["", "30 °C, do not tumble", "wipe clean", "手洗 (hand wash)"])
    text = rng.choice(
        [
            f"{name} in {colour}.",
            f'{name} in {colour}.\nMade to be worn; "a favourite" of our customers.',
            f"<p>{name}, <b>{colour}</b></p>",
            f"{colour}色，舒适耐用。",
            "",
        ]
    )
    return {
        "sku": sku,
        "title": f"{name}, {colour}",
        "type": what,
        "price": price,
        "brand": rng.choice(BRANDS),
        "season": rng.choice(SEASONS),
        "colour": colour,
        "care": care,
        "description": text,
        "image": "",
        "region": "",
    }


def draw(
    shop: Shop, stem: str, kind: str, style: int, colour: str, *, scene: str, rng: random.Random, view: int = 0
) -> str:
    """Draw and save one picture of a product; return its file name."""
    extension = {7: ".png", 11: ".webp", 19: ".JPG"}.get(len(shop.boxes) % 23, ".jpg")
    image, box = picture(
        kind,
        COLOURS[colour],
        rng.choice(SIZES),
        rng,
        style=style,
        scene=scene,
        shadow=rng.choice(SHADOWS),
        grain=extension != ".png",
        label=rng.choice(LABELS) if view else rng.choice(LABELS[:5]),
        turn=0 if view == 0 else rng.choice((-12, -6, 6, 10)),
        fill=rng.uniform(0.68, 0.88) if view < 2 else rng.uniform(0.45, 0.6),
        several=2 if view == 2 else 1,
    )
    name = stem + extension
    save(image, IMAGES / name)
    shop.boxes[name] = (box, image.size)
    return name


def save(image: Image.Image, path: Path) -> None:
    """Save in the format of the extension, small."""
    if path.suffix == ".png":
        image.quantize(48, dither=Image.Dither.NONE).convert("RGB").save(path, optimize=True)
    elif path.suffix == ".webp":
        image.save(path, quality=76)
    else:
        image.save(path, "JPEG", quality=70, optimize=True, progressive=image.width > 800)


def faults(shop: Shop, rng: random.Random) -> None:
    """Make one product for each fault; data/README.md names them in this order."""

    def plain(
        kind: str, colour: str, size: tuple[int, int] = (600, 600), style: int = 0, scene: str = "studio"
    ) -> Image.Image:
        return picture(kind, COLOURS[colour], size, rng, style=style, scene=scene, grain=False)[0]

    def product(number: int, kind: str, style: int, colour: str) -> dict[str, str]:
        return describe(f"{9000 + number:06d}", kind, style, colour, rng)

    def one(number: int, kind: str, style: int, colour: str, image: str, **changes: str) -> dict[str, str]:
        row = product(number, kind, style, colour)
        shop.rows.append({**row, "image": image, **changes})
        return row

    # Faults of images.
    one(1, "scarf", 1, "sand", "too-small.jpg")
    save(plain("scarf", "sand", (96, 80), 1), IMAGES / "too-small.jpg")
    one(2, "tee", 1, "navy", "too-wide.png")
    banner = Image.new("RGB", (4200, 1400), (236, 233, 226))
    banner.paste(plain("tee", "navy", (1400, 1400), 1).quantize(16, dither=Image.Dither.NONE).convert("RGB"), (1400, 0))
    banner.quantize(16, dither=Image.Dither.NONE).save(IMAGES / "too-wide.png", optimize=True)
    one(3, "lamp", 0, "teal", "too-heavy.bmp")
    # 4.4 MB on the disk, as scanners save; of few colours, so that it packs to a few KB in archives and in git.
    plain("lamp", "teal", (1180, 1240)).quantize(12, dither=Image.Dither.NONE).convert("RGB").save(
        IMAGES / "too-heavy.bmp"
    )
    one(4, "dress", 0, "rose", "rotated.jpg")
    turned(plain("dress", "rose", (600, 800), scene="room"), 6, IMAGES / "rotated.jpg")
    one(5, "bottle", 0, "green", "upside-down.jpg")
    turned(plain("bottle", "green", (540, 720), scene="tiles"), 3, IMAGES / "upside-down.jpg")
    one(6, "bag", 0, "brown", "truncated.jpg")
    whole = io.BytesIO()
    plain("bag", "brown", (800, 800)).save(whole, "JPEG", quality=70)
    (IMAGES / "truncated.jpg").write_bytes(whole.getvalue()[: whole.tell() * 55 // 100])
    one(7, "shoe", 0, "white", "not-an-image.jpg")
    (IMAGES / "not-an-image.jpg").write_text(
        "<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
    )
    one(8, "toy", 1, "black", "empty-file.jpg")
    (IMAGES / "empty-file.jpg").write_bytes(b"")
    one(9, "snack", 1, "red", "icon.ico")
    plain("snack", "red", (256, 256), 1).save(IMAGES / "icon.ico", sizes=[(256, 256)])
    one(10, "trousers", 0, "olive", "phone.heic")
    # The first boxes of a HEIC file and no more: phones deliver such files, Pillow alone cannot read them.
    (IMAGES / "phone.heic").write_bytes(
        b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\x00\x00\x00\x08mdat" + bytes(480)
    )
    one(11, "shoe", 1, "red", "never-delivered.jpg")
    one(12, "tee", 2, "mustard", "cmyk.jpg")
    plain("tee", "mustard", (640, 640), 2).convert("CMYK").save(IMAGES / "cmyk.jpg", quality=70)
    one(13, "toy", 0, "brown", "transparent.png")
    cut = plain("toy", "brown", (480, 480)).quantize(64, dither=Image.Dither.NONE).convert("RGBA")
    cut.putalpha(cut.convert("L").point(lambda value: 0 if value > 240 else 255))
    cut.save(IMAGES / "transparent.png", optimize=True)
    one(14, "bottle", 1, "sky", "png-inside.jpg")
    plain("bottle", "sky", (480, 640), 1).quantize(64, dither=Image.Dither.NONE).save(
        IMAGES / "png-inside.jpg", "PNG", optimize=True
    )
    one(15, "bag", 1, "teal", "turning.gif")
    steps = [
        plain("bag", colour, (320, 320), 1).quantize(48, dither=Image.Dither.NONE) for colour in ("teal", "navy", "red")
    ]
    steps[0].save(IMAGES / "turning.gif", save_all=True, append_images=steps[1:], duration=500, loop=0)

    # Faults of fields.
    def good(stem: str, kind: str, style: int, colour: str) -> str:
        return draw(shop, stem, kind, style, colour, scene="grey", rng=rng)

    one(20, "lamp", 1, "mustard", good("garden-chair", "lamp", 1, "mustard"), type="Garden")
    one(21, "snack", 0, "green", good("gift-box", "snack", 0, "green"), type="Gift cards")
    long_care = "30 °C; do not bleach; dry flat; cool iron. " * 105
    one(22, "scarf", 0, "violet", good("scarf-long-care", "scarf", 0, "violet"), care=long_care.strip())
    one(
        23,
        "dress",
        1,
        "navy",
        good("dress-long-season", "dress", 1, "navy"),
        season="spring and summer 2026, re-issued for autumn and winter 2026 together with the capsule of the same "
        "name; see look book, pages 12 to 19",
    )
    one(24, "bag", 0, "red", good("bag-price", "bag", 0, "red"), price="30000000.00")
    one(25, "shoe", 0, "sky", good("sneaker-ask", "shoe", 0, "sky"), price="on request")
    one(26, "tee", 0, "green", good("tee-region-outside", "tee", 0, "green"), region="50,3200,60,2400")
    name = good("shoe-region-swapped", "shoe", 0, "navy")
    x1, y1, x2, y2 = shop.boxes[name][0]
    one(27, "shoe", 0, "navy", name, region=f"{x1},{y1},{x2},{y2}")
    one(28, "trousers", 1, "sand", good("shorts-region-short", "trousers", 1, "sand"), region="20,40")
    save(plain("lamp", "rose", (520, 640), scene="gradient"), IMAGES / "lamp-rose.jpg")
    (IMAGES / "lamp-rose.jpg").rename(IMAGES / "lamp-rose")
    one(29, "lamp", 0, "rose", "lamp-rose")
    one(30, "toy", 0, "grey", "../studio/bear.jpg")
    row = one(31, "bottle", 0, "teal", good("lima-teal", "bottle", 0, "teal"))
    shop.rows.append({**row, "image": shop.rows[-1]["image"], "price": "1.00"})
    row = one(32, "scarf", 1, "black", good("watch-twice", "scarf", 1, "black"))
    shop.rows.append(dict(shop.rows[-1]))
    one(33, "toy", 1, "violet", good("headphones-no-sku", "toy", 1, "violet"), sku="")
    one(34, "tee", 0, "rose", "")
    save(placeholder(), IMAGES / "coming-soon.png")
    for number, colour in ((35, "white"), (36, "grey"), (37, "sand")):
        one(number, "dress", 0, colour, "coming-soon.png")


def turned(image: Image.Image, orientation: int, path: Path) -> None:
    """Save `image` as a camera does that was held another way: pixels turned, and a tag that says how."""
    back = {6: Image.Transpose.ROTATE_90, 3: Image.Transpose.ROTATE_180}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.transpose(back).save(path, quality=70, exif=exif)


def placeholder() -> Image.Image:
    """Return the picture that shops show where they have none."""
    from PIL import ImageDraw, ImageFont  # noqa: PLC0415

    image = Image.new("RGB", (500, 500), (240, 240, 240))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((150, 140, 350, 290), 16, outline=(180, 180, 180), width=6)
    pen.ellipse((210, 175, 290, 255), outline=(180, 180, 180), width=6)
    pen.text((250, 360), "picture coming soon", fill=(150, 150, 150), font=ImageFont.load_default(32), anchor="mm")
    return image


def second_week(rows: list[dict[str, str]], rng: random.Random) -> list[dict[str, str]]:
    """Return the next export: a tenth changed, a twentieth gone, two products new with pictures that are there."""
    skus = list(dict.fromkeys(row["sku"] for row in rows if row["sku"] < "009000" and row["sku"]))
    gone = set(rng.sample(skus, 3))
    changed = set(rng.sample([sku for sku in skus if sku not in gone], 6))
    later: list[dict[str, str]] = []
    for row in rows:
        if row["sku"] in gone:
            continue
        cheaper = {"price": f"{float(row['price']) * 0.8:.2f}", "season": "SALE"} if row["sku"] in changed else {}
        later.append({**row, **cheaper})
    donors = [row for row in later if row["sku"] not in changed and row["sku"] in skus][:40:20]
    for number, row in enumerate(donors):
        later.append({**row, "sku": f"{1100 + number:06d}", "title": row["title"] + " (set of two)"})
    return later


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Write an export as the shop's back office does."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_regions(good: list[dict[str, str]], shop: Shop) -> None:
    """Write the regions of every fourth sound picture, as drawn by hand: x1, y1, x2, y2, the last two exclusive."""
    with (HERE / "regions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["PicName", "state", "x1", "y1", "x2", "y2", "image_width", "image_height", "digest"])
        for number, row in enumerate(good[::4]):
            (x1, y1, x2, y2), (width, height) = shop.boxes[row["image"]]
            digest = hashlib.md5((IMAGES / row["image"]).read_bytes()).hexdigest()
            box = ("whole", "", "", "", "") if number % 6 == 5 else ("region", x1, y1, x2, y2)
            writer.writerow([row["image"], *box, width, height, digest])


if __name__ == "__main__":
    main()
