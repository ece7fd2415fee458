"""Puts the committed notebooks into the site, each with the outputs that it was committed with."""

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

INDEX = """\
# Notebooks

One question each, answered on the demo shop. Panels are shown as pictures here; `make lab` opens the
notebooks themselves.

```{{toctree}}
:maxdepth: 1

{names}
```
"""


def write(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "notebooks"
    folder.mkdir(exist_ok=True)
    sources = {source.name: source for source in (Path(app.srcdir).parent / "notebooks").glob("*.ipynb")}
    for stale in {file.name for file in folder.glob("*.ipynb")} - sources.keys():
        (folder / stale).unlink()
    for name, source in sources.items():
        copy = folder / name
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            shutil.copyfile(source, copy)
    index = INDEX.format(names="\n".join(sorted(Path(name).stem for name in sources)))
    (folder / "index.md").write_text(index, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
