"""The vendors' clients are half a million objects, which no search for secrets needs to look through."""

import gc

import pytest


@pytest.fixture(scope="session", autouse=True)
def clients_set_aside(secret_watch):
    """Load the largest of the clients before the first look at what is alive."""
    import alibabacloud_imagesearch20201214.client  # noqa: F401

    gc.collect()
    gc.freeze()
