"""Threads that follow running jobs and leave finished rows where the GUI picks them up."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from marrow.errors import MarrowError
from napari_marrow.desk import Desk
from napari_marrow.lines.results import ResultLine

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobEnded:
    """Left in the deque behind the last row of a job."""

    job_id: int


@dataclass(frozen=True)
class FollowFailed:
    """Following broke off; the job itself goes on."""

    job_id: int
    reason: str


@dataclass(frozen=True)
class Arrived:
    """A row of a job."""

    job_id: int
    line: ResultLine


News = Arrived | JobEnded | FollowFailed


class Follower:
    """Follows jobs, one thread each; `news` fills from those threads.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._stop = threading.Event()
        self._threads: dict[int, threading.Thread] = {}
        self.news: deque[News] = deque()
        """Appended to by the threads, emptied by the main thread; a deque needs no lock."""

    @property
    def followed(self) -> frozenset[int]:
        """Jobs that are followed now."""
        return frozenset(job for job, thread in self._threads.items() if thread.is_alive())

    def follow(self, job_id: int) -> None:
        """Follow a job from its first event on; one that is followed stays so."""
        if job_id in self.followed or self._stop.is_set():
            return
        thread = threading.Thread(
            target=self._run, args=(job_id,), name=f"follow-job-{job_id}", daemon=True
        )
        self._threads[job_id] = thread
        thread.start()

    def take(self, limit: int) -> list[News]:
        """Up to `limit` pieces of news, oldest first."""
        taken: list[News] = []
        while self.news and len(taken) < limit:
            taken.append(self.news.popleft())
        return taken

    def stop(self) -> None:
        """Ask all threads to end, and wait for none: the caller draws. The jobs go on."""
        self._stop.set()

    def _run(self, job_id: int) -> None:
        try:
            for event in self._desk.results.follow(job_id, self._stop):
                if event.kind == "piece" and "piece" in event.payload:
                    for line in self._desk.results.lines_of_piece(job_id, event.payload["piece"]):
                        self.news.append(Arrived(job_id, line))
        except (MarrowError, SQLAlchemyError) as error:
            _log.exception("following job %s broke off", job_id)
            reason = str(error) if isinstance(error, MarrowError) else "the database failed"
            self.news.append(FollowFailed(job_id, reason))
            return
        if not self._stop.is_set():
            self.news.append(JobEnded(job_id))
