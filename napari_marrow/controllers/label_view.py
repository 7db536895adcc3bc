"""What label mode needs of the dock, the canvas and the workbench."""

from __future__ import annotations

from typing import Protocol


class LabellingView(Protocol):
    """What label mode shows and moves."""

    def set_labelling(self, is_on: bool) -> None:
        """Show whether label mode is on, and take its keys or leave them to others."""

    def set_label_words(self, words: str) -> None:
        """What the canvas says of label mode, above all else; empty: nothing."""

    def set_asked(self, head: str | None) -> None:
        """Point out the buttons of the head that is asked, None: of all."""

    def tool(self) -> str:
        """The tool that draws regions just now, `none`: the smear is moved."""

    def draw(self, tool: str) -> None:
        """Let a person draw with `rectangle` or `polygon`, or move the smear with `none`."""

    def show_sheet(self) -> None:
        """Show the contact sheet."""

    def tell(self, words: str, is_warning: bool) -> None:
        """Tell a person something in a sentence."""
