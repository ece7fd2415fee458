"""Causes that the project defines appear everywhere that a run is shown."""

import json

import matplotlib

matplotlib.use("Agg")

import pytest
from runs_made import make_run

import imgprep as ip
from imgprep.cli.main import main
from imgprep.core.errors import ConfigError
from imgprep.outcomes.cause_explorer import CauseExplorer
from imgprep.outcomes.retry import plan_retry
from imgprep.ship.report.causes import CauseTable, as_entries, load_causes, with_custom
from imgprep.ship.run import open_run
from imgprep.show.export import annotate_meta

CUSTOM = """\
[[cause]]
id = "watermark"
label = "has a <watermark>"
family = "retry as it is"
remedy = "Ask the studio for a clean picture."
phrases = ["watermark"]
"""
REPORT = b"line 1: watermark found\nline 2: PicNotExist\n"
LABEL, ESCAPED, REMEDY = "has a <watermark>", "has a &lt;watermark&gt;", "Ask the studio for a clean picture."


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project that defines a cause, with one open run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imgprep.toml").write_text('[shop]\ncauses = "ours.toml"\n', encoding="utf-8")
    (tmp_path / "ours.toml").write_text(CUSTOM, encoding="utf-8")
    (tmp_path / "saved.txt").write_bytes(REPORT)
    runs = tmp_path / "imgprep-work" / "runs"
    runs.mkdir(parents=True)
    made = make_run(runs / "20261102", "2026-11-02", {"A": "unknown", "B": "unknown", "C": "unknown"})
    made.update(settings=ip.Settings(instance="shop").public())
    (made.folder / "findings.parquet").unlink()
    return tmp_path


@pytest.fixture
def run(project):
    return ip.load_runs("imgprep-work/runs")[0].close(report="saved.txt")


def test_closing_a_run_reads_its_report_with_the_projects_causes(run):
    assert run.outcome["cause"].tolist()[:2] == ["watermark", "image_missing"]
    assert [cause.id for cause in open_run(run.folder).cause_table.custom] == ["watermark"]
    assert run.about["report"] == {"entries": 2, "repeated": 0, "unmatched": 0, "notes": 0}


def test_label_family_and_remedy_of_a_custom_cause_appear_everywhere(run, project):
    (project / "ours.toml").unlink()  # the run keeps the causes that it was read with
    tally = ip.tally_causes(run)
    assert tally.set_index("cause").loc["watermark", ["label", "family", "remedy"]].tolist() == [
        LABEL,
        "retry as it is",
        REMEDY,
    ]
    assert any(LABEL in tick.get_text() for tick in ip.plot_causes(tally).get_yticklabels())
    by = ip.plot_by(run, "source")
    assert LABEL in [tick.get_text() for tick in by.get_xticklabels()]
    assert plan_retry(run).batch["PicName"].tolist() == ["a.jpg"]
    assert REMEDY in annotate_meta(run)
    assert LABEL in CauseExplorer(run)._parts.cause.options[0][0] + CauseExplorer(run)._parts.cause.options[1][0]
    assert LABEL in ip.trace("A", ip.Settings(project=project)).answer
    page = ip.write_report(run, "page.html").read_text(encoding="utf-8")
    assert ESCAPED in page and REMEDY in page and LABEL not in page
    month = ip.review([run])._repr_html_()
    assert ESCAPED in month and LABEL not in month


def test_a_cause_defined_later_reaches_the_run_with_the_next_report(run, project, capsys):
    more = CUSTOM.replace("watermark", "no_picture").replace('phrases = ["no_picture"]', 'codes = ["PicNotExist"]')
    (project / "ours.toml").write_text(CUSTOM + more, encoding="utf-8")
    assert main(["report", str(run.folder), "--format", "json"]) == 1
    output = capsys.readouterr()
    assert [cause["cause"] for cause in json.loads(output.out)[0]["causes"]] == ["no_picture", "watermark"]
    assert "read again" in output.err
    assert main(["report", str(run.folder)]) == 1
    assert "read again" not in capsys.readouterr().err


def test_the_command_closes_a_run_outside_the_project_with_the_projects_causes(project, capsys):
    elsewhere = (project / "imgprep-work" / "runs" / "20261102").rename(project.parent / f"{project.name}-run")
    assert main(["close", str(elsewhere), "--report", "saved.txt"]) == 1
    assert [cause.id for cause in open_run(elsewhere).cause_table.custom] == ["watermark"]


def test_a_file_of_causes_that_cannot_be_read_is_named_before_anything_is_changed(project):
    (project / "ours.toml").write_text("[[cause]]\nid = 5\n", encoding="utf-8")
    run = ip.load_runs("imgprep-work/runs")[0]
    with pytest.raises(ConfigError, match=r"ours\.toml"):
        run.close(report="saved.txt")
    assert not (run.folder / "report.raw").exists()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("cause = [1]", "must be a table"),
        ('[[cause]]\nid = "x"\ncodes = "E-1"', "list of strings"),
        ('[[cause]]\nid = "x"\nphrases = [1]', "list of strings"),
        ('[[cause]]\nid = "x"\ncodes = [""]', "list of strings"),
        ('[[cause]]\nid = "x"\nlabel = 5', "must be a string"),
        ('[[cause]]\nid = "x"\nphrases = ["a", "b*"]', "every message"),
    ],
)
def test_an_invalid_cause_is_refused(entry, words, tmp_path):
    (tmp_path / "causes.toml").write_text(entry, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        load_causes(tmp_path / "causes.toml")


def test_an_extended_built_in_cause_is_listed_once(tmp_path):
    (tmp_path / "causes.toml").write_text('[[cause]]\nid = "rotated"\ncodes = ["E-7"]\n', encoding="utf-8")
    table = load_causes(tmp_path / "causes.toml")
    assert table.frame()["cause"].is_unique
    assert table.frame().set_index("cause").loc["rotated", "codes"] == "E-7, IncorrectOrientation"
    assert len(table.frame()) == len(CauseTable().frame())


def test_a_custom_code_overrides_a_built_in_one_and_survives_the_run_folder():
    table = with_custom([{"id": "ours", "codes": ["PicNotExist"]}], "here")
    for again in (table, with_custom(as_entries(table), "there")):
        assert again.classify("PicNotExist", "").id == "ours"


def test_each_custom_phrase_has_its_own_flags_and_groups():
    phrases = [r"(?P<n>a)b(?P=n)", r"(?x) stamp", r"(?P<n>c)\1"]
    table = with_custom([{"id": "ours", "phrases": phrases}], "here")
    for text in ("aba", "a stamp", "cc"):
        assert table.classify(None, text).id == "ours"


def test_a_code_is_found_between_chinese_characters_and_with_any_ends():
    table = with_custom([{"id": "ours", "codes": ["E(7)"]}], "here")
    assert table.find_code("错误码PicNotExist图片") == "PicNotExist"
    assert table.find_code("it says E(7)!") == "E(7)"
    assert table.find_code("MyPicNotExist2") is None


def test_unmatched_entries_are_counted_on_the_page(project):
    (project / "saved.txt").write_bytes(REPORT + b'{"ProductId": "9", "PicName": "<tt>", "Code": "PicNotExist"}\n')
    run = ip.load_runs("imgprep-work/runs")[0].close(report="saved.txt")
    page = ip.write_report(run, "page.html").read_text(encoding="utf-8")
    assert "Unmatched in the error report: 1 entry" in page and "&lt;tt&gt;" in page and "<tt>" not in page
    assert run.about["report"]["unmatched"] == 1


@pytest.mark.parametrize("damaged", [5, [5], [{"id": "x", "phrases": ["("]}]])
def test_a_run_with_damaged_custom_causes_uses_the_built_in_ones(run, damaged, caplog):
    run.update(causes=damaged)
    assert ip.tally_causes(run)["label"].tolist() == ["image missing", "watermark"]
    assert "its custom causes are ignored" in caplog.text
