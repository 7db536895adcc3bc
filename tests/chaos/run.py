"""One seed in one machine room: submit, do what the plan says, and account for what came of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import func, select

from marrow.catalogue import jobs
from marrow.catalogue.schema import piece
from tests.chaos import viewer
from tests.chaos.invariants import Account, account
from tests.chaos.plan import Moment, What
from tests.chaos.processes import kill, left_behind
from tests.chaos.rooms import Room
from tests.chaos.stub_agent import ROOT
from tests.chaos.stub_options import module

LOOK_EVERY_S = 0.05
START_S = 60.0
"""Until the first piece of a job is finished, on a machine that does other things too."""


class Deed(NamedTuple):
    """Something that was done, and when the work went on."""

    what: What
    at: float
    """Seconds since 1970, by the database's clock."""
    recovery_s: float | None
    """Until a piece was finished that was begun after it."""
    pause_s: float | None = None
    """The longest time from then to the next deed in which no piece was finished."""


class Result(NamedTuple):
    """What came of a run."""

    deeds: tuple[Deed, ...]
    account: Account
    faults: tuple[str, ...]
    """Of the account, the viewer and the machine room; none when all is well."""
    duration_s: float
    """From submit to the last event."""


class Viewer:
    """A viewer in a process of its own; started again from its last event, or from a snapshot."""

    def __init__(self, room: Room, job_id: int) -> None:
        self._room, self._job_id = room, job_id
        self.file = room.folder / "shown"
        self._starts = 0
        self._process = self._start()

    @property
    def pid(self) -> int | None:
        """None when it has ended."""
        return self._process.pid if self._process.poll() is None else None

    def keep_up(self) -> None:
        """Start it again if it was killed."""
        if self._process.poll() not in {None, 0}:
            self._process = self._start()

    def wait(self, timeout_s: float) -> None:
        """Return when it has shown the job's end; a killed one is first started again."""
        self.keep_up()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        anew = ("--anew",) if self._starts % 2 else ()
        self._starts += 1
        arguments = ("--home", str(self._room.study.settings.home), "--job", str(self._job_id))
        options = self._room.options.arguments()
        command = module("viewer", *arguments, "--shown", str(self.file), *anew, *options)
        with (self._room.folder / "viewer.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, **self._room.viewer_environment()},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


class Run:
    """Watches a job and does what the plan says, one thing at a time.

    Parameters
    ----------
    patience_s : float
        The run is given up when nothing was finished for so long.
    """

    def __init__(self, room: Room, patience_s: float) -> None:
        self._room = room
        self._patience_s = patience_s
        self._deeds: list[Deed] = []
        self._finished: list[float] = []
        self._seq = 0

    def __call__(
        self, ids: Sequence[int], moments: Sequence[Moment], priority: str = "interactive"
    ) -> Result:
        room = self._room
        room.keep_up()
        job = room.client.submit(ids, priority=priority)
        watched = Viewer(room, job.id)
        faults = []
        try:
            left = self._watch(job.id, watched, list(moments))
            if left:
                faults.append(f"the job ended, or stood still, before {len(left)} of the moments")
            watched.wait(self._patience_s)
        finally:
            if watched.pid is not None:
                kill(watched.pid)
            room.close()
        lossy = sum(deed.what in room.loses_with for deed in self._deeds)
        stated = account(room.study.settings.database_url, job.id, lossy)
        faults += [*stated.faults, *self._faults_of_room()]
        faults += viewer.faults_in(viewer.shown_in(watched.file), stated.counts)
        duration_s = max(self._finished, default=job.created_at) - job.created_at
        return Result(self._with_pauses(), stated, tuple(faults), duration_s)

    def _watch(self, job_id: int, watched: Viewer, moments: list[Moment]) -> list[Moment]:
        """Until the job is over and all that was frozen has come back; moments that are left."""
        room = self._room
        progress = time.monotonic() + START_S
        while True:
            room.keep_up()
            watched.keep_up()
            with room.study.database.read() as connection:
                job = jobs.get(connection, job_id)
                news = jobs.events(connection, job_id, self._seq)
            self._seq = news[-1].seq if news else self._seq
            finished = [one.at for one in news if one.kind == "piece"]
            if finished:
                progress = time.monotonic()
                self._finished += finished
            self._note_recovery(job_id)
            if job.is_finished and room.fenced() >= room.freezer.count:
                return moments
            if time.monotonic() - progress > self._patience_s + 2 * room.options.lease_s:
                return moments
            if moments and self._is_due(moments[0]) and self._do(moments[0], watched):
                moments.pop(0)
            time.sleep(LOOK_EVERY_S)

    def _is_due(self, moment: Moment) -> bool:
        has_recovered = not self._deeds or self._deeds[-1].recovery_s is not None
        return len(self._finished) >= moment.after and has_recovered

    def _do(self, moment: Moment, watched: Viewer) -> bool:
        at = self._now()
        if moment.what == "viewer":
            is_done = watched.pid is not None and kill(watched.pid)
        else:
            is_done = self._room.do(moment)
        if is_done:
            self._deeds.append(Deed(moment.what, at, None))
        return is_done

    def _note_recovery(self, job_id: int) -> None:
        if not self._deeds or self._deeds[-1].recovery_s is not None:
            return
        last = self._deeds[-1]
        first = select(func.min(piece.c.finished_at)).where(
            piece.c.job_id == job_id, piece.c.state == "done", piece.c.started_at > last.at
        )
        with self._room.study.database.read() as connection:
            found = connection.execute(first).scalar_one()
        if found is not None:
            self._deeds[-1] = last._replace(recovery_s=found - last.at)

    def _with_pauses(self) -> tuple[Deed, ...]:
        ends = [*(deed.at for deed in self._deeds), float("inf")][1:]
        told = []
        for deed, end in zip(self._deeds, ends, strict=True):
            moments = [deed.at, *sorted(at for at in self._finished if deed.at < at < end)]
            gaps = [later - earlier for earlier, later in pairwise(moments)]
            told.append(deed._replace(pause_s=max(gaps, default=None)))
        return tuple(told)

    def _now(self) -> float:
        with self._room.study.database.read() as connection:
            return self._room.study.database.now(connection)

    def _faults_of_room(self) -> list[str]:
        room, faults = self._room, []
        if room.fenced() < room.freezer.count:
            faults.append(f"{room.freezer.count} zombies, of whom {room.fenced()} were fenced")
        if not room.was_second_refused:
            faults.append("a second agent was not refused")
        left = left_behind(room.folder)
        for process in left:
            process.kill()
        if left:
            faults.append(f"{len(left)} processes were left behind")
        return faults
