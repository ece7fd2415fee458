"""The match panel: a person decides which product a file shows when `match_files` could not."""

from __future__ import annotations

import os
import threading
from typing import Any

import ipywidgets
import pandas as pd

from imgprep.core.errors import CatalogueError
from imgprep.core.language import display_language, texts
from imgprep.core.text import counted, shown
from imgprep.images.found import Source
from imgprep.images.storage import open_source
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.load.matches import AMBIGUOUS, matches_frame, write_matches
from imgprep.look.cards import CardGrid, OpenedPicture, Pager, button, card
from imgprep.look.match_files import decide, undecided
from imgprep.show.still import LeavesPicture
from imgprep.show.template import template

#: Undecided files per page, products offered per file, and the image's longest side in pixels.
PER_PAGE, OFFERED, LARGE = 8, 8, 460
_TITLES = ("title", "Title", "name", "Name", "product_title", "CustomContent")


class MatchPanel(LeavesPicture, ipywidgets.VBox):  # type: ignore[misc]  # ships no types
    """Decide on files that `match_files` was unsure about.

    Parameters
    ----------
    matches : pandas.DataFrame
        From `match_files`.
    folder : path
        Folder or zip archive of the images.
    catalogue : pandas.DataFrame
        Products to offer, with their titles.
    earlier : path, optional
        Folder of the products' earlier images (the catalogue's ``PicName``), shown beside the candidates.
    path : path, optional
        File to write the map to after each decision.

    Attributes
    ----------
    matches : pandas.DataFrame
        The map with the decisions. Pass it to `match_files` as ``known``; apply it with `apply_matches`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from imgprep.look.match_files import match_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "IMG_1.jpg").write_bytes(b"")
    ...     catalogue = pd.DataFrame({"ProductId": ["A", "B"]})
    ...     panel = MatchPanel(match_files(folder, catalogue), folder, catalogue)
    ...     panel.choose("IMG_1.jpg", "B")
    >>> panel
    MatchPanel(1 file, 0 to decide)
    """

    def __init__(
        self,
        matches: pd.DataFrame,
        folder: str | os.PathLike[str],
        catalogue: pd.DataFrame,
        *,
        earlier: str | os.PathLike[str] | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        if "ProductId" not in catalogue:
            raise CatalogueError("MatchPanel: the catalogue has no ProductId")
        self.matches = matches
        self._source = open_source(folder)
        self._earlier: Source | None = open_source(earlier) if earlier is not None else None
        self._path = path
        self._products = catalogue.dropna(subset=["ProductId"]).drop_duplicates("ProductId").set_index("ProductId")
        self._title = next((name for name in _TITLES if name in catalogue), None)
        self._before: list[tuple[str, dict[str, Any]]] = []
        self._file: str | None = None
        self._lock = threading.RLock()
        self._t = texts(display_language())
        self._make()
        super().__init__([self._bar, self._body])
        self._refresh()

    def __repr__(self) -> str:
        return f"MatchPanel({counted(len(self.matches), 'file')}, {len(undecided(self.matches)):,} to decide)"

    def choose(self, file: str, product_id: str | None) -> None:
        """Record which product a file shows, or None if it shows none.

        Raises
        ------
        CatalogueError
            The map has no such file, or the catalogue has no such product.
        """
        if product_id is not None and product_id not in self._products.index:
            raise CatalogueError(f"ProductId {product_id!r} is not in the catalogue; search for a part of it")
        with self._lock:
            old = self.matches[self.matches["file"] == file].to_dict("records")
            self.matches = decide(self.matches, file, product_id)
            self._before.append((file, {str(name): value for name, value in old[0].items()}))
            self._keep()

    def undo(self) -> None:
        """Undo the last decision made in this panel."""
        with self._lock:
            if self._before:
                file, record = self._before.pop()
                at = int(self.matches.index[self.matches["file"] == file][0])
                one = matches_frame([record]).set_axis([at])
                rest = self.matches.drop(index=at)
                self.matches = pd.concat([rest, one]).sort_index().astype(self.matches.dtypes.to_dict())
                self._keep()

    def _keep(self) -> None:
        if self._path is not None:
            write_matches(self.matches, self._path)
        self._refresh()

    def _make(self) -> None:
        layout, t = ipywidgets.Layout, self._t
        self._files = CardGrid(ticks=False, side=110, empty=t("Every file is decided."))
        self._offers = CardGrid(ticks=False, side=110, empty=t("No candidate; search for the product."))
        self._pager = Pager(self._refresh)
        self._status = ipywidgets.HTML()
        self._undo = button(t("undo"), t("undo the last decision"), "70px")
        self._bar = ipywidgets.HBox(
            [self._pager.back, self._pager.next, self._undo, self._status],
            layout=layout(align_items="center", flex_flow="row wrap"),
        )
        self._opened = OpenedPicture(layout(flex="1 1 200px", min_width="0", padding="0 10px"))
        self._search = ipywidgets.Text(placeholder=t("ProductId or title"), continuous_update=False)
        self._none = button(t("belongs to no product"), t("set this file aside"), "175px")
        self._search.layout = layout(flex="1 1 120px", min_width="0", width="auto")
        search = ipywidgets.HBox([self._search, self._none], layout=layout(flex_flow="row wrap"))
        choice = ipywidgets.VBox([search, self._offers], layout=layout(flex="1 1 260px", min_width="0"))
        files = ipywidgets.Box(
            [self._files],
            layout=layout(flex="1 1 260px", min_width="0", max_height="680px", display="block", overflow="auto"),
        )
        self._body = ipywidgets.HBox([files, self._opened, choice], layout=layout(flex_flow="row wrap"))
        self._files.observe(self._open, "opened")
        self._offers.observe(self._take_offer, "opened")
        self._search.observe(lambda _: self._offer(), "value")
        self._undo.on_click(lambda _: self.undo())
        self._none.on_click(self._set_aside)

    def _set_aside(self, _: Any) -> None:
        with self._lock:
            if self._file is not None:
                self.choose(self._file, None)

    def _refresh(self) -> None:
        with self._lock:
            waiting = undecided(self.matches)
            part, page = self._pager.page_of(waiting, PER_PAGE)
            self._shown = part["file"].tolist()
            self._files.show(
                card(
                    at,
                    name=file,
                    title=self._t(state),
                    note="",
                    thumb=thumb_of(file, self._source, side=self._files.side),
                )
                for at, (file, state) in enumerate(part[["file", "state"]].itertuples(index=False, name=None))
            )
            counts = {"waiting": f"{len(waiting):,}", "total": f"{len(self.matches):,}"}
            self._status.value = self._t("{waiting} of {total} files to decide", **counts) + f" · {page}"
            self._undo.disabled = not self._before
            self._file = None
            if self._shown:
                self._files.opened = 0
            else:
                self._opened.show(Thumb(), "")
                self._none.disabled = True
                self._offers.show([])

    def _open(self, change: dict[str, Any]) -> None:
        with self._lock:
            if not 0 <= change["new"] < len(self._shown):
                return
            self._file = self._shown[change["new"]]
            record = self.matches[self.matches["file"] == self._file].iloc[0]
            thumb = thumb_of(self._file, self._source, side=LARGE)
            detail = "" if pd.isna(record["detail"]) else record["detail"]
            fields = [
                ("", value)
                for value in (self._file, self._how(record), self._t.kept(str(detail)), self._t.kept(thumb.why))
            ]
            self._opened.show(thumb, template("details.html", self._t.language).render(fields=fields))
            self._none.disabled = False
            self._search.value = ""
            self._offer()

    def _how(self, record: pd.Series) -> str:
        """Return the evidence in the panel's language; that of an ambiguous file names the products."""
        t, parts = self._t, []
        for part in str(record["how"]).split("; or "):
            product, colon, ways = part.partition(": ") if record["state"] == AMBIGUOUS else ("", "", part)
            parts.append(product + (colon and t(": ")) + t("; ").join(map(t.kept, ways.split("; "))))
        return t("; or ").join(parts)

    def _offer(self) -> None:
        with self._lock:
            if self._file is None:
                return
            text = self._search.value.strip()
            known = self.matches[self.matches["file"] == self._file]["candidates"].iloc[0]
            self._ids = self._found(text) if text else [each for each in known if each in self._products.index]
            self._ids = self._ids[:OFFERED]
            self._offers.show(self._product_card(at, product) for at, product in enumerate(self._ids))

    def _product_card(self, at: int, product: str) -> dict[str, Any]:
        thumb = self._pictured(product)
        return card(at, name=product, title=self._titled(product), note=self._t("choose this one"), thumb=thumb)

    def _found(self, text: str) -> list[str]:
        ids = self._products.index.to_series()
        hits = ids.str.contains(text, case=False, regex=False)
        if self._title is not None:
            hits |= self._products[self._title].str.contains(text, case=False, regex=False, na=False)
        exact = [text] if text in self._products.index else []
        return [*exact, *(each for each in ids[hits].head(OFFERED) if each != text)]

    def _titled(self, product: str) -> str:
        return shown(self._products.loc[product, self._title], 80) if self._title is not None else ""

    def _pictured(self, product: str) -> Thumb:
        name = self._products.loc[product].get("PicName")
        if self._earlier is None or not isinstance(name, str):
            return Thumb(why=self._t("no earlier image"))
        return thumb_of(name, self._earlier, side=self._offers.side)

    def _take_offer(self, change: dict[str, Any]) -> None:
        with self._lock:
            if self._file is not None and 0 <= change["new"] < len(self._ids):
                self.choose(self._file, self._ids[change["new"]])
