"""One sentence to a person, through napari's own notices.

A notice is a window of its own that takes napari some 10 ms to make (60 ms were seen), so it is
made after the slot that asked for it, in the event loop's next round.
"""

from __future__ import annotations

from functools import partial

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QTimer


def tell(words: str, is_warning: bool = False) -> None:
    """Say what came of something."""
    QTimer.singleShot(0, partial(show_warning if is_warning else show_info, words))


def tell_error(words: str) -> None:
    """Say what went wrong."""
    QTimer.singleShot(0, partial(show_error, words))
