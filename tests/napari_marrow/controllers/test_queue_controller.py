"""The queue without a window, on a real catalogue."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import create_engine, text, update
from sqlalchemy.exc import OperationalError

from marrow.catalogue import jobs
from marrow.catalogue.schema import job as job_table
from marrow.catalogue.schema import piece
from marrow.catalogue.smears import SmearFilter
from marrow.client import Client
from marrow.times import clock_text
from napari_marrow.background import Background
from napari_marrow.controllers.queue import (
    NO_ANSWER_S,
    TICKS_PER_IDLE_LOOK,
    TICKS_PER_LOOK,
    QueueController,
    QueueView,
)
from napari_marrow.desk import Desk
from napari_marrow.desks.queue import JOBS_SHOWN, Chosen, Wish
from napari_marrow.session import Session


@pytest.fixture
def view() -> Any:
    made = create_autospec(QueueView, instance=True)
    made.is_looked_at.return_value = False
    return made


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def controller(session: Session, background: Any, view: Any, desk: Desk) -> QueueController:
    made = QueueController(session, background, view)
    session.desk = desk
    return made


def test_queued_smears_are_followed_and_their_results_shown(
    controller: QueueController,
    session: Session,
    view: Any,
    worker: Any,
    add_smears: Any,
    study: Any,
) -> None:
    controller.submit(add_smears(study, 3))
    assert session.unfinished == (1,)
    assert session.result_job == 1
    view.tell.assert_called_once_with("Job 1: 3 smears are queued.", is_warning=False)
    worker.work_off()
    controller.look()
    assert session.unfinished == ()
    assert view.tell.call_args.args == ("Job 1 is over (done): 3 classified, 0 failed.", False)
    controller.look()
    assert view.tell.call_count == 2  # the end is told once


def test_all_listed_smears_are_queued_read_or_not(
    controller: QueueController, view: Any, worker: Any, add_smears: Any, study: Any
) -> None:
    add_smears(study, 6)  # two of each patient: P0, P1, P2
    controller.submit_filtered(SmearFilter(text="P1"))
    assert "0 of 2" in view.set_jobs.call_args.args[0][0].cells
    controller.submit_filtered(SmearFilter(text="nobody"))
    assert view.tell.call_args.kwargs == {"is_warning": True}
    assert len(view.set_jobs.call_args.args[0]) == 1


def test_without_a_model_a_person_is_told(
    controller: QueueController, background: Any, session: Session, add_smears: Any, study: Any
) -> None:
    controller.submit(add_smears(study, 1))
    assert background.told == ["There is no model yet: train one with `marrow train`"]
    assert session.unfinished == ()


def test_cancels_and_retries(
    controller: QueueController,
    view: Any,
    session: Session,
    worker: Any,
    add_smears: Any,
    study: Any,
) -> None:
    ids = add_smears(study, 20)
    worker.unreadable = {ids[0]}
    controller.submit(ids)
    worker.work_off(1)
    controller.cancel(1)
    assert view.set_jobs.call_args.args[0][0].cells[2] == "cancelled after 15 of 20"
    worker.unreadable = set()
    controller.retry(1)
    assert session.unfinished == (1,)
    worker.work_off()
    controller.look()
    line = view.set_jobs.call_args.args[0][0]
    assert line.cells[2:4] == ("done", "20 of 20")


def test_a_double_click_queues_once(
    controller: QueueController, background: Any, view: Any, worker: Any, add_smears: Any,
    study: Any, monkeypatch: Any,
) -> None:  # fmt: skip
    ids, late = add_smears(study, 3), []

    def hold(errand: Any, then: Any, **_more: Any) -> None:
        job = errand()
        late.append(lambda: then(job))

    with monkeypatch.context() as slow:
        slow.setattr(background, "tell", hold)
        controller.submit(ids)
        controller.submit(ids)
        view.set_submitting.assert_called_once_with(True)
    late[0]()
    view.set_submitting.assert_called_with(False)
    with study.database.read() as connection:
        assert len(jobs.newest(connection)) == 1
    controller.submit(ids)  # of a failure, too, one may try again
    assert background.told == []


def test_the_end_of_a_job_is_told_though_fifty_newer_ones_came(
    controller: QueueController, view: Any, worker: Any, add_smears: Any, study: Any
) -> None:
    ids = add_smears(study, 1)
    controller.submit(ids)
    with study.database.write() as connection:
        for _number in range(JOBS_SHOWN):
            jobs.submit_classify(connection, 1.0, worker.model, ids, priority="overnight")
        others = job_table.c.id > 1
        connection.execute(update(job_table).where(others).values(state="done"))
    controller.look()
    worker.work_off(1)
    view.tell.reset_mock()
    controller.look()
    assert [call.args[0] for call in view.tell.call_args_list] == [
        "Job 1 is over (done): 1 classified, 0 failed."
    ]


def test_what_was_cancelled_when_all_was_done_offers_no_retry(
    controller: QueueController, view: Any, worker: Any, add_smears: Any, study: Any
) -> None:
    controller.submit(add_smears(study, 2))
    worker.work_off()
    with study.database.write() as connection:
        connection.execute(update(job_table).values(state="cancelled"))
    controller.look()
    assert not view.set_jobs.call_args.args[0][0].can_retry


def test_a_job_from_before_is_found_when_the_study_is_opened(
    background: Any, view: Any, desk: Desk, worker: Any, add_smears: Any, study: Any
) -> None:
    desk.queue.submit(add_smears(study, 2))
    session = Session()
    controller = QueueController(session, background, view)
    session.desk = desk
    assert controller is not None  # events hold their listeners weakly
    assert session.unfinished == (1,)


def test_looks_once_a_second_while_something_runs_and_seldom_otherwise(
    controller: QueueController,
    background: Any,
    view: Any,
    worker: Any,
    add_smears: Any,
    study: Any,
) -> None:
    def looks_in(ticks: int) -> int:
        before = len(background.asked)
        for _ in range(ticks):
            controller.tick()
        return len(background.asked) - before

    assert looks_in(TICKS_PER_IDLE_LOOK) == 1
    controller.submit(add_smears(study, 2))
    assert looks_in(TICKS_PER_IDLE_LOOK) == TICKS_PER_IDLE_LOOK // TICKS_PER_LOOK
    worker.work_off()
    controller.look()
    assert looks_in(TICKS_PER_IDLE_LOOK) == 1
    view.is_looked_at.return_value = True
    assert looks_in(TICKS_PER_IDLE_LOOK) == TICKS_PER_IDLE_LOOK // TICKS_PER_LOOK


def chosen_of(ids: Any) -> Chosen:
    return Chosen(len(ids), tuple(ids))


def jobs_of(study: Any) -> Any:
    with study.database.read() as connection:
        return jobs.newest(connection)


def test_what_is_chosen_is_queued_as_it_is_wished(
    controller: QueueController, view: Any, add_model: Any, add_smears: Any, study: Any, worker: Any
) -> None:
    second = add_model(study, "c" * 64)
    ids = add_smears(study, 4)
    controller.set_chosen(chosen_of(ids[:3]))
    view.set_chosen.assert_called_once_with(chosen_of(ids[:3]))
    controller.submit_chosen()
    controller.set_wish(Wish(second.id, "22:00", "06:00"))
    controller.set_chosen(Chosen(4, listed=SmearFilter()))
    controller.submit_chosen()
    tonight, now = jobs_of(study)
    assert (now.total, now.night, now.spec["model_id"]) == (3, None, worker.model.id)
    assert (tonight.total, tonight.spec["model_id"]) == (4, second.id)
    assert (tonight.night.at, tonight.night.until) == ("22:00", "06:00")
    assert (tonight.priority, now.priority) == ("overnight", "interactive")
    assert view.set_offer.call_args.args[0].night == ("22:00", "06:00")  # and remembered
    assert [one.model_id for one in view.set_offer.call_args.args[0].models] == [
        worker.model.id,
        second.id,
    ]
    view.select_job.assert_called_with(tonight.id)


def test_at_half_past_eleven_tonight_is_the_night_that_has_begun(
    make_study: Any,
    clock: Any,
    background: Any,
    view: Any,
    client_without_agent: Any,
    add_smears: Any,
    add_model: Any,
    monkeypatch: Any,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    clock.now = datetime(2026, 11, 23, 23, 30, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    study = make_study(name="night", clock=clock)
    add_model(study)
    session = Session()
    controller = QueueController(session, background, view)
    session.desk = Desk(study, client_without_agent(study))
    controller.set_wish(Wish(None, "22:00", "06:00"))
    controller.set_chosen(chosen_of(add_smears(study, 2)))
    controller.submit_chosen()
    job = jobs_of(study)[0]
    assert job.night.zone == "Europe/Berlin"
    assert job.opens_at == clock.now - 1.5 * 3600
    assert job.closes_at == clock.now + 6.5 * 3600
    controller.set_wish(Wish(None, "22:00", None))  # from then on, to its end
    controller.submit_chosen()
    assert (jobs_of(study)[0].opens_at, jobs_of(study)[0].closes_at) == (
        clock.now + 22.5 * 3600,
        None,
    )


def test_the_expected_duration_is_said_before_and_follows_what_is_chosen(
    controller: QueueController, view: Any, worker: Any, add_smears: Any, study: Any
) -> None:
    ids = add_smears(study, 8)
    view.is_looked_at.return_value = True
    controller.set_chosen(chosen_of(ids))
    controller.tick()
    assert "not known: m1 was not measured yet" in view.set_expected.call_args.args[0]
    controller.submit(ids[:4])
    worker.work_off()
    controller.set_chosen(chosen_of(ids[:6]))
    controller.tick()
    said = view.set_expected.call_args.args[0]
    assert said.startswith("4 have an answer of m1 already. Expected ")
    assert "done about" in said
    asked = view.set_expected.call_count
    controller.tick()
    assert view.set_expected.call_count == asked  # nothing new was asked for
    controller.set_chosen(Chosen())
    controller.tick()
    assert view.set_expected.call_args.args == ("",)


def test_what_goes_first_counts_and_a_night_is_named(
    make_study: Any,
    clock: Any,
    client_without_agent: Any,
    add_smears: Any,
    add_model: Any,
    monkeypatch: Any,
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    clock.now = datetime(2026, 11, 23, 20, 0, tzinfo=UTC).timestamp()
    study = make_study(name="measured", clock=clock)
    model, ids = add_model(study), add_smears(study, 600)
    desk = Desk(study, client_without_agent(study))

    def expected(wish: Wish) -> str:
        return desk.queue.prospect(chosen_of(ids[-400:]), wish)

    desk.queue.submit(ids[:20])
    with study.database.write() as connection:  # 10 s a smear, as a slow worker had done it
        connection.execute(update(piece).values(state="done", started_at=0.0, finished_at=100.0))
        connection.execute(update(piece).where(piece.c.number > 0).values(finished_at=200.0))
        connection.execute(update(piece).where(piece.c.number > 0).values(started_at=100.0))
        connection.execute(update(job_table).values(state="done", done=20, started_at=0.0))
    assert model.is_champion
    assert "Expected 1 h 7 min, done about " in expected(Wish())
    night = expected(Wish(None, "22:00", "06:00"))
    assert "Expected 1 h 7 min, from 22:00, done about " in night
    short = expected(Wish(None, "22:00", "22:30"))
    assert short.endswith(" in 3 nights.")
    desk.queue.submit(ids[:200])
    at = clock_text(clock.now + (200 + 400) * 10, clock.now)
    assert expected(Wish()) == f"Expected 1 h 7 min, done about {at}."
    clock.forward(3 * 3600)  # 23:00
    assert "in the night that has begun" in expected(Wish(None, "22:00", "06:00"))


def test_a_lab_whose_database_goes_away_is_told_and_recovers(
    make_study: Any,
    postgres_url: str,
    background: Any,
    view: Any,
    client_without_agent: Any,
    add_smears: Any,
    add_model: Any,
) -> None:
    study = make_study(name="lab", database=postgres_url)
    add_model(study)
    session = Session()
    controller = QueueController(session, background, view)
    session.desk = Desk(study, client_without_agent(study))
    controller.submit(add_smears(study, 3))
    server, name = postgres_url.rsplit("/", 1)
    admin = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
        for _ in range(3):
            controller.look()
            words = view.set_workers.call_args.args[0]
            assert words.is_alarming
            assert "The study's database does not answer since" in words.text
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    admin.dispose()
    controller.look()
    assert view.tell.call_args.args[0] == "The study's database answers again."
    assert view.set_workers.call_args.args[0].text.startswith("workers: none is up")
    assert view.set_jobs.call_args.args[0][0].cells[1] == "3 with m1"
    assert background.told == []


def test_why_is_said_anew_while_it_is_looked_at(
    controller: QueueController, view: Any, worker: Any, add_smears: Any, study: Any
) -> None:
    ids = add_smears(study, 3)
    controller.submit(ids)
    controller.explain(1)
    assert "waits" in view.set_why.call_args.args[1]
    worker.unreadable = set(ids[:2])
    worker.work_off()
    controller.look()
    assert "    2 ×  the file is damaged" in view.set_why.call_args.args[1]
    controller.explain(None)
    said = view.set_why.call_count
    controller.look()
    assert view.set_why.call_count == said


def test_two_viewers_of_one_study_see_the_same(
    background: Any, study: Any, desk: Desk, worker: Any, add_smears: Any, client_without_agent: Any
) -> None:
    views, controllers = [], []
    for opened in (desk, Desk(study, client_without_agent(study))):
        shown, session = create_autospec(QueueView, instance=True), Session()
        shown.is_looked_at.return_value = True
        controllers.append(QueueController(session, background, shown))
        session.desk = opened
        views.append(shown)
    first, second = controllers

    def rows() -> list[Any]:
        for one in controllers:
            one.look()
        return [one.set_jobs.call_args.args[0] for one in views]

    first.submit(add_smears(study, 40))
    worker.work_off(1)
    assert rows()[0] == rows()[1]
    assert rows()[1][0].cells[3] == "16 of 40"
    second.cancel(1)
    assert rows()[0][0].cells[2] == rows()[1][0].cells[2] == "cancelled after 16 of 40"
    first.retry(1)
    assert not rows()[1][0].is_finished
    worker.work_off()
    assert rows()[0] == rows()[1]
    assert rows()[0][0].cells[2] == "done"
    for one in views:  # each person is told of the end
        assert one.tell.call_args.args[0] == "Job 1 is over (done): 40 classified, 0 failed."


def test_a_database_that_goes_away_is_said_in_words_and_recovers(
    controller: QueueController, view: Any, background: Any, desk: Desk, monkeypatch: Any
) -> None:
    def refuse() -> Any:
        raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))

    rows = view.set_jobs.call_count
    monkeypatch.setattr(desk.queue, "state", refuse)
    controller.look()
    words = view.set_workers.call_args.args[0]
    assert words.is_alarming
    assert "The study's database does not answer since" in words.text
    assert "server closed the connection" in words.text
    assert background.told == []  # said in the tab, not in a notice a second
    assert view.set_jobs.call_count == rows  # the table stays as it was
    monkeypatch.undo()
    controller.look()
    assert not view.set_workers.call_args.args[0].is_alarming
    assert view.tell.call_args.args[0] == "The study's database answers again."


def test_a_look_without_an_answer_is_said_and_not_asked_twice(
    session: Session, view: Any, desk: Desk, clock: Any
) -> None:
    unanswered = create_autospec(Background, instance=True)
    controller = QueueController(session, unanswered, view, clock)
    session.desk = desk
    view.is_looked_at.return_value = True
    for _ in range(TICKS_PER_LOOK):
        controller.tick()
    asked = unanswered.ask.call_count
    clock.forward(NO_ANSWER_S + 3)
    for _ in range(TICKS_PER_LOOK):
        controller.tick()
    assert "no answer for 0:08" in view.set_workers.call_args.args[0].text
    assert unanswered.ask.call_count == asked


def test_the_agent_is_looked_after_while_work_is_left(
    background: Any, view: Any, study: Any, worker: Any, add_smears: Any
) -> None:
    started: list[Path] = []
    session = Session()
    controller = QueueController(session, background, view)
    session.desk = Desk(study, Client(study, start_agent=started.append))
    controller.look()
    assert started == []  # nothing to do, nobody needed
    client = Client(study, start_agent=lambda _home: None)
    client.submit(add_smears(study, 1))
    controller.look()
    controller.look()  # it needs a second or two to say that it runs
    assert started == [study.settings.home]
    said = view.set_workers.call_args.args[0]
    assert said.news == ("No agent runs: it is being started. What was done is stored.",)
