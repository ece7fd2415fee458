"""The whole demo shop, once through the command: what the kit reports is what was planted, to the row."""

import re
import subprocess
import sys

import pandas as pd
import pytest

import imgprep as ip
from imgprep.demo.shop import demo_shop
from imgprep.ship.run import load_runs

#: Findings of loading name records, not images. Of a value that the map lacks, and of an image that many products
#: share, there is one finding, with a count.
BY_RECORD, BY_VALUE, BY_IMAGE = ("number-not-read", "product-without-image"), "value-unmapped", "image-placeholder"


@pytest.fixture(scope="module")
def shop():
    return demo_shop(progress=False)


@pytest.fixture(scope="module")
def truth(shop):
    return shop.planted()


@pytest.fixture(scope="module")
def demo(shop, tmp_path_factory):
    """The folder of `imgprep demo`, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    words = [sys.executable, "-m", "imgprep", "demo", "--out", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return folder, done.stdout


@pytest.fixture(scope="module")
def run(demo):
    (run,) = load_runs(demo[0] / "runs")
    return run


@pytest.fixture(scope="module")
def catalogue(shop):
    return ip.load_catalogue(shop.catalogue, columns=shop.columns)


def keys(frame, columns=("row", "ProductId", "PicName")):
    """The rows of a frame as the truth names them: with None where nothing is."""
    found = frame[list(columns)].astype(object)
    return list(found.where(found.notna(), None).itertuples(index=False, name=None))


def planted(truth, **wanted):
    """The rows of every fault that is as wanted, such as ``sent="refused"``."""
    faults = truth["faults"].values()
    return sorted(
        tuple(row)
        for fault in faults
        if all(fault[key] == value for key, value in wanted.items())
        for row in fault["rows"]
    )


def sent_as_found(run, outcome):
    """Keys of lines under the names of the export: copies may have another name."""
    names = run.prepared.dropna(subset="new_name").set_index("new_name")["PicName"]
    lines = run.outcome[run.outcome["outcome"] == outcome].merge(run.batch[["line", "row"]], on="line")
    return sorted(keys(lines.assign(PicName=lines["PicName"].map(names).fillna(lines["PicName"]))))


def test_the_story_has_one_set_of_numbers(demo, truth):
    found = {
        step: [int(n.replace(",", "")) for n in re.findall(r"\b\d[\d,]*", text)]
        for step, text in re.findall(r"^(load|look|plan|follow) +(.*)$", demo[1], re.M)
    }
    lines, refused, excluded = found["plan"]
    assert found["load"] == [truth["records"], truth["products"], truth["rows"]]
    assert found["look"][0] == truth["names"]
    assert lines + excluded == truth["rows"]
    assert found["follow"] == [lines, lines - refused, refused]
    assert refused == len(planted(truth, sent="refused")) and excluded == len(planted(truth, sent="excluded"))


def test_what_check_reports_is_what_was_planted(run, catalogue, truth):
    loaded = catalogue.attrs["findings"]
    findings = pd.concat([loaded[loaded["row"].notna()], ip.check(catalogue, run.source_facts)], ignore_index=True)
    reported = {rule: sorted(keys(group, ("row", "PicName")), key=str) for rule, group in findings.groupby("rule")}
    expected = {}
    for fault in truth["faults"].values():
        for rule in fault["rules"]:
            expected.setdefault(rule, []).extend((row, name) for row, _, name in fault["rows"])
    for rule in BY_RECORD:
        expected[rule] = [(row, None) for row, _ in expected[rule]]
    expected[BY_VALUE] = [(min(expected[BY_VALUE])[0], None)]
    expected[BY_IMAGE] = [
        min(rows)
        for name in {name for _, name in expected[BY_IMAGE]}
        if (rows := [row for row in expected[BY_IMAGE] if row[1] == name])
    ]
    assert reported.keys() == expected.keys()
    assert reported == {rule: sorted(rows, key=str) for rule, rows in expected.items()}
    assert f"{len(truth['faults']['gift-card']['rows'])} rows" in findings.set_index("rule")["message"][BY_VALUE]


def test_the_service_refuses_what_was_planted_to_be_refused_and_nothing_else(run, truth):
    assert sent_as_found(run, "failed") == planted(truth, sent="refused")
    never = sorted(keys(run.excluded), key=str)
    assert never == sorted(planted(truth, sent="excluded"), key=str)
    assert len(sent_as_found(run, "imported")) == truth["rows"] - len(never) - len(planted(truth, sent="refused"))


def test_prepare_corrects_what_was_planted_to_be_corrected(run, truth):
    corrected = set(planted(truth, remedy="prepare"))
    assert corrected <= set(sent_as_found(run, "imported"))
    errors = run.findings[run.findings["severity"] == "error"]
    assert not {(row, name) for row, _, name in corrected} & set(keys(errors, ("row", "PicName")))
    changed = run.prepared[
        (run.prepared["action"] == "converted") | (run.prepared["new_name"] != run.prepared["PicName"])
    ]
    assert {name for _, _, name in corrected} <= set(changed["PicName"])


def test_copies_are_found_and_nothing_else_is_taken_for_a_copy(run, catalogue, truth):
    found = ip.find_duplicates(run.source_facts, catalogue)
    groups = {frozenset(group["PicName"]) for _, group in found.groupby("group")}
    placeholders = {
        frozenset({row[2]}) for name in ("coming-soon", "no-photo") for row in truth["faults"][name]["rows"]
    }
    assert groups == {frozenset(copy["images"]) for copy in truth["copies"]} | placeholders


def test_the_charts_have_shapes(run, demo):
    causes = ip.tally_causes(run)
    assert causes["count"].min() <= 2 and causes["count"].max() >= 60 and len(causes) >= 6
    for column in ("brand", "type", "photographer"):
        counts = run.by(column).groupby("value")["count"].sum()
        assert counts.max() > 5 * counts.min() > 0
    page = (demo[0] / "report.html").read_text(encoding="utf-8")
    assert "report.html" in demo[1]
    assert "SANDBOX" in page and "partial" in page and "data:image/jpeg" in page
