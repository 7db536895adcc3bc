"""Holding a piece: a heartbeat renews the lease as long as there is progress."""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from marrow.errors import Cancelled, LeaseLost
from marrow.records import Claim
from marrow.study import Study
from worker.claims import HEARTBEAT_S, LEASE_S, is_cancelled, renew

STALLED_S = 120.0
"""Without progress for so long the lease is no longer renewed: a decoder hangs."""
LOOK_EVERY_S = 0.2
"""How often `check` asks the database for a cancel, however small the batches."""
STUCK_EXIT = 75
"""Exit code of a worker that ends itself because a piece hangs; its supervisor starts anew."""
LONGEST_ANSWER_S = 600.0
"""Of a database that is asked for a heartbeat; SQLite gives up after 30 s."""
_STDERR = 2
"""The log of a worker, whatever `sys.stderr` has become."""

log = logging.getLogger(__name__)


def exit_stuck() -> None:
    """End this process at once, so that its supervisor starts a new one."""
    os._exit(STUCK_EXIT)


def _watch(timeout_s: float) -> None:
    """Let the process end unless this is called again, or the watchdog is sent home, in time."""
    faulthandler.dump_traceback_later(timeout_s, exit=True, file=_STDERR)


class Lease:
    """A claim that is being worked on; `check()` between batches counts as progress.

    Parameters
    ----------
    clock : callable
        Monotonic seconds.
    on_stuck : callable
        Called from the heartbeat's thread when the piece has made no progress for `stalled_s`;
        it should end the process, because a thread that hangs in a decoder cannot be stopped.
    stalled_s : float
        How long a piece may be silent.
    """

    def __init__(
        self,
        study: Study,
        held: Claim,
        on_stuck: Callable[[Claim], None],
        clock: Callable[[], float] = time.monotonic,
        stalled_s: float = STALLED_S,
    ) -> None:
        self._study = study
        self._held = held
        self._clock = clock
        self._on_stuck = on_stuck
        self._stalled_s = stalled_s
        self._progress = clock()
        self._looked = float("-inf")
        self._is_lost = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join(timeout=HEARTBEAT_S)
        faulthandler.cancel_dump_traceback_later()

    def check(self) -> None:
        """To be called between batches.

        Raises
        ------
        Cancelled
            If somebody asked for the job to stop.
        LeaseLost
            If the piece belongs to another worker by now.
        """
        self.touch()
        if self._is_lost:
            raise LeaseLost(f"Piece {self._held.number} of job {self._held.job_id} is lost")
        if self._progress - self._looked < LOOK_EVERY_S:
            return
        self._looked = self._progress
        try:
            must_stop = is_cancelled(self._study, self._held)
        except SQLAlchemyError as error:
            log.warning("No look for a cancel (%s)", type(error).__name__)
            return
        if must_stop:
            raise Cancelled(f"Job {self._held.job_id} is being cancelled")

    def touch(self) -> None:
        """Note that there is progress."""
        self._progress = self._clock()

    def beat_once(self) -> bool:
        """One heartbeat; False when this worker had to be ended.

        A lease that is lost is renewed no more, but a thread may hang after that, too.
        """
        stalled_s = self._clock() - self._progress
        if stalled_s > self._stalled_s:
            log.error("No progress for %.0f s: this worker ends itself", stalled_s)
            self._on_stuck(self._held)
            return False
        if self._is_lost:
            return True
        try:
            self._is_lost = not renew(self._study, self._held)
        except SQLAlchemyError as error:
            # The database may be back before the lease runs out; if not, the fence decides.
            log.warning("A heartbeat failed (%s)", type(error).__name__)
        return True

    def _beat(self) -> None:
        """Beat until the piece has ended.

        A decoder that hangs may hold Python's lock, and then this thread never wakes. So a
        watchdog that needs no lock ends the process. There is one in a process: after the end of
        its piece this thread leaves it to the next one.
        """
        while not self._done.is_set():
            _watch(self._stalled_s + LEASE_S)
            is_over = self._done.wait(min(HEARTBEAT_S, self._stalled_s / 2))
            # A heartbeat that has to wait for the database is no hang; but it ends, too.
            _watch(self._stalled_s + LONGEST_ANSWER_S)
            if is_over or not self.beat_once():
                break
