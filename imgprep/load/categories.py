"""From the shop's own categories to CategoryId: what each may be, and which nobody has placed yet."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import CATEGORIES
from imgprep.load.suggest_columns import NAMES, plain_name

#: Words that shops use → category. Of several in a name, the last says what the thing is: a "dress shoe" is a shoe.
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
_NAMES = {plain_name(name): number for number, name in CATEGORIES.items()}
#: Suggestions from this score on are taken by `as_category_map`.
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


def suggest_categories(
    catalogue: pd.DataFrame, column: str | None = None, *, mapped: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Suggest a CategoryId for each of the shop's categories.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        From `load_catalogue`.
    column : str, optional
        The column of the shop's categories; by default the first whose name says so.
    mapped : mapping of str to int, optional
        What is decided already: the ``map`` of a column map.

    Returns
    -------
    pandas.DataFrame
        One row per category of the shop, most rows first: ``value``, ``rows``, ``CategoryId`` and ``category`` (as
        decided, NA where nobody did), ``suggested``, ``name``, ``score`` (0…1) and ``why``. What is unmapped:
        ``table[table["CategoryId"].isna()]``.

    Raises
    ------
    ConfigError
        There is no such column.

    Notes
    -----
    Source of the categories: the vendor's category reference page. A category left out is predicted by the service.

    Examples
    --------
    >>> shop = pd.DataFrame({"type": ["Summer dresses", "Dress shoes", "Gift cards"]})
    >>> suggest_categories(shop)[["value", "name"]].fillna("-").values.tolist()
    [['Dress shoes', 'Shoes'], ['Gift cards', '-'], ['Summer dresses', 'Dress']]
    """
    column = category_column(catalogue) if column is None else column
    if column is None or column not in catalogue.columns:
        what = "no column's name says that it holds categories" if column is None else f"there is no column {column!r}"
        raise ConfigError(f"suggest_categories: {what}; the columns are: {', '.join(map(str, catalogue.columns))}")
    texts = catalogue[column].dropna().astype("str").str.strip()
    counts = texts[texts != ""].value_counts()
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
    return pd.DataFrame(records, columns=list(_COLUMNS)).astype(_COLUMNS)


def as_category_map(table: pd.DataFrame, *, at_least: float = GOOD) -> dict[str, int]:
    """Return the look-up of a column map: what is decided, else what is suggested with a score of at least so much.

    Examples
    --------
    >>> as_category_map(suggest_categories(pd.DataFrame({"type": ["Dresses", "Gift cards"]})))
    {'Dresses': 1}
    """
    good = table["suggested"].where(table["score"] >= at_least)
    chosen = table["CategoryId"].fillna(good)
    return {str(value): int(number) for value, number in zip(table["value"], chosen, strict=True) if pd.notna(number)}


def category_column(catalogue: pd.DataFrame) -> str | None:
    """Return the column of the shop's own categories, by its name; None where no name says so."""
    said = {plain_name(str(name)): str(name) for name in reversed(list(catalogue.columns)) if name != "CategoryId"}
    return next((said[name] for name in NAMES["CategoryId"] if name in said), None)


def _suggested(text: str) -> tuple[int | None, float, str | None]:
    """The likeliest category of a shop's category, how likely, and why."""
    # Shops write paths: "Women > Clothing > Dresses", and lists of them; the last part says most.
    parts = [part for part in re.split(r"\s*(?:>|/|\||,|»|::)\s*", text) if part.strip()]
    for depth, part in enumerate(reversed(parts)):
        number, score, why = _of_part(part)
        if number is not None:
            return number, round(score - 0.15 * min(depth, 2), 2), why
    return None, 0.0, None


def _of_part(part: str) -> tuple[int | None, float, str | None]:
    plain = plain_name(part)
    for name in _forms(part):
        if name in _NAMES:
            return _NAMES[name], 1.0, "the category's own name"
        if name in _BY_WORD:
            return _BY_WORD[name], 0.95, f"{part.strip()!r} is a word for it"
    words = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", part.casefold())
    for place, word in enumerate(reversed(words)):
        found = next((_BY_WORD[form] for form in _forms(word) if form in _BY_WORD), None)
        if found is not None:
            return found, 0.85 if place == 0 else 0.6, f"by the word {word!r}"
    for word, number in _BY_WORD.items():  # Chinese has no spaces between words
        if not word.isascii() and word in plain:
            return number, 0.75, f"by the word {word!r}"
    close = difflib.get_close_matches(_forms(part)[-1], _BY_WORD, n=1, cutoff=0.84)
    if close and len(plain) > 3:
        return _BY_WORD[close[0]], 0.5, f"nearly {close[0]!r}"
    return None, 0.0, None


def _forms(word: str) -> tuple[str, ...]:
    """A word as it is, and what its singular may be: dresses → dress, hoodies → hoodie, accessories → accessory."""
    plain = plain_name(word)
    if not plain.endswith("s") or plain.endswith("ss"):
        return (plain,)
    forms = [plain, plain[:-1]]
    if plain.endswith("es"):
        forms.append(plain[:-2])
    if plain.endswith("ies"):
        forms.append(plain[:-3] + "y")
    return tuple(forms)
