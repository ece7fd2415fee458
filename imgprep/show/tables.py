"""How frames are displayed: full texts, labels, percentages and dates, worst first, long tables folded."""

from __future__ import annotations

import io
import itertools
import math
import re
from typing import Any, Literal

import numpy as np
import pandas as pd

from imgprep.core.frames import records
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.regions import WIRE_ORDER
from imgprep.core.text import WHOLE, percent, shown
from imgprep.look.rules.book import named, titles
from imgprep.ship.report.causes import CAUSES
from imgprep.show.template import template

#: Rows visible at once, and maximum number of rows stored in a notebook; the rest stay in the frame.
VISIBLE, MOST = 10, 300
#: Width of a table as plain text, and from how many rows on it is folded, as in pandas.
WIDTH, UNFOLDED = 120, 60
_SEVERITIES = ("error", "warning", "info")
#: Severity of the results of `preflight`.
_RESULTS = {"fail": "error", "warn": "warning", "unknown": "info"}
_SHARES = ("share", "success", "first_time", "held_back", "recall", "rank_1", "same", "probability")
_SCORES = ("score", "confidence", "iou", "scale_x", "scale_y", "seconds")
_MOMENTS = ("at", "started", "ended", "modified", "created", "since", "when")
#: Columns whose numbers are codes, not counts.
_CODES = re.compile(r"CategoryId|IntAttr|(.*[_ ])?id$|.*I[dD]$")
#: Internal columns: not displayed, but kept in the frame.
_INTERNAL = ("digest", "source_digest", "phash", "position", "raw", "id_hash")
_HEADERS = {"label": "cause", "ProductId": "product", "PicName": "image", "in_gallery": "in the gallery"}
#: Columns that come first if a frame has them.
_FIRST = ("severity", "rule", "label")
_RANKS = ("rank_drawn", "rank_service", "rank_whole")
#: Columns that identify a kind of frame → the columns of it that people read. A finding's message repeats field and
#: value; the totals of causes are in titles.
_READ = (
    ({"rule", "message", "fix"}, ("severity", "rule", "row", "line", "ProductId", "PicName", "message", "fix")),
    ({"label", "family", "remedy", "count"}, ("run", "label", "family", "count", "share", "remedy")),
    ({"rank_drawn", "rank_whole"}, ("PicName", "drawn", "service", "iou", "same", *_RANKS, "problem")),
    ({"state_ours", "iou"}, ("PicName", *WIRE_ORDER, "iou", "agree", "CategoryId", "category", "problem")),
    ({"cause", "code", "outcome"}, ("line", "ProductId", "PicName", "verdict", "rule", "cause", "code", "decision")),
)
#: Columns that identify a kind of frame → its name, for headings that mean something else there.
_KINDS = (({"runs", "first", "last", "open"}, "dates"),)
#: Columns of names, which are not wrapped.
_NAMES = ("PicName", "file", "new_name", "column", "key")
#: Columns whose values are texts of ours.
_WORDS = (
    "label",
    "family",
    "severity",
    "remedy",
    "outcome",
    "what",
    "where",
    "verdict",
    "change",
    "difference",
    "state",
    "reason",
    "expected",
    "way",
    "detail",
    "how",
    "check",
    "result",
    "answer",
    "problem",
    "action",
    "why",
)
#: Columns that identify a kind of frame → further columns with texts of ours; elsewhere they hold the service's or the
#: shop's.
_OWN_WORDS = (
    ({"check", "result"}, ("message", "source")),
    ({"suggested", "score"}, ("name", "category")),
    ({"state_ours", "iou"}, ("category",)),
    ({"rule", "examples"}, ("examples",)),
    ({"group", "kind"}, ("kind",)),
    ({"field", "advice"}, ("advice",)),
    ({"images", "outside"}, ("bytes", "format", "shape")),
)
#: Labels of the built-in causes; a frame's ``.attrs["labels"]`` has those of the shop's own.
_LABELS = {cause.id: cause.label for cause in CAUSES}
#: Text lengths, in characters: from which a column gets a minimum width, and up to which it is not wrapped.
_LONG, _SHORT = 40, 20
#: Minimum width of a column of long texts or names as plain text.
_WRAPPED = 18


def table_html(
    frame: pd.DataFrame,
    *,
    visible: int = VISIBLE,
    headers: dict[str, str] | None = None,
    language: str | None = None,
) -> str:
    """Return a frame as an HTML table; empty and internal columns are named below it."""
    t, frame = texts(language or display_language()), _with_own_names(frame)
    names, hidden = _columns(frame)
    rows = _worst_first(frame).head(MOST)
    labels, more = frame.attrs.get("labels", {}), _own_words(frame)
    cells = [[_cell(name, row[name], labels, t, more) for name in names] for row in records(rows[names])]
    severities = _severities(rows).tolist()
    kinds = [_kind(name, frame[name], [row[at] for row in cells]) for at, name in enumerate(names)]
    lines = [{"severity": severity, "cells": row} for severity, row in zip(severities, cells, strict=True)]
    titles = {**_HEADERS, **(headers or {})}
    return template("table.html", t.language).render(
        columns=[(title, kind) for title, kind in zip(_titles(frame, names, titles, t), kinds, strict=True)],
        rows=lines[:visible],
        folded=lines[visible:],
        left=max(0, len(frame) - MOST),
        total=t.counted(len(frame), "row"),
        hidden=hidden,
    )


def table_text(frame: pd.DataFrame) -> str:
    """Return a frame as plain text: like `table_html`, with texts wrapped and as many columns as fit."""
    from rich.cells import cell_len  # noqa: PLC0415  only plain text needs it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    t, frame = texts(display_language()), _with_own_names(frame)
    names, hidden = _columns(frame)
    rows = _worst_first(frame)
    rows = rows.head(len(frame) if len(frame) <= UNFOLDED else VISIBLE)
    labels, more = frame.attrs.get("labels", {}), _own_words(frame)
    cells = [[_cell(name, row[str(name)], labels, t, more) for name in names] for row in records(rows[names])]
    titles = _titles(frame, names, _HEADERS, t)
    columns = [[row[at] for row in cells] for at in range(len(names))]
    kinds = [_kind(name, frame[name], column) for name, column in zip(names, columns, strict=True)]
    widths = [max(map(cell_len, [title, *column])) for title, column in zip(titles, columns, strict=True)]
    room = WIDTH + 2  # the last column needs no gap
    for wraps in ({"long"}, {"long", "name"}):  # names are broken only where that saves a column
        least = [min(width, _WRAPPED if kind in wraps else WIDTH) for kind, width in zip(kinds, widths, strict=True)]
        if sum(least) + 2 * len(least) <= room:
            break
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    fitting: list[int] = []
    for at, name in enumerate(names):
        if least[at] + 2 > room and fitting:
            hidden.append(str(name))
            continue
        room -= least[at] + 2
        fitting.append(at)
        side: Literal["left", "right"] = "right" if kinds[at] == "number" else "left"
        whole = kinds[at] not in wraps
        table.add_column(Text(titles[at]), justify=side, overflow="fold", min_width=least[at], no_wrap=whole)
    for row in cells:
        table.add_row(*(Text(row[at]) for at in fitting))
    out = io.StringIO()
    Console(file=out, width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False).print(table)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    if not len(frame):
        lines.append(t("no rows"))
    elif not names:
        lines = [t.counted(len(frame), "row")]
    if left := len(frame) - len(rows):
        lines.append(t("{count} more of {total}", count=f"{left:,}", total=t.counted(len(frame), "row")))
    if hidden and len(rows):
        lines.append(t("Not shown: {columns}", columns=", ".join(hidden)))
    return "\n".join(lines)


def _with_own_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with column names that are text and differ: a second "a" becomes "a (2)"."""
    names: list[str] = []
    for name in map(str, frame.columns):
        again = next(at for at in itertools.count(1) if (name if at == 1 else f"{name} ({at})") not in names)
        names.append(name if again == 1 else f"{name} ({again})")
    return frame if names == frame.columns.tolist() else frame.set_axis(names, axis=1)


def _columns(frame: pd.DataFrame) -> tuple[list[Any], list[str]]:
    """Return the columns to display, and the names of those left out."""
    names = [name for name in frame.columns if str(name) not in _INTERNAL]
    for kind, read in _READ:
        if kind <= set(names):
            names = [name for name in read if name in names]
            break
    if "label" in names:
        names = [name for name in names if name != "cause"]
    if "run" in names and len(frame) > 1 and frame["run"].nunique(dropna=False) == 1:
        names.remove("run")
    names = [name for name in names if frame.empty or frame[name].notna().any()]
    hidden = [str(name) for name in frame.columns if name not in names]
    first = [name for name in _FIRST if name in names]
    return [*first, *(name for name in names if name not in first)], hidden


def _titles(frame: pd.DataFrame, names: list[Any], headers: dict[str, str], t: Texts) -> list[str]:
    kind = next((kind for columns, kind in _KINDS if columns <= set(frame.columns)), "")
    return [t.heading(headers.get(str(name), str(name).replace("_", " ")), kind) for name in names]


def _kind(name: Any, column: pd.Series, texts: list[str]) -> str:
    """Return the style of a column: number, name, long, short or none."""
    if pd.api.types.is_numeric_dtype(column) and column.dtype not in ("bool", "boolean"):
        return "number"
    longest = max(map(len, texts), default=0)
    return "name" if name in _NAMES else "long" if longest > _LONG else "short" if longest <= _SHORT else ""


def _severities(frame: pd.DataFrame) -> pd.Series:
    """Return each row's severity: error, warning, info, or none."""
    if "severity" in frame.columns:
        return frame["severity"].astype(object)
    if {"check", "result"} <= set(frame.columns):
        return frame["result"].astype(object).map(_RESULTS)
    return pd.Series("", index=frame.index, dtype=object)


def _own_words(frame: pd.DataFrame) -> tuple[str, ...]:
    own = next((more for columns, more in _OWN_WORDS if columns <= set(frame.columns)), ())
    return own if "message" in frame.columns else (*own, "rule")


def _worst_first(frame: pd.DataFrame) -> pd.DataFrame:
    rank = {name: place for place, name in enumerate(_SEVERITIES)}
    order = _severities(frame).map(rank).fillna(len(rank))
    return frame.iloc[order.argsort(kind="stable").to_numpy()]


def _cell(name: Any, value: object, labels: dict[str, str], t: Texts, more: tuple[str, ...] = ()) -> str:
    """Return the text of a cell; the template escapes it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return t("yes") if value else t("no")
    if str(name).partition("_")[0] == "cause":
        return t(labels.get(str(value)) or _LABELS.get(str(value), str(value)))
    if name == "rule":  # a message beside it is as good as a title, except in another language
        return shown(named(str(value), t) if t.table or name in more else value, WHOLE)
    if name in (*_WORDS, *more) and isinstance(value, str):
        return shown(translated(value, t, str(name)), WHOLE)
    if name == "fix":
        return shown(t.remedy(str(value)), WHOLE)
    if isinstance(value, (int, float)):
        return _number(str(name), value)
    if isinstance(value, pd.Timestamp) or name in _MOMENTS:
        return _moment(value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple, set)):
        return ", ".join(shown(item, WHOLE) for item in value)
    return shown(value, WHOLE)


def translated(text: str, t: Texts, column: str = "") -> str:
    """Return a text of ours, or a list of such texts, in the language, with titles for ids of rules."""
    reasons = titles(text, t)
    return t.kept(text, column) if reasons == text else reasons


def _number(name: str, value: float) -> str:
    if name in _SHARES or name.endswith("_share"):
        return percent(value, 1)
    if name == "change" and isinstance(value, float):  # relative; a change of counts is an integer
        return f"{value:+.1%}"
    if _CODES.match(name) and float(value).is_integer():
        return str(int(value))
    if name in _SCORES:
        return f"{value:.2f}"
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.4g}"


def _moment(value: object) -> str:
    try:
        return pd.Timestamp(str(value)).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return shown(value, WHOLE)
