"""The findings panel: filter and tick findings by rule, beside their rows and images."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import pandas as pd
import traitlets

from imgprep.core.errors import ConfigError, ImgprepError
from imgprep.core.findings import Severity
from imgprep.core.frames import records, returns_table
from imgprep.core.language import display_language, texts
from imgprep.core.text import WHOLE, counted, shown
from imgprep.images.storage import open_source
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.look.cards import CardGrid, OpenedPicture, Pager, button, card
from imgprep.look.field_fixes import apply_fixes
from imgprep.look.rules.book import named, title
from imgprep.show.contact_sheet import Drawn, Regions
from imgprep.show.still import LISTED, LeavesPicture
from imgprep.show.template import template

#: Findings per page, and thumbnails cached for paging back.
PER_PAGE, KEPT = 12, 400
#: Longest side of the opened image, in pixels.
LARGE = 620
#: Maximum number of fixes that a preview shows.
FIXES = 20
_GROUPS = {Severity.ERROR: "errors", Severity.WARNING: "warnings", Severity.INFO: "information"}
_DETAILS = ("rule", "severity", "message", "fix", "field", "value", "ProductId", "PicName", "row")


class RuleList(anywidget.AnyWidget):
    """Rules to choose from, grouped by severity, with the number of findings that pass the other filters."""

    _esm = Path(__file__).parent / "rule_list.mjs"
    _css = Path(__file__).parent / "cards.css"
    every = traitlets.Unicode("all rules").tag(sync=True)  #: the label that stands for all rules
    groups = traitlets.List(traitlets.Dict()).tag(sync=True)
    value = traitlets.Unicode("").tag(sync=True)  #: the chosen rule; "" for all

    def __repr__(self) -> str:
        return f"RuleList({counted(sum(len(group['rules']) for group in self.groups), 'rule')})"

    def still_part(self) -> dict[str, Any]:
        """Return the rules for a static picture; see `imgprep.show.still`."""
        total = sum(group["count"] for group in self.groups)
        lines = [(self.every, total, "")] + [
            (shown, n, rule) for group in self.groups for rule, n, _, shown in group["rules"]
        ]
        labels = [{"text": f"{text} · {n:,}", "chosen": value == self.value} for text, n, value in lines]
        return {"kind": "list", "labels": labels[:LISTED], "left": len(labels[LISTED:])}


class FindingsBrowser(LeavesPicture, ipywidgets.VBox):  # type: ignore[misc]  # ships no types
    """Browse findings: rules on the left, their images in the middle, the opened image on the right.

    Parameters
    ----------
    findings : pandas.DataFrame
        From `check`.
    root : path, optional
        Folder or zip archive of the images; without it, no images are shown.
    catalogue : pandas.DataFrame, optional
        Its row is shown beside the opened image, and `rows` returns rows from it.
    regions : RegionStore, pandas.DataFrame or mapping, optional
        Regions to draw over the images.
    files : pandas.DataFrame, optional
        From `match_names`, as for `apply_fixes`: needed to preview fixes that are file names.
    per_page : int
        Findings per page. Only one page is read and sent, however many findings there are.

    Attributes
    ----------
    selected : pandas.DataFrame
        The ticked findings; if none are ticked, all that pass the filters.
    rows : pandas.DataFrame
        The catalogue's rows for `selected`, each once.
    fixes : pandas.DataFrame
        What `apply_fixes` would change for `selected`: its log. ``fixed`` is the catalogue with these changes.

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
        files: pd.DataFrame | None = None,
        per_page: int = PER_PAGE,
    ) -> None:
        if per_page < 1:
            raise ConfigError(f"per_page={per_page}: must be 1 or more")
        self._findings = findings.reset_index(drop=True)
        self._catalogue = catalogue
        self._source = open_source(root) if root is not None else None
        self._drawn = Drawn(regions)
        self._files = files
        self._per_page = per_page
        self._shown = np.arange(len(self._findings))
        self._ticked: set[int] = set()
        self._thumbs: OrderedDict[int, Thumb] = OrderedDict()
        # Messages from the browser may arrive on a different thread from the running cell.
        self._lock = threading.RLock()
        self._t = texts(display_language())
        self._make()
        layout = ipywidgets.Layout(flex_flow="row wrap")
        super().__init__([self._bar, ipywidgets.HBox([self._rules, self._middle, self._opened], layout=layout)])
        self._filtered()

    def __repr__(self) -> str:
        ticked = len(self._ticked)
        return (
            f"FindingsBrowser({counted(len(self._findings), 'finding')}, {len(self._shown):,} shown, {ticked:,} ticked)"
        )

    @property
    def shown(self) -> pd.DataFrame:
        """The findings that pass the filters, on all pages."""
        return self._findings.iloc[self._shown].reset_index(drop=True)

    @property
    @returns_table
    def selected(self) -> pd.DataFrame:
        """The ticked findings; if none are ticked, all that pass the filters."""
        with self._lock:
            places = sorted(self._ticked) if self._ticked else self._shown
            return self._findings.iloc[places].reset_index(drop=True)

    @property
    def rows(self) -> pd.DataFrame:
        """The catalogue's rows for `selected`, each once."""
        catalogue = self._needed("rows")
        if "row" not in catalogue:
            raise ConfigError("rows: the catalogue has no column row; pass what load_catalogue returned")
        return catalogue[catalogue["row"].isin(self.selected["row"].dropna())].reset_index(drop=True)

    @property
    @returns_table
    def fixes(self) -> pd.DataFrame:
        """What `apply_fixes` would change for `selected`: its log."""
        return apply_fixes(self._needed("fixes"), self.selected, files=self._files)[1]

    @property
    @returns_table
    def fixed(self) -> pd.DataFrame:
        """The catalogue with the changes in `fixes`."""
        return apply_fixes(self._needed("fixed"), self.selected, files=self._files)[0]

    def _needed(self, what: str) -> pd.DataFrame:
        if self._catalogue is None:
            raise ConfigError(
                f"{what}: the catalogue is missing; pass it: FindingsBrowser(findings, root, catalogue=catalogue)"
            )
        return self._catalogue

    def filter(self, *, rule: str | None = None, severity: str | None = None, text: str | None = None) -> None:
        """Filter the findings; an omitted filter stays unchanged, and an empty string matches all.

        Parameters
        ----------
        rule, severity : str, optional
            A rule with findings; error, warning or info.
        text : str, optional
            Part of a ProductId, PicName, value or message, ignoring case.

        Raises
        ------
        ConfigError
            The rule has no findings, or the severity is unknown.
        """
        if rule and rule not in self._severities:
            raise ConfigError(f"filter: rule {rule!r} has no findings; must be one of {', '.join(self._severities)}")
        if severity and severity not in tuple(Severity):
            raise ConfigError(f"filter: severity {severity!r} is unknown; must be one of {', '.join(Severity)}")
        with self._lock:
            for widget, value in ((self._rules, rule), (self._severity, severity), (self._text, text)):
                if value is not None:
                    widget.value = value

    def tick(self, places: Any = None) -> None:
        """Tick findings by position in `shown`; without positions, tick all of `shown`."""
        with self._lock:
            chosen = self._shown if places is None else self._shown[np.asarray(list(places), dtype=int)]
            self._ticked |= {int(place) for place in chosen}
            self._refresh()

    def clear_filters(self) -> None:
        """Remove every filter; ticks stay."""
        self.filter(rule="", severity="", text="")

    def clear(self) -> None:
        """Clear all ticks."""
        with self._lock:
            self._ticked.clear()
            self._refresh()

    def _make(self) -> None:
        layout, t = ipywidgets.Layout, self._t
        rules = self._findings[["rule", "severity"]].dropna().drop_duplicates("rule")
        self._severities = dict(zip(rules["rule"], rules["severity"], strict=True))
        self._rules = RuleList(
            every=t("all rules"), layout=layout(flex="1 1 190px", max_height="680px", overflow="auto")
        )
        self._severity = ipywidgets.Dropdown(
            options=[(t("every severity"), ""), *((t(each.value), each.value) for each in Severity)],
            layout=layout(width="130px"),
        )
        self._text = ipywidgets.Text(
            placeholder=t("product, image, message"), continuous_update=False, layout=layout(width="190px")
        )
        self._pager = Pager(self._refresh)
        self._unfilter = button(t("clear filters"), t("show every finding"), "100px")
        self._all = button(t("tick all shown"), t("tick every finding shown"), "110px")
        self._none = button(t("untick"), t("remove every tick"), "70px")
        self._preview = button(t("preview fixes"), t("what apply_fixes would change for the ticked findings"), "110px")
        self._status = ipywidgets.HTML()
        filters = [self._severity, self._text, self._unfilter]
        ticks = [self._all, self._none, self._preview, self._pager.back, self._pager.next, self._status]
        self._bar = ipywidgets.HBox([*filters, *ticks], layout=layout(align_items="center", flex_flow="row wrap"))
        self._grid = CardGrid(empty=t("No findings match. “clear filters” shows all of them."))
        # No taller than a screen, so that the opened image stays beside the cards.
        self._middle = ipywidgets.Box(
            [self._grid],
            layout=layout(
                flex="3 1 310px", min_width="0", max_height="680px", padding="0 8px", display="block", overflow="auto"
            ),
        )
        self._opened = OpenedPicture(layout(flex="2 1 240px", min_width="0", max_height="680px", overflow="auto"))
        for filtering in (self._rules, self._severity, self._text):
            filtering.observe(self._filtered, "value")
        self._unfilter.on_click(lambda _: self.clear_filters())
        self._all.on_click(lambda _: self.tick())
        self._none.on_click(lambda _: self.clear())
        self._preview.on_click(lambda _: self._preview_fixes())
        self._grid.observe(self._ticks_changed, "ticked")
        self._grid.observe(self._open, "opened")

    def _filtered(self, _: Any = None) -> None:
        with self._lock:
            found = self._findings
            keep = np.ones(len(found), dtype=bool)
            if self._severity.value:
                keep &= found["severity"].eq(self._severity.value).to_numpy(dtype=bool)
            if text := self._text.value.strip():
                hits = np.zeros(len(found), dtype=bool)
                for name in ("ProductId", "PicName", "value", "message"):
                    holds = found[name].str.contains(text, case=False, regex=False, na=False)
                    hits |= holds.to_numpy(dtype=bool)
                keep &= hits
            self._rules.groups = self._groups(found.loc[keep, ["severity", "rule"]])
            if self._rules.value:
                keep &= found["rule"].eq(self._rules.value).to_numpy(dtype=bool)
            self._shown = np.flatnonzero(keep)
            self._unfilter.disabled = not (self._rules.value or self._severity.value or text)
            self._refresh(first_page=True)

    def _groups(self, found: pd.DataFrame) -> list[dict[str, Any]]:
        """Return the rules of `found` by severity, with their counts; the chosen rule is always among them."""
        table = found.value_counts().reset_index(name="count")
        counts = {(str(row["severity"]), str(row["rule"])): int(row["count"]) for row in records(table)}
        if (rule := self._rules.value) and rule not in {name for _, name in counts}:
            counts[self._severities[rule], rule] = 0
        groups = []
        for severity, label in _GROUPS.items():
            own = [self._entry(rule, n) for (kind, rule), n in counts.items() if kind == severity]
            if own:
                groups.append(
                    {"severity": severity, "label": self._t(label), "count": sum(n for _, n, _, _ in own), "rules": own}
                )
        return groups

    def _entry(self, rule: str, count: int) -> tuple[str, int, str, str]:
        """Return a rule, its count, tooltip (the id, by which findings are filtered) and label."""
        return rule, count, rule, title(rule, self._t)

    def _preview_fixes(self) -> None:
        with self._lock:
            try:
                log = self.fixes
            except ImgprepError as error:
                self._opened.show(
                    Thumb(), template("details.html", self._t.language).render(fields=[], hint=str(error))
                )
                return
            fixes = [{**fix, "before": _ends_shown(fix["before"])} for fix in records(log.head(FIXES))]
            text = template("fixes.html", self._t.language).render(
                fixes=fixes, count=len(log), findings=len(self.selected)
            )
            self._opened.show(Thumb(), text)

    def _refresh(self, *, first_page: bool = False) -> None:
        with self._lock:
            places, self._page_label = self._pager.page_of(self._shown.tolist(), self._per_page, first=first_page)
            cards = [self._card(place) for place in places]
            self._grid.show(cards, ticked=[place for place in places if place in self._ticked])
            self._show_status()
            self._opened.show(
                Thumb(),
                template("details.html", self._t.language).render(
                    fields=[], hint=self._t("Click an image to open it.")
                ),
            )

    def _show_status(self) -> None:
        t, number = self._t, f"{len(self._ticked):,}"
        counts = t("{shown} of {total} findings", shown=f"{len(self._shown):,}", total=f"{len(self._findings):,}")
        counts += t(", {count} ticked", count=number) if self._ticked else ""
        self._status.value = f"{counts} · {self._page_label}"

    def _card(self, place: int) -> dict[str, Any]:
        record = self._findings.iloc[place]
        row = "" if pd.isna(record["row"]) else " · " + self._t("row {row}", row=record["row"])
        head = f"{shown(record['ProductId'], WHOLE) or self._t('(no product)')}{row}"
        rule, note = str(record["rule"]), record["message"]
        if not self._rules.value:  # otherwise the list of rules names the rule of every card
            what = title(rule, self._t)
            note = what if self._t.table and what != rule else f"{what}{self._t(': ')}{note}"
        severity = str(record["severity"])
        return card(place, name=record["PicName"], title=head, note=note, thumb=self._thumb(place), severity=severity)

    def _thumb(self, place: int) -> Thumb:
        if place not in self._thumbs:
            self._thumbs[place] = self._read(place, self._grid.side)
            if len(self._thumbs) > KEPT:
                self._thumbs.popitem(last=False)
        return self._thumbs[place]

    def _read(self, place: int, side: int) -> Thumb:
        record = self._findings.iloc[place].to_dict()
        if not isinstance(record["PicName"], str):
            return Thumb(why=self._t("no image is given"))
        if self._source is None:
            return Thumb(why=self._t("no image folder was given"))
        return thumb_of(record["PicName"], self._source, side=side, region=self._drawn.of_finding(record))

    def _ticks_changed(self, change: dict[str, Any]) -> None:
        with self._lock:
            here = {each["id"] for each in self._grid.cards}
            self._ticked = (self._ticked - here) | (here & set(change["new"]))
            self._show_status()

    def _open(self, change: dict[str, Any]) -> None:
        with self._lock:
            place = change["new"]
            if place not in {each["id"] for each in self._grid.cards}:
                return
            record = self._findings.iloc[place]
            thumb = self._read(place, LARGE)
            t, details = self._t, {name: record[name] for name in _DETAILS}
            details |= {
                "size": f"{thumb.size[0]} × {thumb.size[1]}" if thumb.size[0] else "",
                "file": t.kept(thumb.why),
            }
            words = {"rule": named(record["rule"], t), "severity": t(record["severity"])}
            details |= words | ({} if pd.isna(record["fix"]) else {"fix": t.remedy(record["fix"])})
            own = {name: value for name, value in self._catalogue_row(record).items() if name not in details}
            fields = [*((t.heading(name), value) for name, value in details.items()), *own.items()]
            self._opened.show(thumb, template("details.html", t.language).render(fields=fields))

    def _catalogue_row(self, record: pd.Series) -> dict[str, Any]:
        """Return the catalogue's row for a finding; if a record has several images, the row of the finding's image."""
        if self._catalogue is None or pd.isna(record["row"]) or "row" not in self._catalogue:
            return {}
        rows = self._catalogue[self._catalogue["row"] == record["row"]]
        if "PicName" in rows and rows["PicName"].eq(record["PicName"]).any():
            rows = rows[rows["PicName"].eq(record["PicName"])]
        return records(rows.head(1))[0] if len(rows) else {}


def _ends_shown(text: str | None) -> str:
    """Return a text with the white space at its ends, which a fix may remove, made visible."""
    text = text or ""
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    return "␣" * start + text[start:end] + "␣" * (len(text) - max(start, end))
