"""Each shop system's export becomes one row per image with its record number, and the preset says why it was chosen."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from exports_made import CDN, GOOGLE, MAGENTO, WOO, delimited, findings_of, load, pairs, shopify

from imgprep.core.errors import CatalogueError
from imgprep.load.catalogue import load_catalogue
from imgprep.load.export import Export, record_numbers
from imgprep.load.presets import PRESETS, Preset
from imgprep.plan.make import plan_batch

EXPORTS = Path(__file__).parents[3].parent / "shared" / "data" / "exports"


@pytest.mark.shared
@pytest.mark.skipif(not EXPORTS.is_dir(), reason="the real exports are not beside this checkout")
@pytest.mark.parametrize(("name", "records", "rows"), [("shopify", 21, 21), ("woocommerce", 24, 32)])
def test_a_real_export_is_recognised_and_no_record_is_lost(name, records, rows):
    catalogue = load_catalogue(EXPORTS / f"{name}.csv")
    assert catalogue.attrs["preset"]["name"] == name
    assert catalogue["row"].nunique() == records and len(catalogue) == rows
    assert catalogue["ProductId"].notna().all() and not len(findings_of(catalogue, "product-without-image"))
    assert catalogue["image_url"].str.startswith("http").all()


def test_each_preset_is_recognised_and_says_why(tmp_path):
    made = {
        "fields": "ProductId,PicName\n1,a.jpg\n",
        "shopify": f"Handle,Title,Image Src\nh,H,{CDN}/a.jpg\n",
        "woocommerce": delimited(WOO, [{"SKU": "1", "Images": f"{CDN}/a.jpg"}]),
        "magento": delimited(MAGENTO, [{"sku": "1", "base_image": "/a/b/a.jpg"}]),
        "google": delimited(GOOGLE, [{"id": "1", "image_link": f"{CDN}/a.jpg"}], delimiter="\t"),
        "plain": "article,photo\n1,a.jpg\n",
    }
    assert set(made) == {preset.name for preset in PRESETS}
    for name, text in made.items():
        preset = load(tmp_path, text).attrs["preset"]
        assert preset["name"] == name and preset["why"]


def test_a_preset_that_does_not_fit_or_does_not_exist_is_refused(tmp_path):
    for name in ("shopify", "woocommerce", "magento", "google"):
        with pytest.raises(CatalogueError, match='use preset="plain"'):
            load(tmp_path, "a,b\n1,2\n", preset=name)
    with pytest.raises(CatalogueError, match="known: auto, fields, shopify"):
        load(tmp_path, "a,b\n1,2\n", preset="shopfy")


def test_a_shop_system_without_peculiarities_is_its_columns_and_nothing_else():
    class Shop(Preset):
        name = "shop"
        required = (("Art. No",),)
        keys = (("EAN",), ("Art. No",))
        images = (("Photo",), ("Photo 2",))
        title = ("Label",)
        price = ("Price",)

    def table(*eans):
        columns = {"art_no": ["1", "2"], "EAN": list(eans), "photo": ["a", "b"], "label": ["x", "y"]}
        return Export(pa.table(columns), record_numbers(2), "")

    assert Shop().recognise(table("3", "4")) == "it has the columns 'art_no'"
    assert Shop().recognise(Export(pa.table({"x": ["1"]}), record_numbers(1), "")) is None
    columns = {"ProductId": "EAN", "PicName": ["photo"], "CustomContent": "title:{label}"}
    assert Shop().shape(table("3", "4")).columns == columns
    assert Shop().shape(table("3", None)).columns == {**columns, "ProductId": "art_no"}


# Shopify


def test_twelve_records_of_a_handle_with_the_image_on_one_are_one_row(tmp_path):
    records = [{"Handle": "tee", "Option1 Value": f"size {n}", "Variant SKU": f"T-{n}"} for n in range(12)]
    records[4] |= {"Title": "Tee", "Image Src": f"{CDN}/tee.jpg?v=1623104890"}
    catalogue = shopify(tmp_path, records)
    assert pairs(catalogue) == [(5, "tee", "tee.jpg?v=1623104890")]
    assert not len(findings_of(catalogue, "product-without-image"))


def test_product_cells_of_one_record_are_filled_on_every_record_of_the_handle(tmp_path):
    first = {"Handle": "tee", "Title": "Tee", "Vendor": "Acme", "Option1 Value": "red", "Variant Price": "9.00"}
    catalogue = shopify(
        tmp_path,
        [
            first | {"Image Src": f"{CDN}/a.jpg"},
            {"Handle": "tee", "Option1 Value": "blue", "Image Src": f"{CDN}/b.jpg"},
            {"Handle": "tee", "Image Src": f"{CDN}/c.jpg"},
            {"Handle": "cap", "Title": "Cap", "Image Src": f"{CDN}/d.jpg"},
        ],
    )
    assert catalogue["Title"].tolist() == ["Tee", "Tee", "Tee", "Cap"]
    assert catalogue["Vendor"].fillna("-").tolist() == ["Acme", "Acme", "Acme", "-"]
    # A variant's own blank is not filled from another variant; a record of an image alone is not a variant.
    assert catalogue["Variant Price"].fillna("-").tolist() == ["9.00", "-", "9.00", "-"]


def test_the_image_beside_a_variant_belongs_to_the_product_not_to_the_variant(tmp_path):
    # The second image of the product is merely on the record of the blue variant, whose own image is another.
    catalogue = shopify(
        tmp_path,
        [
            {"Handle": "tee", "Title": "Tee", "Option1 Value": "red", "Image Src": f"{CDN}/front.jpg"},
            {
                "Handle": "tee",
                "Option1 Value": "blue",
                "Image Src": f"{CDN}/label.jpg",
                "Variant Image": f"{CDN}/blue.jpg",
            },
        ],
    )
    assert pairs(catalogue) == [(1, "tee", "front.jpg"), (2, "tee", "label.jpg"), (2, "tee", "blue.jpg")]
    assert "belong to all variants" in catalogue.attrs["preset"]["why"]


def test_a_variant_image_that_is_an_image_of_the_product_comes_once(tmp_path):
    row = {"Handle": "tee", "Image Src": f"{CDN}/a.jpg", "Variant Image": f"{CDN}/a.jpg"}
    catalogue = shopify(tmp_path, [row, {"Handle": "tee", "Variant Image": f"{CDN}/a.jpg"}])
    assert pairs(catalogue) == [(1, "tee", "a.jpg")]
    assert findings_of(catalogue, "image-repeated")["severity"].tolist() == ["info"]


@pytest.mark.parametrize("skus", [["", "", ""], ["X-1", "X-1", ""]])
def test_a_sku_that_is_missing_or_on_two_products_merges_none(tmp_path, skus):
    records = [
        {"Handle": handle, "Title": handle.title(), "Variant SKU": sku, "Image Src": f"{CDN}/{handle}.jpg"}
        for handle, sku in zip(["tee", "cap", "mug"], skus, strict=True)
    ]
    catalogue = shopify(tmp_path, records)
    assert catalogue["ProductId"].tolist() == ["tee", "cap", "mug"]
    assert re.search(r"'Variant SKU' is missing in \d of 3 records", catalogue.attrs["preset"]["why"])


def test_a_record_without_handle_goes_to_the_product_above_and_is_reported(tmp_path):
    catalogue = shopify(tmp_path, [{"Handle": "tee", "Title": "Tee"}, {"Image Src": f"{CDN}/a.jpg"}])
    assert pairs(catalogue) == [(2, "tee", "a.jpg")] and catalogue["Title"].tolist() == ["Tee"]
    assert findings_of(catalogue, "record-without-handle")["row"].tolist() == [2]


def test_the_newer_shopify_template_is_read_too(tmp_path):
    text = f"Title,URL handle,SKU,Price,Product image URL,Variant image URL\nTee,tee,T,9,{CDN}/a.jpg,{CDN}/b.jpg\n"
    catalogue = load(tmp_path, text)
    assert catalogue.attrs["preset"]["name"] == "shopify"
    assert pairs(catalogue) == [(1, "tee", "a.jpg"), (1, "tee", "b.jpg")]


# WooCommerce


def test_woocommerce_images_of_one_cell_become_rows_of_their_record(tmp_path):
    images = f"{CDN}/a.jpg, {CDN}/b,2.jpg,{CDN}/c.jpg"
    catalogue = load(tmp_path, delimited(WOO, [{"ID": "7", "SKU": "W", "Name": "Mug", "Images": images}]))
    assert pairs(catalogue) == [(1, "W", "a.jpg"), (1, "W", "b,2.jpg"), (1, "W", "c.jpg")]


def test_a_variation_inherits_only_the_cells_that_it_lacks(tmp_path):
    parent = {"ID": "1", "Type": "variable", "SKU": "tee", "Name": "Tee", "Categories": "Tops", "Regular price": "9"}
    variation = {"Type": "variation", "Parent": "tee", "Images": f"{CDN}/b.jpg"}
    catalogue = load(
        tmp_path,
        delimited(
            WOO,
            [
                parent | {"Images": f"{CDN}/a.jpg"},
                variation | {"ID": "2", "SKU": "tee-red", "Name": "Tee - red"},
                variation | {"ID": "3", "SKU": "tee-blue", "Parent": "id:1", "Regular price": "8"},
            ],
        ),
    )
    assert catalogue["ProductId"].tolist() == ["tee", "tee-red", "tee-blue"]
    assert catalogue["Name"].tolist() == ["Tee", "Tee - red", "Tee"]
    assert catalogue["Categories"].tolist() == ["Tops"] * 3
    assert catalogue["Regular price"].tolist() == ["9", "9", "8"]


@pytest.mark.parametrize("skus", [["", "", ""], ["A", "A", "B"], ["A", "", "B"]])
def test_woocommerce_takes_the_id_where_the_sku_would_merge_products_or_is_missing(tmp_path, skus):
    records = [
        {"ID": str(10 + n), "SKU": sku, "Name": f"N{n}", "Images": f"{CDN}/{n}.jpg"} for n, sku in enumerate(skus)
    ]
    catalogue = load(tmp_path, delimited(WOO, records))
    assert catalogue["ProductId"].tolist() == ["10", "11", "12"]
    assert (
        "'SKU' " in catalogue.attrs["preset"]["why"] and "'ID' is the product's key" in catalogue.attrs["preset"]["why"]
    )


# Magento


def test_magento_images_of_every_kind_come_once_below_their_folders(tmp_path):
    catalogue = load(
        tmp_path,
        delimited(
            MAGENTO,
            [
                {
                    "sku": "M1",
                    "name": "Mug",
                    "base_image": "/m/u/mug.jpg",
                    "small_image": "/m/u/mug.jpg",
                    "thumbnail_image": "m/u/thumb.jpg",
                    "additional_images": "/m/u/back.jpg,/m/u/side.jpg",
                },
                {"sku": "M2", "name": "Cup", "base_image": "no_selection", "small_image": "no_selection"},
                {"sku": "M1", "store_view_code": "de", "name": "Becher"},
            ],
        ),
    )
    assert catalogue["PicName"].dropna().tolist() == ["m/u/mug.jpg", "m/u/thumb.jpg", "m/u/back.jpg", "m/u/side.jpg"]
    assert catalogue["ProductId"].tolist() == ["M1"] * 4 + ["M2"]
    assert findings_of(catalogue, "product-without-image")["ProductId"].tolist() == ["M2"]


# Google Merchant

FEED = f"""<?xml version="1.0" encoding="UTF-8"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title>
<item><g:id>007</g:id><title>Mug &amp; lid</title><link>https://shop.example/mug</link>
<g:image_link>{CDN}/mug.jpg?v=2</g:image_link><g:additional_image_link>{CDN}/back,1.jpg</g:additional_image_link>
<g:additional_image_link>{CDN}/side.jpg</g:additional_image_link><g:price>15.00 USD</g:price>
<g:shipping><g:country>DE</g:country><g:price>4.90 EUR</g:price></g:shipping></item>
<item><g:id>008</g:id><title><![CDATA[<b>Cup</b>]]></title><g:price>9 USD</g:price></item></channel></rss>"""


def test_a_google_feed_in_xml_gives_each_image_of_an_item(tmp_path):
    catalogue = load(tmp_path, FEED, name="feed.xml")
    assert catalogue.attrs["preset"]["name"] == "google"
    assert pairs(catalogue) == [
        (1, "007", "mug.jpg?v=2"),
        (1, "007", "back,1.jpg"),
        (1, "007", "side.jpg"),
        (2, "008", None),
    ]
    assert catalogue["title"].tolist() == ["Mug & lid"] * 3 + ["<b>Cup</b>"]
    assert catalogue["price"].tolist() == ["15.00 USD"] * 3 + ["9 USD"]  # the price of shipping is another one
    assert findings_of(catalogue, "product-without-image")["ProductId"].tolist() == ["008"]


def test_a_google_feed_loads_the_same_from_atom_and_tsv(tmp_path):
    atom = f"""<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><entry><g:id>1</g:id>
    <title>Mug</title><link href="https://shop.example/mug"/><g:image_link>{CDN}/a.jpg</g:image_link>
    <g:additional_image_link>{CDN}/b.jpg</g:additional_image_link></entry></feed>"""
    record = {"id": "1", "title": "Mug", "link": "https://shop.example/mug", "image_link": f"{CDN}/a.jpg"}
    tsv = delimited(GOOGLE, [record | {"additional_image_link": f"{CDN}/b.jpg"}], delimiter="\t")
    one, two = load(tmp_path, atom, name="feed.xml"), load(tmp_path, tsv, name="feed.txt")
    assert pairs(one) == pairs(two) == [(1, "1", "a.jpg"), (1, "1", "b.jpg")]
    assert one["link"].tolist() == two["link"].tolist() == ["https://shop.example/mug"] * 2


def test_an_xml_feed_cannot_read_other_files_or_fill_the_memory(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("swordfish")
    for entity in (f'<!ENTITY a SYSTEM "{secret.as_uri()}">', '<!ENTITY a "aaaa">'):
        feed = f"<?xml version='1.0'?><!DOCTYPE rss [{entity}]><rss><item><id>&a;</id></item></rss>"
        with pytest.raises(CatalogueError, match="document type"):
            load(tmp_path, feed, name="feed.xml")


# Plain tables and JSON


def test_a_plain_table_finds_its_product_and_images_and_says_which(tmp_path):
    catalogue = load(tmp_path, "article no;title;image1;image2\nA1;Mug;a.jpg;b.jpg\nA2;Cup;c.jpg;\n")
    assert pairs(catalogue) == [(1, "A1", "a.jpg"), (1, "A1", "b.jpg"), (2, "A2", "c.jpg")]
    assert catalogue.attrs["preset"]["columns"]["PicName"] == "image1, image2"


def test_a_plain_table_takes_a_key_that_merges_no_products_or_says_that_there_is_none(tmp_path):
    text = "sku,code,title,image\nX,1,Mug,a.jpg\nX,2,Cup,b.jpg\n"
    catalogue = load(tmp_path, text)
    assert catalogue["ProductId"].tolist() == ["1", "2"] and not len(findings_of(catalogue, "product-key-unsure"))
    assert "1 value of 'sku' shared by several products" in catalogue.attrs["preset"]["why"]
    alone = load(tmp_path, text.replace("code", "weight"))
    assert findings_of(alone, "product-key-unsure")["severity"].tolist() == ["warning"]


@pytest.mark.parametrize(
    ("text", "such"),
    [
        ("sku,title,image\nX,Mug,a.jpg\nY,Hat,c.jpg\nX,Cup,b.jpg\nY,hat ,d.jpg\n", "'Mug' and 'Cup'"),
        (
            "SKU,Name,Visibility in catalog,Images\nX,Mug,visible,a.jpg\nY,Hat,visible,c.jpg\nX,Mug,visible,b.jpg\n",
            "'record 1' and 'record 3'",
        ),
    ],
    ids=["plain", "woocommerce"],
)
def test_records_that_a_key_would_merge_are_errors_and_no_others(tmp_path, text, such):
    catalogue = load(tmp_path, text)
    found = findings_of(catalogue, "product-key-shared")
    assert found["row"].tolist() == [1, 3] and set(found["severity"]) == {"error"}
    assert f"belongs to 2 products, such as {such}" in found["message"].iloc[0]
    sent = set(plan_batch(catalogue.assign(CustomContent="k:v")).batch["PicName"])
    assert "c.jpg" in sent and not sent & {"a.jpg", "b.jpg"}
    key = catalogue.attrs["preset"]["columns"]["ProductId"]
    assert found["fix"].iloc[0].endswith(f'ProductId = "{key}"')
    assert not len(findings_of(load(tmp_path, text, columns={"ProductId": key}), "product-key-shared"))


def test_a_name_of_any_length_leaves_the_message_readable(tmp_path):
    found = findings_of(
        load(tmp_path, f"sku,title,image\nA,{'long ' * 900},a.jpg\nA,Bag,b.jpg\n"), "product-key-shared"
    )
    assert len(found) == 2 and found["message"].str.len().max() < 250


def test_a_product_id_that_the_map_names_is_not_doubted(tmp_path):
    text = "sku,title,image\nX,Mug,a.jpg\nX,Cup,b.jpg\n"
    catalogue = load(tmp_path, text, columns={"ProductId": "sku"})
    assert catalogue["ProductId"].tolist() == ["X", "X"]
    assert not len(findings_of(catalogue, "product-key-unsure"))
    assert "ProductId comes from the column map" in catalogue.attrs["preset"]["why"]
    assert "nevertheless" not in catalogue.attrs["preset"]["why"]


def test_json_lines_and_lists_inside_cells_keep_numbers_as_written(tmp_path):
    lines = '{"sku": "007", "price": 1.10, "images": ["a.jpg", "b.jpg"]}\n{"sku": "008", "price": 1e5, "images": []}\n'
    catalogue = load(tmp_path, lines, name="export.jsonl")
    assert pairs(catalogue) == [(1, "007", "a.jpg"), (1, "007", "b.jpg"), (2, "008", None)]
    assert catalogue["price"].tolist() == ["1.10", "1.10", "1e5"]
    cells = load(tmp_path, 'sku,image\nA,"[""a.jpg"", {""src"": ""b.jpg""}]"\n')
    assert pairs(cells) == [(1, "A", "a.jpg"), (1, "A", "b.jpg")]
    whole = load(tmp_path, json.dumps({"products": [{"sku": "1", "image": "a.jpg"}]}), name="export.json")
    assert pairs(whole) == [(1, "1", "a.jpg")]


def test_a_broken_line_of_json_is_an_error_of_its_record_and_the_others_are_read(tmp_path):
    catalogue = load(tmp_path, '{"sku": "1", "image": "a.jpg"}\n{"sku": "2", \n[3]\n', name="x.jsonl")
    assert findings_of(catalogue, "record-not-read")["row"].tolist() == [2, 3]
    assert catalogue["ProductId"].tolist()[0] == "1" and len(catalogue) == 3
