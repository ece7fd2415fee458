"""The codec, for any legal batch and for any bytes."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgprep.core.fields import FIELDS, INT32_MAX, INT32_MIN, INT_ATTRS, STR_ATTRS
from imgprep.meta import reading
from imgprep.meta.codec import dumps_meta, loads_meta

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
name = text.filter(bool)
line = st.fixed_dictionaries(
    {"OperationType": st.sampled_from(["ADD", "DELETE"]), "ProductId": name, "PicName": name},
    optional={
        "CategoryId": st.integers(0, 2**62),
        **dict.fromkeys(INT_ATTRS, st.integers(INT32_MIN, INT32_MAX)),
        **dict.fromkeys(STR_ATTRS, text),
        "CustomContent": text,
        "Crop": st.booleans(),
        "Region": st.sampled_from(["0,1,0,1", "20,40,60,80"]),
    },
)


def as_batch(lines):
    batch = pd.DataFrame(lines, columns=[field.name for field in FIELDS], dtype=object)
    return batch.astype({field.name: field.dtype for field in FIELDS})


@given(st.lists(line, max_size=6))
def test_any_legal_batch_survives_the_round_trip(lines):
    batch = as_batch(lines)
    made = dumps_meta(batch)
    back, findings = loads_meta(made, strict=False)
    assert set(findings["severity"]) <= {"warning"}
    pd.testing.assert_frame_equal(back.drop(columns="line"), batch)
    assert [json.loads(item) for item in made.splitlines()] == lines
    assert dumps_meta(back) == made


@given(st.binary(max_size=200))
def test_any_bytes_give_rows_or_findings(data):
    batch, findings = loads_meta(data, strict=False)
    assert len(batch) or len(findings) or not data


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
keys = st.sampled_from([field.name for field in FIELDS]) | st.text(max_size=8)


@given(st.lists(st.dictionaries(keys, values, max_size=5), min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_any_json_lines_are_each_a_row_or_a_finding(objects, end):
    batch, findings = loads_meta(end.join(json.dumps(item) for item in objects), strict=False)
    assert set(batch["line"]) | set(findings["line"]) >= set(range(1, len(objects) + 1))
    assert findings["message"].notna().all()


@given(st.lists(line, min_size=1, max_size=3), st.data())
def test_a_cut_file_is_noticed(lines, data):
    made = dumps_meta(as_batch(lines)).encode()
    cut = data.draw(st.integers(1, len(made) - 2))
    if made[:cut].endswith((b"\n", b"}")):
        return
    rules = set(loads_meta(made[:cut], strict=False)[1]["rule"])
    assert rules & {"meta-truncated", "meta-not-utf8"}


PAIRS = st.sampled_from(
    [
        '"ProductId":"1"',
        '"ProductId" : "2"',
        '"PicName": "a.jpg"',
        '"PicName":"\\\\"',
        '"StrAttr":"say \\"ProductId\\": 1"',
    ]
    + [
        '"StrAttr":"\\u0022"',
        '"OperationType":"ADD"',
        '"IntAttr": 1',
        '"IntAttr":2',
        '"Crop":true',
        '"CustomContent":""',
    ]
)


def read_both_ways(text):
    """What is read, and what is read line by line."""
    fast = loads_meta(text, strict=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_as_written", lambda *_: None)
        patch.setattr(reading, "_ANY_ORDER", "^never$")
        return zip(fast, loads_meta(text, strict=False), strict=True)


@given(st.lists(st.lists(PAIRS, min_size=1, max_size=6), min_size=1, max_size=4))
def test_fields_in_any_order_are_read_as_line_by_line(lines):
    for found, expected in read_both_ways("".join(f"{{{','.join(pairs)}}}\n" for pairs in lines)):
        pd.testing.assert_frame_equal(found, expected)


# What may be wrong with one line of a file that is otherwise regular.
FAULTS = [('"PicName"', '"Picname"'), ('"PicName"', '"ProductId"'), ('": ', '":'), ('":', '" :'), ("}", ' ,"Crop":1}')]
FAULTS += [
    ("{", "{{"),
    ("}", "}}"),
    ("}", ""),
    ("\n", "\r\n"),
    ("\n", "\n\n"),
    ("\n", ""),
    ('"ADD"', "null"),
    ("0", "0.0"),
]


@given(
    st.lists(line, min_size=1, max_size=12),
    st.permutations(FIELDS),
    st.sampled_from([(",", ": "), (",", ":"), (", ", ": ")]),
    st.sampled_from(FAULTS),
    st.data(),
)
def test_a_file_of_any_regular_form_is_read_as_line_by_line(lines, order, separators, fault, data):
    objects = [{field.name: item[field.name] for field in order if field.name in item} for item in lines]
    texts = [json.dumps(item, ensure_ascii=False, separators=separators) + "\n" for item in objects]
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(texts) - 1))
        texts[at] = texts[at].replace(*fault, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", data.draw(st.sampled_from([100, 1000])))
        for found, expected in read_both_ways("".join(texts)):
            pd.testing.assert_frame_equal(found, expected)
