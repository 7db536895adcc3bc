"""Working on a claimed piece, whoever brought it: a Celery message or the polling loop."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from sqlalchemy.exc import SQLAlchemyError

from marrow.errors import Cancelled, LeaseLost, MarrowError
from marrow.records import Claim, JobKind
from marrow.study import Study
from worker import claims
from worker.lease import STALLED_S, Lease, exit_stuck
from worker.logs import working_on
from worker.owner import Owner
from worker.patience import NO_ANSWER, until_stored

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
TROUBLE_PAUSE_S = 30.0
"""Until a worker tries again whose disk is full, or that does not see the store."""

Check = Callable[[], None]
"""Called between batches; raises Cancelled, LeaseLost or Stopping."""
Patiently = Callable[[Callable[[], None]], None]
"""Stores something in the catalogue, however long that takes (`worker.patience`)."""

log = logging.getLogger(__name__)


class Stopping(Exception):
    """This worker was asked to stop; the piece goes back to the ledger."""


class HostTrouble(Exception):
    """Why this host cannot work just now, for a person; the piece waits, and nothing is counted."""


def require_in_sight(store: Path, path: str) -> None:
    """Raise HostTrouble where this host does not see the store: it is not mounted, say.

    What is missing from a store that is there is an error of the piece; but a host without its
    store would end a night's work in seconds, smear by smear, while others could do it.

    Parameters
    ----------
    path : str
        Posix path below the store of what is wanted.
    """
    folder = store / PurePosixPath(path).parts[0]
    if not folder.is_dir():
        raise HostTrouble(f"{folder} is not there: mount the store; the work waits")


class Craft(Protocol):
    """How pieces of one kind are worked on."""

    def work(self, held: Claim, check: Check, patiently: Patiently) -> None:
        """Do what the piece asks for, and store what came of it."""


class Equipment(NamedTuple):
    """What a worker works with."""

    crafts: Mapping[JobKind, Craft]
    device: str
    """For people: the graphics card's name, or `cpu`."""
    device_errors: tuple[type[Exception], ...] = ()
    """Errors of the accelerator itself, which every later call would repeat."""


class Bench:
    """One worker's place: claims pieces and sees to it that each ends in order.

    Parameters
    ----------
    stopping : Event
        Set it, and the piece in hand ends at its next batch: a training segment with a
        checkpoint, a classification by going back.
    exit_worker : callable
        Ends this process, whose supervisor starts another: after an error of the accelerator,
        and when a piece makes no progress.
    stalled_s : float
        How long a piece may be silent.
    """

    def __init__(
        self,
        study: Study,
        owner: Owner,
        equipment: Equipment,
        stopping: threading.Event,
        exit_worker: Callable[[], None] = exit_stuck,
        stalled_s: float = STALLED_S,
    ) -> None:
        self._study = study
        self._owner = owner
        self._equipment = equipment
        self._stopping = stopping
        self._exit_worker = exit_worker
        self._stalled_s = stalled_s

    def try_piece(self, job_id: int, number: int) -> bool:
        """Work on this piece if it is to be had; whether it was."""
        return self._work(lambda: claims.claim(self._study, self._owner, job_id, number))

    def try_any(self) -> bool:
        """Work on the most urgent piece there is; whether there was one."""
        return self._work(lambda: claims.claim_next(self._study, self._owner))

    def _work(self, claim: Callable[[], Claim | None]) -> bool:
        """The boundary of a task: nothing that happens to a piece ends the worker."""
        try:
            held = None if self._stopping.is_set() else claim()
            if held is None:
                return False
            with working_on(held):
                log.info("claimed")
                self._hold(held)
        except SQLAlchemyError as error:
            # Whatever was in hand comes back to the ledger when its lease runs out.
            log.warning("The database does not answer (%s)", type(error).__name__)
            return False
        return True

    def _hold(self, held: Claim) -> None:
        lease = Lease(self._study, held, self._on_stuck, stalled_s=self._stalled_s)

        def patiently(store: Callable[[], None]) -> None:
            until_stored(store, self._stopping, on_wait=lease.touch)

        with lease:
            try:
                self._work_or_give_back(held, lease, patiently)
            except LeaseLost:
                log.warning("lost: another worker has it")

    def _work_or_give_back(self, held: Claim, lease: Lease, patiently: Patiently) -> None:
        def check() -> None:
            # A training segment ends by itself, with a checkpoint.
            if held.kind == "classify" and self._stopping.is_set():
                raise Stopping
            lease.check()

        try:
            self._equipment.crafts[held.kind].work(held, check, patiently)
            log.info("finished")
        except (LeaseLost, *NO_ANSWER):
            raise
        except Stopping:
            claims.put_back(self._study, held)
            log.info("put back: this worker stops")
        except HostTrouble as trouble:
            self._wait_out(held, str(trouble), patiently)
        except Cancelled:
            patiently(lambda: claims.confirm_cancel(self._study, held))
            log.info("cancelled")
        except MarrowError as error:
            reason = str(error)
            patiently(lambda: claims.refuse(self._study, held, reason))
            log.warning("refused: %s", type(error).__name__)
        except Exception as error:
            # Whatever a decoder, a driver or torch raised: the ledger decides what comes of it.
            log.exception("failed")
            self._after_exception(held, error, patiently)

    def _after_exception(self, held: Claim, error: Exception, patiently: Patiently) -> None:
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            trouble = "the disk is full; the work waits until there is space"
            self._wait_out(held, trouble, patiently)
            return
        reason = f"{type(error).__name__} in the worker (its log)"
        try:
            patiently(lambda: claims.give_back(self._study, held, reason))
        finally:
            if isinstance(error, self._equipment.device_errors):
                self._exit_worker()

    def _wait_out(self, held: Claim, trouble: str, patiently: Patiently) -> None:
        note = f"{self._owner.host}: {trouble}"
        patiently(lambda: claims.put_back(self._study, held, note))
        log.warning("put back: this host cannot work just now; its job has a note")
        self._stopping.wait(TROUBLE_PAUSE_S)

    def _on_stuck(self, held: Claim) -> None:
        """Called by the heartbeat: a thread that hangs in a decoder cannot be stopped."""
        try:
            reason = f"no progress for {self._stalled_s:.0f} s: a file may be damaged"
            claims.give_back(self._study, held, reason)
        except (LeaseLost, SQLAlchemyError) as error:
            log.warning("The stuck piece is not given back (%s)", type(error).__name__)
        self._exit_worker()
