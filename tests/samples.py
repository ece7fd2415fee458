"""Which cases of a test run each time, and which are left to `make proof`."""

import pytest


def sampled(cases, count):
    """All cases for `parametrize`: `count` of them, evenly spread, run each time, the others in `make proof`.

    A tuple is the values of several arguments.
    """
    cases = [case if isinstance(case, tuple) else (case,) for case in cases]
    kept = {round(place * (len(cases) - 1) / max(count - 1, 1)) for place in range(count)}
    marks = [() if place in kept else pytest.mark.proof for place in range(len(cases))]
    return [pytest.param(*case, marks=mark) for case, mark in zip(cases, marks, strict=True)]
