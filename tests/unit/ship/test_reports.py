"""The outcome of every line from an error report in any form."""

import gzip
import io
import json
import zipfile

import pandas as pd
import pytest

from imgprep.core.errors import ConfigError, ReportError
from imgprep.ship.report import source as arrays
from imgprep.ship.report.causes import CauseTable, load_causes
from imgprep.ship.report.match import Outcome, read_report, settle
from imgprep.ship.report.source import array_lines


@pytest.fixture
def batch():
    return pd.DataFrame(
        {
            "line": pd.array([1, 2, 3, 4, 5], dtype="Int64"),
            "OperationType": ["ADD", "ADD", "ADD", "DELETE", "DELETE"],
            "ProductId": ["1000", "1000", "1001", "1004", "1005"],
            "PicName": ["a 1.jpg", "b.jpg", "c.jpg", "d.jpg", None],
        }
    )


def outcomes(frame):
    return dict(zip(frame["line"].tolist(), frame["outcome"].tolist(), strict=True))


FAILED_2_3 = {1: "imported", 2: "failed", 3: "failed", 4: "deleted", 5: "deleted"}
#: The same where an entry is about no line of the batch, or may be about any.
DOUBTED = {1: "unknown", 2: "failed", 3: "failed", 4: "unknown", 5: "unknown"}

JSON_LINES = (
    '{"ProductId": "1000", "PicName": "b.jpg", "Code": "PicNotExist", "Message": "gone"}\n'
    '{"ProductId": "1001", "PicName": "c.jpg", "Code": "IncorrectOrientation", "Message": "turned"}\n'
)
FORMS = {
    "json lines": JSON_LINES,
    "json lines, crlf": JSON_LINES.replace("\n", "\r\n"),
    "json array": json.dumps([json.loads(line) for line in JSON_LINES.splitlines()], indent=2),
    "csv with header": "ProductId,PicName,ErrorCode,Msg\n1000,b.jpg,PicNotExist,x\n1001,c.jpg,IncorrectOrientation,\n",
    "tsv with other names": "item_id\tpic_name\treason\n1000\tb.jpg\tPicNotExist\n1001\tc.jpg\tIncorrectOrientation",
    "chinese csv": "商品ID,图片名称,失败原因\n1000,b.jpg,图片不存在\n1001,c.jpg,图片旋转\n",
    "csv without header": "1000,b.jpg,PicNotExist,gone\n1001,c.jpg,IncorrectOrientation,turned\n",
    "csv, cell with newline": 'PicName,Code,Message\nb.jpg,PicNotExist,"gone\nforever"\nc.jpg,IncorrectOrientation,x\n',
    "plain, named": "ProductId=1000 PicName=b.jpg: PicNotExist\nProductId=1001 PicName=c.jpg: IncorrectOrientation\n",
    "plain, loose": "b.jpg does not exist, picture not exist\nimage c.jpg has a wrong EXIF orientation\n",
    "plain, by line": "line 2: PicNotExist\nline 3: IncorrectOrientation\n",
    "plain chinese by line": "第2行 图片不存在\n第3行 图片旋转\n",
    "json by line from 1": '{"line": 2, "Code": "PicNotExist"}\n{"line": 3, "Code": "IncorrectOrientation"}\n',
    "mixed": '# synthetic\n{"PicName": "b.jpg", "Code": "PicNotExist"}\nline 3: IncorrectOrientation\n\n',
    "no newline at the end": JSON_LINES.rstrip(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_names_the_same_two_failures(form, batch):
    found = read_report(FORMS[form].encode(), batch)
    assert outcomes(found) == FAILED_2_3
    assert found["cause"].tolist()[1:3] == ["image_missing", "rotated"]
    assert found["cause"].isna().tolist() == [True, False, False, True, True]
    assert found.attrs["unmatched"].empty


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_encodings(encoding, batch):
    assert outcomes(read_report(FORMS["chinese csv"].encode(encoding), batch)) == FAILED_2_3


def test_archives_are_opened(batch, tmp_path):
    assert outcomes(read_report(gzip.compress(JSON_LINES.encode()), batch)) == FAILED_2_3
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("report.json", JSON_LINES)
    file = tmp_path / "report.zip"
    file.write_bytes(buffer.getvalue())
    assert outcomes(read_report(file, batch)) == FAILED_2_3
    with pytest.raises(ReportError, match="broken archive"):
        read_report(gzip.compress(JSON_LINES.encode())[:-20], batch)


def test_line_numbers_from_zero_are_recognised_by_line_zero(batch):
    text = '{"line": 0, "Code": "PicNotExist"}\n{"line": 3, "Code": "IncorrectOrientation"}\n'
    found = outcomes(read_report(text.encode(), batch))
    assert [line for line, outcome in found.items() if outcome == "failed"] == [1, 4]


def test_line_numbers_from_zero_are_recognised_by_the_names_beside_them(batch):
    text = '{"line": 1, "PicName": "b.jpg", "Code": "X"}\n{"line": 2, "PicName": "c.jpg", "Code": "Y"}\n{"line": 2}\n'
    found = read_report(text.encode(), batch)
    assert outcomes(found) == FAILED_2_3


def test_an_image_of_two_products_is_unknown_where_only_the_image_is_named():
    batch = pd.DataFrame({"line": [1, 2], "OperationType": "ADD", "ProductId": ["1", "2"], "PicName": "same.jpg"})
    found = read_report(b'{"PicName": "same.jpg", "Code": "PicNotExist"}', batch)
    assert outcomes(found) == {1: "unknown", 2: "unknown"}
    both = read_report(b'{"PicName": "same.jpg", "Code": "PicNotExist"}\n' * 2, batch)
    assert outcomes(both) == {1: "failed", 2: "failed"}


def test_unmatched_entries_are_kept_and_counted(batch):
    text = (
        JSON_LINES
        + '{"ProductId": "9", "PicName": "zz.jpg", "Code": "PicNotExist"}\nPicture error somewhere: PictureError\n'
    )
    found = read_report(text.encode(), batch)
    assert outcomes(found) == DOUBTED
    assert found["message"][0] == "2 entries of the report name no line of the batch, and may refer to this one"
    assert found.attrs["unmatched"]["cause"].tolist() == ["image_missing", "download_failed"]
    assert outcomes(read_report(text.encode(), batch, unmatched="ignore")) == FAILED_2_3
    with pytest.raises(ConfigError, match="'doubt' or 'ignore'"):
        read_report(text.encode(), batch, unmatched="x")


def test_another_batchs_report_is_refused(batch):
    with pytest.raises(ReportError, match="another batch"):
        read_report(b'{"ProductId": "77", "PicName": "zz.jpg", "Code": "PicNotExist"}', batch)
    kept = read_report(b'{"ProductId": "77", "PicName": "zz.jpg", "Code": "PicNotExist"}', batch, other_batch="keep")
    assert len(kept.attrs["unmatched"]) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "error page"),
    ],
)
def test_other_content_than_a_report_is_refused(content, words, batch):
    with pytest.raises(ReportError, match=words):
        read_report(content, batch)


def test_an_unknown_code_is_unrecognised(batch):
    found = read_report(b'{"PicName": "b.jpg", "Code": "E-9041", "Message": "qq"}', batch)
    assert (found["cause"][1], found["code"][1]) == ("unrecognised", "E-9041")
    assert "E-9041" in found["raw"][1]


def test_a_user_can_define_a_cause(tmp_path, batch):
    file = tmp_path / "causes.toml"
    file.write_text('[[cause]]\nid = "watermark"\nphrases = ["E-90\\\\d+"]\nremedy = "Remove it."\n', encoding="utf-8")
    found = read_report(b'{"PicName": "b.jpg", "Message": "E-9041"}', batch, causes=load_causes(file))
    assert found["cause"][1] == "watermark"
    file.write_text('[[cause]]\nid = "x"\nphrases = ["("]\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="regular expression"):
        load_causes(file)


def test_every_code_has_one_cause():
    table = CauseTable()
    codes = [code.casefold() for cause in table.causes for code in cause.codes]
    assert len(codes) == len(set(codes))
    assert table.classify("InvalidRegion", "").id == "bad_region"
    assert table.classify(None, "Img Download Failed").id == "download_failed"


def test_settle_gives_every_line_the_same_outcome(batch):
    assert outcomes(settle(batch)) == {1: "imported", 2: "imported", 3: "imported", 4: "deleted", 5: "deleted"}
    unknown = settle(batch, Outcome.UNKNOWN, message="the task failed")
    assert set(unknown["outcome"]) == {"unknown"} and set(unknown["message"]) == {"the task failed"}


def test_a_damaged_byte_costs_no_line(batch):
    assert outcomes(read_report(b"\xfa\xff junk\n" + JSON_LINES.encode(), batch))[2] == "failed"
    report = (
        b'{"PicName": "b.jpg", "Code": "PicNotExist"}\n{"\xd0roductId": "1001", "PicName": "c.jpg", "Code": "E-9"}\n'
    )
    found = outcomes(read_report(report, batch))
    assert found[2] == "failed" and found[3] == "failed"


@pytest.mark.parametrize(
    "entry",
    ['{"PicName": "region.jpg", "Code": "E-9"}', "1,region.jpg,E-9", "PicName=region.jpg ProductId=1 E-9"],
)
def test_the_names_in_an_entry_are_not_its_cause(entry):
    batch = pd.DataFrame({"line": [1], "OperationType": "ADD", "ProductId": ["1"], "PicName": ["region.jpg"]})
    found = read_report(entry.encode(), batch)
    assert found[["outcome", "cause"]].values.tolist() == [["failed", "unrecognised"]]


def test_a_long_report_passes_through_in_pieces_of_whole_lines():
    from imgprep.ship.report.source import line_chunks

    lines = [f'{{"line": {at}, "Message": "图片不存在"}}\n' for at in range(2_000)]
    whole = "".join(lines)
    for encoding in ("utf-8", "gb18030"):
        pieces = list(line_chunks(io.BytesIO(whole.encode(encoding)), 4_096))
        assert b"".join(pieces).decode() == whole
        assert len(pieces) > 10 and max(map(len, pieces)) < 3 * 4_096
        assert all(piece.endswith(b"\n") for piece in pieces)


def test_repeated_entries_are_dropped_without_changing_the_outcome(monkeypatch, batch):
    from imgprep.ship.report import match, source

    twice = pd.concat([batch, batch.iloc[[1]].assign(line=6)], ignore_index=True)
    report = (JSON_LINES + '{"ProductId": "9", "PicName": "x.jpg", "Code": "E-1", "Message": "?"}\n') * 400
    whole = read_report(report.encode(), twice)
    held = []
    keep = match._without_repeats
    monkeypatch.setattr(source.line_chunks, "__defaults__", (2_000,))
    monkeypatch.setattr(match, "ROOM", 50)
    monkeypatch.setattr(match, "_without_repeats", lambda *given: held.append(keep(*given)) or held[-1])
    again = read_report(report.encode(), twice)
    pd.testing.assert_frame_equal(again, whole, check_flags=False)
    assert len(held) > 10 and max(part.height for part in held) == 3 + 1
    assert set(again.attrs["unmatched"]["raw"]) == set(whole.attrs["unmatched"]["raw"])
    assert whole.attrs["counts"] == {"entries": 1200, "repeated": 0, "unmatched": 400, "notes": 0}
    assert again.attrs["counts"]["unmatched"] == 400 and 700 < again.attrs["counts"]["repeated"] < 800


@pytest.mark.parametrize("text", [b"\x00\x00\x00", b"[" * 5000, b"# 3 rows in all\n"])
def test_a_report_that_is_not_understood_does_not_prove_success(text):
    batch = pd.DataFrame({"line": [1], "OperationType": "ADD", "ProductId": ["1"], "PicName": ["a.jpg"]})
    with pytest.raises(ReportError, match="no failure was recognised in the report"):
        read_report(text, batch)


def entries_of(data, size):
    from imgprep.ship.report.source import line_chunks

    return list(line_chunks(io.BytesIO(data), size))


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("size", [301, 302, 303, 100_000])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_an_array_streams_item_by_item_in_any_pieces(indent, size, encoding):
    items = [
        {"PicName": f"图片不存在{at}.jpg", "Message": 'a "]}", b [{\\', "n": [at, {"x": None}]} for at in range(40)
    ]
    items += ["text, ] as it is", 5, -1.5e3, True, ["a", "b"]]
    text = json.dumps(items, ensure_ascii=False, indent=indent)
    pieces = entries_of(text.encode(encoding), size)
    assert [json.loads(line) for line in b"".join(pieces).splitlines()] == items
    assert size > 1000 or len(pieces) > 10


def test_items_before_and_after_the_break_of_an_array_are_read(batch):
    items = [{"ProductId": "1000", "PicName": "b.jpg", "Code": "PicNotExist"}]
    for end in (',\n{"PicName": "c.j', ", nonsense]", "]\nline 3: IncorrectOrientation\n"):
        found = read_report((json.dumps(items)[:-1] + end).encode(), batch)
        assert found["cause"].tolist()[1] == "image_missing"
        assert (found["cause"].tolist()[2] == "rotated") == ("line 3" in end)
        if "nonsense" in end:
            assert "nonsense" in "".join(found.attrs["notes"]["raw"])


def test_a_log_line_in_brackets_is_not_an_array(batch):
    found = read_report(b"[2026-01-01] b.jpg: PicNotExist\n[2026-01-02] c.jpg: IncorrectOrientation\n", batch)
    assert outcomes(found) == FAILED_2_3


def test_too_many_unmatched_entries_are_counted_and_written_to_a_file(monkeypatch, batch, tmp_path):
    from imgprep.ship.report import match, source

    monkeypatch.setattr(source.line_chunks, "__defaults__", (2_000,))
    monkeypatch.setattr(match, "ROOM", 50)
    monkeypatch.setattr(match, "UNMATCHED_MAX", 20)
    strays = [f'{{"ProductId": "9", "PicName": "x{at}.jpg", "Code": "E-{at}", "Message": "?"}}' for at in range(400)]
    notes = [f"# note {at}" for at in range(100)]
    rest = tmp_path / "rest.txt"
    rest.write_text("of an earlier reading\n", encoding="utf-8")
    report = JSON_LINES + "\n".join([*strays, *notes, ""])
    found = read_report(report.encode(), batch, other_batch="keep", overflow=rest)
    assert outcomes(found) == DOUBTED
    assert outcomes(read_report(report.encode(), batch, other_batch="keep", unmatched="ignore")) == FAILED_2_3
    held = [*found.attrs["unmatched"]["raw"], *found.attrs["notes"]["raw"]]
    assert sorted([*held, *rest.read_text(encoding="utf-8").splitlines()]) == sorted([*strays, *notes])
    assert len(held) < 200
    assert found.attrs["counts"] == {"entries": 502, "repeated": 0, "unmatched": 400, "notes": 100}
    with pytest.raises(ReportError, match="400 of 402 entries"):
        read_report(report.encode(), batch)


def test_enough_entries_about_a_line_are_kept_for_its_outcome(monkeypatch):
    from imgprep.ship.report import match, source

    monkeypatch.setattr(source.line_chunks, "__defaults__", (500,))
    monkeypatch.setattr(match, "ROOM", 10)
    batch = pd.DataFrame({"line": [1, 2, 3], "OperationType": "ADD", "ProductId": ["1", "2", "3"]})
    batch["PicName"] = ["a.jpg", "same.jpg", "same.jpg"]
    report = [f'{{"ProductId": "1", "PicName": "a.jpg", "Code": "E-1", "Message": "try {at}"}}' for at in range(90)]
    even = ['{"PicName": "same.jpg", "Code": "PicNotExist"}'] * 2
    for more, ends in ((even, "failed"), (even * 2, "unknown")):
        found = read_report("\n".join([*report, *more]).encode(), batch)
        assert outcomes(found) == {1: "failed", 2: ends, 3: ends}
        assert found["message"][0].startswith("try 0")
        assert found.attrs["counts"]["repeated"] > 60


A, B = JSON_LINES.splitlines()
BROKEN = '{"ProductId": "1000", "PicName": "a 1.jpg", "Message": "says "no" to it"}'
SENT_A, SENT_B = (line.split(', "Code"')[0] + "}" for line in (A, B))
WHOLE_AGAIN = {
    "objects side by side": f"{A}{B}\n",
    "a comma is missing in an array": f"[{A}{B}]",
    "an array after a note": f"# made today\n[{A}, {B}]\n",
    "an array that begins with nothing": f"[null,{A},{B}]",
    "arrays line by line": '["1000", "b.jpg", "PicNotExist"]\n["1001", "c.jpg", "IncorrectOrientation"]\n',
    "two byte order marks": f"\ufeff\ufeff[{A}, {B}]",
    "an array below a title": f"made today\n[\n  {A},\n  {B}\n]\n",
    "two arrays": f"[{A}]\n[{B}]",
    "two arrays, indented": json.dumps([json.loads(A)], indent=2) + "\n" + json.dumps([json.loads(B)], indent=2),
    "objects of several lines": "\n".join(json.dumps(json.loads(line), indent=2) for line in (A, B)),
    "objects of several lines, with a note between": "\n# more\n".join(
        json.dumps(json.loads(line), indent="\t") for line in (A, B)
    ),
    "an array in an object of several lines": json.dumps(
        {"data": {"failures": [json.loads(A), json.loads(B)]}}, indent=1
    ),
    "an array that breaks off behind an item": json.dumps([json.loads(A), json.loads(B)], indent=2)[:-2],
    "escaped names in an array on its line": f"# 1\n[{A}]\n" + B.replace("c.jpg", "\\u0063.jpg").join("[]"),
    "an array in an object": f'{{"code": 0, "data": {{"total": 2, "failures": [{A}, {B}]}}}}',
    "texts of an array, escaped": json.dumps(["第2行 图片不存在", "第3行 图片旋转"]),
    "line numbers as data frames write them": "line,Code\n2.0,PicNotExist\n3.0,IncorrectOrientation\n",
    "numbers and codes without a header": "2\tPicNotExist\n3\tIncorrectOrientation\n",
    "a table with spaces": "ProductId, PicName, Code\n1000, b.jpg, PicNotExist\n1001, c.jpg , IncorrectOrientation\n",
    "a table with edges": "| PicName | Code |\n| b.jpg | PicNotExist |\n| c.jpg | IncorrectOrientation |\n",
    "keys in an object, codes in another": '{"row": {"PicName": "b.jpg"}, "Error": {"Code": "PicNotExist"}}\n'
    '{"row": {"PicName": "c.jpg"}, "Error": {"Code": "IncorrectOrientation"}}\n',
    "codes beside the lines as sent": f"{SENT_A}\tPicNotExist\n{SENT_B}\tIncorrectOrientation\n",
    "keys of OSS": '{"PicName": "shop/week/b.jpg", "Code": "PicNotExist"}\n'
    "oss://bucket/shop/week/c.jpg IncorrectOrientation\n",
    "chinese keys in plain text": "商品ID：1000，图片：b.jpg，图片不存在\n商品编号:1001 图片名称:c.jpg 旋转\n",
    "a table as Excel writes it": "sep=;\r\n商品编号;图片文件名;错误代码\r\n1000;b.jpg;PicNotExist\r\n"
    "1001;c.jpg;IncorrectOrientation\r\nTotal;2;\r\n",
    "unclosed quotes": 'ProductId,PicName,Code,Message\n1000,b.jpg,PicNotExist,"gone\n'
    '1001,c.jpg,IncorrectOrientation,"turned\n',
}


@pytest.mark.parametrize("form", WHOLE_AGAIN)
def test_an_unusual_form_costs_no_entry(form, batch):
    found = read_report(WHOLE_AGAIN[form].encode(), batch)
    assert outcomes(found) == FAILED_2_3
    assert found["cause"].tolist()[1:3] == ["image_missing", "rotated"]


def test_a_line_number_out_of_range_costs_no_entry_and_matches_no_line(batch):
    text = f'{{"line": {10**30}, "Code": "E-1"}}\n{JSON_LINES}'
    assert outcomes(read_report(text.encode(), batch)) == DOUBTED


def spread(text):
    """An item as it is written over several lines."""
    return text.replace("{", "{\n    ").replace(', "', ',\n    "').replace("}", "\n  }")


@pytest.mark.parametrize("items", [(A, BROKEN, B), (BROKEN, A, B), (A, B, BROKEN)])
@pytest.mark.parametrize("form", ["[{}]", "[\n{}\n]", "[\n  {}\n]\n# end", "{}"])
@pytest.mark.parametrize("size", [60, 100_000])
def test_an_item_that_is_not_json_is_read_as_text_and_costs_no_other(items, form, size, batch, monkeypatch):
    from imgprep.ship.report import source
    from imgprep.ship.report import source as arrays

    monkeypatch.setattr(source.line_chunks, "__defaults__", (size,))
    monkeypatch.setattr(arrays, "_CUT", 20)
    text = form.replace("{}", ",\n  ".join(map(spread, items)) if "\n  " in form or form == "{}" else ",".join(items))
    found = read_report(text.encode(), batch)
    assert outcomes(found) == FAILED_2_3 | {1: "failed"}
    assert found["cause"].tolist()[:3] == ["unrecognised", "image_missing", "rotated"]


def test_a_cell_of_several_lines_is_not_a_row(batch):
    text = 'PicName,Code,Message\nb.jpg,PicNotExist,"gone\nonce, twice, and\nforever"\nc.jpg,IncorrectOrientation,x\n'
    found = read_report(text.encode(), batch)
    assert found["message"][1] == "gone\nonce, twice, and\nforever"
    assert found.attrs["counts"]["entries"] == 2


@pytest.mark.parametrize("size", [40, 75, 90, 100, 1000])
def test_a_cell_of_several_lines_is_complete_in_any_chunks(size, batch, monkeypatch):
    from imgprep.ship.report import source

    monkeypatch.setattr(source.line_chunks, "__defaults__", (size,))
    text = 'PicName,Code,Message\nb.jpg,PicNotExist,"gone\nonce, ""twice"", and\nforever"\n'
    text += 'c.jpg,IncorrectOrientation,"x\ny"'
    found = read_report(text.encode(), batch)
    assert outcomes(found) == FAILED_2_3
    assert found["message"].tolist()[1:3] == ['gone\nonce, "twice", and\nforever', "x\ny"]
    assert found.attrs["counts"] == {"entries": 2, "repeated": 0, "unmatched": 0, "notes": 0}


def test_an_unclosed_quote_at_the_end_costs_no_row(batch, monkeypatch):
    from imgprep.ship.report import source

    monkeypatch.setattr(source.line_chunks, "__defaults__", (50,))
    text = 'PicName,Code,Message\nb.jpg,PicNotExist,"gone\nc.jpg,IncorrectOrientation,"turned\n'
    assert outcomes(read_report(text.encode(), batch)) == FAILED_2_3


def test_a_second_header_applies_to_the_rows_below_it(batch):
    text = (
        "PicName,Code,Host\nb.jpg,PicNotExist,h1\nPicName,Code,Host\nCode,PicName,Zone\nIncorrectOrientation,c.jpg,z1\n"
    )
    found = read_report(text.encode(), batch)
    assert outcomes(found) == FAILED_2_3
    assert found["code"].tolist()[1:3] == ["PicNotExist", "IncorrectOrientation"]
    assert found.attrs["notes"]["raw"].tolist() == ["Code,PicName,Zone"]


def test_a_row_of_words_that_could_be_a_header_is_a_row(batch):
    text = "ProductId,PicName,Code,Host\n1000,b.jpg,error,file\n1001,c.jpg,error,image\n9,id.jpg,E-1,image\n"
    found = read_report(text.encode(), batch)
    assert outcomes(found) == DOUBTED
    assert found.attrs["counts"] == {"entries": 3, "repeated": 0, "unmatched": 1, "notes": 0}


@pytest.mark.parametrize("text", ["{} is missing: PicNotExist", "[ERROR] ({}) PicNotExist", "PicNotExist {}."])
@pytest.mark.parametrize("name", ["a 1.jpg", "(front) x, y.jpg", "back [2]; b.jpg", "1.jpg (copy)"])
def test_a_name_of_several_words_is_found_in_plain_text_and_no_part_of_it_for_another(text, name):
    names = ["1.jpg", "b.jpg", "y.jpg", name]
    batch = pd.DataFrame({"line": range(1, 5), "OperationType": "ADD", "ProductId": list("1234"), "PicName": names})
    found = read_report(("line of the log\n" + text.format(name)).encode(), batch)
    assert found["outcome"].tolist() == ["imported"] * 3 + ["failed"]
    assert found["cause"][3] == "image_missing"


def test_a_title_above_the_header_costs_no_names(batch):
    text = "Failures of the task 4711\n\nPicName,Code\na 1.jpg,PicNotExist\nc.jpg,IncorrectOrientation\n"
    found = read_report(text.encode(), batch)
    assert outcomes(found) == FAILED_2_3 | {1: "failed", 2: "imported"}
    assert found.attrs["notes"]["raw"].tolist() == ["Failures of the task 4711"]


def test_gb18030_is_detected_at_any_position():
    data = b"line 1: PicNotExist\n" * 20 + "第2行 图片不存在\n".encode("gb18030")
    assert b"".join(entries_of(data, 100)).decode().endswith("第2行 图片不存在\n")


def test_a_damaged_byte_does_not_change_the_detected_encoding():
    data = "图片不存在.jpg\n".encode() * 20 + b"\xff\n"
    assert "图片不存在.jpg" in b"".join(entries_of(data, 100_000)).decode("utf-8", "replace")


def test_where_lines_share_a_name_the_numbers_beside_it_are_all_kept(monkeypatch):
    from imgprep.ship.report import match, source

    monkeypatch.setattr(source.line_chunks, "__defaults__", (500,))
    monkeypatch.setattr(match, "ROOM", 10)
    monkeypatch.setattr(match, "UNMATCHED_MAX", 5)
    batch = pd.DataFrame({"line": [1, 2, 3], "OperationType": "ADD", "ProductId": ["1", "2", "3"], "PicName": "s.jpg"})
    report = ['{"PicName": "s.jpg", "line": 1, "Code": "PicNotExist"}'] * 60
    report += ['{"PicName": "s.jpg", "line": 2, "Code": "PicNotExist"}']
    assert outcomes(read_report("\n".join(report).encode(), batch)) == {1: "failed", 2: "failed", 3: "imported"}


def test_a_dropped_line_number_still_decides_where_counting_begins(monkeypatch, batch):
    from imgprep.ship.report import match, source

    monkeypatch.setattr(source.line_chunks, "__defaults__", (500,))
    report = ['{"line": 0, "Code": "E-1"}', '{"line": 2, "Code": "E-1"}', *['{"Code": "E-2"}'] * 60]
    report += ['{"line": 999, "Code": "E-1"}', *['{"Code": "E-2"}'] * 60]
    text = "\n".join(report).encode()
    plain = outcomes(read_report(text, batch, other_batch="keep"))
    monkeypatch.setattr(match, "ROOM", 10)
    monkeypatch.setattr(match, "UNMATCHED_MAX", 5)
    assert outcomes(read_report(text, batch, other_batch="keep")) == plain
    assert plain[2] == "failed"


def test_every_file_of_an_archive_is_read(batch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("part 1.csv", "PicName,Code\nb.jpg,PicNotExist\n")
        archive.writestr("__MACOSX/._part 1.csv", b"\0\x05\x16")
        archive.writestr("part 2.json", f"[{B}]")
    assert outcomes(read_report(packed.getvalue(), batch)) == FAILED_2_3


def zipped(**files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


PACKED_TWICE = {
    "gzip in gzip": gzip.compress(gzip.compress(JSON_LINES.encode())),
    "gzip in zip": zipped(a=gzip.compress(A.encode()), b=gzip.compress(B.encode())),
    "zip in gzip": gzip.compress(zipped(a=JSON_LINES)),
    "zip in zip": zipped(a=zipped(a=A, b=B), c=""),
}


@pytest.mark.parametrize("form", PACKED_TWICE)
def test_an_archive_in_an_archive_is_opened(form, batch, tmp_path):
    assert outcomes(read_report(PACKED_TWICE[form], batch)) == FAILED_2_3
    (tmp_path / "report").write_bytes(PACKED_TWICE[form])
    assert outcomes(read_report(tmp_path / "report", batch)) == FAILED_2_3


def test_a_workbook_is_refused(batch):
    with pytest.raises(ReportError, match="save it as CSV"):
        read_report(zipped(**{"[Content_Types].xml": "<?xml ?>", "xl/workbook.xml": "<?xml ?>"}), batch)


def test_text_above_and_below_a_table_is_a_note(batch):
    found = read_report(b"Task,4711,\nPicName,Code,Message\nb.jpg,PicNotExist,\nc.jpg,E-1,x\n\nTotal,2\n", batch)
    assert outcomes(found) == FAILED_2_3
    assert found.attrs["counts"]["unmatched"] == 0
    assert found.attrs["notes"]["raw"].tolist() == ["Task,4711,", "Total,2"]


def test_an_endlessly_nested_archive_is_refused(batch):
    data = JSON_LINES.encode()
    for _ in range(8):
        data = gzip.compress(data)
    with pytest.raises(ReportError, match="packed more than 4 times"):
        read_report(data, batch)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_of_any_method_is_refused(method, batch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("r", JSON_LINES * 100)
    data = bytearray(packed.getvalue())
    data[60] ^= 255
    with pytest.raises(ReportError, match="broken archive"):
        read_report(bytes(data), batch)


@pytest.mark.parametrize("report", ["InternalError: try again later\n", '{"code": "PicNotExist", "sizes": [1, 3]}'])
def test_a_report_that_names_no_line_does_not_make_all_imported(report, batch):
    with pytest.raises(ReportError, match="no entry of the report names a line"):
        read_report(report.encode(), batch)
    assert read_report(report.encode(), batch, other_batch="keep").attrs["counts"]["unmatched"] == 1


B_JPG, C_JPG = (json.loads(line) for line in JSON_LINES.splitlines())


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "report",
    [
        {"1000": B_JPG, "1001": C_JPG},
        {"failures": {"1000": B_JPG, "1001": C_JPG}},
        {"groups": [{"code": "PicNotExist", "items": [B_JPG]}, {"code": "IncorrectOrientation", "items": [C_JPG]}]},
    ],
)
def test_objects_below_objects_are_an_entry_each(report, indent, batch):
    found = read_report(json.dumps(report, indent=indent).encode(), batch)
    assert outcomes(found) == FAILED_2_3
    assert found["code"].tolist()[1:3] == ["PicNotExist", "IncorrectOrientation"]


def test_parts_of_one_entry_stay_one(batch):
    found = read_report(b'{"product": {"id": "1000"}, "image": {"name": "b.jpg", "file": "b.jpg"}, "code": "E"}', batch)
    assert outcomes(found) == {**FAILED_2_3, 3: "imported"}


def test_an_unclosed_string_costs_no_item_after_it(batch):
    found = read_report(JSON_LINES.replace('gone"', "gone").replace("}\n{", "},{").join("[]").encode(), batch)
    assert outcomes(found) == FAILED_2_3


def test_long_items_after_a_broken_one_are_found(monkeypatch):
    monkeypatch.setattr(arrays, "_NEAR", 64)  # shorter than any item
    broken = '{"ProductId": "9", "PicName": "x.jpg", "Code": "E", "Message": "a "b" c"}'
    items = [broken, broken, *JSON_LINES.splitlines()]
    found = b"".join(array_lines(iter([f"[{', '.join(items)}]".encode()])))
    assert found.decode() == "".join(f"{item}\n" for item in items)


def test_many_broken_items_take_linear_time(monkeypatch):
    sizes: list[int] = []
    read = json.JSONDecoder.raw_decode

    def noted(self, text, at=0):
        sizes.append(len(text))
        return read(self, text, at)

    monkeypatch.setattr(json.JSONDecoder, "raw_decode", noted)
    text = ",".join(['{"PicName": "b.jpg", "Message": "a "b" c"}'] * 2000).join("[]")
    assert b"".join(array_lines(iter([text.encode()]))).count(b"\n") == 2000
    assert sum(size > arrays._NEAR for size in sizes) < 10


def test_chinese_names_whose_bytes_happen_to_be_valid_utf_8_are_read():
    batch = pd.DataFrame(
        {"line": [1, 2], "OperationType": "ADD", "ProductId": "CL-裙", "PicName": ["é.jpg", "裙裙裙.jpg"]}
    )
    report = "".join(
        f'{{"ProductId": "CL-裙", "PicName": "{name}", "Code": "PicNotExist"}}\n' for name in batch["PicName"]
    )
    assert read_report(report.encode("gb18030"), batch)["outcome"].tolist() == ["failed", "failed"]


def test_a_short_chinese_message_beside_a_longer_unknown_code_decides_the_cause():
    batch = pd.DataFrame({"line": [1], "OperationType": "ADD", "ProductId": "CL-1", "PicName": "1.jpg"})
    found = read_report("CL-1,1.jpg,E-9041,图片不存在\n".encode(), batch)
    assert found[["outcome", "cause"]].to_numpy().tolist() == [["failed", "image_missing"]]


def ten(products="P{}", pics="img{}.jpg"):
    """A batch of ten lines."""
    names = {
        "ProductId": [products.format(at) for at in range(1, 11)],
        "PicName": [pics.format(at) for at in range(1, 11)],
    }
    return pd.DataFrame({"line": range(1, 11), "OperationType": "ADD", **names})


FAILED_3 = {"PicName": "img3.jpg", "Code": "PicNotExist"}
FAILED_4 = {"PicName": "img4.jpg", "Code": "PicNotExist"}
#: i imported, f failed, u unknown: of each of ten lines.
CLAIMED = {
    "several lines of a sentence": ("Line 3, 4 and 5: PicNotExist", "iifffiiiii"),
    "several images of a sentence": ("PicNotExist: img3.jpg, img4.jpg, img5.jpg", "iifffiiiii"),
    "a list of images": ('{"Code": "PicNotExist", "PicName": ["img3.jpg", "img4.jpg"]}', "iiffiiiiii"),
    "a list of lines": ('{"Code": "PicNotExist", "lines": [3, "5-6"]}', "iififfiiii"),
    "entries four deep": (json.dumps({"a": {"b": {"c": {"d": [FAILED_3, FAILED_4]}}}}), "iiffiiiiii"),
    "an entry four deep": (json.dumps({"a": {"b": {"c": {"d": FAILED_3}}}}), "iifiiiiiii"),
    "an entry sixty deep": ('{"a":' * 60 + json.dumps(FAILED_3) + "}" * 60, "iifiiiiiii"),
    "entries beside an id": (json.dumps({"id": 4711, "failures": [FAILED_3, FAILED_4]}), "iiffiiiiii"),
    "images by their code": ('{"PicNotExist": ["img3.jpg", "img4.jpg"]}', "iiffiiiiii"),
    "codes by their image": ('{"img3.jpg": "PicNotExist", "img4.jpg": "E-1"}', "iiffiiiiii"),
    "sentences in a list": ('{"failures": ["img3.jpg: PicNotExist", "line 4: E-1"]}', "iiffiiiiii"),
    "a comment": ("# Line 3: PicNotExist\nLine 4: PicNotExist", "iiffiiiiii"),
    "ranges in a table without header": ("3-5,PicNotExist\n7,PicNotExist", "iifffifiii"),
    "ranges in a column of lines": ("line,code\n3-5,PicNotExist\n7,PicNotExist", "iifffifiii"),
    "several images in a cell": ('PicName,Code\n"img3.jpg, img4.jpg",PicNotExist\nimg6.jpg;img7.jpg,E', "iiffiffiii"),
    "a rule below a header": ("| line | code |\n|---|---|\n| 3 | E |\n| 4-5 | E |", "iifffiiiii"),
    "chinese lists": ("第3、4行图片不存在；第7-8行：超时\n第10行 超时", "iiffiiffif"),
    "a chinese range": ("第3行至第5行 图片不存在", "iifffiiiii"),
    "chinese quotes": ("“img5.jpg” 超时\n【img6.jpg】超时", "iiiiffiiii"),
    "names between chinese letters": ("图片img3.jpg不存在\n商品P4导入失败", "iiffiiiiii"),
    "the code of an error": ('img3.jpg code: 400\n{"code": 400, "PicName": "img4.jpg"}', "iiffiiiiii"),
    "places of entries": ('{"index": 0, "PicName": "img3.jpg", "Code": "E"}', "iifiiiiiii"),
    "a number against a name": ('{"line": 7, "PicName": "img3.jpg", "Code": "E"}\nP4 img4.jpg: E', "iiufiiuiii"),
    "a product against an image": ("P3 img4.jpg: PicNotExist\nimg8.jpg: E", "iiuuiiifii"),
    "another case": ("IMG3.JPG: PicNotExist\nimg4.jpg: PicNotExist", "uuufuuuuuu"),
    "another extension": ('{"PicName": "img3.jpeg", "Code": "E"}\n{"PicName": "img4.jpg", "Code": "E"}', "uuufuuuuuu"),
    "an unknown name beside a known one": ("PicNotExist: img3.jpg, IMG4.JPG", "uufuuuuuuu"),
    "a sentence without a name": ("img3.jpg: PicNotExist\nthe eighth image could not be read", "uufuuuuuuu"),
    "a sum that is right": ("img3.jpg: E\nimg4.jpg: E\nRows: 10, failed: 2", "iiffiiiiii"),
    "a sum that is wrong": ("img3.jpg: E\nfinished with 2 failed rows", "uufuuuuuuu"),
    "a chinese sum that is wrong": ("img3.jpg: E\n失败3条", "uufuuuuuuu"),
    "a sum around entries that is wrong": (json.dumps({"failed": 3, "failures": [FAILED_3, FAILED_4]}), "uuffuuuuuu"),
}


@pytest.mark.parametrize("form", CLAIMED)
def test_no_line_that_an_entry_claims_failed_is_imported(form):
    text, ends = CLAIMED[form]
    found = read_report(text.encode(), ten(), other_batch="keep")
    assert "".join(outcome[0] for outcome in found["outcome"]) == ends


@pytest.mark.parametrize(
    ("products", "pics", "text", "ends"),
    [
        ("P {}", "a{}.jpg", "第1行 商品ID：P 1 图片：a1.jpg 导入失败，原因：图片不存在（PicNotExist）", "fiiiiiiiii"),
        ("P{}", "row1{}.jpg", "“row13.jpg” 超时", "iifiiiiiii"),
        ("{}", "img{}.jpg", "img5.jpg: E\nimg6.jpg: E\nfinished with 2 failed rows", "iiiiffiiii"),
        ("{}", "img{}.jpg", "img5.jpg: timeout at attempt 2 of 3", "iiiifiiiii"),
        ("{}", "img{}.jpg", "3,3,img3.jpg,PicNotExist,400\n4,4,img4.jpg,PicNotExist,400", "iiffiiiiii"),
        ("{}", "img{}.jpg", "3,PicNotExist\n4,PicNotExist", "iiffiiiiii"),
    ],
)
def test_odd_names_are_not_taken_for_numbers_nor_numbers_for_names(products, pics, text, ends):
    found = read_report(text.encode(), ten(products, pics))
    assert "".join(outcome[0] for outcome in found["outcome"]) == ends


def test_a_line_number_in_a_row_without_header_is_not_taken_for_the_product_of_that_number():
    batch = ten()
    batch["ProductId"] = [str(at) for at in range(10, 0, -1)]
    found = read_report(b"3,8,img3.jpg,PicNotExist\n4,7,img4.jpg,PicNotExist\n", batch)
    assert "".join(outcome[0] for outcome in found["outcome"]) == "iiffiiiiii"
    with pytest.raises(ReportError, match="no entry of the report names a line"):
        read_report(b"3,PicNotExist\n4,PicNotExist\n", batch)  # the line or the product


def test_ranges_do_not_fill_the_memory():
    found = read_report(b"lines 1-999999999: PicNotExist\n" * 50 + b"img3.jpg: E\n", ten(), other_batch="keep")
    assert found["outcome"].eq("failed").all() and found.attrs["counts"]["entries"] < 1000
