"""A slow clock on the main thread: what changed meanwhile is shown in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QObject, QTimer

INTERVAL_MS = 200
"""Five times a second: as fast as a person reads, and seldom enough for a docked repaint."""


class Ticker(QObject):
    """Calls each of `ticks` five times a second, in turn: each is a slot of its own.

    Parameters
    ----------
    ticks : sequence of callables
        Each takes a few ms at most.
    """

    def __init__(self, ticks: Sequence[Callable[[], None]], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._ticks = tuple(ticks)
        self._next = 0
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS // len(self._ticks))
        self._timer.timeout.connect(self._on_timer_timeout)

    def start(self) -> None:
        """Begin."""
        self._timer.start()

    def stop(self) -> None:
        """End."""
        self._timer.stop()

    def _on_timer_timeout(self) -> None:
        tick = self._ticks[self._next]
        self._next = (self._next + 1) % len(self._ticks)
        tick()
