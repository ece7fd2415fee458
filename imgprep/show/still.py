"""Static pictures of panels, for saved notebooks, GitHub and HTML exports: widgets run only in a kernel."""

from __future__ import annotations

import base64
from typing import Any

from imgprep.core.language import Texts, texts
from imgprep.show.template import template

#: Maximum number of entries shown of a list.
LISTED = 15


class LeavesPicture:
    """Mixin for a panel that is a widget: its saved output holds a static picture of it."""

    _t: Texts = texts()  #: in the language that the panel was made with

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return with_picture(super()._repr_mimebundle_(**options), self, still_html(self, self._t.language))  # type: ignore[misc]  # untyped base


def with_picture(bundle: Any, panel: object, picture: str) -> dict[str, Any]:
    """Return a widget's MIME bundle with the panel's text and static picture, for front ends that run no widgets."""
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    return {**(data or {}), "text/plain": repr(panel), "text/html": picture}


def still_html(widget: Any, language: str | None = None) -> str:
    """Return a widget and its children as HTML, as they are now."""
    return template("still.html", language).render(part=_part(widget))


def _part(widget: Any) -> dict[str, Any] | None:
    """Return what the template needs to draw a widget, or None if it is hidden or has no text."""
    layout = getattr(widget, "layout", None)
    if layout is not None and layout.display == "none":
        return None
    names = ("width", "min_width", "max_width", "flex", "flex_flow", "align_items", "padding", "margin")
    style = {name.replace("_", "-"): getattr(layout, name, None) for name in names}
    part: dict[str, Any] = {"style": {name: value for name, value in style.items() if value}}
    if hasattr(widget, "still_part"):  # a widget whose content the browser draws
        return {**part, **widget.still_part()}
    state = widget.get_state()
    if hasattr(widget, "children"):
        children = [child for each in widget.children if (child := _part(each))]
        kind = "row" if state["_model_name"] == "HBoxModel" else "column"
        return part | {"kind": kind, "children": children} if children else None
    if "_options_labels" in state:
        chosen = state["index"] if isinstance(state["index"], (list, tuple)) else [state["index"]]
        labels = [{"text": text, "chosen": at in chosen} for at, text in enumerate(state["_options_labels"])]
        if "rows" in state:
            return part | {"kind": "list", "labels": labels[:LISTED], "left": len(labels[LISTED:])}
        text = ", ".join(label["text"] for label in labels if label["chosen"])
        return part | {"kind": "field", "label": state["description"], "text": text}
    return _simple(part, state["_model_name"], state, widget)


def _simple(part: dict[str, Any], model: str, state: dict[str, Any], widget: Any) -> dict[str, Any] | None:
    value = getattr(widget, "value", None)
    if model in ("HTMLModel", "HTMLMathModel"):
        return part | {"kind": "html", "html": value} if value else None
    if model == "ImageModel":
        return part | {"kind": "image", "uri": _uri(value, state["format"])} if value else None
    if model in ("ButtonModel", "ToggleButtonModel"):
        return part | {"kind": "button", "text": state["description"]} if state["description"] else None
    if model == "CheckboxModel":
        return part | {"kind": "field", "label": "", "text": f"{'☑' if value else '☐'} {state['description']}"}
    if "max" in state and "bar_style" in state:
        return part | {"kind": "progress", "label": state["description"], "value": value, "max": state["max"]}
    text, hint = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value), ""
    if not text:
        hint = state.get("placeholder") or ""
    return part | {"kind": "field", "label": state.get("description", ""), "text": text, "hint": hint}


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(bytes(data)).decode()}"
