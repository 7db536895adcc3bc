"""How far a long piece of work has come, in napari's activity dock."""

from __future__ import annotations

from napari.utils import progress


class Activity:
    """One bar, shown while something is being done.

    Parameters
    ----------
    what : str
        Beside the bar.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: progress | None = None

    def show(self, done: int, total: int) -> None:
        """Show how far it has come; total 0: it is over. Main thread only."""
        if total <= 0:
            self.close()
            return
        if self._bar is None or self._bar.total != total:
            self.close()
            self._bar = progress(total=total, desc=self._what)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
