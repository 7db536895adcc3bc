import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.ahead import ahead


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as threads:
        yield threads


def test_keeps_the_order_whatever_ends_first(pool):
    last_is_done = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert last_is_done.wait(timeout=10)
        if number == 2:
            last_is_done.set()
        return number * number

    assert list(ahead(pool, work, range(3), depth=3)) == [0, 1, 4]


def test_is_never_further_ahead_than_it_was_told(pool):
    taken = []

    def arguments() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = ahead(pool, str, arguments(), depth=4)
    for consumed in range(1, 11):
        next(results)
        assert len(taken) == consumed + 4
    results.close()
    assert len(taken) == 14


def test_an_error_comes_at_its_place(pool):
    results = ahead(pool, lambda number: 1 // number, [1, 1, 0, 1], depth=4)
    assert next(results) == 1
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_what_has_not_begun_is_never_begun_when_the_consumer_stops():
    begun = []
    go_on = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            assert go_on.wait(timeout=10)
        return number

    with ThreadPoolExecutor(1) as pool:
        results = ahead(pool, work, range(10), depth=5)
        assert next(results) == 0
        results.close()
        go_on.set()
    assert set(begun) <= {0, 1}


def test_nothing_to_do(pool):
    assert list(ahead(pool, str, [], depth=2)) == []
