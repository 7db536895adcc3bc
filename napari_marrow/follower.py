"""One thread that follows the results of a study and leaves them where the GUI picks them up."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from marrow.catalogue.database import first_line
from marrow.errors import MarrowError
from napari_marrow.desk import Desk
from napari_marrow.desks.results import Mark, View
from napari_marrow.lines.results import ResultLine

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
"""As often as the table is drawn."""
IDLE_LOOK_EVERY_S = 1.0
"""While nothing runs: another viewer may have submitted something."""
MOST_LINES = 60
"""Rows that are made ready per look; of more than fit on a screen only the number is told."""
MOST_NEWS = 10
"""While so much waits to be picked up, nothing more is looked for."""


@dataclass(frozen=True)
class Arrived:
    """Results that have come."""

    ticket: int
    """Of the view that they belong to."""
    mark: Mark
    """How many there are with them."""
    count: int
    """New predictions; 0 where only errors came."""
    lines: tuple[ResultLine, ...] = ()
    """The newest of them, the newest first; none where their places are not known."""


@dataclass(frozen=True)
class JobEnded:
    """Left in the deque behind the last row of a job."""

    job_id: int


@dataclass(frozen=True)
class ContactLost:
    """The catalogue does not answer; it is asked again."""

    reason: str


@dataclass(frozen=True)
class ContactRestored:
    """The catalogue answers again; nothing that came meanwhile is lost."""


def newest_lines(arrived: Sequence[Arrived]) -> list[ResultLine]:
    """The lines that lie on top of all that arrived, oldest first, without a gap."""
    lines: list[ResultLine] = []
    for one in reversed(arrived):
        lines += one.lines
        if len(one.lines) < one.count:
            break
    return lines


News = Arrived | JobEnded | ContactLost | ContactRestored


@dataclass(frozen=True)
class _Watched:
    ticket: int
    view: View
    mark: Mark


class Follower:
    """Follows all jobs of a study on one thread.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._watched: _Watched | None = None
        self._thread: threading.Thread | None = None
        self.news: deque[News] = deque()
        """Appended to by the thread, emptied by the main thread; a deque needs no lock."""

    def watch(self, ticket: int, view: View, mark: Mark) -> None:
        """Tell from now on what comes to this view after this mark; main thread only."""
        self._watched = _Watched(ticket, view, mark)
        if self._thread is None and not self._stop.is_set():
            self._thread = threading.Thread(target=self._run, name="follow-results", daemon=True)
            self._thread.start()
        self._wake.set()

    def take(self) -> list[News]:
        """All news, oldest first."""
        taken: list[News] = []
        while self.news:
            taken.append(self.news.popleft())
        return taken

    def stop(self) -> None:
        """Ask the thread to end, and wait for nothing: the caller draws. The jobs go on."""
        self._stop.set()
        self._wake.set()

    def _run(self) -> None:
        running: frozenset[int] = frozenset()
        told: _Watched | None = None
        is_lost = False
        while not self._stop.is_set():
            watched = self._watched
            if watched is None or len(self.news) >= MOST_NEWS:
                self._rest(LOOK_EVERY_S)
                continue
            # The view may have been replaced meanwhile; else it goes on from what was told.
            if told is not None and told.ticket == watched.ticket:
                watched = told
            try:
                look = self._desk.results.look(watched.view, watched.mark, MOST_LINES)
            except (MarrowError, SQLAlchemyError) as error:
                if not is_lost:
                    _log.exception("the results are not followed for a while")
                    self.news.append(ContactLost(_words(error)))
                is_lost = True
                self._rest(IDLE_LOOK_EVERY_S)
                continue
            if is_lost:
                self.news.append(ContactRestored())
                is_lost = False
            if look.mark != watched.mark:
                self.news.append(Arrived(watched.ticket, look.mark, look.count, look.lines))
            told = replace(watched, mark=look.mark)
            self.news.extend(JobEnded(job_id) for job_id in sorted(running - look.running))
            running = look.running
            self._rest(LOOK_EVERY_S if running else IDLE_LOOK_EVERY_S)

    def _rest(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()


def _words(error: MarrowError | SQLAlchemyError) -> str:
    if isinstance(error, MarrowError):
        return str(error)
    reason = first_line(error) if isinstance(error, DBAPIError) else type(error).__name__
    return f"The study's database does not answer: {reason}."
