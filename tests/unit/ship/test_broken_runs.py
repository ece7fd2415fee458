"""A run folder with a damaged table is named and left out, whenever the damage is seen."""

import json
import logging
import shutil
from itertools import product

import matplotlib

matplotlib.use("Agg")

import pytest
from runs_made import make_run

import imgprep as ip
from imgprep.cli.main import main
from imgprep.core.clock import SystemClock
from imgprep.core.errors import ConfigError
from imgprep.outcomes.tallies import tally_by, tally_durations, tally_flow, tally_predictions
from imgprep.ship.run import make_run as new_run
from imgprep.ship.run import open_run
from tests.samples import sampled

TABLES = ("batch", "outcome", "catalogue", "source_facts", "findings")
USES = {
    "causes": ip.tally_causes,
    "by a column": lambda runs: tally_by(runs, "source"),
    "outcomes": ip.tally_outcomes,
    "durations": tally_durations,
    "flow": tally_flow,
    "predictions": tally_predictions,
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


@pytest.mark.parametrize(("table", "look"), sampled(product(TABLES, USES), 12))
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


WRONG = {
    "settings": [None, [], {"instance": None}, {"instance": {}}],
    "times": [None, {"ended": 5}],
    "counts": [{"lines": "many"}],
    "id": [None, 7],
    "state": [None, [], "finished"],
    "report": ["report.raw", {"unmatched": None}],
    "readings": [{"report": "x"}, ["report.raw"]],
    "note": [["text"]],
    "unanswered": ["2026"],
}


@pytest.mark.parametrize(("entry", "value"), [(entry, value) for entry, values in WRONG.items() for value in values])
def test_a_wrong_entry_of_run_json_is_named_with_its_file_and_the_remedy(entry, value, folder, capsys, caplog):
    file = folder / "20261102" / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {entry: value}))
    assert main(["report", str(file.parent)]) == 2
    errors = capsys.readouterr().err
    assert str(file) in errors and f"{entry} is missing or wrong; restore it from a copy" in errors
    assert [run.id for run in ip.load_runs(folder)] == ["20261012", "20261109"] and str(file) in caplog.text


def test_a_run_json_that_is_nested_without_end_is_named(folder, capsys):
    file = folder / "20261102" / "run.json"
    file.write_text("[" * 100_000)
    assert main(["report", str(file.parent)]) == 2 and str(file) in capsys.readouterr().err


def test_settings_that_this_version_does_not_know_are_kept_and_not_used(folder):
    file = folder / "20261102" / "run.json"
    about = json.loads(file.read_text())
    about["settings"] |= {"colour": "blue", "project": "/etc", "causes": "/etc/passwd"}
    file.write_text(json.dumps(about))
    run = open_run(file.parent)
    assert run.settings["colour"] == "blue" and run.sent_to.instance == "shop"
    assert run.sent_to.causes is None and not run.sent_to.project.is_absolute()


@pytest.mark.parametrize("how", ["cut off", "empty", "within"])
def test_a_damaged_table_of_a_batch_folder_names_the_file_and_the_remedy(how, folder, capsys, monkeypatch):
    batch = folder / "20261012"
    (batch / "increment.meta").write_text("")
    damage(batch / "batch.parquet", how)
    for name, value in (("BUCKET", "b" * 3), ("PATH", "/p"), ("INSTANCE", "shop"), ("REGION", "cn-shanghai")):
        monkeypatch.setenv(f"IMGPREP_{name}", value)
    for command in ("upload", "submit"):
        assert main([command, str(batch), "--runs", str(folder / "none")]) == 2
        errors = capsys.readouterr().err
        assert str(batch / "batch.parquet") in errors and "build the batch again" in errors


def test_a_copied_run_folder_is_named_and_counted_once(folder, caplog):
    shutil.copytree(folder / "20261102", folder / "20261102 - copy")
    shutil.copytree(folder / "20261102", folder / "0 backup")
    once = ip.tally_causes([open_run(folder / name) for name in ("20261012", "20261102", "20261109")])
    runs = ip.load_runs(folder)
    assert [run.folder.name for run in runs] == ["20261012", "20261102", "20261109"]
    assert ip.tally_causes(runs).equals(once) and not ip.tally_causes(runs).duplicated(["run", "cause"]).any()
    assert "0 backup: is a copy of run 20261102 in 20261102, so it is not counted again" in caplog.text
    caplog.clear()
    given = [open_run(each) for each in sorted(folder.iterdir())]
    assert ip.tally_causes(given).equals(once) and "was passed twice" in caplog.text


def test_a_run_and_its_copy_are_reported_as_one(folder, capsys):
    shutil.copytree(folder / "20261102", folder / "copy")
    words = ["report", str(folder / "20261102"), str(folder / "copy"), "--format", "json"]
    assert main(words) == 1
    assert [row["run"] for row in json.loads(capsys.readouterr().out)] == ["20261102"]


def test_what_a_killed_submit_left_goes_with_the_next_run(folder, tmp_path):
    left, theirs = folder / ".20261130T010203Z-shop-ab12.making", folder / ".notes.making"
    for each in (left, theirs):
        each.mkdir()
        (each / "batch.parquet").write_bytes(b"half")
    batch = folder / "20261012"
    (batch / "increment.meta").write_text("")
    new_run(batch, ip.Settings(instance="shop"), folder, digest="d", clock=SystemClock())
    assert not left.exists() and theirs.exists()


def test_runs_made_at_the_same_time_sort_in_the_order_in_which_they_were_made(folder, tmp_path):
    batch, moment = folder / "20261012", SystemClock().time()
    (batch / "increment.meta").write_text("")
    clock = type("Coarse", (SystemClock,), {"time": lambda self: moment})()
    made = [new_run(batch, ip.Settings(instance="shop"), tmp_path / "new", digest="d", clock=clock) for _ in range(12)]
    assert [run.id for run in ip.load_runs(tmp_path / "new")] == [run.id for run in made]
    (left := tmp_path / "new" / f".{made[0].id}.making").mkdir()
    new_run(batch, ip.Settings(instance="shop"), tmp_path / "new", digest="d", clock=clock)
    assert not left.exists()
