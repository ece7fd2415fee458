"""Columns that hold images: all of them are taken, the main one first, and none is left without a word."""

import json

import pytest
from exports_made import CDN, delimited, findings_of, load, pairs


def rows_of(catalogue):
    return catalogue["PicName"].dropna().tolist()


def test_a_json_list_of_further_images_is_taken_after_the_main_one(tmp_path):
    records = [
        {
            "extra_image_urls": json.dumps([f"{CDN}/{n}b.jpg", f"{CDN}/{n}c.jpg"]) if n % 2 else "[]",
            "code": f"P{n}",
            "title": f"Mug {n}",
            "main_image_url": f"{CDN}/{n}a.jpg",
        }
        for n in range(1, 7)
    ]
    catalogue = load(tmp_path, delimited(["extra_image_urls", "code", "title", "main_image_url"], records))
    assert pairs(catalogue)[:4] == [
        (1, "P1", "1a.jpg"),
        (1, "P1", "1b.jpg"),
        (1, "P1", "1c.jpg"),
        (2, "P2", "2a.jpg"),
    ]
    assert len(catalogue) == 6 + 3 * 2
    (note,) = findings_of(catalogue, "image-columns")["message"]
    assert "'main_image_url', 'extra_image_urls'" in note


@pytest.mark.parametrize(
    ("names", "order"),
    [
        ([f"image_{n}" for n in range(8, 0, -1)], [f"image_{n}" for n in range(1, 9)]),
        (["other_image_url2", "other_image_url1", "main_image_url"], [2, 1, 0]),
        (["Product Image File - 2", "Product Image File - 1"], [1, 0]),
        (["additional_image_link", "link to picture"], [1, 0]),
        (["图片2", "主图", "图片1"], [1, 2, 0]),
    ],
)
def test_every_column_of_images_is_taken_in_its_order(tmp_path, names, order):
    order = [names.index(each) if isinstance(each, str) else each for each in order]
    record = {"sku": "A", "title": "Mug"} | {name: f"{place}.jpg" for place, name in enumerate(names)}
    catalogue = load(tmp_path, delimited(["sku", "title", *names], [record]))
    assert rows_of(catalogue) == [f"{place}.jpg" for place in order]


def test_a_column_that_is_filled_late_only_is_taken(tmp_path):
    text = "sku,image,photo\n" + "".join(f"{n},{n}.jpg,\n" for n in range(2100)) + "last,z.jpg,late.jpg\n"
    catalogue = load(tmp_path, text)
    assert rows_of(catalogue)[-2:] == ["z.jpg", "late.jpg"]


def test_pictures_that_do_not_show_the_product_are_not_taken_and_said(tmp_path):
    catalogue = load(tmp_path, "sku,brand_logo,image\nA,acme.png,a.jpg\n")
    assert rows_of(catalogue) == ["a.jpg"]
    (found,) = findings_of(catalogue, "image-column-not-taken").to_dict("records")
    assert found["severity"] == "warning" and found["field"] == "brand_logo" and '"image", "brand_logo"' in found["fix"]


def test_a_preset_or_a_map_that_leaves_a_column_of_images_out_says_so(tmp_path):
    text = "sku,image,back\nA,a.jpg,b.jpg\n"
    by_map = load(tmp_path, text, columns={"PicName": "image"})
    assert findings_of(by_map, "image-column-not-taken")["field"].tolist() == ["back"]
    fields = load(tmp_path, "ProductId,PicName,lifestyle_image\nA,a.jpg,b.jpg\n")
    assert findings_of(fields, "image-column-not-taken")["severity"].tolist() == ["warning"]


def test_a_name_and_the_url_of_the_same_image_are_one_image(tmp_path):
    catalogue = load(tmp_path, f"sku,image,image link\nA,a.jpg,{CDN}/a.jpg?v=3\nB,b.jpg,{CDN}/b.jpg\n")
    assert rows_of(catalogue) == ["a.jpg", "b.jpg"]
    assert "URLs of the images in 'image'" in findings_of(catalogue, "image-column-not-taken")["message"].iloc[0]


def test_html_and_texts_about_images_are_no_images(tmp_path):
    text = 'sku,description,image alt,image\nA,"<img src=""x.jpg"">",red.jpg,a.jpg\nB,see b.jpg and more,y.jpg,b.jpg\n'
    catalogue = load(tmp_path, text)
    assert rows_of(catalogue) == ["a.jpg", "b.jpg"]
    assert not len(findings_of(catalogue, "image-column-not-taken"))


def test_names_without_an_extension_are_taken_and_said(tmp_path):
    catalogue = load(tmp_path, "sku,title,image\nA,Mug,IMG_0012\nB,Cup,IMG_0013\n")
    assert rows_of(catalogue) == ["IMG_0012", "IMG_0013"]
    assert findings_of(catalogue, "image-without-extension")["severity"].tolist() == ["warning"]
    assert "PicName" not in load(tmp_path, "sku,title,image\nA,Mug,1\nB,Cup,2\n")


def test_a_list_as_python_prints_it_is_a_list(tmp_path):
    catalogue = load(tmp_path, f"sku,images\nA,\"['{CDN}/a.jpg', '{CDN}/b.jpg']\"\nB,[{'9' * 5000}]\n")
    assert pairs(catalogue)[:2] == [(1, "A", "a.jpg"), (1, "A", "b.jpg")]
