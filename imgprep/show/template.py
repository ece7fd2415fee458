"""Escaped HTML from the templates in `show/templates`; pages are written completely or not at all."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from imgprep.core.files import overwriting
from imgprep.core.language import display_language, texts
from imgprep.core.text import shown

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from matplotlib.figure import Figure

#: Longest side of the thumbnails on pages, pixels.
_SIDE = 150


def template(name: str, language: str | None = None) -> Template:
    """Return the template called `name`, with ``t`` for texts in `language` (default: that of the current project)."""
    return _environment(language or display_language()).get_template(name)


def write_page(path: str | os.PathLike[str], page: str) -> Path:
    """Write a page; create missing folders, and replace an existing file only if imgprep wrote it."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with overwriting(file) as draft:
        draft.write_text(page, encoding="utf-8", errors="replace")
    return file


@dataclass(frozen=True, slots=True)
class Page:
    """A written page; a notebook shows its first screen, with the rest to unfold, in the colours of the notebook."""

    path: Path

    def __repr__(self) -> str:
        return f"Page({self.path.name})"

    def _repr_html_(self) -> str:
        _, _, rest = self.path.read_text(encoding="utf-8").partition("<body")
        content = rest.partition(">")[2].rpartition("</body>")[0]
        return template("first_screen.html").render(content=content, side=_SIDE, file=self.path.name)


def figure_uri(figure: Figure) -> str:
    """Return a figure as a data URI (SVG), and close the figure."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@cache
def _environment(language: str) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  heavy, and needed only for pages

    from imgprep.look.rules.book import named, titles  # noqa: PLC0415  likewise

    loader = PackageLoader("imgprep", "show/templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    t = texts(language)
    environment.globals["t"] = t
    environment.filters |= {"number": lambda value: f"{int(value):,}", "counted": t.counted, "shown": shown}
    environment.filters |= {"rule": lambda rule_id: named(rule_id, t), "titles": lambda text: titles(text, t)}
    return environment
