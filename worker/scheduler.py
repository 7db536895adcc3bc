"""The reconciler: once a second it looks for what was lost, and for nights that begin or end.

Hints are sent from a thread of their own: a broker that hangs must not hold up recovery.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from marrow.catalogue import jobs
from marrow.catalogue.locks import lock_job
from marrow.catalogue.schema import job, worker
from marrow.errors import MarrowError
from marrow.records import Night
from marrow.study import Study
from marrow.windows import opening
from worker.claims import HEARTBEAT_S
from worker.patience import LONGEST_PAUSE_S
from worker.recovery import recover_expired

EVERY_S = 1.0
FORGET_WORKERS_S = 86_400.0
OUTAGE_S = 15.0
"""The scheduler looks each second; after so long without a look, heartbeats were held up too."""
_LOCK_KEY = 0x7363686564
"""PostgreSQL advisory lock of the one scheduler: 'sched' in ASCII."""

log = logging.getLogger(__name__)


class OutageWatch:
    """Whether the heartbeats have had their turn since the catalogue was last away.

    After a lock, a restart or a machine that slept, all leases are old at once, though their
    workers live and may have finished work in hand.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._looked = clock()
        self._patient_until = self._looked

    def may_recover(self) -> bool:
        """Whether an old lease means a dead worker; ask at each look at the catalogue."""
        now = self._clock()
        if now - self._looked > OUTAGE_S:
            self._patient_until = now + HEARTBEAT_S + LONGEST_PAUSE_S
        self._looked = now
        return now >= self._patient_until


def tick(study: Study, may_recover: bool = True) -> None:
    """One look: lost leases, cancelled jobs that nobody holds, nights that are over."""
    if may_recover:
        recover_expired(study)
    with study.database.read() as connection:
        at = study.database.now(connection)
        is_cancelling = job.c.state == "cancelling"
        is_over = job.c.state.in_(("waiting", "running")) & (job.c.closes_at <= at)
        due = connection.execute(select(job.c.id).where(is_cancelling | is_over)).first()
    if due is None:
        return
    with study.database.write() as connection:
        at = study.database.now(connection)
        for job_id in connection.execute(select(job.c.id).where(is_cancelling)).scalars().all():
            lock_job(connection, job_id)
            jobs.close_if_over(connection, at, job_id)
        for row in connection.execute(select(job.c.id, job.c.night).where(is_over)).all():
            opens_at, closes_at = opening(Night.model_validate(row.night), at)
            again = update(job).where(job.c.id == row.id, is_over)
            if connection.execute(again.values(opens_at=opens_at, closes_at=closes_at)).rowcount:
                note = {"text": "waits for the next night"}
                jobs.append_event(connection, at, row.id, "note", note)


def run(study: Study, wake: Callable[[], object], stop: threading.Event) -> None:
    """Look every second until `stop`; a second scheduler waits for the first one's end."""
    while not stop.is_set():
        with _saying_what_fails(), _alone(study, stop) as is_alone:
            _look_after(study, wake, stop, is_alone)
        stop.wait(EVERY_S)


def _look_after(
    study: Study, wake: Callable[[], object], stop: threading.Event, is_alone: Callable[[], bool]
) -> None:
    """Look every second until `stop`, until another scheduler may have taken over, or until
    the waking has ended by an error that nobody foresaw: then both begin anew.
    """
    watch, is_over = OutageWatch(), threading.Event()
    waking = threading.Thread(target=_every_second, args=(wake, is_over), name="wake", daemon=True)
    waking.start()
    try:
        while not stop.is_set() and is_alone() and waking.is_alive():
            with _saying_what_fails():
                tick(study, watch.may_recover())
                _forget_workers(study)
            stop.wait(EVERY_S)
    finally:
        is_over.set()


def _every_second(look: Callable[[], object], is_over: threading.Event) -> None:
    while not is_over.is_set():
        with _saying_what_fails():
            look()
        is_over.wait(EVERY_S)


@contextmanager
def _saying_what_fails() -> Iterator[None]:
    """The scheduler outlives a database that is away, and says so."""
    try:
        yield
    except SQLAlchemyError as error:
        log.warning("The database does not answer (%s)", type(error).__name__)
    except MarrowError as error:
        log.warning("%s", error)


def _forget_workers(study: Study) -> None:
    """Workers that ended without a word, once nobody waits for them any more."""
    with study.database.read() as connection:
        at = study.database.now(connection)
        old = worker.c.seen_at < at - FORGET_WORKERS_S
        if connection.execute(select(worker.c.id).where(old).limit(1)).first() is None:
            return
    with study.database.write() as connection:
        connection.execute(delete(worker).where(old))


@contextmanager
def _alone(study: Study, stop: threading.Event) -> Iterator[Callable[[], bool]]:
    """Wait until this is the only scheduler of the study; gives what tells whether it still is.

    That is False at once when stopped before.
    """
    with _lock_of(study) as is_taken:
        if not is_taken():
            log.info("another scheduler works; this one waits for its end")
            while not is_taken():
                if stop.wait(EVERY_S):
                    break
        yield is_taken


@contextmanager
def _lock_of(study: Study) -> Iterator[Callable[[], bool]]:
    """What takes the lock of the one scheduler, or tells that it is held; given back at the end."""
    if study.database.is_sqlite:
        lock = FileLock(study.settings.home / "scheduler.lock", mode=0o600, blocking=False)

        def is_taken() -> bool:
            if not lock.is_locked:
                with suppress(Timeout):
                    lock.acquire()
            return lock.is_locked

        try:
            yield is_taken
        finally:
            lock.release()
        return
    with study.database.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()  # closed at the end, and not pooled: the lock ends with it
        # Of a lock that the session has, another is had for the asking; and when PostgreSQL was
        # restarted, the question fails and the scheduler queues up again.
        ask = text("SELECT pg_try_advisory_lock(:key)")
        yield lambda: bool(connection.execute(ask, {"key": _LOCK_KEY}).scalar_one())
