"""The ledger of a sweep on both databases: runs that end in any order, one conclusion, models."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select, update

from marrow.catalogue import account, jobs, models
from marrow.catalogue.schema import piece, scoring
from marrow.errors import Cancelled, LeaseLost
from marrow.records import (
    CheckpointRef,
    Claim,
    ConclusionPayload,
    HarvestRef,
    Job,
    SegmentPayload,
    TrainingSpec,
)
from marrow.study import Study
from marrow.sweeps import Grid, plan
from worker import claims, scheduler, training_claims
from worker.claims import LEASE_S
from worker.owner import Owner
from worker.training_claims import NewModel

ANNA = Owner("anna", 1, 1.0)
BERT = Owner("bert", 2, 2.0)
CHECKPOINT = CheckpointRef(path="runs/x", sha256="c" * 64, epoch=1, batch=0)


def harvest_of(run: int) -> HarvestRef:
    return HarvestRef(path=f"runs/j1-r{run}/harvest", sha256=f"{run:064x}", epoch=2)


def new_model(digit: str = "d", cells: tuple[int, ...] = (0,)) -> NewModel:
    figures = {"accuracy": 0.5}
    looks = {"test": (figures, {1: {"mds": (0.5, 0.5)}}), "out-of-fold": (figures, {})}
    path = f"models/{digit * 16}"
    return NewModel(digit * 64, path, "e" * 64, "fp32", {"figures": {}}, looks, cells)


class Lab:
    """A study with sweeps, and the steps that a worker takes."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def sweep(self, runs: int = 1, epochs: int = 2) -> Job:
        base = TrainingSpec(tune="full")
        spec = plan(Grid(base=base, epochs=(epochs,), seeds=tuple(range(runs))))
        with self.study.database.write() as connection:
            return jobs.submit_sweep(connection, self.study.database.now(connection), spec)

    def take(self, owner: Owner = ANNA) -> Claim:
        held = claims.claim_next(self.study, owner)
        assert held is not None
        return held

    def segment(self, held: Claim) -> SegmentPayload:
        payload = training_claims.payload_of(held)
        assert isinstance(payload, SegmentPayload)
        return payload

    def end_run(self, held: Claim) -> None:
        payload = self.segment(held)
        training_claims.finish_run(self.study, held, payload, (harvest_of(payload.run),))

    def end_together(self, held: Claim, together: threading.Barrier) -> None:
        together.wait(20)
        self.end_run(held)

    def conclusion(self, owner: Owner = ANNA) -> Claim:
        held = self.take(owner)
        assert isinstance(training_claims.payload_of(held), ConclusionPayload)
        return held

    def is_idle(self) -> bool:
        return claims.claim_next(self.study, ANNA) is None

    def cancel(self, job_id: int) -> str:
        with self.study.database.write() as connection:
            return jobs.cancel(connection, self.study.database.now(connection), job_id).state

    def retry(self, job_id: int) -> None:
        with self.study.database.write() as connection:
            jobs.retry(connection, self.study.database.now(connection), job_id)

    def lose(self, held: Claim) -> None:
        """Let the worker of a piece be dead for so long that its lease runs out."""
        with self.study.database.write() as connection:
            connection.execute(
                update(piece)
                .where(piece.c.job_id == held.job_id, piece.c.number == held.number)
                .values(lease_until=piece.c.lease_until - LEASE_S - 1)
            )
        scheduler.tick(self.study)

    def job(self, job_id: int) -> Job:
        with self.study.database.read() as connection:
            return jobs.get(connection, job_id)

    def events(self, job_id: int, kind: str) -> list[dict[str, Any]]:
        with self.study.database.read() as connection:
            found = jobs.events(connection, job_id, 0)
        assert [one.seq for one in found] == list(range(1, len(found) + 1))
        return [one.payload for one in found if one.kind == kind]

    def count(self, table: Any) -> int:
        with self.study.database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(table)).scalar_one())

    def models(self) -> list[str]:
        with self.study.database.read() as connection:
            return [one.sha256[0] for one in models.all_models(connection)][::-1]


@pytest.fixture
def lab(any_study: Study) -> Lab:
    return Lab(any_study)


def test_a_training_goes_from_segment_to_segment_to_its_conclusion_and_model(lab: Lab) -> None:
    job = lab.sweep()
    first = lab.take()
    training_claims.report_epochs(lab.study, first, [{"run": 0, "epoch": 1, "loss": 1.0}])
    training_claims.finish_segment(lab.study, first, lab.segment(first), CHECKPOINT)
    second = lab.take()
    assert lab.segment(second) == SegmentPayload(run=0, segment=1, checkpoint=CHECKPOINT)
    again = [{"run": 0, "epoch": 1, "loss": 1.0}, {"run": 0, "epoch": 2, "loss": 0.5}]
    training_claims.report_epochs(lab.study, second, again)  # the first one is done again
    lab.end_run(second)
    assert lab.models() == []
    held = lab.conclusion()
    assert training_claims.payload_of(held) == ConclusionPayload(harvests=((harvest_of(0),),))
    training_claims.finish_conclusion(lab.study, held, [new_model()])
    with lab.study.database.read() as connection:
        kinds = [one.kind for one in jobs.events(connection, job.id, 0)]
        assert account.models_of(connection, job.id) == [1]
        assert models.champion(connection) is not None
    assert kinds == ["state", "state", "epoch", "epoch", "note", "model", "state"]
    assert (lab.job(job.id).state, lab.job(job.id).done) == ("done", 2)


def test_the_conclusion_waits_for_all_runs_whatever_their_order(lab: Lab) -> None:
    job = lab.sweep(runs=3)
    held = [lab.take() for _ in range(3)]
    for number in (2, 0):
        lab.end_run(held[number])
        assert lab.is_idle()
    lab.end_run(held[1])
    payload = training_claims.payload_of(lab.conclusion())
    assert payload == ConclusionPayload(harvests=tuple((harvest_of(run),) for run in range(3)))
    assert lab.job(job.id).state == "running"
    assert lab.is_idle()


def test_several_workers_have_different_runs_at_once(lab: Lab) -> None:
    lab.sweep(runs=2)
    assert {lab.segment(lab.take(owner)).run for owner in (ANNA, BERT)} == {0, 1}


def test_two_workers_that_end_the_last_two_runs_at_once_add_one_conclusion(lab: Lab) -> None:
    for _ in range(5):
        job = lab.sweep(runs=2)
        held = [lab.take(ANNA), lab.take(BERT)]
        together = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            ends = [pool.submit(lab.end_together, one, together) for one in held]
        assert [one.exception() for one in ends] == [None, None]
        training_claims.finish_conclusion(lab.study, lab.conclusion(), [])
        assert lab.is_idle()
        assert lab.job(job.id).state == "done"


def test_models_are_told_with_their_cells_and_the_looks_at_the_test_side(lab: Lab) -> None:
    job = lab.sweep(runs=2)
    for held in [lab.take(), lab.take()]:
        lab.end_run(held)
    made = [new_model("b", (1, 3)), new_model("a", (0,))]
    training_claims.finish_conclusion(lab.study, lab.conclusion(), made)
    assert lab.events(job.id, "model") == [
        {"model": "m1", "cells": [1, 3], "chosen": True, "metric": None, "looks_at_test": 1},
        {"model": "m2", "cells": [0], "chosen": False, "metric": None, "looks_at_test": 2},
    ]
    assert lab.models() == ["b", "a"]
    with lab.study.database.read() as connection:
        champion = models.champion(connection)
        assert champion is not None
        assert champion.name == "m1"  # the study's first, and the chosen one
        (looked, out_of_fold) = models.scorings(connection, 1)
    assert (looked.side, out_of_fold.side) == ("test", "out-of-fold")
    assert looked.answers == {1: {"mds": (0.5, 0.5)}}


def test_a_run_that_failed_and_is_retried_brings_the_conclusion_later(lab: Lab) -> None:
    job = lab.sweep(runs=2)
    first, second = lab.take(), lab.take()
    claims.refuse(lab.study, first, "runs/x: SHA-256 is 00, wanted 11")
    lab.end_run(second)
    assert (lab.job(job.id).state, lab.job(job.id).failed) == ("failed", 1)
    lab.retry(job.id)
    lab.end_run(lab.take())
    training_claims.finish_conclusion(lab.study, lab.conclusion(), [new_model()])
    assert (lab.job(job.id).state, lab.job(job.id).error) == ("done", None)


def test_a_conclusion_that_failed_is_retried_without_its_runs(lab: Lab) -> None:
    job = lab.sweep()
    lab.end_run(lab.take())
    claims.refuse(lab.study, lab.conclusion(), "a harvest is missing")
    assert lab.job(job.id).error == "a harvest is missing"
    lab.retry(job.id)
    training_claims.finish_conclusion(lab.study, lab.conclusion(), [new_model()])
    assert lab.job(job.id).state == "done"


def test_a_sweep_cancelled_midway_leaves_no_models(lab: Lab) -> None:
    job = lab.sweep(runs=2)
    first, second = lab.take(), lab.take()
    lab.end_run(first)
    assert lab.cancel(job.id) == "cancelling"
    lab.end_run(second)  # its worker's last look came before the cancel
    assert lab.job(job.id).state == "cancelled"
    assert lab.is_idle()
    lab.retry(job.id)
    assert lab.conclusion() is not None


def test_a_cancel_at_the_end_of_the_conclusion_registers_nothing(lab: Lab) -> None:
    job = lab.sweep()
    lab.end_run(lab.take())
    held = lab.conclusion()
    lab.cancel(job.id)
    with pytest.raises(Cancelled):
        training_claims.finish_conclusion(lab.study, held, [new_model()])
    claims.confirm_cancel(lab.study, held)
    assert (lab.job(job.id).state, lab.models(), lab.count(scoring)) == ("cancelled", [], 0)


def test_a_conclusion_that_is_done_again_doubles_nothing(lab: Lab) -> None:
    """Its first worker comes back after another one has done the same."""
    job = lab.sweep()
    lab.end_run(lab.take())
    zombie = lab.conclusion(ANNA)
    lab.lose(zombie)
    heir = lab.conclusion(BERT)
    made = [new_model("a"), new_model("b")]
    with pytest.raises(LeaseLost):
        training_claims.finish_conclusion(lab.study, zombie, made)
    assert lab.models() == []
    training_claims.finish_conclusion(lab.study, heir, made)
    with pytest.raises(LeaseLost):
        training_claims.finish_conclusion(lab.study, zombie, made)
    assert (lab.models(), lab.count(scoring)) == (["a", "b"], 4)
    assert len(lab.events(job.id, "model")) == 2


def test_a_second_training_of_the_same_finds_its_model_again(lab: Lab) -> None:
    for _ in range(2):
        job = lab.sweep()
        lab.end_run(lab.take())
        training_claims.finish_conclusion(lab.study, lab.conclusion(), [new_model()])
    assert lab.models() == ["d"]
    (told,) = lab.events(job.id, "model")
    assert (told["model"], told["looks_at_test"]) == ("m1", 2)
    with lab.study.database.read() as connection:
        assert account.models_of(connection, job.id) == [1]


def test_a_fenced_segment_leaves_no_trace(lab: Lab) -> None:
    job = lab.sweep()
    zombie = lab.take()
    lab.lose(zombie)
    lab.take(BERT)
    with pytest.raises(LeaseLost):
        training_claims.finish_segment(lab.study, zombie, lab.segment(zombie), CHECKPOINT)
    with pytest.raises(LeaseLost):
        lab.end_run(zombie)
    with pytest.raises(LeaseLost):
        training_claims.report_epochs(lab.study, zombie, [{"run": 0, "epoch": 1}])
    assert lab.count(piece) == 1
    assert lab.events(job.id, "epoch") == []


def test_epochs_are_told_once_and_in_order_run_by_run(lab: Lab) -> None:
    job = lab.sweep(runs=2, epochs=6)
    first, second = lab.take(), lab.take()

    def tell(held: Claim, *epochs: int) -> None:
        run = lab.segment(held).run
        figures = [{"run": run, "epoch": epoch} for epoch in epochs]
        training_claims.report_epochs(lab.study, held, figures)

    tell(first, 1, 2, 3)
    tell(second, 1)
    tell(first, 2, 3, 4)
    tell(second, 1)
    tell(second, 2, 3)
    told = [(one["run"], one["epoch"], one["done"]) for one in lab.events(job.id, "epoch")]
    assert told == [(0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 1, 4), (0, 4, 5), (1, 2, 6), (1, 3, 7)]
    assert (lab.job(job.id).done, lab.job(job.id).total) == (7, 12)
