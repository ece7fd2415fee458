"""An export and a project whose file has comments."""

import pytest

EXPORT = """sku,image,title,price,type,brand
001,a.jpg,Red shirt,"1,234.50",Shirts,Ann
002,b.jpg,<b>Bag</b>,12.00,Hand bags,ann
003,c.jpg,Pot,3.00,Garden,Bob
"""

OURS = """\
# Our shop.
[shop]
catalogue = "export.csv"   # every Monday
[shop.columns]
ProductId = "id"           # the ERP has no sku
PicName = "image"
StrAttr = "season"         # goes away
[shop.columns.CategoryId]
column = "type"
[shop.columns.CategoryId.map]
"Shirts" = 2               # wrong, and corrected below
"Hand bags" = 3            # asked the boss

[service]
instance = "shop"          # production
"""


@pytest.fixture
def export(tmp_path):
    file = tmp_path / "export.csv"
    file.write_text(EXPORT, encoding="utf-8")
    return file


@pytest.fixture
def project(tmp_path, export):
    (tmp_path / "imgprep.toml").write_text(OURS, encoding="utf-8")
    return tmp_path
