"""What an export may hide: other sheets, a header that is none, quotes of another kind, letters of another encoding."""

import csv
import io
import random

import openpyxl
import pandas as pd
import pytest
from exports_made import findings_of, load

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.load.catalogue import NOT_READ
from imgprep.look.inspect import inspect_images
from imgprep.look.match_names import match_names
from imgprep.plan.make import plan_batch
from tests.samples import sampled

# Sheets


def workbook(tmp_path, sheets, **more):
    """Sheets, name → lines, as a workbook, loaded."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, lines in sheets.items():
        sheet = book.create_sheet(name.removeprefix("-"))
        sheet.sheet_state = "hidden" if name.startswith("-") else "visible"
        for line in lines:
            sheet.append(line)
    book.save(tmp_path / "made.xlsx")
    return load(tmp_path, (tmp_path / "made.xlsx").read_bytes(), name="export.xlsx", **more)


HEAD = ["sku", "image", "title"]
SHOES, BAGS = [HEAD, ["S1", "s1.jpg", "Boot"], ["S2", "s2.jpg", "Clog"]], [HEAD, ["B1", "b1.jpg", "Tote"]]


def test_sheets_that_are_not_read_are_named_with_their_rows(tmp_path):
    catalogue = workbook(tmp_path, {"Shoes": SHOES, "Bags": BAGS, "-Old": BAGS})
    assert catalogue["ProductId"].tolist() == ["S1", "S2"]
    (found,) = findings_of(catalogue, "sheet-not-read").to_dict("records")
    assert found["severity"] == "warning"
    assert "'Bags' (1 row), 'Old' (1 row, hidden)" in found["message"]


def test_products_of_an_unread_sheet_are_not_deleted_by_absence(tmp_path):
    known = pd.DataFrame({"ProductId": ["B1"], "PicName": ["b1.jpg"], "state": ["held"]})
    catalogue = workbook(tmp_path, {"Shoes": SHOES, "Bags": BAGS})
    plan = plan_batch(catalogue, known=known, delete_missing=True)
    assert plan.deferred["ProductId"].tolist() == ["B1"] and set(plan.batch["OperationType"]) == {"ADD"}
    chosen = workbook(tmp_path, {"Shoes": SHOES, "Bags": BAGS}, sheet="Shoes")
    assert NOT_READ not in chosen
    assert "DELETE" in set(plan_batch(chosen, known=known, delete_missing=True).batch["OperationType"])


@pytest.mark.parametrize(("sheet", "ids"), [("Bags", ["B1"]), (2, ["B1"]), ("2", ["B1"]), ("all", ["S1", "S2", "B1"])])
def test_a_sheet_is_chosen_by_name_or_number_or_all_of_one_shape(tmp_path, sheet, ids):
    notes = [["note"], ["by hand"]]
    catalogue = workbook(tmp_path, {"Shoes": SHOES, "Bags": BAGS, "Notes": notes}, sheet=sheet)
    assert catalogue["ProductId"].tolist() == ids and catalogue["row"].tolist() == list(range(1, len(ids) + 1))
    assert "'Notes' (1 row)" in findings_of(catalogue, "sheet-not-read")["message"].iloc[0]
    if sheet == "all":
        assert catalogue["sheet"].tolist() == ["Shoes", "Shoes", "Bags"]


def test_a_cover_sheet_is_not_taken_for_the_products(tmp_path):
    cover = [["Our autumn range"], ["made by", "Ann"], ["on", "2026-09-01"]]
    assert workbook(tmp_path, {"Cover": cover, "Shoes": SHOES})["ProductId"].tolist() == ["S1", "S2"]


def test_a_sheet_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(CatalogueError, match=r"no sheet 'Shoe'; did you mean Shoes\?; it has the sheets 1 'Shoes'"):
        workbook(tmp_path, {"Shoes": SHOES}, sheet="Shoe")
    with pytest.raises(CatalogueError, match="not a workbook"):
        load(tmp_path, "sku,image\n1,a.jpg\n", sheet="Shoes")


# Header

RECORDS = "P1,Mug,19.90,a.jpg\nP2,Cup,9.50,b.jpg\nP3,Pot,5.00,c.jpg\n"


def test_a_first_line_that_is_a_record_is_an_error_that_stops_deletion_by_absence(tmp_path):
    catalogue = load(tmp_path, RECORDS)
    (found,) = findings_of(catalogue, "header-missing").to_dict("records")
    assert found["severity"] == "error" and "'a.jpg' is an image" in found["message"] and "false" in found["fix"]
    assert NOT_READ in catalogue


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Mug,19.90\nCup,9.50\nPot,5.00\n", "is a number"),
        ("4006381333931,Mug\n4006381333948,Cup\n", "is a number"),
        ("Mug,Kitchen\nCup,Kitchen\nPot,Kitchen\n", "occurs 2 times below"),
        ("https://x.example/a.jpg,Mug\nhttps://x.example/b.jpg,Cup\n", "is an image"),
    ],
)
def test_prices_ids_and_recurring_values_are_no_header(tmp_path, text, why):
    assert why in findings_of(load(tmp_path, text), "header-missing")["message"].iloc[0]


@pytest.mark.parametrize(
    "text",
    [
        "sku,image\n1,a.jpg\n",
        "Artículo,2023,2024\nx,19.90,20.10\n",
        "sku,38,39,40\nA,1,2,3\n",
        "Ref,Foo\nA,x\nRef,Foo\nB,y\n",
        "colour,image\ncolour,a.jpg\ncolour,b.jpg\n",
    ],
)
def test_a_header_of_years_sizes_or_repeated_by_pasting_is_a_header(tmp_path, text):
    assert not len(findings_of(load(tmp_path, text), "header-missing"))


def test_a_list_of_paths_and_labels_is_no_header_and_a_map_for_it_names_the_cause(tmp_path):
    lines = "images/1.jpg Blue Shirt\nimages/2.jpg Shirt\nimages/3.jpg Hat\n"
    assert "among other words" in findings_of(load(tmp_path, lines), "header-missing")["message"].iloc[0]
    with pytest.raises(CatalogueError, match="first line looks like a record"):
        load(tmp_path, RECORDS, columns={"ProductId": "sku"})


def test_an_export_without_a_header_is_read_whole_where_the_map_says_so(tmp_path):
    bare = load(tmp_path, RECORDS, columns={"header": False, "ProductId": "column 1"})
    assert bare["ProductId"].tolist() == ["P1", "P2", "P3"] and bare["PicName"].tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert not len(findings_of(bare, "header-missing"))
    named = load(tmp_path, RECORDS, columns={"header": ["sku", "title", "price", "image"]})
    assert named[["row", "ProductId", "price"]].values.tolist()[0] == [1, "P1", "19.90"]
    torn = load(tmp_path, RECORDS + "P4,Jar,1,2,d.jpg\n", columns={"header": False})
    assert findings_of(torn, "record-too-many-cells")["row"].tolist() == [4]
    with pytest.raises(CatalogueError, match="names 2 columns, and the export has 4"):
        load(tmp_path, RECORDS, columns={"header": ["sku", "image"]})


def test_a_sheet_without_a_header_is_noticed_too(tmp_path):
    catalogue = workbook(tmp_path, {"Shoes": SHOES[1:]}, columns={"header": HEAD})
    assert catalogue["ProductId"].tolist() == ["S1", "S2"]
    assert len(findings_of(workbook(tmp_path, {"Shoes": SHOES[1:]}), "header-missing"))


# Encoding


@pytest.mark.parametrize("late", [False, True])
def test_chinese_files_with_latin_letters_are_not_read_as_western(tmp_path, late):
    names = ["Šviesi suknelė", "Mėlyni batai", "žalias paltas 大衣", "ąčęėįšųū"]
    filler = "plain,p.jpg\n" * (100_000 if late else 0)
    text = "title,image\n" + filler + "".join(f"{name},{n}.jpg\n" for n, name in enumerate(names))
    catalogue = load(tmp_path, text, encoding="gb18030")
    assert catalogue["title"].tolist()[-4:] == names


def test_one_damaged_byte_does_not_turn_a_chinese_file_western(tmp_path):
    text = "名称,图片\n" + "".join(f"连衣裙红色{n},{n}.jpg\n" for n in range(50))
    data = text.encode("gb18030").replace("红色7,".encode("gb18030"), b"\xff,")
    catalogue = load(tmp_path, data)
    assert catalogue["名称"].tolist()[0] == "连衣裙红色0"
    assert findings_of(catalogue, "text-damaged")["row"].tolist() == [8]


# Quotes

DIALECTS = {
    "standard": {},
    "every cell": {"quoting": csv.QUOTE_ALL},
    "single": {"quotechar": "'"},
    "single, every cell": {"quotechar": "'", "quoting": csv.QUOTE_ALL},
    "backslash": {"escapechar": "\\", "doublequote": False},
    "backslash, every cell": {"escapechar": "\\", "doublequote": False, "quoting": csv.QUOTE_ALL},
    "single, backslash": {"quotechar": "'", "escapechar": "\\", "doublequote": False},
    "backslash alone": {"escapechar": "\\", "quoting": csv.QUOTE_NONE},
    "none": None,
}
BITS = [
    '5"',
    "it's",
    '"Best"',
    "'Best'",
    ", ",
    ",",
    ";",
    "\n",
    "C:\\dir\\",
    '"',
    "'",
    "é",
    "",
    " ",
    '\\"',
    "\\'",
    "mug",
]


def written(records, kind):
    text = io.StringIO()
    if DIALECTS[kind] is None:
        return "".join(",".join(cell.replace("\n", " ") for cell in record) + "\n" for record in records)
    csv.writer(text, lineterminator="\n", **DIALECTS[kind]).writerows(records)
    return text.getvalue()


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("tables", sampled((10, 60), 1))
def test_no_record_is_lost_in_any_dialect_without_an_error_that_stops_deletion(tmp_path, kind, tables):
    rng = random.Random(f"dialects {kind}")
    wrong = 0
    for _ in range(tables):
        records = [
            [f"P{n}", "".join(rng.choices(BITS, k=rng.randint(1, 4))), "".join(rng.choices(BITS, k=2)), f"{n}.jpg"]
            for n in range(rng.randint(1, 8))
        ]
        text = written([["sku", "title", "note", "image"], *records], kind)
        columns = {"ProductId": "sku", "PicName": {"column": "image", "split": False}}
        try:
            catalogue = load(tmp_path, text, columns=columns)
        except CatalogueError:  # the header is not found: nothing is planned
            continue
        read = set(zip(catalogue["ProductId"], catalogue["PicName"], strict=True))
        lost = {(record[0], record[3]) for record in records} - read
        assert not lost or NOT_READ in catalogue, (text, lost)
        wrong += NOT_READ in catalogue
    if kind in ("standard", "every cell", "single, every cell"):
        assert wrong <= 1  # some hostile texts are as good in another dialect


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("sku,title,image\n'1','Mug, red','a.jpg'\n'2','it''s','b.jpg'\n", ["Mug, red", "it's"]),
        ('sku,title,image\n"1","5\\" pipe, grey","a.jpg"\n"2","Cup","b.jpg"\n', ['5" pipe, grey', "Cup"]),
        ('sku,title,image\n1,5" pipe,a.jpg\n2,"Best" cup,b.jpg\n', ['5" pipe', '"Best" cup']),
        ('sku,title,image\n1,Mug\\\n\\"red\\"\\\nbig,a.jpg\n2,Cup,b.jpg\n', ['Mug\n"red"\nbig', "Cup"]),
    ],
)
def test_a_dialect_that_alone_fits_is_read_without_a_finding(tmp_path, text, titles):
    catalogue = load(tmp_path, text)
    assert catalogue["title"].tolist() == titles and catalogue["PicName"].tolist() == ["a.jpg", "b.jpg"]
    assert NOT_READ not in catalogue


def test_quoting_that_can_be_read_in_two_ways_is_an_error_with_the_records(tmp_path):
    catalogue = load(tmp_path, 'sku,title,image\n1,"Mug, big",a.jpg\n2,"Best" cup,b.jpg\n')
    (found,) = findings_of(catalogue, "quoting-ambiguous").to_dict("records")
    assert found["severity"] == "error" and "may be wrong" in found["message"] and NOT_READ in catalogue


def test_records_that_a_backslash_joins_or_not_with_as_many_cells_are_an_error(tmp_path):
    catalogue = load(tmp_path, "sku,title,image\n1,\\,\\\n\\,x,a.jpg\n2,Cup,b.jpg\n")
    (found,) = findings_of(catalogue, "quoting-ambiguous").to_dict("records")
    assert found["severity"] == "error" and NOT_READ in catalogue


# Dead ends


def test_a_catalogue_without_a_column_of_images_names_the_way_on(tmp_path):
    catalogue = load(tmp_path, "sku,title\n1,Mug\n2,Cup\n")
    (found,) = findings_of(catalogue, "catalogue-without-images").to_dict("records")
    for ask in (lambda: inspect_images(catalogue, tmp_path), lambda: match_names(catalogue, tmp_path)):
        with pytest.raises(ConfigError, match="imgprep match") as raised:
            ask()
        assert found["message"] in str(raised.value) and "load_catalogue" not in str(raised.value)
    empty = load(tmp_path, "sku,image\n")
    with pytest.raises(ConfigError, match="a header but no records"):
        inspect_images(empty, tmp_path)


def test_a_readme_is_no_export(tmp_path):
    with pytest.raises(CatalogueError, match="unknown extension"):
        load(tmp_path, "# Shop\n\nWords, and more words.\n", name="README.md")


def test_a_leading_slash_is_the_folder_of_images(tmp_path):
    catalogue = load(tmp_path, "sku,image\n1,/folder/a.jpg\n2,//cdn.example/b.jpg\n")
    assert catalogue["PicName"].tolist()[0] == "folder/a.jpg"
    assert catalogue["image_url"].tolist()[1] == "//cdn.example/b.jpg"
    (note,) = findings_of(catalogue, "leading-slash-removed").to_dict("records")
    assert (note["severity"], note["row"], note["value"]) == ("info", 1, "/folder/a.jpg")
    several = load(tmp_path, 'sku,image\n1,b.jpg\n2,"/folder/a.jpg,/c.jpg"\n')
    (note,) = findings_of(several, "leading-slash-removed").to_dict("records")
    assert several["PicName"].tolist() == ["b.jpg", "folder/a.jpg", "c.jpg"]
    assert note["row"] == 2 and note["message"].startswith("2 names began with a slash")
