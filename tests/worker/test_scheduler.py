"""The reconciler on an injected clock: nights that open and close, and who may look after them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import OperationalError

from marrow.catalogue import jobs
from marrow.catalogue.schema import piece
from marrow.catalogue.schema import worker as worker_table
from marrow.queue import _take_hints
from marrow.records import Claim, Job, ModelRecord, Night
from marrow.study import Study
from worker import claims, scheduler
from worker.owner import Owner

ANNA = Owner("anna", 1, 1.0)
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Night(at="22:00", until="06:00", zone="Europe/Berlin")
WAIT_S = 20.0


def berlin(*parts: int) -> float:
    return datetime(*parts, tzinfo=BERLIN).timestamp()  # type: ignore[arg-type]


class Ward:
    """A study whose clock the test moves: a night's job of two pieces, one smear each."""

    def __init__(self, study: Study, clock: Any, ids: list[int], model: ModelRecord) -> None:
        self.study, self.clock, self.ids, self.model = study, clock, ids, model

    def submit(self, night: Night | None = NIGHT) -> Job:
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            return jobs.submit_classify(
                connection, at, self.model, self.ids, priority="overnight", night=night
            )

    def at(self, *parts: int) -> None:
        """Set the clock of Berlin's walls, and let the scheduler look once."""
        self.clock.now = berlin(*parts)
        scheduler.tick(self.study)

    def take(self) -> Claim | None:
        return claims.claim_next(self.study, ANNA)

    def refuse(self, held: Claim | None) -> None:
        assert held is not None
        claims.refuse(self.study, held, "stands in for an answer")

    def hints(self) -> list[tuple[int, int, str]]:
        with self.study.database.write() as connection:
            return list(_take_hints(connection, self.clock.now, 30.0))

    def job(self, job_id: int = 1) -> Job:
        with self.study.database.read() as connection:
            return jobs.get(connection, job_id)

    def window(self) -> tuple[float | None, float | None]:
        current = self.job()
        return current.opens_at, current.closes_at

    def notes(self) -> list[str]:
        with self.study.database.read() as connection:
            found = jobs.events(connection, 1, 0)
        return [event.payload["text"] for event in found if event.kind == "note"]


@pytest.fixture
def ward(
    make_study: Callable[..., Study],
    clock: Any,
    add_smears: Callable[..., list[int]],
    add_model: Callable[..., ModelRecord],
) -> Ward:
    clock.now = berlin(2026, 11, 23, 14)
    study = make_study(clock=clock)
    return Ward(study, clock, add_smears(study, 2, slides=2), add_model(study))


def test_tonights_job_waits_for_tonight_and_is_released_with_hints(ward: Ward) -> None:
    ward.submit()
    for hour, minute in ((14, 0), (21, 59)):
        ward.at(2026, 11, 23, hour, minute)
        assert ward.take() is None
        assert ward.hints() == []
        assert claims.claim(ward.study, ANNA, 1, 0) is None  # nor by a stray hint
    ward.at(2026, 11, 23, 22)
    assert ward.hints() == [(1, 0, "overnight"), (1, 1, "overnight")]
    assert ward.take() is not None
    assert ward.notes() == []


def test_unfinished_work_waits_for_the_next_night_and_says_so_once(ward: Ward) -> None:
    ward.submit()
    ward.at(2026, 11, 24, 5, 59)
    ward.refuse(ward.take())
    ward.at(2026, 11, 24, 6)
    assert ward.take() is None
    ward.at(2026, 11, 24, 6, 1)
    assert ward.notes() == ["waits for the next night"]
    assert ward.hints() == []
    ward.at(2026, 11, 24, 22)
    ward.refuse(ward.take())
    assert ward.job().state == "done"
    assert ward.notes() == ["waits for the next night"]


def test_a_piece_in_hand_at_the_end_of_the_night_is_finished(ward: Ward) -> None:
    ward.submit()
    ward.at(2026, 11, 24, 5, 59, 50)
    held = ward.take()
    ward.at(2026, 11, 24, 6, 0, 5)
    ward.refuse(held)
    assert (ward.job().failed, ward.job().state) == (1, "running")
    assert ward.take() is None


def test_a_job_asked_for_at_three_in_the_morning_runs_at_once(ward: Ward) -> None:
    ward.clock.now = berlin(2026, 11, 24, 3)
    ward.submit()
    assert ward.take() is not None


def test_a_machine_asleep_over_the_night_waits_for_the_next_one(ward: Ward) -> None:
    ward.submit()
    ward.at(2026, 11, 23, 21)
    ward.at(2026, 11, 24, 7)
    assert ward.notes() == ["waits for the next night"]
    assert ward.take() is None
    assert ward.window() == (berlin(2026, 11, 24, 22), berlin(2026, 11, 25, 6))


def test_a_machine_asleep_for_a_week_that_wakes_at_night_works_at_once(ward: Ward) -> None:
    ward.submit()
    ward.at(2026, 11, 30, 23)
    assert ward.window() == (berlin(2026, 11, 30, 22), berlin(2026, 12, 1, 6))
    assert ward.take() is not None


@pytest.mark.parametrize(("day", "hours"), [((2027, 3, 27), 7), ((2027, 10, 30), 9)])
def test_a_night_of_a_clock_change_ends_at_six_by_the_clock_on_the_wall(
    ward: Ward, day: tuple[int, int, int], hours: int
) -> None:
    ward.clock.now = berlin(*day, 14)
    ward.submit()
    ward.at(*day, 22)
    ward.refuse(ward.take())
    opened = ward.clock.now
    ward.clock.now = opened + hours * 3600 - 1
    scheduler.tick(ward.study)
    assert ward.notes() == []
    assert ward.hints() == [(1, 1, "overnight")]
    ward.clock.now = opened + hours * 3600
    scheduler.tick(ward.study)
    assert ward.take() is None
    assert ward.notes() == ["waits for the next night"]
    again = datetime.fromtimestamp(ward.window()[0] or 0, BERLIN)
    assert (again.hour, again.minute) == (22, 0)


def test_the_hour_that_comes_twice_opens_once(ward: Ward) -> None:
    """30 October 2027, 02:30: there are two of them, an hour apart; the first one opens."""
    ward.clock.now = berlin(2027, 10, 30, 14)
    ward.submit(Night(at="02:30", until="02:45", zone="Europe/Berlin"))
    opens, closes = ward.window()
    assert opens == berlin(2027, 10, 31, 2, 30)
    assert closes is not None
    assert closes - opens == 15 * 60


def test_an_hour_that_spring_skips_costs_that_night_and_no_more(ward: Ward) -> None:
    """28 March 2027 has no 02:30: a night from then to 03:00 is none, the next one is."""
    ward.clock.now = berlin(2027, 3, 27, 14)
    ward.submit(Night(at="02:30", until="03:00", zone="Europe/Berlin"))
    for minute in range(0, 24 * 60, 5):
        ward.clock.now = berlin(2027, 3, 27, 14) + minute * 60
        scheduler.tick(ward.study)
        assert ward.take() is None
    assert ward.window()[0] == berlin(2027, 3, 29, 2, 30)


def test_from_ten_to_ten_is_always_open_once_it_has_opened(ward: Ward) -> None:
    ward.submit(Night(at="22:00", until="22:00", zone="Europe/Berlin"))
    assert ward.take() is not None  # since yesterday, 22:00
    ward.at(2026, 11, 23, 22)
    assert ward.window() == (berlin(2026, 11, 23, 22), berlin(2026, 11, 24, 22))
    assert ward.hints() != []


def test_a_night_without_an_end_runs_to_its_end(ward: Ward) -> None:
    ward.submit(Night(at="22:00", zone="Europe/Berlin"))
    ward.at(2026, 11, 23, 21, 59)
    assert ward.take() is None
    ward.at(2026, 11, 25, 12)
    assert ward.take() is not None
    assert ward.notes() == []


def test_a_night_that_is_called_off_by_day_is_over_at_once(ward: Ward) -> None:
    ward.submit()
    with ward.study.database.write() as connection:
        assert jobs.cancel(connection, ward.clock.now, 1).state == "cancelled"


def test_a_job_that_is_being_cancelled_waits_for_no_other_night(ward: Ward) -> None:
    ward.submit()
    ward.at(2026, 11, 24, 5, 59, 50)
    held = ward.take()
    with ward.study.database.write() as connection:
        assert jobs.cancel(connection, ward.clock.now, 1).state == "cancelling"
    ward.at(2026, 11, 24, 6, 0, 5)
    assert ward.notes() == []
    assert held is not None
    claims.confirm_cancel(ward.study, held)
    assert ward.job().state == "cancelled"


def test_a_cancelled_job_of_a_dead_worker_is_closed_when_its_lease_is_over(ward: Ward) -> None:
    ward.submit(night=None)
    assert ward.take() is not None
    with ward.study.database.write() as connection:
        jobs.cancel(connection, ward.clock.now, 1)
    ward.clock.forward(29)
    scheduler.tick(ward.study)
    assert ward.job().state == "cancelling"
    ward.clock.forward(2)
    scheduler.tick(ward.study)
    assert ward.job().state == "cancelled"
    with ward.study.database.read() as connection:
        assert set(connection.execute(select(piece.c.state)).scalars()) == {"cancelled"}


def test_a_second_scheduler_waits_for_the_end_of_the_first(any_study: Study) -> None:
    looks = {name: threading.Event() for name in ("first", "second")}
    stops = {name: threading.Event() for name in looks}
    threads = {
        name: threading.Thread(
            target=scheduler.run, args=(any_study, looks[name].set, stops[name]), name=name
        )
        for name in looks
    }
    threads["first"].start()
    assert looks["first"].wait(WAIT_S)
    threads["second"].start()
    assert not looks["second"].wait(2.5 * scheduler.EVERY_S)
    stops["first"].set()
    threads["first"].join(WAIT_S)
    assert looks["second"].wait(WAIT_S)
    stops["second"].set()
    threads["second"].join(WAIT_S)
    assert not any(thread.is_alive() for thread in threads.values())


def test_a_second_scheduler_can_be_stopped_while_it_waits(any_study: Study) -> None:
    looks, stop, other_stop = threading.Event(), threading.Event(), threading.Event()
    first = threading.Thread(target=scheduler.run, args=(any_study, looks.set, stop))
    first.start()
    assert looks.wait(WAIT_S)
    other_stop.set()
    scheduler.run(any_study, lambda: pytest.fail("it was never alone"), other_stop)
    stop.set()
    first.join(WAIT_S)


def test_a_database_that_does_not_answer_and_a_broker_that_hangs_hold_up_nothing(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ward.submit(night=None)
    assert ward.take() is not None
    ward.clock.forward(31)
    monkeypatch.setattr(scheduler, "EVERY_S", 0.01)
    looks, stop, hangs = 0, threading.Event(), threading.Event()
    tick = scheduler.tick

    def stumbling(study: Study, may_recover: bool) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OperationalError("BEGIN", {}, Exception("database is locked"))
        tick(study, may_recover)
        stop.set()

    monkeypatch.setattr(scheduler, "tick", stumbling)
    with caplog.at_level(logging.WARNING):
        scheduler.run(ward.study, lambda: hangs.wait(WAIT_S), stop)
    hangs.set()
    assert "The database does not answer" in caplog.text
    assert ward.take() is not None  # the lost lease was taken back all the same


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_hints_go_on_after_an_error_that_nobody_foresaw(
    any_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "EVERY_S", 0.01)
    stop = threading.Event()
    wakes: list[int] = []

    def stumbling() -> None:
        wakes.append(len(wakes))
        if len(wakes) == 1:
            raise AttributeError("'NoneType' object has no attribute 'client'")
        stop.set()

    given_up = threading.Timer(WAIT_S, stop.set)
    given_up.start()
    scheduler.run(any_study, stumbling, stop)
    given_up.cancel()
    assert wakes == [0, 1]


def test_after_an_outage_old_leases_are_left_to_their_heartbeats(clock: Any) -> None:
    watch = scheduler.OutageWatch(clock)
    clock.forward(1)
    assert watch.may_recover()
    clock.forward(40)
    assert not watch.may_recover()
    for _ in range(19):
        clock.forward(1)
        assert not watch.may_recover()
    clock.forward(1)
    assert watch.may_recover()


def test_workers_of_yesterday_are_forgotten(ward: Ward) -> None:
    now = ward.clock.now
    with ward.study.database.write() as connection:
        for hours in (23, 25):
            row = {"id": f"anna:{hours}:0", "host": "anna", "pid": hours, "device": "cpu"}
            seen = {"started_at": 0.0, "seen_at": now - hours * 3600}
            connection.execute(insert(worker_table), row | seen)
    scheduler._forget_workers(ward.study)
    with ward.study.database.read() as connection:
        assert list(connection.execute(select(worker_table.c.pid)).scalars()) == [23]
