"""Parts of the training patients that are left out in turn, and the seed paper's split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from marrow.errors import CannotSplit
from marrow.schemes import Scheme
from marrow.splits import Answered, by_patients, classes_of, lot, patient_class

_REDRAWS = 200
"""Draws tried until no class loses all its training patients to one fold. Of a class with two
patients, two folds put both into one in half of the draws; with more folds more rarely."""

_Classes = dict[str, set[tuple[str, str]]]
"""Every (head, class) of a patient's smears, by patient."""


def fold_of(
    smears: Sequence[Answered],
    scheme: Scheme,
    folds: int,
    seed: int,
    smear_is_patient: bool,
) -> dict[str, int]:
    """The fold of each patient, 0 to folds - 1: grouped by patient, stratified by class.

    Patients are ordered by their class of the primary head (`patient_class`; those without an
    answer last), within it by a hash of (seed, patient), and dealt to the folds in turn. So
    each class, and the whole, differs by at most one patient between folds, and the draw is
    the same on every machine. It is made again where a class of any head would lose all its
    patients to one fold although it has two.

    Parameters
    ----------
    smears : sequence of Answered
        Of the training side.
    folds : int
        2 or more.
    smear_is_patient : bool
        A smear without patient is a patient of its own.

    Raises
    ------
    CannotSplit
        If there are fewer patients than folds, or if without one of the folds a class of the
        primary head would have no training patient.
    """
    grouped = by_patients(smears, smear_is_patient)
    if not 2 <= folds <= len(grouped):
        raise CannotSplit(
            f"{len(grouped)} training patients cannot be parted into {folds} folds; "
            f"give --folds 2 to {len(grouped)}, or 0 for none"
        )
    has = {patient: classes_of(own, scheme) for patient, own in grouped.items()}
    _refuse_single(has, scheme, folds)
    strata = {patient: patient_class(own, scheme) for patient, own in grouped.items()}
    best: tuple[tuple[int, int], dict[str, int]] | None = None
    for redraw in range(_REDRAWS):
        dealt = _deal(strata, scheme, folds, seed, redraw)
        lost = _lost(dealt, has, scheme, folds)
        if best is None or lost < best[0]:
            best = lost, dealt
        if lost == (0, 0):
            break
    if best is None or best[0][0]:
        raise CannotSplit(
            f"in none of {_REDRAWS} draws of {folds} folds among {len(grouped)} patients did every "
            f"class of {scheme.primary} keep a training patient; "
            "label more patients of the rarest classes, or give --folds 0 for none"
        )
    return best[1]


def split_images(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Rows of training and test images, each ascending, whatever patient they are of.

    The split of Wang et al. 2022, for replication alone: copies of one smear come to lie on
    both sides. Images are ordered by a hash of (seed, row).

    Parameters
    ----------
    count : int
        Augmented images in all.
    share : float
        Share of the test side, in (0, 1); round(share * count) images, at least 1 and at most
        count - 1.

    Raises
    ------
    CannotSplit
        If there are fewer than two images.
    """
    if count < 2:
        raise CannotSplit(f"{count} images cannot be split in two; label more smears")
    order = sorted(range(count), key=lambda row: _image_lot(seed, row))
    tested = min(max(round(share * count), 1), count - 1)
    return sorted(order[tested:]), sorted(order[:tested])


def _image_lot(seed: int, row: int) -> bytes:
    return hashlib.sha256(f"{seed}:image:{row}".encode()).digest()


def _refuse_single(has: _Classes, scheme: Scheme, folds: int) -> None:
    """Of one patient alone, the fold that leaves it out has nothing to train the class on."""
    names = scheme.head(scheme.primary).classes
    counts = [sum((scheme.primary, name) in own for own in has.values()) for name in names]
    if min(counts) < 2:
        told = ", ".join(f"{count} of {name}" for count, name in zip(counts, names, strict=True))
        raise CannotSplit(
            f"{folds} folds leave a class without a training patient ({scheme.primary}: {told}); "
            "each class needs 2 training patients: label more, or give --folds 0 for none"
        )


def _deal(
    strata: Mapping[str, str | None], scheme: Scheme, folds: int, seed: int, redraw: int
) -> dict[str, int]:
    rank = {name: number for number, name in enumerate(scheme.head(scheme.primary).classes)}
    order = sorted(
        strata, key=lambda p: (rank.get(strata[p] or "", len(rank)), lot(seed, redraw, p))
    )
    return {patient: number % folds for number, patient in enumerate(order)}


def _lost(dealt: Mapping[str, int], has: _Classes, scheme: Scheme, folds: int) -> tuple[int, int]:
    """How many (fold, class) have all of the class's patients in the fold: primary, other heads.

    A class of another head that a single patient has is no loss that a draw could avoid.
    """
    everywhere = Counter(one for own in has.values() for one in own)
    lost = [0, 0]
    for fold in range(folds):
        here = Counter(one for patient, own in has.items() if dealt[patient] == fold for one in own)
        for (head, name), count in here.items():
            if count == everywhere[head, name] > 1:
                lost[head != scheme.primary] += 1
    return lost[0], lost[1]
