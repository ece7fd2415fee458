"""Bad input and missing set-up get a clear answer, and lose nothing."""

import pandas as pd
import pytest

from imgprep.catalogue import load_catalogue
from imgprep.catalogue.encoding import sniff_encoding
from imgprep.cli import main
from imgprep.errors import ConfigError
from imgprep.reports import read_report
from imgprep.service import ImageSearch
from imgprep.settings import Settings


def test_a_stray_nul_does_not_lose_a_utf8_catalogue(tmp_path):
    path = tmp_path / "nul.csv"
    path.write_bytes(b"ProductId,PicName\n1,a\x00.jpg\n2,b.jpg\n")
    assert load_catalogue(path)["ProductId"].tolist() == ["1", "2"]


@pytest.mark.parametrize("text", ["sku,image\n1,a.jpg\n", "名称,价格\n山茶花连衣裙,十二\n"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_still_seen(text, encoding):
    assert sniff_encoding((text * 20).encode(encoding)) == encoding


def test_a_column_named_like_its_field_is_not_doubled(tmp_path):
    path = tmp_path / "fields.csv"
    path.write_text("ProductId,PicName\n1,a.jpg\n")
    catalogue = load_catalogue(path)
    assert catalogue.columns.tolist() == ["row", "ProductId", "PicName"]
    assert len(catalogue.attrs["findings"]) == 0


def test_an_unknown_code_beside_both_keys_stays_unrecognised():
    batch = pd.DataFrame({"line": [1], "OperationType": ["ADD"], "ProductId": ["CL-1"], "PicName": ["a.jpg"]})
    report = b'ProductId="CL-1" PicName="a.jpg" WeirdCode: The picture was not imported.\n'
    assert read_report(report, batch)["cause"].tolist() == ["unrecognised"]


def test_a_complaint_about_the_product_id_is_still_read():
    batch = pd.DataFrame({"line": [1], "OperationType": ["ADD"], "ProductId": ["CL-1"], "PicName": ["a.jpg"]})
    report = b'ProductId="CL-1" PicName="a.jpg": the product id is too long\n'
    assert read_report(report, batch)["cause"].tolist() == ["bad_product_id"]


def test_a_port_that_is_none_is_a_clean_error(capsys):
    assert main(["sandbox", "--port", "99999"]) == 2
    assert "0 to 65535" in capsys.readouterr().err


def test_missing_credentials_are_said_at_once_and_not_asked_for_again():
    class Nothing:
        asked = 0

        def credentials(self):
            self.asked += 1
            raise ConfigError("credentials: none found")

    nothing = Nothing()
    settings = Settings(
        region="cn-shanghai",
        instance="demo",
        imagesearch_endpoint="http://127.0.0.1:9",
        imagesearch_credentials=nothing,
    )
    with pytest.raises(ConfigError, match="none found"):
        ImageSearch(settings, patience=0.5).tasks(newest=1)
    assert nothing.asked == 1
