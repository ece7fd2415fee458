"""Pages out of templates: everything that is filled in is escaped; a file is there when it is whole."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from imgprep.core.files import overwriting
from imgprep.core.text import shown

if TYPE_CHECKING:
    from jinja2 import Environment, Template


def template(name: str) -> Template:
    """Return the template `name`, which lies beside this file."""
    return _environment().get_template(name)


def write_page(path: str | os.PathLike[str], page: str) -> Path:
    """Write a page where there is none, or one of ours; folders are made."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with overwriting(file) as draft:
        draft.write_text(page, encoding="utf-8", errors="replace")
    return file


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  heavy, and only pages need it

    loader = PackageLoader("imgprep", "show/templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: f"{int(value):,}"
    environment.filters["shown"] = shown
    return environment
