"""A process-wide budget for decoded pixels: decoding waits here until there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt

from marrow.images.boundary import TooLarge
from marrow.images.limits import BUDGET_BYTES, MEGA


class Budget:
    """Bytes of pixels that may be in flight at one time, and images kept while there is room.

    Two kinds of bytes count: those reserved by a decoder at work, which must be waited for, and
    those of whole images kept for the next window, which are given up (least recently used
    first) as soon as a decoder needs the room. A reservation is never held while another is
    asked for, so waiting always ends.

    Parameters
    ----------
    limit_bytes : int
        The most that all of them may take together.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._reserved = 0
        self._kept: OrderedDict[object, npt.NDArray[Any]] = OrderedDict()
        self._changed = threading.Condition()

    @property
    def used_bytes(self) -> int:
        """Bytes reserved and kept just now."""
        with self._changed:
            return self._used()

    @contextmanager
    def reserve(self, nbytes: int, timeout_s: float = 120.0) -> Iterator[None]:
        """Hold `nbytes` for the length of the block; wait until there is room.

        Raises
        ------
        TooLarge
            If `nbytes` is more than the whole budget: waiting would never end.
        MemoryError
            If there is no room for `timeout_s` seconds.
        """
        self.check(nbytes)
        with self._changed:
            if not self._changed.wait_for(lambda: self._make_room(nbytes), timeout_s):
                raise MemoryError(f"no room for {nbytes / MEGA:.0f} MB within {timeout_s:.0f} s")
            self._reserved += nbytes
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= nbytes
                self._changed.notify_all()

    def check(self, nbytes: int) -> None:
        """Refuse at once what no waiting could ever grant.

        Raises
        ------
        TooLarge
            If `nbytes` is more than the whole budget.
        """
        if nbytes > self.limit_bytes:
            raise TooLarge(
                f"asks for {nbytes / MEGA:.0f} MB of pixels at once; "
                f"{self.limit_bytes / MEGA:.0f} MB are allowed"
            )

    def keep(self, key: object, pixels: npt.NDArray[Any]) -> None:
        """Keep decoded pixels for later windows, if there is room beside what is in flight."""
        with self._changed:
            self._kept.pop(key, None)
            if self._make_room(pixels.nbytes):
                self._kept[key] = pixels

    def kept(self, key: object) -> npt.NDArray[Any] | None:
        """Return what was kept under `key`, or None if it was given up meanwhile."""
        with self._changed:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def drop(self, key: object) -> None:
        """Give up what was kept under `key`."""
        with self._changed:
            self._kept.pop(key, None)
            self._changed.notify_all()

    def _used(self) -> int:
        return self._reserved + sum(pixels.nbytes for pixels in self._kept.values())

    def _make_room(self, nbytes: int) -> bool:
        if self._reserved + nbytes > self.limit_bytes:
            return False
        while self._used() + nbytes > self.limit_bytes:
            self._kept.popitem(last=False)
        return True


PIXELS_IN_FLIGHT: Budget = Budget(BUDGET_BYTES)
