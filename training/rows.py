"""Which views a run trains on, is validated on and is examined on at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from marrow.folds import fold_of, split_images
from marrow.records import TrainingSpec
from marrow.schemes import Scheme
from marrow.splits import patient_of
from training.augment import Copy, copies_of, seed2022_copies
from training.dataset import ORIGINAL, LabelledSmear, View, views_of
from training.splits import Sides, split_of

Side = Literal["train", "validation", "test", "held-out", "image"]
"""Where an examined view stands; `image`: on the test side of seed2022's split of images."""


@dataclass(frozen=True)
class Rows:
    """The views of a run and what each is for.

    Attributes
    ----------
    smears : list of LabelledSmear
        Of all sides, in the order of their identities.
    views : list of View
        Into `smears`. The same for every fold of a sweep, so that folds share their features.
    train : list of int
        Rows of `views` that train; under seed2022 a copy that the paper draws three times
        stands three times.
    validation : list of int
        Originals of the patients that the run leaves out.
    examined : list of int
        Rows that the finished model is tried on. Originals alone, each once; under seed2022
        the images of both sides as they are.
    sides : list of Side
        Of `examined`.
    """

    smears: list[LabelledSmear]
    views: list[View]
    train: list[int]
    validation: list[int]
    examined: list[int]
    sides: list[Side]


def rows_of(spec: TrainingSpec, scheme: Scheme, sides: Sides) -> Rows:
    """The rows of a run.

    Raises
    ------
    CannotSplit
        If a patient is on two sides, or the folds cannot be drawn.
    """
    split_of(sides.train, sides.test, spec.smear_is_patient, sides.held_out)
    smears = sorted((s for side in sides for s in side), key=lambda one: one.smear.identity)
    if spec.protocol == "seed2022":
        return _seed2022(spec, smears, sides)
    return _honest(spec, scheme, smears, sides)


def _honest(spec: TrainingSpec, scheme: Scheme, smears: list[LabelledSmear], sides: Sides) -> Rows:
    names: dict[int, Side] = {s.smear.id: "train" for s in sides.train}
    if spec.fold is not None:
        folds = fold_of(sides.train, scheme, spec.folds, spec.data_seed, spec.smear_is_patient)
        for one in sides.train:
            if folds[patient_of(one.smear, spec.smear_is_patient)] == spec.fold:
                names[one.smear.id] = "validation"
    else:
        names |= {s.smear.id: "test" for s in sides.test}
        names |= {s.smear.id: "held-out" for s in sides.held_out}
    copies = copies_of(spec.augment, spec.copies)
    trained = {one.smear.id for one in sides.train}
    views = views_of(smears, spec.tiles_per_slide, _copies_for(trained, copies))
    # The test side of a run that leaves out a fold is not looked at.
    side = [names.get(smears[view.smear].smear.id) for view in views]
    examined = [
        (row, its)
        for row, its in enumerate(side)
        if its is not None and views[row].copy == ORIGINAL
    ]
    return Rows(
        smears,
        views,
        train=[row for row, its in enumerate(side) if its == "train"],
        validation=[row for row, its in examined if its == "validation"],
        examined=[row for row, _ in examined],
        sides=[its for _, its in examined],
    )


def _seed2022(spec: TrainingSpec, smears: list[LabelledSmear], sides: Sides) -> Rows:
    """Augment first, then split the images: copies of one smear come to lie on both sides."""
    held_out = {one.smear.id for one in sides.held_out}
    trained = {one.smear.id for one in smears} - held_out
    drawn = (
        dict(seed2022_copies())
        if spec.augment == "seed8"
        else dict.fromkeys(copies_of(spec.augment, spec.copies), 1)
    )
    views = views_of(smears, spec.tiles_per_slide, _copies_for(trained, tuple(drawn)))
    own = [row for row, view in enumerate(views) if smears[view.smear].smear.id in trained]
    images = [row for row in own for _ in range(drawn[views[row].copy])]
    train, test = split_images(len(images), spec.test_share, spec.data_seed)
    others = [row for row, view in enumerate(views) if smears[view.smear].smear.id in held_out]
    rows: list[tuple[int, Side]] = [(images[k], "train") for k in train]
    rows += [(images[k], "image") for k in test]
    rows += [(row, "held-out") for row in others]
    return Rows(
        smears,
        views,
        train=[images[k] for k in train],
        validation=[],
        examined=[row for row, _ in rows],
        sides=[side for _, side in rows],
    )


def _copies_for(
    trained: set[int], copies: Sequence[Copy]
) -> Callable[[LabelledSmear], Sequence[Copy]]:
    """Training smears come in copies, all others as they are."""
    return lambda labelled: copies if labelled.smear.id in trained else (ORIGINAL,)
