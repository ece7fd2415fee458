"""Files for download (error reports and gallery exports), and the links to them.

The vendor documents neither format. Both files can be written in several formats, so that readers can be tested on all
of them. Each file is marked as synthetic by a field ``Synthetic`` (JSON Lines, CSV) or by its first line (CSV, text).
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from imgprep.sandbox.imagesearch.readings import Failure
from imgprep.sandbox.imagesearch.state import FailedLine

#: Seconds until a link expires. Source: the reference for DumpMetaList, and the facts on ErrorUrl.
LINK_SECONDS = 2 * 60 * 60
PREFIX = "/-/report/"

_TOKEN = re.compile(r"(\d+)-(\d+)-([0-9a-f]{32})")


def make_link(base: str, secret: str, task: int, now: float, seconds: float = LINK_SECONDS) -> str:
    """Return a URL for downloading the file of `task`; the URL expires after `seconds`."""
    expires = int(now + seconds)
    return f"{base}{PREFIX}{quote(f'{task}-{expires}-{_sign(secret, task, expires)}')}"


def read_link(path: str, secret: str) -> tuple[int, int] | None:
    """Return (task, expiry) from a link's path, or None if this sandbox did not sign the link."""
    match = _TOKEN.fullmatch(path.removeprefix(PREFIX)) if path.startswith(PREFIX) else None
    if match is None:
        return None
    task, expires = int(match[1]), int(match[2])
    return (task, expires) if hmac.compare_digest(match[3], _sign(secret, task, expires)) else None


def _sign(secret: str, task: int, expires: int) -> str:
    return hmac.new(secret.encode(), f"{task}-{expires}".encode(), hashlib.sha256).hexdigest()[:32]


MARK = "# synthetic: written by imgprep's sandbox; the vendor does not document this format"
MARK_CHINESE = "# synthetic：由 imgprep 沙箱生成，厂商未公开此格式"

#: Format → content type.
REPORT_FORMATS = {
    "jsonl": "application/x-ndjson; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "text": "text/plain; charset=utf-8",
    "text-zh": "text/plain; charset=utf-8",
}
DUMP_FORMATS = {name: REPORT_FORMATS[name] for name in ("jsonl", "csv")}


def write_report(failures: Iterable[FailedLine], form: str, *, numbered: bool = True) -> bytes:
    """Return an error report in a format from `REPORT_FORMATS`, with or without line numbers."""
    if form in ("jsonl", "csv"):
        records = (
            {
                **({"Line": bad.line} if numbered else {}),
                "OperationType": bad.operation,
                "ProductId": bad.product_id,
                "PicName": bad.pic_name,
                "Code": bad.code,
                "Message": Failure(bad.code, bad.detail).message,
                "Synthetic": True,
            }
            for bad in failures
        )
        return _table(records, form)
    mark, sentence = (MARK, _english) if form == "text" else (MARK_CHINESE, _chinese)
    return "".join(f"{line}\n" for line in [mark, *(sentence(bad, numbered) for bad in failures)]).encode()


def write_dump(images: Iterable[Mapping[str, Any]], form: str) -> bytes:
    """Return an export of a gallery, one image per line, with the service's field names."""
    return _table(map(_record, images), form)


def _record(image: Mapping[str, Any]) -> dict[str, Any]:
    region = image.get("Region")
    record = {**image, "Region": region and "{x1},{x2},{y1},{y2}".format(**region), "Synthetic": True}
    # Fields that the sandbox adds itself are not part of the service's records.
    own = ("ETag", "Width", "Height", "Time", "Feature", "Predicted", "Subject", "Subjects")
    return {name: value for name, value in record.items() if value is not None and name not in own}


def _table(records: Iterable[dict[str, Any]], form: str) -> bytes:
    if form == "jsonl":
        return "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records).encode()
    rows = list(records)
    names = list(dict.fromkeys(name for row in rows for name in row if name != "Synthetic"))
    out = io.StringIO()
    out.write(f"{MARK}\n")
    writer = csv.DictWriter(out, [*names, "Synthetic"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _english(bad: FailedLine, numbered: bool) -> str:
    place = f"line {bad.line}: " if numbered else ""
    names = _named(("ProductId=", bad.product_id), ("PicName=", bad.pic_name))
    return f"{place}{names}{bad.code}: {Failure(bad.code, bad.detail).message}"


def _chinese(bad: FailedLine, numbered: bool) -> str:
    place = f"第{bad.line}行 " if numbered else ""
    names = _named(("商品ID:", bad.product_id), ("图片名称:", bad.pic_name))
    return f"{place}{names}导入失败 {bad.code} {Failure(bad.code, bad.detail).chinese}"


def _named(*names: tuple[str, str]) -> str:
    return "".join(f"{name}{json.dumps(value, ensure_ascii=False)} " for name, value in names if value)
