"""Several ES modules → the one that anywidget takes.

No bundler: the modules import only each other, by name, so joining them is putting them in order without their
``import`` lines and ``export`` words.
"""

from __future__ import annotations

import re
from pathlib import Path

_IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"\./([\w-]+\.mjs)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)
_NAME = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let)\s+([\w$]+)", re.MULTILINE)


def join_modules(folder: Path, entry: str) -> str:
    """Return the module `entry` and all it imports as one ES module.

    Parameters
    ----------
    folder : pathlib.Path
        Where the ``.mjs`` files lie.
    entry : str
        File name of the one with ``export default``.

    Raises
    ------
    ValueError
        A module imports in another way than ``import { a } from "./b.mjs";``, imports in a circle, or two modules
        give one name to different things.
    """
    texts: dict[str, str] = {}
    _collect(folder, entry, texts, ())
    owners: dict[str, str] = {}
    parts = []
    for name, text in texts.items():
        for defined in _NAME.findall(text):
            if owners.setdefault(defined, name) != name:
                raise ValueError(f"{name} and {owners[defined]} both define {defined}; rename one")
        body = _EXPORT.sub("", _IMPORT.sub("", text))
        stray = re.search(r"^(import\b.*|export (?!default\b).*)$", body, re.MULTILINE)
        if stray:
            raise ValueError(
                f'{name}: {stray[1]!r}: only import {{ a }} from "./b.mjs"; and export of a name are joined'
            )
        parts.append(f"// {name}\n{body.strip()}\n")
    return "\n".join(parts)


def _collect(folder: Path, name: str, texts: dict[str, str], path: tuple[str, ...]) -> None:
    """Add a module after those it imports."""
    if name in path:
        raise ValueError(f"modules import in a circle: {' → '.join([*path, name])}")
    if name in texts:
        return
    text = (folder / name).read_text(encoding="utf-8")
    for other in _IMPORT.findall(text):
        _collect(folder, other, texts, (*path, name))
    texts[name] = text
