"""A lease is kept while there is progress, and given up when there is none; time is injected."""

from __future__ import annotations

import faulthandler
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError

from marrow.catalogue import jobs
from marrow.catalogue.schema import piece
from marrow.errors import Cancelled, LeaseLost
from marrow.records import Claim, ModelRecord
from marrow.study import Study
from worker import claims
from worker import lease as lease_module
from worker.claims import LEASE_S
from worker.lease import LOOK_EVERY_S, STALLED_S, Lease
from worker.owner import Owner
from worker.recovery import recover_expired

ANNA = Owner("anna", 1, 1.0)
Clock = Any


@pytest.fixture
def study(make_study: Callable[..., Study], clock: Clock) -> Study:
    return make_study(clock=clock)


@pytest.fixture
def held(
    study: Study, add_smears: Callable[..., list[int]], add_model: Callable[..., ModelRecord]
) -> Claim:
    model, ids = add_model(study), add_smears(study, 4)
    with study.database.write() as connection:
        jobs.submit_classify(connection, study.database.now(connection), model, ids)
    held = claims.claim_next(study, ANNA)
    assert held is not None
    return held


class Watched:
    """A lease with a clock of its own, and whom it called stuck."""

    def __init__(self, study: Study, held: Claim, now_s: Clock) -> None:
        self.stuck: list[Claim] = []
        self.lease = Lease(study, held, self.stuck.append, now_s)


@pytest.fixture
def watched(study: Study, held: Claim, clock: Clock) -> Watched:
    return Watched(study, held, clock)


def lease_until(study: Study) -> float | None:
    with study.database.read() as connection:
        return connection.execute(select(piece.c.lease_until)).scalar_one()


def cancel(study: Study, job_id: int) -> None:
    with study.database.write() as connection:
        jobs.cancel(connection, study.database.now(connection), job_id)


@contextmanager
def locked(study: Study, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every transaction fails, as in a database that is locked for longer than anybody waits."""

    @contextmanager
    def refuse() -> Iterator[Connection]:
        raise OperationalError("BEGIN", {}, Exception("database is locked"))
        yield

    with monkeypatch.context() as patch:
        patch.setattr(study.database, "read", refuse)
        patch.setattr(study.database, "write", refuse)
        yield


def test_a_heartbeat_prolongs_the_lease(study: Study, watched: Watched, clock: Clock) -> None:
    clock.forward(10)
    assert watched.lease.beat_once()
    assert lease_until(study) == clock.now + LEASE_S


def test_silence_ends_the_worker_and_progress_does_not(watched: Watched, clock: Clock) -> None:
    clock.forward(STALLED_S)
    watched.lease.check()
    clock.forward(STALLED_S)
    assert watched.lease.beat_once()
    assert watched.stuck == []
    clock.forward(1)
    assert not watched.lease.beat_once()
    assert [one.number for one in watched.stuck] == [0]


def test_waiting_for_the_database_is_no_silence(watched: Watched, clock: Clock) -> None:
    for _ in range(3):
        clock.forward(STALLED_S - 1)
        watched.lease.touch()
        assert watched.lease.beat_once()
    assert watched.stuck == []


def test_a_locked_database_neither_ends_nor_loses_anything(
    study: Study, watched: Watched, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(study, monkeypatch):
        clock.forward(10)
        assert watched.lease.beat_once()
        watched.lease.check()
    clock.forward(10)
    assert watched.lease.beat_once()
    assert lease_until(study) == clock.now + LEASE_S
    watched.lease.check()


def test_a_zombie_learns_that_it_has_lost_its_piece(
    study: Study, watched: Watched, clock: Clock
) -> None:
    clock.forward(2 * LEASE_S)
    recover_expired(study)
    assert watched.lease.beat_once()
    with pytest.raises(LeaseLost, match="Piece 0 of job 1"):
        watched.lease.check()


def test_who_hangs_after_the_loss_of_the_lease_is_ended_too(
    study: Study, watched: Watched, clock: Clock
) -> None:
    clock.forward(2 * LEASE_S)
    recover_expired(study)
    assert watched.lease.beat_once()
    clock.forward(STALLED_S)
    assert not watched.lease.beat_once()
    assert len(watched.stuck) == 1


def test_a_cancel_is_seen_at_the_next_batch(
    study: Study, watched: Watched, held: Claim, clock: Clock
) -> None:
    watched.lease.check()
    cancel(study, held.job_id)
    clock.forward(LOOK_EVERY_S)
    with pytest.raises(Cancelled):
        watched.lease.check()


def test_small_batches_do_not_ask_the_database_each_time(
    watched: Watched, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def is_cancelled(*_: object) -> bool:
        asked.append(clock.now)
        return False

    monkeypatch.setattr(lease_module, "is_cancelled", is_cancelled)
    for _ in range(100):
        watched.lease.check()
        clock.forward(LOOK_EVERY_S / 10)
    assert 9 <= len(asked) <= 11


class Watchdog:
    """Stands in for `faulthandler`: whether a timer is set, and for how long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.timeouts: list[float] = []
        self.is_set = threading.Event()
        monkeypatch.setattr(faulthandler, "dump_traceback_later", self._set)
        monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", self.is_set.clear)

    def _set(self, timeout: float, *, exit: bool, file: int) -> None:
        assert exit
        assert file == 2
        self.timeouts.append(timeout)
        self.is_set.set()


def test_a_watchdog_that_needs_no_thread_is_set_while_the_piece_is_held(
    study: Study, held: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdog = Watchdog(monkeypatch)
    with Lease(study, held, lambda _: None):
        assert watchdog.is_set.wait(10)
    assert not watchdog.is_set.is_set()
    assert watchdog.timeouts[0] == STALLED_S + LEASE_S


def test_the_watchdog_is_patient_while_the_database_holds_up_a_heartbeat(
    study: Study, held: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdog = Watchdog(monkeypatch)
    asked, answer = threading.Event(), threading.Event()

    def renew(*_: object) -> bool:
        asked.set()
        return answer.wait(10)

    monkeypatch.setattr(lease_module, "renew", renew)
    monkeypatch.setattr(lease_module, "HEARTBEAT_S", 0.01)
    with Lease(study, held, lambda _: None):
        assert asked.wait(10)
        assert watchdog.timeouts[-1] == STALLED_S + lease_module.LONGEST_ANSWER_S
        answer.set()
    assert not watchdog.is_set.is_set()
