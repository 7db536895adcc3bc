"""Reading row by row: what is known of a row, accepting or correcting it, and the next one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Protocol

from marrow.schemes import Head
from napari_marrow.background import Background
from napari_marrow.controllers.labels import LabelsController
from napari_marrow.controllers.results import ResultsController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.lines.detail import ResultDetail, asked_calls, coming_detail
from napari_marrow.lines.labelling import answer_keys, first_head, next_head
from napari_marrow.lines.results import ResultLine, with_answers
from napari_marrow.session import Session


class WorklistView(Protocol):
    """The results table, and the pane beside it."""

    def current_row(self) -> int | None:
        """The selected row."""

    def move_to(self, row: int) -> None:
        """Select a row and bring it on the screen; this chooses it."""

    def set_detail(self, detail: ResultDetail | None) -> None:
        """Show one row in full; None: none is chosen."""

    def set_asked_head(self, head: str | None) -> None:
        """Point out the head that the digits answer."""

    def tell(self, words: str, is_warning: bool) -> None:
        """Tell a person what came of something, in a sentence."""


class WorklistController:
    """Opens, accepts and corrects the rows of the results table.

    Parameters
    ----------
    session : Session
    background : Background
    view : WorklistView
    results : ResultsController
        The table.
    smear : SmearController
        Opens the smear of a row.
    labels : LabelsController
        The one way of every label.
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        view: WorklistView,
        results: ResultsController,
        smear: SmearController,
        labels: LabelsController,
    ) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._results = results
        self._smear = smear
        self._labels = labels
        self._begun: tuple[int, int | None] | None = None
        """The row whose questions are asked."""
        self._said: dict[str, str] = {}
        """Answers to the chosen row so far: a scheme may ask several questions of a smear."""
        self._asked: Head | None = None
        self._detail: ResultDetail | None = None
        self._storing: tuple[int, int | None] | None = None
        """The row whose answer is on its way to the disk."""
        self.follows = False
        """Whether a smear is opened as soon as its row is chosen."""
        results.choice.changed.connect(self._on_choice)
        labels.given.connect(self._on_given)
        labels.sent.connect(self._on_sent)

    def set_follows(self, follows: bool) -> None:
        """Open each smear as soon as its row is chosen, or when a person asks for it."""
        self.follows = follows
        line = self._results.choice.line
        if follows and line is not None:
            self._open(line)

    def choose(self, row: int) -> None:
        """A person moved to this row: show it in full."""
        self._results.choice.take(row)
        following = self._results.pages.line(row + 1)
        if self.follows and following is not None:
            self._smear.prefetch(following.smear_id)

    def open(self, row: int) -> None:
        """Show a row's smear with the heatmap of the called class."""
        line = self._results.pages.line(row)
        if line is not None:
            self._open(line)

    def accept(self) -> None:
        """The model's calls are the reader's answers; then the next row."""
        line, desk = self._results.choice.line, self._session.desk
        if line is None or desk is None or line.key == self._storing:
            return
        calls = asked_calls(desk.scheme, line.calls)
        if not calls:
            self._view.tell(f"{line.cells[0]} has no answer to accept.", is_warning=True)
            return
        self._give(line, calls, is_whole=True)

    def give(self, head: str, answer: str) -> None:
        """The reader's answer to one question of the chosen row, "" takes it back; then the next
        question, or the next row.

        While an answer is on its way to the disk nothing is answered: the next row may not have
        come yet, and nobody means the old one.
        """
        line, desk = self._results.choice.line, self._session.desk
        if line is None or desk is None or line.key == self._storing:
            return
        self._said = {**self._labels.own(line.smear_id), **self._said, head: answer}
        following = next_head(desk.scheme, self._said, head) if answer else None
        self._give(line, {head: answer}, is_whole=bool(answer) and following is None)
        if following is not None:
            self._ask(following)

    def press(self, key: str) -> None:
        """A key of label mode, pressed in the table; digits answer the head that is asked."""
        actions: Mapping[str, Callable[[], None]] = {
            "undo": self.undo,
            "left": partial(self._step, -1),
            "right": partial(self._step, 1),
            "flag": self._flag,
            "heatmap": self._smear.toggle_heatmap,
            "class-back": partial(self._smear.step_class, -1),
            "class-on": partial(self._smear.step_class, 1),
        }
        if key in actions:
            actions[key]()
        elif self._asked is not None and key in (keys := answer_keys(self._asked)):
            self.give(self._asked.name, keys[key])

    def undo(self) -> None:
        """Take the last label back, and go to its row where it is at hand."""
        self._labels.undo(then=self._on_undone)

    def _step(self, by: int) -> None:
        row = self._view.current_row()
        if row is not None:
            self._view.move_to(row + by)

    def _flag(self) -> None:
        line = self._results.choice.line
        if line is not None:
            was_flagged = self._labels.is_flagged(line.smear_id)
            if was_flagged is None:
                was_flagged = self._detail is not None and self._detail.is_flagged
            self._labels.flag([line.smear_id], not was_flagged)
            words = "is not flagged any more" if was_flagged else "is flagged"
            self._view.tell(f"{line.cells[0]} {words}.", is_warning=False)

    def _on_choice(self, line: ResultLine | None) -> None:
        """A row was chosen: what is known of it stands in the pane at once, the rest is read."""
        desk, key = self._session.desk, None if line is None else line.key
        if desk is None or line is None:
            self._storing = None
            self._begin(None)
            self._show(None)
            return
        if key != self._begun:
            self._begin(line)
            self._show(coming_detail(desk.scheme, line))
        self._read_detail(line)
        self._labels.learn(line.smear_id, topic="own words of a result")
        if self.follows:
            self._open(line)

    def _begin(self, line: ResultLine | None) -> None:
        """Another row: its first question is asked."""
        desk = self._session.desk
        self._begun, self._said = None if line is None else line.key, {}
        self._ask(None if desk is None or line is None else first_head(desk.scheme, {}))

    def _ask(self, head: Head | None) -> None:
        self._asked = head
        self._view.set_asked_head(None if head is None else head.name)

    def _show(self, detail: ResultDetail | None) -> None:
        self._detail = detail
        self._view.set_detail(detail)

    def _give(self, line: ResultLine, answers: Mapping[str, str], is_whole: bool) -> None:
        self._storing = line.key

        def on_stored() -> None:
            self._storing = None
            now = self._results.choice.line
            if is_whole and now is not None and now.key == line.key:
                self._view.move_to(self._results.choice.next_row())

        def on_failed() -> None:
            self._storing = None

        # Of a row without a prediction the session knows whether another one was seen.
        seen = True if line.prediction_id is not None else None
        self._labels.give([line.smear_id], answers, seen=seen, then=on_stored, failed=on_failed)

    def _open(self, line: ResultLine) -> None:
        self._smear.open(line.smear_id, line.prediction_id)

    def _read_detail(self, line: ResultLine) -> None:
        desk, reader = self._session.desk, self._session.reader

        def on_detail(detail: ResultDetail) -> None:
            now = self._results.choice.line
            if now is not None and now.key == line.key:
                self._show(detail)

        if desk is not None:
            self._background.ask(
                "result-detail", lambda: desk.results.detail(line, reader), on_detail, lane="pages"
            )

    def _on_undone(self, smear_ids: Sequence[int]) -> None:
        if not smear_ids:
            self._view.tell("There is no label to take back.", is_warning=False)
        rows = (row for row, line in self._results.pages.known() if line.smear_id in smear_ids)
        row = next(rows, None)
        if row is not None:
            self._begun = None  # its first question is asked again
            self._view.move_to(row)

    def _on_given(self, smear_ids: Collection[int]) -> None:
        """Show it at once; what the catalogue makes of it is read later."""
        desk, pages = self._session.desk, self._results.pages
        if desk is None:
            return
        for row, line in list(pages.known()):
            if line.smear_id in smear_ids:
                said = self._labels.said(line.smear_id)
                pages.put(row, [with_answers(desk.scheme, line, said)])

    def _on_sent(self) -> None:
        self._results.expect_change()
        line = self._results.choice.line
        if line is not None:
            self._read_detail(line)
