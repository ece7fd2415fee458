"""increment.meta: the guide's sample, and every way in which a line can be bad."""

import doctest
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from imgprep.core.errors import MetaError
from imgprep.core.fields import FIELD_NAMES
from imgprep.meta import codec as meta
from imgprep.meta import reading
from imgprep.meta import writing as text
from imgprep.meta.codec import dumps_meta, loads_meta, read_meta, write_meta
from imgprep.meta.rules import META_RULES

SAMPLE = Path(__file__).parents[2] / "golden" / "guide-sample.meta"
GOOD = '{"OperationType": "ADD","ProductId": "1","PicName": "a.jpg","CustomContent": "k:v"}\n'


def add(**changes):
    values = {"OperationType": "ADD", "ProductId": "1", "PicName": "a.jpg", "CustomContent": "k:v", **changes}
    return json.dumps({name: value for name, value in values.items() if value is not ...}) + "\n"


def rules(source, **where):
    findings = loads_meta(source, strict=False)[1]
    for name, value in where.items():
        findings = findings[findings[name] == value]
    return findings["rule"].tolist()


def test_lines_of_which_a_filter_left_an_empty_chunk_are_written():
    sources = [add(PicName=f"{number}.jpg") for number in range(4)]
    lines = pl.concat([meta.typed(loads_meta(source))[0] for source in sources], rechunk=False)
    kept = lines.filter(pl.Series([True, False, True, True]))
    assert 0 in kept["PicName"].chunk_lengths()
    assert loads_meta(b"".join(text.blocks(kept)))["PicName"].tolist() == ["0.jpg", "2.jpg", "3.jpg"]


def test_the_guides_sample_comes_back_byte_for_byte():
    source = SAMPLE.read_bytes()
    assert dumps_meta(loads_meta(source)).encode() == source


#: From the vendor's page on filter conditions, to the byte.
EIGHT = (
    '{"OperationType": "ADD","ProductId": "1000","CategoryId": 0,"IntAttr": 123,"IntAttr2": 135,"StrAttr": "value1",'
    '"StrAttr2": "value2","IntAttr3": 3,"StrAttr4": "value4","CustomContent": "k1:v1,k2:v2,k3:v3",'
    '"PicName": "girl_cloth1.jpg"}'
)


def test_the_vendors_line_with_more_attributes_reads_without_a_finding_and_is_written_in_full():
    batch, findings = loads_meta(EIGHT, strict=False)
    assert findings.empty
    written = dumps_meta(batch)
    assert json.loads(written) == json.loads(EIGHT)
    # Fields are written in the canonical order; in it, the line comes back byte for byte.
    assert list(json.loads(written)) == [name for name in FIELD_NAMES if name in json.loads(EIGHT)]
    assert dumps_meta(loads_meta(written)) == written


def test_the_canonical_order_of_fields():
    assert " ".join(FIELD_NAMES) == (
        "OperationType ProductId PicName CategoryId IntAttr IntAttr2 IntAttr3 IntAttr4 "
        "StrAttr StrAttr2 StrAttr3 StrAttr4 CustomContent Crop Region"
    )


def test_old_names_of_fields_are_named_with_their_new_ones():
    text = '{"operator": "ADD","item_id": "1","int_attr": 1,"str_attr": "x","pic_list": ["a.jpg"]}'
    found = loads_meta(text, strict=False)[1].iloc[0]
    assert "(int_attr, item_id, operator, pic_list, str_attr)" in found["message"]
    assert "int_attr → IntAttr, str_attr → StrAttr" in found["fix"]
    single = loads_meta(add(int_attr=1, str_attr="x"), strict=False)[1]["message"].tolist()
    assert [text.rpartition("; ")[2] for text in single] == ["did you mean IntAttr?", "did you mean StrAttr?"]


def test_files_round_trip_and_leave_nothing_beside_them(tmp_path):
    write_meta(read_meta(SAMPLE), tmp_path / "increment.meta")
    assert (tmp_path / "increment.meta").read_bytes() == SAMPLE.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["increment.meta"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "increment.meta"
    target.write_text("old")

    def broken(lines):
        yield memoryview(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(meta, "blocks", broken)
    with pytest.raises(OSError, match="disk full"):
        write_meta(loads_meta(GOOD), target)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_what_the_disk_refuses_while_the_rest_is_made_is_not_lost(tmp_path, monkeypatch):
    target = tmp_path / "increment.meta"
    target.write_text("old")
    asked = []

    def once(handle):
        asked.append(handle)
        if len(asked) == 1:
            raise OSError("input/output error")

    monkeypatch.setattr(meta, "SYNC_BYTES", 1)
    monkeypatch.setattr(text, "BLOCK_LINES", 1)
    monkeypatch.setattr(meta.os, "fsync", once)
    with pytest.raises(OSError, match="input/output"):
        write_meta(loads_meta(GOOD * 5), target)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]
    write_meta(loads_meta(GOOD * 5), target)
    assert target.read_text() == GOOD * 5


def test_dtypes_survive_an_empty_text():
    batch = loads_meta("")
    assert len(batch) == 0
    assert batch.dtypes.astype(str).to_dict() == loads_meta(GOOD).dtypes.astype(str).to_dict()
    assert dumps_meta(batch) == ""


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{", "meta-not-json"),
        ("[1]", "meta-not-object"),
        ("7", "meta-not-object"),
        ("   ", "meta-blank-line"),
        ("[" * 100_000, "meta-not-json"),
        ('{"OperationType": "ADD"} x', "meta-not-json"),
        (GOOD.strip() + GOOD.strip(), "meta-two-objects"),
        (GOOD.strip() + ", " + GOOD.strip(), "meta-two-objects"),
        (GOOD.strip() + ",", "meta-not-json"),
        ('{"OperationType": "DELETE","ProductId": "1","ProductId": "2"}', "meta-repeated-key"),
        ('{"operator": "ADD","item_id": "1","pic_list": ["a.jpg"]}', "meta-legacy-form"),
        (add(Picname="b.jpg"), "meta-unknown-field"),
        (add(CategoryId="0"), "meta-wrong-type"),
        (add(CategoryId=0.0), "meta-wrong-type"),
        (add(CategoryId=True), "meta-wrong-type"),
        (add(Crop="false"), "meta-wrong-type"),
        (add(Crop=None), "meta-wrong-type"),
        (add(ProductId=1), "meta-wrong-type"),
        (add(IntAttr=float("nan")), "meta-not-a-number"),
        (add(IntAttr=2**31), "meta-out-of-range"),
        (add(IntAttr=10**30), "meta-out-of-range"),
        (add(IntAttr=0).replace('"IntAttr": 0', '"IntAttr": ' + "9" * 5000), "meta-not-json"),
        (add(CategoryId=-1), "meta-out-of-range"),
        (add(OperationType="add"), "meta-operation"),
        (add(OperationType=...), "meta-missing-field"),
        (add(PicName=...), "meta-missing-field"),
        (add(PicName=""), "meta-empty-name"),
        (add(OperationType="DELETE", PicName=""), "meta-empty-name"),
        (add(CustomContent="x" * 4097), "meta-too-long"),
        (add(StrAttr="中" * 129), "meta-too-long"),
        (add(PicName="a.jpg,b.jpg"), "meta-two-names"),
        (add(PicName="a.jpg; b.PNG"), "meta-two-names"),
        (add(Region="20,40"), "meta-region"),
        (add(Region="40,20,60,80"), "meta-region"),
        (add(ProductId="\ud800"), "meta-not-unicode"),
    ],
)
def test_each_bad_line_is_named_between_good_ones(line, rule):
    source = GOOD + line.rstrip("\n") + "\n" + GOOD
    assert rules(source, severity="error") == [rule]
    assert rules(source, line=2, severity="error") == [rule]
    with pytest.raises(MetaError, match="line 2"):
        loads_meta(source)


def test_what_is_legal_though_unusual_is_read():
    lines = [
        '{ "ProductId" : "1" , "OperationType" : "DELETE" }',
        '{"OperationType":"DELETE","ProductId":"\\u4e2d\\ud83d\\ude00"}',
        add(StrAttr="中" * 128, CustomContent="😀" * 4096, PicName="a, b.jpg", IntAttr=-(2**31)).strip(),
    ]
    batch = loads_meta("\n".join(lines))
    assert batch["ProductId"].tolist() == ["1", "中😀", "1"]
    assert batch["line"].tolist() == [1, 2, 3]


def test_nothing_hides_anything_else_on_a_line_or_in_the_file():
    source = add(CategoryId="0", PicName="a.jpg,b.jpg", Region="1") + "{\n" + add(Crop=1, ProductId="")
    found = loads_meta(source, strict=False)[1]
    assert sorted(zip(found["line"], found["rule"], strict=True)) == [
        (1, "meta-region"),
        (1, "meta-two-names"),
        (1, "meta-wrong-type"),
        (2, "meta-not-json"),
        (3, "meta-empty-name"),
        (3, "meta-wrong-type"),
    ]


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        (b"\xef\xbb\xbf" + GOOD.encode(), "meta-bom"),
        (GOOD.replace("\n", "\r\n"), "meta-crlf"),
        (GOOD.encode() + b'{"OperationType": "DELETE","ProductId": "\xff"}\n', "meta-not-utf8"),
        (GOOD + '{"OperationType": "DEL', "meta-truncated"),
        (GOOD.encode("utf-16"), "meta-utf16"),
        (GOOD.encode("utf-16-le"), "meta-utf16"),
    ],
)
def test_what_is_wrong_with_the_file_is_reported(source, rule):
    assert rules(source) == [rule]


def test_a_field_given_twice_is_noticed_wherever_it_stands():
    trap = add(CustomContent=',"ProductId":', StrAttr='{"ProductId": "2"}')
    assert rules(trap) == []
    assert rules(trap.replace('{"Op', '{"StrAttr": "x", "Op')) == ["meta-repeated-key"]


def test_a_last_line_without_its_end_is_read():
    assert len(loads_meta(GOOD.strip())) == 1


def test_lines_that_would_mean_something_else_are_left_out_and_the_others_kept():
    source = '{"OperationType": "DELETE","ProductId": "1","PicNam": "a.jpg"}\n' + GOOD + add(CustomContent="x" * 5000)
    batch, _ = loads_meta(source, strict=False)
    assert batch["line"].tolist() == [2, 3]


def test_blocks_number_their_lines_through(monkeypatch, tmp_path):
    monkeypatch.setattr(reading, "BLOCK_BYTES", 100)
    monkeypatch.setattr(text, "BLOCK_LINES", 3)
    source = (GOOD * 5 + "{\n") * 4
    batch, found = loads_meta(source, strict=False)
    assert found["line"].tolist() == [6, 12, 18, 24]
    assert batch["line"].tolist() == [n for n in range(1, 25) if n % 6]
    assert dumps_meta(batch) == GOOD * 20
    write_meta(batch, tmp_path / "m")
    assert (tmp_path / "m").read_text() == GOOD * 20


def test_the_fast_and_the_careful_reader_agree(monkeypatch):
    source = SAMPLE.read_text() + add(StrAttr='q"\\\n\u2028', Crop=True, IntAttr=-5)
    fast = loads_meta(source)
    monkeypatch.setattr(reading, "_as_written", lambda *_: None)
    pd.testing.assert_frame_equal(fast, loads_meta(source))
    monkeypatch.setattr(reading, "_ANY_ORDER", "^never$")
    pd.testing.assert_frame_equal(fast, loads_meta(source))


@pytest.mark.parametrize("separators", [(",", ": "), (",", ":"), (", ", ": ")])
def test_a_file_of_another_tool_is_read_by_column(separators):
    lines = [{"StrAttr": "b", "ProductId": "1"}, {"CustomContent": "袋", "ProductId": "2"}]
    lines = [{**line, "PicName": "a.jpg", "OperationType": "ADD"} for line in lines]
    block = "".join(
        json.dumps(line, ensure_ascii=False, separators=separators) + "\n" for line in lines[:1] * 9 + lines
    )
    read = reading._as_written(block.encode(), set())
    assert read["ProductId"].to_list() == ["1"] * 10 + ["2"]
    assert reading._as_written(block.replace('"2"', "2").encode(), set()) is None


def frame(**columns):
    given = {"OperationType": ["ADD"], "ProductId": ["1"], "PicName": ["a.jpg"], "CustomContent": ["k"], **columns}
    return pd.DataFrame({name: values for name, values in given.items() if values is not None})


@pytest.mark.parametrize("values", [[0], [0.0], ["0"], pd.array([0], dtype="Int64"), np.array([0], dtype="uint8")])
def test_integers_stay_integers_however_pandas_holds_them(values):
    assert '"CategoryId": 0,' in dumps_meta(frame(CategoryId=values))


@pytest.mark.parametrize("values", [[False], ["false"], pd.array([False], dtype="boolean"), np.array([False], object)])
def test_crop_is_a_json_boolean(values):
    assert dumps_meta(frame(Crop=values)).endswith(',"Crop": false}\n')


@pytest.mark.parametrize("absent", [None, float("nan"), pd.NA, pd.NaT])
def test_absent_fields_are_left_out_and_never_null(absent):
    made = dumps_meta(frame(CategoryId=[absent], StrAttr=[absent], Crop=[absent], Region=[absent]))
    assert made == '{"OperationType": "ADD","ProductId": "1","PicName": "a.jpg","CustomContent": "k"}\n'


def test_a_delete_needs_only_its_product():
    assert dumps_meta(frame(OperationType=["DELETE"], PicName=None, CustomContent=None)).count(":") == 2


@pytest.mark.parametrize("char", [*map(chr, range(0x20)), "\x7f", "\x85", "\u2028", "\u2029", '"', "\\"])
def test_a_line_stays_a_line_whatever_a_text_holds(char):
    made = dumps_meta(frame(CustomContent=[f"中{char}é"]))
    assert made.splitlines() == [made.removesuffix("\n")]
    assert "中" in made
    assert loads_meta(made)["CustomContent"][0] == f"中{char}é"


def test_bookkeeping_is_not_written():
    own = {"line": [9], "row": [4], "digest": ["x"], "file": ["f"], "reason": ["new"], "expected": ["imported"]}
    assert dumps_meta(frame(**own)) == dumps_meta(frame())


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"OperationType": ["DELETE"], "PicName": [""]}, "meta-empty-name"),
        ({"ProductId": [""]}, "meta-empty-name"),
        ({"ProductId": [None]}, "meta-missing-field"),
        ({"PicName": None}, "meta-missing-field"),
        ({"OperationType": None}, "meta-missing-field"),
        ({"OperationType": ["UPDATE"]}, "meta-operation"),
        ({"ProductId": [1000]}, "meta-wrong-type"),
        ({"CategoryId": [0.5]}, "meta-wrong-type"),
        ({"CategoryId": ["zero"]}, "meta-wrong-type"),
        ({"CategoryId": [True]}, "meta-wrong-type"),
        ({"Crop": [0]}, "meta-wrong-type"),
        ({"IntAttr": [2**70]}, "meta-out-of-range"),
        ({"CustomContent": pd.Series(["\ud800"], dtype=object)}, "meta-not-unicode"),
        ({"price": [1]}, "meta-unknown-field"),
    ],
)
def test_batches_that_cannot_be_written_say_why(columns, rule, tmp_path):
    with pytest.raises(MetaError) as caught:
        write_meta(frame(**columns), tmp_path / "increment.meta")
    assert caught.value.findings["rule"].tolist() == [rule]
    assert not list(tmp_path.iterdir())


def test_what_the_service_will_refuse_can_still_be_written():
    made = dumps_meta(frame(CustomContent=["x" * 5000], IntAttr=[3 * 10**9], Region=["40,20"]))
    assert set(rules(made)) == {"meta-too-long", "meta-out-of-range", "meta-region"}


def test_rule_ids_are_unique_and_say_what_they_are_about():
    assert len({rule.id for rule in META_RULES}) == len(META_RULES)
    for rule in META_RULES:
        assert rule.id.startswith("meta-")
        assert rule.source
        assert rule.remedy


def test_examples_in_the_docstrings_hold():
    assert doctest.testmod(import_module("imgprep.meta.reading")).failed == 0
