"""When a child is started again, and when the agent may go: pure decisions on a given time."""

from __future__ import annotations

FIRST_PAUSE_S = 1.0
"""After a second death; the first one is most likely not the child's own doing."""
LONGEST_PAUSE_S = 30.0
SETTLED_S = 60.0
"""A child that has lived so long counts as healthy: its next death is a first one."""


class Restarts:
    """When one child is due: at once, also after its first death; then 1, 2, 4 ... 30 s later."""

    def __init__(self) -> None:
        self._pause_s = 0.0
        self._due_s = float("-inf")
        self._started_s: float | None = None

    def is_due(self, now_s: float) -> bool:
        """Whether a child that does not run should be started now (monotonic seconds)."""
        return now_s >= self._due_s

    def has_started(self, now_s: float) -> None:
        """Note that the child was started."""
        self._started_s = now_s

    def has_died(self, now_s: float) -> float:
        """Note that it ended, or could not be started; the pause in seconds that follows."""
        if self._started_s is not None and now_s - self._started_s >= SETTLED_S:
            self._pause_s = 0.0
        pause_s = self._pause_s
        self._due_s = now_s + pause_s
        self._pause_s = min(max(FIRST_PAUSE_S, 2 * pause_s), LONGEST_PAUSE_S)
        self._started_s = None
        return pause_s


class IdleWatch:
    """Whether nothing has been left to do for so long that the agent may go."""

    def __init__(self, idle_s: float, now_s: float) -> None:
        self._idle_s = idle_s
        self._busy_until_s = now_s

    def is_over(self, is_idle: bool, now_s: float) -> bool:
        """Look at the work now (monotonic seconds); True after `idle_s` without any."""
        if not is_idle:
            self._busy_until_s = now_s
        return now_s - self._busy_until_s >= self._idle_s
