"""The results table without a window."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.study import Study
from napari_marrow.controllers.results import TICKS_PER_RELOAD, WORKLIST, ResultsController
from napari_marrow.controllers.results_view import ResultsView
from napari_marrow.desk import Desk
from napari_marrow.desks.results import NEWEST_FIRST, Mark, View
from napari_marrow.follower import Arrived, ContactLost, ContactRestored, JobEnded
from napari_marrow.lines.pages import PAGE, LinePages
from napari_marrow.lines.results import ResultChoices, ResultLine
from napari_marrow.session import Session


class Table:
    """A `ResultsView` that keeps what it shows."""

    def __init__(self) -> None:
        self.pages: LinePages[ResultLine] = LinePages()
        self.choices = ResultChoices()
        self.asked: tuple[ResultFilter, Sort] | None = None
        self.words, self.is_warning = "", False
        self.batches: list[int] = []
        self.tops = 0
        self.row: int | None = None
        self.looked_at = True

    def set_scheme(
        self, scheme: object, columns: Sequence[object], pages: LinePages[ResultLine]
    ) -> None:
        self.pages = pages
        pages.inserting.connect(self._on_inserting)

    def _on_inserting(self, first: int, last: int) -> None:
        if first == 0 and len(self.pages):
            self.batches.append(last + 1)

    def set_choices(self, choices: ResultChoices) -> None:
        self.choices = choices

    def set_asked(self, shown: ResultFilter, sort: Sort) -> None:
        self.asked = (shown, sort)

    def set_words(self, words: str, is_warning: bool) -> None:
        self.words, self.is_warning = words, is_warning

    def to_top(self) -> None:
        self.tops += 1
        self.row = None

    def current_row(self) -> int | None:
        return self.row

    def select(self, row: int | None) -> None:
        self.row = row

    def is_looked_at(self) -> bool:
        return self.looked_at

    def ids(self) -> list[int]:
        return [line.smear_id for _row, line in self.pages.known()]


class Fed:
    """A follower whose news the test writes, or fetches as the thread does."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.news: deque[Any] = deque()
        self.watched: tuple[int, View, Mark] | None = None
        self.is_stopped = False

    def watch(self, ticket: int, view: View, mark: Mark) -> None:
        self.watched = (ticket, view, mark)

    def look(self) -> None:
        assert self.watched is not None
        ticket, view, mark = self.watched
        look = self.desk.results.look(view, mark, 60)
        if look.mark != mark:
            self.news.append(Arrived(ticket, look.mark, look.count, look.lines))
        self.watched = (ticket, view, look.mark)

    def take(self) -> list[Any]:
        taken, self.news = list(self.news), deque()
        return taken

    def stop(self) -> None:
        self.is_stopped = True


Room = tuple[ResultsController, Table, Fed]


@pytest.fixture
def session() -> Session:
    return Session(reader="A")


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def fed(desk: Desk) -> Fed:
    return Fed(desk)


@pytest.fixture
def controller(
    session: Session, background: Any, table: Table, fed: Fed, desk: Desk, worker: Any
) -> ResultsController:
    made = ResultsController(session, background, table, lambda _desk: fed)  # type: ignore[arg-type, return-value]
    session.desk = desk
    return made


@pytest.fixture
def room(controller: ResultsController, table: Table, fed: Fed) -> Room:
    return controller, table, fed


def work(room: Room, worker: Any, pieces: int | None = None) -> None:
    """Let a worker work, and the thread and the clock of the viewer notice."""
    worker.work_off(pieces)
    room[2].look()
    room[0].tick()


def test_a_view_protocol_is_what_the_table_is(table: Table) -> None:
    view: ResultsView = table
    assert view.current_row() is None


def test_rows_arrive_in_batches_the_newest_on_top(
    room: Room,
    session: Session,
    desk: Desk,
    worker: Any,
    add_smears: Callable[..., list[int]],
    study: Study,
) -> None:
    controller, table, _fed = room
    job = desk.queue.submit(add_smears(study, 40))
    session.result_job = job.id
    work(room, worker, 1)
    assert table.ids() == list(range(16, 0, -1))
    assert table.words == "16 rows"
    controller.look(0, 20)
    work(room, worker)
    assert table.batches == [16, 24] or table.batches == [24]
    assert table.ids() == list(range(40, 0, -1))
    assert table.words == "40 rows, page 1"


def test_of_many_rows_only_the_newest_come_with_words_and_the_others_are_read(
    room: Room, desk: Desk, worker: Any, add_smears: Callable[..., list[int]], study: Study
) -> None:
    controller, table, _fed = room
    desk.queue.submit(add_smears(study, 320))
    work(room, worker, 1)
    controller.look(0, 10)
    work(room, worker)
    assert len(table.pages) == 320
    assert table.pages.line(59) is not None
    assert table.pages.line(100) is None
    controller.look(90, 110)
    assert [table.pages.line(row).smear_id for row in range(60, 121)] == list(  # type: ignore[union-attr]
        range(260, 199, -1)
    )


def test_nothing_is_lost_or_doubled_while_pages_are_read_and_rows_come(
    room: Room,
    desk: Desk,
    worker: Any,
    add_smears: Callable[..., list[int]],
    study: Study,
    background: Any,
) -> None:
    controller, table, fed = room
    desk.queue.submit(add_smears(study, 400))
    work(room, worker, 10)
    held: list[Any] = []

    def ask(_topic: str, question: Any, then: Any, **_options: Any) -> None:
        worker.work_off(1)  # stored before the page is read
        held.append((question(), then))

    at_once = background.ask
    background.ask = ask
    controller.look(100, 130)
    fed.look()
    controller.tick()  # the rows come before the page does
    answer, then = held.pop(0)
    then(answer)
    background.ask = at_once
    work(room, worker)
    for first in range(0, 400, 20):
        controller.look(first, first + 19)
    assert len(table.pages) == 400
    assert table.ids() == list(range(400, 0, -1))


def test_what_the_first_page_holds_is_not_told_again(
    room: Room, desk: Desk, worker: Any, add_smears: Callable[..., list[int]], study: Study
) -> None:
    controller, table, fed = room
    desk.queue.submit(add_smears(study, 30))
    worker.work_off(1)
    fed.look()  # lies in the deque
    controller.reload(from_top=True)  # and is read as well
    controller.tick()
    work(room, worker)
    assert table.ids() == list(range(30, 0, -1))


def test_two_jobs_with_the_same_smears_bring_each_row_once(
    room: Room, desk: Desk, worker: Any, add_smears: Callable[..., list[int]], study: Study
) -> None:
    controller, table, _fed = room
    ids = add_smears(study, 40)
    desk.queue.submit(ids)
    desk.queue.submit(ids[:20])
    controller.look(0, 50)
    for _ in range(6):
        work(room, worker, 1)
    assert sorted(table.ids()) == ids
    assert len(table.pages) == 40


def test_a_sorted_or_filtered_table_is_read_again_every_two_seconds(
    room: Room, desk: Desk, worker: Any, add_smears: Callable[..., list[int]], study: Study
) -> None:
    controller, table, _fed = room
    controller.set_sort(Sort(column="smear"))
    for _ in range(TICKS_PER_RELOAD):
        controller.tick()
    desk.queue.submit(add_smears(study, 3))
    tops = table.tops
    work(room, worker)
    assert table.ids() == [1, 2, 3] or table.ids() == []
    for _ in range(TICKS_PER_RELOAD):
        controller.tick()
    assert table.ids() == [1, 2, 3]
    assert table.tops == tops  # it stays where it is


def test_the_selected_row_stays_the_same_smear_when_the_table_is_read_again(
    room: Room, desk: Desk, worker: Any, add_smears: Callable[..., list[int]], study: Study
) -> None:
    controller, table, _fed = room
    desk.queue.submit(add_smears(study, 20))
    worker.work_off()
    controller.set_sort(Sort(column="smear", descending=True))
    choose(controller, table, 4)
    before = table.pages.line(4)
    add = add_smears(study, 3)
    desk.queue.submit(add)
    worker.work_off()
    controller.reload()
    assert table.row == 7
    assert table.pages.line(7) == before == controller.choice.line


def test_a_row_that_leaves_the_list_takes_the_selection_with_it_and_stays_chosen(
    room: Room, desk: Desk, worker: Any, add_smears: Callable[..., list[int]], study: Study
) -> None:
    controller, table, _fed = room
    desk.queue.submit(add_smears(study, 20))
    worker.work_off()
    controller.set_sort(Sort(column="smear"))
    choose(controller, table, 4)
    before = controller.choice.line
    controller.asked = replace(controller.asked, shown=ResultFilter(text="nowhere/1"))
    controller.reload()
    assert table.ids() == [2, *range(11, 21)]
    assert table.row is None
    assert controller.choice.line == before
    assert controller.choice.next_row() == 4
    controller.reload(from_top=True)  # a person asked for other rows
    assert controller.choice.line is None


def test_a_row_far_from_the_screen_is_never_another_smear(
    room: Room, desk: Desk, worker: Any, add_smears: Callable[..., list[int]], study: Study
) -> None:
    controller, table, _fed = room
    desk.queue.submit(add_smears(study, 4 * PAGE))
    worker.work_off()
    controller.set_sort(Sort(column="smear", descending=True))
    choose(controller, table, 5)
    before = controller.choice.line
    controller.look(3 * PAGE, 3 * PAGE + 20)
    desk.queue.submit(add_smears(study, 2 * PAGE))
    worker.work_off()
    controller.reload()  # of the rows on the screen: nobody knows what stands in row 5 now
    assert controller.choice.line == before
    controller.look(0, 20)
    assert table.row is None
    assert controller.choice.line == before
    controller.look(2 * PAGE, 2 * PAGE + 20)
    assert table.row == 2 * PAGE + 5
    assert table.pages.line(2 * PAGE + 5) == before


def test_a_row_that_was_not_read_yet_is_chosen_as_it_comes(
    room: Room, desk: Desk, worker: Any, add_smears: Callable[..., list[int]], study: Study
) -> None:
    controller, table, _fed = room
    desk.queue.submit(add_smears(study, 3 * PAGE))
    worker.work_off()
    controller.set_sort(Sort(column="smear"))
    last = 3 * PAGE - 1
    choose(controller, table, last)
    assert controller.choice.line is None
    controller.look(last - 20, last)
    assert controller.choice.line is not None
    assert controller.choice.line.smear_id == 3 * PAGE


def choose(controller: ResultsController, table: Table, row: int) -> None:
    table.row = row
    controller.choice.take(row)


def test_errors_stand_in_their_job_and_not_among_all(
    room: Room,
    session: Session,
    desk: Desk,
    worker: Any,
    add_smears: Callable[..., list[int]],
    study: Study,
) -> None:
    controller, table, fed = room
    ids = add_smears(study, 3)
    worker.unreadable = {ids[1]}
    job = desk.queue.submit(ids)
    session.result_job = job.id
    work(room, worker)
    fed.news.append(JobEnded(job.id))
    for _ in range(TICKS_PER_RELOAD):
        controller.tick()
    assert sorted(table.ids()) == ids
    assert table.words == "3 rows"
    controller.set_filter(ResultFilter(job_id=job.id, has_error=True))
    assert table.ids() == [ids[1]]
    session.result_job = None  # an error belongs to a job
    assert sorted(table.ids()) == [ids[0], ids[2]]


def test_the_worklist_is_of_the_newest_job_and_begins_with_what_failed(
    room: Room,
    session: Session,
    desk: Desk,
    worker: Any,
    add_smears: Callable[..., list[int]],
    study: Study,
) -> None:
    controller, table, _fed = room
    ids = add_smears(study, 12)
    desk.queue.submit(ids[:2])
    worker.unreadable = {ids[7]}
    job = desk.queue.submit(ids[2:])
    worker.work_off()
    session.desk = Desk(study, desk.queue._client)
    controller.set_worklist(True)
    assert session.result_job == job.id
    assert table.asked == (ResultFilter(job_id=job.id), WORKLIST)
    assert table.ids()[0] == ids[7]
    assert len(table.ids()) == 10
    controller.set_worklist(False)
    assert table.asked == (ResultFilter(job_id=job.id), NEWEST_FIRST)


def test_filters_by_call_and_probability_and_keeps_the_job(
    room: Room, desk: Desk, worker: Any, add_smears: Callable[..., list[int]], study: Study
) -> None:
    controller, table, _fed = room
    job = desk.queue.submit(add_smears(study, 20))
    desk.queue.submit(add_smears(study, 4))
    worker.work_off()
    of_job = ResultFilter(job_id=job.id)
    controller.set_filter(of_job)
    every = [line for _row, line in table.pages.known()]
    asked = {"head": "diagnosis", "call": "AML"}
    controller.set_filter(of_job.model_copy(update=asked))
    assert table.ids() == [one.smear_id for one in every if one.calls["diagnosis"] == "AML"]
    controller.set_filter(of_job.model_copy(update={**asked, "min_p": 0.5}))
    assert table.ids() == [one.smear_id for one in every if float(one.cells[7]) >= 0.5]
    controller.set_filter(ResultFilter())
    assert len(table.ids()) == 24


def test_a_long_table_is_counted_and_read_where_it_is_looked_at(
    room: Room, desk: Desk, worker: Any, add_smears: Callable[..., list[int]], study: Study
) -> None:
    controller, table, _fed = room
    desk.queue.submit(add_smears(study, 4 * PAGE))
    worker.work_off()
    controller.set_sort(Sort(column="p:diagnosis:AML", descending=True))
    assert len(table.pages) == 4 * PAGE
    assert table.pages.kept == 1
    controller.look(3 * PAGE - 5, 3 * PAGE + 20)
    assert table.words == f"{4 * PAGE} rows, page 3"
    assert table.pages.line(PAGE + 5) is None
    controller.look(0, 4 * PAGE)
    shares = [float(line.cells[7]) for _row, line in table.pages.known()]
    assert len(shares) == 4 * PAGE
    assert shares == sorted(shares, reverse=True)


def test_what_is_being_read_is_said_and_asked_once(
    room: Room,
    desk: Desk,
    worker: Any,
    add_smears: Callable[..., list[int]],
    study: Study,
    background: Any,
) -> None:
    controller, table, _fed = room
    desk.queue.submit(add_smears(study, 4 * PAGE))
    worker.work_off()
    controller.reload(from_top=True)
    held: list[Any] = []
    background.ask = lambda topic, question, then, **_options: held.append((question, then))
    controller.look(2 * PAGE, 2 * PAGE + 20)
    controller.look(2 * PAGE + 1, 2 * PAGE + 21)
    controller.tick()
    assert len(held) == 1
    assert table.words == f"400 rows, page {3} · reading rows {PAGE + 1} to {3 * PAGE} ..."
    question, then = held[0]
    then(question())
    controller.tick()
    assert table.words == "400 rows, page 3"


def test_only_predictions_on_the_screen_count_as_seen(
    room: Room,
    session: Session,
    desk: Desk,
    worker: Any,
    add_smears: Callable[..., list[int]],
    study: Study,
) -> None:
    controller, table, _fed = room
    worker.unreadable = {29}
    desk.queue.submit(add_smears(study, 30))
    work(room, worker)
    table.looked_at = False
    controller.look(0, 3)
    controller.tick()
    assert session.seen == frozenset()
    table.looked_at = True
    controller.tick()
    assert session.seen == frozenset({30, 28, 27, 26})


def test_a_catalogue_that_is_gone_is_said_and_comes_back_without_a_click(
    room: Room,
    desk: Desk,
    worker: Any,
    add_smears: Callable[..., list[int]],
    study: Study,
    background: Any,
) -> None:
    controller, table, fed = room
    desk.queue.submit(add_smears(study, 40))
    work(room, worker, 1)
    fed.news.append(ContactLost("The study's database does not answer: no route."))
    controller.tick()
    assert table.is_warning
    assert table.words.startswith("The study's database does not answer: no route. Asking again")
    asked = len(background.asked)
    controller.set_sort(Sort(column="smear"))
    for _ in range(2 * TICKS_PER_RELOAD):
        controller.tick()
    assert len(background.asked) == asked  # nobody is told every two seconds that it failed
    worker.work_off()
    fed.news.append(ContactRestored())
    controller.tick()
    assert table.ids() == list(range(1, 41))
    assert not table.is_warning


def test_another_reader_and_another_study_begin_anew(
    room: Room,
    session: Session,
    desk: Desk,
    worker: Any,
    add_smears: Callable[..., list[int]],
    study: Study,
) -> None:
    controller, table, fed = room
    desk.queue.submit(add_smears(study, 3))
    work(room, worker)
    controller.set_filter(ResultFilter(text="nothing"))
    assert table.ids() == []
    assert table.words == "no results"
    session.reader = "B"
    assert controller.asked.reader == "B"
    session.desk = Desk(study, desk.queue._client)
    assert fed.is_stopped
    assert table.asked == (ResultFilter(), NEWEST_FIRST)
    assert table.ids() == [3, 2, 1]
