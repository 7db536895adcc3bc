"""One sentence to a person, through napari's own notices."""

from __future__ import annotations

from napari.utils.notifications import show_error, show_info, show_warning


def tell(words: str, is_warning: bool = False) -> None:
    """Say what came of something."""
    (show_warning if is_warning else show_info)(words)


def tell_error(words: str) -> None:
    """Say what went wrong."""
    show_error(words)
