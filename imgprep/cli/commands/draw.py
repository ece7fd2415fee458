"""Subject regions without a notebook: list decisions, and merge work from several people."""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from imgprep.cli.inputs import settings_of
from imgprep.cli.output import ExitCode, escaped, show
from imgprep.core.errors import RegionError
from imgprep.core.text import counted

if TYPE_CHECKING:
    from imgprep.draw.store import RegionStore

#: Decisions are equal if they agree in these columns.
_DECISION = ["PicName", "ProductId", "who", "state", "x1", "y1", "x2", "y2"]
#: First bytes of a SQLite file.
_SQLITE = b"SQLite format 3\x00"


def regions(options: Namespace) -> int:
    from imgprep.draw.store import RegionStore

    place = options.into or settings_of(options).regions
    for needed in options.others or [place]:
        if not needed.is_file():
            raise RegionError(
                f"{needed}: not a region store or region file; draw regions (notebook 02) or correct the path"
            )
    with RegionStore(place, who=options.who, read_only=not options.others) as store:
        parts = []
        for other in options.others:
            part = _merged(store, other, options.who)
            counts = ", ".join(f"{count:,} {name}" for name, count in part["outcome"].value_counts().items())
            print(escaped(f"{other}: {counts or 'empty'}"), file=sys.stderr)
            parts.append(part.assign(source=str(other)))
        undecided = store.conflicts()
        brought = pd.concat(parts, ignore_index=True) if parts else store.frame()
    show(undecided if options.conflicts else brought, options.format)
    if len(undecided):
        remedy = (
            "--conflicts lists both sides; decide in notebook 02, with the grid's filter “in conflict after a merge”"
        )
        print(f"{counted(len(undecided), 'conflicting decision')}; {remedy}", file=sys.stderr)
    return ExitCode.FINDINGS if len(undecided) else ExitCode.FINE


def _merged(store: RegionStore, other: Path, who: str | None) -> pd.DataFrame:
    """Merge a store or a file of regions as another person's store, so that nothing is silently replaced."""
    from imgprep.draw.formats import read_regions
    from imgprep.draw.store import RegionStore

    with other.open("rb") as opened:
        if opened.read(len(_SQLITE)) == _SQLITE:
            return store.merge(other)
    frame = read_regions(other).assign(who=who or other.stem)
    # Lines in a file have no id: a decision equal to an earlier one by the same person is not new.
    known = (
        frame.merge(store.history()[_DECISION].drop_duplicates(), on=_DECISION, how="left", indicator=True)["_merge"]
        == "both"
    )
    with tempfile.TemporaryDirectory() as folder, RegionStore(Path(folder) / "theirs") as theirs:
        theirs.load(frame[~known.to_numpy()], keep_history=True)
        news = store.merge(theirs)
    same = frame.loc[known.to_numpy(), ["PicName", "ProductId"]].assign(outcome="same")
    return pd.concat([news, same], ignore_index=True)
