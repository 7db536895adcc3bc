"""The same claims without a broker: where there is none (Windows), or it is gone."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

IDLE_S = 0.5
"""Pause when there was nothing to claim."""

log = logging.getLogger(__name__)


class Claimer(Protocol):
    """What the loop needs of a `worker.work.Bench`."""

    def try_any(self) -> bool:
        """Work on the most urgent piece there is; whether there was one."""


def run(bench: Claimer, stop: threading.Event) -> None:
    """Claim and work until `stop`, looking twice a second when there is nothing to do."""
    while not stop.is_set():
        try:
            found = bench.try_any()
        except SQLAlchemyError as error:
            log.warning("The database does not answer (%s)", type(error).__name__)
            found = False
        if not found:
            stop.wait(IDLE_S)
