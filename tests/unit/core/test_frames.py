"""Frames keep their types between pandas and polars, and what is attached survives pandas' own steps."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from imgprep.core.findings import FINDING_COLUMNS, findings_frame
from imgprep.core.frames import as_table, attach, detached, records, storable, to_pandas, to_polars


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "text": pd.Series(["007", None], dtype="str"),
            "number": pd.array([2**53 + 1, None], dtype="Int64"),
            "flag": pd.array([True, None], dtype="boolean"),
        }
    )


def test_nullable_integers_do_not_become_floats(frame):
    back = to_pandas(to_polars(frame))
    pd.testing.assert_frame_equal(back, frame)
    assert back["number"][0] == 2**53 + 1


def test_attached_frames_survive_concat_merge_and_copy(frame):
    attach(frame, findings=findings_frame([{"rule": "x"}]))
    for made in (pd.concat([frame, frame]), frame.merge(frame, on="text"), frame[frame["flag"].notna()], frame.copy()):
        assert made.attrs["findings"]["rule"].tolist() == ["x"]


def test_detached_frames_can_be_written(frame, tmp_path):
    attach(frame, findings=findings_frame([]))
    detached(frame).to_parquet(tmp_path / "x.parquet")
    assert "findings" in frame.attrs
    as_table(frame).to_parquet(tmp_path / "table.parquet")
    for name in ("x.parquet", "table.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name), detached(frame))


def test_what_accompanies_a_table_is_an_attribute_unless_a_column_has_its_name(frame):
    frame.attrs["origin"] = "the newest run"
    table = as_table(attach(frame, findings=findings_frame([{"rule": "x"}])))
    assert table.findings["rule"].tolist() == ["x"]
    assert table.origin == "the newest run"
    assert {"findings", "origin", "text"} <= set(dir(table))
    assert as_table(frame.assign(origin="Milan")).origin.tolist() == ["Milan", "Milan"]
    with pytest.raises(AttributeError, match="strays"):
        _ = table.strays


@pytest.mark.filterwarnings("error")
def test_what_is_derived_from_a_table_keeps_what_belongs_to_it_and_a_table_can_be_written(frame, tmp_path):
    table = as_table(attach(frame, findings=findings_frame([{"rule": "x"}])))
    derived = {
        "part": table.head(1),
        "columns": table[["text"]],
        "query": table.query("text.notna()").reset_index(drop=True),
        "more": table.assign(more=1).rename(columns={"more": "most"}),
        "merged": table.merge(frame[["text"]], on="text"),
        "together": pd.concat([table, table], ignore_index=True),
        "copied": copy.deepcopy(table.copy().head(2)),
        "pickled": pickle.loads(pickle.dumps(table.head(2))),
    }
    for name, made in derived.items():
        assert made.attrs["findings"]["rule"].tolist() == ["x"], name
        shown = as_table(made)
        shown.to_parquet(tmp_path / name)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name), made)
        shown.to_feather(tmp_path / name)
        pd.testing.assert_frame_equal(pd.read_feather(tmp_path / name), made)


def test_records_are_plain_python_objects_without_na(frame):
    frame["share"] = [0.5, float("nan")]
    frame["any"] = pd.Series([np.int64(3), ["a"]], dtype=object)
    first, second = records(frame)
    assert first == {"text": "007", "number": 2**53 + 1, "flag": True, "share": 0.5, "any": 3}
    assert [type(value) for value in first.values()] == [str, int, bool, float, int]
    assert second == {"text": None, "number": None, "flag": None, "share": None, "any": ["a"]}
    assert records(frame.iloc[:0]) == []


def test_findings_have_every_column_in_its_type():
    empty, one = findings_frame(), findings_frame([{"rule": "x", "line": 4, "fixable": True}])
    assert {name: str(kind) for name, kind in empty.dtypes.items()} == FINDING_COLUMNS
    assert {name: str(kind) for name, kind in one.dtypes.items()} == FINDING_COLUMNS
    assert one.loc[0, ["rule", "line", "fixable"]].tolist() == ["x", 4, True]
    assert one["value"].isna().all()


def test_a_lone_surrogate_becomes_a_character_that_tables_take():
    assert storable("a\ud800b") == "a\ufffdb" and storable("红") == "红"
