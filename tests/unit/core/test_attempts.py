"""When a request is made again, and how many run at once."""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from imgprep.core.retry import FIRST_PAUSE, LONGEST_ASKED, LONGEST_PAUSE, Attempts, Pace, retry_after
from tests.wire.shipping import FakeClock


def test_pauses_grow_to_a_limit_and_heed_what_is_asked():
    attempts = Attempts(FakeClock())
    for number in range(1, 60):
        assert attempts.number == number
        assert 0 <= attempts.pause() <= min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (number - 1))
    assert Attempts(FakeClock()).pause(33) == 33
    assert Attempts(FakeClock()).pause(9999) == LONGEST_ASKED


def test_without_jitter_each_pause_is_twice_the_one_before():
    attempts = Attempts(FakeClock(), first=1.0, longest=5.0, jitter=0)
    assert [attempts.pause() for _ in range(4)] == [1, 2, 4, 5]


def test_some_jitter_keeps_the_rest_of_the_pause():
    assert all(1 <= Attempts(FakeClock(), first=1.5, jitter=1 / 3).pause() <= 1.5 for _ in range(99))


def test_attempts_end_with_patience_or_number():
    clock = FakeClock()
    attempts = Attempts(clock, patience=10, first=4.0, jitter=0)
    clock.sleep(attempts.pause())
    assert attempts.pause() is None, "the second pause would end after 12 seconds"
    assert attempts.number == 2
    few = Attempts(clock, most=2)
    assert few.pause() is not None and few.pause() is None
    assert Attempts(clock, most=math.inf).pause() is not None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "33"}, 33),
        ({"x-oss-qos-delay-time": "1500"}, 1.5),
        ({"Retry-After": "tomorrow"}, 0),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({}, 0),
        (None, 0),
    ],
)
def test_an_answer_asks_to_wait_in_seconds_or_until_a_date(headers, seconds):
    assert retry_after(headers) == seconds


def test_a_date_to_come_is_waited_for():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < retry_after({"Retry-After": soon}) <= 90


def test_requests_at_once_are_halved_and_recover():
    clock = FakeClock()
    pace = Pace(8, clock)
    pace.slow_down()
    pace.slow_down()
    assert pace.limit == 4, "answers to one burst count once"
    clock.now += 2
    pace.slow_down()
    assert pace.limit == 2
    for _ in range(100):
        pace.good()
    assert pace.limit == 8
