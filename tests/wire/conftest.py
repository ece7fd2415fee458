"""The vendors' clients are half a million objects, which no search for secrets needs to look through."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def clients_set_aside():
    """Load the largest of the clients before what is alive is set aside."""
    import alibabacloud_imagesearch20201214.client  # noqa: F401
