"""Where a line's picture lies, and how it is shown with its region."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from imgprep.errors import RegionError
from imgprep.images.listing import Source, Unfit, open_source
from imgprep.images.thumbs import thumb_of
from imgprep.regions import Region
from imgprep.widgets.explorer.cases import Case

#: Longest side of the picture, pixels.
SIDE = 420


class Pictures:
    """Folders, or archives, with pictures.

    Parameters
    ----------
    folders : iterable of path
        Looked into in this order, see `open_source`.
    """

    def __init__(self, folders: Iterable[str | Path]) -> None:
        self._sources: dict[Path, Source] = {Path(folder): open_source(Path(folder)) for folder in folders}

    def locate(self, *names: Any) -> tuple[Path | None, str]:
        """Return the folder that has a picture, and under which of its names."""
        for folder, source in self._sources.items():
            for name in names:
                try:
                    source.find(name if isinstance(name, str) else "")
                except Unfit:  # not there, or it leads out of the folder
                    continue
                return folder, str(name)
        return None, ""

    def shown(self, case: Case) -> str:
        """Return the picture of a line as HTML, its region drawn in; or why there is none."""
        folder, name = self.locate(case.line["PicName"], case.record.get("PicName"))
        if folder is None:
            why = "it is in none of the folders" if self._sources else "no folder was given as images="
            return _no_picture(why)
        region = _region(case.sent.get("Region"))
        thumb = thumb_of(name, self._sources[folder], side=SIDE, region=region)
        sent = (case.fact.get("width"), case.fact.get("height"))
        if region is not None and all(sent) and all(thumb.size) and thumb.size != sent:
            # The photograph is shown, but the region is about the copy that was sent.
            across, down = (shown / int(was or 1) for shown, was in zip(thumb.size, sent, strict=True))
            there = region.scaled(across, down, width=thumb.size[0], height=thumb.size[1])
            thumb = thumb_of(name, self._sources[folder], side=SIDE, region=there)
        if thumb.uri is None:
            return _no_picture(f"it cannot be shown: {thumb.why}")
        return (
            f'<img src="{thumb.uri}" alt="" style="max-width:100%;max-height:340px"><div>{html.escape(thumb.why)}</div>'
        )


def _region(text: Any) -> Region | None:
    try:
        return Region.from_wire(text) if isinstance(text, str) else None
    except RegionError:
        return None


def _no_picture(why: str) -> str:
    return f'<div style="padding:24px;background:#f5f7f9;color:#5b6675">no picture: {html.escape(why)}</div>'
