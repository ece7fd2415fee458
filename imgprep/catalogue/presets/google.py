"""Google Merchant Center feeds, as XML or tab-separated."""

from __future__ import annotations

from imgprep.catalogue.presets.shape import Preset, Shape, content, find, key_notes, key_of
from imgprep.catalogue.raw import Raw
from imgprep.errors import CatalogueError


# Source: Google Merchant Center Help, "Product data specification".
def _looks(raw: Raw) -> str | None:
    names = raw.table.column_names
    if find(names, "id") and find(names, "image_link"):
        return f"it has the columns {find(names, 'id')!r} and {find(names, 'image_link')!r}"
    return None


def _shape(raw: Raw) -> Shape:
    names = raw.table.column_names
    image = find(names, "image_link")
    if image is None:
        raise CatalogueError('preset "google": the feed has no "image_link"; use preset="plain"')
    # link and title may differ between variants of one id only by mistake: two products.
    link = find(names, "link")
    chosen = key_of(raw.table, [find(names, "id"), link], link)
    key, why, _ = chosen
    more = find(names, "additional_image_link")
    columns = {
        "PicName": [image, *([more] if more else [])],
        **({"ProductId": key} if key else {}),
        **content(find(names, "title"), find(names, "price")),
    }
    notes = key_notes(raw.table, raw.rows, chosen, link)
    return Shape(raw.table, raw.rows, columns, {"ProductId": why}, grouped=True, notes=notes)


GOOGLE = Preset("google", _looks, _shape)
