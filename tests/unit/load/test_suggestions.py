"""Suggested fields and categories: names count, values decide, and nothing is used twice."""

import pandas as pd
import pytest
from exports_made import load

from imgprep.core.errors import ConfigError
from imgprep.load.suggestions import as_category_map, as_map, suggest_categories, suggest_columns


def best(frame):
    """Field → best column."""
    found = suggest_columns(frame).drop_duplicates("field")
    return dict(zip(found["field"], found["column"], strict=True))


def table(**columns):
    return pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in columns.items()})


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["SKU", "Image Src", "Type", "Vendor", "Title", "Variant Price"], {"StrAttr": "Vendor"}),
        (["Artikelnummer", "Bild", "Kategorie", "Marke", "Titel", "Preis"], {"CategoryId": "Kategorie"}),
        (["商品编号", "图片", "分类", "品牌", "标题", "价格"], {"IntAttr": "价格"}),
        (["Item-No.", "photo_1", "product_type", "brand", "product name", "price"], {"CustomContent": "product name"}),
    ],
)
def test_columns_are_known_by_the_names_that_shops_give_them(names, wanted):
    values = [["A1", "A2"], ["a.jpg", "b.jpg"], ["Tops", "Tops"], ["Acme", "Acme"], ["Tee", "Cap"], ["9.50", "8"]]
    found = best(table(**dict(zip(names, values, strict=True))))
    assert found["ProductId"] == names[0] and found["PicName"] == names[1]
    assert wanted.items() <= found.items()


def test_a_name_of_several_words_is_known_however_it_is_written():
    found = suggest_columns(table(**{"Crop region": ["1,9,1,9"], "note": ["x"]}))
    assert found.loc[found["field"] == "Region", "score"].tolist() == [0.87]


def test_values_identify_columns_that_names_do_not(tmp_path):
    frame = table(
        ref=["1", "2", "3"], foto=["a.jpg", "b.png", "c.webp"], do=["ADD", "DELETE", "ADD"], box=["1,9,1,9"] * 3
    )
    found = suggest_columns(frame).set_index("field")
    assert found.loc["PicName", "column"] == "foto" and "100% look like image files" in found.loc["PicName", "why"]
    assert found.loc["OperationType", "column"] == "do" and found.loc["Region", "column"] == "box"


def test_values_overrule_a_misleading_name():
    # "image" holds alternative texts, "sku" is empty on most rows, "price" is a word.
    frame = table(
        image=["a red mug", "a cup"], file=["a.jpg", "b.jpg"], sku=[None, None], code=["1", "2"], price=["ask", "ask"]
    )
    found = suggest_columns(frame)
    assert best(frame)["PicName"] == "file" and best(frame)["ProductId"] == "code"
    assert not (found["column"] == "image")[found["field"] == "PicName"].any()
    assert "IntAttr" not in set(found["field"])


def test_an_id_that_repeats_on_every_row_is_not_suggested_as_product_id():
    frame = table(sku=["X"] * 40, ean=[str(number) for number in range(40)], image=["a.jpg"] * 40)
    assert best(frame)["ProductId"] == "ean"


def test_suggestions_make_a_map_that_loads_the_export(tmp_path):
    text = "artnr;bild;titel;preis\n007;a.jpg;Tasse;12,50\n008;b.jpg;Becher;9,00\n"
    plain = load(tmp_path, text, preset="plain")
    suggested = as_map(suggest_columns(plain[["artnr", "bild", "titel", "preis"]]))
    assert suggested["CustomContent"] == "title:{titel},price:{preis}"
    mapped = load(tmp_path, text, columns=suggested)
    assert mapped["ProductId"].tolist() == ["007", "008"] and mapped["PicName"].tolist() == ["a.jpg", "b.jpg"]
    assert len(set(suggested.values())) == len(suggested)


def test_further_columns_take_the_next_attributes_and_a_fields_own_name_wins():
    shop = {"sku": ["1", "2"], "image": ["a.jpg", "b.jpg"], "brand": ["A", "B"], "colour": ["red", "blue"]}
    shop |= {"material": ["wool", "silk"], "price": ["9.50", "8"], "stock": ["3", "0"], "StrAttr2": ["x", "y"]}
    chosen = as_map(suggest_columns(table(**shop)))
    attributes = {field: column for field, column in chosen.items() if "Attr" in field}
    assert attributes == {"IntAttr": "price", "IntAttr2": "stock", "StrAttr": "brand", "StrAttr2": "StrAttr2"} | {
        "StrAttr3": "colour",
        "StrAttr4": "material",
    }


def test_an_empty_export_and_unknown_columns_get_no_suggestion():
    assert not len(suggest_columns(pd.DataFrame()))
    assert as_map(suggest_columns(table(x=["?", "!"], y=[None, None]))) == {}


@pytest.mark.parametrize(
    ("category", "name"),
    [
        ("Dresses", "Dress"),
        ("Dress shoes", "Shoes"),
        ("Clothing > Women > Hoodies", "Tops"),
        ("Jewellery & Accessories", "Accessories"),
        ("女装/连衣裙", "Dress"),
        ("运动鞋", "Shoes"),
        ("Trousrs", "Bottoms"),
        ("Clothing, Clothing > Leggings", "Bottoms"),
        ("BOTTLE DRINK", "Bottle drink"),
        ("Gift cards", None),
        (">", None),
    ],
)
def test_a_shops_category_is_placed_by_its_last_word(category, name):
    found = suggest_categories(pd.DataFrame({"type": [category]}))
    assert found["name"].fillna("").tolist() == [name or ""]


def test_what_is_decided_wins_and_what_is_unmapped_is_listed_with_its_rows():
    shop = pd.DataFrame({"kind": ["Shirts", "Shirts", "Garden", "22", None, " "]})
    table = suggest_categories(shop, "kind", mapped={"Shirts": 1})
    assert table[["value", "rows", "category"]].fillna("-").values.tolist() == [
        ["Shirts", 2, "Dress"],
        ["22", 1, "Digital device"],
        ["Garden", 1, "-"],
    ]
    assert as_category_map(table) == {"Shirts": 1, "22": 22}
    assert "must also be set when searching" in table.attrs["note"]
    with pytest.raises(ConfigError, match="there is no column 'type'"):
        suggest_categories(shop, "type")
    with pytest.raises(ConfigError, match="no column name suggests categories"):
        suggest_categories(pd.DataFrame({"x": ["y"]}))


def test_a_weak_suggestion_is_shown_and_not_taken():
    table = suggest_categories(pd.DataFrame({"type": ["Trousrs"]}))
    assert table["suggested"].tolist() == [2] and as_category_map(table) == {}
