"""`imgprep trace` and `imgprep review`: what all runs say, at the command line."""

import json

import pandas as pd
import pytest
from runs_made import make_run

from imgprep.cli.main import main


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "imgprep-work" / "runs"
    folder.mkdir(parents=True)
    make_run(folder / "20261012", "2026-10-12", {"A": "imported", "B": "failed"})
    make_run(folder / "20261102", "2026-11-02", {"B": "imported", "C": "failed"})
    return folder


def test_a_products_story_is_printed_and_the_exit_code_shows_whether_it_is_found(runs, capsys):
    assert main(["trace", "B", "--format", "json"]) == 0
    printed = capsys.readouterr()
    assert [each["what"] for each in json.loads(printed.out)] == [
        "exported", "sent", "failed", "exported", "sent", "imported"
    ]  # fmt: skip
    assert printed.err.startswith("B: the gallery shop holds 1 of its images")
    assert main(["trace", "C"]) == 1
    assert main(["trace", "never-heard-of"]) == 1
    assert "no run contains this product" in capsys.readouterr().err


def test_runs_may_lie_elsewhere(runs, tmp_path, monkeypatch, capsys):
    elsewhere = runs.rename(tmp_path / "runs")
    assert main(["trace", "A", "--runs", str(elsewhere)]) == 0
    assert main(["review", "--runs", str(elsewhere)]) == 0
    assert "in gallery" in capsys.readouterr().out


def test_a_run_is_named_by_its_folder_or_by_its_name_in_the_folder_of_runs(runs, tmp_path, capsys):
    for words in (["20261102"], [str(runs / "20261102")]):
        assert main(["report", *words, "--format", "json"]) == 1
        assert [row["run"] for row in json.loads(capsys.readouterr().out)] == ["20261102"]
    runs.rename(tmp_path / "runs")
    assert main(["report", "20261102"]) == 2
    assert "20261102: is not a run folder" in capsys.readouterr().err
    assert main(["report", "20261102", "--runs", "runs"]) == 1


def test_a_month_is_summed_up_table_by_table_and_as_a_page(runs, tmp_path, capsys):
    assert main(["review", "--month", "2026-11", "--format", "json", "--html", "month.html"]) == 0
    printed = capsys.readouterr()
    assert {each["stage"]: each["images"] for each in json.loads(printed.out)}["in gallery"] == 2
    assert "2026-11, shop: 2 images in the gallery" in printed.err
    assert "By the last run of November 2026, 2 of 4 images" in (tmp_path / "month.html").read_text(encoding="utf-8")
    assert main(["review", "--table", "sources", "--format", "csv"]) == 0
    assert "phone,rotated,1" in capsys.readouterr().out


def test_an_instance_to_which_nothing_was_sent_takes_no_other_gallerys_runs(runs, monkeypatch, capsys):
    monkeypatch.setenv("IMGPREP_INSTANCE", "another")
    assert main(["trace", "A"]) == 1
    assert "nothing was sent to another yet; not counted: runs of shop" in capsys.readouterr().err
    assert main(["review"]) == 2
    assert "none of the given runs was sent to another" in capsys.readouterr().err


def test_failed_lines_are_written_for_a_spreadsheet(runs, tmp_path, capsys):
    folders = [str(folder) for folder in sorted(runs.iterdir())]
    assert main(["report", *folders, "--failed", "failed.xlsx", "--format", "json"]) == 1
    found = pd.read_excel(tmp_path / "failed.xlsx", dtype=str, engine="calamine")
    assert found["ProductId"].tolist() == ["B", "C"] and found["source"].tolist() == ["phone", "phone"]
    assert found["label"].tolist() == ["rotated by EXIF"] * 2 and found["remedy"].notna().all()
    (tmp_path / "mine.csv").write_text("mine")
    assert main(["report", folders[0], "--failed", "mine.csv"]) == 2
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_runs_are_listed_with_gallery_age_and_size(runs, capsys):
    assert main(["runs", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(each["run"], each["gallery"], each["state"]) for each in listed] == [
        ("20261012", "shop", "partial"),
        ("20261102", "shop", "partial"),
    ]
    assert listed[0]["days"] > listed[1]["days"] + 20 and all(each["megabytes"] > 0 for each in listed)


def test_a_report_that_cannot_be_read_says_what_to_do_next(runs, tmp_path, capsys):
    (tmp_path / "report.txt").write_text("")
    assert main(["report", str(runs / "20261012"), "--report", "report.txt"]) == 2
    errors = capsys.readouterr().err
    assert "report.txt: the report is empty" in errors
    assert "in the console" in errors and "imgprep close" in errors and "imgprep dump" in errors


def test_a_month_without_runs_is_refused_with_the_reason(runs, capsys):
    assert main(["review", "--month", "2026-01"]) == 2
    assert main(["review", "--month", "November"]) == 2
    errors = capsys.readouterr().err
    assert "there was no run before the end of 2026-01" in errors and "is not a month; write it as 2026-11" in errors


def test_a_product_of_a_new_project_has_not_been_sent(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imgprep.toml").touch()
    assert main(["trace", "A"]) == 1
    assert "A: no run contains this product" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["trace", "A"], ["review"]])
def test_a_folder_of_runs_that_is_not_there_is_named(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert main([*words, "--runs", "gone"]) == 2
    errors = capsys.readouterr().err
    assert "imgprep-work/runs: no such folder of runs" in errors and "gone: no such folder of runs" in errors
