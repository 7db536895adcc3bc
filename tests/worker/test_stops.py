"""Cells that a person stops and resumes, under every step that a worker takes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest
from sqlalchemy import func, select, update

from marrow import queue
from marrow.catalogue import jobs, stops
from marrow.catalogue.schema import piece, stopped_run
from marrow.catalogue.stops import Stopped
from marrow.client import Client
from marrow.errors import NotFound
from marrow.outlook import outlook_of
from marrow.records import CheckpointRef, Claim, HarvestRef, Job, SegmentPayload, TrainingSpec
from marrow.study import Study
from marrow.sweeps import Grid, plan
from worker import claims, scheduler, training_claims
from worker.agent import StudyLedger
from worker.claims import LEASE_S
from worker.owner import Owner

ANNA, BERT = Owner("anna", 1, 1.0), Owner("bert", 2, 2.0)
CHECKPOINT = CheckpointRef(path="runs/x", sha256="c" * 64, epoch=1, batch=0)


class Lab:
    """A study with one sweep of two weights and two lengths: runs 0 (cells 0, 1), 1 (2, 3)."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.started: list[object] = []
        self.client = Client(study, start_agent=self.started.append)
        base = TrainingSpec(tune="full")
        grid = Grid(base=base, loss_weights=((5.0, 5.0), (1.0, 9.0)), epochs=(1, 2))
        self.job = self.client.sweep(plan(grid))
        self.started.clear()

    def stop(self, cells: Collection[int] | None = None) -> Stopped:
        return self.client.stop_cells(self.job.id, cells)

    def resume(self, cells: Collection[int] | None = None) -> Stopped:
        return self.client.resume_cells(self.job.id, cells)

    def take(self, owner: Owner = ANNA) -> Claim | None:
        return claims.claim_next(self.study, owner)

    def run_of(self, held: Claim | None) -> int:
        assert held is not None
        payload = training_claims.payload_of(held)
        assert isinstance(payload, SegmentPayload)
        return payload.run

    def end_segment(self, held: Claim) -> None:
        payload = training_claims.payload_of(held)
        assert isinstance(payload, SegmentPayload)
        training_claims.finish_segment(self.study, held, payload, CHECKPOINT)

    def end_run(self, held: Claim) -> None:
        payload = training_claims.payload_of(held)
        assert isinstance(payload, SegmentPayload)
        left = HarvestRef(path=f"runs/{payload.run}", sha256=f"{payload.run:064x}", epoch=2)
        training_claims.finish_run(self.study, held, payload, (left,))

    def hints(self) -> list[int]:
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            return [one.number for one in queue._take_hints(connection, at, 30.0)]

    def told(self) -> list[dict[str, Any]]:
        with self.study.database.read() as connection:
            found = jobs.events(connection, self.job.id, 0)
        return [one.payload for one in found if "stopped_cells" in one.payload]

    def now(self) -> Job:
        return self.client.job(self.job.id)

    def rows(self) -> int:
        with self.study.database.read() as connection:
            counted = select(func.count()).select_from(stopped_run)
            return int(connection.execute(counted).scalar_one())

    def words(self) -> str:
        return outlook_of(self.study, self.now()).words


@pytest.fixture
def lab(any_study: Study) -> Lab:
    return Lab(any_study)


def test_a_run_waits_only_while_all_cells_that_need_it_are_stopped(lab: Lab) -> None:
    assert lab.stop([0]) == Stopped((0,), ())
    held = lab.take()
    assert lab.run_of(held) == 0  # cell 1 is trained on the same run
    assert lab.stop([1]) == Stopped((0, 1), (0,))
    assert lab.stop([1]) == Stopped((0, 1), (0,))  # again: nothing new is told
    assert lab.resume([0]) == Stopped((1,), ())
    assert [(one["stopped_cells"], one["stopped_runs"]) for one in lab.told()] == [
        ([0], []),
        ([0, 1], [0]),
        ([1], []),
    ]
    assert lab.told()[1]["text"] == "cell 5:5, 2 epochs stopped; 1 of 2 runs wait for a person"


def test_no_worker_takes_a_stopped_run_and_no_hint_names_it(lab: Lab) -> None:
    lab.stop([0, 1])
    assert lab.hints() == [1]
    assert claims.claim(lab.study, ANNA, lab.job.id, 0) is None
    assert lab.run_of(lab.take()) == 1
    assert lab.take(BERT) is None
    lab.resume()
    assert lab.hints() == [0]
    assert lab.run_of(lab.take(BERT)) == 0


def test_a_hint_that_came_too_early_is_sent_again_on_resuming(lab: Lab) -> None:
    assert lab.hints() == [0, 1]
    lab.stop()
    lab.resume([2, 3])
    assert lab.hints() == [1]  # and not after half a minute
    assert lab.hints() == []


def test_a_running_segment_is_told_to_end_and_its_successor_waits(lab: Lab) -> None:
    held = lab.take()
    assert held is not None
    assert not claims.is_run_stopped(lab.study, held, 0)
    lab.stop([0, 1])
    assert claims.is_run_stopped(lab.study, held, 0)
    assert not claims.is_run_stopped(lab.study, held, 1)
    lab.end_segment(held)
    assert lab.run_of(lab.take()) == 1
    assert lab.take(BERT) is None
    lab.resume([0])
    again = lab.take(BERT)
    assert training_claims.payload_of(again) == SegmentPayload(  # type: ignore[arg-type]
        run=0, segment=1, checkpoint=CHECKPOINT
    )


def test_the_sweep_is_not_concluded_while_a_run_waits(lab: Lab) -> None:
    lab.stop([2, 3])
    held = lab.take()
    assert held is not None
    lab.end_run(held)
    assert lab.take() is None
    assert lab.now().state == "running"
    assert lab.words() == "stopped; 1 of 2 runs wait to be resumed"
    assert outlook_of(lab.study, lab.now()).ends_at is None
    assert lab.stop([0]) == Stopped((2, 3), (1,))  # it is trained already
    lab.resume([3])
    other = lab.take()
    assert other is not None
    lab.end_run(other)
    conclusion = lab.take()
    assert conclusion is not None
    assert "harvests" in (conclusion.payload or {})


def test_a_worker_that_dies_with_a_stopped_run_leaves_it_waiting(lab: Lab) -> None:
    held = lab.take()
    assert held is not None
    lab.stop([0, 1])
    with lab.study.database.write() as connection:
        connection.execute(
            update(piece)
            .where(piece.c.number == held.number)
            .values(lease_until=piece.c.lease_until - LEASE_S - 1)
        )
    assert claims.claim(lab.study, BERT, lab.job.id, held.number) is None
    scheduler.tick(lab.study)
    assert lab.run_of(lab.take(BERT)) == 1
    assert lab.take(BERT) is None
    lab.resume()
    assert lab.run_of(lab.take(BERT)) == 0


def test_a_run_that_ends_in_spite_of_being_stopped_waits_for_nobody(lab: Lab) -> None:
    held = lab.take()
    assert held is not None
    lab.stop([0, 1])
    lab.end_run(held)  # it was in its last batch
    assert lab.rows() == 0
    other = lab.take()
    assert other is not None
    lab.end_run(other)
    assert lab.take() is not None  # the conclusion


def test_cancelling_and_retrying_forget_what_was_stopped(lab: Lab) -> None:
    lab.stop()
    assert lab.rows() == 2
    assert lab.client.cancel(lab.job.id).state == "cancelled"
    assert lab.rows() == 0
    assert lab.stop() == Stopped()  # it is over
    lab.client.retry(lab.job.id)
    with lab.study.database.read() as connection:
        assert stops.stopped(connection, lab.job.id) == Stopped()
    assert {lab.run_of(lab.take()), lab.run_of(lab.take())} == {0, 1}


def test_a_job_with_nothing_but_stopped_runs_is_no_work_for_an_agent(lab: Lab) -> None:
    ledger = StudyLedger(lab.study)
    assert not ledger.is_idle()
    lab.stop()
    assert ledger.is_idle()
    lab.client.keep_awake()
    assert not lab.client.wake_if_waiting()
    assert lab.started == []
    lab.resume([0])
    assert not ledger.is_idle()
    is_single_machine = lab.study.settings.is_single_machine
    assert bool(lab.started) == is_single_machine


def test_a_stopped_run_that_is_still_at_work_is_work(lab: Lab) -> None:
    held = lab.take()
    lab.stop()
    assert not StudyLedger(lab.study).is_idle()
    assert held is not None
    lab.end_segment(held)
    assert StudyLedger(lab.study).is_idle()


def test_other_jobs_go_on_beside_a_stopped_one(
    lab: Lab, add_smears: Callable[..., list[int]], add_model: Callable[..., Any]
) -> None:
    add_model(lab.study)
    lab.stop()
    other = lab.client.submit(add_smears(lab.study, 2), priority="overnight")
    held = lab.take()
    assert held is not None
    assert held.job_id == other.id
    assert "behind" not in outlook_of(lab.study, lab.client.job(other.id)).words


def test_an_unknown_cell_and_a_classification_are_refused(
    lab: Lab, add_smears: Callable[..., list[int]], add_model: Callable[..., Any]
) -> None:
    with pytest.raises(NotFound, match="no cell 5: its cells are 1 to 4"):
        lab.stop([4])
    add_model(lab.study)
    job = lab.client.submit(add_smears(lab.study, 1))
    with pytest.raises(NotFound, match=f"marrow cancel {job.id}"):
        lab.client.stop_cells(job.id)
