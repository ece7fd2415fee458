"""Notebooks: detection, and display of imgprep's errors."""

from __future__ import annotations

import html
import sys
import traceback
from typing import Any


def in_notebook() -> bool:
    """Return whether the code is running in a notebook kernel."""
    return hasattr(_shell(), "kernel")


def shows(progress: bool) -> bool:
    """Return whether a progress bar is shown: in notebooks and terminals, never in a pipe or log file."""
    return progress and (in_notebook() or sys.stderr.isatty())


def _shell() -> Any:
    return getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()


def error_lines(error: Exception) -> list[str]:
    """Return the lines that IPython shows for an error; a notebook also displays the folded traceback above them."""
    if not in_notebook():
        shown: list[str] = _shell().InteractiveTB.structured_traceback(type(error), error, error.__traceback__)
        return shown
    cell = _shell().execution_count
    if getattr(error, "_folded_in", None) != cell:  # IPython requests the lines of an error twice
        error._folded_in = cell  # type: ignore[attr-defined]  # our own marker
        _fold(error)
    message = "".join(char if char.isprintable() or char == "\n" else " " for char in str(error))
    what, _, remedy = message.rpartition("; ")
    title = f"\x1b[1;31m{type(error).__name__}\x1b[0m: "
    return [f"{title}{what}", f"→ {remedy}"] if what else [f"{title}{message}"]


def _fold(error: Exception) -> None:
    from IPython.display import display  # noqa: PLC0415  already loaded

    began = error.__traceback__
    while began is not None and "IPython" in began.tb_frame.f_code.co_filename:
        began = began.tb_next
    text = "".join(traceback.format_exception(type(error), error, began))
    folded = f"<details><summary>Traceback</summary><pre>{html.escape(text)}</pre></details>"
    display({"text/html": folded, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]  # IPython: untyped
