"""Findings counted by subject, severity, and who corrects them."""

import matplotlib

matplotlib.use("Agg")

import pandas as pd
from matplotlib import pyplot as plt

import imgprep as ip
from imgprep.look.rules.book import RULES, tally_findings

SUMMARY = pd.DataFrame(
    [
        ("image-rotated", "error", 9),
        ("image-missing", "error", 2),
        ("pic-name-slash", "warning", 4),
        ("duplicate-conflict", "error", 3),
        ("value-unmapped", "warning", 1),
        ("category-missing", "info", 5),
    ],
    columns=["rule", "severity", "count"],
)


def test_each_finding_is_counted_once_and_by_whoever_corrects_it():
    tally = tally_findings(SUMMARY).set_index("subject")
    assert tally.loc["images"].tolist() == [11, 0, 0, 9, 2, 0]
    assert tally.loc["image names"].tolist() == [0, 4, 0, 4, 0, 0]
    assert tally.loc["rows"].tolist() == [3, 0, 0, 0, 0, 3]
    assert tally.loc["export"].tolist() == [0, 1, 0, 0, 0, 1]
    assert tally[["error", "warning", "info"]].to_numpy().sum() == 24
    assert tally[["imgprep", "photographer", "shop"]].to_numpy().sum() == 24


def test_a_rule_that_prepare_corrects_says_so_in_its_remedy_and_no_other_does():
    for rule in RULES:
        assert rule.prepared == ("imgprep prepare" in rule.remedy), rule.id


def test_the_chart_states_who_corrects_what_and_an_empty_one_is_no_error():
    ax = ip.plot_findings(SUMMARY)
    assert ax.get_title() == "14 errors to correct: 9 for imgprep, 2 for photographers, 3 for the shop"
    texts = [text.get_text() for text in ax.texts]
    assert "imgprep 9 · photographer 2" in texts and "11" in texts
    assert "imgprep 4" not in texts, "a warning is not an error: the column's sums are those of the title"
    assert ip.plot_findings(SUMMARY.head(0)).get_title() == "No errors"
    plt.close("all")
