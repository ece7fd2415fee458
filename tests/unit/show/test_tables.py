"""How frames are displayed: nothing cut, unsafe, unlabelled or out of order, and the frame itself unchanged."""

import re

import numpy as np
import pandas as pd
import pytest

import imgprep as ip
from imgprep.core.frames import Table, as_table, attach
from imgprep.show.tables import MOST, VISIBLE, WIDTH, table_html


def findings(count=1):
    rows = {"rule": "int-attr-range", "severity": "info", "message": "much " * 30 + "end", "fix": "choose a scale"}
    frame = pd.DataFrame([rows | {"row": at, "basis": "weak", "field": None} for at in range(count)])
    frame.loc[count - 1, ["severity", "message"]] = ["error", "<script>alert(1)</script>"]
    return frame


def cells(html, tag="td"):
    return re.findall(rf"<{tag}(?: [^>]*)?>(.*?)</{tag}>", html, flags=re.S)


def test_messages_are_whole_and_escaped_and_the_worst_row_is_first():
    html = table_html(findings(3))
    assert cells(html, "th")[:3] == ["severity", "rule", "row"]
    assert cells(html)[:5] == [
        "error",
        "int-attr-range",
        "2",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "choose a scale",
    ]
    assert "much end" in html and "<script>" not in html and "…" not in html
    assert "Not shown: basis, field" in html


def test_a_transposed_table_shows_its_index():
    frame = as_table(pd.DataFrame({"a": ["x"], "b": ["y"]}, dtype="str"))
    assert type(frame.T) is pd.DataFrame and frame.T.equals(pd.DataFrame(frame).T)


def test_ids_of_rules_are_titles_where_they_are_reasons():
    reasons = ["image-missing, image-empty", "new"]
    frame = as_table(pd.DataFrame({"reason": reasons, "expected": ["image-missing", "imported"]}))
    shown = [*cells(frame._repr_html_()), *repr(frame).splitlines()]
    assert shown[:4] == ["the image is missing; the image file is empty", "the image is missing", "new", "imported"]
    assert not [text for text in shown if "image-" in text]
    assert frame["reason"].iloc[0] == "image-missing, image-empty"


def test_failed_checks_come_first_in_the_colour_of_an_error():
    frame = pd.DataFrame({"check": ["a", "b", "c"], "result": ["ok", "unknown", "fail"]})
    html = table_html(frame)
    assert cells(html) == ["c", "fail", "b", "unknown", "a", "ok"]
    assert re.findall(r"<tr(?: class=\"(\w+)\")?><td", html) == ["error", "info", ""]


def test_rules_without_a_message_beside_them_are_shown_by_title_and_id():
    shown = cells(table_html(pd.DataFrame({"rule": ["int-attr-range"], "count": [3]})))
    assert shown == ["IntAttr is outside 32 bits (int-attr-range)", "3"]


def test_labels_shares_moments_and_missing_values_read_as_text():
    frame = pd.DataFrame(
        {
            "run": ["r", "r"],
            "cause": ["bad_format", "image_missing"],
            "label": ["format not taken", "image missing"],
            "count": [1234, 5],
            "share": [0.25, 0.9999],
            "at": ["2026-11-30T10:20:30Z", None],
            "ours": [True, False],
        }
    )
    shown = cells(table_html(frame))
    assert shown == ["format not taken", "1,234", "25.0%", "2026-11-30 10:20", "yes"] + [
        "image missing", "5", "&gt;99.9%", "", "no"
    ]  # fmt: skip
    assert "nan" not in table_html(frame).lower().replace("not shown", "")


def test_a_long_frame_is_folded_and_says_how_much_is_left():
    html = table_html(findings(MOST + 40))
    assert len(cells(html.partition("<details>")[0], "tr")) == 1 + VISIBLE
    assert f"{MOST - VISIBLE} more of {MOST + 40} rows" in html and "40 more rows are in the frame" in html
    assert "no rows" in table_html(findings(1).head(0))


def test_operations_on_a_table_give_plain_frames_and_keep_what_belongs_to_it():
    table = as_table(findings(3))
    table.attrs["origin"] = "here"
    assert type(table) is Table and type(table.head(1)) is type(table[["row"]]) is pd.DataFrame
    assert repr(table.head(1)) == repr(findings(3).head(1)) and "imgprep-table" not in table.head(1)._repr_html_()
    assert as_table(table).attrs == {"origin": "here"} and table.equals(findings(3))


@pytest.mark.parametrize("function", [ip.check, ip.tally_causes, ip.load_catalogue, ip.gallery_state, ip.upload])
def test_public_functions_return_tables_and_keep_their_signature(function):
    assert function.__wrapped__.__name__ == function.__name__


def test_a_notebook_shows_the_table_and_the_page_of_a_review_shares_it():
    page = ip.check(pd.DataFrame({"ProductId": ["A"], "PicName": ["a.gif"]}))._repr_html_()
    assert ('class="imgprep-table"' in page and "category-missing" in page) or "custom-content-missing" in page


def test_picked_columns_are_still_shown_as_a_table():
    table = as_table(pd.DataFrame({"a": [1, 2, 3], "b": 4, "change": [-0.5, 0.25, 1.0]}))
    picked = table.pick("change", "a", "gone", rows=2)
    assert picked.columns.tolist() == ["change", "a"] and len(picked) == 2
    assert "imgprep-table" in picked._repr_html_() and "-50.0%" in picked._repr_html_()
    assert type(table.head()) is pd.DataFrame


def test_a_table_that_comes_with_a_frame_is_shown_as_one():
    frame = attach(pd.DataFrame({"a": [1]}), findings=pd.DataFrame({"rule": ["x"], "severity": ["error"]}))
    assert "imgprep-table" in frame.attrs["findings"]._repr_html_()
    assert len(pd.concat([frame, frame]).attrs) == 1


def test_plain_text_shows_what_the_page_shows_whole_and_within_its_width():
    frame = findings(3).assign(row=pd.array([1, None, 2], dtype="Int64"), ProductId=[None, "毛衣-1", "[b]"])
    text = repr(as_table(frame))
    lines = text.splitlines()
    assert lines[0].split() == ["severity", "rule", "row", "product", "message", "fix"]
    assert lines[1].startswith("error     int-attr-range    2  [b]      <script>alert(1)</script>")
    assert text.count("end") == 2 and "…" not in text and "nan" not in text.lower() and "<NA>" not in text
    assert max(map(len, lines)) <= WIDTH and lines[-1] == "Not shown: basis, field"


def test_plain_text_folds_long_frames_and_names_the_columns_without_room():
    wide = pd.DataFrame([{f"column {at}": "x" * 30 for at in range(9)}] * 100)
    *lines, more, hidden = repr(as_table(wide)).splitlines()
    assert len(lines) == 1 + VISIBLE and max(map(len, lines)) <= WIDTH
    assert more == "90 more of 100 rows" and hidden == "Not shown: " + ", ".join(wide.columns[3:])
    assert repr(as_table(wide.head(0))).splitlines()[-1] == "no rows"
    assert len(repr(as_table(pd.DataFrame({"share": [0.5] * 60}))).splitlines()) == 61


def test_names_that_are_no_text_or_repeat_and_rows_without_columns_are_shown():
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=[0, "a"])
    for shown in (table_html, repr):
        assert "3" in shown(as_table(frame)) and "a (2)" in shown(as_table(frame).pick("a", "a"))
        assert "x" in shown(as_table(pd.DataFrame({"a": ["x", "y"]}, dtype="str")).T)
        assert "1, 2" in shown(as_table(pd.DataFrame({"a": [np.array([1, 2]), None]})))
    bare = as_table(pd.DataFrame(index=range(3)))
    assert repr(bare) == "3 rows" and table_html(bare).count("<tr></tr>") == 1 + 3


def test_codes_are_not_grouped_and_shares_are_percentages():
    row = {"CategoryId": 88888888, "IntAttr2": 12345, "task_id": 98765, "paid": 1234, "same": 0.9, "probability": 1.0}
    assert cells(table_html(pd.DataFrame([row]))) == ["88888888", "12345", "98765", "1,234", "90.0%", "100.0%"]
