"""Reports read at once by Arrow and reports read line by line say the same."""

import json

import pandas as pd
import polars as pl
import polars.testing
from hypothesis import given
from hypothesis import strategies as st

from imgprep.ship.report import entries as parse
from imgprep.ship.report.causes import CauseTable
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
