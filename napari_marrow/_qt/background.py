"""A worker thread per lane, and the way back to the main thread through a Qt signal."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, get_args

from qtpy.QtCore import QObject, Signal
from sqlalchemy.exc import SQLAlchemyError

from marrow.errors import MarrowError
from napari_marrow.background import Lane

_log = logging.getLogger(__name__)

SWITCH_S = 0.001
"""After so long a thread lets another one have the interpreter. With Python's 5 ms the GUI thread
waits for up to 5 ms at each of its steps while a page of a table is made ready."""


@dataclass(frozen=True)
class _Answer:
    topic: str | None
    ticket: int
    then: Callable[[Any], None]
    failed: Callable[[], None] | None
    value: Any = None
    error: str | None = None


class QtBackground(QObject):
    """A `Background` for a Qt program.

    Parameters
    ----------
    tell_person : callable
        Shows one sentence about what went wrong; called on the main thread.
    """

    _answered = Signal(object)

    def __init__(self, tell_person: Callable[[str], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tell_person = tell_person
        self._tickets: dict[str, int] = {}
        self._counter = itertools.count(1)
        self._is_closed = False
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        self._lanes = {
            lane: ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"marrow-{lane}")
            for lane in get_args(Lane)
        }
        self._answered.connect(self._on_answered)

    def ask(
        self,
        topic: str,
        question: Callable[[], Any],
        then: Callable[[Any], None],
        *,
        lane: Lane = "catalogue",
        failed: Callable[[], None] | None = None,
    ) -> None:
        """See `Background.ask`."""
        ticket = next(self._counter)
        self._tickets[topic] = ticket
        self._send(question, _Answer(topic, ticket, then, failed), lane)

    def tell(
        self,
        errand: Callable[[], Any],
        then: Callable[[Any], None],
        *,
        lane: Lane = "catalogue",
        failed: Callable[[], None] | None = None,
    ) -> None:
        """See `Background.tell`."""
        self._send(errand, _Answer(None, next(self._counter), then, failed), lane)

    def close(self) -> None:
        """Ask no more and deliver no more; what has begun is finished on its thread.

        Labels on their way to the disk get there first.
        """
        self._lanes["journal"].shutdown(wait=True)
        self._is_closed = True
        sys.setswitchinterval(self._switch_s)
        for lane in self._lanes.values():
            lane.shutdown(wait=False, cancel_futures=True)

    def _send(self, work: Callable[[], Any], blank: _Answer, lane: Lane) -> None:
        if not self._is_closed:
            self._lanes[lane].submit(self._work, work, blank)

    def _is_old(self, answer: _Answer) -> bool:
        return answer.topic is not None and self._tickets[answer.topic] != answer.ticket

    def _work(self, work: Callable[[], Any], blank: _Answer) -> None:
        """On a lane's thread."""
        if self._is_closed or self._is_old(blank):
            return
        value, error = None, None
        try:
            value = work()
        except MarrowError as refused:
            error = str(refused)
        except SQLAlchemyError as broken:
            _log.exception("the catalogue failed")
            reason = getattr(broken, "orig", None) or type(broken).__name__
            error = f"The study's database failed: {str(reason).splitlines()[0]}"
        except Exception as unexpected:  # noqa: BLE001
            # The boundary to a person: the cause goes to the log, one sentence to the screen.
            _log.exception("an errand of the viewer failed")
            error = f"This did not work: {type(unexpected).__name__}: {unexpected}"
        answer = _Answer(blank.topic, blank.ticket, blank.then, blank.failed, value, error)
        with suppress(RuntimeError):  # the window was closed and this object deleted
            self._answered.emit(answer)

    def _on_answered(self, answer: _Answer) -> None:
        """On the main thread."""
        if self._is_closed or self._is_old(answer):
            return
        if answer.error is not None:
            self._tell_person(answer.error)
            if answer.failed is not None:
                answer.failed()
            return
        answer.then(answer.value)
