"""Reports made at random, with what they call failed: for the property test and for fuzzing.

Each of `SHAPES` writes failures of some lines of a batch as a service might, in prose or in a table, English or
Chinese, one or many for each entry.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

CODES = ("PicNotExist", "InvalidRegion", "RequestTimeout", "IncorrectOrientation")
CHINESE = ("图片不存在", "图片旋转", "超时")
#: Which the batch names products and images by: plain, like numbers and labels of lines, or with signs in them.
NAMINGS: dict[str, Callable[[int, int], tuple[str, str]]] = {
    "plain": lambda line, lines: (f"P{line}", f"img{line}.jpg"),
    "numbers": lambda line, lines: (str(line), f"{line}.jpg"),
    "other numbers": lambda line, lines: (str(lines + 1 - line), f"img{line}.jpg"),
    "large numbers": lambda line, lines: (str(100_000 + line), f"img{line}.png"),
    "labels": lambda line, lines: (f"row{lines + 1 - line}", f"line{lines + 1 - line}.jpg"),
    "blanks": lambda line, lines: (f"P {line}", f"front view {line}.jpg"),
    "signs": lambda line, lines: (f"袋,{line}", f"裙(第{lines + 1 - line}行) {line}.jpg"),
    "folders": lambda line, lines: (f"P-{line}/a", f"week/{line}/front.jpg"),
}


@dataclass(frozen=True)
class Made:
    """A report, the batch it is about, and the lines that it calls failed."""

    shape: str
    naming: str
    text: str
    batch: pd.DataFrame
    failed: frozenset[int]


@dataclass(frozen=True)
class _Line:
    line: int
    product: str
    pic: str
    code: str
    chinese: str


Shape = Callable[[list[_Line], random.Random], str]


def _each(write: Callable[[_Line], str]) -> Shape:
    return lambda lines, rng: "".join(f"{write(each)}\n" for each in lines)


def _grouped(lines: list[_Line], rng: random.Random) -> list[list[_Line]]:
    """The lines in groups of one code each."""
    groups, at = [], 0
    while at < len(lines):
        size = rng.randint(1, 4)
        groups.append(lines[at : at + size])
        at += size
    return groups


def _many(write: Callable[[list[_Line]], str]) -> Shape:
    return lambda lines, rng: "".join(f"{write(group)}\n" for group in _grouped(lines, rng))


def _ranges(lines: Iterable[int]) -> list[str]:
    """Numbers as a person lists them: 3-5, 7."""
    found: list[list[int]] = []
    for line in sorted(lines):
        if found and found[-1][-1] == line - 1:
            found[-1].append(line)
        else:
            found.append([line])
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found]


def _numbers(group: list[_Line]) -> str:
    texts = [str(each.line) for each in group]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _table(rows: Iterable[Iterable[object]], delimiter: str = ",") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return file.getvalue()


def _record(each: _Line) -> dict[str, str]:
    return {"ProductId": each.product, "PicName": each.pic, "Code": each.code, "Message": "it failed"}


def _nested(lines: list[_Line], rng: random.Random) -> str:
    item: object = [_record(each) for each in lines]
    for depth in range(rng.randint(1, 6)):
        item = {f"level{depth}": item}
    return json.dumps(item, ensure_ascii=False, indent=rng.choice([None, 1]))


def _by_product(lines: list[_Line], rng: random.Random) -> str:
    items = [{"ProductId": each.product, "errors": [{"PicName": each.pic, "Code": each.code}]} for each in lines]
    return json.dumps({"requestId": "4711", "data": {"failed": len(lines), "items": items}}, ensure_ascii=False)


def _with_sums(lines: list[_Line], rng: random.Random) -> str:
    body = "".join(f'{each.code}: "{each.pic}"\n' for each in lines)
    return rng.choice(["Import report\n", "# failures\n", ""]) + body + f"finished with {len(lines)} failed rows\n"


SHAPES: dict[str, Shape] = {
    "json lines": _each(lambda each: json.dumps(_record(each), ensure_ascii=False)),
    "json, numbered": _each(lambda each: json.dumps({"line": each.line, **_record(each)})),
    "json, lists of images": _many(
        lambda group: json.dumps({"Code": group[0].code, "PicName": [each.pic for each in group]}, ensure_ascii=False)
    ),
    "json, lists of lines": _many(
        lambda group: json.dumps({"Code": group[0].code, "lines": _ranges(each.line for each in group)})
    ),
    "json, nested": _nested,
    "json, by product": _by_product,
    "json, by code": lambda lines, rng: json.dumps(
        {code: pics for code in CODES if (pics := [each.pic for each in lines if each.code == code])},
        ensure_ascii=False,
    ),
    "csv": lambda lines, rng: _table(
        [("ProductId", "PicName", "Code"), *((each.product, each.pic, each.code) for each in lines)]
    ),
    "csv, ranges of lines": lambda lines, rng: _table(
        [
            ("line", "code"),
            *((", ".join(_ranges(each.line for each in group)), group[0].code) for group in _grouped(lines, rng)),
        ]
    ),
    "csv without header": lambda lines, rng: _table(
        (each.line, each.product, each.pic, each.code, 400) for each in lines
    ),
    "ranges without header": lambda lines, rng: _table(
        ("-".join(dict.fromkeys((run.split("-")[0], run.split("-")[-1]))), "PicNotExist")
        for run in _ranges(each.line for each in lines)
    ),
    "tsv, several images in a cell": lambda lines, rng: _table(
        [
            ("图片名称", "失败原因"),
            *(("；".join(each.pic for each in group), "图片不存在") for group in _grouped(lines, rng)),
        ],
        "\t",
    ),
    "prose, lines": _many(lambda group: f"Line{'s' * (len(group) > 1)} {_numbers(group)}: {group[0].code}"),
    "prose, ranges of rows": _many(
        lambda group: f"rows {', '.join(_ranges(each.line for each in group))} - {group[0].code} (code: 400)"
    ),
    "prose, images": _many(lambda group: f"{group[0].code}: {', '.join(each.pic for each in group)}"),
    "prose, quoted": _each(lambda each: f"[ERROR] could not import '{each.pic}' after 3 attempts"),
    "prose, sums": _with_sums,
    "comments": _each(lambda each: f"# Line {each.line}: {each.code}"),
    "chinese, labelled": _each(
        lambda each: (
            f"第{each.line}行 商品ID：{each.product} 图片：{each.pic} 导入失败，原因：{each.chinese}（{each.code}）"
        )
    ),
    "chinese, lines": _many(
        lambda group: f"第{'、'.join(str(each.line) for each in group)}行{group[0].chinese}；请检查"
    ),
    "chinese, quoted": _each(lambda each: f"“{each.pic}” {each.chinese}"),
    "chinese, brackets": _many(
        lambda group: f"{''.join(f'【{each.pic}】' for each in group)}导入失败：{group[0].chinese}"
    ),
    "names in other spellings": _each(lambda each: f"{each.pic.upper()}: {each.code}"),
}


def make_report(rng: random.Random, shape: str | None = None, naming: str | None = None) -> Made:
    """Return a report of a shape about a batch named in a way, both at random by default."""
    shape = shape or rng.choice(sorted(SHAPES))
    naming = naming or rng.choice(sorted(NAMINGS))
    count = rng.randint(2, 12)
    names = [NAMINGS[naming](line, count) for line in range(1, count + 1)]
    batch = pd.DataFrame(names, columns=["ProductId", "PicName"])
    batch.insert(0, "line", range(1, count + 1))
    batch.insert(1, "OperationType", [rng.choice(["ADD", "ADD", "DELETE"]) for _ in names])
    failed = sorted(rng.sample(range(1, count + 1), rng.randint(1, count)))
    lines = [_Line(line, *names[line - 1], rng.choice(CODES), rng.choice(CHINESE)) for line in failed]
    return Made(shape, naming, SHAPES[shape](lines, rng), batch, frozenset(failed))
