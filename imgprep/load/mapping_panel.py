"""MappingPanel: map the columns of an export to fields, with a preview of the first rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd

from imgprep.core.errors import CatalogueError, ImgprepError
from imgprep.core.fields import ATTRIBUTES, BY_NAME, CATEGORIES, FIELD_NAMES, INT_ATTRS, PAYLOAD, SEARCH_CATEGORY
from imgprep.core.frames import records
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.settings import HasSettings, Settings, settings_of
from imgprep.core.text import WHOLE, counted, shown
from imgprep.load.catalogue import as_catalogue, read_export
from imgprep.load.column_map import load_columns, project_file, save_columns
from imgprep.load.export import Export
from imgprep.load.header import HEADER
from imgprep.load.image_columns import no_images_in
from imgprep.load.left_out import left_out
from imgprep.load.presets import choose_preset
from imgprep.load.suggestions import GOOD, as_map, suggest_categories, suggest_columns
from imgprep.show.still import still_html, with_picture
from imgprep.show.template import template

#: Number of records behind the preview, and number of rows shown in it.
SAMPLE, SHOWN = 200, 5
#: Maximum number of categories that can be mapped by hand.
MOST_CATEGORIES = 60
#: Categories named in the summary.
_NAMED = 8

_UNUSED, _KEPT, _CLEARED = "— not used —", "— as in the map —", "— none: cleared in the gallery —"
_NO_PROJECT = "there is no imgprep.toml to save into: `imgprep init` creates one"
_NO_IMAGES = "PicName: {column} does not seem to hold images, for example {example}; it needs file names or URLs"
_WRAPPED = {"flex_flow": "row wrap", "align_items": "flex-start"}
_BY_SERVICE = ("— the service predicts it —", -1)  # a dropdown shows the choice None as a blank
_TEXT = "CustomContent"
_ORDER = ("ProductId", "PicName", _TEXT, "CategoryId", *ATTRIBUTES, "Region", "Crop", "OperationType")
_WIDE = {"description_width": "108px"}
#: Height at which choices scroll, so that they, the preview and Save are on one screen.
_HIGH = "300px"


class MappingPanel:
    """A panel for mapping the columns of an export to fields, with a preview of the first rows.

    Parameters
    ----------
    export : path or Settings
        The export, or a project, which provides the catalogue, preset and map.
    project : path or Settings, optional
        The project that `save` writes to; by default `export`, if it is a project.
    preset : str
        How to read the export; see `load_catalogue`.
    columns : mapping or path, optional
        The initial map; by default the project's, otherwise the one suggested by preset and values.

    Attributes
    ----------
    columns : dict
        The current column map, for ``load_catalogue(…, columns=panel.columns)``.
    preview : pandas.DataFrame
        The first rows under that map.
    categories : pandas.DataFrame
        The shop's categories; see `suggest_categories`. ``unmapped`` has those without a CategoryId.

    Examples
    --------
    In a notebook::

        panel = ip.MappingPanel("export.csv", project=".")
        panel               # choose; the preview follows
        panel.save()        # or press the button: into imgprep.toml

    Examples
    --------
    >>> panel = ip.MappingPanel(ip.open_project())
    >>> sorted(panel.columns)[:4]
    ['CategoryId', 'CustomContent', 'IntAttr', 'IntAttr2']
    """

    def __init__(
        self,
        export: str | Path | Settings | HasSettings,
        project: str | Path | Settings | HasSettings | None = None,
        *,
        preset: str = "auto",
        columns: Mapping[str, Any] | str | Path | None = None,
    ) -> None:
        sheet: str | int | None = None
        language = None
        self._wanted: dict[str, Any] = {}
        if isinstance(export, (str, Path)):
            path = Path(export)
        else:
            shop = settings_of(export)
            language = shop.language
            project, preset, columns = project or shop, shop.preset, columns or shop.columns
            shop.require("catalogue")
            path, sheet = Path(shop.catalogue or ""), shop.sheet
            self._wanted = {"where": shop.where, "one_product": shop.one_product}
        self._project = project if project is None or isinstance(project, (str, Path)) else settings_of(project)
        if isinstance(self._project, Settings):
            language = language or self._project.language
        elif self._project is not None:
            language = language or display_language(Path(self._project).resolve())
        self._t = texts(language or display_language())
        given = None if columns is None else dict(load_columns(columns)[0])
        self._header = {name: entry for name, entry in (given or {}).items() if name == HEADER}
        self._export = read_export(path, sheet=sheet, header=self._header.get(HEADER))
        full = as_catalogue(self._export, preset, None, **self._wanted)
        full = full[left_out(full).isna()]
        found = full.attrs["preset"]
        self._preset = str(found["name"])
        self._start = found_map(self._preset, self._export) if given is None else given
        self._names = list(self._export.table.column_names)
        self._found = found.get("columns", {})
        self._build(path.name, full, str(found["why"]))
        self.refresh()

    def __repr__(self) -> str:
        unmapped = f", {counted(len(self.unmapped), 'category', 'categories')} unmapped" if len(self.categories) else ""
        fields = [name for name in self.columns if name != HEADER]
        return f"MappingPanel({', '.join(fields) or 'nothing chosen'}{unmapped})"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        return with_picture(self.view._repr_mimebundle_(**options), self, still_html(self.view, self._t.language))

    @property
    def columns(self) -> dict[str, Any]:
        """The current column map."""
        chosen: dict[str, Any] = dict(self._header)
        for field in FIELD_NAMES:
            column = self._chosen[field].value
            more = self._options(field, column)
            if field == _TEXT:
                text = self._template.value.strip()
                if text:
                    chosen[field] = {**more, "template": text} if more else text
            elif column in (_KEPT, _CLEARED):
                chosen[field] = self._start[field] if column == _KEPT else ""
            elif column != _UNUSED:
                if field == "CategoryId":
                    more = {**self._categories.look_up, **more}
                elif field in INT_ATTRS and self._scales[field].value != 1:
                    scale = self._scales[field].value
                    more = {"scale": int(scale) if scale == int(scale) else scale, **more}
                chosen[field] = {"column": column, **more} if more else column
        return chosen

    @property
    def categories(self) -> pd.DataFrame:
        """The shop's categories and their chosen CategoryIds; empty if no column holds categories."""
        return self._categories.table

    @property
    def unmapped(self) -> pd.DataFrame:
        """The shop's categories without a CategoryId."""
        return self._categories.unmapped

    def save(self) -> Path:
        """Write the map to the project file, keeping its comments; see `save_columns`."""
        if self._project is None:
            raise CatalogueError("MappingPanel: no project to save into; pass project= the folder of imgprep.toml")
        return save_columns(self.columns, self._project)

    def choose(self, field: str, column: str | None) -> None:
        """Set a field's column (for CustomContent, a template), as if chosen by hand; None leaves the field out."""
        control = self._template if field == _TEXT else self._chosen[field]
        control.value = column or ("" if field == _TEXT else _UNUSED)

    def place(self, category: str, number: int | None) -> None:
        """Map one of the shop's categories to a CategoryId, as if chosen by hand; None leaves it to the service."""
        self._categories.place(category, number)

    def accept_suggestions(self) -> None:
        """Map every unmapped category that has a good suggestion."""
        self._categories.accept_suggestions()

    def refresh(self) -> None:
        """Rebuild the preview from the current map."""
        t = self._t
        self._saved.value = "" if self._can_save else _html("muted", text=t(_NO_PROJECT))
        picture = self._chosen["PicName"].value
        odd = no_images_in(self._export.table, picture) if picture in self._names else None
        doubt = "" if odd is None else t(_NO_IMAGES, column=repr(picture), example=repr(shown(odd, 60)))
        self._doubt.value = doubt and _html("problem", text=doubt)
        try:
            sample = sample_of(self._export, self._preset, self.columns, **self._wanted)
            self.preview = sample[left_out(sample).isna()].reset_index(drop=True)
        except ImgprepError as error:
            self.preview = pd.DataFrame()
            self._preview.value = ""
            self._message.value = _html("problem", text=str(error))
            return
        fields = self.preview[[name for name in FIELD_NAMES if name in self.preview.columns]].head(SHOWN)
        table = {"columns": fields, "rows": records(fields), "absent": t("absent")}
        self._preview.value = t("nothing is chosen yet") if fields.empty else _html("preview", **table)
        found = records(self.preview.attrs["findings"].head(6))
        texts = [(each["ProductId"] + t(": ") if each["ProductId"] else "") + t.kept(each["message"]) for each in found]
        self._message.value = _html("lines", texts=[shown(text, WHOLE) for text in texts])

    def _build(self, file: str, full: pd.DataFrame, why: str) -> None:
        self._chosen = {field: self._dropdown(field) for field in FIELD_NAMES}
        text = self._start.get(_TEXT, "")
        text = f"{{{text}}}" if text in self._names else text if isinstance(text, str) else text.get("template", "")
        self._template = widgets.Text(
            text,
            description=_TEXT,
            style=_WIDE,
            continuous_update=False,
            placeholder="title:{title},price:{price}",
            layout={"flex": "1 1 auto", "width": "auto"},
        )
        self._scales = {field: _factor(self._start.get(field), self._t("times")) for field in INT_ATTRS}
        entry = self._start.get("CategoryId")
        numbers = entry.get("map", {}) if isinstance(entry, Mapping) else {}
        numbers = {str(name): int(number) for name, number in numbers.items()}
        self._categories = _Categories(full, self._chosen["CategoryId"].value, numbers, self.refresh, self._t)
        self._preview, self._message, self._saved, self._doubt = (widgets.HTML() for _ in range(4))
        self._save = widgets.Button(description=self._t("Save"), icon="save", button_style="primary")
        self._can_save = self._project is not None and project_file(self._project).exists()
        self._save.disabled = not self._can_save
        self._save.tooltip = self._t("into imgprep.toml") if self._can_save else self._t(_NO_PROJECT)
        self._save.on_click(self._pressed)
        for control in (*self._chosen.values(), self._template, *self._scales.values()):
            control.observe(self._changed, "value")
        rows = []
        for field in _ORDER:
            control = self._template if field == _TEXT else self._chosen[field]
            controls = [control, *([self._scales[field]] if field in self._scales else [])]
            text = self._t(BY_NAME[field].meaning)
            meaning = widgets.HTML(_html("aside", text=text), layout={"flex": "1 1 140px", "min_width": "0"})
            rows.append(widgets.HBox([*controls, *([meaning] if field != _TEXT else [])], layout=_WRAPPED))
        t = self._t
        facts = {"rows": t.counted(len(full), "row"), "preset": self._preset, "why": t.kept(why)}
        head = _html("head", t.language, file=file, **facts)
        wide = _scrolling([self._preview, self._message], "0 0 auto")
        wide.add_class("imgprep-wide")  # a table of as many columns as there are fields scrolls
        parts = [_scrolling(rows, "1 1 400px"), _scrolling([self._categories.view], "1 1 330px")]
        self.view = widgets.VBox(
            [
                widgets.HBox([self._save, self._saved, widgets.HTML(head)], layout=_WRAPPED),
                widgets.HBox(parts, layout=_WRAPPED),
                self._doubt,
                wide,
            ]
        )

    def _dropdown(self, field: str) -> Any:
        entry = self._start.get(field)
        column = entry.get("column") if isinstance(entry, Mapping) else entry
        known = isinstance(column, str) and column in self._names
        kept = entry not in (None, "") and not known
        clears = [_CLEARED] if field in PAYLOAD and field != _TEXT else []
        own = [(self._t(text), text) for text in (_UNUSED, *([_KEPT] if kept else []), *clears)]
        found = self._found.get(field) if field in ("ProductId", "PicName") else None
        if isinstance(found, str):  # each load looks for keys that no map names
            own[0] = (self._t("— found: {column} —", column=found), _UNUSED)
        options = [*own, *((name, name) for name in self._names)]
        value = _KEPT if kept else column if known else _CLEARED if entry == "" and clears else _UNUSED
        layout = {"flex": "0 1 270px", "min_width": "150px"}
        return widgets.Dropdown(options=options, value=value, description=field, style=_WIDE, layout=layout)

    def _options(self, field: str, column: str) -> dict[str, Any]:
        """Return the options of a field that the panel does not show, such as a default or the rounding of numbers."""
        entry = self._start.get(field)
        if not isinstance(entry, Mapping) or entry.get("column", column) != column:
            return {}
        shown = {"column", "template", "map" if field == "CategoryId" else "scale" if field in INT_ATTRS else ""}
        return {name: value for name, value in entry.items() if name not in shown}

    def _changed(self, change: Mapping[str, Any]) -> None:
        if change["owner"] is self._chosen["CategoryId"]:
            self._categories.use_column(change["new"])
        self.refresh()

    def _pressed(self, _: Any) -> None:
        try:
            file = self.save()
        except ImgprepError as error:
            self._saved.value = _html("problem", text=str(error))
        else:
            self._saved.value = _html("muted", text=self._t("saved into {file}", file=file.name))


def sample_of(export: Export, preset: str, columns: Mapping[str, Any], **wanted: Any) -> pd.DataFrame:
    """Return the catalogue of the first records of an export; for `wanted`, see `as_catalogue`."""
    sample = Export(export.table.slice(0, SAMPLE), export.rows.slice(0, SAMPLE), export.how)
    return as_catalogue(sample, preset, columns, **wanted)


def found_map(preset: str, export: Export) -> dict[str, Any]:
    """Return the initial map: the preset's, completed from the names and values of other columns."""
    chosen, _ = choose_preset(preset, export)
    table = export.table.slice(0, SAMPLE).to_pandas()
    found = {**as_map(suggest_columns(table)), **chosen.shape(export).columns}
    for field, entry in found.items():
        if isinstance(entry, list) and len(entry) == 1:
            found[field] = entry[0]
    for field in INT_ATTRS:
        price = found.get(field)
        if isinstance(price, str) and table[price].astype("str").str.contains(r"\d[.,]\d\d$").any():
            found[field] = {"column": price, "scale": 100}  # cents
    return {field: found[field] for field in FIELD_NAMES if field in found}


def _factor(entry: Any, description: str) -> Any:
    """Return the control for the factor of an integer field."""
    scale = float(entry.get("scale", 1)) if isinstance(entry, Mapping) else 1.0
    narrow = {"description_width": "40px"}
    return widgets.FloatText(scale, description=description, layout={"width": "110px", "flex": "none"}, style=narrow)


def _scrolling(parts: list[Any], flex: str) -> Any:
    """Return a box that scrolls its parts; a block, because a flex box would squeeze them instead."""
    layout = {"flex": flex, "min_width": "0", "max_height": _HIGH, "overflow": "auto", "display": "block"}
    return widgets.Box(parts, layout=layout)


def _html(part: str, language: str | None = None, /, **values: Any) -> str:
    return str(getattr(template("mapping_panel.html", language).module, part)(**values))


class _Categories:
    """The shop's categories, each with a dropdown of the service's; calls `changed` after each choice."""

    def __init__(
        self, catalogue: pd.DataFrame, column: str, numbers: Mapping[str, int], changed: Callable[[], None], t: Texts
    ) -> None:
        self._t = t
        self._catalogue, self._column, self._changed = catalogue, column, changed
        self._numbers: dict[str, int | None] = dict(numbers)
        self._accept = widgets.Button(description=t("Accept suggestions"), icon="check", layout={"width": "170px"})
        self._accept.on_click(lambda _: self.accept_suggestions())
        self._summary, self._choices = widgets.HTML(), widgets.VBox()
        head = widgets.HBox([widgets.HTML(f"<b>{t('Categories')}</b>"), self._accept, self._summary], layout=_WRAPPED)
        text = t(SEARCH_CATEGORY)
        condition = widgets.HTML(_html("muted", text=text[0].upper() + text[1:]))
        self.view = widgets.VBox([head, condition, self._choices])
        self._show()

    @property
    def table(self) -> pd.DataFrame:
        """The shop's categories and their chosen CategoryIds; empty if no column holds categories."""
        if self._column not in self._catalogue.columns:
            return suggest_categories(pd.DataFrame({"": []}), "")
        return suggest_categories(self._catalogue, self._column, mapped=self._mapped)

    @property
    def unmapped(self) -> pd.DataFrame:
        """The shop's categories without a CategoryId."""
        table = self.table
        result: pd.DataFrame = table[table["CategoryId"].isna()].reset_index(drop=True)
        return result

    @property
    def look_up(self) -> dict[str, Any]:
        """The look-up for the column map; if it is empty, names are left to the service's prediction."""
        return {"map": self._mapped} if self._mapped or len(self.unmapped) else {}

    @property
    def _mapped(self) -> dict[str, int]:
        return {name: number for name, number in self._numbers.items() if number is not None}

    def use_column(self, column: str) -> None:
        """Take the categories from another column, and clear the mapping."""
        self._column, self._numbers = column, {}
        self._show()

    def place(self, category: str, number: int | None) -> None:
        """Map a category to a CategoryId; None leaves it to the service."""
        self._numbers[category] = number
        self._show()
        self._changed()

    def accept_suggestions(self) -> None:
        """Map every unmapped category that has a good suggestion."""
        for row in records(self.unmapped):
            if row["score"] >= GOOD:
                self._numbers[row["value"]] = row["suggested"]
        self._show()
        self._changed()

    def _show(self) -> None:
        table, t = self.table, self._t
        controls = []
        choices = [(t("{category} ({id})", category=t(name), id=number), number) for number, name in CATEGORIES.items()]
        choices.insert(0, (t(_BY_SERVICE[0]), _BY_SERVICE[1]))
        for row in records(table.head(MOST_CATEGORIES)):
            number = row["CategoryId"]
            others = [] if number in (None, *CATEGORIES) else [(t("not in the reference ({id})", id=number), number)]
            value = _BY_SERVICE[1] if number is None else number
            pick = widgets.Dropdown(options=[*choices, *others], value=value, layout={"flex": "0 1 200px"})
            pick.observe(lambda change, name=row["value"]: self._picked(name, change["new"]), "value")
            label = _html("category", name=row["value"], rows=t.counted(row["rows"], "row"))
            hint = (
                t("{category}? {why}", category=t(row["name"]), why=t.kept(row["why"]))
                if number is None and row["name"]
                else ""
            )
            parts = [widgets.HTML(label, layout={"flex": "1 1 110px"}), pick]
            parts += [widgets.HTML(_html("muted", text=hint), layout={"flex": "1 1 100%"})] if hint else []
            controls.append(widgets.HBox(parts, layout={"flex_flow": "row wrap"}))
        if len(table) > MOST_CATEGORIES:
            controls.append(
                widgets.HTML(t("{more} more: see panel.categories", more=f"{len(table) - MOST_CATEGORIES:,}"))
            )
        self._choices.children = controls
        self._summarise(table)

    def _picked(self, name: str, number: int) -> None:
        self._numbers[name] = None if number == _BY_SERVICE[1] else number
        self._summarise(self.table)
        self._changed()

    def _summarise(self, table: pd.DataFrame) -> None:
        left, t = table[table["CategoryId"].isna()], self._t
        self._accept.disabled = not (left["score"] >= GOOD).any()
        if table.empty:
            self._summary.value = t("none: the service predicts the category of every image")
        elif left.empty:
            self._summary.value = t("all {count} of the shop's categories are mapped", count=f"{len(table):,}")
        else:
            names = ", ".join(left["value"].head(_NAMED))
            if len(left) > _NAMED:
                names = t("{names} and {count} more", names=names, count=f"{len(left) - _NAMED:,}")
            text = t(
                "{left} of {total} unmapped, {rows}: {names}",
                left=f"{len(left):,}",
                total=f"{len(table):,}",
                rows=t.counted(int(left["rows"].sum()), "row"),
                names=names,
            )
            self._summary.value = _html("problem", text=text)
