"""Make the pictures of the chart gallery from the code of ``charts.md``: ``python docs/make_charts.py``."""

from __future__ import annotations

import ast
import io
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

PAGE = Path(__file__).parent / "charts.md"
PICTURES = Path(__file__).parent / "images" / "charts"


def examples(text: str) -> Iterator[tuple[str, str]]:
    """Return each code block of the page with the name of its chart, numbered from the second one of a chart on."""
    for section in re.split(r"^##", text, flags=re.M):
        name = re.match(r"# (plot_\w+)", section)
        for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)):
            yield (name[1] + (f"_{number + 1}" if number else "") if name else ""), code


def draw(code: str, known: dict[str, Any]) -> Any:
    """Run `code` as a notebook does; return the value of its last line if that is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(PAGE), "exec"), known)  # noqa: S102  the page's own examples
    return eval(compile(ast.Expression(last.value), str(PAGE), "eval"), known) if last else None  # noqa: S307


def save(figure: Figure, file: Path) -> None:
    """Save with few colours: a quarter of the bytes, and nothing to see."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80, bbox_inches="tight")
    Image.open(drawn).convert("RGB").quantize(96).save(file, optimize=True)
    plt.close(figure)


def make(pictures: Path, text: str) -> None:
    """Run the page's examples in an empty folder, and save what they draw."""
    known: dict[str, Any] = {}
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        os.chdir(folder)
        try:
            for name, code in examples(text):
                drawn = draw(code, known)
                if name:
                    figure = drawn if isinstance(drawn, Figure) else drawn.figure
                    save(figure, pictures / f"{name}.png")
        finally:
            if "sandbox" in known:
                known["sandbox"].stop()
            os.chdir(here)


if __name__ == "__main__":
    make(PICTURES, PAGE.read_text(encoding="utf-8"))
