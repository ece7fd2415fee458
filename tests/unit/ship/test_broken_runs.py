"""A run folder with a damaged table is named and left out, whenever the damage is seen."""

import logging

import matplotlib

matplotlib.use("Agg")

import pytest
from runs_made import make_run

import imgprep as ip
from imgprep.core.errors import ConfigError
from imgprep.outcomes.tallies import tally_durations, tally_flow
from imgprep.ship.run import open_run

TABLES = ("batch", "outcome", "catalogue", "source_facts", "findings")
USES = {
    "causes": ip.tally_causes,
    "by a column": lambda runs: ip.tally_by(runs, "source"),
    "outcomes": ip.tally_outcomes,
    "durations": tally_durations,
    "flow": tally_flow,
    "predictions": ip.tally_predictions,
    "gallery": ip.gallery_state,
    "month": ip.review,
    "story": lambda runs: ip.trace("A", runs[0].folder.parent),
}


@pytest.fixture
def folder(tmp_path):
    make_run(tmp_path / "20261012", "2026-10-12", {"A": "imported", "B": "failed"})
    make_run(tmp_path / "20261102", "2026-11-02", {"B": "imported", "C": "failed"})
    make_run(tmp_path / "20261109", "2026-11-09", {"C": "failed"})
    return tmp_path


def damage(file, how):
    data = bytearray(file.read_bytes())
    if how == "cut off":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = b""
    elif how == "within":  # the ends are whole, so that only reading tells
        data[4 : len(data) - 8] = b"\xff" * (len(data) - 12)
    file.write_bytes(data)


@pytest.mark.parametrize("how", ["cut off", "empty"])
@pytest.mark.parametrize("table", ["batch", "outcome"])
def test_a_run_whose_table_was_cut_off_is_named_and_skipped(table, how, folder, caplog):
    damage(folder / "20261102" / f"{table}.parquet", how)
    assert [run.id for run in ip.load_runs(folder)] == ["20261012", "20261109"]
    assert f"20261102/{table}.parquet" in caplog.text


@pytest.mark.parametrize("look", USES)
@pytest.mark.parametrize("table", TABLES)
def test_damage_within_a_table_costs_no_other_run(table, look, folder, caplog):
    damage(folder / "20261102" / f"{table}.parquet", "within")
    runs = ip.load_runs(folder)
    assert len(runs) == 3 and not caplog.records
    USES[look](runs)
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    touched = f"20261102/{table}.parquet" in caplog.text
    assert touched or (look != "month" and table != "outcome")


def test_the_other_runs_are_counted(folder):
    damage(folder / "20261102" / "outcome.parquet", "within")
    runs = ip.load_runs(folder)
    assert ip.tally_outcomes(runs)["run"].tolist() == ["20261012", "20261109"]
    assert ip.tally_causes(runs).attrs["runs"]["run"].tolist() == ["20261012", "20261109"]
    state = ip.gallery_state(runs).set_index("ProductId")["state"]
    assert state.to_dict() == {"A": "held", "B": "unknown", "C": "unknown"}  # its lines may have come


def test_a_broken_table_of_a_single_run_is_an_error(folder):
    damage(folder / "20261102" / "outcome.parquet", "within")
    with pytest.raises(ConfigError, match=r"20261102/outcome\.parquet"):
        ip.tally_causes(open_run(folder / "20261102"))
