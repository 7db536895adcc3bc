"""Every way in which a piece can end on a bench; the crafts are fakes."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from marrow.catalogue import jobs
from marrow.catalogue.schema import piece
from marrow.errors import BadModel, LeaseLost
from marrow.records import Claim, Job, ModelRecord, SweepSpec, TrainingSpec
from marrow.study import Study
from worker import claims, patience
from worker import work as work_module
from worker.claims import LEASE_S
from worker.owner import Owner
from worker.recovery import recover_expired
from worker.work import (
    Bench,
    Check,
    Equipment,
    HostTrouble,
    Patiently,
    Stopping,
    require_in_sight,
)

ANNA, BERT = Owner("anna", 1, 1.0), Owner("bert", 2, 2.0)
WAIT_S = 20.0


class DeviceBroken(Exception):
    """Stands in for an error of the accelerator."""


class Craft:
    """Does what the test says; `held` are the claims it was given."""

    def __init__(self) -> None:
        self.held: list[Claim] = []
        self.do: Callable[[Claim, Check, Patiently], None] = lambda held, check, patiently: None

    def work(self, held: Claim, check: Check, patiently: Patiently) -> None:
        self.held.append(held)
        self.do(held, check, patiently)


class Room:
    """A bench, its craft, and what became of the worker."""

    def __init__(self, study: Study, ids: list[int], model: ModelRecord) -> None:
        self.study, self.ids, self.model = study, ids, model
        self.craft, self.stopping, self.exits = Craft(), threading.Event(), 0
        equipment = Equipment({"classify": self.craft, "sweep": self.craft}, "cpu", (DeviceBroken,))
        self.bench = Bench(study, ANNA, equipment, self.stopping, self._exit)

    def _exit(self) -> None:
        self.exits += 1

    def submit(self, count: int = 1) -> Job:
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            return jobs.submit_classify(connection, at, self.model, self.ids[:count])

    def train(self) -> Job:
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            return jobs.submit_sweep(connection, at, SweepSpec(runs=(TrainingSpec(),)))

    def cancel(self, job_id: int) -> None:
        with self.study.database.write() as connection:
            jobs.cancel(connection, self.study.database.now(connection), job_id)

    def job(self, job_id: int) -> Job:
        with self.study.database.read() as connection:
            return jobs.get(connection, job_id)

    def pieces(self) -> list[Any]:
        with self.study.database.read() as connection:
            return list(connection.execute(select(piece).order_by(piece.c.number)).all())

    def errors(self, job_id: int) -> list[str]:
        with self.study.database.read() as connection:
            return [reason for _, reason in jobs.errors(connection, job_id)]

    def notes(self, job_id: int) -> list[str]:
        with self.study.database.read() as connection:
            found = jobs.events(connection, job_id, 0)
        return [event.payload["text"] for event in found if event.kind == "note"]

    def raising(self, error: BaseException) -> None:
        def do(*_: object) -> None:
            raise error

        self.craft.do = do


@pytest.fixture
def room(
    make_study: Callable[..., Study],
    add_smears: Callable[..., list[int]],
    add_model: Callable[..., ModelRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> Room:
    monkeypatch.setattr(work_module, "TROUBLE_PAUSE_S", 0.0)
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.01)
    study = make_study()
    return Room(study, add_smears(study, 4), add_model(study))


def test_there_is_nothing_to_do(room: Room) -> None:
    assert not room.bench.try_any()
    assert not room.bench.try_piece(7, 0)


def test_a_second_hint_for_a_piece_in_hand_finds_nothing(room: Room) -> None:
    job = room.submit()
    again: list[bool] = []
    room.craft.do = lambda held, check, patiently: again.append(
        room.bench.try_piece(held.job_id, held.number)
    )
    assert room.bench.try_piece(job.id, 0)
    assert again == [False]


def test_a_worker_that_stops_takes_nothing_new(room: Room) -> None:
    room.submit()
    room.stopping.set()
    assert not room.bench.try_any()
    assert room.pieces()[0].state == "new"


def test_a_stopped_classification_goes_back_uncounted(room: Room) -> None:
    job = room.submit()

    def do(held: Claim, check: Check, patiently: Patiently) -> None:
        check()
        room.stopping.set()
        check()
        raise AssertionError("the batch after the signal is not worked on")

    room.craft.do = do
    assert room.bench.try_any()
    (row,) = room.pieces()
    assert (row.state, row.exceptions, row.lost_leases, row.owner) == ("new", 0, 0, None)
    assert room.notes(job.id) == []


def test_a_stopped_training_goes_on_to_its_checkpoint(room: Room) -> None:
    room.train()
    checked: list[bool] = []

    def do(held: Claim, check: Check, patiently: Patiently) -> None:
        room.stopping.set()
        check()
        checked.append(True)

    room.craft.do = do
    assert room.bench.try_any()
    assert checked == [True]


@pytest.mark.parametrize("kind", ["classify", "sweep"])
def test_a_cancel_is_confirmed_at_the_next_batch(room: Room, kind: str) -> None:
    job = room.submit() if kind == "classify" else room.train()

    def do(held: Claim, check: Check, patiently: Patiently) -> None:
        room.cancel(job.id)
        check()
        raise AssertionError("the batch after the cancel is not worked on")

    room.craft.do = do
    assert room.bench.try_any()
    assert room.job(job.id).state == "cancelled"


def test_what_can_never_succeed_fails_at_once_with_its_reason(room: Room) -> None:
    job = room.submit(2)
    room.raising(BadModel("models/m1: SHA-256 is 00, wanted 11"))
    assert room.bench.try_any()
    assert room.errors(job.id) == ["models/m1: SHA-256 is 00, wanted 11"] * 2
    assert room.exits == 0


def test_an_unexpected_error_splits_the_piece_and_counts_to_three(room: Room) -> None:
    job = room.submit(2)
    room.raising(RuntimeError("secret.png of P7"))
    tries = 0
    while room.bench.try_any():
        tries += 1
    assert tries == 1 + 2 * 3
    assert room.errors(job.id) == ["RuntimeError in the worker (its log)"] * 2
    assert room.job(job.id).state == "done"


def test_a_broken_device_ends_the_worker_and_is_counted(room: Room) -> None:
    room.submit()
    room.raising(DeviceBroken("CUDA error"))
    assert room.bench.try_any()
    assert (room.exits, room.pieces()[0].exceptions) == (1, 1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_on_a_full_disk_the_work_waits_and_a_person_is_told_once(room: Room, number: int) -> None:
    job = room.train()
    room.raising(OSError(number, "no space"))
    for _ in range(4):
        assert room.bench.try_any()
    (row,) = room.pieces()
    assert (row.state, row.exceptions, row.lost_leases) == ("new", 0, 0)
    assert room.notes(job.id) == ["anna: the disk is full; the work waits until there is space"]


def test_a_host_in_trouble_waits_before_it_tries_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_module, "TROUBLE_PAUSE_S", 600.0)
    job = room.submit(2)
    room.raising(HostTrouble("/mnt/store/models is not there: mount the store; the work waits"))
    at_work = threading.Thread(target=room.bench.try_any)
    at_work.start()
    poll_until(lambda: room.notes(job.id) != [])
    assert room.notes(job.id) == [
        "anna: /mnt/store/models is not there: mount the store; the work waits"
    ]
    assert at_work.is_alive()
    assert claims.claim_next(room.study, BERT) is not None  # another host does it meanwhile
    room.stopping.set()
    at_work.join(WAIT_S)
    assert not at_work.is_alive()


def test_only_a_store_that_is_out_of_sight_is_the_hosts_trouble(room: Room) -> None:
    store = room.study.store
    with pytest.raises(HostTrouble, match="mount the store"):
        require_in_sight(store, "models/m1")
    (store / "models").mkdir(parents=True)
    require_in_sight(store, "models/m1")


def test_a_cancelled_job_does_not_wait_for_space(room: Room) -> None:
    job = room.train()

    def do(held: Claim, check: Check, patiently: Patiently) -> None:
        room.cancel(job.id)
        raise OSError(errno.ENOSPC, "no space")

    room.craft.do = do
    assert room.bench.try_any()
    assert room.job(job.id).state == "cancelled"


def test_work_of_a_lost_piece_is_dropped_and_the_worker_goes_on(room: Room) -> None:
    job = room.submit()
    room.raising(LeaseLost("Piece 0 of job 1 has another owner"))
    assert room.bench.try_any()
    assert room.exits == 0
    assert room.errors(job.id) == []


def test_a_zombie_counts_nothing_against_its_heir(
    make_study: Callable[..., Study],
    add_smears: Callable[..., list[int]],
    add_model: Callable[..., ModelRecord],
    clock: Any,
) -> None:
    """It comes back with an exception of its own, when another worker has the piece."""
    study = make_study(clock=clock)
    room = Room(study, add_smears(study, 1), add_model(study))
    room.submit()

    def do(held: Claim, check: Check, patiently: Patiently) -> None:
        clock.forward(2 * LEASE_S)
        recover_expired(study)
        assert claims.claim(study, BERT, held.job_id, held.number) is not None
        raise RuntimeError

    room.craft.do = do
    assert room.bench.try_any()
    (row,) = room.pieces()
    assert (row.state, row.owner, row.exceptions, row.lost_leases) == ("running", BERT.id, 0, 1)


def test_a_result_is_stored_once_however_often_the_database_refuses(room: Room) -> None:
    room.submit()
    tries: list[int] = []

    def do(held: Claim, check: Check, patiently: Patiently) -> None:
        def store() -> None:
            tries.append(1)
            if len(tries) < 3:
                raise OperationalError("BEGIN", {}, Exception("database is locked"))
            claims.confirm_cancel(room.study, held)

        patiently(store)

    room.craft.do = do
    assert room.bench.try_any()
    assert len(room.craft.held) == 1
    assert len(tries) == 3
    assert room.pieces()[0].exceptions == 0


def test_a_database_that_is_away_at_the_claim_costs_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.submit()

    @contextmanager
    def refuse() -> Any:
        raise OperationalError("BEGIN", {}, Exception("database is locked"))
        yield

    with monkeypatch.context() as patch:
        patch.setattr(room.study.database, "write", refuse)
        assert not room.bench.try_any()
    (row,) = room.pieces()
    assert (row.state, row.attempt, row.exceptions) == ("new", 0, 0)
    assert room.bench.try_any()


def test_a_piece_that_hangs_is_given_back_and_its_worker_ended(
    make_study: Callable[..., Study],
    add_smears: Callable[..., list[int]],
    add_model: Callable[..., ModelRecord],
) -> None:
    study = make_study()
    room = Room(study, add_smears(study, 2), add_model(study))
    ended = threading.Event()
    room.bench = Bench(
        study,
        ANNA,
        Equipment({"classify": room.craft}, "cpu"),
        room.stopping,
        exit_worker=ended.set,
        stalled_s=0.1,
    )
    job = room.submit(2)

    def do(held: Claim, check: Check, patiently: Patiently) -> None:
        assert ended.wait(WAIT_S)  # stands in for a decoder that never comes back
        raise Stopping

    room.craft.do = do
    for tries in range(1, 8):
        ended.clear()
        assert room.bench.try_any(), f"only {tries} tries"
    assert not room.bench.try_any()
    assert room.errors(job.id) == ["no progress for 0 s: a file may be damaged"] * 2


def poll_until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        if holds():
            return
        pause.wait(0.02)
    raise AssertionError("it never came")
