"""Which column of an export is which field, chosen in a panel, with a preview of what comes out."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd

from imgprep.catalogue import load_catalogue, load_columns
from imgprep.catalogue.read import read_raw
from imgprep.errors import CatalogueError, ImgprepError
from imgprep.fields import BY_NAME, FIELD_NAMES
from imgprep.project_columns import save_columns
from imgprep.settings import Settings
from imgprep.widgets.mapping.placing import CategoryPlaces
from imgprep.widgets.mapping.preview import as_html, found_map, sample_of

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
