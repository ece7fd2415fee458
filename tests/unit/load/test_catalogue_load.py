"""Exports as shops write them, each made here."""

import pytest

import imgprep as ip
from imgprep.core.errors import CatalogueError


def load(tmp_path, text, *, name="export.csv", encoding="utf-8", **more):
    file = tmp_path / name
    file.write_bytes(text.encode(encoding))
    return ip.load_catalogue(file, **more)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_text_stays_as_found_in_every_encoding(tmp_path, encoding):
    text = "sku,title,image,x\n007,名称名称标题,a.jpg,NA\n1e5,价格图片商品,b.jpg,null\n"
    frame = load(tmp_path, text, encoding=encoding)
    assert frame["ProductId"].tolist() == ["007", "1e5"]
    assert frame["x"].tolist() == ["NA", "null"]
    assert frame["title"].tolist() == ["名称名称标题", "价格图片商品"]


def test_records_of_other_widths_are_found_and_not_shifted(tmp_path):
    frame = load(tmp_path, 'sku,title,image\nA,"two\nlines",a.jpg\nB,x,y,b.jpg\nC,c\n')
    found = frame.attrs["findings"].set_index("rule")["row"].to_dict()
    assert found["record-too-many-cells"] == 2 and found["record-too-few-cells"] == 3
    assert frame["ProductId"].tolist() == ["A", "B", "C"]


def test_an_unknown_column_names_the_nearest(tmp_path):
    with pytest.raises(CatalogueError, match="no column 'skuu'; did you mean sku\\?"):
        load(tmp_path, "sku,image\nA,a.jpg\n", columns={"ProductId": "skuu"})


def test_a_product_without_image_is_reported_and_stays(tmp_path):
    frame = load(
        tmp_path,
        "Handle,Title,Image Src\nh,H,\nh,,https://x.example/a,b.jpg?v=1\n".replace("a,b", '"a,b"').replace(
            'https://x.example/"a,b".jpg?v=1', '"https://x.example/a,b.jpg?v=1"'
        )
        + "k,K,\n",
    )
    assert frame["ProductId"].tolist() == ["h", "k"] and frame["row"].tolist() == [2, 3]
    assert frame["Title"].tolist() == ["H", "K"]
    assert frame.attrs["findings"].query("rule == 'product-without-image'")["ProductId"].tolist() == ["k"]


def test_a_field_that_is_mended_in_a_column_of_its_own_name_is_loaded(tmp_path):
    catalogue = load(tmp_path, "ProductId,PicName\n'001,https://x.example/a.jpg\n'002,b.jpg\n")
    assert catalogue["ProductId"].tolist() == ["001", "002"]
    assert catalogue["image_url"].fillna("").tolist() == ["https://x.example/a.jpg", ""]
    assert catalogue["PicName (source)"].tolist() == ["https://x.example/a.jpg", "b.jpg"]
