"""No line that a report calls failed is called imported, in any shape of report."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgprep.core.errors import ReportError
from imgprep.ship.report.match import read_report
from tests.reports_made import NAMINGS, SHAPES, make_report
from tests.samples import sampled

WELL = ["imported", "deleted"]


@pytest.mark.parametrize("shape", sorted(SHAPES))
@given(st.sampled_from(sorted(NAMINGS)), st.integers(0, 2**32))
def test_no_line_that_the_report_calls_failed_is_imported(shape, naming, seed):
    made = make_report(random.Random(seed), shape, naming)
    try:
        outcome = read_report(made.text.encode(), made.batch)
    except ReportError:
        return  # then no line is called anything
    well = set(outcome["line"][outcome["outcome"].isin(WELL)])
    assert not well & made.failed, made.text


@pytest.mark.parametrize("shape", sorted(SHAPES.keys() - {"names in other spellings"}))
@pytest.mark.parametrize("seeds", sampled((range(0, 5), range(5, 30)), 1), ids=str)
def test_plain_names_cost_no_other_line(shape, seeds):
    for seed in seeds:
        made = make_report(random.Random(seed), shape, "plain")
        outcome = read_report(made.text.encode(), made.batch).set_index("line")["outcome"]
        assert set(outcome.index[outcome == "failed"]) == made.failed, made.text
        assert outcome.drop(list(made.failed)).isin(WELL).all(), made.text
