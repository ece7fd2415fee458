"""The shop's categories beside those of the service: a choice for each, and what is left unmapped."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
import pandas as pd

from imgprep.catalogue import suggest_categories
from imgprep.catalogue.categories import GOOD
from imgprep.fields import CATEGORIES

#: Categories that can be placed by hand.
MOST_CATEGORIES = 60

_UNPLACED = "— the service predicts it —"
_NOBODY = -1  # a dropdown shows the choice None as a blank


class CategoryPlaces:
    """The shop's categories, each with a dropdown of the service's.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        The whole export: a category of its last row counts too.
    column : str
        The column of categories; one that is not there has none.
    numbers : mapping of str to int
        What is placed already.
    changed : callable
        Called after each choice.

    Attributes
    ----------
    view : ipywidgets.VBox
        The controls.
    """

    def __init__(
        self, catalogue: pd.DataFrame, column: str, numbers: Mapping[str, int], changed: Callable[[], None]
    ) -> None:
        self._catalogue, self._column, self._changed = catalogue, column, changed
        self._numbers: dict[str, int | None] = dict(numbers)
        self._accept = widgets.Button(description="Accept suggestions", icon="check", layout={"width": "200px"})
        self._accept.on_click(lambda _: self.accept_suggestions())
        self._told, self._choices = widgets.HTML(), widgets.VBox()
        self.view = widgets.VBox(
            [widgets.HBox([widgets.HTML("<b>Categories</b>"), self._accept, self._told]), self._choices]
        )
        self._show()

    @property
    def table(self) -> pd.DataFrame:
        """The shop's categories, with what is chosen; empty where no column holds them."""
        if self._column not in self._catalogue.columns:
            return suggest_categories(pd.DataFrame({"": []}), "")
        return suggest_categories(self._catalogue, self._column, mapped=self.placed)

    @property
    def placed(self) -> dict[str, int]:
        """What is placed: category → CategoryId."""
        return {name: number for name, number in self._numbers.items() if number is not None}

    @property
    def left(self) -> pd.DataFrame:
        """The shop's categories that have no CategoryId."""
        table = self.table
        result: pd.DataFrame = table[table["CategoryId"].isna()].reset_index(drop=True)
        return result

    @property
    def said(self) -> dict[str, Any]:
        """What a column map says of them. Names without a place are looked up in vain: the service predicts."""
        return {"map": self.placed} if self.placed or len(self.left) else {}

    def look_at(self, column: str) -> None:
        """Take another column for that of the categories; nothing is placed then."""
        self._column, self._numbers = column, {}
        self._show()

    def place(self, category: str, number: int | None) -> None:
        """Give a category a CategoryId; None leaves it to the service."""
        self._numbers[category] = number
        self._show()
        self._changed()

    def accept_suggestions(self) -> None:
        """Place every category that is unmapped where its suggestion is a good one."""
        for row in self.left.itertuples():
            if float(str(row.score)) >= GOOD:
                self._numbers[str(row.value)] = int(str(row.suggested))
        self._show()
        self._changed()

    def _show(self) -> None:
        table = self.table
        controls = []
        choices = [(_UNPLACED, _NOBODY), *((f"{name} ({number})", number) for number, name in CATEGORIES.items())]
        for row in table.head(MOST_CATEGORIES).astype(object).where(table.notna(), None).to_dict("records"):
            value = None if row["CategoryId"] is None else int(row["CategoryId"])
            others = [] if value in (None, *CATEGORIES) else [(f"not in the reference ({value})", value)]
            pick = widgets.Dropdown(options=[*choices, *others], value=_NOBODY if value is None else value,
                                    layout={"width": "260px"})  # fmt: skip
            pick.observe(lambda change, name=row["value"]: self._picked(name, change["new"]), "value")
            label = f"{html.escape(row['value'])} <span style='color:#666'>{_rows(row['rows'])}</span>"
            hint = f"{row['name']}? {row['why']}" if value is None and row["name"] else ""
            parts = [widgets.HTML(label, layout={"width": "300px"}), pick, widgets.HTML(f"<i>{html.escape(hint)}</i>")]
            controls.append(widgets.HBox(parts))
        if len(table) > MOST_CATEGORIES:
            controls.append(widgets.HTML(f"{len(table) - MOST_CATEGORIES:,} more: see panel.categories"))
        self._choices.children = controls
        self._say(table)

    def _picked(self, name: str, number: int) -> None:
        self._numbers[name] = None if number == _NOBODY else number
        self._say(self.table)
        self._changed()

    def _say(self, table: pd.DataFrame) -> None:
        left = table[table["CategoryId"].isna()]
        self._accept.disabled = not (left["score"] >= GOOD).any()
        if table.empty:
            self._told.value = "none: the service predicts the category of every image"
        elif left.empty:
            self._told.value = f"all {len(table):,} of the shop's categories are placed"
        else:
            names = ", ".join(left["value"].head(8)) + (", …" if len(left) > 8 else "")
            told = f"{len(left):,} of {len(table):,} unmapped, {_rows(int(left['rows'].sum()))}: {names}"
            self._told.value = f'<span style="color:#b42318">{html.escape(told)}</span>'


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
