"""The panel's parts and how they stand beside each other. Nothing happens here."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from imgprep.widgets.explorer.cases import SHOWN


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
