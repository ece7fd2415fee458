"""The panel: causes on the left, lines in the middle, the picture and its record on the right, deeds below."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import ipywidgets
import ipywidgets as w
import pandas as pd

from imgprep.core.errors import ConfigError, RegionError
from imgprep.draw.annotator.widget import RegionAnnotator
from imgprep.draw.store import RegionStore
from imgprep.outcomes.explorer_cases import NOWHERE, SHOWN, Cases, Explored, Pictures, Positions, case_html
from imgprep.outcomes.retry import Finished, Retry, retry_batch
from imgprep.ship.report.causes import CauseTable


class Parts:
    """Lists, texts and buttons of the panel.

    Parameters
    ----------
    runs : list of str
        Names to choose from.
    rows : int
        Lines that the lists show.
    can_draw : bool
        Whether there is a store for regions.
    """

    def __init__(self, runs: list[str], *, rows: int, can_draw: bool) -> None:
        wide: Any = w.Layout(width="100%")
        self.run = w.Dropdown(options=runs, description="run", layout=w.Layout(width="420px"))
        self.run.layout.display = None if len(runs) > 1 else "none"
        self.cause = w.Select(rows=rows, layout=wide)
        self.find = w.Text(placeholder="product or picture, Enter", continuous_update=False)
        self.find.layout = w.Layout(flex="1 1 auto", width="auto", min_width="60px")
        self.show = w.Dropdown(options=SHOWN, layout=w.Layout(width="125px", flex="0 0 auto"))
        self.list = w.SelectMultiple(rows=rows, layout=wide)
        self.back = w.Button(icon="arrow-left", tooltip="lines before", layout=w.Layout(width="40px"))
        self.on = w.Button(icon="arrow-right", tooltip="lines after", layout=w.Layout(width="40px"))
        self.where = w.HTML(layout=w.Layout(margin="0 12px"))
        self.every = w.Checkbox(description="every line", indent=False, layout=w.Layout(width="110px"))
        self.remedy, self.picture, self.told, self.problem = (w.HTML() for _ in range(4))
        self.buttons = {
            "region": w.Button(description="Fix region", icon="crop", tooltip="draw the subject on these pictures"),
            "exclude": w.Button(description="Exclude", icon="ban", tooltip="leave these lines out of the next batch"),
            "retry": w.Button(description="Into retry batch", icon="repeat", tooltip="send these lines again"),
            "undo": w.Button(description="Undecided", icon="undo", tooltip="take the decision back"),
        }
        self.buttons["region"].disabled = not can_draw
        self.below = w.VBox()

    def all(self) -> list[Any]:
        """Return what stands in the panel, from top to bottom."""
        left = w.VBox([w.HTML("<b>Cause</b>"), self.cause, self.remedy], layout=_column("24%", "190px"))
        pager = w.HBox([self.back, self.on, self.where, self.every])
        middle = w.VBox([w.HBox([self.find, self.show]), self.list, pager], layout=_column("32%", "270px"))
        right = w.VBox([self.picture, self.told], layout=_column("44%", "0", max_height="600px", overflow="auto"))
        return [self.run, w.HBox([left, middle, right]), w.HBox([*self.buttons.values(), self.problem]), self.below]


def _column(width: str, least: str, **more: str) -> Any:
    return w.Layout(width=width, min_width=least, padding="0 6px", **more)


#: Lines on a page of the list: what the browser holds, however many failed.
PAGE = 15
#: What can be decided of a line.
DECISIONS = ("region", "exclude", "retry")
_MARKS = {"region": "▣ ", "exclude": "✕ ", "retry": "↻ "}


class CauseExplorer(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """Walk from the causes of failure to rows, pictures and records, and decide what becomes of each.

    Parameters
    ----------
    runs : Run or iterable of Run
        With several, the newest is shown first and the others can be chosen.
    images : path or iterable of path, optional
        Folders or zip archives to look for pictures in: the batch folder's ``images`` first, then the shop's
        photographs.
    store : RegionStore or path, optional
        Where regions are kept; without it none can be mended here.
    causes : CauseTable, optional
        Default: those that the run was read by.

    Attributes
    ----------
    annotator : RegionAnnotator or None
        What *fix region* has opened.

    Notes
    -----
    The browser is given one page of lines and one picture at a time, so that a million failures are as quick to walk
    through as ten.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import pandas as pd
    >>> batch = pd.DataFrame({"line": [1, 2], "row": [1, 2], "OperationType": "ADD", "ProductId": ["1", "2"],
    ...                       "PicName": ["a.jpg", "b.jpg"], "expected": "imported"})
    >>> from imgprep.ship.report.match import read_report
    >>> outcome = read_report(b'{"PicName": "b.jpg", "Code": "PicNotExist"}', batch)
    >>> none = pd.DataFrame({"row": [], "PicName": [], "ProductId": [], "rule": []})
    >>> run = SimpleNamespace(id="r", batch=batch, outcome=outcome, catalogue=none, facts=none, findings=none)
    >>> explorer = CauseExplorer(run)
    >>> explorer
    CauseExplorer(1 of 2 lines failed or unknown, 1 causes)
    >>> explorer.selected[["line", "PicName", "cause"]].values.tolist()
    [[2, 'b.jpg', 'image_missing']]
    """

    def __init__(
        self,
        runs: Explored | Iterable[Explored],
        images: str | Path | Iterable[str | Path] | None = None,
        *,
        store: RegionStore | str | Path | None = None,
        causes: CauseTable | None = None,
    ) -> None:
        several = list(runs) if isinstance(runs, Iterable) else [runs]
        if not several:
            raise ConfigError("CauseExplorer: there is no run to look into")
        self._runs = {run.id: run for run in sorted(several, key=lambda run: run.id, reverse=True)}
        self._pictures = Pictures([images] if isinstance(images, (str, Path)) else images or ())
        self._store, self._causes = store, causes
        self._decided: dict[str, dict[int, str]] = {name: {} for name in self._runs}
        self.annotator: RegionAnnotator | None = None
        self._page, self._filling = 0, False
        self._positions: Positions = NOWHERE
        self._parts = Parts(list(self._runs), rows=PAGE, can_draw=store is not None)
        super().__init__(self._parts.all())
        self._listen()
        self._open(next(iter(self._runs)))

    def __repr__(self) -> str:
        causes = self._cases.causes
        return (
            f"CauseExplorer({len(self._cases):,} of {self._cases.sent:,} lines failed or unknown, {len(causes)} causes)"
        )

    # What Python code sees

    @property
    def run(self) -> Explored:
        """The run that is looked into."""
        return self._runs[self._cases.run]

    @property
    def selected(self) -> pd.DataFrame:
        """The lines chosen in the list, or all of the cause where *every line* is ticked.

        Columns: those of the outcome frame, and ``decision`` (``region``, ``exclude``, ``retry`` or missing).
        """
        return self._frame(self._chosen())

    @property
    def decisions(self) -> pd.DataFrame:
        """Every line of this run that was decided on, with its ``decision``."""
        decided = self._decided[self._cases.run]
        return self._frame(self._cases.lines.index[self._cases.lines["line"].isin(decided)].to_numpy())

    def retry(self, now: pd.DataFrame | None = None) -> Retry:
        """Return the next batch, decisions counted: see `retry_batch`."""
        by = {name: self.decisions.query("decision == @name")["line"] for name in ("retry", "exclude")}
        run = cast(Finished, self.run)
        return retry_batch(run, now, causes=self._causes, include=by["retry"], leave_out=by["exclude"])

    def show(self, cause: str, position: int = 0) -> None:
        """Go to a cause, and to a line of it, counted from 0: what a click does.

        Raises
        ------
        ConfigError
            No line of this run has the cause.
        """
        known = list(self._cases.causes["cause"])
        if cause not in known:
            raise ConfigError(f"CauseExplorer: no line of {self._cases.run} has the cause {cause!r}; it has {known}")
        if self._parts.cause.value != cause:
            self._parts.cause.value = cause
        if position // PAGE != self._page:
            self._page = position // PAGE
            self._list_page()
        if position < len(self._positions):
            self._parts.list.value = (int(self._positions[position]),)

    def decide(self, what: str | None) -> None:
        """Decide on what is selected: what the buttons do.

        Parameters
        ----------
        what : {"region", "exclude", "retry", None}
            None takes a decision back.
        """
        if what is not None and what not in DECISIONS:
            raise ConfigError(f"CauseExplorer: {what!r} can not be decided; known: {', '.join(DECISIONS)}")
        decided = self._decided[self._cases.run]
        for line in self._cases.lines["line"].iloc[self._chosen()].tolist():
            if what is None:
                decided.pop(int(line), None)
            else:
                decided[int(line)] = what
        self._list_page(keep=True)

    def fix_regions(self) -> RegionAnnotator:
        """Open the annotator on the pictures of what is selected, below the panel.

        Raises
        ------
        RegionError
            No store was given, or no picture of the lines is in the folders.
        """
        if self._store is None:
            raise RegionError("CauseExplorer: give store=, the file in which regions are kept, to draw them here")
        folder, rows = self._drawable()
        if folder is None:
            raise RegionError("CauseExplorer: none of the pictures of these lines is in the folders given as images=")
        if self.annotator is not None:
            self.annotator.close()
        run = self.run
        self.annotator = RegionAnnotator(rows, folder, self._store, outcome=run.outcome, findings=run.findings)
        self._parts.below.children = (self.annotator,)
        self.decide("region")
        return self.annotator

    # The parts, and what clicks on them do

    def _listen(self) -> None:
        parts = self._parts
        parts.run.observe(lambda change: self._open(change["new"]), "value")
        for part in (parts.cause, parts.find, parts.show):
            part.observe(self._turn, "value")
        parts.list.observe(self._look, "value")
        parts.back.on_click(lambda _: self._turn_page(-1))
        parts.on.on_click(lambda _: self._turn_page(1))
        for name, button in parts.buttons.items():
            button.on_click(self._clicked(name))

    def _clicked(self, name: str) -> Any:
        deeds: dict[str, Callable[[], Any]] = {"region": self.fix_regions, "undo": lambda: self.decide(None)}

        def click(_: Any) -> None:
            try:
                deeds.get(name, lambda: self.decide(name))()
                self._parts.problem.value = ""
            except (RegionError, ConfigError) as error:
                self._parts.problem.value = f'<span style="color:#b3470a">{html.escape(str(error))}</span>'

        return click

    def _open(self, name: str) -> None:
        self._cases = Cases(self._runs[name], self._causes)
        causes = self._cases.causes
        named = zip(causes["label"], causes["count"], causes["cause"], strict=True)
        options = [(f"{label} · {count:,}", cause) for label, count, cause in named]
        self._filling = True
        self._parts.cause.options = options
        self._parts.cause.value = options[0][1] if options else None
        self._filling = False
        self._turn()

    def _turn(self, _: Any = None) -> None:
        """Another cause, filter or search: begin at its first line."""
        if self._filling:
            return
        self._page, self._parts.every.value = 0, False
        decided = frozenset(self._decided[self._cases.run])
        self._positions = self._cases.positions(
            self._parts.cause.value or "", show=self._parts.show.value, find=self._parts.find.value, decided=decided
        )
        causes = self._cases.causes.set_index("cause")
        about = causes.loc[self._parts.cause.value] if self._parts.cause.value in causes.index else None
        told = "" if about is None else f"<b>{html.escape(about['family'])}</b><br>{html.escape(about['remedy'])}"
        self._parts.remedy.value = f'<div style="line-height:1.4">{told}</div>'
        self._list_page()

    def _turn_page(self, by: int) -> None:
        last = max(0, (len(self._positions) - 1) // PAGE)
        self._page = min(max(0, self._page + by), last)
        self._list_page()

    def _list_page(self, *, keep: bool = False) -> None:
        first = self._page * PAGE
        shown = self._positions[first : first + PAGE]
        rows = self._cases.lines.iloc[shown]
        decided = self._decided[self._cases.run]
        told = rows[["line", "ProductId", "PicName"]]
        names = told.astype(object).where(told.notna(), "–")
        labels = [
            f"{_MARKS.get(decided.get(int(line), ''), '')}{line} · {product} · {picture}"
            for line, product, picture in names.itertuples(index=False)
        ]
        before = self._parts.list.value if keep else ()
        options = [(label, int(at)) for label, at in zip(labels, shown, strict=True)]
        kept = tuple(at for at in before if at in set(shown.tolist()))
        self._filling = True  # a list that is being filled changes its value twice; one look is enough
        self._parts.list.options = options
        self._parts.list.value = kept or ((options[0][1],) if options else ())
        self._filling = False
        total = len(self._positions)
        self._parts.where.value = f"{first + 1:,}–{first + len(shown):,} of {total:,}" if total else "no line"
        self._parts.back.disabled, self._parts.on.disabled = first == 0, first + PAGE >= total
        self._look()

    def _look(self, _: Any = None) -> None:
        if self._filling:
            return
        if not self._parts.list.value:
            self._parts.picture.value = self._parts.told.value = ""
            return
        case = self._cases.case(self._parts.list.value[0])
        self._parts.told.value = case_html(case)
        self._parts.picture.value = self._pictures.shown(case)

    def _drawable(self) -> tuple[Path | None, pd.DataFrame]:
        """Catalogue-like rows of the chosen lines whose pictures lie in one folder: that of the first that is found."""
        root, rows = None, []
        for position in self._chosen():
            case = self._cases.case(int(position))
            # Regions are kept under the catalogue's names, so the photograph comes before its copy.
            folder, name = self._pictures.locate(case.record.get("PicName"), case.line["PicName"])
            root = root or folder
            if folder is not None and folder == root:
                rows.append({**case.record, "ProductId": case.line["ProductId"], "PicName": name})
        return root, pd.DataFrame(rows)

    def _chosen(self) -> Any:
        return self._positions if self._parts.every.value else list(self._parts.list.value)

    def _frame(self, positions: Any) -> pd.DataFrame:
        frame: pd.DataFrame = self._cases.lines.iloc[positions].reset_index(drop=True)
        decided = self._decided[self._cases.run]
        return frame.assign(decision=pd.Series([decided.get(int(line)) for line in frame["line"]], dtype="str"))
