"""Comparing models, changing the champion, and opening reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from napari_marrow.background import Background
from napari_marrow.desk import Desk
from napari_marrow.desks.models import Promotions, Registry
from napari_marrow.lines.models import ComparisonLines, HistoryLine, ModelLine, champion_of
from napari_marrow.report_run import Making, ReportFailed, ReportRun
from napari_marrow.session import Session

TICKS_PER_LOOK = 10
"""Models are looked for every two seconds: a sweep may have left some."""

NO_MODEL = "No model yet: start a sweep in the Retrain tab; its chosen model is the first champion."
ONE_MODEL = (
    "There is one model, so there is nothing to compare: start another sweep in the Retrain tab."
)


class CompareView(Protocol):
    """The two models, what they are to each other, and the champion's history."""

    def set_models(
        self, known: Sequence[ModelLine], champion: int | None, challenger: int | None
    ) -> None:
        """Offer these models, the newest first, mark the two that are compared, and let the right
        one be promoted where the left one is champion."""

    def set_comparison(self, shown: ComparisonLines | None, words: str) -> None:
        """Show both models side by side; None: nothing, and `words` say what to do."""

    def set_history(self, lines: Sequence[HistoryLine]) -> None:
        """List the changes of the champion, newest first."""

    def set_objection(self, words: str) -> None:
        """Repeat why the challenger was refused, and offer to force it; empty: do not."""

    def set_changing(self, is_changing: bool) -> None:
        """Whether a change of the champion is on its way: no second one can be asked for."""

    def clear_reason(self) -> None:
        """The reason was used."""

    def set_reporting(self, words: str, is_busy: bool) -> None:
        """Say how far a report is."""

    def open_page(self, page: Path) -> None:
        """Open a report in the system's browser."""

    def is_looked_at(self) -> bool:
        """Whether the tab is on the screen."""

    def is_deciding(self) -> bool:
        """Whether a person is writing the reason for a change of the champion."""

    def tell(self, words: str, is_warning: bool) -> None:
        """Tell a person what came of something, in a sentence."""


class ModelsController:
    """Compares the champion with a challenger and changes the champion.

    Parameters
    ----------
    session : Session
    background : Background
    view : CompareView
    reports : ReportRun
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        view: CompareView,
        reports: ReportRun,
    ) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._reports = reports
        self._ticks = -1
        self._registry: Registry | None = None
        self._pair: tuple[int, int] | None = None
        self._is_chosen = False
        self._shown: tuple[int, int] | None = None
        session.events.desk.connect(self._on_desk)
        session.events.reader.connect(self._on_reader)

    def tick(self) -> None:
        """Look for models and for news of a report; called five times a second."""
        self._take_report_news()
        if not self._view.is_looked_at():
            self._ticks = -1
            return
        self._ticks += 1
        if self._ticks % TICKS_PER_LOOK == 0:
            self.look()

    def look(self) -> None:
        """Read which models there are."""
        desk = self._session.desk
        if desk is not None:
            self._background.ask("models", desk.models.registry, self._on_registry)

    def compare(self, champion: int, challenger: int) -> None:
        """Compare these two, whoever is champion, as long as both are there."""
        self._pair, self._is_chosen = (champion, challenger), True
        self._compare()

    def promote(self, model_id: int, reason: str, force: bool) -> None:
        """Make this model the champion instead of the one on the screen; forced, whatever speaks
        against it."""
        seen = champion_of(self._known)
        self._change(lambda desk: desk.models.promote(model_id, seen, reason, force=force))

    def rollback(self, reason: str) -> None:
        """Make the champion before the one on the screen champion again."""
        seen = champion_of(self._known)
        self._change(lambda desk: desk.models.rollback(seen, reason))

    def report(self, model_id: int, is_anew: bool) -> None:
        """Open the report of a model; make it first if there is none, if asked to, or while blind
        reading hides anything: an earlier one may show it."""
        desk = self._session.desk
        if desk is None:
            return
        page = desk.models.report_page(model_id)
        registry = self._registry or Registry()
        if model_id in registry.reported and not is_anew and not registry.hidden:
            self._view.open_page(page)
        elif self._reports.is_busy:
            self._view.tell("Another report is being made: wait for it.", is_warning=True)
        else:
            self._view.set_reporting(f"m{model_id}: starting", is_busy=True)
            self._reports.start(desk.home, model_id, page.parent)

    def close(self) -> None:
        """End a report that is being made."""
        self._reports.stop()

    @property
    def _known(self) -> Sequence[ModelLine]:
        """The models on the screen."""
        return (self._registry or Registry()).models

    def _on_desk(self, _desk: Desk | None) -> None:
        self._registry, self._pair, self._is_chosen, self._shown = None, None, False, None
        self._view.set_models((), None, None)
        self._view.set_comparison(None, NO_MODEL)
        self._view.set_history(())
        self._view.set_objection("")
        self._ticks = -1  # read as soon as somebody looks: comparing takes seconds

    def _on_reader(self, _name: str) -> None:
        """What blind reading hides may be another now."""
        self._shown = None
        if self._view.is_looked_at():
            self._compare()
        else:
            self._registry = None

    def _on_registry(self, registry: Registry) -> None:
        if registry == self._registry:
            return
        before, self._registry = self._registry, registry
        self._view.set_history(registry.history)
        if before is None or before.models != registry.models:
            if not self._keeps_pair():
                self._pair, self._is_chosen = _pair_of(registry.models), False
        elif (before.ground, before.hidden) == (registry.ground, registry.hidden):
            return
        if before is not None and before.hidden != registry.hidden:
            self._shown = None  # what is hidden now must not stay on the screen meanwhile
        self._compare()

    def _keeps_pair(self) -> bool:
        """Whether the pair stays when models come or the champion changes: a person chose it, or
        is writing the reason why this challenger is promoted."""
        ids = {one.model_id for one in self._known}
        is_held = self._is_chosen or self._view.is_deciding()
        return is_held and self._pair is not None and set(self._pair) <= ids

    def _compare(self) -> None:
        desk, registry, pair = self._session.desk, self._registry, self._pair
        if desk is None or registry is None:
            return
        self._view.set_models(registry.models, *(pair or (None, None)))
        self._view.set_objection("")  # it was raised on other ground
        if pair is None:
            self._show_none(ONE_MODEL if registry.models else NO_MODEL)
            return
        if pair[0] == pair[1]:
            self._show_none("These are the same model: choose another one.")
            return
        if pair != self._shown:
            self._show_none("Comparing …")
        self._background.ask(
            "compare",
            lambda: desk.models.compare(*pair),  # draws patients a few thousand times: seconds
            lambda shown: self._on_compared(desk, pair, shown),
            lane="figures",
            failed=lambda: self._show_none("The two could not be compared."),
        )

    def _show_none(self, words: str) -> None:
        self._shown = None
        self._view.set_comparison(None, words)

    def _on_compared(self, desk: Desk, pair: tuple[int, int], shown: ComparisonLines) -> None:
        if desk is self._session.desk and pair == self._pair:
            self._shown = pair
            self._session.note_seen(frozenset(one.smear_id for one in shown.changes))
            self._view.set_comparison(shown, "")

    def _change(self, change: Callable[[Desk], Promotions]) -> None:
        desk = self._session.desk
        if desk is None:
            return
        self._view.set_changing(True)
        self._background.tell(
            lambda: change(desk),
            self._on_changed,
            lane="figures",  # a promotion compares: seconds in which lists must answer
            failed=self._on_not_changed,
        )

    def _on_not_changed(self) -> None:
        self._view.set_changing(False)
        self.look()  # perhaps another one is champion by now

    def _on_changed(self, done: Promotions) -> None:
        self._view.set_changing(False)
        self._view.set_objection(done.words if done.is_refused else "")
        if not done.is_refused:
            self._is_chosen = False  # its decision is made: the next one is about the new champion
            self._view.clear_reason()
            self._view.tell(done.words, is_warning=False)
        self.look()

    def _take_report_news(self) -> None:
        while self._reports.news:
            news = self._reports.news.popleft()
            name = f"m{news.model_id}"
            if isinstance(news, Making):
                self._view.set_reporting(f"{name}: {news.words}", is_busy=True)
            elif isinstance(news, ReportFailed):
                self._view.set_reporting("", is_busy=False)
                self._view.tell(f"No report of {name}: {news.reason}", is_warning=True)
            else:
                self._view.set_reporting(f"The report of {name} is in {news.page.parent}", False)
                self._view.open_page(news.page)
                self.look()


def _pair_of(known: Sequence[ModelLine]) -> tuple[int, int] | None:
    """The champion and the newest other model; None with fewer than two models."""
    champion = champion_of(known)
    if champion is None and len(known) > 1:
        champion = known[-1].model_id
    challenger = next((one.model_id for one in known if one.model_id != champion), None)
    return None if champion is None or challenger is None else (champion, challenger)
