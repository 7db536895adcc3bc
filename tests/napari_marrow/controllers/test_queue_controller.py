"""The queue without a window, on a real catalogue."""

from __future__ import annotations

from typing import Any
from unittest.mock import create_autospec

import pytest

from marrow.catalogue.smears import SmearFilter
from napari_marrow.controllers.queue import (
    TICKS_PER_IDLE_LOOK,
    TICKS_PER_LOOK,
    QueueController,
    QueueView,
)
from napari_marrow.desk import Desk
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
    assert view.set_jobs.call_args.args[0][0].cells[2] == "cancelled"
    worker.unreadable = set()
    controller.retry(1)
    assert session.unfinished == (1,)
    worker.work_off()
    controller.look()
    line = view.set_jobs.call_args.args[0][0]
    assert line.cells[2:6] == ("done", "20 of 20", "20", "0")


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
