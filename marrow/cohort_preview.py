"""What a training would learn from and be tested on, before it is queued; nothing is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Literal

from sqlalchemy import Connection

from marrow.catalogue import cohorts
from marrow.catalogue.sight import Sight
from marrow.errors import CannotSplit
from marrow.folds import fold_of
from marrow.records import Record, Smear, TrainingSpec
from marrow.schemes import Scheme
from marrow.splits import patient_class, patient_of
from marrow.training_cohort import (
    Cohort,
    Labelled,
    LeftOut,
    Member,
    cohort_of,
    draw_wanted,
    read_labelled,
    set_apart,
)

HIDDEN = "hidden by blind reading: not counted here, but in the training"
NO_PATIENT = "no patient"


class ClassCount(Record):
    """The patients of one class of the primary head."""

    name: str | None
    """None: of patients without an answer to this head."""
    train: int
    """Patients; where the scheme's unit is the image, those with an image of the class."""
    test: int
    smears: int
    """On both sides."""


class SiteCount(Record):
    """What a held-out site has."""

    site: str
    patients: int
    smears: int


class LeftOutSmear(Record):
    """A labelled smear that does not count, and why."""

    smear_id: int
    smear: str
    """S000148."""
    patient: str | None
    site: str | None
    reason: str


class CohortPreview(Record):
    """The cohort that a training would have if it began now; whether each file can be read is
    not looked at.
    """

    head: str
    """The primary one, whose classes are counted."""
    classes: tuple[ClassCount, ...]
    """In the scheme's order; where `trouble` says why there are no sides, all on the training
    side."""
    patients: int
    """Of both sides, as are the smears."""
    smears: int
    test_patients: int
    """Patients that would be tested, each counted once, whatever classes its images have."""
    test: Literal["drawn", "will be drawn", "none"]
    """The study's test patients never move once they are drawn; none: seed2022 has none."""
    held_out: tuple[SiteCount, ...]
    open_sites: tuple[str, ...]
    """Sites that can be held out."""
    locked_sites: tuple[str, ...]
    """Sites that no training sees."""
    excluded: dict[str, int]
    """Labelled smears that do not count, by reason, the most frequent first."""
    left_out: tuple[LeftOutSmear, ...]
    """These smears, in the order of their ids."""
    trouble: str | None
    """Why the training would be refused, in a sentence; None: it would begin."""


def preview_cohort(
    connection: Connection, scheme: Scheme, spec: TrainingSpec, sight: Sight | None = None
) -> CohortPreview:
    """The cohort of this training as the labels are now.

    Parameters
    ----------
    sight : Sight or None
        Who looks: smears that are not open are left out of all counts, and `trouble` is not
        told, since both follow from labels that nobody may see yet. The training counts them.
    """
    labelled = read_labelled(connection, scheme, spec.smear_is_patient)
    hidden = frozenset() if sight is None else _hidden(connection, scheme, labelled, sight)
    if hidden:
        labelled = _without(labelled, hidden)
    cohort, trouble = _sides(labelled, scheme, spec)
    lacking = [] if spec.smear_is_patient else _without_patient(cohort)
    left_out = sorted([*cohort.left_out, *lacking], key=lambda one: one.smear.id)
    rows = tuple(_row(one) for one in left_out)
    return CohortPreview(
        head=scheme.primary,
        classes=_classes(cohort, scheme),
        patients=_patients(cohort.train + cohort.test),
        smears=len(cohort.train) + len(cohort.test),
        test_patients=_patients(cohort.test),
        test=_test_words(labelled, spec),
        held_out=tuple(_site(cohort.held_out, site) for site in spec.hold_out_sites),
        open_sites=tuple(cohorts.open_sites(connection)),
        locked_sites=tuple(sorted(labelled.locked)),
        excluded=dict(Counter(one.reason for one in rows).most_common()),
        left_out=rows,
        trouble=None if hidden else trouble,
    )


def _sides(labelled: Labelled, scheme: Scheme, spec: TrainingSpec) -> tuple[Cohort, str | None]:
    """The sides, and why the training would be refused; then everybody is on the training side."""
    try:
        drawn = draw_wanted(labelled, scheme, spec)
        wanted = labelled.test_patients if drawn is None else drawn
        cohort = cohort_of(labelled, scheme, spec, wanted)
    except CannotSplit as error:
        own, held_out, left_out = set_apart(labelled, spec)
        return Cohort(own + held_out, [], [], left_out), str(error)
    try:
        if spec.folds and spec.protocol == "honest":
            fold_of(cohort.train, scheme, spec.folds, spec.data_seed, spec.smear_is_patient)
    except CannotSplit as error:
        return cohort, str(error)
    return cohort, None


def _test_words(
    labelled: Labelled, spec: TrainingSpec
) -> Literal["drawn", "will be drawn", "none"]:
    if spec.protocol == "seed2022":
        return "none"
    return "drawn" if labelled.test_patients else "will be drawn"


def _without_patient(cohort: Cohort) -> list[LeftOut]:
    sides = (*cohort.train, *cohort.test, *cohort.held_out)
    return [LeftOut(one.smear, NO_PATIENT) for one in sides if one.smear.patient is None]


def _classes(cohort: Cohort, scheme: Scheme) -> tuple[ClassCount, ...]:
    train, test = (_patients_by_class(side, scheme) for side in (cohort.train, cohort.test))
    smears = Counter(one.answers[scheme.primary] for one in cohort.train + cohort.test)
    names = [*scheme.head(scheme.primary).classes, *([None] if train[None] + test[None] else [])]
    return tuple(
        ClassCount(name=name, train=train[name], test=test[name], smears=smears[name])
        for name in names
    )


def _patients_by_class(side: Sequence[Member], scheme: Scheme) -> Counter[str | None]:
    grouped: dict[str, list[Member]] = {}
    for one in side:
        grouped.setdefault(_patient(one.smear), []).append(one)
    counts: Counter[str | None] = Counter()
    for own in grouped.values():
        if scheme.unit == "patient":
            counts[patient_class(own, scheme)] += 1
        else:
            counts.update({one.answers[scheme.primary] for one in own})
    return counts


def _patients(side: Collection[Member]) -> int:
    return len({_patient(one.smear) for one in side})


def _patient(smear: Smear) -> str:
    return patient_of(smear, smear_is_patient=True)  # to count, not to split


def _site(held_out: Sequence[Member], site: str) -> SiteCount:
    own = [one for one in held_out if one.smear.site == site]
    return SiteCount(site=site, patients=_patients(own), smears=len(own))


def _hidden(
    connection: Connection, scheme: Scheme, labelled: Labelled, sight: Sight
) -> frozenset[int]:
    return sight.hidden(connection, scheme, [one.id for one in _smears(labelled)])


def _without(labelled: Labelled, hidden: Collection[int]) -> Labelled:
    """As if nobody knew what these smears are."""
    known = [one for one in labelled.left_out if one.smear.id not in hidden]
    unknown = [LeftOut(one, HIDDEN) for one in _smears(labelled) if one.id in hidden]
    members = [one for one in labelled.members if one.smear.id not in hidden]
    return labelled._replace(members=members, left_out=[*known, *unknown])


def _smears(labelled: Labelled) -> list[Smear]:
    members = [one.smear for one in labelled.members]
    return [*members, *(one.smear for one in labelled.left_out)]


def _row(one: LeftOut) -> LeftOutSmear:
    smear = one.smear
    return LeftOutSmear(
        smear_id=smear.id,
        smear=smear.name,
        patient=smear.patient,
        site=smear.site,
        reason=one.reason,
    )
