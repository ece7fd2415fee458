"""Text for messages."""

import pytest

from imgprep.core.text import percent


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [
        (0, 1, "0.0%"),
        (1 / 3208, 1, "<0.1%"),
        (1 / 3208, 0, "<1%"),
        (0.005, 0, "<1%"),
        (0.5, 0, "50%"),
        (3207 / 3208, 1, ">99.9%"),
        (3207 / 3208, 0, ">99%"),
        (1, 0, "100%"),
        (1.2, 0, "120%"),
    ],
)
def test_nearly_all_is_not_all_and_nearly_none_not_none(share, decimals, text):
    assert percent(share, decimals) == text
