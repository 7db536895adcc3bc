"""The thread that follows the results of a study."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from marrow.study import Study
from napari_marrow import follower as module
from napari_marrow.desk import Desk
from napari_marrow.desks.results import View
from napari_marrow.follower import (
    Arrived,
    ContactLost,
    ContactRestored,
    Follower,
    JobEnded,
    newest_lines,
)
from napari_marrow.lines.results import ResultLine


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(module, "IDLE_LOOK_EVERY_S", 0.01)


@pytest.fixture
def following(desk: Desk) -> Iterator[Follower]:
    made = Follower(desk)
    yield made
    made.stop()


def take_until(following: Follower, is_enough: Callable[[list[Any]], bool]) -> list[Any]:
    """All news until there is enough; a minute at most."""
    news: list[Any] = []
    give_up = time.monotonic() + 60
    pause = threading.Event()
    while not is_enough(news):
        assert time.monotonic() < give_up, news
        news += following.take()
        pause.wait(0.005)
    return news


def ids_of(news: list[Any]) -> list[int]:
    return [line.smear_id for one in news if isinstance(one, Arrived) for line in one.lines]


def test_every_row_of_all_jobs_comes_once_and_their_ends_after_it(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]], following: Follower
) -> None:
    add_smears(study, 60)
    desk.queue.submit(range(1, 31))
    desk.queue.submit(range(31, 61))
    following.watch(1, View(), desk.results.page(View(), 0, 1).mark)
    worker.start(0.02)
    news = take_until(following, lambda found: sum(isinstance(x, JobEnded) for x in found) == 2)
    assert sorted(ids_of(news)) == list(range(1, 61))
    last_row = max(place for place, one in enumerate(news) if isinstance(one, Arrived))
    assert isinstance(news[-1], JobEnded)
    assert last_row < len(news) - 1
    assert threading.active_count() < 10  # one thread for all jobs


def test_a_catalogue_that_is_gone_costs_no_row(
    desk: Desk,
    study: Study,
    worker: Any,
    add_smears: Callable[..., list[int]],
    following: Follower,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look, is_gone = desk.results.look, threading.Event()

    def fragile(*asked: Any) -> Any:
        if is_gone.is_set():
            raise OperationalError("SELECT", {}, Exception("no route to host"))
        return look(*asked)

    monkeypatch.setattr(desk.results, "look", fragile)
    desk.queue.submit(add_smears(study, 32))
    following.watch(1, View(), desk.results.page(View(), 0, 1).mark)
    worker.work_off(1)
    news = take_until(following, lambda found: len(ids_of(found)) == 16)
    is_gone.set()
    worker.work_off()
    lost = take_until(following, bool)
    assert lost == [ContactLost("The study's database does not answer: no route to host.")]
    is_gone.clear()
    news += take_until(following, lambda found: any(isinstance(x, JobEnded) for x in found))
    assert ContactRestored() in news
    assert sorted(ids_of(news)) == list(range(1, 33))


def test_another_view_is_told_from_its_own_mark(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]], following: Follower
) -> None:
    desk.queue.submit(add_smears(study, 32))
    start = desk.results.page(View(), 0, 1).mark
    following.watch(1, View(), start)
    worker.work_off(1)
    take_until(following, lambda found: len(ids_of(found)) == 16)
    following.watch(2, View(), start)
    worker.work_off()
    news = take_until(following, lambda found: len(ids_of(found)) >= 32)
    assert {one.ticket for one in news if isinstance(one, Arrived)} == {2}
    assert sorted(ids_of(news)) == list(range(1, 33))


def test_while_nobody_takes_the_news_nothing_piles_up(
    desk: Desk,
    study: Study,
    worker: Any,
    add_smears: Callable[..., list[int]],
    following: Follower,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_NEWS", 2)
    desk.queue.submit(add_smears(study, 160))
    following.watch(1, View(), desk.results.page(View(), 0, 1).mark)
    worker.start(0.02)
    take_until(following, lambda _found: desk.queue._client.job(1).is_finished)
    news = take_until(following, lambda found: any(isinstance(x, JobEnded) for x in found))
    assert len(following.news) <= 2 + 1
    assert isinstance(news[-1], JobEnded)


def test_what_lies_on_top_has_no_gap() -> None:
    def arrived(count: int, *smears: int) -> Arrived:
        lines = tuple(ResultLine(one, one, ("S",), {}) for one in smears)
        return Arrived(1, None, count, lines)  # type: ignore[arg-type]

    assert [one.smear_id for one in newest_lines([arrived(2, 2, 1), arrived(2, 4, 3)])] == [
        4,
        3,
        2,
        1,
    ]
    assert [one.smear_id for one in newest_lines([arrived(2, 2, 1), arrived(9, 11, 10)])] == [
        11,
        10,
    ]
