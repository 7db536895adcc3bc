"""Which patients are tested: drawn once per study, by patient, stratified by class."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from marrow.errors import CannotSplit
from marrow.records import Smear
from marrow.schemes import Scheme

_REDRAWS = 1000
"""Draws tried until every class keeps a training patient; one is nearly always enough."""


class Answered(Protocol):
    """A smear and one answer per head of the scheme; None: nobody knows."""

    @property
    def smear(self) -> Smear: ...
    @property
    def answers(self) -> Mapping[str, str | None]: ...


One = TypeVar("One", bound=Answered)


def patient_of(smear: Smear, smear_is_patient: bool) -> str:
    """The patient's pseudonym; a smear without one is, if so told, its own patient.

    A known patient always counts: two smears of one patient never become two patients.

    Raises
    ------
    CannotSplit
        If the smear has no patient and may not be one.
    """
    if smear.patient is not None:
        return smear.patient
    if not smear_is_patient:
        raise CannotSplit(
            f"{smear.name} has no patient; name its patient, "
            "or say that each smear without one is its own (--smear-is-patient)"
        )
    return smear.own_patient


def patient_class(
    smears: Iterable[Answered], scheme: Scheme, head: str | None = None
) -> str | None:
    """The class that most smears of one patient have; None if none of them has an answer.

    Of equally frequent classes the first in the scheme's order. `head` None: the primary one.
    """
    asked = scheme.head(head or scheme.primary)
    counts = Counter(smear.answers[asked.name] for smear in smears)
    known = [name for name in asked.classes if counts[name]]
    return max(known, key=lambda name: counts[name]) if known else None


def draw_test_patients(
    smears: Sequence[Answered],
    scheme: Scheme,
    share: float,
    seed: int,
    smear_is_patient: bool,
) -> frozenset[str]:
    """Patients of the test side, drawn apart in each class of the primary head.

    The class of a patient is the one that most of the patient's smears have. Of a class
    with n patients round(share * n) are drawn, at least 1 and at most n - 1; the only
    patient of a class trains. Of patients without an answer to the primary head the same
    share is drawn, possibly none. The draw orders patients by a hash of (seed, patient),
    so that it is the same on every machine and under every version of numpy.

    Parameters
    ----------
    share : float
        Share of the patients, not of the smears, in (0, 1).
    smear_is_patient : bool
        A smear without patient is a patient of its own.

    Raises
    ------
    CannotSplit
        If smears have no patient and may not count as one, if a class of the primary head
        has no patient, or if no class has two.
    """
    by_patient = by_patients(smears, smear_is_patient)
    strata: dict[str | None, list[str]] = {name: [] for name in scheme.head(scheme.primary).classes}
    for patient, own in by_patient.items():
        strata.setdefault(patient_class(own, scheme), []).append(patient)
    _refuse_too_few(by_patient, scheme)
    wanted = classes_of(smears, scheme)
    for redraw in range(_REDRAWS):
        test = _draw(strata, share, seed, redraw)
        kept = [s for p, own in by_patient.items() if p not in test for s in own]
        if classes_of(kept, scheme) == wanted:
            return test
    raise CannotSplit(
        f"in none of {_REDRAWS} draws of {len(by_patient)} patients did every class of every head "
        "keep a training patient; label more patients of the rarest classes"
    )


def split(
    smears: Sequence[One], test_patients: frozenset[str], smear_is_patient: bool
) -> tuple[list[One], list[One]]:
    """Training and test smears, each in the order of their ids.

    A patient who came after the draw trains: test patients never move.
    """
    ordered = sorted(smears, key=lambda smear: smear.smear.id)
    is_test = [patient_of(s.smear, smear_is_patient) in test_patients for s in ordered]
    train = [smear for smear, test in zip(ordered, is_test, strict=True) if not test]
    return train, [smear for smear, test in zip(ordered, is_test, strict=True) if test]


def require_classes(smears: Sequence[Answered], scheme: Scheme) -> None:
    """Raise CannotSplit unless each class of the primary head has a smear among these."""
    head = scheme.head(scheme.primary)
    counts = Counter(smear.answers[head.name] for smear in smears)
    if not all(counts[name] for name in head.classes):
        told = ", ".join(f"{counts[name]} of {name}" for name in head.classes)
        raise CannotSplit(
            f"not every class has a smear to train on ({head.name}: {told}); "
            "label more patients, or hold out fewer sites"
        )


def by_patients(smears: Sequence[One], smear_is_patient: bool) -> dict[str, list[One]]:
    """The smears of each patient.

    Raises
    ------
    CannotSplit
        If smears have no patient and may not count as one.
    """
    lacking = sum(smear.smear.patient is None for smear in smears)
    if lacking and not smear_is_patient:
        raise CannotSplit(
            f"{lacking} of {len(smears)} labelled smears have no patient; name their patients, "
            "or say that each of these smears is its own patient (--smear-is-patient)"
        )
    grouped: dict[str, list[One]] = {}
    for smear in smears:
        grouped.setdefault(patient_of(smear.smear, smear_is_patient), []).append(smear)
    return grouped


def _refuse_too_few(by_patient: Mapping[str, Sequence[Answered]], scheme: Scheme) -> None:
    head = scheme.head(scheme.primary)
    patients: Counter[str] = Counter()
    for own in by_patient.values():
        if scheme.unit == "image":  # a patient's images may be of several classes
            patients.update(name for asked, name in classes_of(own, scheme) if asked == head.name)
        else:
            patients.update(filter(None, [patient_class(own, scheme)]))
    counts = [patients[name] for name in head.classes]
    if not all(counts) or max(counts) < 2:
        told = ", ".join(f"{n} of {name}" for n, name in zip(counts, head.classes, strict=True))
        raise CannotSplit(
            f"too few labelled patients to train and test on ({scheme.primary}: {told}); "
            "each class needs a patient, and two where it is to be tested"
        )


def _draw(
    strata: dict[str | None, list[str]], share: float, seed: int, redraw: int
) -> frozenset[str]:
    test: set[str] = set()
    for name, patients in strata.items():
        count = round(share * len(patients))
        if name is not None and patients:
            count = min(max(count, 1), len(patients) - 1)
        order = sorted(patients, key=lambda p: lot(seed, redraw, p))
        test.update(order[:count])
    return frozenset(test)


def lot(seed: int, redraw: int, patient: str) -> bytes:
    """What draws are ordered by: the same on every machine, for every version of numpy."""
    return hashlib.sha256(f"{seed}:{redraw}:{patient}".encode()).digest()


def classes_of(smears: Iterable[Answered], scheme: Scheme) -> set[tuple[str, str]]:
    """Every (head, class) that at least one smear has."""
    return {
        (head.name, answer)
        for smear in smears
        for head in scheme.heads
        if (answer := smear.answers[head.name]) is not None
    }
