"""The pages that the command line writes."""

import json
import shutil

import pytest
from images_made import photo

from imgprep.cli.main import main


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images/autumn").mkdir(parents=True)
    photo(seed=1).save("images/a.jpg")
    shutil.copy("images/a.jpg", "images/autumn/b.jpg")
    photo(seed=2).resize((20, 20)).save("images/autumn/tiny.jpg")
    rows = ["ProductId,CategoryId,CustomContent,PicName", "1,0,x,a.jpg", "2,0,x,autumn/b.jpg", "3,0,x,autumn/tiny.jpg"]
    (tmp_path / "shop.csv").write_text("\n".join([*rows, "4,0,x,<b>gone</b>.jpg"]), encoding="utf-8")
    return tmp_path


def test_what_is_found_becomes_a_page_with_its_pictures(shop, capsys):
    assert main(["look", "shop.csv", "--images", "images", "--out", "look.html"]) == 1
    page = (shop / "look.html").read_text(encoding="utf-8")
    assert "image-too-small" in page and "data:image" in page
    assert "&lt;b&gt;gone" in page and "<b>gone" not in page
    assert main(["look", "shop.csv", "--images", "images", "--out", "look.html", "--rule", "image-missing"]) == 1
    assert "image-too-small" not in (shop / "look.html").read_text(encoding="utf-8")
    assert "look.html: 1 finding of 1 rule; page 1 of 1" in capsys.readouterr().err


def test_the_sheet_for_photographers_is_grouped_as_asked(shop):
    assert main(["feedback", "shop.csv", "--images", "images", "--out", "faults.html"]) == 1
    page = (shop / "faults.html").read_text(encoding="utf-8")
    assert "Too few pixels" in page and "<bdi>autumn</bdi>" in page
    assert main(["feedback", "shop.csv", "--images", "images", "--out", "faults.html", "--by", "/([a-z]+)"]) == 1
    assert "<bdi>tiny</bdi>" in (shop / "faults.html").read_text(encoding="utf-8")


def test_duplicates_across_products_are_listed_and_shown_side_by_side(shop, capsys):
    options = ["duplicates", "shop.csv", "--images", "images", "--out", "twins.html", "--format", "json"]
    assert main(options) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(each["PicName"], each["kind"], each["products"]) for each in listed] == [
        ("a.jpg", "bytes", 2),
        ("autumn/b.jpg", "bytes", 2),
    ]
    assert "the same file" in (shop / "twins.html").read_text(encoding="utf-8")


def test_a_rule_that_found_nothing_and_a_missing_page_are_reported(shop, capsys):
    asked = ["look", "shop.csv", "--images", "images", "--out", "look.html"]
    assert main([*asked, "--rule", "image-cmyk"]) == 2
    assert main([*asked, "--page", "7"]) == 2
    assert main(["feedback", "shop.csv", "--images", "images", "--out", "f.html", "--by", "("]) == 2
    errors = capsys.readouterr().err
    assert "image-cmyk" in errors and "page=7" in errors and "regular expression" in errors
    assert not (shop / "look.html").exists()


def test_a_plan_names_what_the_shop_hides_and_a_check_counts_as_its_summary(shop, capsys):
    rows = [f"V{n},Mug,a.jpg,{'Catalog' if n else 'Not Visible Individually'}" for n in range(3)]
    (shop / "magento.csv").write_text("\n".join(["sku,name,base_image,visibility", *rows]), encoding="utf-8")
    assert main(["plan", "magento.csv", "--preset", "magento", "--images", "images"]) == 0
    errors = capsys.readouterr().err
    assert "1 record of 3 hidden in the shop" in errors and "--one-product" in errors
    assert main(["check", "shop.csv", "--images", "images"]) == 1
    assert "4 rows checked: 2 errors, 1 warning" in capsys.readouterr().out
    assert main(["check", "images"]) == 2
    assert "imgprep match" in capsys.readouterr().err


def test_rows_without_a_product_are_not_counted_as_one(shop, capsys):
    (shop / "bare.csv").write_text("ProductId,CustomContent,PicName\n,x,a.jpg\n,x,autumn/b.jpg\n", encoding="utf-8")
    assert main(["plan", "bare.csv", "--images", "images", "--format", "json"]) == 0
    assert [(each["rows"], each["products"]) for each in json.loads(capsys.readouterr().out)] == [(2, 0)]


def test_rows_that_are_left_out_are_not_counted_as_checked(shop, capsys):
    main(["check", "shop.csv", "--images", "images", "--where", "ProductId in ('1', '2')"])
    assert "\n2 rows checked: " in capsys.readouterr().out


def test_images_of_excluded_rows_are_not_counted_as_those_of_the_batch(shop, capsys):
    assert main(["build", "shop.csv", "--images", "images", "--out", "batch"]) == 1
    assert "batch: 2 lines, 2 images. Next: imgprep upload batch" in capsys.readouterr().err


def test_a_week_without_changes_does_not_lead_to_an_upload(shop, capsys):
    (shop / "imgprep.toml").write_text(
        '[shop]\ncatalogue = "shop.csv"\nimages = "images"\nwhere = "ProductId = \'9\'"\n'
    )
    main(["week"])
    errors = capsys.readouterr().err
    assert "There is nothing to send" in errors and "imgprep upload" not in errors


def test_a_url_that_was_not_fetched_leads_on(shop, capsys):
    (shop / "urls.csv").write_text("ProductId,image\n1,http://127.0.0.1:9/a.jpg\n", encoding="utf-8")
    assert main(["fetch", "urls.csv", "--into", "fetched", "--column", "image"]) == 3
    assert "private_host: if you trust the export: private=True, --private" in capsys.readouterr().err


def test_images_without_a_table_lead_on(shop, capsys):
    assert main(["match", "--images", "images"]) == 2
    assert "For images without a table, make a table with the column ProductId" in capsys.readouterr().err
