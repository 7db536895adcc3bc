"""What the workbench asks of the panel behind a tab."""

from __future__ import annotations

from typing import Protocol

from qtpy.QtWidgets import QWidget


class Panel(Protocol):
    """A tab of the workbench with all that is behind it."""

    title: str
    """On the tab."""

    @property
    def tab(self) -> QWidget:
        """The widget."""

    def tick(self) -> None:
        """Show what has changed; called five times a second on the main thread."""

    def close(self) -> None:
        """End what runs on other threads."""
