"""What real exports contain: nothing is shifted, merged, converted or lost, and oddities are reported."""

import datetime
import os
import random
import time
import zipfile

import openpyxl
import pandas as pd
import pytest
from exports_made import CDN, delimited, findings_of, load, pairs, shopify
from xls_made import xls

from imgprep.core.errors import CatalogueError
from imgprep.load.catalogue import load_catalogue
from imgprep.load.image_names import split_images
from imgprep.look.rules.book import check

# Text and delimiters


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_encoding_and_delimiter_gives_the_same_table(tmp_path, encoding, delimiter):
    records = [{"货号": "007", "标题": "山茶花连衣裙, 长袖; 红|蓝", "图片": "a.jpg"}, {"货号": "1e5", "标题": "NA"}]
    catalogue = load(tmp_path, delimited(list(records[0]), records, delimiter=delimiter), encoding=encoding)
    assert catalogue.columns.tolist()[-3:] == ["货号", "标题", "图片"]
    assert pairs(catalogue) == [(1, "007", "a.jpg"), (2, "1e5", None)]
    assert catalogue["标题"].tolist() == ["山茶花连衣裙, 长袖; 红|蓝", "NA"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_text_stays_as_found_in_every_encoding(tmp_path, encoding):
    text = "sku,title,image,x\n007,名称名称标题,a.jpg,NA\n1e5,价格图片商品,b.jpg,null\n"
    frame = load(tmp_path, text, encoding=encoding)
    assert frame["ProductId"].tolist() == ["007", "1e5"]
    assert frame["x"].tolist() == ["NA", "null"]
    assert frame["title"].tolist() == ["名称名称标题", "价格图片商品"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are POSIX")
def test_a_pipe_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "export.csv")
    with pytest.raises(CatalogueError, match="is not a regular file; save the export"):
        load_catalogue(tmp_path / "export.csv")


def test_a_line_that_names_the_separator_is_not_the_header(tmp_path):
    catalogue = load(tmp_path, "sep=;\r\nsku;image\r\n1;a.jpg\r\n")
    assert pairs(catalogue) == [(1, "1", "a.jpg")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_breaks_inside_cells_stay_there(tmp_path, end):
    text = f'sku,text,image{end}1,"one\r\ntwo\n\nthree",a.jpg{end}2,four,b.jpg{end}'
    catalogue = load(tmp_path, text)
    assert catalogue["text"].tolist() == ["one\r\ntwo\n\nthree", "four"] and catalogue["row"].tolist() == [1, 2]


def test_a_line_break_inside_a_sku_survives_and_the_check_reports_it(tmp_path):
    catalogue = load(tmp_path, 'sku,image\n"AB\n1",a.jpg\nAB2,b.jpg\n')
    assert catalogue["ProductId"].tolist() == ["AB\n1", "AB2"]
    assert checked_rows(catalogue, "product-id-control-character") == [1]


def checked_rows(catalogue, rule):
    found = check(catalogue)
    return found.loc[found["rule"] == rule, "row"].tolist()


def test_records_are_counted_not_lines(tmp_path):
    # 1,994 records on 3,941 lines, header included.
    extra = 3_941 - 1 - 1_994
    cells = ["line\nbreak"] * extra + ["plain"] * (1_994 - extra)
    text = "sku,text,image\n" + "".join(f'S{n},"{cell}",{n}.jpg\n' for n, cell in enumerate(cells))
    assert text.count("\n") == 3_941
    catalogue = load(tmp_path, text)
    assert catalogue["row"].tolist() == list(range(1, 1_995)) and catalogue["ProductId"].iloc[-1] == "S1993"
    assert not len(catalogue.attrs["findings"])


def test_html_and_formulas_are_text_and_nothing_more(tmp_path):
    html = '<p class="x">Red; <b>blue</b>, &amp; <script>alert(1)</script></p>'
    records = [
        {
            "Handle": "a",
            "Title": '=HYPERLINK("http://x.example","go")',
            "Body (HTML)": html,
            "Image Src": f"{CDN}/a.jpg",
        }
    ]
    catalogue = shopify(tmp_path, records)
    assert catalogue["Body (HTML)"].tolist() == [html]
    assert catalogue["Title"].tolist() == ['=HYPERLINK("http://x.example","go")']


def test_a_class_list_with_a_space_between_image_and_label_is_read(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("photos/a.jpg dress\nphotos/b.jpg shoe\nphotos/c.png bag\n", encoding="utf-8")
    columns = {"header": ["file", "label"], "ProductId": "file", "PicName": "file", "CustomContent": "type:{label}"}
    catalogue = load_catalogue(path, columns=columns)
    assert catalogue["PicName"].tolist() == ["photos/a.jpg", "photos/b.jpg", "photos/c.png"]
    assert catalogue["CustomContent"].tolist() == ["type:dress", "type:shoe", "type:bag"]
    path.write_text("a.jpg red dress\nb.jpg shoe\n", encoding="utf-8")
    assert load_catalogue(path).shape[0] == 1, "labels of several words are left as one column"


def test_a_huge_cell_is_not_cut(tmp_path):
    huge = "x" * (5 << 20)  # more than Arrow's block, and than Python's own limit of a cell
    catalogue = load(tmp_path, f"sku,text,image\n1,{huge},a.jpg\n2,y,b.jpg\n")
    assert catalogue["text"].str.len().tolist() == [5 << 20, 1]


def test_bytes_of_another_encoding_damage_their_cell_only_and_are_reported(tmp_path):
    good = "".join(f"{n},Größe {n},{n}.jpg\n" for n in range(200))
    content = ("sku,title,image\n" + good).encode() + b"x,Gr\xf6\xdfe,x.jpg\n"
    catalogue = load(tmp_path, content)
    assert catalogue["title"].tolist()[0] == "Größe 0" and len(catalogue) == 201
    assert findings_of(catalogue, "text-damaged")["row"].tolist() == [201]


def test_a_nul_character_stays_in_its_cell_whichever_way_the_file_is_read(tmp_path):
    catalogue = load(tmp_path, b"sku,title,image\n1,a\x00b,a.jpg\n2,c,b.jpg\n")
    torn = load(tmp_path, b"sku,title,image\n1,a\x00b,a.jpg\n2,c\n")
    assert catalogue["title"].tolist() == torn["title"].tolist() == ["a\x00b", "c"]


# Headers


def test_columns_of_one_name_stay_apart(tmp_path):
    catalogue = load(tmp_path, "sku,image,tag,tag,\n1,a.jpg,x,y,z\n")
    assert catalogue.loc[0, ["tag", "tag (2)", "column 5"]].tolist() == ["x", "y", "z"]
    assert findings_of(catalogue, "column-renamed")["field"].tolist() == ["tag (2)", "column 5"]


def test_metafield_columns_with_dots_brackets_and_braces_can_be_mapped(tmp_path):
    names = ["Fabric (product.metafields.custom.fabric)", "care[0].de", "{odd}"]
    text = delimited(["sku", "image", *names], [{"sku": "1", "image": "a.jpg"} | dict(zip(names, "xyz", strict=True))])
    columns = {"StrAttr": names[0], "CustomContent": f"care:{{{names[1]}}}", "IntAttr": names[2]}
    catalogue = load(tmp_path, text, columns=columns)
    assert catalogue.loc[0, ["StrAttr", "CustomContent", "IntAttr"]].tolist() == ["x", "care:y", "z"]
    assert set(names) <= set(catalogue.columns)


# Records of another width: pandas takes the first columns for an index, and everything shifts


@pytest.mark.parametrize("records", [1, 3])
def test_records_with_more_cells_than_the_header_shift_nothing_and_are_errors(tmp_path, records):
    text = "sku,title,image\n" + "".join(f"A{n},Mug, red,{n}.jpg\n" for n in range(records)) + "B,Cup,b.jpg\n"
    catalogue = load(tmp_path, text)
    assert catalogue["ProductId"].tolist() == [f"A{n}" for n in range(records)] + ["B"]
    assert catalogue["title"].tolist() == ["Mug"] * records + ["Cup"]
    found = findings_of(catalogue, "record-too-many-cells")
    assert found["row"].tolist() == list(range(1, records + 1))
    assert found["severity"].tolist() == ["error"] * records
    assert found["value"].tolist() == [f"{n}.jpg" for n in range(records)]  # what stood beyond the header
    # The cell under "image" is the rest of the title: it is shown as found, and not corrected by a guess.
    assert catalogue["image"].tolist() == [" red"] * records + ["b.jpg"]


def test_empty_cells_beyond_the_header_are_not_errors(tmp_path):
    catalogue = load(tmp_path, "sku,image\n1,a.jpg,,\n2,b.jpg,,\n")
    assert pairs(catalogue) == [(1, "1", "a.jpg"), (2, "2", "b.jpg")]
    assert findings_of(catalogue, "record-empty-cells")["severity"].tolist() == ["info", "info"]


@pytest.mark.parametrize("quoted", ["", '"x\ny"'])
def test_a_shifted_record_whose_last_cells_are_empty_is_not_taken_for_trailing_delimiters(tmp_path, quoted):
    text = f"sku,title,image,stock\n1,Mug, red,a.jpg,\n2,Cup,b.jpg,5\n3,Pot{quoted},c.jpg,4\n"
    found = findings_of(load(tmp_path, text), "record-too-many-cells")
    assert found["row"].tolist() == [1] and found["severity"].tolist() == ["error"]
    assert "like most other records" in found["message"].iloc[0]


def test_blank_records_left_by_a_spreadsheet_are_not_products(tmp_path):
    catalogue = load(tmp_path, "sku,title,image\n1,Mug,a.jpg\n,,\n2,Cup,\n,,\n,,\n")
    assert catalogue["row"].tolist() == [1, 3]
    assert findings_of(catalogue, "record-blank")[["row", "severity"]].to_numpy().tolist() == [[2, "info"]]
    assert findings_of(catalogue, "product-without-image")["ProductId"].tolist() == ["2"]
    only = load(tmp_path, "sku,image\n,\n,\n")
    assert only.empty and findings_of(only, "no-records")["severity"].tolist() == ["error"]


def test_a_record_torn_in_two_is_an_error_of_both_halves(tmp_path):
    catalogue = load(tmp_path, "sku,title,image\n1,Mug\nred,a.jpg\n2,Cup,b.jpg\n")
    found = findings_of(catalogue, "record-too-few-cells")
    assert found["row"].tolist() == [1, 2] and found["severity"].tolist() == ["error", "error"]
    assert len(catalogue) == 3


def test_a_record_torn_in_two_is_not_hidden_by_any_number_of_short_ones(tmp_path):
    short = "".join(f"S{number}\n" for number in range(1200))
    catalogue = load(tmp_path, f"sku,image,title,note\n{short}1,a.jpg,Mug\nred,x\n2,b.jpg,Cup,y\n")
    unread = catalogue["not_read"].eq("record-too-few-cells")
    assert catalogue["row"][unread].tolist() == [1201, 1202]
    assert "error" in findings_of(catalogue, "record-too-few-cells")["severity"].tolist()


# Spreadsheets


def workbook(tmp_path, *lines, formats=()):
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    for cell, code in formats:
        book.active[cell].number_format = code
    file = tmp_path / "export.xlsx"
    book.save(file)
    return load(tmp_path, file.read_bytes(), name="export.xlsx")


def test_a_gap_in_a_sheet_does_not_change_the_numbers_of_the_records_behind_it(tmp_path):
    catalogue = workbook(tmp_path, ["sku", "image"], ["A", "a.jpg"], [None, None], ["B", "b.jpg"])
    assert catalogue[["row", "ProductId"]].to_numpy().tolist() == [[1, "A"], [3, "B"]]
    assert findings_of(catalogue, "record-blank")["row"].tolist() == [2]


def test_skus_that_excel_changed_are_reported_and_not_changed_further(tmp_path):
    catalogue = workbook(
        tmp_path,
        ["sku", "price", "image"],
        ["AB-1", 12.5, "a.jpg"],
        [7, 1234.5, "b.jpg"],  # was 007
        [datetime.datetime(2024, 3, 1), 3, "c.jpg"],  # was 3-1, or MAR1
        [1234567890123456789, 4, "d.jpg"],
        ["'0042", 5, "e.jpg"],
        ["#NAME?", 6, "f.jpg"],
    )
    assert catalogue["ProductId"].tolist() == ["AB-1", "7", "2024-03-01", "1.23456789012346e+18", "0042", "#NAME?"]
    assert catalogue["price"].tolist() == ["12.5", "1234.5", "3", "4", "5", "6"]
    assert catalogue.attrs["preset"]["read"] == "workbook, sheet 'Sheet'"
    found = catalogue.attrs["findings"].set_index("rule")
    assert found.loc["excel-number", ["field", "row"]].tolist() == ["sku", 2]
    assert found.loc["excel-date", ["field", "row", "value"]].tolist() == ["sku", 3, "2024-03-01"]
    assert found.loc["excel-long-number", "row"] == 4
    assert found.loc["apostrophe-removed", "value"] == "'0042"
    assert checked_rows(catalogue, "product-id-damaged") == [4, 6]


def reaching(tmp_path, *cells):
    """A workbook with further cells, as they stand in its XML."""
    workbook(tmp_path, ["sku", "image"], ["A", "a.jpg"])
    made = tmp_path / "far.xlsx"
    with zipfile.ZipFile(tmp_path / "export.xlsx") as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                data = data.replace(b"</sheetData>", "".join(cells).encode() + b"</sheetData>")
            new.writestr(name, data)
    return made


@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_stray_cell_in_the_far_corner_of_a_sheet_does_not_end_the_process(tmp_path, quote):
    cell = '<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>x</t></is></c></row>'.replace('"', quote)
    with pytest.raises(CatalogueError, match="17,179,869,184 cells, including gaps"):
        load_catalogue(reaching(tmp_path, cell))


def test_a_workbook_with_a_damaged_sheet_is_refused(tmp_path):
    workbook(tmp_path, ["sku", "image"], *([f"S{n}", f"{n}.jpg"] for n in range(300)))
    content = bytearray((tmp_path / "export.xlsx").read_bytes())
    start = content.find(b"sheet1.xml") + 60
    content[start : start + 30] = b"\xff" * 30
    with pytest.raises(CatalogueError, match="cannot be read as a workbook"):
        load(tmp_path, bytes(content), name="damaged.xlsx")


@pytest.mark.parametrize("place", ["A200000", "ABC9"])
def test_a_long_or_a_wide_sheet_is_read(tmp_path, place):
    row = place.lstrip("ABC")
    cell = f'<row r="{row}"><c r="{place}" t="inlineStr"><is><t>far</t></is></c></row>'
    catalogue = load_catalogue(reaching(tmp_path, cell))
    assert len(catalogue) == 2 and "far" in catalogue.iloc[1].tolist()


def test_an_error_cell_of_excel_keeps_its_text_and_is_reported(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["sku", "image"])
    book.active.append(["A", "a.jpg"])
    book.active.append(["x", "b.jpg"])
    book.active["A3"].value, book.active["A3"].data_type = "#NAME?", "e"
    book.save(tmp_path / "export.xlsx")
    catalogue = load(tmp_path, (tmp_path / "export.xlsx").read_bytes(), name="export.xlsx")
    assert catalogue["ProductId"].tolist() == ["A", "#NAME?"]
    assert findings_of(catalogue, "excel-error")["field"].tolist() == ["sku"]


def test_the_traces_of_a_spreadsheet_in_a_csv_are_reported(tmp_path):
    catalogue = load(tmp_path, "sku,image\n'007,a.jpg\n1.23E+12,b.jpg\n#NAME?,c.jpg\nB'1,d.jpg\n")
    assert catalogue["ProductId"].tolist() == ["007", "1.23E+12", "#NAME?", "B'1"]
    assert checked_rows(catalogue, "product-id-damaged") == [2, 3]


@pytest.mark.parametrize(
    ("prices", "wanted"),
    [
        (["1,234.50", "99", "0.995"], ["123450", "9900", "100"]),
        (["12,50", "1.234,00", "7"], ["1250", "123400", "700"]),
        (["€ 1.234,50", "15,00 EUR", "-3,10"], ["123450", "1500", "-310"]),
        (["1 234,50", "1'234.50"], None),
        (["n/a", "12.50"], ["n/a", "1250"]),
    ],
)
def test_prices_become_integers_without_losing_a_cent_and_the_reading_is_reported(tmp_path, prices, wanted):
    records = [{"sku": str(n), "price": price, "image": f"{n}.jpg"} for n, price in enumerate(prices)]
    columns = {"IntAttr": {"column": "price", "scale": 100}}
    catalogue = load(tmp_path, delimited(["sku", "price", "image"], records), columns=columns)
    assert catalogue["price"].tolist() == prices  # as found, beside
    found = findings_of(catalogue, "number-format")
    message = found["message"].item()
    if wanted is None:  # two ways of writing in one column: reported, not guessed
        assert "against 1 such as" in message and found["severity"].item() == "warning"
        assert len(findings_of(catalogue, "number-not-read")) == 1
        return
    assert catalogue["IntAttr"].tolist() == wanted and "rounded half-even" in message
    assert len(findings_of(catalogue, "number-not-read")) == prices.count("n/a")


# Images


@pytest.mark.parametrize(
    ("cell", "images"),
    [
        (
            f"{CDN}/a.jpg?v=1, {CDN}/b.jpg?v=2,{CDN}/c.jpg, {CDN}/d.jpg",
            [f"{CDN}/a.jpg?v=1", f"{CDN}/b.jpg?v=2", f"{CDN}/c.jpg", f"{CDN}/d.jpg"],
        ),
        (f"{CDN}/w_100,h_200/a.jpg?v=1,2", [f"{CDN}/w_100,h_200/a.jpg?v=1,2"]),
        (f"{CDN}/w_1,h_2/a.jpg|{CDN}/b.jpg", [f"{CDN}/w_1,h_2/a.jpg", f"{CDN}/b.jpg"]),
        ("a.jpg,b.jpg,c.PNG", ["a.jpg", "b.jpg", "c.PNG"]),
        ("2024/a.jpg; 2024/b.jpg", ["2024/a.jpg", "2024/b.jpg"]),
        ("shirt, blue.jpg", ["shirt, blue.jpg"]),
        ("mug,white,large.jpg,b.jpg", ["mug,white,large.jpg,b.jpg"]),
        ("a.jpg, a.jpg", ["a.jpg"]),
        (" a.jpg , ", ["a.jpg"]),
        ('["a,1.jpg", "b.jpg"]', ["a,1.jpg", "b.jpg"]),
        ("//cdn.example/a.jpg, //cdn.example/b.jpg", ["//cdn.example/a.jpg", "//cdn.example/b.jpg"]),
        ("", []),
    ],
)
def test_a_cell_is_split_where_the_next_image_begins_and_nowhere_else(cell, images):
    assert split_images(cell) == images


def test_each_cell_of_a_column_is_split_in_its_own_way(tmp_path):
    cells = ["a.jpg,b.jpg", "shirt, blue.jpg", f"{CDN}/w_1,h_2/c.jpg", None]
    records = [{"sku": str(n), "image": cell or ""} for n, cell in enumerate(cells)]
    catalogue = load(tmp_path, delimited(["sku", "image"], records))
    assert pairs(catalogue)[:3] == [(1, "0", None), (1, "0", None), (2, "1", None)]
    assert catalogue["PicName"].tolist()[:3] == ["a.jpg", "b.jpg", "shirt, blue.jpg"]
    assert catalogue["image_url"].dropna().tolist() == [f"{CDN}/w_1,h_2/c.jpg"]


def test_one_image_shared_by_several_products_has_one_name(tmp_path):
    records = [{"Handle": handle, "Title": handle, "Image Src": f"{CDN}/chart.jpg?v=1"} for handle in "abc"]
    catalogue = shopify(tmp_path, records)
    assert catalogue["ProductId"].tolist() == ["a", "b", "c"] and catalogue["PicName"].nunique() == 1


def test_a_new_version_of_an_image_keeps_its_name(tmp_path):
    old, new = (
        shopify(tmp_path, [{"Handle": "a", "Image Src": f"{CDN}/a.jpg?v={version}"}]) for version in (1623104890, 7)
    )
    assert old["PicName"].tolist() == new["PicName"].tolist()
    assert old["image_url"].tolist() != new["image_url"].tolist()


def test_one_file_name_in_two_folders_or_months_makes_two_names(tmp_path):
    addresses = [f"https://shop.example/{month}/image.jpg" for month in ("2024/05", "2024/06", "uploads")]
    records = [{"Handle": f"h{n}", "Image Src": address} for n, address in enumerate(addresses)]
    catalogue = shopify(tmp_path, records)
    assert catalogue["PicName"].nunique() == 3 and catalogue["PicName"].str.startswith("image-").all()
    local = load(tmp_path, "sku,image\n1,2024/05/image.jpg\n2,2024/06/image.jpg\n")
    assert local["PicName"].tolist() == ["2024/05/image.jpg", "2024/06/image.jpg"]


def test_a_placeholder_on_57_products_stays_on_each_and_is_reported(tmp_path):
    records = [{"Handle": f"h{n}", "Title": f"T{n}", "Image Src": f"{CDN}/no-image.png"} for n in range(57)]
    catalogue = shopify(tmp_path, records)
    assert len(catalogue) == catalogue["ProductId"].nunique() == 57 and catalogue["PicName"].nunique() == 1
    facts = pd.DataFrame({"PicName": catalogue["PicName"].unique(), "exists": True, "digest": "d" * 32})
    found = check(catalogue, facts)
    assert found["rule"].eq("image-placeholder").any()


def test_products_without_any_image_are_reported_and_not_lost(tmp_path):
    catalogue = load(tmp_path, "sku,title,image\n1,A,a.jpg\n2,B,\n3,C,\n3,C,c.jpg\n4,D,  \n")
    assert catalogue["ProductId"].tolist() == ["1", "2", "3", "3", "4"]
    assert findings_of(catalogue, "product-without-image")["ProductId"].tolist() == ["2", "4"]


def test_no_record_is_lost_with_any_mix_of_odd_cells(tmp_path):
    # Every kind of cell at once, in no order: what went in is what comes out.
    draw = random.Random(20)
    odd = ["", "NA", "null", "007", "1e5", "a\nb", 'say "hi"', "x;y", "名", "<b>", "=1+1", "'7", "1,5", "\u2028", " s "]
    records = [{"sku": f"S{n}", "image": f"{n}.jpg", "a": draw.choice(odd), "b": draw.choice(odd)} for n in range(500)]
    catalogue = load(tmp_path, delimited(["sku", "a", "image", "b"], records))
    for name in ("sku", "a", "b"):
        assert catalogue[name].fillna("").tolist() == [record[name] for record in records]


def test_an_xls_is_read_and_one_whose_stray_cell_needs_all_memory_is_refused(tmp_path):
    table = {(0, 0): "sku", (0, 1): "image", (1, 0): "007", (1, 1): "a.jpg"}
    assert load(tmp_path, xls(table), name="export.xls")["ProductId"].tolist() == ["007"]
    with pytest.raises(CatalogueError, match=r"more memory or time .* stray cells"):
        load(tmp_path, xls({**table, (65_535, 65_535): "x"}), name="far.xls")


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    names = ("office", "table", "text")
    declared = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    cell = '<table:table-cell office:value-type="string" {}><text:p>x</text:p></table:table-cell>'
    many = cell.format('table:number-columns-repeated="16384"')
    rows = f'<table:table-row table:number-rows-repeated="1048573">{many}</table:table-row>'
    sheet = f'<table:table table:name="S">{rows}</table:table>'
    body = f"<office:body><office:spreadsheet>{sheet}</office:spreadsheet></office:body>"
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    with zipfile.ZipFile(tmp_path / "bomb.ods", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("content.xml", f"<office:document-content {declared}>{body}</office:document-content>")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
    assert (tmp_path / "bomb.ods").stat().st_size < 2_000
    with pytest.raises(CatalogueError, match="cannot be read as a workbook"):
        load_catalogue(tmp_path / "bomb.ods")
    monkeypatch.setattr("imgprep.load.excel.MAX_UNPACKED", 500)
    with pytest.raises(CatalogueError, match="at most 500 are read"):
        load_catalogue(tmp_path / "bomb.ods")


# Fields


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


def test_a_field_repaired_from_the_column_of_its_own_name_keeps_both(tmp_path):
    catalogue = load(tmp_path, "ProductId,PicName\n'001,https://x.example/a.jpg\n'002,b.jpg\n")
    assert catalogue["ProductId"].tolist() == ["001", "002"]
    assert catalogue["image_url"].fillna("").tolist() == ["https://x.example/a.jpg", ""]
    assert catalogue["PicName (source)"].tolist() == ["https://x.example/a.jpg", "b.jpg"]


@pytest.mark.parametrize("form", ["xml", "jsonl"])
def test_records_that_each_name_a_column_of_their_own_are_read_in_linear_python(tmp_path, form):
    numbers = range(5000)
    if form == "xml":
        items = (
            f"<item><id>{n}</id><image_link>http://h/{n}.jpg</image_link><e{n}>x{n}</e{n}></item>" for n in numbers
        )
        text = f"<rss><channel>{''.join(items)}</channel></rss>"
    else:
        text = "".join(f'{{"ProductId": "{n}", "PicName": "{n}.jpg", "e{n}": "x{n}"}}\n' for n in numbers)
    (tmp_path / f"feed.{form}").write_text(text, encoding="utf-8")
    began = time.process_time()
    frame = load_catalogue(tmp_path / f"feed.{form}")
    assert time.process_time() - began < 6  # 12 s and more where each of 25,000,000 cells is looked up
    for number in (0, 17, 4999):
        assert frame[f"e{number}"].dropna().to_dict() == {number: f"x{number}"}
