"""Long proofs: every test of this folder runs in `make proof` alone."""

import pytest


def pytest_itemcollected(item):
    item.add_marker(pytest.mark.proof)
