"""The registry of models: comparing two, promoting, rolling back, and where reports lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marrow.catalogue import models
from marrow.catalogue.sight import count_hidden
from marrow.comparing import Ground, ground
from marrow.comparison_facts import comparison_facts
from marrow.errors import NotBetter
from marrow.promotion import FORCE_HINT, compare_models, objection_to, promote, rollback
from marrow.study import Study
from napari_marrow.lines.models import (
    ComparisonLines,
    HistoryLine,
    ModelLine,
    confusion_panels,
    figure_table,
    history_line,
    model_line,
    offer_of,
    roc_panels,
)
from napari_marrow.lines.verdict import change_lines, changes_words, headline, verdict

REPORT_PAGE = "report.html"


@dataclass(frozen=True)
class Registry:
    """The models, and every change of the champion; newest first."""

    models: tuple[ModelLine, ...] = ()
    history: tuple[HistoryLine, ...] = ()
    reported: frozenset[int] = frozenset()
    """Models whose report is on the disk."""
    ground: Ground | None = None
    """What comparisons rest on; None where nothing was read yet."""
    hidden: int = 0
    """Smears that blind reading hides."""


@dataclass(frozen=True)
class Promotions:
    """What came of asking for another champion."""

    words: str
    is_refused: bool = False


class ModelsDesk:
    """The models of a study.

    No method but `report_page` may run on the GUI thread.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def registry(self) -> Registry:
        """What there is to compare, and who was champion when and why."""
        with self._study.database.read() as connection:
            found = models.all_models(connection)
            changes = models.promotions(connection)[::-1]
            now = self._study.database.now(connection)
            rests_on = ground(connection)
            hidden = count_hidden(connection, self._study.scheme)
        return Registry(
            tuple(model_line(one) for one in found),
            tuple(history_line(one, now) for one in changes),
            frozenset(one.id for one in found if self.report_page(one.id).is_file()),
            rests_on,
            hidden,
        )

    def compare(self, champion: int, challenger: int) -> ComparisonLines:
        """Both models on the patients that neither was trained on; the left one may be another
        than the study's champion."""
        found = compare_models(self._study, champion, challenger)
        with self._study.database.read() as connection:
            both = [models.get(connection, one) for one in (champion, challenger)]
            facts = comparison_facts(connection, self._study.scheme, *both)
            known = [model_line(one) for one in models.all_models(connection)]
        names = (f"m{champion}", f"m{challenger}")
        why_not = offer_of(known, champion, challenger).why_not
        objection = "" if why_not else objection_to(self._study, found) or ""
        return ComparisonLines(
            champion=champion,
            challenger=challenger,
            headline=headline(found),
            verdict=verdict(found, self._study.scheme.primary, objection, why_not),
            objection=objection,
            changes=change_lines(found.changes),
            changes_words=changes_words(found),
            roc=roc_panels(facts, names),
            confusion=confusion_panels(facts, names),
            tables=tuple(figure_table(one) for one in facts.tables),
        )

    def promote(
        self, model_id: int, instead_of: int | None, reason: str, *, force: bool
    ) -> Promotions:
        """Make a model the champion; a refusal comes back with its reason.

        Parameters
        ----------
        instead_of : int or None
            The champion that the person saw; None: there was none.

        Raises
        ------
        Busy
            If another one is champion by now.
        """
        try:
            done = promote(self._study, model_id, instead_of, reason, force=force)
        except NotBetter as refused:
            return Promotions(str(refused).removesuffix(FORCE_HINT), is_refused=True)
        instead = "" if done.previous is None else f", instead of {done.previous.name}"
        forced = "; that it was forced is on record" if done.is_forced else ""
        return Promotions(f"{done.champion.name} is the champion{instead}{forced}.")

    def rollback(self, champion: int | None, reason: str) -> Promotions:
        """Make the champion before this one champion again.

        Raises
        ------
        NotFound
            If there was none.
        Busy
            If another one is champion by now.
        """
        try:
            done = rollback(self._study, champion, reason)
        except NotBetter as refused:
            return Promotions(str(refused), is_refused=True)
        instead = "" if done.previous is None else f", instead of {done.previous.name}"
        return Promotions(f"{done.champion.name} is the champion again{instead}.")

    def report_page(self, model_id: int) -> Path:
        """Where the report of a model lies, or would lie."""
        return self._study.settings.home / "reports" / f"m{model_id}" / REPORT_PAGE
