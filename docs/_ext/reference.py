"""Writes the pages of the reference before they are read: one for each step, one for the command.

They are made from the stub of public names, the docstrings and the parser, so that nothing has to be listed twice.
"""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import imgprep
from imgprep.cli.parser import make_parser


def title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def steps() -> dict[str, list[str]]:
    """Step → its public names, as the comments of ``__init__.pyi`` group them."""
    stub = Path(imgprep.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for line in stub.splitlines():
        if line.startswith("# "):
            names = found.setdefault(re.split(r"[.:]", line[2:])[0], [])
        elif match := re.match(r"from \.\S+ import \w+ as (\w+)", line):
            names.append(match[1])
    return found


def page_name(step: str) -> str:
    return step.lower().replace(" ", "-").replace(".", "-")


def step_page(step: str, names: list[str]) -> str:
    blocks = []
    for name in names:
        found = getattr(imgprep, name)
        kind = "autoclass" if isinstance(found, type) else "autofunction"
        members = "   :members:\n" if kind == "autoclass" else ""
        if kind == "autoclass" and all(base.__module__.startswith("imgprep") for base in found.__mro__[:-1]):
            members += "   :inherited-members:\n"  # what our own bases give belongs to the class
        blocks.append(f".. {kind}:: imgprep.{name}\n{members}")
    return "\n".join([title(step), *blocks])


def command_page() -> str:
    parser = make_parser()
    subcommands = next(action for action in parser._actions if hasattr(action, "choices") and action.choices)
    helps = [parser.format_help(), *(command.format_help() for command in subcommands.choices.values())]
    blocks = [".. code-block:: text\n\n" + "".join(f"    {line}\n" for line in text.splitlines()) for text in helps]
    return "\n".join([title("The command"), "The same steps without a notebook, for cron and CI.", "", *blocks])


def index_page(found: dict[str, list[str]]) -> str:
    lines = [title("Reference"), "Every public name, by step: ``import imgprep as ip``.", ""]
    lines += [":doc:`The command <command>` has the same steps without a notebook.", ""]
    lines += [
        "The examples run as they stand, and the test suite runs them. Those that need runs call them ``runs``: three "
        "weeks of the demo shop on the sandbox, made by `imgprep.demo.history.make_history`.",
        "",
    ]
    for step, names in found.items():
        links = ", ".join(f":py:obj:`~imgprep.{name}`" for name in names)
        lines += [f":doc:`{step} <{page_name(step)}>`", f"   {links}", ""]
    toctree = [".. toctree::", "   :hidden:", "", "   command", *(f"   {page_name(step)}" for step in found)]
    return "\n".join([*lines, *toctree, ""])


def write(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    pages = {page_name(step): step_page(step, names) for step, names in steps().items()}
    pages |= {"index": index_page(steps()), "command": command_page()}
    for stale in set(folder.glob("*.rst")) - {folder / f"{page}.rst" for page in pages}:
        stale.unlink()
    for page, text in pages.items():
        file = folder / f"{page}.rst"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
