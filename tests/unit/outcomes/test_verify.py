"""Sample sizes and intervals of a verification, against the distribution that they invert."""

import math

import pytest

from imgprep.core.errors import ConfigError
from imgprep.outcomes.verify import sample_size, share_interval


def exactly(found, drawn, marked, images):
    """The probability of `found` marked ones in a sample, by counting."""
    ways = math.comb(marked, found) * math.comb(images - marked, drawn - found)
    return ways / math.comb(images, drawn)


def test_the_sample_is_the_least_that_finds_the_margin():
    for images in (1, 5, 60, 700):
        size = sample_size(images, margin=0.02)
        wrong = math.ceil(0.02 * images)
        assert exactly(0, size, wrong, images) <= 0.05 < exactly(0, size - 1, wrong, images)
    assert sample_size(10_000_000) == 299, "a large gallery needs no larger sample"


@pytest.mark.parametrize(("good", "asked", "images"), [(9, 10, 40), (10, 10, 40), (0, 7, 20), (3, 6, 30)])
def test_the_interval_holds_every_share_that_the_sample_does_not_reject(good, asked, images):
    kept = [
        marked
        for marked in range(good, images - (asked - good) + 1)
        if sum(exactly(k, asked, marked, images) for k in range(good, min(asked, marked) + 1)) > 0.025
        and sum(exactly(k, asked, marked, images) for k in range(max(0, asked + marked - images), good + 1)) > 0.025
    ]
    low, high = share_interval(good, asked, images)
    assert (round(low * images), round(high * images)) == (min(kept), max(kept))


def test_an_interval_of_all_images_is_their_share():
    assert share_interval(3, 4, 4) == (0.75, 0.75)


@pytest.mark.parametrize("wrong", [{"confidence": 1.0}, {"margin": 0}])
def test_a_confidence_or_margin_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        sample_size(100, **wrong)
