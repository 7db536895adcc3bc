"""When a training segment has to stop: told to, out of time, or because others wait."""

from __future__ import annotations

from collections.abc import Callable


class Turn:
    """Asked once after every batch; at least one batch is always done before it ends.

    Parameters
    ----------
    check : callable
        May raise Cancelled or LeaseLost, which nobody below catches.
    should_yield : callable
        Whether interactive work waits.
    budget_s : float
        Seconds that the segment may take, by `clock`, from now.
    """

    def __init__(
        self,
        check: Callable[[], None],
        should_yield: Callable[[], bool],
        budget_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.check = check
        self._should_yield = should_yield
        self._clock = clock
        self._ends_at = clock() + budget_s

    def is_over(self) -> bool:
        """Whether to write a checkpoint now; call it between batches."""
        self.check()
        return self._clock() >= self._ends_at or self._should_yield()
