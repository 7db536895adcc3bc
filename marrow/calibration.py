"""How far a model's probabilities can be believed: what its card says, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, FiniteFloat, ValidationError

from marrow.errors import BadModel
from marrow.records import Probability, Record
from marrow.schemes import Head, first_fault
from marrow.statistics.conformal import conformal_set


class HeadCalibration(Record):
    """What was measured of one head on patients that the network had not seen."""

    temperature: FiniteFloat = Field(gt=0)
    """Served probabilities are softmax(log p / temperature); 1 changes nothing."""
    unsure_below: Probability | None = None
    """Highest probability of a smear under which its call is unsure; None: too few to say.
    Only the primary head's raises the flag: each further head would add false alarms."""
    conformal: tuple[Probability | None, ...]
    """By class, the largest 1 - p at which it cannot be ruled out; None: it never can be."""
    conformal_note: str = ""
    """A sentence that says for which classes there were too few patients; "" if for none."""
    patients: int = Field(ge=0)
    """Whose answer to this head is known."""


class Calibration(Record):
    """What a model knows of its limits: fitted on calibration patients, never on the test side."""

    heads: dict[str, HeadCalibration]
    confidence: float = Field(0.9, gt=0, lt=1)
    """Of the conformal sets."""
    right_withheld: float = Field(0.1, gt=0, lt=1)
    """Share of the right calls under `unsure_below`: the declared rate of false alarms."""
    distances: tuple[FiniteFloat, ...] = Field((), max_length=2_000)
    """How far smears lie from training patients who are not their own, ascending; each of the
    patients has an equal share of them. Standard deviations (Mahalanobis)."""
    distance_patients: int = Field(0, ge=0)
    """From how many patients they are."""
    unlike_below: float = Field(0.05, gt=0, lt=1)
    """Rank p-value at and below which a smear is unlike the training set: the declared rate of
    false alarms."""
    source: str
    """For example `out-of-fold predictions of 80 patients in 5 folds`."""

    def possible(self, head: Head, probabilities: Sequence[float]) -> tuple[str, ...] | None:
        """The classes that cannot be ruled out at the promised confidence.

        Parameters
        ----------
        probabilities : (classes,), as served

        Returns
        -------
        tuple of str
            In the scheme's order. Empty: no class's own patients look like this. None: no
            class can be ruled out of anything, because each has too few patients.
        """
        quantiles = self.heads[head.name].conformal
        if all(quantile is None for quantile in quantiles):
            return None
        (held,) = conformal_set([probabilities], quantiles)
        return tuple(name for name, one in zip(head.classes, held, strict=True) if one)


def calibration_of(card: Mapping[str, Any]) -> Calibration | None:
    """The calibration on a stored model card; None for a model without.

    Raises
    ------
    BadModel
        If it is none of this version.
    """
    stored = card.get("calibration")
    if stored is None:
        return None
    try:
        return Calibration.model_validate(stored)
    except ValidationError as error:
        raise BadModel(
            f"a model's card holds no calibration of this version ({first_fault(error)}); "
            "train or import the model again"
        ) from error
