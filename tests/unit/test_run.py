"""A run whose report is read again."""

import json

import pandas as pd
import pytest

from imgprep.errors import ConfigError
from imgprep.reports import read_report
from imgprep.runs import open_run
from imgprep.runs.folder import OUTCOME, write_table
from imgprep.tallies import tally_causes

REPORT = b"line 1: watermark found\nline 2: PicNotExist\n"
TAUGHT = '[[cause]]\nid = "watermark"\nphrases = ["watermark"]\n'


@pytest.fixture
def run(tmp_path):
    """Lines 1 and 2 failed, the first for a reason that the table does not know."""
    batch = pd.DataFrame({"line": [1, 2, 3], "OperationType": "ADD", "ProductId": ["1", "2", "3"]})
    batch["PicName"] = batch["ProductId"] + ".jpg"
    batch.to_parquet(tmp_path / "batch.parquet")
    (tmp_path / "report.raw").write_bytes(REPORT)
    write_table(tmp_path, OUTCOME, read_report(REPORT, batch))
    about = {"version": 1, "id": "r", "state": "partial", "settings": {}, "counts": {}, "times": {}}
    (tmp_path / "run.json").write_text(json.dumps(about))
    return open_run(tmp_path)


def test_a_phrase_that_was_taught_reaches_the_charts(run, tmp_path):
    (tmp_path / "causes.toml").write_text(TAUGHT)
    before = run.outcome
    assert before["cause"].tolist()[:2] == ["unrecognised", "image_missing"]
    run.read_again(tmp_path / "causes.toml")
    after = open_run(tmp_path).outcome
    assert after["cause"].tolist()[:2] == ["watermark", "image_missing"]
    pd.testing.assert_frame_equal(after.drop(columns="cause"), before.drop(columns="cause"))
    assert set(tally_causes(run)["label"]) == {"watermark", "image missing"}


def test_a_run_without_a_report_has_nothing_to_read_again(run, tmp_path):
    (tmp_path / "causes.toml").write_text(TAUGHT)
    (tmp_path / "report.raw").unlink()
    with pytest.raises(ConfigError, match="no error report to read again"):
        run.read_again(tmp_path / "causes.toml")
    (tmp_path / "outcome.parquet").unlink()
    with pytest.raises(ConfigError, match="no outcome"):
        run.read_again(tmp_path / "causes.toml")
