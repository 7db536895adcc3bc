"""One worker at a time per graphics card, and a second one that is ready to follow it.

Loading torch takes seconds. So the agent starts two workers for each seat: one has it and
works, the other has loaded everything and waits. The operating system gives the seat on at the
moment in which its owner dies, however it dies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

LOOK_EVERY_S = 0.05


@contextmanager
def seated(seat: Path | None) -> Iterator[None]:
    """Wait for the seat, and hold it; None: there is no other worker to wait for."""
    if seat is None:
        yield
        return
    with FileLock(seat, mode=0o600).acquire(poll_interval=LOOK_EVERY_S):
        yield
