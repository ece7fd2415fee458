"""The shop systems whose exports are known. A new one is one file, and one entry here."""

from __future__ import annotations

from imgprep.catalogue.presets.google import GOOGLE
from imgprep.catalogue.presets.magento import MAGENTO
from imgprep.catalogue.presets.plain import FIELDS, PLAIN
from imgprep.catalogue.presets.shape import Preset, Shape
from imgprep.catalogue.presets.shopify import SHOPIFY
from imgprep.catalogue.presets.woocommerce import WOOCOMMERCE
from imgprep.catalogue.raw import Raw
from imgprep.errors import CatalogueError

#: In the order in which they are tried; the last takes anything.
PRESETS: tuple[Preset, ...] = (FIELDS, SHOPIFY, WOOCOMMERCE, MAGENTO, GOOGLE, PLAIN)


def choose_preset(name: str, raw: Raw) -> tuple[Preset, str]:
    """Return the preset of that name, or for ``auto`` the first that recognises the export, and why.

    Raises
    ------
    CatalogueError
        There is no preset of that name.
    """
    if name == "auto":
        for preset in PRESETS:
            if why := preset.looks(raw):
                return preset, why
    for preset in PRESETS:
        if preset.name == name:
            return preset, "it was asked for"
    known = ", ".join(["auto", *(preset.name for preset in PRESETS)])
    raise CatalogueError(f"preset {name!r} is unknown; there are: {known}")


__all__ = ["PRESETS", "Preset", "Shape", "choose_preset"]
