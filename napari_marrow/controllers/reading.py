"""The Consensus tab: blind reading, disagreements, and the answers that count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from marrow.schemes import Head
from napari_marrow.background import Background
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.desks.reading import History, ReadingState
from napari_marrow.lines.labelling import answer_keys
from napari_marrow.lines.reading import DisagreementLine
from napari_marrow.session import Session

TICKS_PER_LOOK = 10
"""Every two seconds while somebody looks: another reader may have labelled."""
TICKS_PER_BLIND_LOOK = 25
"""Every five seconds, whoever looks: blind reading that begins elsewhere hides things here."""


class ReadingView(Protocol):
    """Readers, figures, disagreements and one smear's history."""

    def set_heads(self, heads: Sequence[Head]) -> None:
        """Begin anew with these heads."""

    def set_state(self, state: ReadingState) -> None:
        """Show this; the selected smear stays selected where it is still listed."""

    def set_history(self, history: History | None) -> None:
        """Show what was ever said of a smear, None: of no smear."""

    def advance(self, after: DisagreementLine) -> None:
        """Select the row below this one, if it is still the selected one."""

    def is_looked_at(self) -> bool:
        """Whether the tab is on the screen."""

    def tell(self, words: str, is_warning: bool) -> None:
        """Tell a person what came of something, in a sentence."""


class ReadingController:
    """Shows what the readers say once they may see it of each other.

    Parameters
    ----------
    session : Session
    background : Background
    view : ReadingView
    smear : SmearController
        Opens the smear of a row.
    """

    def __init__(
        self, session: Session, background: Background, view: ReadingView, smear: SmearController
    ) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._smear = smear
        self._ticks = 0
        self._state: ReadingState | None = None
        self._is_asking = False
        self._history: int | None = None
        session.events.desk.connect(self._on_desk)
        session.events.reader.connect(self._on_reader)

    def tick(self) -> None:
        """Look now and then; called five times a second on the main thread."""
        self._ticks += 1
        if self._ticks % TICKS_PER_BLIND_LOOK == 0:
            self._look_who_is_blind()
        is_due = self._state is None or self._ticks % TICKS_PER_LOOK == 0
        if is_due and not self._is_asking and self._view.is_looked_at():
            self.look()

    def look(self) -> None:
        """Read what has changed."""
        desk, reader, state = self._session.desk, self._session.reader, self._state
        if desk is None:
            return
        known = None if state is None else state.stamp
        self._is_asking = True
        self._background.ask(
            "reading",
            lambda: desk.reading.look(reader, known),
            lambda found: self._on_state(reader, found),
            lane="counts",  # a bootstrap: no label and no page waits behind it
            failed=self._on_failed,
        )

    def set_blind(self, names: Sequence[str]) -> None:
        """Let these read blind; none: open the study to everybody."""
        desk, wanted = self._session.desk, tuple(names)
        if desk is not None:
            self._background.tell(lambda: desk.reading.set_blind(wanted), self._on_blind_set)

    def open(self, line: DisagreementLine) -> None:
        """Show a smear; its model's answer only where it is asked for, see `show_answer`."""
        self._smear.open(line.smear_id)

    def show_answer(self) -> None:
        """Show the newest model's answer to the smear on the canvas, where it may be seen."""
        self._smear.toggle_heatmap()

    def press(self, key: str, line: DisagreementLine | None) -> None:
        """Do what a key of label mode says here: a digit decides, undo takes it back."""
        desk = self._session.desk
        if key == "heatmap":
            self.show_answer()
        elif desk is not None and line is not None:
            keys = answer_keys(desk.scheme.head(line.head))
            if key in keys:
                self._adjudicate(desk, line, keys[key])
            elif key == "undo":
                self._adjudicate(desk, line, "")

    def show_history(self, smear_id: int | None) -> None:
        """Show what was ever said of this smear."""
        self._history = smear_id
        desk, reader = self._session.desk, self._session.reader
        if desk is None or smear_id is None:
            self._view.set_history(None)
            return
        self._background.ask(
            "reading-history",
            lambda: desk.reading.history(smear_id, reader),
            self._on_history,
            lane="pages",
        )

    def _adjudicate(self, desk: Desk, line: DisagreementLine, answer: str) -> None:
        reader, name = self._session.reader, line.cells[0]
        self._background.tell(
            lambda: desk.reading.adjudicate(line.smear_id, line.head, answer, reader),
            lambda _done: self._on_adjudicated(line, answer),
            failed=lambda: self._view.tell(f"{name} was not adjudicated: try again.", True),
        )

    def _on_adjudicated(self, line: DisagreementLine, answer: str) -> None:
        self.look()
        if answer:
            self._view.advance(line)
        if self._history == line.smear_id:
            self.show_history(line.smear_id)

    def _on_blind_set(self, names: tuple[str, ...]) -> None:
        if names:
            words = f"{', '.join(names)} read blind from now on."
        else:
            words = "Blind reading is over: everybody sees all labels and predictions."
        self._view.tell(words, is_warning=False)
        self._session.blind = names
        self.look()

    def _look_who_is_blind(self) -> None:
        desk = self._session.desk
        if desk is not None:
            self._background.ask("reading-blind", desk.reading.blind, self._on_blind)

    def _on_blind(self, names: tuple[str, ...] | None) -> None:
        if names is not None:
            self._session.blind = names

    def _on_state(self, reader: str, found: ReadingState | None) -> None:
        self._is_asking = False
        if found is not None and reader == self._session.reader:
            self._state = found
            self._view.set_state(found)
            self.show_history(self._history)

    def _on_failed(self) -> None:
        self._is_asking = False

    def _on_history(self, history: History) -> None:
        if history.smear_id == self._history:
            self._view.set_history(history)

    def _on_desk(self, desk: Desk | None) -> None:
        self._state, self._is_asking = None, False
        self.show_history(None)
        if desk is not None:
            self._view.set_heads(desk.scheme.asked)
            self._look_who_is_blind()

    def _on_reader(self, _reader: str) -> None:
        """Another person sits here: nothing of what the one before saw stays."""
        desk = self._session.desk
        self._on_desk(desk)
        if desk is not None and self._view.is_looked_at():
            self.look()
