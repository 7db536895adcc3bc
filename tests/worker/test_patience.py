"""Finished work waits for the database, and is stored once; pauses are not slept through."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError

from marrow.errors import LeaseLost
from worker.patience import FIRST_PAUSE_S, LONGEST_PAUSE_S, until_stored


class Pauses:
    """Stands in for the event that ends a wait: notes the pauses, is set at the last one."""

    def __init__(self, last: int = 1000) -> None:
        self.taken: list[float] = []
        self._last = last

    def wait(self, timeout: float) -> bool:
        self.taken.append(timeout)
        return len(self.taken) >= self._last


class Store:
    """Takes nothing a number of times, then the result."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        if self.refusals:
            raise self.refusals.pop(0)
        return "stored"


def away(said: str = "database is locked") -> OperationalError:
    return OperationalError("UPDATE piece", {"owner": "anna"}, Exception(said))


def test_what_is_taken_at_once_waits_for_nothing() -> None:
    pauses = Pauses()
    assert until_stored(Store(), pauses) == "stored"  # type: ignore[arg-type]
    assert pauses.taken == []


def test_pauses_double_up_to_the_longest_and_each_is_progress() -> None:
    pauses, touched = Pauses(), []
    store = Store(*[away() for _ in range(7)], InterfaceError("", {}, Exception("gone")))
    until_stored(store, pauses, lambda: touched.append(1))  # type: ignore[arg-type]
    assert pauses.taken == [FIRST_PAUSE_S, 1, 2, 4, 8, *[LONGEST_PAUSE_S] * 3]
    assert (store.tries, len(touched)) == (9, 8)


def test_a_worker_that_stops_gives_up_with_the_last_error() -> None:
    store = Store(*[away() for _ in range(9)])
    with pytest.raises(OperationalError):
        until_stored(store, Pauses(last=3))  # type: ignore[arg-type]
    assert store.tries == 3


@pytest.mark.parametrize(
    "error", [LeaseLost("another"), IntegrityError("INSERT", {}, Exception("no such smear"))]
)
def test_what_waiting_does_not_mend_passes_through(error: Exception) -> None:
    store = Store(error)
    with pytest.raises(type(error)):
        until_stored(store, Pauses())  # type: ignore[arg-type]
    assert store.tries == 1


def test_the_log_has_the_databases_words_and_no_values(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        until_stored(Store(away("database or disk is full\nDETAIL: S000001")), Pauses())  # type: ignore[arg-type]
    assert "database or disk is full" in caplog.text
    assert "anna" not in caplog.text
    assert "S000001" not in caplog.text
