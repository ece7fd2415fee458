"""A batch of 20,000 small images on the sandbox, from IncreaseInstance to its end; beside decoding them in a loop."""

from __future__ import annotations

import io
import json
import random
import time

from PIL import Image, ImageDraw

from imgprep.sandbox.sandbox import Sandbox

ROWS = 20_000
TINY = {"rows": 20}
DISTINCT = 50
SIDE = 400


def _photo(seed: int) -> bytes:
    random_ = random.Random(seed)
    image = Image.new("RGB", (SIDE, SIDE), (seed, 80, 120))
    draw = ImageDraw.Draw(image)
    for _ in range(20):
        x, y = random_.randrange(SIDE // 2), random_.randrange(SIDE // 2)
        draw.ellipse((x, y, SIDE - 20, SIDE - 10), fill=tuple(random_.randrange(255) for _ in range(3)))
    out = io.BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


def _line(number: int) -> str:
    fields = {"OperationType": "ADD", "ProductId": f"P{number // 2}", "PicName": f"p{number}.jpg", "CategoryId": 0}
    return json.dumps({**fields, "CustomContent": "a:b", "Region": "10,100,10,100"}) + "\n"


def _increase(sandbox: Sandbox) -> None:
    from alibabacloud_imagesearch20201214.client import Client
    from alibabacloud_imagesearch20201214.models import IncreaseInstanceRequest
    from alibabacloud_tea_openapi.utils_models import Config

    key = sandbox.settings.imagesearch_credentials.credentials()
    endpoint = sandbox.url.removeprefix("http://")
    config = Config(
        access_key_id=key.access_key_id,
        access_key_secret=key.access_key_secret,
        endpoint=endpoint,
        protocol="HTTP",
        http_proxy=sandbox.url,
    )
    request = IncreaseInstanceRequest(instance_name="demo", bucket_name=sandbox.settings.bucket, path="/increment")
    Client(config).increase_instance(request)


def _loop(sandbox: Sandbox) -> None:
    for number in range(len(sandbox.store.bucket(sandbox.settings.bucket).keys) - 1):
        data, _ = sandbox.store.read(sandbox.settings.bucket, f"increment/p{number}.jpg")
        with Image.open(io.BytesIO(data)) as image:
            image.getexif()
            image.load()


def main(rows: int = ROWS) -> None:
    """Print the table."""
    photos = [_photo(seed) for seed in range(DISTINCT)]
    timings = []
    with Sandbox() as sandbox:
        bucket = sandbox.settings.bucket
        for number in range(rows):
            sandbox.store.put(bucket, f"increment/p{number}.jpg", photos[number % DISTINCT], modified=1.0)
        meta = "".join(map(_line, range(rows))).encode()
        sandbox.store.put(bucket, "increment/increment.meta", meta, modified=1.0)
        for name, work in (("Pillow in a loop: open, getexif, load", _loop), ("the sandbox's task", _increase)):
            wall, cpu = time.perf_counter(), time.process_time()
            work(sandbox)
            sandbox.finish_tasks()
            timings.append((name, time.perf_counter() - wall, time.process_time() - cpu))
        (task,) = sandbox.tasks()
    assert (task["imported"], task["failed"]) == (rows, 0)
    print(f"{rows:,} JPEGs of {SIDE}x{SIDE}, {len(photos[0]) // 1024} KiB each")
    print(f"{'':40}{'seconds':>9}{'CPU s':>8}{'ratio':>7}")
    for name, wall_seconds, cpu_seconds in timings:
        print(f"{name:40}{wall_seconds:9.1f}{cpu_seconds:8.1f}{timings[0][1] / wall_seconds:7.2f}")


if __name__ == "__main__":
    main()
