"""Exports in the shapes in which shop systems write them, made for tests."""

import csv
import io

from imgprep.load.catalogue import load_catalogue

CDN = "https://cdn.shop.example/s/files/1/0042/products"
SHOPIFY = ["Handle", "Title", "Body (HTML)", "Vendor", "Type", "Option1 Name", "Option1 Value", "Variant SKU"]
SHOPIFY += ["Variant Price", "Image Src", "Image Position", "Variant Image", "Status"]
WOO = ["ID", "Type", "SKU", "Name", "Visibility in catalog", "Description", "Regular price", "Categories", "Images"]
WOO += ["Parent", "Attribute 1 name", "Attribute 1 value(s)"]
MAGENTO = ["sku", "store_view_code", "name", "price", "base_image", "small_image", "thumbnail_image"]
MAGENTO += ["additional_images", "additional_image_labels"]
GOOGLE = ["id", "title", "link", "image_link", "additional_image_link", "price", "availability"]


def delimited(columns, records, *, delimiter=",", end="\r\n"):
    """Records, given as dicts with only what is filled, as a shop's CSV or TSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def load(tmp_path, content, *, name="export.csv", encoding="utf-8", **more):
    """Write `content` to a file and load it."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return load_catalogue(file, **more)


def shopify(tmp_path, records, **more):
    return load(tmp_path, delimited(SHOPIFY, records, end="\n"), **more)


def findings_of(catalogue, rule):
    """The findings of one rule."""
    findings = catalogue.attrs["findings"]
    return findings[findings["rule"] == rule]


def pairs(catalogue):
    """(record, product, image) of each row; the images by the last part of their address where they have one."""
    images = catalogue["image_url"] if "image_url" in catalogue else catalogue["PicName"]
    short = [image.rpartition("/")[2] if isinstance(image, str) else None for image in images]
    return list(zip(catalogue["row"].tolist(), catalogue["ProductId"].tolist(), short, strict=True))
