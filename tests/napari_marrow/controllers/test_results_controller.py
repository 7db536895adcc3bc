"""The results table without a window."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any
from unittest.mock import create_autospec

import pytest

from marrow.catalogue.predictions import Sort
from napari_marrow.controllers import results
from napari_marrow.controllers.results import (
    ROWS_PER_TICK,
    TICKS_PER_RELOAD,
    ResultsController,
    ResultsView,
)
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.follower import Arrived, FollowFailed, JobEnded
from napari_marrow.lines.results import ResultLine
from napari_marrow.session import Session


class Table:
    """A `ResultsView` that keeps what it shows."""

    def __init__(self) -> None:
        self.lines: list[ResultLine] = []
        self.count: tuple[int, int, int | None] = (0, 0, None)
        self.batches: list[int] = []
        self.told: list[str] = []
        self.looked_at = False

    def set_scheme(self, scheme: object, columns: Sequence[object]) -> None:
        self.lines = []

    def set_lines(self, lines: Sequence[ResultLine]) -> None:
        self.lines = list(lines)

    def insert_lines(self, lines: Sequence[ResultLine]) -> None:
        self.batches.append(len(lines))
        self.lines[:0] = lines

    def append_lines(self, lines: Sequence[ResultLine]) -> None:
        self.lines += lines

    def set_count(self, shown: int, total: int, job_id: int | None) -> None:
        self.count = (shown, total, job_id)

    def is_looked_at(self) -> bool:
        return self.looked_at

    def tell(self, words: str, is_warning: bool) -> None:
        self.told.append(words)

    def ids(self) -> list[int]:
        return [line.smear_id for line in self.lines]


class Fed:
    """A follower whose news the test writes."""

    def __init__(self) -> None:
        self.news: deque[Any] = deque()
        self.asked: list[int] = []
        self.is_stopped = False

    def follow(self, job_id: int) -> None:
        self.asked.append(job_id)

    def take(self, limit: int) -> list[Any]:
        return [self.news.popleft() for _ in range(min(limit, len(self.news)))]

    def stop(self) -> None:
        self.is_stopped = True


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def fed() -> Fed:
    return Fed()


@pytest.fixture
def smear() -> Any:
    return create_autospec(SmearController, instance=True)


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def controller(
    session: Session, background: Any, table: Table, smear: Any, fed: Fed, desk: Desk, worker: Any
) -> ResultsController:
    made = ResultsController(session, background, table, smear, lambda _desk: fed)  # type: ignore[arg-type, return-value]
    session.desk = desk
    return made


def lines_of(desk: Desk, job_id: int) -> list[ResultLine]:
    return [*desk.results.lines_of_piece(job_id, 0), *desk.results.lines_of_piece(job_id, 1)]


def test_a_view_protocol_is_what_the_table_is(table: Table) -> None:
    view: ResultsView = table
    assert not view.is_looked_at()


def test_rows_arrive_in_batches_the_newest_on_top(
    controller: ResultsController,
    session: Session,
    table: Table,
    fed: Fed,
    desk: Desk,
    worker: Any,
    add_smears: Any,
    study: Any,
) -> None:
    ids = add_smears(study, 20)
    job = desk.queue.submit(ids)
    session.unfinished = (job.id,)
    assert fed.asked == [job.id]
    session.result_job = job.id
    worker.work_off()
    fed.news.extend(Arrived(job.id, line) for line in lines_of(desk, job.id))
    controller.tick()
    assert table.ids() == ids[::-1]
    assert table.batches == [20]
    assert table.count == (20, 20, job.id)
    fed.news.extend(Arrived(job.id, line) for line in lines_of(desk, job.id))
    controller.tick()  # told again: once in the table
    assert table.ids() == ids[::-1]


def test_one_tick_inserts_a_bounded_batch(
    controller: ResultsController, table: Table, fed: Fed
) -> None:
    made = [
        Arrived(1, ResultLine(number, number, ("S",), {})) for number in range(ROWS_PER_TICK + 5)
    ]
    fed.news.extend(made)
    controller.tick()
    assert table.batches == [ROWS_PER_TICK]
    controller.tick()
    assert table.batches == [ROWS_PER_TICK, 5]


def test_rows_of_another_job_and_errors_outside_a_job_are_left_out(
    controller: ResultsController, session: Session, table: Table, fed: Fed
) -> None:
    failed = ResultLine(1, None, ("S",), {}, "broken")
    fed.news.append(Arrived(1, failed))
    controller.tick()
    assert table.lines == []  # all predictions: an error is none
    session.result_job = None
    fed.news.append(Arrived(2, ResultLine(5, 5, ("S",), {})))
    controller.tick()
    assert table.ids() == [5]


def test_what_was_inserted_while_a_page_was_read_is_not_lost(
    controller: ResultsController, table: Table, fed: Fed, background: Any
) -> None:
    held: list[Any] = []

    def ask(_topic: str, question: Any, then: Any, **_options: Any) -> None:
        held.append((question(), then))

    background.ask = ask
    controller.reload()
    fed.news.append(Arrived(1, ResultLine(5, 5, ("S",), {})))
    controller.tick()
    answer, then = held[0]
    then(answer)  # older than the row
    assert table.ids() == [5]


def test_a_sorted_table_is_read_again_from_time_to_time(
    controller: ResultsController,
    table: Table,
    fed: Fed,
    desk: Desk,
    worker: Any,
    add_smears: Any,
    study: Any,
) -> None:
    ids = add_smears(study, 3)
    controller.set_sort(Sort(column="smear"))
    job = desk.queue.submit(ids)
    worker.work_off()
    fed.news.extend(Arrived(job.id, line) for line in lines_of(desk, job.id))
    for _ in range(TICKS_PER_RELOAD):
        controller.tick()
    assert table.ids() == ids
    assert table.batches == []


def test_the_end_of_a_job_brings_what_came_by_no_event(
    controller: ResultsController,
    session: Session,
    table: Table,
    fed: Fed,
    desk: Desk,
    worker: Any,
    add_smears: Any,
    study: Any,
) -> None:
    ids = add_smears(study, 3)
    worker.unreadable = {ids[1]}
    job = desk.queue.submit(ids)
    session.result_job = job.id
    worker.work_off()
    fed.news.append(JobEnded(job.id))
    controller.tick()
    assert sorted(table.ids()) == ids
    assert table.count == (3, 3, job.id)


def test_filters_by_call_and_probability_and_keeps_the_job(
    controller: ResultsController,
    session: Session,
    table: Table,
    desk: Desk,
    worker: Any,
    add_smears: Any,
    study: Any,
) -> None:
    job = desk.queue.submit(add_smears(study, 20))
    desk.queue.submit(add_smears(study, 4))
    worker.work_off()
    session.result_job = job.id
    every = list(table.lines)
    controller.set_filter(head="diagnosis", call="AML")
    assert table.ids() == [one.smear_id for one in every if one.calls["diagnosis"] == "AML"]
    controller.set_filter(head="diagnosis", call="AML", min_p=0.5)
    wanted = [one.smear_id for one in every if float(one.cells[8]) >= 0.5]
    assert table.ids() == wanted
    controller.set_filter()
    controller.show_job(None)
    assert len(table.lines) == 24


def test_a_long_table_is_read_page_by_page(
    controller: ResultsController,
    table: Table,
    desk: Desk,
    worker: Any,
    add_smears: Any,
    study: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(results, "PAGE", 8)
    desk.queue.submit(add_smears(study, 20))
    worker.work_off()
    controller.set_sort(Sort(column="p:diagnosis:AML", descending=True))
    assert table.count == (8, 20, None)
    controller.more()
    controller.more()
    shares = [float(line.cells[8]) for line in table.lines]
    assert len(shares) == 20
    assert shares == sorted(shares, reverse=True)
    controller.more()
    assert table.count == (20, 20, None)


def test_only_predictions_on_the_screen_count_as_seen(
    controller: ResultsController, session: Session, table: Table, fed: Fed
) -> None:
    fed.news.append(Arrived(1, ResultLine(5, 5, ("S",), {})))
    controller.tick()
    assert session.seen == frozenset()
    table.looked_at = True
    controller.tick()
    assert session.seen == frozenset({5})


def test_opening_a_row_shows_its_prediction(controller: ResultsController, smear: Any) -> None:
    controller.open(ResultLine(5, 9, ("S",), {"diagnosis": "AML"}))
    smear.open.assert_called_once_with(5, 9)


def test_a_broken_follower_is_told_and_another_study_stops_it(
    controller: ResultsController, session: Session, table: Table, fed: Fed, desk: Desk
) -> None:
    fed.news.append(FollowFailed(1, "the database failed"))
    controller.tick()
    assert table.told == ["Job 1 is no longer followed: the database failed"]
    session.desk = Desk(desk._study, desk.queue._client)
    assert fed.is_stopped
