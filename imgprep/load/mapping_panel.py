"""Which column of an export is which field, chosen in a panel, with a preview of what comes out."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from imgprep.core.errors import CatalogueError, ImgprepError
from imgprep.core.fields import BY_NAME, CATEGORIES, FIELD_NAMES
from imgprep.core.settings import Settings
from imgprep.load.catalogue import load_catalogue
from imgprep.load.categories import GOOD, suggest_categories
from imgprep.load.column_file import save_columns
from imgprep.load.columns import load_columns
from imgprep.load.presets import choose_preset
from imgprep.load.raw import Raw
from imgprep.load.read import read_raw
from imgprep.load.suggest_columns import as_map, suggest_columns

#: Records that the preview is made of, and rows of it that are shown.
SAMPLE, SHOWN = 200, 5

_CELL = "padding:2px 8px;border-bottom:1px solid #ddd;text-align:left;max-width:260px;overflow:hidden;" \
        "text-overflow:ellipsis;white-space:nowrap"  # fmt: skip


def sample_of(raw: Raw, preset: str, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return the first records of an export as a column map makes them."""
    with tempfile.TemporaryDirectory(prefix="imgprep-map-") as folder:
        file = Path(folder) / "export.parquet"
        pq.write_table(pa.table(raw.table.slice(0, SAMPLE)), file)
        return load_catalogue(file, preset=preset, columns=dict(columns))


def found_map(preset: str, raw: Raw) -> dict[str, Any]:
    """Return the map to start with: what the preset reads, and what names and values of other columns suggest."""
    chosen, _ = choose_preset(preset, raw)
    table = raw.table.slice(0, SAMPLE).to_pandas()
    found = {**as_map(suggest_columns(table)), **chosen.shape(raw).columns}
    for field, said in found.items():
        if isinstance(said, (list, tuple)):
            found[field] = said[0] if len(said) == 1 else list(said)
    price = found.get("IntAttr")
    if isinstance(price, str) and table[price].astype("str").str.contains(r"\d[.,]\d\d$").any():
        found["IntAttr"] = {"column": price, "scale": 100}  # cents
    return {field: found[field] for field in FIELD_NAMES if field in found}


def as_html(sample: pd.DataFrame) -> str:
    """Return the fields of the first rows as a table; everything from outside is text."""
    frame = sample[[name for name in FIELD_NAMES if name in sample.columns]].head(SHOWN)
    if frame.empty:
        return "nothing is chosen yet"
    head = "".join(f'<th style="{_CELL}">{html.escape(str(name))}</th>' for name in frame.columns)
    rows = []
    for record in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        cells = "".join(
            f'<td style="{_CELL}" title="{html.escape(str(value)[:500])}">{html.escape(str(value)[:80])}</td>'
            if value is not None
            else f'<td style="{_CELL};color:#999">absent</td>'
            for value in record.values()
        )
        rows.append(f"<tr>{cells}</tr>")
    return f'<table style="border-collapse:collapse"><tr>{head}</tr>{"".join(rows)}</table>'


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


_UNUSED, _KEPT = "— not used —", "— as the map says —"
_TEXT = "CustomContent"
_ORDER = ("ProductId", "PicName", _TEXT, "CategoryId", "IntAttr", "StrAttr", "Region", "Crop", "OperationType")
_WIDE = {"description_width": "110px"}


class MappingPanel:
    """A panel in which the columns of an export become fields, with a preview of the first rows.

    Parameters
    ----------
    export : path or Settings
        The export, or a project, whose catalogue, preset and map are taken.
    project : path or Settings, optional
        Where `save` writes: by default the project of `export`.
    preset : str
        How to read the export, see `load_catalogue`.
    columns : mapping or path, optional
        The map to start with; by default the project's, else what the preset found.

    Attributes
    ----------
    columns : dict
        The column map as chosen by now, for ``load_catalogue(…, columns=panel.columns)``.
    preview : pandas.DataFrame
        The first rows as that map makes them.
    categories : pandas.DataFrame
        The shop's categories, see `suggest_categories`; ``unmapped`` are those without a CategoryId.

    Examples
    --------
    In a notebook::

        panel = ip.MappingPanel("export.csv", project=".")
        panel               # choose; the preview follows
        panel.save()        # or press the button: into imgprep.toml

    Examples
    --------
    >>> panel = ip.MappingPanel(ip.open_project())
    >>> sorted(panel.columns)
    ['CategoryId', 'CustomContent', 'IntAttr', 'PicName', 'ProductId', 'Region', 'StrAttr']
    """

    def __init__(
        self,
        export: str | Path | Settings,
        project: str | Path | Settings | None = None,
        *,
        preset: str = "auto",
        columns: Mapping[str, Any] | str | Path | None = None,
    ) -> None:
        if isinstance(export, Settings):
            project, preset, said = project or export, export.preset, columns or export.columns
            export.require("catalogue")
            path = Path(export.catalogue or "")
        else:
            said, path = columns, Path(export)
        self._project = project
        self._raw = raw = read_raw(path)
        self._full = load_catalogue(path, preset=preset)
        found = self._full.attrs["preset"]
        self._preset = str(found["name"])
        start = dict(load_columns(said)[0]) if said is not None else found_map(self._preset, raw)
        self._start: dict[str, Any] = start
        self._names = list(raw.table.column_names)
        self._head = widgets.HTML(
            f"<b>{html.escape(path.name)}</b>: {len(self._full):,} rows, {html.escape(self._preset)} "
            f"({html.escape(str(found['why']))})"
        )
        self._build()
        self.refresh()

    def __repr__(self) -> str:
        unmapped = f", {len(self.unmapped)} categories unmapped" if len(self.categories) else ""
        return f"MappingPanel({', '.join(self.columns) or 'nothing chosen'}{unmapped})"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # nbval compares the text; the widget's own would be the state of every control.
        return {**self.view._repr_mimebundle_(**options), "text/plain": repr(self)}

    @property
    def columns(self) -> dict[str, Any]:
        """The column map as chosen by now."""
        chosen: dict[str, Any] = {}
        for field in FIELD_NAMES:
            column = self._chosen[field].value
            more = self._options(field, column)
            if field == _TEXT:
                text = self._template.value.strip()
                if text:
                    chosen[field] = {**more, "template": text} if more else text
            elif column == _KEPT:
                chosen[field] = self._start[field]
            elif column != _UNUSED:
                if field == "CategoryId":
                    more = {**self._places.said, **more}
                elif field == "IntAttr" and self._scale.value != 1:
                    scale = self._scale.value
                    more = {"scale": int(scale) if scale == int(scale) else scale, **more}
                chosen[field] = {"column": column, **more} if more else column
        return chosen

    @property
    def categories(self) -> pd.DataFrame:
        """The shop's categories, with what is chosen; empty where no column holds them."""
        return self._places.table

    @property
    def unmapped(self) -> pd.DataFrame:
        """The shop's categories that have no CategoryId."""
        return self._places.left

    def save(self) -> Path:
        """Write the map into the project file, whose comments stay; see `save_columns`."""
        if self._project is None:
            raise CatalogueError("MappingPanel: no project to save into; pass project= the folder of imgprep.toml")
        return save_columns(self.columns, self._project)

    def choose(self, field: str, column: str | None) -> None:
        """Choose a column (for CustomContent a template) as a field, as if by hand; None leaves it out."""
        control = self._template if field == _TEXT else self._chosen[field]
        control.value = column or ("" if field == _TEXT else _UNUSED)

    def place(self, category: str, number: int | None) -> None:
        """Give one of the shop's categories a CategoryId, as if by hand; None leaves it to the service."""
        self._places.place(category, number)

    def accept_suggestions(self) -> None:
        """Place every category that is unmapped where its suggestion is a good one."""
        self._places.accept_suggestions()

    def _build(self) -> None:
        self._chosen = {field: self._dropdown(field) for field in FIELD_NAMES}
        text = self._start.get(_TEXT, "")
        text = f"{{{text}}}" if text in self._names else text if isinstance(text, str) else text.get("template", "")
        self._template = widgets.Text(text, description=_TEXT, style=_WIDE, continuous_update=False,
                                      placeholder="title:{title},price:{price}",
                                      layout={"width": "560px"})  # fmt: skip
        said = self._start.get("IntAttr")
        scale = float(said.get("scale", 1)) if isinstance(said, Mapping) else 1.0
        self._scale = widgets.FloatText(scale, description="times", layout={"width": "150px"},
                                        style={"description_width": "45px"})  # fmt: skip
        said = self._start.get("CategoryId")
        numbers = said.get("map", {}) if isinstance(said, Mapping) else {}
        self._places = CategoryPlaces(
            self._full,
            self._chosen["CategoryId"].value,
            {str(name): int(number) for name, number in numbers.items()},
            self.refresh,
        )
        self._preview, self._told = widgets.HTML(), widgets.HTML()
        self._save = widgets.Button(description="Save", icon="save", button_style="primary")
        self._save.disabled = self._project is None
        self._save.tooltip = "into imgprep.toml" if self._project else "pass project= to save"
        self._save.on_click(self._pressed)
        self._saved = widgets.HTML()
        for control in (*self._chosen.values(), self._template, self._scale):
            control.observe(self._changed, "value")
        rows = []
        for field in _ORDER:
            control = self._template if field == _TEXT else self._chosen[field]
            controls = [control, self._scale] if field == "IntAttr" else [control]
            meaning = widgets.HTML(f'<span style="color:#666">{html.escape(BY_NAME[field].meaning)}</span>')
            rows.append(widgets.HBox([*controls, meaning]))
        self.view = widgets.VBox(
            [
                self._head,
                *rows,
                self._places.view,
                widgets.HTML("<b>Preview</b>"),
                self._preview,
                self._told,
                widgets.HBox([self._save, self._saved]),
            ]
        )

    def _dropdown(self, field: str) -> Any:
        said = self._start.get(field)
        column = said.get("column") if isinstance(said, Mapping) else said
        simple = isinstance(said, str) or (isinstance(said, Mapping) and "column" in said)
        kept = said is not None and not (simple and column in self._names)
        options = [_UNUSED, *([_KEPT] if kept else []), *self._names]
        value = _KEPT if kept else column if column in self._names else _UNUSED
        return widgets.Dropdown(
            options=options, value=value, description=field, style=_WIDE, layout={"flex": "0 0 400px"}
        )

    def _options(self, field: str, column: str) -> dict[str, Any]:
        """What the map says besides what the panel shows, such as a default, or how numbers are rounded."""
        said = self._start.get(field)
        if not isinstance(said, Mapping) or said.get("column", column) != column:
            return {}
        shown = {"column", "template", {"CategoryId": "map", "IntAttr": "scale"}.get(field, "")}
        return {name: value for name, value in said.items() if name not in shown}

    def _changed(self, change: Mapping[str, Any]) -> None:
        if change["owner"] is self._chosen["CategoryId"]:
            self._places.look_at(change["new"])
        self.refresh()

    def refresh(self) -> None:
        """Make the preview anew from the map as chosen."""
        self._saved.value = ""
        try:
            self.preview = sample_of(self._raw, self._preset, self.columns)
        except ImgprepError as error:
            self.preview = pd.DataFrame()
            self._preview.value = ""
            self._told.value = f'<span style="color:#b42318">{html.escape(str(error))}</span>'
            return
        self._preview.value = as_html(self.preview)
        found = self.preview.attrs["findings"].head(6)
        told = [
            said if pd.isna(product) else f"{product}: {said}"
            for product, said in found[["ProductId", "message"]].values
        ]
        self._told.value = "<br>".join(html.escape(said[:240]) for said in told)

    def _pressed(self, _: Any) -> None:
        try:
            file = self.save()
        except ImgprepError as error:
            self._saved.value = f'<span style="color:#b42318">{html.escape(str(error))}</span>'
        else:
            self._saved.value = f"saved into {html.escape(file.name)}"
