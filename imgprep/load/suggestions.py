"""Suggest a column map: fields for an export's columns, and CategoryIds for a shop's categories."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import CATEGORIES, FIELD_NAMES, INT_ATTRS, SEARCH_CATEGORY, STR_ATTRS
from imgprep.core.frames import returns_table
from imgprep.core.text import nearest, percent
from imgprep.load.image_names import ENDINGS

#: Number of rows whose values are examined.
SAMPLE_ROWS = 2_000

#: Field → names that shops use for it, best first; in lower case, without punctuation.
NAMES: Mapping[str, list[str]] = {
    field: names.split()
    for field, names in {
        "ProductId": "productid sku productsku productcode itemid itemno itemnumber articleno articlenumber "
        "artikelnummer artnr variantsku code id handle partnumber mpn ean gtin asin 商品编号 商品编码 货号 编号 商品id",
        "PicName": "picname image images imagesrc imagelink imageurl imageurls imagename imagefile picture pictures "
        "photo photos pic filename file img baseimage mainimage thumbnail bild bilder 图片 主图 图片名称",
        "CategoryId": "categoryid category categories producttype productcategory type kategorie 分类 类目",
        "IntAttr": "intattr price regularprice saleprice variantprice preis 价格 stock qty quantity",
        "StrAttr": "strattr brand vendor manufacturer marke 品牌 color colour material gender",
        "CustomContent": "customcontent title name productname producttitle titel bezeichnung 名称 商品名称 标题 "
        "description",
        **{name: name.lower() for name in (*INT_ATTRS[1:], *STR_ATTRS[1:])},
        "Region": "region bbox cropregion",
        "Crop": "crop",
        "OperationType": "operationtype operation",
    }.items()
}

_IMAGE = re.compile(rf"(?i)\.(?:{ENDINGS})(?:[?#]\S*)?(?:[\"\]\s,;|]|$)")
#: Field → a pattern for its values, and a description of them.
_PATTERNS = {
    "PicName": (_IMAGE, "look like image files"),
    **dict.fromkeys(INT_ATTRS, (re.compile(r"^\W{0,3}\d[\d.,' ]*\D{0,4}$"), "are numbers")),
    "OperationType": (re.compile(r"^(?:ADD|DELETE)$"), "are ADD or DELETE"),
    "Region": (re.compile(r"^\d+(?:\s*,\s*\d+){3}$"), "are four integers"),
    "Crop": (re.compile(r"(?i)^(?:true|false)$"), "are true or false"),
}


def plain_name(name: str) -> str:
    """Return a column's name in lower case, reduced to letters and digits."""
    return re.sub(r"[\W_]+", "", name).casefold()


@returns_table
def suggest_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Suggest a field for each column of an export.

    Parameters
    ----------
    frame : DataFrame
        An export as strings, such as ``load_catalogue(path, preset="plain")``. Only its first rows are examined.

    Returns
    -------
    DataFrame
        ``field``, ``column``, ``score`` (0 to 1), ``why``, ``example``: the best columns for each field, best first.
        The first for each field form a column map; see `as_map`.

    Examples
    --------
    >>> frame = pd.DataFrame({"sku": ["A1", "A2"], "image": ["a.jpg", "b.jpg"]})
    >>> suggest_columns(frame)[["field", "column"]].to_numpy().tolist()
    [['ProductId', 'sku'], ['PicName', 'image']]
    """
    records = []
    # Columns that imgprep added while loading are not part of the export.
    made = frame.attrs.get("preset", {}).get("columns", {})
    source = {}
    for name in frame.columns:
        if name not in ("row", "image_url") and made.get(name, name) == name:
            texts = frame[name].iloc[:SAMPLE_ROWS].dropna().astype("str")
            source[name] = texts[texts.str.strip() != ""].tolist()
    for field in FIELD_NAMES:
        found: list[dict[str, Any]] = []
        for name, values in source.items():
            score, why = _score(field, str(name), values, min(len(frame), SAMPLE_ROWS))
            if score >= 0.3:
                example = values[0][:80] if values else None
                found.append({"field": field, "column": name, "score": round(score, 2), "why": why, "example": example})
        records += sorted(found, key=lambda record: -record["score"])
    return pd.DataFrame(records, columns=["field", "column", "score", "why", "example"])


def as_map(suggestions: pd.DataFrame, *, at_least: float = 0.6) -> dict[str, Any]:
    """Return a column map with the best suggestion for each field, and all good ones for PicName; no column is reused.

    Further columns that suit IntAttr or StrAttr are mapped to the next attribute of that kind.
    """
    used: set[str] = set()
    chosen: dict[str, Any] = {}
    good = suggestions[suggestions["score"] >= at_least].sort_values("score", ascending=False, kind="stable")
    pairs = list(zip(good["field"], good["column"], strict=True))
    for field, column in pairs:
        if field not in chosen and column not in used:
            chosen[field] = column
            used.add(column)
    for field, column in pairs:
        kind = next((names for names in (INT_ATTRS, STR_ATTRS) if field in names), ())
        free = next((name for name in kind if name not in chosen), None)
        if free and column not in used:
            chosen[free] = column
            used.add(column)
    images = good.loc[good["field"] == "PicName", "column"].tolist()
    if len(images) > 1:
        chosen["PicName"] = images  # a product may have an image in each
    if (title := chosen.get("CustomContent")) not in (None, "CustomContent"):
        chosen.update(content_template(title, chosen.get("IntAttr")))
    return {field: chosen[field] for field in FIELD_NAMES if field in chosen}


def content_template(title: str | None, price: str | None) -> dict[str, str]:
    """Return the proposed CustomContent for an export, as the service requires one on every ADD."""
    parts = [f"{key}:{{{name}}}" for key, name in (("title", title), ("price", price)) if name]
    return {"CustomContent": ",".join(parts)} if parts else {}


def _score(field: str, name: str, values: list[str], rows: int) -> tuple[float, str]:
    plain = plain_name(name)
    names = NAMES[field]
    if name == field:
        by_name, why = 1.0, "it has the field's name"
    elif plain in names:
        by_name, why = 0.8 - 0.2 * names.index(plain) / len(names), f"shops call it {name!r}"
    elif re.sub(r"\d+$", "", plain) in names:
        by_name, why = 0.55, f"shops call it {name!r}"
    elif any(len(known) > 3 and known in plain for known in names):
        by_name, why = 0.35, "part of its name"
    else:
        by_name, why = 0.0, ""
    by_value, seen = _by_value(field, values, rows)
    if by_value is None:
        return by_name, why
    if by_value == 0:
        return by_name * 0.3, why
    why = "; ".join(filter(None, (why, seen)))
    if field in ("PicName", "OperationType", "Region"):  # these cannot be mistaken
        return min(1.0, max(by_name, 0.5 * by_value) + 0.2 * by_value), why
    return (min(1.0, by_name + 0.15 * by_value) if by_name else 0.0), why


def _by_value(field: str, values: list[str], rows: int) -> tuple[float | None, str]:
    """Return how well the values suit the field (0 to 1, or None if unknown), and what they look like."""
    if not values:
        return 0.0, ""

    def share(pattern: re.Pattern[str]) -> float:
        return sum(bool(pattern.search(value)) for value in values) / len(values)

    if field in _PATTERNS:
        pattern, what = _PATTERNS[field]
        return (found := share(pattern)), f"{percent(found)} {what}"
    if field == "ProductId":
        if any(len(value) > 256 for value in values) or share(_IMAGE) > 0.5:
            return 0.0, ""
        filled, distinct = len(values) / max(rows, 1), len(set(values)) / len(values)
        return (
            filled * distinct if distinct > 0.2 else 0.0
        ), f"{percent(filled)} filled, {percent(distinct)} different"
    if field in ("CategoryId", *STR_ATTRS):
        different = len(set(values))
        fits = all(len(value) <= 128 for value in values)
        return (1.0 if fits and different <= max(20, len(values) // 3) else 0.3), f"{different} different values"
    return None, ""


#: Category → words that shops use. The last of several in a name decides: a "dress shoe" is a shoe.
WORDS: Mapping[int, str] = {
    0: "top shirt tshirt tee blouse sweater hoodie jacket coat cardigan vest polo pullover jumper sweatshirt blazer "
    "outerwear knitwear hemd bluse jacke mantel 上衣 衬衫 外套 毛衣 卫衣",
    1: "dress gown robe kleid kleider 连衣裙 裙",
    2: "bottom trouser pant jean short legging chino jogger hose hosen 裤",
    3: "bag backpack handbag tote purse wallet luggage suitcase clutch rucksack tasche taschen 包 箱",
    4: "shoe boot sneaker sandal heel slipper loafer footwear trainer pump schuh schuhe 鞋 靴",
    5: "accessory jewelry jewellery necklace earring ring bracelet watch belt scarf hat cap glove sunglass tie beanie "
    "schmuck 配饰 饰品 首饰 手表 帽",
    6: "snack chip biscuit cookie candy chocolate nut cracker cereal sweet food 零食 食品",
    7: "makeup cosmetic lipstick mascara foundation eyeliner beauty perfume skincare kosmetik 化妆 美妆 护肤",
    8: "drink beverage bottle juice water soda wine beer tea coffee lemonade getränk getränke 饮料 酒",
    9: "furniture chair table sofa couch desk bed shelf cabinet wardrobe stool dresser armchair bench möbel 家具",
    20: "toy doll game puzzle plush lego teddy spielzeug 玩具",
    21: "underwear bra panty lingerie brief boxer sock stocking nightwear unterwäsche 内衣 袜",
    22: "electronic digital device phone smartphone laptop camera headphone tablet computer monitor speaker charger "
    "elektronik 数码 电子 手机 电脑",
}
_BY_WORD: dict[str, int] = {word: number for number, words in WORDS.items() for word in words.split()}
_BY_NAME = {plain_name(name): number for number, name in CATEGORIES.items()}
#: `as_category_map` accepts suggestions with at least this score.
GOOD = 0.7
_COLUMNS = {
    "value": "str",
    "rows": "Int64",
    "CategoryId": "Int64",
    "category": "str",
    "suggested": "Int64",
    "name": "str",
    "score": "float64",
    "why": "str",
}


@returns_table
def suggest_categories(
    catalogue: pd.DataFrame, column: str | None = None, *, mapped: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Suggest a CategoryId for each of the shop's categories.

    If cells hold several paths, as in exports from Magento, ``value`` is the leaf of the longest path, which a
    column map also looks up.

    Returns
    -------
    DataFrame
        ``value`` (the shop's category), ``rows``, ``CategoryId`` and ``category`` (as decided in `mapped`),
        ``suggested``, ``name``, ``score`` (0 to 1), ``why``. ``.attrs["note"]`` states the condition in the notes.

    Notes
    -----
    A category set when adding must also be set when searching, or a search with the same image does not find it, so
    mapping categories is a decision about the shop's search code. Source: the vendor's page on adding images.

    Examples
    --------
    >>> shop = pd.DataFrame({"type": ["Summer dresses", "Dress shoes", "Gift cards"]})
    >>> suggest_categories(shop)[["value", "name"]].fillna("-").values.tolist()
    [['Dress shoes', 'Shoes'], ['Gift cards', '-'], ['Summer dresses', 'Dress']]
    """
    column = category_column(catalogue) if column is None else column
    if column is None or column not in catalogue.columns:
        what = "no column name suggests categories" if column is None else f"there is no column {column!r}"
        raise ConfigError(f"suggest_categories: {what}; the columns are: {', '.join(map(str, catalogue.columns))}")
    texts = catalogue[column].dropna().astype("str").str.strip()
    texts = texts[texts != ""]
    counts = texts.map(leaf_names(texts.unique())).value_counts()
    known = {str(word).strip(): value for word, value in (mapped or {}).items()}
    records = []
    for value, rows in sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))):
        text = str(value)
        number = known.get(text, int(text) if text.isdecimal() and int(text) in CATEGORIES else None)
        suggested, score, why = _suggested(text)
        records.append(
            {
                "value": text,
                "rows": rows,
                "CategoryId": number,
                "category": None if number is None else CATEGORIES.get(int(number), "not in the reference"),
                "suggested": suggested,
                "name": None if suggested is None else CATEGORIES[suggested],
                "score": score,
                "why": why,
            }
        )
    table = pd.DataFrame(records, columns=list(_COLUMNS)).astype(_COLUMNS)
    table.attrs["note"] = SEARCH_CATEGORY
    return table


#: Several paths in one cell, as Magento writes them: "Default/Men/Tops,Default/Sale".
_PATHS = re.compile(r"[^/,]+/[^,]*,[^/,]+/")


def leaf_names(texts: Iterable[str]) -> dict[str, str]:
    """Return the leaf of each cell's longest path if any cell holds several paths, otherwise the cells themselves."""
    texts = list(texts)
    several = any(_PATHS.search(text) for text in texts)  # all combinations would be many, so leaves are counted
    return {text: leaves(text)[0] if several else text for text in texts}


def leaves(text: str) -> list[str]:
    """Return the leaves of the paths in a cell, longest path first, or the text itself if it is not a path."""
    paths = [path.split("/") for path in text.split(",") if path.strip()] if _PATHS.search(text) or "/" in text else []
    ordered = sorted((path for path in paths if len(path) > 1), key=len, reverse=True)
    return [path[-1].strip() for path in ordered if path[-1].strip()] or [text]


def as_category_map(table: pd.DataFrame, *, at_least: float = GOOD) -> dict[str, int]:
    """Return a look-up for a column map: decided CategoryIds, otherwise those suggested with a score ≥ `at_least`."""
    good = table["suggested"].where(table["score"] >= at_least)
    chosen = table["CategoryId"].fillna(good)
    return {str(value): int(number) for value, number in zip(table["value"], chosen, strict=True) if pd.notna(number)}


def category_column(catalogue: pd.DataFrame) -> str | None:
    """Return the column that seems, by its name, to hold the shop's own categories, or None."""
    names = {plain_name(str(name)): str(name) for name in reversed(list(catalogue.columns)) if name != "CategoryId"}
    return next((names[name] for name in NAMES["CategoryId"] if name in names), None)


def _suggested(text: str) -> tuple[int | None, float, str | None]:
    """Return the likeliest CategoryId for a shop's category, its score, and the reason."""
    # Shops write paths: "Women > Clothing > Dresses", and lists of them; the last part is the most specific.
    parts = [part for part in re.split(r"\s*(?:>|/|\||,|»|::)\s*", text) if part.strip()]
    for depth, part in enumerate(reversed(parts)):
        number, score, why = _of_part(part)
        if number is not None:
            return number, round(score - 0.15 * min(depth, 2), 2), why
    return None, 0.0, None


def _of_part(part: str) -> tuple[int | None, float, str | None]:
    plain = plain_name(part)
    for name in _forms(part):
        if name in _BY_NAME:
            return _BY_NAME[name], 1.0, "the category's own name"
        if name in _BY_WORD:
            return _BY_WORD[name], 0.95, f"{part.strip()!r} is a word for this category"
    words = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", part.casefold())
    for place, word in enumerate(reversed(words)):
        found = next((_BY_WORD[form] for form in _forms(word) if form in _BY_WORD), None)
        if found is not None:
            return found, 0.85 if place == 0 else 0.6, f"by the word {word!r}"
    for word, number in _BY_WORD.items():  # Chinese has no spaces between words
        if not word.isascii() and word in plain:
            return number, 0.75, f"by the word {word!r}"
    close = nearest(_forms(part)[-1], _BY_WORD, cutoff=0.84)
    if close and len(plain) > 3:
        return _BY_WORD[close], 0.5, f"nearly {close!r}"
    return None, 0.0, None


def _forms(word: str) -> tuple[str, ...]:
    """Return a word and its possible singulars: dresses → dress, hoodies → hoodie, accessories → accessory."""
    plain = plain_name(word)
    if not plain.endswith("s") or plain.endswith("ss"):
        return (plain,)
    forms = [plain, plain[:-1]]
    if plain.endswith("es"):
        forms.append(plain[:-2])
    if plain.endswith("ies"):
        forms.append(plain[:-3] + "y")
    return tuple(forms)
