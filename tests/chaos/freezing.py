"""Stopping a worker for twice its lease, in the midst of a piece; then it goes on as a zombie."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from marrow.catalogue.schema import job, piece
from marrow.client import Client
from marrow.statefile import is_running
from marrow.study import Study
from worker.owner import Owner

_FREE_S = 1.0
"""Longer than any transaction of the suite."""


class _Frozen(NamedTuple):
    """A worker's piece, and the monotonic seconds before which it stays stopped."""

    job_id: int
    number: int
    until: float


class Freezer:
    """Stops workers and lets them go on.

    Parameters
    ----------
    lease_s : float
        Of a piece; a worker is stopped for twice as long.
    """

    def __init__(self, study: Study, lease_s: float) -> None:
        self._study = study
        self._lease_s = lease_s
        self._frozen: dict[Owner, _Frozen] = {}
        self.count = 0
        """How many were stopped so far."""

    @property
    def pids(self) -> set[int]:
        """Of those that are stopped just now."""
        return {owner.pid for owner in self._frozen}

    def freeze_one(self, which: int) -> bool:
        """Stop a worker that holds a piece; False if there is none just now.

        Never in the midst of a transaction: that would stop the database, not the worker.
        """
        owner = self._stop_holder(which)
        if owner is None:
            return False
        job_id, number = self._pieces_of(owner)[0]
        until = time.monotonic() + 2 * self._lease_s
        self._frozen[owner] = _Frozen(job_id, number, until)
        self.count += 1
        return True

    def kill_one(self, which: int) -> bool:
        """Kill -9 a worker that holds a piece; False if there is none just now."""
        owner = self._stop_holder(which)
        if owner is not None:
            os.kill(owner.pid, signal.SIGKILL)
        return owner is not None

    def thaw_due(self) -> None:
        """Let those go on whose time is over and whose piece another one has.

        While the scheduler itself is dead nobody takes it, and its worker may well finish it.
        """
        for owner, frozen in list(self._frozen.items()):
            if time.monotonic() >= frozen.until and self._is_taken(owner, frozen):
                self._thaw(owner)

    def thaw_all(self) -> None:
        """Let all go on."""
        for owner in list(self._frozen):
            self._thaw(owner)

    def _is_taken(self, owner: Owner, frozen: _Frozen) -> bool:
        """Whether another one has its piece, or nobody is there who would take it."""
        its_piece = piece.c.job_id == frozen.job_id, piece.c.number == frozen.number
        with self._study.database.read() as connection:
            held = connection.execute(select(piece.c.state, piece.c.owner).where(*its_piece)).one()
        if held.state == "new":
            return time.monotonic() >= frozen.until + self._lease_s
        return bool(held.state != "running" or held.owner != owner.id)

    def _stop_holder(self, which: int) -> Owner | None:
        owner = self._holder(which)
        if owner is None or not is_running(owner.pid, owner.started):
            return None
        os.kill(owner.pid, signal.SIGSTOP)
        if self._pieces_of(owner) and _is_writable(self._study):
            return owner
        os.kill(owner.pid, signal.SIGCONT)
        return None

    def _thaw(self, owner: Owner) -> None:
        del self._frozen[owner]
        if is_running(owner.pid, owner.started):
            os.kill(owner.pid, signal.SIGCONT)

    def _holder(self, which: int) -> Owner | None:
        held_by = select(piece.c.owner).where(piece.c.state == "running").distinct()
        with self._study.database.read() as connection:
            owners = sorted(connection.execute(held_by).scalars())
        awake = [one for one in map(Owner.from_id, owners) if one not in self._frozen]
        return awake[which % len(awake)] if awake else None

    def _pieces_of(self, owner: Owner) -> list[tuple[int, int]]:
        """Job and number of each piece that the worker has in hand."""
        held = select(piece.c.job_id, piece.c.number).where(
            piece.c.state == "running", piece.c.owner == owner.id
        )
        with self._study.database.read() as connection:
            return [tuple(row) for row in connection.execute(held)]


def live_workers(client: Client) -> list[int]:
    """Pids of the workers that are announced and run: each holds its seat."""
    known = [Owner.from_id(record.id) for record in client.workers()]
    return sorted(one.pid for one in known if is_running(one.pid, one.started))


def _is_writable(study: Study) -> bool:
    """Whether nobody holds on to the database, or to a job in it, for a second."""
    if study.database.is_sqlite:
        file = study.database.engine.url.database
        connection = sqlite3.connect(str(file), timeout=_FREE_S, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()
        return True
    try:
        with study.database.write() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = {int(_FREE_S * 1000)}"))
            connection.execute(select(job.c.id).with_for_update())
    except OperationalError:
        return False
    return True
