"""Conditions on rows: read and never run as code; what they leave out is never deleted by absence."""

import pandas as pd
import polars as pl
import pytest
from exports_made import MAGENTO, delimited, findings_of, load

from imgprep.cli.main import main
from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.settings import Settings
from imgprep.load.where import MAX_CHARS, Where
from imgprep.look.rules.book import check
from imgprep.plan.make import plan_batch

ROWS = pl.DataFrame(
    {
        "status": ["active", "Draft", None, "active"],
        "price": ["9,50", "120,00", "", "n/a"],
        "Type Name": ["Mug%", "cup", "it's", "a_b"],
    }
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("status = 'active'", "1001"),
        ("status != 'active'", "0110"),
        ('status <> "active" and not status is empty', "0100"),
        ("price > 100", "0100"),
        ("price <= 9.5 or status is empty", "1010"),
        ("price != 120", "1011"),
        ("status in ('active', 'Draft') and price in (9.5, 120)", "1100"),
        ("status not in ('active')", "0110"),
        ("`Type Name` like 'mug%'", "1000"),
        ("`Type Name` like 'it''s'", "0010"),
        ("'Type Name' not like '%u%'", "0011"),
        ("\"Type Name\" like 'a_b'", "0001"),
        ("not (status = 'active' or status is empty)", "0100"),
        ("status = 'active' or status = 'Draft' and price > 100", "1101"),
        ("STATUS is not empty", None),
        ("status IS NOT EMPTY", "1101"),
    ],
)
def test_conditions_mean_what_they_say(text, wanted):
    if wanted is None:
        with pytest.raises(CatalogueError, match="did you mean status"):
            Where(text, ROWS.columns)
    else:
        assert "".join(str(int(fits)) for fits in Where(text, ROWS.columns).mask(ROWS)) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "status",
        "status =",
        "status = active",
        "status = 'active",
        "status = 'a' and",
        "(status = 'a'",
        "status = 'a')",
        "status in ()",
        "status like 5",
        "price > price",
        "__import__('os').system('true')",
        "status = 'a'; drop",
        "@status == 1",
        "(" * 60 + "status = 'a'" + ")" * 60,
        "not " * 60 + "status = 'a'",
        "status = '" + "x" * MAX_CHARS + "'",
    ],
)
def test_what_is_no_condition_is_refused_with_its_place(text):
    with pytest.raises(CatalogueError, match=r"where: .*character \d+"):
        Where(text, ROWS.columns)


EXPORT = "sku,status,image\n1,active,a.jpg\n2,draft,b.jpg\n3,draft,c.jpg\n4,active,a.jpg\n"


def test_rows_left_out_are_excluded_with_that_reason_and_never_deleted(tmp_path):
    catalogue = load(tmp_path, EXPORT, where="status = 'active'").assign(CustomContent="k:v")
    held = {"ProductId": ["2", "3", "9"], "PicName": ["b.jpg", "old.jpg", "z.jpg"], "state": "held"}
    plan = plan_batch(catalogue, known=pd.DataFrame(held), delete_missing=True)
    assert plan.excluded[["ProductId", "reason"]].values.tolist() == [
        ["2", "left-out-by-where"],
        ["3", "left-out-by-where"],
    ]
    assert plan.batch[["OperationType", "ProductId"]].values.tolist() == [["ADD", "1"], ["ADD", "4"], ["DELETE", "9"]]
    assert "2 records of 4 left out" in findings_of(catalogue, "left-out-by-where")["message"].iloc[0]


def test_rows_left_out_are_not_checked_and_not_counted(tmp_path):
    text = EXPORT.replace("2,draft,b.jpg", ",draft,")
    found = check(load(tmp_path, text, where="status = 'active'").assign(CustomContent="k:v"))
    assert not {"product-id-missing", "pic-name-missing"} & set(found["rule"])
    assert found.attrs["ran"].set_index("rule").loc["pic-name-missing", "rows"] == 2


def test_a_condition_that_nothing_fits_is_an_error(tmp_path):
    catalogue = load(tmp_path, EXPORT, where="status = 'Active'")
    assert findings_of(catalogue, "left-out-by-where")["severity"].tolist() == ["error"]


def test_one_product_for_each_image_is_kept_where_asked(tmp_path):
    catalogue = load(tmp_path, EXPORT, one_product=True).assign(CustomContent="k:v")
    plan = plan_batch(catalogue)
    assert plan.batch["ProductId"].tolist() == ["1", "2", "3"]
    assert plan.excluded["reason"].tolist() == ["image-of-another-product"]
    kept = load(tmp_path, EXPORT, one_product=True, where="sku > 1")
    assert kept["left_out"].isna().tolist() == [False, True, True, True]


def test_magento_offers_to_leave_out_variants_and_shared_images(tmp_path):
    records = [
        {"sku": f"V{n}", "name": "Mug", "base_image": "/m/mug.jpg", "visibility": "Not Visible Individually"}
        for n in range(3)
    ]
    records += [{"sku": "V", "name": "Mug", "base_image": "/m/mug.jpg", "visibility": "Catalog, Search"}]
    text = delimited([*MAGENTO, "visibility"], records)
    catalogue = load(tmp_path, text)
    (found,) = findings_of(catalogue, "record-not-listed").to_dict("records")
    assert "3 records of 4 hidden" in found["message"]
    assert "one_product = true" in findings_of(catalogue, "image-of-another-product")["fix"].iloc[0]
    where = found["fix"].partition('where = "')[2].partition('"')[0]
    chosen = load(tmp_path, text, where=where)
    assert chosen.loc[chosen["left_out"].isna(), "ProductId"].tolist() == ["V"]
    assert not len(findings_of(chosen, "image-of-another-product"))


def test_the_product_that_the_shop_shows_is_kept_rather_than_a_hidden_variant_before_it(tmp_path):
    records = [
        {"sku": "V-S", "name": "Mug", "base_image": "/m/mug.jpg", "visibility": "Not Visible Individually"},
        {"sku": "V", "name": "Mug", "base_image": "/m/mug.jpg", "visibility": "Catalog, Search"},
        {"sku": "W-S", "name": "Cup", "base_image": "/m/cup.jpg", "visibility": "Not Visible Individually"},
    ]
    catalogue = load(tmp_path, delimited([*MAGENTO, "visibility"], records), one_product=True)
    assert catalogue.loc[catalogue["left_out"].isna(), "ProductId"].tolist() == ["V", "W-S"]


def test_the_project_file_holds_sheet_where_and_choice(tmp_path):
    file = tmp_path / "imgprep.toml"
    file.write_text("[shop]\nsheet = 2\nwhere = \"status = 'active'\"\none_product = true\n")
    shop = Settings.load(file)
    assert (shop.sheet, shop.where, shop.one_product) == (2, "status = 'active'", True)
    assert shop.reading.keys() == {"preset", "columns", "sheet", "where", "one_product"}
    file.write_text('[shop]\none_product = "yes"\n')
    with pytest.raises(ConfigError, match="true or false"):
        Settings.load(file)


def test_the_command_takes_a_condition(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.csv").write_text(EXPORT)
    main(["check", "e.csv", "--where", "status = 'active'", "--format", "json"])
    assert "left-out-by-where" in capsys.readouterr().out
    assert main(["check", "e.csv", "--where", "statsu = 'active'"]) == 2
    assert "did you mean status" in capsys.readouterr().err
