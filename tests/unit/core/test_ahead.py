"""Blocks are worked on ahead of their use: in order, not too far, and with their errors."""

import threading

import pytest

from imgprep.core.processes import WORKERS, ahead


def test_results_come_in_order_though_the_first_is_the_last_to_be_ready():
    later_ready = threading.Event()

    def work(item):
        if item == 0:
            assert later_ready.wait(10)
        else:
            later_ready.set()
        return item * 10

    assert list(ahead(work, range(5))) == [0, 10, 20, 30, 40]


def test_no_more_is_taken_than_is_worked_on_beside_the_one_in_use():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = ahead(lambda item: item, items())
    for used in range(20):
        assert next(results) == used
        assert len(taken) <= used + WORKERS + 1
    results.close()


def test_an_error_is_raised_where_its_result_would_stand():
    results = ahead(lambda item: 1 // item, [1, 2, 0, 3])
    assert [next(results), next(results)] == [1, 0]
    with pytest.raises(ZeroDivisionError):
        next(results)
