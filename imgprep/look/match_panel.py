"""Files that no rule could match: a person looks at each and says which product it shows."""

from __future__ import annotations

import html
import os
import threading
from typing import Any

import ipywidgets
import pandas as pd

from imgprep.core.errors import CatalogueError
from imgprep.core.text import shown
from imgprep.images.storage import Source, open_source
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.load.matches import matches_frame, write_matches
from imgprep.look.cards import CardGrid, button, card, shown_picture
from imgprep.look.match_files import decide, undecided

#: Undecided files on a page, products offered for one, and the longest side of the picture, pixels.
PER_PAGE, OFFERED, LARGE = 8, 8, 460
_TITLES = ("title", "Title", "name", "Name", "product_title", "CustomContent")


class MatchPanel(ipywidgets.VBox):  # type: ignore[misc]  # ships no types
    """Decide on the files that `match_files` was not sure of.

    Parameters
    ----------
    matches : pandas.DataFrame
        From `match_files`.
    folder : path
        Folder or zip archive of the photographs.
    catalogue : pandas.DataFrame
        Its products are offered, and told by their title.
    earlier : path, optional
        Folder of the products' earlier pictures (the catalogue's ``PicName``), shown beside the candidates.
    path : path, optional
        Where the map is kept, written after each decision.

    Attributes
    ----------
    matches : pandas.DataFrame
        The map, with what was decided. `match_files` takes it as ``known``, `apply_matches` applies it.

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
    MatchPanel(1 files, 0 to decide)
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
        self._page = 0
        self._lock = threading.RLock()
        self._make()
        super().__init__([self._bar, ipywidgets.HBox([self._left, self._right])])
        self._refresh()

    def __repr__(self) -> str:
        return f"MatchPanel({len(self.matches):,} files, {len(undecided(self.matches)):,} to decide)"

    def choose(self, file: str, product_id: str | None) -> None:
        """Say which product a file shows; None: it belongs to none.

        Raises
        ------
        CatalogueError
            The map has no such file, or the catalogue no such product.
        """
        if product_id is not None and product_id not in self._products.index:
            raise CatalogueError(f"{product_id!r} is no ProductId of the catalogue; search for a part of it")
        with self._lock:
            old = self.matches[self.matches["file"] == file].to_dict("records")
            self.matches = decide(self.matches, file, product_id)
            self._before.append((file, {str(name): value for name, value in old[0].items()}))
            self._kept()

    def undo(self) -> None:
        """Take back the last decision of this panel."""
        with self._lock:
            if self._before:
                file, record = self._before.pop()
                at = int(self.matches.index[self.matches["file"] == file][0])
                one = matches_frame([record]).set_axis([at])
                rest = self.matches.drop(index=at)
                self.matches = pd.concat([rest, one]).sort_index().astype(self.matches.dtypes.to_dict())
                self._kept()

    def _kept(self) -> None:
        if self._path is not None:
            write_matches(self.matches, self._path)
        self._refresh()

    def _make(self) -> None:
        self._files = CardGrid(ticks=False, side=110, empty="Nothing is left to decide.")
        self._offers = CardGrid(ticks=False, side=110, empty="No candidate; search for the product.")
        self._back, self._next = button("‹", "page back", "36px"), button("›", "page on", "36px")
        self._said = ipywidgets.HTML()
        self._undo = button("undo", "take back the last decision", "70px")
        self._bar = ipywidgets.HBox(
            [self._back, self._next, self._undo, self._said], layout=ipywidgets.Layout(align_items="center")
        )
        self._picture = shown_picture()
        self._told = ipywidgets.HTML()
        self._search = ipywidgets.Text(placeholder="ProductId or title …", continuous_update=False)
        self._none = button("belongs to no product", "set this file aside", "170px")
        flex = ipywidgets.Layout
        self._left = ipywidgets.Box([self._files], layout=flex(flex="0 1 300px", display="block", min_width="140px"))
        looked = ipywidgets.VBox([self._picture, self._told], layout=flex(flex="0 1 46%", padding="0 10px"))
        asked = ipywidgets.VBox(
            [ipywidgets.HBox([self._search, self._none]), self._offers], layout=flex(flex="1 1 50%")
        )
        self._right = ipywidgets.HBox([looked, asked], layout=flex(flex="1 1 600px", min_width="0"))
        self._files.observe(self._opened, "opened")
        self._offers.observe(self._offered, "opened")
        self._search.observe(lambda _: self._offer(), "value")
        self._back.on_click(lambda _: self._turn(-1))
        self._next.on_click(lambda _: self._turn(1))
        self._undo.on_click(lambda _: self.undo())
        self._none.on_click(self._set_aside)

    def _set_aside(self, _: Any) -> None:
        with self._lock:
            if self._file is not None:
                self.choose(self._file, None)

    def _turn(self, by: int) -> None:
        with self._lock:
            self._page += by
            self._refresh()

    def _refresh(self) -> None:
        waiting = undecided(self.matches)
        pages = max(1, -(-len(waiting) // PER_PAGE))
        self._page = min(max(0, self._page), pages - 1)
        part = waiting.iloc[self._page * PER_PAGE : (self._page + 1) * PER_PAGE]
        self._shown = part["file"].tolist()
        cards = [
            card(at, name=file, title=state, note="", thumb=thumb_of(file, self._source, side=self._files.side))
            for at, (file, state) in enumerate(part[["file", "state"]].itertuples(index=False, name=None))
        ]
        self._files.show(cards)
        self._said.value = (
            f"{len(waiting):,} of {len(self.matches):,} files to decide · page {self._page + 1} of {pages:,}"
        )
        self._back.disabled, self._next.disabled = self._page == 0, self._page == pages - 1
        self._undo.disabled = not self._before
        self._file = None
        if self._shown:
            self._files.opened = 0
        else:
            self._picture.layout.display, self._told.value, self._none.disabled = "none", "", True
            self._offers.show([])

    def _opened(self, change: dict[str, Any]) -> None:
        with self._lock:
            if not 0 <= change["new"] < len(self._shown):
                return
            self._file = self._shown[change["new"]]
            record = self.matches[self.matches["file"] == self._file].iloc[0]
            thumb = thumb_of(self._file, self._source, side=LARGE)
            self._picture.value = thumb.data
            self._picture.layout.display = "" if thumb.data else "none"
            told = [self._file, record["how"], record["detail"], thumb.why]
            lines = [f"<bdi>{html.escape(shown(each, 300))}</bdi>" for each in told if shown(each)]
            self._told.value = f'<div style="line-height:1.4;overflow-wrap:anywhere">{"<br>".join(lines)}</div>'
            self._none.disabled = False
            self._search.value = ""
            self._offer()

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
        return card(at, name=product, title=self._titled(product), note="choose this one", thumb=thumb)

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
            return Thumb(why="no earlier picture")
        return thumb_of(name, self._earlier, side=self._offers.side)

    def _offered(self, change: dict[str, Any]) -> None:
        with self._lock:
            if self._file is not None and 0 <= change["new"] < len(self._ids):
                self.choose(self._file, self._ids[change["new"]])
