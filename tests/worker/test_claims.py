"""The ledger under every ending that a piece can have, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, update

from marrow.catalogue import jobs, predictions
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.schema import event, job_smear, piece, prediction
from marrow.errors import LeaseLost
from marrow.records import (
    Answer,
    AnswerMap,
    CheckpointRef,
    Claim,
    HeadAnswer,
    Job,
    ModelRecord,
    Outcome,
    Provenance,
    SegmentPayload,
    SweepSpec,
    TrainingSpec,
)
from marrow.study import Study
from worker import claims, scheduler, training_claims
from worker.claims import LEASE_S
from worker.owner import Owner
from worker.recovery import MAX_EXCEPTIONS, MAX_LOST_LEASES, release_leases_of

ANNA = Owner("anna", 1, 1.0)
BERT = Owner("bert", 2, 2.0)
MADE_BY = Provenance(code_version="0", torch_version="0", device="cpu", host="here")


def answer(p_mds: float) -> Answer:
    return Answer(
        heads=(
            HeadAnswer(
                head="mds",
                call="MDS" if p_mds > 0.5 else "other",
                probabilities=(1 - p_mds, p_mds),
            ),
            HeadAnswer(
                head="diagnosis",
                call="MDS" if p_mds > 0.5 else "AA",
                probabilities=(0.9 - 0.9 * p_mds, p_mds * 0.9, 0.1),
            ),
        ),
        flags=("heads-disagree",) if p_mds < 0.2 else (),
    )


def a_map() -> AnswerMap:
    values = np.arange(5 * 2 * 3, dtype="<f2").tobytes()
    return AnswerMap("activation", values, (5, 2, 3), (256.0, 170.5))


class Lab:
    """A study with smears and a model, and the steps that a worker takes."""

    def __init__(self, study: Study, ids: list[int], model: ModelRecord) -> None:
        self.study, self.ids, self.model = study, ids, model

    def submit(self, ids: list[int] | None = None) -> Job:
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            wanted = self.ids if ids is None else ids
            return jobs.submit_classify(connection, at, self.model, wanted)

    def train(self, epochs: int = 2) -> Job:
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            spec = SweepSpec(runs=(TrainingSpec(epochs=epochs),))
            return jobs.submit_sweep(connection, at, spec)

    def take(self, owner: Owner = ANNA) -> Claim:
        held = claims.claim_next(self.study, owner)
        assert held is not None
        return held

    def smears_of(self, held: Claim) -> list[int]:
        with self.study.database.read() as connection:
            rows = select(job_smear.c.smear_id).where(
                job_smear.c.job_id == held.job_id, job_smear.c.piece == held.number
            )
            return sorted(connection.execute(rows).scalars())

    def finish(self, held: Claim, errors: dict[int, str] | None = None) -> None:
        bad = errors or {}
        outcomes = [
            Outcome(one, None, None, bad[one])
            if one in bad
            else Outcome(one, answer(one / 100), a_map(), None)
            for one in self.smears_of(held)
        ]
        revisions = dict.fromkeys(self.smears_of(held), 0)
        claims.finish_smears(self.study, held, self.model, outcomes, revisions, MADE_BY)

    def finish_all(self, owner: Owner = ANNA) -> int:
        pieces = 0
        while (held := claims.claim_next(self.study, owner)) is not None:
            self.finish(held)
            pieces += 1
        return pieces

    def job(self, job_id: int) -> Job:
        with self.study.database.read() as connection:
            return jobs.get(connection, job_id)

    def expire(self, held: Claim) -> None:
        """Let the lease of a piece have run out a second ago."""
        self.set(held, lease_until=piece.c.lease_until - LEASE_S - 1)

    def set(self, held: Claim, **values: Any) -> None:
        with self.study.database.write() as connection:
            connection.execute(
                update(piece)
                .where(piece.c.job_id == held.job_id, piece.c.number == held.number)
                .values(**values)
            )

    def states(self, job_id: int) -> list[str]:
        with self.study.database.read() as connection:
            rows = select(piece.c.state).where(piece.c.job_id == job_id).order_by(piece.c.number)
            return list(connection.execute(rows).scalars())

    def errors(self, job_id: int) -> dict[int, str]:
        with self.study.database.read() as connection:
            return dict(jobs.errors(connection, job_id))

    def assert_whole(self, job_id: int) -> None:
        """Every smear has exactly one outcome, and events count from 1 without gaps."""
        current = self.job(job_id)
        with self.study.database.read() as connection:
            rows = connection.execute(select(job_smear).where(job_smear.c.job_id == job_id)).all()
            seqs = connection.execute(
                select(event.c.seq).where(event.c.job_id == job_id).order_by(event.c.seq)
            ).scalars()
            total = connection.execute(select(func.count()).select_from(prediction)).scalar_one()
            assert list(seqs) == list(range(1, current.last_seq + 1))
        assert all((row.prediction_id is None) != (row.error is None) for row in rows)
        assert current.done == sum(row.prediction_id is not None for row in rows)
        assert current.failed == sum(row.error is not None for row in rows)
        assert total == len({row.prediction_id for row in rows} - {None})


@pytest.fixture
def lab(
    any_study: Study,
    add_smears: Callable[..., list[int]],
    add_model: Callable[..., ModelRecord],
) -> Lab:
    return Lab(any_study, add_smears(any_study, 40, slides=2), add_model(any_study))


def test_a_job_becomes_pieces_of_sixteen_fields_and_one_slide_each(lab: Lab) -> None:
    job = lab.submit()
    sizes = []
    while (held := claims.claim_next(lab.study, ANNA)) is not None:
        sizes.append(len(lab.smears_of(held)))
    assert sizes == [16, 16, 6, 1, 1]
    assert lab.job(job.id).state == "running"


def test_a_piece_is_claimed_once(lab: Lab) -> None:
    job = lab.submit()
    assert claims.claim(lab.study, ANNA, job.id, 0) is not None
    assert claims.claim(lab.study, BERT, job.id, 0) is None


def test_a_finished_job_has_one_outcome_a_smear(lab: Lab) -> None:
    job = lab.submit()
    first = lab.take()
    lab.finish(first, {lab.ids[3]: "torn.png: truncated"})
    lab.finish_all(BERT)
    assert lab.job(job.id).state == "done"
    assert (lab.job(job.id).done, lab.job(job.id).failed) == (39, 1)
    assert lab.errors(job.id) == {lab.ids[3]: "torn.png: truncated"}
    lab.assert_whole(job.id)


def test_asking_again_costs_nothing_but_the_errors(lab: Lab) -> None:
    lab.submit()
    lab.finish(lab.take(), {lab.ids[3]: "unreachable"})
    lab.finish_all()
    again = lab.submit()
    assert (again.done, again.state) == (39, "waiting")
    held = lab.take()
    assert lab.smears_of(held) == [lab.ids[3]]
    lab.finish(held)
    assert lab.job(again.id).state == "done"
    assert lab.submit().state == "done"


def test_a_zombie_is_fenced(lab: Lab) -> None:
    """Stopped for twice its lease, the first worker comes back: what it computed is dropped."""
    job = lab.submit(lab.ids[:1])
    zombie = lab.take(ANNA)
    lab.expire(zombie)
    scheduler.tick(lab.study)
    heir = lab.take(BERT)
    assert heir.attempt == zombie.attempt + 1
    with pytest.raises(LeaseLost):
        lab.finish(zombie)
    assert not claims.renew(lab.study, zombie)
    lab.finish(heir)
    with pytest.raises(LeaseLost):
        lab.finish(zombie)
    lab.assert_whole(job.id)


def test_a_lost_piece_of_many_is_split_so_that_one_poison_fails_alone(lab: Lab) -> None:
    job = lab.submit(lab.ids[:4])
    lab.expire(lab.take())
    scheduler.tick(lab.study)
    assert lab.states(job.id) == ["split", "new", "new", "new", "new"]
    poison = lab.ids[2]
    for _ in range(3 + MAX_LOST_LEASES):
        held = lab.take()
        if lab.smears_of(held) == [poison]:
            lab.expire(held)
            scheduler.tick(lab.study)
        else:
            lab.finish(held)
    assert claims.claim_next(lab.study, ANNA) is None
    assert list(lab.errors(job.id)) == [poison]
    assert "died 10 times" in lab.errors(job.id)[poison]
    assert lab.job(job.id).state == "done"
    lab.assert_whole(job.id)


def test_an_expired_lease_is_claimed_without_waiting_for_the_scheduler(lab: Lab) -> None:
    job = lab.submit(lab.ids[:1])
    lab.expire(lab.take(ANNA))
    held = claims.claim(lab.study, BERT, job.id, 0)
    assert held is not None
    assert held.attempt == 2


def test_exceptions_count_apart_and_the_third_fails_with_its_reason(lab: Lab) -> None:
    job = lab.submit(lab.ids[:1])
    lab.expire(lab.take())
    scheduler.tick(lab.study)
    for _ in range(MAX_EXCEPTIONS):
        assert lab.job(job.id).state == "running"
        claims.give_back(lab.study, lab.take(), "RuntimeError in the worker")
    assert lab.errors(job.id) == {lab.ids[0]: "RuntimeError in the worker"}
    lab.assert_whole(job.id)


def test_leases_of_a_dead_process_are_free_at_once(lab: Lab) -> None:
    lab.submit(lab.ids[:1])
    lab.take(ANNA)
    assert release_leases_of(lab.study, Owner("anna", 11, 1.0)) == 0
    assert release_leases_of(lab.study, Owner("anna", 1, 60.0)) == 0
    assert release_leases_of(lab.study, ANNA) == 1
    assert lab.take(BERT).attempt == 2


def test_cancel_before_the_start_is_immediate(lab: Lab) -> None:
    job = lab.submit()
    with lab.study.database.write() as connection:
        state = jobs.cancel(connection, lab.study.database.now(connection), job.id).state
    assert state == "cancelled"
    assert claims.claim_next(lab.study, ANNA) is None


def test_cancel_waits_for_the_worker_to_confirm(lab: Lab) -> None:
    job = lab.submit()
    held = lab.take()
    with lab.study.database.write() as connection:
        state = jobs.cancel(connection, lab.study.database.now(connection), job.id).state
    assert state == "cancelling"
    assert claims.is_cancelled(lab.study, held)
    assert claims.claim_next(lab.study, BERT) is None
    claims.confirm_cancel(lab.study, held)
    assert lab.job(job.id).state == "cancelled"


def test_a_worker_that_dies_while_cancelling_does_not_hold_the_job(lab: Lab) -> None:
    job = lab.submit()
    held = lab.take()
    with lab.study.database.write() as connection:
        jobs.cancel(connection, lab.study.database.now(connection), job.id)
    lab.expire(held)
    scheduler.tick(lab.study)
    assert lab.job(job.id).state == "cancelled"


def test_cancel_at_the_end_of_a_segment_leaves_nothing_open(lab: Lab) -> None:
    """The worker's last look came before the cancel: it hands in the segment all the same."""
    job = lab.train()
    held = lab.take()
    with lab.study.database.write() as connection:
        jobs.cancel(connection, lab.study.database.now(connection), job.id)
    checkpoint = CheckpointRef(path="runs/x", sha256="c" * 64, epoch=1, batch=0)
    training_claims.finish_segment(lab.study, held, SegmentPayload(run=0, segment=0), checkpoint)
    assert lab.job(job.id).state == "cancelled"
    assert lab.states(job.id) == ["done", "cancelled"]


def test_a_retried_segment_counts_its_attempts_upwards(lab: Lab) -> None:
    """A worker that was stopped before cancel and retry must not pass the fence after them."""
    job = lab.train()
    zombie = lab.take(ANNA)
    claims.refuse(lab.study, zombie, "No smear has a label")
    with lab.study.database.write() as connection:
        jobs.retry(connection, lab.study.database.now(connection), job.id)
    assert lab.take(ANNA).attempt == zombie.attempt + 1
    assert not claims.renew(lab.study, zombie)


def test_retry_queues_what_failed_and_nothing_else(lab: Lab) -> None:
    job = lab.submit(lab.ids[:3])
    lab.finish(lab.take(), {lab.ids[1]: "unreachable"})
    with lab.study.database.write() as connection:
        jobs.retry(connection, lab.study.database.now(connection), job.id)
    held = lab.take()
    assert lab.smears_of(held) == [lab.ids[1]]
    lab.finish(held)
    assert (lab.job(job.id).done, lab.job(job.id).failed) == (3, 0)
    lab.assert_whole(job.id)


def test_a_faster_twin_leaves_one_prediction(lab: Lab) -> None:
    """Two jobs of the same smears, worked on at the same time."""
    one, two = lab.submit(lab.ids[:5]), lab.submit(lab.ids[:5])
    first, second = lab.take(ANNA), lab.take(BERT)
    lab.finish(first)
    lab.finish(second)
    for job in (one, two):
        assert lab.job(job.id).state == "done"
        lab.assert_whole(job.id)


def test_a_refused_training_says_why(lab: Lab) -> None:
    job = lab.train()
    claims.refuse(lab.study, lab.take(), "No smear has a label")
    assert (lab.job(job.id).state, lab.job(job.id).error) == ("failed", "No smear has a label")


def test_a_person_who_waits_goes_before_a_training(lab: Lab) -> None:
    lab.train()
    assert not claims.has_interactive_work(lab.study)
    lab.submit(lab.ids[:1])
    assert claims.has_interactive_work(lab.study)
    assert lab.take().kind == "classify"
    assert lab.take().kind == "sweep"


def test_what_was_stored_is_what_is_read(lab: Lab) -> None:
    job = lab.submit(lab.ids[:1])
    lab.finish(lab.take())
    with lab.study.database.read() as connection:
        shown = ResultFilter(job_id=job.id)
        (row,) = predictions.page(connection, lab.study.scheme, shown, Sort(), 0, 10)
        assert row.prediction is not None
        assert row.prediction.answer == answer(lab.ids[0] / 100)
        assert predictions.map_of(connection, row.prediction.id) == a_map()
        assert row.smear.patient == "P0"


def test_results_are_sorted_and_filtered_by_the_database(lab: Lab) -> None:
    lab.submit()
    lab.finish_all()
    scheme = lab.study.scheme
    with lab.study.database.read() as connection:

        def smears_by(sort: Sort, **shown: Any) -> list[int]:
            found = predictions.page(connection, scheme, ResultFilter(**shown), sort, 0, 50)
            return [row.smear.id for row in found]

        falling = Sort(column="p:diagnosis:MDS", descending=True)
        assert smears_by(falling) == lab.ids[::-1]
        assert smears_by(Sort(), head="mds", call="MDS", min_p=0.35) == lab.ids[34:]
        assert smears_by(Sort(), flag="heads-disagree") == lab.ids[:19]
        assert smears_by(Sort(column="patient"), text="P7") == lab.ids[14:16]
        assert smears_by(Sort(), text="S000007") == [7]
        assert predictions.count(connection, scheme, ResultFilter(flag="heads-disagree")) == 19
