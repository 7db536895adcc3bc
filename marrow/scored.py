"""What is counted when a model is judged: patients or images, each with its truth and answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from marrow.schemes import Head, Scheme
from marrow.splits import Answered, patient_of

Answers = Mapping[int, Mapping[str, npt.ArrayLike]]
"""Probabilities by smear id and head, in the order of the head's classes, sum 1."""


@dataclass(frozen=True)
class ScoredRows:
    """The rows that the figures of one head rest on.

    Attributes
    ----------
    head : Head
    unit : str
        What a row is: `patients` (each once) or `images` (several of one patient).
    patients : n pseudonyms
    smears : n tuples of int
        Ids of the smears behind each row.
    truth : int64 (n,)
        Index of the true class.
    probabilities : float64 (n, classes)
    """

    head: Head
    unit: str
    patients: tuple[str, ...]
    smears: tuple[tuple[int, ...], ...]
    truth: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def called(self) -> npt.NDArray[np.int64]:
        """Index of the most probable class, the first of equals, int64 (n,)."""
        called: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return called

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Whether the call is the truth, bool (n,)."""
        right: npt.NDArray[np.bool_] = self.called == self.truth
        return right

    @property
    def are_patients(self) -> bool:
        """Whether each row is a patient of its own, so that rows are independent."""
        return self.unit == "patients"

    @property
    def patient_count(self) -> int:
        """How many different patients the rows are of."""
        return len(set(self.patients))

    @property
    def classes(self) -> dict[str, int]:
        """Rows of each class."""
        counts = np.bincount(self.truth, minlength=len(self.head.classes)).tolist()
        return dict(zip(self.head.classes, counts, strict=True))

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """Rows of each true class (first axis) called each class, int64 (K, K)."""
        classes = len(self.head.classes)
        counts = np.bincount(self.truth * classes + self.called, minlength=classes**2)
        return counts.reshape(classes, classes).astype(np.int64)

    def only(self, rows: npt.NDArray[np.bool_]) -> ScoredRows:
        """Those of the rows that the mask, bool (n,), keeps."""
        kept = np.flatnonzero(rows)
        return replace(
            self,
            patients=tuple(self.patients[row] for row in kept),
            smears=tuple(self.smears[row] for row in kept),
            truth=self.truth[kept],
            probabilities=self.probabilities[kept],
        )


def scored_rows(
    head: Head,
    answers: Answers,
    smears: Sequence[Answered],
    scheme: Scheme,
    smear_is_patient: bool,
) -> ScoredRows:
    """The rows of one head: what has an answer of the model and of the readers.

    Unit patient: probabilities are averaged over the patient's smears, the diagnosis is the
    one that most of them have (of equally frequent ones the first in the head's order), and
    each patient is one row. Unit image: each image is a row.
    """
    known = [
        (patient_of(one.smear, smear_is_patient), one.smear.id, head.classes.index(answer))
        for one in smears
        if head.name in answers.get(one.smear.id, ())
        and (answer := one.answers.get(head.name)) is not None
    ]
    said = [np.asarray(answers[smear][head.name], dtype=np.float64) for _, smear, _ in known]
    images = ScoredRows(
        head,
        "images",
        tuple(patient for patient, _, _ in known),
        tuple((smear,) for _, smear, _ in known),
        np.array([truth for _, _, truth in known], dtype=np.int64),
        np.array(said, dtype=np.float64).reshape(-1, len(head.classes)),
    )
    return _by_patient(images) if scheme.unit == "patient" else images


def _by_patient(images: ScoredRows) -> ScoredRows:
    names, patient = np.unique(np.array(images.patients, dtype=str), return_inverse=True)
    count, classes = len(names), images.probabilities.shape[1]
    sizes = np.bincount(patient, minlength=count)
    votes, sums = np.zeros((count, classes)), np.zeros((count, classes))
    np.add.at(votes, (patient, images.truth), 1)
    np.add.at(sums, patient, images.probabilities)
    smears: list[list[int]] = [[] for _ in names]
    for row, own in enumerate(patient.tolist()):
        smears[own].extend(images.smears[row])
    return replace(
        images,
        unit="patients",
        patients=tuple(names.tolist()),
        smears=tuple(map(tuple, smears)),
        truth=votes.argmax(axis=1).astype(np.int64),
        probabilities=sums / np.maximum(sizes, 1)[:, None],
    )
