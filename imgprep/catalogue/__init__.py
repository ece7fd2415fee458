"""A shop's export → the canonical frame; presets; column maps; matching files to products; drift."""

from imgprep.catalogue.applying import apply_matches, undo_matches
from imgprep.catalogue.categories import as_category_map, suggest_categories
from imgprep.catalogue.columns import load_columns, parse_columns
from imgprep.catalogue.drift import compare_exports, compare_products, require_no_collapse
from imgprep.catalogue.keeping import read_matches, write_matches
from imgprep.catalogue.load import load_catalogue
from imgprep.catalogue.matching import match_files, undecided
from imgprep.catalogue.suggest import as_map, suggest_columns
from imgprep.catalogue.template import preview_custom_content
from imgprep.images.fetching.url_names import is_url, pic_name_for_url

__all__ = [
    "apply_matches",
    "as_category_map",
    "as_map",
    "compare_exports",
    "compare_products",
    "is_url",
    "load_catalogue",
    "load_columns",
    "match_files",
    "parse_columns",
    "pic_name_for_url",
    "preview_custom_content",
    "read_matches",
    "require_no_collapse",
    "suggest_categories",
    "suggest_columns",
    "undecided",
    "undo_matches",
    "write_matches",
]
