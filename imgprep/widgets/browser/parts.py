"""Small parts that the panels share."""

from __future__ import annotations

from typing import Any

import ipywidgets


def button(text: str, tooltip: str, width: str) -> Any:
    """Return a button of so many CSS pixels."""
    return ipywidgets.Button(description=text, tooltip=tooltip, layout=ipywidgets.Layout(width=width))


def shown_picture() -> Any:
    """Return the place of a picture, empty; a small one is not enlarged."""
    layout = ipywidgets.Layout(max_width="100%", align_self="flex-start", display="none")
    return ipywidgets.Image(format="jpeg", layout=layout)
