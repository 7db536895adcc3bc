"""The sides of a run, and the record of them that stands on a model's card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from marrow.errors import CannotSplit
from marrow.records import Record
from marrow.splits import patient_of
from training.dataset import LabelledSmear, data_hash


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
