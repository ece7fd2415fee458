"""Every fault that `check` knows, shipped to the sandbox: each refusal was predicted, each prediction comes true."""

import functools

import pytest

from bench.predictions import KINDS, compare, disagreements
from imgprep.ship.report.match import Outcome


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Ships to an instance of a service, once."""

    @functools.cache
    def ship(service):
        folder = tmp_path_factory.mktemp(service)
        return compare(folder, 2 * len(KINDS) + 8, every=2, instances={"demo": service})

    return ship


@pytest.mark.parametrize("service", ["product", "fabric", "trademark"])
def test_every_refusal_was_an_error_and_no_documented_error_is_imported(shipped, service):
    compared = shipped(service)
    failed = compared["outcome"].eq(Outcome.FAILED)
    assert failed.sum() > 40
    assert compared[failed & compared["rule"].isna()].empty
    assert compared[compared["documented"] & compared["outcome"].eq(Outcome.IMPORTED)].empty
    if service == "product":  # elsewhere a size is refused before what was seeded is seen
        assert compared.loc[~compared["found"], "kind"].tolist() == []
        assert set(compared["outcome"]) == {"imported", "deleted", "failed"}


def test_each_disagreement_has_its_reason(shipped):
    table = disagreements(shipped("product"))
    assert len(table) and "UNEXPLAINED" not in set(table["why"])
    assert set(table["basis"]) == {"unknown", "weak", "documented"}
    assert table.loc[table["basis"] == "documented", "outcome"].tolist() == ["deleted"]
