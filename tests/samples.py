"""Which cases of a test run each time, and which are left to `make proof`."""

import pytest
from _pytest.mark import ParameterSet


def sampled(cases, count):
    """All cases for `parametrize`: `count` of them, evenly spread, run each time, the others in `make proof`."""
    cases = list(cases)
    kept = {round(place * (len(cases) - 1) / max(count - 1, 1)) for place in range(count)}
    sets = [case if isinstance(case, ParameterSet) else pytest.param(case) for case in cases]
    proof = pytest.mark.proof
    return [case if place in kept else case._replace(marks=[*case.marks, proof]) for place, case in enumerate(sets)]
