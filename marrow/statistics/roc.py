"""ROC curves over weighted rows, and pointwise bands from drawing patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marrow.statistics.auc import scored_labels
from marrow.statistics.bootstrap import Floats, patient_weights

FALSE_ALARMS = np.linspace(0, 1, 101)
"""False positive rates at which curves and bands are given."""


@dataclass(frozen=True)
class RocCurve:
    """A ROC curve with its band.

    Attributes
    ----------
    sensitivity : float64 (101,)
        At each of `FALSE_ALARMS`, 0 to 1.
    low, high : float64 (101,) or None
        Ends of the pointwise 95% band; None where it cannot be estimated.
    reason : str or None
        Why there is no band.
    """

    sensitivity: Floats
    low: Floats | None
    high: Floats | None
    reason: str | None = None


def roc_curves(scores: Floats, truth: NDArray[np.bool_], weights: Floats) -> Floats:
    """Sensitivity at each of `FALSE_ALARMS`, for weighted rows.

    Between the points of the empirical curve it is interpolated along the chord, so that the
    area below equals the AUC with ties counted half.

    Parameters
    ----------
    scores : float64 (n,)
    truth : bool (n,)
    weights : float64 (D, n)

    Returns
    -------
    float64 (D, 101)
        NaN in draws that lack one of the classes.

    Source: Fawcett 2006, Pattern Recognit Lett 27:861, sections 4 and 8.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # last row of each tie
    ordered = weights[:, order]
    hits = np.cumsum(ordered * truth[order], axis=1)[:, ends]
    alarms = np.cumsum(ordered * ~truth[order], axis=1)[:, ends]
    curves = np.full((len(weights), len(FALSE_ALARMS)), np.nan)
    for draw, (hit, alarm) in enumerate(zip(hits, alarms, strict=True)):
        if hit[-1] and alarm[-1]:
            x, y = np.append(0, alarm / alarm[-1]), np.append(0, hit / hit[-1])
            # At a vertical step the upper end counts; np.interp takes the last of equal x.
            curves[draw] = np.interp(FALSE_ALARMS, x, y)
    return curves


def curve_and_draws(
    scores: Floats, truth: NDArray[np.bool_], patients: ArrayLike, draws: int = 2000, seed: int = 0
) -> tuple[Floats, Floats]:
    """The curve of the rows as they are, (101,), and that of each bootstrap draw, (draws, 101).

    Two calls with the same patients, draws and seed draw the same patients, so that the bands of
    two models rest on shared draws.

    Parameters
    ----------
    patients : array_like, (n,)
        Patient of each row; all rows of a patient are drawn together.

    Raises
    ------
    ValueError
        With fewer than 2 patients.
    """
    curve = roc_curves(scores, truth, np.ones((1, len(scores))))[0]
    weights = patient_weights(patients, draws=draws, seed=seed)
    return curve, np.concatenate([roc_curves(scores, truth, drawn) for drawn in weights])


def band_of(draws: Floats) -> Floats:
    """Pointwise 2.5% and 97.5% quantiles, (2, 101), of drawn curves, (D, 101), NaN left out."""
    return np.asarray(np.nanquantile(draws, [0.025, 0.975], axis=0))


def roc_curve(
    scores: ArrayLike, labels: ArrayLike, patients: ArrayLike, draws: int = 2000, seed: int = 0
) -> RocCurve:
    """A ROC curve with a pointwise 95% band over patients; see `curve_and_draws`.

    Parameters
    ----------
    scores : array_like, (n,)
        Higher means more likely positive.
    labels : array_like, (n,)
        True or 1 for positive, False or 0 for negative.

    Raises
    ------
    ValueError
        If a class is missing, a score is not finite, or the lengths differ.

    Source of the band: percentile bootstrap at each false positive rate, as for the AUC; Efron
    1987, JASA 82:171.
    """
    values, truth = scored_labels(scores, labels)
    names = np.asarray(patients)
    alone = min(len(set(names[truth].tolist())), len(set(names[~truth].tolist()))) < 2
    if alone:
        curve = roc_curves(values, truth, np.ones((1, len(values))))[0]
        return RocCurve(curve, None, None, "fewer than 2 patients in a class")
    curve, drawn = curve_and_draws(values, truth, names, draws, seed)
    low, high = band_of(drawn)
    return RocCurve(curve, low, high)
