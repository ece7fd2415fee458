"""Bad input and missing set-up get a clear answer, and lose nothing."""

import pandas as pd
import pytest

from imgprep.cli.main import main
from imgprep.cloud.imagesearch import ImageSearch
from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.settings import Settings
from imgprep.load.catalogue import load_catalogue
from imgprep.load.export import sniff_encoding
from imgprep.ship.report.match import read_report


def test_a_stray_nul_does_not_lose_a_utf8_catalogue(tmp_path):
    path = tmp_path / "nul.csv"
    path.write_bytes(b"ProductId,PicName\n1,a\x00.jpg\n2,b.jpg\n")
    assert load_catalogue(path)["ProductId"].tolist() == ["1", "2"]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"sku,img\n1\0,a.jpg\n", "utf-8"),
        (b"a,b,c\n1,\0,\0\n2,\0,\0\n", "utf-8"),
        ("名称,价格\n裙\0子,3\n裙子,衣,4\n".encode("gb18030"), "gb18030"),
        ("prix,été\n1\0,é\n2,x\n".encode("cp1252"), "cp1252"),
    ],
)
def test_a_stray_nul_in_a_small_file_does_not_make_it_utf16(data, encoding):
    assert sniff_encoding(data) == encoding


def test_a_few_rarer_characters_are_chinese_and_accents_are_not():
    assert sniff_encoding("sku,name,color\n1,Dress 連衣裙,藍\n2,Shoes,綠\n".encode("gb18030")) == "gb18030"
    for text in ("Größe,Farbe\n1,grün,Übergröße\n", "año,niño\n1,pequeño ñoño\n", "RÉF,DÉSIGNATION\n1,ÀÉÈ\n"):
        assert sniff_encoding(text.encode("cp1252")) == "cp1252"


@pytest.mark.parametrize("cell", ["￥{}.00", "{}×40", "{}℃", "size（{}）"])
def test_signs_between_digits_are_chinese_too(cell):
    text = "sku,image,note\n" + "".join(f"{n},{n}.jpg,{cell.format(n)}\n" for n in range(200))
    assert sniff_encoding(text.encode("gb18030")) == "gb18030"
    assert sniff_encoding("sku,précio\n1,¡Ámbar! año, 30° £5\n".encode("cp1252")) == "cp1252"


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


def test_missing_credentials_are_reported_at_once_and_not_asked_for_again():
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


def written(tmp_path, text, name="export.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def errors(catalogue):
    findings = catalogue.attrs["findings"]
    return findings.loc[findings["severity"] == "error", ["rule", "row"]].values.tolist()


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_quote_open_to_the_end_of_the_file_is_an_error_of_its_record(tmp_path, end):
    path = written(tmp_path, 'sku,title,image\n1,Shirt,a.jpg\n2,"Dress,b.jpg\n3,Hat,c.jpg' + end)
    assert ["quote-left-open", 2] in errors(load_catalogue(path))


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ('sku,title,image\n1,"Shirt,a.jpg\n2,"Dress,b.jpg\n3,Hat,c.jpg\n', 1),
        ('sku,title,image\n1,Shirt,a.jpg\n2,"Dress,b.jpg\n3,Hat,c.jpg\n4,"Bag,d.jpg\n', 2),
    ],
)
def test_two_stray_quotes_do_not_swallow_records_silently(tmp_path, text, row):
    assert ["quote-left-open", row] in errors(load_catalogue(written(tmp_path, text)))


def test_a_description_of_several_lines_is_no_open_quote(tmp_path):
    text = 'sku,image,text\n1,a.jpg,"Soft, warm.\n\nWash cold, dry flat"\n2,b.jpg,"Nice\nin red, blue, green"\n'
    catalogue = load_catalogue(written(tmp_path, text))
    assert len(catalogue) == 2 and not errors(catalogue)


def test_an_inch_sign_makes_no_quote(tmp_path):
    catalogue = load_catalogue(written(tmp_path, 'sku,title,image\n1,5" pipe,a.jpg\n2,Shirt,b.jpg\n'))
    assert catalogue["ProductId"].tolist() == ["1", "2"] and not errors(catalogue)
    assert catalogue["title"].tolist() == ['5" pipe', "Shirt"]


def test_an_export_without_records_is_an_error(tmp_path):
    assert errors(load_catalogue(written(tmp_path, "sku,image\n")))[0][0] == "no-records"


def test_an_empty_object_for_an_export_is_an_error_and_a_catalogue(tmp_path):
    (tmp_path / "x.csv").write_text("{}")
    catalogue = load_catalogue(tmp_path / "x.csv")
    assert "no-records" in set(catalogue.attrs["findings"]["rule"]) and catalogue["not_read"].notna().all()


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [(bytes(range(1, 32)) * 160, "x.csv", "is not text"), (b"PKxx-no-workbook", "x.xlsx", "is not a workbook")],
)
def test_what_is_no_catalogue_is_refused(tmp_path, content, name, words):
    with pytest.raises(CatalogueError, match=words):
        load_catalogue(written(tmp_path, content, name))


def test_a_guessed_encoding_is_a_warning(tmp_path):
    path = written(tmp_path, "sku,title,image\n1,Größe,a.jpg\n".encode("latin-1"))
    findings = load_catalogue(path).attrs["findings"].set_index("rule")
    assert findings.loc["file-encoding", "severity"] == "warning"


def test_a_sandbox_never_asks_the_network_for_credentials(monkeypatch):
    for name in ("OSS_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.replace("_ID", "_SECRET"), raising=False)
    monkeypatch.setattr(
        "imgprep.core.credentials.EnvironmentCredentials._vendor_chain", lambda self: pytest.fail("asked")
    )
    settings = Settings(oss_endpoint="http://127.0.0.1:9", imagesearch_endpoint="http://127.0.0.1:9")
    for provider in (settings.oss_credentials, settings.imagesearch_credentials):
        with pytest.raises(ConfigError, match="imgprep sandbox"):
            provider.credentials()


def test_an_odd_record_with_damaged_bytes_is_kept_and_nothing_is_complained_of_on_stderr(tmp_path, capfd):
    good = "".join(f"{n},Größe {n},{n}.jpg\n" for n in range(300)).encode()
    odd = written(tmp_path, b"sku,title,image\n" + good + b"X,Gr\xf6\xdfe,more,x.jpg\nY,Hat,y.jpg\n")
    assert load_catalogue(odd)["ProductId"].tolist()[-2:] == ["X", "Y"]
    assert capfd.readouterr().err == ""


def test_a_nul_in_a_columns_name_costs_no_column(tmp_path):
    # polars panics on such a name, with what is no Exception.
    catalogue = load_catalogue(written(tmp_path, "sku;title;imag\0;price\n1;Shirt;a.jpg;2\n2;Hat;b.jpg;3\n"))
    assert catalogue["imag\ufffd"].tolist() == ["a.jpg", "b.jpg"]
    assert catalogue.attrs["findings"]["rule"].tolist() == ["column-renamed"]


def test_half_a_surrogate_pair_costs_no_record_of_a_catalogue(tmp_path):
    text = '{"sku": "1", "im\\ud800": "a\\ud800.jpg"}\n{"sku": "2", "im\\ud800": "b.jpg", "im\\udc00": "x"}\n'
    catalogue = load_catalogue(written(tmp_path, text, "export.jsonl"))
    assert catalogue["im\ufffd"].tolist() == ["a\ufffd.jpg", "b.jpg"]
    assert catalogue["im\ufffd (2)"].tolist()[1] == "x"
    assert "text-damaged" in catalogue.attrs["findings"]["rule"].tolist()


def test_half_a_surrogate_pair_costs_no_entry_of_a_report():
    batch = pd.DataFrame({"line": [1], "OperationType": ["ADD"], "ProductId": ["CL-1"], "PicName": ["a.jpg"]})
    report = b'[{"Pro\\ud800": "1", "PicName": "a.jpg", "Code": "PicNotExist", "Message": "\\udfff"}]'
    outcome = read_report(report, batch)
    assert outcome["cause"].tolist() == ["image_missing"] and outcome["message"].item() == "\ufffd"
    assert outcome["raw"].item().encode() == report[1:-1]


def test_an_invalid_address_is_reported_where_it_is_fetched_and_stops_nothing_before(tmp_path):
    from imgprep.look.fetch import fetch_images

    catalogue = load_catalogue(written(tmp_path, "sku,image\n1,http://h[x\n2,http://h].jpg\n"))
    assert catalogue["PicName"].nunique() == 2
    log = fetch_images(catalogue, tmp_path / "images", column="image_url", progress=False)
    assert log["problem"].tolist() == ["bad_url"] * 2
