"""Waiting for a database that is locked, full or restarting, with the finished work in hand."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

from marrow.catalogue.database import first_line

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0

NO_ANSWER = (OperationalError, InterfaceError)
"""What a database raises that is locked, full, restarting or away."""

Result = TypeVar("Result")

log = logging.getLogger(__name__)


def until_stored(
    store: Callable[[], Result],
    stopping: threading.Event,
    on_wait: Callable[[], None] = lambda: None,
) -> Result:
    """What `store` gives back, tried again while the database cannot take it.

    Each try is a transaction of its own behind the fence: whatever happened meanwhile, its
    effect comes once or not at all.

    Parameters
    ----------
    stopping : Event
        Ends the waiting: the last error is then raised.
    on_wait : callable
        Called before each pause; waiting is no stall.

    Raises
    ------
    LeaseLost
        Passes through: somebody else has the piece by now.
    OperationalError, InterfaceError
        When stopped.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return store()
        except NO_ANSWER as error:
            log.warning("The database takes nothing (%s); trying again", first_line(error))
            on_wait()
            if stopping.wait(pause_s):
                raise
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
