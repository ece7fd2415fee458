"""A generated history: runs on a sandbox, in a folder of its own."""

import pytest

from imgprep.core.errors import ConfigError
from imgprep.demo.history import make_history


def test_real_runs_are_never_removed_whatever_their_names(tmp_path):
    real = tmp_path / "runs" / "20260101T000000Z-demo-0001" / "run.json"
    real.parent.mkdir(parents=True)
    real.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="not from a generated history"):
        make_history(tmp_path / "runs", weeks=1)
    assert real.read_text(encoding="utf-8") == "{}"


def test_a_history_can_be_generated_again(tmp_path):
    first = make_history(tmp_path / "runs", weeks=1)
    again = make_history(tmp_path / "runs", weeks=1)
    assert [run.id for run in again] == [run.id for run in first]
    assert again[0].outcome["outcome"].equals(first[0].outcome["outcome"]) and len(again[0].outcome)
