"""The reconciler: once a second it looks for what was lost, and for nights that begin or end.

Hints are sent from a thread of their own: a broker that hangs must not hold up recovery.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from marrow.catalogue import jobs
from marrow.catalogue.schema import job, worker
from marrow.errors import MarrowError
from marrow.records import Night
from marrow.study import Study
from marrow.windows import opening
from worker.recovery import recover_expired

EVERY_S = 1.0
FORGET_WORKERS_S = 7 * 86_400.0
_LOCK_KEY = 0x7363686564
"""PostgreSQL advisory lock of the one scheduler: 'sched' in ASCII."""

log = logging.getLogger(__name__)


def tick(study: Study) -> None:
    """One look: lost leases, cancelled jobs that nobody holds, nights that are over."""
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
            jobs.close_if_over(connection, at, job_id)
        for row in connection.execute(select(job.c.id, job.c.night).where(is_over)).all():
            opens_at, closes_at = opening(Night.model_validate(row.night), at)
            again = update(job).where(job.c.id == row.id, is_over)
            if connection.execute(again.values(opens_at=opens_at, closes_at=closes_at)).rowcount:
                note = {"text": "waits for the next night"}
                jobs.append_event(connection, at, row.id, "note", note)


def run(study: Study, wake: Callable[[], object], stop: threading.Event) -> None:
    """Look every second until `stop`; a second scheduler waits for the first one's end."""
    with _alone(study, stop) as is_alone:
        if not is_alone:
            return
        _forget_workers(study)
        waking = threading.Thread(target=_every_second, args=(wake, stop), name="wake", daemon=True)
        waking.start()
        _every_second(lambda: tick(study), stop)


def _every_second(look: Callable[[], object], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            look()
        except SQLAlchemyError as error:
            log.warning("The database does not answer (%s)", type(error).__name__)
        except MarrowError as error:
            log.warning("%s", error)
        stop.wait(EVERY_S)


def _forget_workers(study: Study) -> None:
    with study.database.write() as connection:
        at = study.database.now(connection)
        connection.execute(delete(worker).where(worker.c.seen_at < at - FORGET_WORKERS_S))


@contextmanager
def _alone(study: Study, stop: threading.Event) -> Iterator[bool]:
    """Wait until this is the only scheduler of the study; False if stopped before that."""
    with _lock_of(study) as is_taken:
        if not is_taken():
            log.info("another scheduler works; this one waits for its end")
            while not is_taken():
                if stop.wait(EVERY_S):
                    yield False
                    return
        yield True


@contextmanager
def _lock_of(study: Study) -> Iterator[Callable[[], bool]]:
    """Something that tries to take the lock of the one scheduler; given back at the end."""
    if study.database.is_sqlite:
        lock = FileLock(study.settings.home / "scheduler.lock", mode=0o600, blocking=False)

        def is_taken() -> bool:
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
        ask = text("SELECT pg_try_advisory_lock(:key)")
        yield lambda: bool(connection.execute(ask, {"key": _LOCK_KEY}).scalar_one())
