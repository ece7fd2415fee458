"""What was found, by rule, with rows and pictures: filtered, ticked, and taken on as a frame."""

from __future__ import annotations

import html
import os
import threading
from collections import OrderedDict
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.findings import Severity
from imgprep.core.text import shown
from imgprep.images.storage import open_source
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.look.cards import CardGrid, button, card, shown_picture
from imgprep.look.rules.book import summary
from imgprep.show.contact_sheet import Drawn, Regions

#: Findings on a page, and small pictures that are kept for going back.
PER_PAGE, KEPT = 12, 400
#: Longest side of the opened picture, pixels.
LARGE = 620
_ALL = "all rules"
_STYLE = (
    "<style>.ipb-told{font-size:13px;line-height:1.45;overflow-wrap:anywhere}.ipb-told table{border-collapse:collapse}"
    ".ipb-told th{text-align:left;padding:1px 10px 1px 0;vertical-align:top;opacity:.7;white-space:nowrap}"
    ".ipb-told td{padding:1px 0}</style>"
)


class FindingsBrowser(ipywidgets.VBox):  # type: ignore[misc]  # ships no types
    """Look through findings: rules on the left, their pictures in the middle, the opened one on the right.

    Parameters
    ----------
    findings : pandas.DataFrame
        From `check`.
    root : path, optional
        Folder or zip archive of the images; without it there are no pictures.
    catalogue : pandas.DataFrame, optional
        Its row is told beside the opened picture, and `rows` gives its rows.
    regions : RegionStore, pandas.DataFrame or mapping, optional
        Drawn over the pictures.
    per_page : int
        Findings on a page. Only a page is read and sent, however many there are.

    Attributes
    ----------
    selected : pandas.DataFrame
        The ticked findings; where none is ticked, all that the filters show.
    rows : pandas.DataFrame
        The catalogue's rows of `selected`, each once.

    Examples
    --------
    >>> from imgprep.core.findings import findings_frame
    >>> found = findings_frame([{"rule": rule, "severity": "error", "row": 1} for rule in ("a", "b", "b")])
    >>> browser = FindingsBrowser(found)
    >>> browser.filter(rule="b")
    >>> len(browser.selected)
    2
    """

    def __init__(
        self,
        findings: pd.DataFrame,
        root: str | os.PathLike[str] | None = None,
        *,
        catalogue: pd.DataFrame | None = None,
        regions: Regions | None = None,
        per_page: int = PER_PAGE,
    ) -> None:
        if per_page < 1:
            raise ConfigError(f"per_page={per_page}: needs 1 or more")
        self._findings = findings.reset_index(drop=True)
        self._catalogue = catalogue
        self._source = open_source(root) if root is not None else None
        self._drawn = Drawn(regions)
        self._per_page = per_page
        self._shown = np.arange(len(self._findings))
        self._ticked: set[int] = set()
        self._page = 0
        self._thumbs: OrderedDict[int, Thumb] = OrderedDict()
        # Messages of the browser may come on another thread than the cell that asks.
        self._lock = threading.RLock()
        self._make(summary(self._findings))
        super().__init__([self._bar, ipywidgets.HBox([self._rules, self._middle, self._right])])
        self._refresh()

    def __repr__(self) -> str:
        shown_, ticked = len(self._shown), len(self._ticked)
        return f"FindingsBrowser({len(self._findings):,} findings, {shown_:,} shown, {ticked:,} ticked)"

    @property
    def shown(self) -> pd.DataFrame:
        """The findings that the filters leave, on every page."""
        return self._findings.iloc[self._shown].reset_index(drop=True)

    @property
    def selected(self) -> pd.DataFrame:
        """The ticked findings; where none is ticked, all that the filters show."""
        with self._lock:
            places = sorted(self._ticked) if self._ticked else self._shown
            return self._findings.iloc[places].reset_index(drop=True)

    @property
    def rows(self) -> pd.DataFrame:
        """The catalogue's rows of `selected`, each once."""
        if self._catalogue is None or "row" not in self._catalogue:
            raise ConfigError(
                "rows: needs the catalogue; pass it: FindingsBrowser(findings, root, catalogue=catalogue)"
            )
        return self._catalogue[self._catalogue["row"].isin(self.selected["row"].dropna())].reset_index(drop=True)

    def filter(self, *, rule: str | None = None, severity: str | None = None, text: str | None = None) -> None:
        """Show only some findings; what is not given stays as it is, and an empty text means all.

        Parameters
        ----------
        rule, severity : str, optional
            A rule that found something; error, warning or info.
        text : str, optional
            What ProductId, PicName, value or message holds, upper and lower case alike.

        Raises
        ------
        ConfigError
            Nothing was found by such a rule, or there is no such severity.
        """
        if rule and rule not in self._rule_values:
            raise ConfigError(f"filter: nothing was found by {rule!r}; rules: {', '.join(self._rule_values)}")
        if severity and severity not in tuple(Severity):
            raise ConfigError(f"filter: no severity {severity!r}; needs one of {', '.join(Severity)}")
        with self._lock:
            for widget, value in ((self._rules, rule), (self._severity, severity), (self._text, text)):
                if value is not None:
                    widget.value = value

    def tick(self, places: Any = None) -> None:
        """Tick findings by their place in `shown`; all that are shown where no places are given."""
        with self._lock:
            chosen = self._shown if places is None else self._shown[np.asarray(list(places), dtype=int)]
            self._ticked |= {int(place) for place in chosen}
            self._refresh(keep_page=True)

    def clear(self) -> None:
        """Take every tick away."""
        with self._lock:
            self._ticked.clear()
            self._refresh(keep_page=True)

    def _make(self, table: pd.DataFrame) -> None:
        """The parts, and what they do."""
        total = f"{_ALL} · {len(self._findings):,}"
        options = [(total, "")] + [
            (f"{shown(rule, 60)} · {count:,}{'' if severity == 'error' else f' · {severity}'}", rule)
            for rule, severity, count in table[["rule", "severity", "count"]].values
            if rule == rule  # noqa: PLR0124  NaN
        ]
        self._rule_values = [value for _, value in options if value]
        wide = ipywidgets.Layout(width="250px", height="420px", flex="0 0 250px")
        self._rules = ipywidgets.Select(options=options, value="", layout=wide)
        self._severity = ipywidgets.Dropdown(
            options=[("every severity", ""), *((each.value, each.value) for each in Severity)],
            layout=ipywidgets.Layout(width="150px"),
        )
        self._text = ipywidgets.Text(placeholder="product, image, message …", continuous_update=False)
        self._back, self._next = button("‹", "page back", "36px"), button("›", "page on", "36px")
        self._all, self._none = button("tick all shown", "tick every finding shown", "110px"), button(
            "untick", "take every tick away", "70px")  # fmt: skip
        self._said = ipywidgets.HTML()
        self._bar = ipywidgets.HBox(
            [self._severity, self._text, self._back, self._next, self._all, self._none, self._said],
            layout=ipywidgets.Layout(align_items="center", flex_flow="row wrap"),
        )
        self._grid = CardGrid(empty="No finding here.")
        # As high as a screen, so that what is opened stays beside the cards.
        self._middle = ipywidgets.Box(
            [self._grid],
            layout=ipywidgets.Layout(
                flex="1 1 320px", min_width="0", max_height="680px", padding="0 10px", display="block", overflow="auto"
            ),
        )
        self._picture = shown_picture()
        self._told = ipywidgets.HTML("<i>Click a picture to open it.</i>")
        self._right = ipywidgets.VBox(
            [self._picture, self._told], layout=ipywidgets.Layout(flex="0 1 330px", min_width="240px")
        )
        for filtering in (self._rules, self._severity, self._text):
            filtering.observe(self._filtered, "value")
        self._back.on_click(lambda _: self._turn(-1))
        self._next.on_click(lambda _: self._turn(1))
        self._all.on_click(lambda _: self.tick())
        self._none.on_click(lambda _: self.clear())
        self._grid.observe(self._ticks_changed, "ticked")
        self._grid.observe(self._opened, "opened")

    def _filtered(self, _: Any) -> None:
        with self._lock:
            found = self._findings
            keep = np.ones(len(found), dtype=bool)
            if self._rules.value:
                keep &= found["rule"].eq(self._rules.value).to_numpy(dtype=bool)
            if self._severity.value:
                keep &= found["severity"].eq(self._severity.value).to_numpy(dtype=bool)
            if text := self._text.value.strip():
                hits = np.zeros(len(found), dtype=bool)
                for name in ("ProductId", "PicName", "value", "message"):
                    holds = found[name].str.contains(text, case=False, regex=False, na=False)
                    hits |= holds.to_numpy(dtype=bool)
                keep &= hits
            self._shown = np.flatnonzero(keep)
            self._refresh()

    def _turn(self, by: int) -> None:
        with self._lock:
            self._page += by
            self._refresh(keep_page=True)

    def _refresh(self, *, keep_page: bool = False) -> None:
        pages = max(1, -(-len(self._shown) // self._per_page))
        self._page = min(max(0, self._page), pages - 1) if keep_page else 0
        start = self._page * self._per_page
        places = [int(place) for place in self._shown[start : start + self._per_page]]
        cards = []
        for place in places:
            record = self._findings.iloc[place]
            row = f" · row {record['row']}" if not pd.isna(record["row"]) else ""
            title = f"{shown(record['ProductId'], 40) or '(no product)'}{row}"
            note = record["message"] if self._rules.value else f"{record['rule']}: {shown(record['message'])}"
            cards.append(card(place, name=record["PicName"], title=title, note=note, thumb=self._thumb(place)))
        self._grid.show(cards, ticked=[place for place in places if place in self._ticked])
        ticked = f", {len(self._ticked):,} ticked" if self._ticked else ""
        told = f"{len(self._shown):,} of {len(self._findings):,} findings{ticked}"
        self._said.value = f"{told} · page {self._page + 1:,} of {pages:,}"
        self._back.disabled, self._next.disabled = self._page == 0, self._page == pages - 1
        self._picture.layout.display, self._told.value = "none", "<i>Click a picture to open it.</i>"

    def _thumb(self, place: int) -> Thumb:
        if place not in self._thumbs:
            self._thumbs[place] = self._read(place, self._grid.side)
            if len(self._thumbs) > KEPT:
                self._thumbs.popitem(last=False)
        return self._thumbs[place]

    def _read(self, place: int, side: int) -> Thumb:
        record = self._findings.iloc[place].to_dict()
        if not isinstance(record["PicName"], str):
            return Thumb(why="no image is named")
        if self._source is None:
            return Thumb(why="no folder of images was given")
        return thumb_of(record["PicName"], self._source, side=side, region=self._drawn.of_finding(record))

    def _ticks_changed(self, change: dict[str, Any]) -> None:
        with self._lock:
            here = {each["id"] for each in self._grid.cards}
            before = self._ticked & here
            now = here & set(change["new"])
            if now != before:
                self._ticked = (self._ticked - here) | now
                told, _, rest = self._said.value.partition(" findings")
                ticked = f", {len(self._ticked):,} ticked" if self._ticked else ""
                self._said.value = f"{told} findings{ticked} ·{rest.partition('·')[2]}"

    def _opened(self, change: dict[str, Any]) -> None:
        with self._lock:
            place = change["new"]
            if place not in {each["id"] for each in self._grid.cards}:
                return
            thumb = self._read(place, LARGE)
            self._picture.value = thumb.data
            self._picture.layout.display = "" if thumb.data else "none"
            self._told.value = self._details(place, thumb)

    def _details(self, place: int, thumb: Thumb) -> str:
        record = self._findings.iloc[place]
        size = f"{thumb.size[0]} × {thumb.size[1]}" if thumb.size[0] else ""
        told = {name: record[name] for name in ("rule", "severity", "message", "fix", "field", "value", "ProductId")}
        told = {**told, "PicName": record["PicName"], "row": record["row"], "size": size, "file": thumb.why}
        told |= {name: value for name, value in self._catalogue_row(record).items() if name not in told}
        cells = [(html.escape(shown(name, 60)), html.escape(shown(value, 400))) for name, value in told.items()]
        rows = "".join(f"<tr><th>{name}</th><td><bdi>{value}</bdi></td></tr>" for name, value in cells if value)
        return f'{_STYLE}<div class="ipb-told"><table>{rows}</table></div>'

    def _catalogue_row(self, record: pd.Series) -> dict[str, Any]:
        """The catalogue's row of a finding: where one record has several images, that of its image."""
        if self._catalogue is None or pd.isna(record["row"]) or "row" not in self._catalogue:
            return {}
        rows = self._catalogue[self._catalogue["row"] == record["row"]]
        if "PicName" in rows and rows["PicName"].eq(record["PicName"]).any():
            rows = rows[rows["PicName"].eq(record["PicName"])]
        return {str(name): value for name, value in rows.iloc[0].items()} if len(rows) else {}
