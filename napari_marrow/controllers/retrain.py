"""Retraining: who would train, starting a sweep, its board and its curves while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from marrow.records import Job
from napari_marrow.background import Background
from napari_marrow.desk import Desk
from napari_marrow.desks.retrain import Followed
from napari_marrow.lines.board import BoardLines, CurveLines, Figure
from napari_marrow.lines.retrain import Choices, Prospect, SweepLine
from napari_marrow.session import Session
from napari_marrow.sweep_wish import SweepWish

TICKS_PER_LIST = 10
"""The list of sweeps is read every two seconds while the tab is looked at; `tick` comes five
times a second."""
TICKS_PER_TRY = 10
"""Of the board, while it cannot be read: every two seconds, otherwise at each tick."""
TICKS_PER_PROSPECT = 50
"""Who would train changes with each label, and costs a look at all of them: every ten seconds."""


class RetrainView(Protocol):
    """The form, the board and the curves."""

    def set_choices(self, choices: Choices) -> None:
        """Offer in the form what this study has."""

    def set_prospect(self, prospect: Prospect) -> None:
        """Say who would train and how much work it is, or why it cannot be started."""

    def set_starting(self, is_starting: bool) -> None:
        """Offer no other start while a sweep is being queued."""

    def set_jobs(self, sweeps: Sequence[SweepLine], shown: int | None) -> None:
        """List these sweeps, newest first, and mark the one that is shown."""

    def set_board(self, board: BoardLines | None) -> None:
        """Show this board; the choice of cells stays."""

    def set_curves(self, curves: CurveLines) -> None:
        """Draw these curves."""

    def choose(self, cells: Sequence[int]) -> None:
        """Choose these cells of the board."""

    def is_looked_at(self) -> bool:
        """Whether the tab is on the screen."""

    def tell(self, words: str, is_warning: bool) -> None:
        """Tell a person what came of something, in a sentence."""


class RetrainController:
    """Plans, starts and watches sweeps.

    Parameters
    ----------
    session : Session
    background : Background
    view : RetrainView
    """

    def __init__(self, session: Session, background: Background, view: RetrainView) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._wish = SweepWish()
        self._shown: int | None = None
        self._is_newest_wanted = True
        self._cells: tuple[int, ...] | None = None
        self._figure: Figure = "balanced"
        self._followed: Followed | None = None
        self._is_asked = False
        self._rest = 0
        self._is_starting = False
        self._ticks = 0
        session.events.desk.connect(self._on_desk)
        session.events.reader.connect(self._on_sight)
        session.events.blind.connect(self._on_sight)

    def plan(self, wish: SweepWish) -> None:
        """Say what this sweep would do."""
        self._wish = wish
        if self._view.is_looked_at():
            self._look_ahead()

    def start(self, wish: SweepWish) -> None:
        """Queue this sweep and show its board; nothing while another is being queued."""
        desk = self._session.desk
        if desk is None or self._is_starting:
            return
        self._set_starting(True)
        self._background.tell(
            lambda: desk.retrain.start(wish),
            self._on_started,
            failed=lambda: self._set_starting(False),
        )

    def stop(self, job_id: int, cells: Sequence[int]) -> None:
        """Let these cells of a sweep wait until they are resumed."""
        self._hold(lambda desk: desk.retrain.stop(job_id, cells))

    def resume(self, job_id: int, cells: Sequence[int]) -> None:
        """Let these cells go on."""
        self._hold(lambda desk: desk.retrain.resume(job_id, cells))

    def show(self, job_id: int) -> None:
        """Show this sweep's board; a newer one no longer takes its place."""
        self._is_newest_wanted = False
        self._show(job_id)

    def choose(self, job_id: int, cells: Sequence[int]) -> None:
        """Draw the curves of these cells, unless another sweep takes their place just now."""
        if job_id == self._shown:
            self._cells = tuple(cells)
            self._follow()

    def set_figure(self, figure: Figure) -> None:
        """Draw this figure above the loss."""
        self._figure = figure
        self._follow()

    def tick(self) -> None:
        """Ask what is new while somebody looks; called five times a second on the main thread."""
        if not self._view.is_looked_at():
            self._ticks = -1  # read everything as soon as somebody looks
            return
        self._ticks += 1
        if self._ticks % TICKS_PER_LIST == 0:
            self.look()
        if self._ticks % TICKS_PER_PROSPECT == 0:
            self._look_ahead()
        self._rest = max(0, self._rest - 1)
        is_over = self._followed is not None and self._followed.board.is_finished
        # An answer is dropped once a newer one is asked.
        if not is_over and not self._is_asked and not self._rest:
            self._follow()

    def look(self) -> None:
        """Read which sweeps there are."""
        desk = self._session.desk
        if desk is not None:
            self._background.ask("sweeps", desk.retrain.sweeps, self._on_sweeps)

    def _look_ahead(self) -> None:
        desk, wish, reader = self._session.desk, self._wish, self._session.reader
        if desk is not None:
            self._background.ask(
                "retrain-prospect",
                lambda: desk.retrain.prospect(wish, reader),
                lambda prospect: self._on_prospect(desk, prospect),
            )

    def _hold(self, hold: Callable[[Desk], str]) -> None:
        desk = self._session.desk
        if desk is not None:
            self._background.tell(lambda: hold(desk), self._on_held)

    def _show(self, job_id: int | None) -> None:
        self._shown, self._cells, self._followed = job_id, None, None
        if job_id is None:
            self._view.set_board(None)
            self._view.set_curves(CurveLines())
        else:
            self._follow()

    def _follow(self) -> None:
        """Ask for the board and the curves."""
        desk, job_id, cells, figure = self._session.desk, self._shown, self._cells, self._figure
        if desk is None or job_id is None:
            return
        self._is_asked = True
        self._background.ask(
            "board",
            lambda: desk.retrain.follow(job_id, cells, figure),
            lambda followed: self._on_followed(desk, followed),
            failed=self._on_follow_failed,
        )

    def _on_sight(self, *_changed: object) -> None:
        """Somebody else looks, or others are hidden: what was left out and why is told anew.

        The window of it may be open while nobody looks at the tab.
        """
        self._view.set_prospect(Prospect())
        self._look_ahead()

    def _on_prospect(self, desk: Desk, prospect: Prospect) -> None:
        if desk is self._session.desk:
            self._view.set_prospect(prospect)

    def _on_desk(self, desk: Desk | None) -> None:
        self._view.set_prospect(Prospect())
        self._is_newest_wanted = True
        self._show(None)
        if desk is not None:
            self._ticks = -1  # the rest is read as soon as somebody looks
            self._background.ask("retrain-choices", desk.retrain.choices, self._view.set_choices)
            self.look()

    def _set_starting(self, is_starting: bool) -> None:
        self._is_starting = is_starting
        self._view.set_starting(is_starting)

    def _on_started(self, job: Job) -> None:
        self._set_starting(False)
        self._is_newest_wanted = True
        self._view.tell(f"Sweep {job.id} is queued.", is_warning=False)
        self.look()

    def _on_held(self, words: str) -> None:
        self._view.tell(words, is_warning=False)
        self._follow()

    def _on_sweeps(self, sweeps: Sequence[SweepLine] | None) -> None:
        if sweeps is None:
            return
        ids = [one.job_id for one in sweeps]
        wanted = self._shown if self._shown in ids else None
        if ids and (self._is_newest_wanted or wanted is None):
            wanted = ids[0]
        if wanted != self._shown:
            self._show(wanted)
        elif self._followed is not None and self._followed.board.is_finished:
            self._follow()  # somebody may have retried it
        self._view.set_jobs(sweeps, self._shown)

    def _on_follow_failed(self) -> None:
        self._is_asked, self._rest = False, TICKS_PER_TRY

    def _on_followed(self, desk: Desk, followed: Followed | None) -> None:
        if followed is None:
            self._on_follow_failed()
            return
        self._is_asked = False
        if desk is not self._session.desk or followed.board.job_id != self._shown:
            return
        before, self._followed = self._followed, followed
        if before is None or before.board != followed.board:
            self._view.set_board(followed.board)
        if self._cells is None:
            self._cells = followed.cells
            self._view.choose(followed.cells)
        self._view.set_curves(followed.curves)
