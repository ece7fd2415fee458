"""Reports read at once by Arrow and reports read line by line say the same."""

import json

import pandas as pd
import polars as pl
import polars.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgprep.ship.report import entries as parse
from imgprep.ship.report.causes import CauseTable, with_custom
from imgprep.ship.report.claims import Names
from imgprep.ship.report.match import read_report

NAMES = ("ProductId", "PicName", "Code", "Message", "line", "RequestId", "pic_name", "ErrorCode")
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["1", "a.jpg", "PicNotExist", "图片不存在", "a\u2028b", '"},{"', "2026-01-01"]
)
VALUES = st.one_of(
    TEXTS,
    st.integers(-5, 5),
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=2),
)
CANONICAL = st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES[:4], TEXTS)), min_size=1, max_size=6)
MIXED = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6), min_size=1, max_size=6)
BATCH = pd.DataFrame({"OperationType": "ADD", "ProductId": ["1", "1", "2"], "PicName": ["a.jpg", "b.jpg", "a.jpg"]})


def careful(data):
    parser = parse.Parser(Names(pl.from_pandas(BATCH).with_row_index("line", offset=1)), CauseTable())
    return parse._frame(parser._lines(data.decode()))


@given(st.one_of(CANONICAL, MIXED), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_what_is_read_at_once_is_what_is_read_line_by_line(entries, escaped, end):
    data = end.join(json.dumps(entry, ensure_ascii=escaped) for entry in entries).encode("utf-8", "replace") + b"\n"
    found = parse.json_lines(data)
    if found is not None:
        pl.testing.assert_frame_equal(found, careful(data))


def test_the_shape_most_reports_have_is_read_at_once():
    entry = {"ProductId": "1", "PicName": "a.jpg", "Code": "PicNotExist", "Message": '图片\\\u2028 "gone"', "line": 1}
    data = "".join(json.dumps(entry, ensure_ascii=escaped) + "\n" for escaped in (True, False)).encode()
    found = parse.json_lines(data)
    assert found is not None
    pl.testing.assert_frame_equal(found, careful(data))


def test_a_key_that_only_a_later_line_has_is_not_lost():
    lines = ['{"PicName": "b.jpg", "Code": "PicNotExist"}'] * 2000
    lines.append('{"PicName": "a.jpg", "ProductId": "2", "Code": "E-1", "Message": "rotated by EXIF"}')
    outcome = read_report("\n".join(lines).encode(), BATCH)
    assert outcome["cause"].tolist()[1:] == ["image_missing", "rotated"]


HEADERS = [
    ["ProductId", "PicName", "Code", "Message"],
    ["Code", "商品id", "note", "PicName", "Message"],
    ["PicName", "Code", "line"],
    ["Code", "PicName", "序号", "Code"],
]
CELLS = st.sampled_from(
    [
        "",
        " ",
        "1",
        "2",
        "a.jpg",
        "b.jpg",
        "a.jpg ",
        "x/a.jpg",
        "PicNotExist",
        "图片不存在",
        "ok",
        "Code",
        "picname",
        "code 1",
    ]
    + ["#1", "{1", '"1"', '"', "\t1", "a\u2028", "\xa0gone", "2 of 3 failed", "1;2", "é" * 300, "--", "\x1c1", "line 2"]
)
PLAIN_CELLS = CELLS.filter(str.isalnum)
NAMED = st.fixed_dictionaries(
    {"ProductId": st.sampled_from(["1", "2", "9"]), "PicName": st.sampled_from(["a.jpg", "b.jpg", "x/a.jpg", ""])}
)


@st.composite
def tables(draw):
    """A table in chunks: most rows are plain, others hold any cells, or too few or too many."""
    header, delimiter = draw(st.sampled_from(HEADERS)), draw(st.sampled_from([",", "\t", ";"]))
    ends = draw(st.sampled_from(["\n", "\r\n"]))
    chunks = []
    for number in range(draw(st.integers(1, 3))):
        lines = [delimiter.join(header)] if not number or draw(st.booleans()) else []
        odd = draw(st.integers(0, 3)) == 0
        for _ in range(draw(st.integers(0, 4))):
            row = draw(NAMED) | {
                "商品id": "1",
                "Code": draw(st.sampled_from(["PicNotExist", " E-1 ", "X"])),
                "line": "2",
            }
            cells = [row.get(name, draw(CELLS if odd else PLAIN_CELLS)) for name in header]
            if odd and draw(st.booleans()):
                cells = draw(st.lists(CELLS, min_size=1, max_size=len(header) + 1))
            lines.append(delimiter.join(cells))
        chunks.append("".join(f"{line}{ends}" for line in lines).encode())
    return chunks


def entries_of(chunks, batch=BATCH):
    parser = parse.Parser(Names(pl.from_pandas(batch).with_row_index("line", offset=1)), CauseTable())
    return pl.concat([*(parser.chunk(chunk) for chunk in chunks), parser.rest()]), parser.sums


@given(tables())
def test_rows_read_by_column_are_those_read_one_by_one(chunks):
    at_once = entries_of(chunks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse.Table, "plain", lambda *_: None)
        one_by_one = entries_of(chunks)
    pl.testing.assert_frame_equal(at_once[0], one_by_one[0])
    assert at_once[1] == one_by_one[1]


def test_the_table_most_reports_have_is_read_by_column():
    text = "ProductId,PicName,Code,Message\n1,a.jpg,PicNotExist, the image is gone \n2,,E-1,\n"
    table = parse.find_table(text, Names(pl.from_pandas(BATCH).with_row_index("line", offset=1)))
    assert table.plain(text.encode()).rows() == [
        ("1,a.jpg,PicNotExist, the image is gone ", None, "1", "a.jpg", "PicNotExist", "the image is gone"),
        ("2,,E-1,", None, "2", None, "E-1", None),
    ]
    windows = table.plain(text.replace("\n", "\r\n").encode())
    pl.testing.assert_frame_equal(windows, table.plain(text.encode()))
    # One row lacks as many cells as another has too many.
    assert table.plain(text.encode() + b"3,,E-1\n4,,E-1,,\n") is None


# Names that differ in digits from one another, from numbers, codes and words, and names of several words.
NUMBERED = pd.DataFrame(
    {
        "OperationType": "ADD",
        "ProductId": ["CL-1", "CL-2", "CL-34", "12", "E-7", "袋3", "4MB", "line 5", "p6.", "CL-1", "image"],
        "PicName": [
            "a1.jpg",
            "a2.jpg",
            "b/c3.jpg",
            "a b4.jpg",
            "CL-2",
            "x5",
            "袋1.jpg",
            "a1.jpg",
            "row6.png",
            None,
            "a.jpg",
        ],
    }
)
LETTERS = st.sampled_from(
    [
        "CL-{}",
        "CL-{}{}",
        "a{}.jpg",
        "a{}.jpg.",
        "b/c{}.jpg",
        "x/a{}.jpg",
        "z{}.png",
        "x{}",
        "{}",
        "{}{}",
        "E-{}",
        "{}MB",
    ]
    + [
        "袋{}",
        "袋{}.jpg",
        "图a{}.jpg不存在",
        "a b{}.jpg",
        "p{}.",
        "row{}.png",
        "line {}",
        "lines {}, {}",
        "row{}",
        "第{}行",
    ]
    + [
        "ProductId=CL-{}",
        'PicName: "a{}.jpg"',
        "product CL-{}:",
        "image",
        "a.jpg",
        "PicNotExist",
        "{} failed",
        "total {}",
    ]
    + ["#", "{{", '"', "\ufeff", "\t", "\x1c", "\xa0", "no names", "error:", "失败", "over {} MB", "id {}", "code {}"]
)
DIGITS = st.sampled_from("123456")


@st.composite
def sentences(draw):
    """Lines of a few forms that differ only in digits."""
    lines = []
    for words in draw(st.lists(st.lists(LETTERS, min_size=1, max_size=4), min_size=1, max_size=3)):
        form = draw(st.sampled_from([" ", " ", ", ", ": "])).join(words)
        for _ in range(draw(st.integers(1, 6))):
            lines.append(form.format(*(draw(DIGITS) for _ in range(form.count("{}")))))
    return "\n".join(draw(st.permutations(lines))).encode()


@given(st.lists(sentences(), min_size=1, max_size=2))
def test_sentences_that_differ_in_digits_are_read_as_each_by_itself(chunks):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse, "_MANY", 2)
        alike = entries_of(chunks, NUMBERED)
        patch.setattr(parse.Parser, "_alike", lambda *_: None)
        apart = entries_of(chunks, NUMBERED)
    pl.testing.assert_frame_equal(alike[0], apart[0])
    assert alike[1] == apart[1]


def test_most_reports_in_sentences_are_parsed_once_for_many_lines(monkeypatch):
    parser = parse.Parser(Names(pl.from_pandas(NUMBERED).with_row_index("line", offset=1)), CauseTable())
    monkeypatch.setattr(parse, "_MANY", 2)
    monkeypatch.delattr(parse.Parser, "_lines")
    found = parser.chunk(b" CL-1 a1.jpg: PicNotExist, see E-8\n CL-1 a2.jpg: PicNotExist, see E-9")
    assert found.rows()[1] == (
        *(" CL-1 a2.jpg: PicNotExist, see E-9", None, "CL-1", "a2.jpg", "PicNotExist"),
        "CL-1 a2.jpg: PicNotExist, see E-9",
    )


@pytest.mark.parametrize("phrases", [[], ["over [2-4] m"], ["code 7"], [r"(a)b\\1"], ["\\x31"]])
def test_texts_that_differ_in_digits_share_a_cause_unless_a_phrase_names_them(phrases):
    table = with_custom([{"id": "own", "phrases": phrases}], "here")
    for text in ("over 4 m", "over 3 m", "code 7", "code 9", "image 123 of 4MB", "ab1", "图片 5 不存在"):
        alike = text.translate(dict.fromkeys(map(ord, table.alike_digits), "0"))
        assert table.classify(None, alike).id == table.classify(None, text).id
