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
