"""Writes the pages of the reference before they are read: one for each part of the package, one for the command.

They are made from ``imgprep``'s table of public names, the docstrings and the parser, so that nothing has to be listed
twice.
"""

import importlib
from itertools import groupby
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import imgprep
from imgprep.cli.parser import make_parser


def title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def part_page(home: str, names: list[str]) -> str:
    about = str(importlib.import_module(f"imgprep.{home}").__doc__).strip()
    blocks = []
    for name in names:
        found = getattr(imgprep, name)
        kind = "autoclass" if isinstance(found, type) else "autofunction"
        members = "   :members:\n" if kind == "autoclass" else ""
        if kind == "autoclass" and all(base.__module__.startswith("imgprep") for base in found.__mro__[:-1]):
            members += "   :inherited-members:\n"  # what our own bases give belongs to the class
        blocks.append(f".. {kind}:: imgprep.{name}\n{members}")
    return "\n".join([title(home), about, "", *blocks])


def command_page() -> str:
    parser = make_parser()
    subcommands = next(action for action in parser._actions if hasattr(action, "choices") and action.choices)
    helps = [parser.format_help(), *(command.format_help() for command in subcommands.choices.values())]
    blocks = [".. code-block:: text\n\n" + "".join(f"    {line}\n" for line in text.splitlines()) for text in helps]
    return "\n".join([title("The command"), "The same steps without a notebook, for cron and CI.", "", *blocks])


def index_page(parts: dict[str, list[str]]) -> str:
    lines = [title("Reference"), "Every public name, by its part of the package: ``import imgprep as ip``.", ""]
    lines += [":doc:`The command <command>` has the same steps without a notebook.", ""]
    lines += [
        "The examples run as they stand, and the test suite runs them. Those that need runs call them ``runs``: "
        '``runs = ip.make_history("weeks/runs", weeks=3)``, three weeks of the demo shop on the sandbox.',
        "",
    ]
    for home, names in parts.items():
        about = str(importlib.import_module(f"imgprep.{home}").__doc__).splitlines()[0]
        links = ", ".join(f":py:obj:`~imgprep.{name}`" for name in names)
        lines += [f":doc:`{home} <{home.replace('.', '-')}>`", f"   {about} {links}", ""]
    toctree = [".. toctree::", "   :hidden:", "", "   command", *(f"   {home.replace('.', '-')}" for home in parts)]
    return "\n".join([*lines, *toctree, ""])


def write(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    parts = {
        home: list(names) for home, names in groupby(sorted(imgprep._HOME, key=imgprep._HOME.get), imgprep._HOME.get)
    }
    pages = {home.replace(".", "-"): part_page(home, names) for home, names in parts.items()}
    pages["command"] = command_page()
    pages["index"] = index_page(parts)
    for stale in set(folder.glob("*.rst")) - {folder / f"{page}.rst" for page in pages}:
        stale.unlink()
    for page, text in pages.items():
        file = folder / f"{page}.rst"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
