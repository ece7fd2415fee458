"""A shop's export → the canonical catalogue frame."""

from imgprep.catalogue.load import load_catalogue
from imgprep.catalogue.suggest import suggest_columns

__all__ = ["load_catalogue", "suggest_columns"]
