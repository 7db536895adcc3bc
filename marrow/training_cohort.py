"""Who trains, who tests and who is left out of a training, and why, before any file is opened.

This is the one place of the rule: workers train by it, and viewers show it beforehand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection

from marrow.catalogue import cohorts, labels, smears
from marrow.catalogue.labels import NOTHING_GIVEN
from marrow.catalogue.smears import SmearFilter
from marrow.errors import CannotSplit
from marrow.records import Smear, TrainingSpec
from marrow.schemes import Scheme
from marrow.splits import draw_test_patients, patient_of, require_classes, split

_NAMED = 3
"""Patients that a sentence names one by one."""
BY_HAND = "left out by hand"


class Member(NamedTuple):
    """A smear that counts, and its answers: every head of the scheme, None where nobody knows."""

    smear: Smear
    answers: dict[str, str | None]
    is_blind: bool
    """Whether no reader had seen a prediction."""


class LeftOut(NamedTuple):
    """A labelled smear that does not count, and why."""

    smear: Smear
    reason: str
    """`unsure`, `conflict`, `locked site NAME`, `patient also of site NAME`, or `left out by
    hand: REASON`."""


class Labelled(NamedTuple):
    """The labelled smears of a study, as they stood at one moment."""

    members: list[Member]
    """Whose readers agree, in the order of their ids; none of a locked site."""
    left_out: list[LeftOut]
    external: list[Smear]
    """All smears of locked sites, labelled or not."""
    locked: frozenset[str]
    """Names of these sites."""
    test_patients: frozenset[str]
    """Empty before they are drawn."""


class Cohort(NamedTuple):
    """Each smear that counts on the side of its patient, in the order of the ids."""

    train: list[Member]
    test: list[Member]
    held_out: list[Member]
    """Of sites that the spec keeps out of training and testing."""
    left_out: list[LeftOut]

    @property
    def excluded(self) -> Counter[str]:
        """Labelled smears that do not count, by reason."""
        return Counter(one.reason for one in self.left_out)


def read_labelled(
    connection: Connection, scheme: Scheme, smear_is_patient: bool, *, is_begun: bool = False
) -> Labelled:
    """The labelled smears; those of locked sites stay hidden.

    Parameters
    ----------
    is_begun : bool
        A run goes on from a checkpoint, which holds the answers that it began with. Then
        smears without an answer come along too: somebody may have taken theirs back since.
    """
    agreed = labels.consensus(connection)
    shown = SmearFilter(labelled=None if is_begun else True)
    locked = cohorts.locked_sites(connection)
    external = [
        one
        for site in locked
        for one in smears.get(connection, smears.all_ids(connection, SmearFilter(site=site)))
    ]
    members, left_out = [], []
    for one in smears.get(connection, smears.all_ids(connection, shown)):
        known = agreed.get(one.id, NOTHING_GIVEN)
        if one.site in locked:
            if known.answers:
                left_out.append(LeftOut(one, f"locked site {one.site}"))
            continue
        if not known.answers:
            if known.excluded:
                left_out.append(LeftOut(one, " and ".join(sorted(set(known.excluded.values())))))
            if not is_begun or (one.patient is None and not smear_is_patient):
                continue
        members.append(Member(one, scheme.complete(known.answers), known.is_blind))
    drawn = smears.test_patients(connection)
    return Labelled(members, left_out, external, frozenset(locked), drawn)


def draw_wanted(labelled: Labelled, scheme: Scheme, spec: TrainingSpec) -> frozenset[str] | None:
    """The test patients that a study's first honest training draws; None where none is drawn.

    Raises
    ------
    CannotSplit
        If no draw can be made of the labels.
    """
    if spec.protocol == "seed2022" or labelled.test_patients:
        return None
    own, held_out, left_out = set_apart(labelled, spec)
    _refuse(labelled, own + held_out, left_out, spec)
    _refuse_by_hand(labelled, spec, frozenset())
    external = _external_patients(labelled, held_out)
    inside = [one for one in own if one.smear.patient not in external]
    share, seed = spec.test_share, spec.data_seed
    return draw_test_patients(inside, scheme, share, seed, spec.smear_is_patient)


def cohort_of(
    labelled: Labelled,
    scheme: Scheme,
    spec: TrainingSpec,
    test_patients: frozenset[str],
    *,
    is_begun: bool = False,
) -> Cohort:
    """The sides of a training.

    Smears of `hold_out_sites` are on a side of their own, those of locked sites on none; the
    other smears of their patients are left out of the training side. Under seed2022 everything
    that is not held out trains, test patients too: that is the point of the protocol.

    Parameters
    ----------
    test_patients : frozenset of str
        As they were drawn.
    is_begun : bool
        As in `read_labelled`.

    Raises
    ------
    CannotSplit
        If no split can be made of the labels, if a site to hold out or a patient to leave out is
        unknown, or if a test patient is left out or has smears of a held-out or locked site.
    """
    own, held_out, left_out = set_apart(labelled, spec)
    _refuse(labelled, own + held_out, left_out, spec)
    _refuse_by_hand(labelled, spec, test_patients)
    external = _external_patients(labelled, held_out)
    is_honest = spec.protocol == "honest"
    drawn = test_patients if is_honest else frozenset[str]()
    train, test = split(own, drawn, spec.smear_is_patient)
    if is_honest:
        _refuse_sides(train, test, external)
    left_out += [
        LeftOut(one.smear, f"patient also of site {external[one.smear.patient]}")
        for one in train
        if one.smear.patient in external and _is_labelled(one)
    ]
    train = [one for one in train if one.smear.patient not in external]
    if not is_begun:
        require_classes(train, scheme)
    return Cohort(train, test, held_out, left_out)


def set_apart(
    labelled: Labelled, spec: TrainingSpec
) -> tuple[list[Member], list[Member], list[LeftOut]]:
    """Members of the study's own sites, those of sites to hold out, and who is left out so far.

    Whoever is left out by hand is, whether or not the training would be refused.
    """
    by_hand = dict(spec.left_out)
    own, held_out, left_out = [], [], list(labelled.left_out)
    for one in labelled.members:
        reason = by_hand.get(
            one.smear.name, by_hand.get(one.smear.patient or one.smear.own_patient)
        )
        if reason is not None:
            left_out.append(LeftOut(one.smear, f"{BY_HAND}: {reason}"))
        elif one.smear.site in spec.hold_out_sites:
            held_out.append(one)
        else:
            own.append(one)
    return own, held_out, left_out


def _is_labelled(one: Member) -> bool:
    return any(answer is not None for answer in one.answers.values())


def _external_patients(labelled: Labelled, held_out: Collection[Member]) -> dict[str, str]:
    """Site by patient, of the patients of held-out and locked sites."""
    smears_of_sites = [*labelled.external, *(one.smear for one in held_out)]
    return {one.patient: one.site for one in smears_of_sites if one.patient and one.site}


def _refuse(
    labelled: Labelled,
    members: Collection[Member],
    left_out: Collection[LeftOut],
    spec: TrainingSpec,
) -> None:
    if not members:
        raise CannotSplit(_nothing_labelled(Counter(one.reason for one in left_out)))
    counts = Counter(one.smear.site for one in members if one.smear.site is not None)
    for site in spec.hold_out_sites:
        if site in labelled.locked:
            raise CannotSplit(
                f"Site {site!r} is locked and cannot be held out of a sweep: try a finished model "
                f"on it with `marrow validate MODEL --site {site}`"
            )
        if not counts[site]:
            known = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
            raise CannotSplit(
                f"Site {site!r} has no labelled smear to hold out; "
                f"sites with labelled smears: {known or 'none'}"
            )


def _nothing_labelled(excluded: Counter[str]) -> str:
    if not excluded:
        return "No smear has a label: import a labels.csv, or label smears first"
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(excluded.items()))
    return f"No labelled smear is left to train on ({counts}): label others, or settle conflicts"


def _refuse_by_hand(labelled: Labelled, spec: TrainingSpec, test_patients: frozenset[str]) -> None:
    """Who is left out by hand must be there, and no test patient: the draw never moves."""
    for asked, _ in spec.left_out:
        own = [
            one.smear
            for one in labelled.members
            if asked in (one.smear.name, one.smear.patient or one.smear.own_patient)
        ]
        if not own:
            raise CannotSplit(
                f"{asked!r} is neither a patient with a labelled smear nor the name of one: give "
                "the pseudonym of a patient, or a smear as S000148"
            )
        patients = {patient_of(one, spec.smear_is_patient) for one in own}
        if spec.protocol == "honest" and patients & test_patients:
            raise CannotSplit(
                f"{asked!r} belongs to the study's test patients, who never move: label a smear "
                "that is none of its patient `unsure` instead of leaving it out"
            )


def _refuse_sides(
    train: Collection[Member], test: Collection[Member], external: dict[str, str]
) -> None:
    both = sorted({one.smear.patient for one in test if one.smear.patient in external} - {None})
    if both:
        some = ", ".join(str(name) for name in both[:_NAMED])
        more = f" and {len(both) - _NAMED} more" if len(both) > _NAMED else ""
        sites = ", ".join(sorted({external[str(name)] for name in both}))
        raise CannotSplit(
            f"{len(both)} test patients also have smears of the external site {sites} "
            f"({some}{more}): give all smears of a patient one site, or do not hold it out"
        )
    if not train or not test:
        side = "training" if not train else "test"
        raise CannotSplit(
            f"No labelled smear is left on the {side} side; "
            "label more patients, or hold out fewer sites"
        )
