"""External cohorts: sites that training never sees, and every look that was taken at them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from marrow.catalogue import labels, models, smears
from marrow.catalogue.locks import lock_study
from marrow.catalogue.schema import opening, site_lock, smear
from marrow.catalogue.smears import SmearFilter
from marrow.errors import BadCohort
from marrow.records import ModelRecord, Opening, SiteLock, Smear
from marrow.schemes import Scheme

_NAMED = 3
"""Patients or sites that a sentence names one by one."""


UNSEEN = frozenset({"test", "held_out"})
"""Sides of a card's split whose patients did not train the model. Under seed2022 images are
split and not patients: there the patients of its test images did."""


class CohortSmear(NamedTuple):
    """A smear that counts, and its truth."""

    smear: Smear
    answers: dict[str, str | None]
    """Complete: every head of the scheme; None: nobody knows."""
    is_blind: bool
    """Whether no reader had seen a prediction."""


def patient_of(one: Smear) -> str:
    """The smear's patient; one without counts as a patient of its own."""
    return one.patient or one.own_patient


def cohort_hash(rows: Iterable[tuple[str, Mapping[str, str | None]]]) -> str:
    """SHA-256, in hex, over the sorted (identity, answers) of smears.

    Two cohorts with the same hash hold the same pixels under the same answers, whatever their
    ids, names and places.
    """
    ordered = sorted([identity, sorted(answers.items())] for identity, answers in rows)
    return hashlib.sha256(json.dumps(ordered, separators=(",", ":")).encode()).hexdigest()


def hash_of(cohort: Iterable[CohortSmear]) -> str:
    """`cohort_hash` of these smears."""
    return cohort_hash((one.smear.identity, one.answers) for one in cohort)


def labelled(connection: Connection, scheme: Scheme, shown: SmearFilter) -> list[CohortSmear]:
    """The smears of a filter that have at least one agreed answer, in the order of their ids."""
    ids = smears.all_ids(connection, shown.model_copy(update={"labelled": True}))
    agreed = labels.consensus(connection, ids)
    return [
        CohortSmear(one, scheme.complete(agreed[one.id].answers), agreed[one.id].is_blind)
        for one in smears.get(connection, ids)
        if agreed[one.id].answers
    ]


def of_site(connection: Connection, scheme: Scheme, site: str) -> list[CohortSmear]:
    """The labelled smears of a site.

    Raises
    ------
    BadCohort
        If the study has no such site, or the site no labelled smear.
    """
    if not smears.count(connection, SmearFilter(site=site)):
        known = sites(connection)
        has = f"its sites are {', '.join(known)}" if known else "no smear of it has a site"
        raise BadCohort(f"The study has no site {site!r}: {has}")
    found = labelled(connection, scheme, SmearFilter(site=site))
    if not found:
        raise BadCohort(f"Site {site!r} has no labelled smear: label them with `marrow label`")
    return found


def sites(connection: Connection) -> list[str]:
    """All sites of the study's smears, sorted."""
    rows = select(smear.c.site).where(smear.c.site.is_not(None)).distinct()
    return sorted(connection.execute(rows).scalars())


def open_sites(connection: Connection) -> list[str]:
    """The sites that a training can hold out, sorted: those that are not locked."""
    locked = locked_sites(connection)
    return [site for site in sites(connection) if site not in locked]


def lock_site(connection: Connection, at: float, scheme: Scheme, site: str) -> SiteLock:
    """Hide a site from training and note what it holds; a lock that is there stands.

    Raises
    ------
    BadCohort
        If the site is unknown, has no labelled smear, or shares a patient with the test side
        or with another site.
    """
    lock_study(connection)  # or a first training would draw test patients meanwhile
    known = locked_sites(connection).get(site)
    if known is not None:
        return known
    cohort = of_site(connection, scheme, site)
    require_external(connection, site)
    made = SiteLock(
        site=site,
        sha256=hash_of(cohort),
        smears=len(cohort),
        patients=len({patient_of(one.smear) for one in cohort}),
        at=at,
    )
    connection.execute(insert(site_lock).values(**made.model_dump()))
    return made


def require_external(connection: Connection, site: str) -> None:
    """Raise BadCohort where a patient of the site is a test patient, or has smears elsewhere."""
    require_untested(connection, site)
    own = select(smear.c.patient).where(smear.c.site == site).distinct()
    other = (
        select(smear.c.patient)
        .where(smear.c.site.is_distinct_from(site), smear.c.patient.in_(own))
        .distinct()
    )
    shared = sorted(connection.execute(other).scalars())
    if shared:
        raise BadCohort(
            f"Site {site!r} shares {_count(shared)} with other sites ({_some(shared)}), of whom "
            "training would see the other smears: give all smears of a patient one site"
        )


def require_untested(connection: Connection, site: str) -> None:
    """Raise BadCohort where a patient of the site is one of the study's test patients."""
    tested = tested_patients(connection, site)
    if tested:
        raise BadCohort(
            f"Site {site!r} has {_count(tested)} among the study's test patients "
            f"({_some(tested)}), who never move: it can be no external cohort, take another site"
        )


def tested_patients(connection: Connection, site: str) -> list[str]:
    """The study's test patients who have a smear of the site, sorted."""
    shown = smears.all_ids(connection, SmearFilter(site=site))
    own = {patient_of(one) for one in smears.get(connection, shown)}
    return sorted(own & smears.test_patients(connection))


def trained_on(connection: Connection, made: ModelRecord) -> frozenset[str]:
    """The patients, by pseudonym, that a model was trained on.

    Those whom its card names, and those to whom the smears that trained it belong today: a
    patient who gets another name has trained it all the same.
    """
    is_by_image = made.card.get("training", {}).get("protocol") == "seed2022"
    unseen = UNSEEN - {"test"} if is_by_image else UNSEEN
    sides = made.card.get("split", {}).items()
    named = {name for side, names in sides if side not in unseen for name in names}
    learned = smears.get(connection, models.learned_from(connection, made.id))
    return frozenset(named | {patient_of(one) for one in learned})


def seen_by(connection: Connection, scheme: Scheme, site: str) -> list[str]:
    """Names of the models that were trained on a patient of the site, oldest first."""
    own = {patient_of(one.smear) for one in of_site(connection, scheme, site)}
    known = reversed(models.all_models(connection))
    return [one.name for one in known if own & trained_on(connection, one)]


def locked_sites(connection: Connection) -> dict[str, SiteLock]:
    """All locks, by site."""
    rows = connection.execute(select(site_lock).order_by(site_lock.c.site))
    return {row.site: SiteLock(**row._mapping) for row in rows}


def open_site(
    connection: Connection, at: float, site: str, made_by: ModelRecord, cohort_sha256: str
) -> Opening:
    """Record a look at a site, before its first smear is shown to the model."""
    lock = locked_sites(connection).get(site)
    values: dict[str, Any] = {
        "site": site,
        "model_id": made_by.id,
        "model_sha256": made_by.sha256,
        "cohort_sha256": cohort_sha256,
        "lock_sha256": None if lock is None else lock.sha256,
        "threshold": _threshold(made_by.card),
        "at": at,
    }
    row = connection.execute(insert(opening).values(**values).returning(*opening.c)).one()
    return Opening(**row._mapping)


def openings(connection: Connection, site: str) -> list[Opening]:
    """All looks at a site, oldest first."""
    rows = select(opening).where(opening.c.site == site).order_by(opening.c.id)
    return [Opening(**row._mapping) for row in connection.execute(rows)]


def _threshold(card: Mapping[str, Any]) -> dict[str, Any]:
    """What turns this model's probabilities into calls and flags, without the raw distances."""
    calibration = card.get("calibration") or {}
    return {name: value for name, value in calibration.items() if name != "distances"}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _count(names: list[str]) -> str:
    return f"{len(names)} patient{'s' * (len(names) != 1)}"
