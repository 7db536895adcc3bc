"""Which patients are tested: drawn once per study, by patient, stratified by class."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from marrow.errors import CannotSplit
from marrow.records import Record
from marrow.schemes import Scheme
from training.dataset import LabelledSmear, data_hash, patient_of

_REDRAWS = 1000
"""Draws tried until every class keeps a training patient; one is nearly always enough."""


class Sides(NamedTuple):
    """The labelled smears of a study, each on the side of its patient."""

    train: list[LabelledSmear]
    test: list[LabelledSmear]
    held_out: list[LabelledSmear]
    """Of sites that the spec keeps out of training and testing."""


class Split(Record):
    """Who trained a model and who tests it; no patient and no smear is on two sides."""

    train_patients: tuple[str, ...]
    test_patients: tuple[str, ...]
    held_out_patients: tuple[str, ...] = ()
    train_smears: tuple[int, ...]
    """Ids of the smears, sorted; as are those of the other sides."""
    test_smears: tuple[int, ...]
    held_out_smears: tuple[int, ...] = ()
    hashes: dict[str, str]
    """`data_hash` of each side: `train`, `test`, `held_out`."""


def patient_class(
    smears: Iterable[LabelledSmear], scheme: Scheme, head: str | None = None
) -> str | None:
    """The class that most smears of one patient have; None if none of them has an answer.

    Of equally frequent classes the first in the scheme's order. `head` None: the primary one.
    """
    asked = scheme.head(head or scheme.primary)
    counts = Counter(smear.answers[asked.name] for smear in smears)
    known = [name for name in asked.classes if counts[name]]
    return max(known, key=lambda name: counts[name]) if known else None


def draw_test_patients(
    smears: Sequence[LabelledSmear],
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
    smears: Sequence[LabelledSmear], test_patients: frozenset[str], smear_is_patient: bool
) -> tuple[list[LabelledSmear], list[LabelledSmear]]:
    """Training and test smears, each in the order of their ids.

    A patient who came after the draw trains: test patients never move.
    """
    ordered = sorted(smears, key=lambda smear: smear.smear.id)
    is_test = [patient_of(s.smear, smear_is_patient) in test_patients for s in ordered]
    train = [smear for smear, test in zip(ordered, is_test, strict=True) if not test]
    return train, [smear for smear, test in zip(ordered, is_test, strict=True) if test]


def split_of(
    train: Sequence[LabelledSmear],
    test: Sequence[LabelledSmear],
    smear_is_patient: bool,
    held_out: Sequence[LabelledSmear] = (),
) -> Split:
    """The record of a split, as it stands on the model's card.

    Raises
    ------
    CannotSplit
        If a patient is on two sides: the figures of such a model would be leakage.
    """
    sides = {"train": train, "test": test, "held_out": held_out}
    patients = {
        name: sorted({patient_of(s.smear, smear_is_patient) for s in side})
        for name, side in sides.items()
    }
    for name, other in (("test", "train"), ("held_out", "train"), ("held_out", "test")):
        both = set(patients[name]) & set(patients[other])
        if both:
            what = name.replace("_", "-")
            raise CannotSplit(
                f"{len(both)} of {len(patients[name])} {what} patients also {other}; "
                "give every patient one side, and train on the others alone"
            )
    own: dict[str, Any] = {f"{name}_patients": tuple(found) for name, found in patients.items()}
    own |= {f"{name}_smears": tuple(sorted(s.smear.id for s in sides[name])) for name in sides}
    return Split(**own, hashes={name: data_hash(side) for name, side in sides.items()})


def require_classes(smears: Sequence[LabelledSmear], scheme: Scheme) -> None:
    """Raise CannotSplit unless each class of the primary head has a smear among these."""
    head = scheme.head(scheme.primary)
    counts = Counter(smear.answers[head.name] for smear in smears)
    if not all(counts[name] for name in head.classes):
        told = ", ".join(f"{counts[name]} of {name}" for name in head.classes)
        raise CannotSplit(
            f"not every class has a smear to train on ({head.name}: {told}); "
            "label more patients, or hold out fewer sites"
        )


def by_patients(
    smears: Sequence[LabelledSmear], smear_is_patient: bool
) -> dict[str, list[LabelledSmear]]:
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
    grouped: dict[str, list[LabelledSmear]] = {}
    for smear in smears:
        grouped.setdefault(patient_of(smear.smear, smear_is_patient), []).append(smear)
    return grouped


def _refuse_too_few(by_patient: Mapping[str, Sequence[LabelledSmear]], scheme: Scheme) -> None:
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


def classes_of(smears: Iterable[LabelledSmear], scheme: Scheme) -> set[tuple[str, str]]:
    """Every (head, class) that at least one smear has."""
    return {
        (head.name, answer)
        for smear in smears
        for head in scheme.heads
        if (answer := smear.answers[head.name]) is not None
    }
