"""The same claims without a broker: where there is none (Windows), or it is gone."""

from __future__ import annotations

import threading
from typing import Protocol

IDLE_S = 0.5
"""Pause when there was nothing to claim."""


class Claimer(Protocol):
    """What the loop needs of a `worker.work.Bench`."""

    def try_any(self) -> bool:
        """Work on the most urgent piece there is; whether there was one."""


def run(bench: Claimer, stop: threading.Event) -> None:
    """Claim and work until `stop`, looking twice a second when there is nothing to do."""
    while not stop.is_set():
        if not bench.try_any():
            stop.wait(IDLE_S)
