"""A gallery of drawn products for tests of searches: each product has a pattern of its own, and several views of it."""

import io
import json
import random

import oss2
from PIL import Image, ImageDraw

SIDE = 240
#: Where the subject is drawn; the region is legal in either order of its numbers, and lies elsewhere in the wrong one.
BOX = (20, 60, 110, 230)


def view(product: int, number: int, *, twin_of: int | None = None, box=BOX, scene: int = 7) -> bytes:
    """A view of a product on a light ground: patches in its own colours, shifted a little from view to view."""
    draw = random.Random(product if twin_of is None else twin_of)
    image = Image.new("RGB", (SIDE, SIDE), (244, 244, 244))
    pen = ImageDraw.Draw(image)
    x1, y1, x2, y2 = (edge + number * 2 for edge in box)
    across, down = (x2 - x1) // 4, (y2 - y1) // 4
    for row in range(4):
        for column in range(4):
            colour = tuple(draw.randrange(0, 200) for _ in range(3))
            left, top = x1 + column * across, y1 + row * down
            pen.rectangle((left, top, left + across, top + down), fill=colour)
    if twin_of is not None:  # the same product, photographed a little brighter
        image = image.point(lambda level: min(255, level + 2))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92)
    return out.getvalue()


def blank(seed: int = 0) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (250 - seed, 250 - seed, 250)).save(out, "JPEG")
    return out.getvalue()


def put(sandbox, objects: dict[str, bytes], folder: str = "increment") -> None:
    key = sandbox.settings.oss_credentials.credentials()
    bucket = oss2.Bucket(oss2.Auth(key.access_key_id, key.access_key_secret), sandbox.url, "imgprep-demo")
    for name, data in objects.items():
        bucket.put_object(f"{folder}/{name}", data)


def line(product: str, name: str, **fields) -> dict:
    return {"OperationType": "ADD", "ProductId": product, "PicName": name, "CustomContent": "x", **fields}


def meta(lines) -> bytes:
    return "".join(f"{json.dumps(item)}\n" for item in lines).encode()


def planted(total: int, *, categories: int, swapped: int, twins: int, blanks: int):
    """Batch rows and pictures of products with faults, and key → the reason that each faulty image must get.

    Products have four views, twins two. The last images of the sound products are the swapped and the blank ones.
    """
    rows, pictures, expected = [], {}, {}

    def region(at, order="{0},{2},{1},{3}"):
        return order.format(*(edge + 2 * at for edge in BOX))

    def add(product, name, data, **fields):
        rows.append({**line(product, name), **fields})
        pictures[name] = data

    number = 0
    for _ in range(twins):
        for side, original in (("A", None), ("B", number)):
            for at in range(2):
                name = f"t{number}{side}-{at}.jpg"
                add(f"T{number}{side}", name, view(number, at, twin_of=original), Region=region(at))
                expected[f"T{number}{side}", name] = "near-duplicate product"
        number += 1
    while len(rows) + 4 <= total:
        kind = "category" if categories else "swapped" if swapped else "blank" if blanks else ""
        categories, swapped, blanks = categories - (kind == "category"), swapped - (kind == "swapped"), blanks - (
            kind == "blank"
        )  # fmt: skip
        for at in range(4):
            name, fields, data = f"p{number}-{at}.jpg", {"Region": region(at)}, view(number, at)
            if kind == "category":
                fields["CategoryId"] = 3
                expected[f"P{number}", name] = "no category at search"
            elif kind == "swapped" and at == 3:
                fields["Region"] = region(at, "{0},{1},{2},{3}")
                expected[f"P{number}", name] = "swapped region"
            elif kind == "blank" and at == 3:
                fields, data = {}, blank(number % 5)
                expected[f"P{number}", name] = "blank image"
            add(f"P{number}", name, data, **fields)
        number += 1
    return rows, pictures, expected


def shipped(sandbox, folder, rows, pictures):
    """Ship rows and their pictures to a sandbox; return the run and the settings of its project in `folder`."""
    import pandas as pd

    from imgprep.look.inspect import inspect_images
    from imgprep.ship.submit import submit
    from imgprep.ship.upload import upload
    from tests.wire.shipping import FakeClock, write_batch

    (folder / "batch" / "images").mkdir(parents=True)
    for name, data in pictures.items():
        (folder / "batch" / "images" / name).write_bytes(data)
    facts = inspect_images(pictures, folder / "batch" / "images", progress=False)
    facts.to_parquet(folder / "batch" / "facts.parquet", index=False)
    frame = pd.DataFrame(rows).assign(line=range(1, len(rows) + 1), row=range(1, len(rows) + 1))
    frame["digest"] = frame["PicName"].map(facts.set_index("PicName")["digest"])
    frame = frame.assign(file=frame["PicName"], expected="imported").astype({"line": "Int64", "row": "Int64"})
    if "CategoryId" in frame:
        frame = frame.astype({"CategoryId": "Int64"})
    catalogue = frame[["row", "ProductId", "PicName"]].assign(brand=frame["ProductId"].str[0])
    write_batch(folder / "batch", frame)
    catalogue.to_parquet(folder / "batch" / "catalogue.parquet", index=False)
    settings, clock = sandbox.settings.with_(project=folder), FakeClock()
    upload(folder / "batch", None, settings, progress=False, clock=clock)
    run = submit(folder / "batch", settings, runs=settings.runs, clock=clock)
    sandbox.finish_tasks()
    run.follow(progress=False, clock=clock)
    assert run.counts["imported"] == len(rows)
    return run, settings


def reasons(found):
    problems = found.images[found.images["problem"]]
    return dict(zip(zip(problems["ProductId"], problems["PicName"], strict=True), problems["reason"], strict=True))
