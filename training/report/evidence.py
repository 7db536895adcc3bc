"""All that a report rests on, read from the catalogue in one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from marrow.catalogue import cohorts, jobs, labels, models, smears
from marrow.catalogue.labels import NOTHING_GIVEN, Consensus
from marrow.catalogue.sight import hidden_smears
from marrow.catalogue.smears import SmearFilter
from marrow.errors import BadModel
from marrow.paper_tables import SITE
from marrow.records import Job, ModelRecord, Opening, Scoring, SiteLock, Smear, SweepSpec
from marrow.schemes import Scheme, first_fault
from marrow.scored import ScoredRows, scored_rows
from marrow.study import Study
from training.checkpoints import ModelCard
from training.dataset import LabelledSmear


@dataclass(frozen=True)
class ScoredModel:
    """A model, its card and what it said."""

    record: ModelRecord
    card: ModelCard
    scorings: tuple[Scoring, ...]
    """Oldest first."""

    def scoring(self, side: str) -> Scoring | None:
        """The newest look at a side that kept its answers, else the newest; None without any."""
        own = [one for one in self.scorings if one.side == side]
        return next((one for one in reversed(own) if one.answers), own[-1] if own else None)

    @property
    def sites(self) -> list[str]:
        """Names of the external cohorts that it was scored on, sorted."""
        named = {one.side for one in self.scorings if one.side.startswith(SITE)}
        return sorted(name.removeprefix(SITE) for name in named)


@dataclass(frozen=True)
class Evidence:
    """What the catalogue says of a model, its sisters of the same sweep, and their patients."""

    scheme: Scheme
    made_at: float
    """When it was read: seconds since 1970, UTC."""
    model: ScoredModel
    sisters: tuple[ScoredModel, ...]
    """All models of its job, by id, the model itself among them."""
    others: tuple[ScoredModel, ...]
    """Models of other jobs of the study, by id."""
    job: Job | None
    epochs: tuple[Mapping[str, Any], ...]
    """Payloads of the job's epoch events, in order."""
    smears: Mapping[int, Smear]
    consensus: Mapping[int, Consensus]
    looks: Mapping[str, int]
    """How often all models together were scored on each side."""
    locks: Mapping[str, SiteLock]
    openings: Mapping[str, tuple[Opening, ...]]
    hidden: frozenset[int] = frozenset()
    """Smears that not all blind readers have read: they count in the figures, and none is shown."""

    @property
    def card(self) -> ModelCard:
        """The card of the reported model."""
        return self.model.card

    @cached_property
    def sweep(self) -> SweepSpec | None:
        """The runs and cells of the job; None for a model that no sweep of this study made."""
        if self.job is None:
            return None
        try:
            return SweepSpec.model_validate(self.job.spec)
        except ValidationError:
            return None

    def labelled(
        self, smear_ids: Iterable[int], *, blind_only: bool = False
    ) -> list[LabelledSmear]:
        """These smears with the readers' answers, as the catalogue knows them now."""
        found = []
        for smear_id in smear_ids:
            smear = self.smears.get(smear_id)
            agreed = self.consensus.get(smear_id, NOTHING_GIVEN)
            if smear is None or (blind_only and not agreed.is_blind):
                continue
            answers = self.scheme.complete(agreed.answers)
            path, is_blind = Path(smear.path), agreed.is_blind
            found.append(LabelledSmear(smear, path, answers, is_blind=is_blind))
        return found

    def rows(
        self, model: ScoredModel, side: str, head: str, *, blind_only: bool = False
    ) -> ScoredRows | None:
        """The counted rows of a head on a side; None where the side was not scored."""
        scoring = model.scoring(side)
        if scoring is None or not scoring.answers:
            return None
        return scored_rows(
            self.scheme.head(head),
            scoring.answers,
            self.labelled(scoring.answers, blind_only=blind_only),
            self.scheme,
            # Whoever scored it allowed smears without a patient; each of them is its own.
            smear_is_patient=True,
        )

    @property
    def unit(self) -> str:
        """`patients` or `images`."""
        return f"{self.scheme.unit}s"


def gather(study: Study, model_id: int) -> Evidence:
    """Read everything in one transaction, so that no figure is younger than another.

    Raises
    ------
    NotFound
        If there is no such model.
    BadModel
        If its card is not of this version.
    """
    with study.database.read() as connection:
        record = models.get(connection, model_id)
        model = _scored(connection, record)
        everyone = sorted(models.all_models(connection), key=lambda one: one.id)
        kin = [one for one in everyone if _is_sister(one, record)]
        sisters = [model if one.id == record.id else _scored(connection, one) for one in kin]
        others = [one for one in everyone if one not in kin]
        seen = {smear for one in sisters for look in one.scorings for smear in look.answers}
        wanted = sorted(seen | set(smears.all_ids(connection, SmearFilter(labelled=True))))
        found = smears.get(connection, wanted)
        sites = cohorts.locked_sites(connection)
        every_site = {*cohorts.sites(connection), *sites}
        job = None if record.job_id is None else jobs.get(connection, record.job_id)
        events = [] if job is None else jobs.events(connection, job.id, 0)
        sides = {look.side for one in sisters for look in one.scorings}
        return Evidence(
            scheme=model.card.scheme,
            made_at=study.database.now(connection),
            model=model,
            sisters=tuple(sisters),
            others=tuple(_readable(connection, others)),
            job=job,
            epochs=tuple(one.payload for one in events if one.kind == "epoch"),
            smears={one.id: one for one in found},
            consensus=labels.consensus(connection, wanted),
            looks={side: models.looks(connection, side) for side in sorted(sides)},
            locks=sites,
            hidden=hidden_smears(connection, model.card.scheme, wanted),
            openings={
                site: tuple(cohorts.openings(connection, site)) for site in sorted(every_site)
            },
        )


def _is_sister(one: ModelRecord, record: ModelRecord) -> bool:
    return one.id == record.id or (record.job_id is not None and one.job_id == record.job_id)


def _scored(connection: Connection, record: ModelRecord) -> ScoredModel:
    try:
        card = ModelCard.model_validate(record.card)
    except ValidationError as error:
        raise BadModel(
            f"{record.name}: its card is of no version that can be reported "
            f"({first_fault(error)}); train it again"
        ) from error
    return ScoredModel(record, card, tuple(models.scorings(connection, record.id)))


def _readable(connection: Connection, records: Iterable[ModelRecord]) -> Iterable[ScoredModel]:
    """Other models, for comparison; a card of another version is no reason to stop."""
    for record in records:
        try:
            yield _scored(connection, record)
        except BadModel:
            continue
