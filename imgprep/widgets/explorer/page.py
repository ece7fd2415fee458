"""What the panel shows of one line, as HTML. Everything in it comes from strangers and is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from imgprep.widgets.explorer.cases import Case

_FACTS = ("format", "width", "height", "bytes", "orientation", "mode", "problem")
_HIDDEN = frozenset({"line", "row", "digest", "file", "reason", "expected"})
_TEXT_MAX = 300
_STYLE = (
    "<style>.imgprep-case{font-size:13px;line-height:1.45;overflow-wrap:anywhere}"
    ".imgprep-case table{border-collapse:collapse;width:100%}"
    ".imgprep-case th{text-align:left;font-weight:600;color:#5b6675;padding:1px 10px 1px 0;vertical-align:top;"
    "white-space:nowrap;width:1%}.imgprep-case td{padding:1px 0;vertical-align:top}"
    ".imgprep-case h4{margin:10px 0 2px;font-size:13px}.imgprep-case .no{color:#b3470a;font-weight:600}"
    ".imgprep-case .yes{color:#00694d;font-weight:600}"
    ".imgprep-case pre{white-space:pre-wrap;margin:2px 0;font-size:12px;background:#f5f7f9;padding:4px 6px}</style>"
)


def case_html(case: Case) -> str:
    """Return what was said, what was predicted, and the record behind it."""
    line = case.line
    parts = [_STYLE, '<div class="imgprep-case">']
    said = " · ".join(_text(line[name]) for name in ("code", "message") if line.get(name))
    parts.append(f"<b>line {_text(line['line'])}</b> · {_text(line['outcome'])}{f' · {said}' if said else ''}")
    if line.get("raw"):
        parts.append(f"<pre>{_text(line['raw'])}</pre>")
    parts.append(_prediction(case))
    parts.append("<h4>Sent</h4>" + _table({name: value for name, value in case.sent.items() if name not in _HIDDEN}))
    if case.fact:
        parts.append("<h4>Its image</h4>" + _table({name: case.fact.get(name) for name in _FACTS}))
    sent = {str(value) for value in case.sent.values()}
    own = {name: value for name, value in case.record.items() if name not in case.sent or str(value) not in sent}
    if own:
        parts.append(f"<h4>Catalogue, row {_text(case.record.get('row'))}</h4>" + _table(own))
    return "".join([*parts, "</div>"])


def _prediction(case: Case) -> str:
    if case.predicted is None:
        told = '<span class="no">not predicted</span>: no finding of severity error stood against it'
    else:
        rest = "; ".join(_text(case.predicted[name]) for name in ("message", "fix") if case.predicted.get(name))
        told = f'<span class="yes">predicted by {_text(case.predicted["rule"])}</span>{f": {rest}" if rest else ""}'
    further = [(_text(row["severity"]), _text(row["rule"]), _text(row.get("message"))) for row in case.others[:5]]
    others = "".join(f"<br>also {severity} {rule}: {message}" for severity, rule, message in further)
    return f"<div>{told}{others}</div>"


def _table(values: Mapping[str, Any]) -> str:
    rows = [f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in values.items() if _said(value)]
    return f"<table>{''.join(rows)}</table>"


def _said(value: Any) -> bool:
    return value is not None and str(value) != ""


def _text(value: Any) -> str:
    text = str(value)
    return html.escape(text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + " …")
