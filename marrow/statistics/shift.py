"""Shift between sites: can it be told where a smear was stained and scanned, and by what?"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from marrow.statistics.auc import auc_metric
from marrow.statistics.bootstrap import Floats, patient_bootstrap
from marrow.statistics.inputs import Bools, Numbers, checked_weights, patient_numbers
from marrow.statistics.interval import Interval
from marrow.statistics.rates import quotient


def site_auc(
    features: ArrayLike,
    is_site: ArrayLike,
    groups: ArrayLike,
    folds: int = 5,
    penalty: float = 1.0,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """How well the features tell one site from the rest, for patients not learned from.

    0.5: the sites look alike; 1: every smear betrays its site, and the model may have learned the
    site for the disease. A logistic regression on standardised features is fitted on all folds but
    one and scores that one; the AUC is over the scores of all folds, its interval over patients.
    The interval takes the fitted regressions as given and is too narrow for it: of sites that are
    alike it covers 0.5 in 80 to 87% (measured, 60 and 100 patients; docs/statistics.md). A low end
    just above 0.5 shows nothing.

    Parameters
    ----------
    features : array_like, (n, d)
        Pooled features, or `Appearance.row` of each smear.
    is_site : array_like, (n,)
        True or 1 for the site in question.
    groups : array_like, (n,)
        Patient of each row; a patient belongs to one side and to one fold.
    folds : int
        2 to the number of patients of the smaller side.
    penalty : float
        As in `fit_logistic`.

    Raises
    ------
    ValueError
        If a side has fewer patients than there are folds, or a patient is on both.

    Source: the site classifier as a test of two samples: Lopez-Paz and Oquab 2017, ICLR.
    """
    rows, marks = _rows_and_sides(features, is_site)
    fold = _grouped_folds(marks, groups, folds, seed)
    scores = np.empty(len(rows))
    for k in range(folds):
        inside, outside = rows[fold != k], rows[fold == k]
        mean, spread = inside.mean(axis=0), inside.std(axis=0)
        spread[spread == 0] = 1  # a constant feature tells nothing
        slope, intercept = fit_logistic((inside - mean) / spread, marks[fold != k], penalty)
        scores[fold == k] = (outside - mean) / spread @ slope + intercept
    return patient_bootstrap(
        auc_metric(scores, marks), groups, marks, draws=draws, seed=seed, confidence=confidence
    )


def fit_logistic(
    features: ArrayLike,
    labels: ArrayLike,
    penalty: float = 1.0,
    weights: ArrayLike | None = None,
) -> tuple[Floats, float]:
    """Slopes (d,) and intercept of a ridge logistic regression.

    Minimises sum_i w_i log(1 + exp(-s_i (x_i b + a))) + penalty |b|^2 / 2 over b and a by L-BFGS,
    with s_i = 1 for positives and -1 for the others; the intercept a is free. It is scikit-learn's
    `LogisticRegression(C=1 / penalty)`. The penalty keeps the slopes finite where the sides can be
    parted fully, as they can whenever d > n.

    Parameters
    ----------
    features : array_like, (n, d)
    labels : array_like, (n,)
        True or 1 for positive; both must occur.
    penalty : float
        Above 0.
    weights : array_like, (n,), optional

    Raises
    ------
    ValueError
        If the shapes do not fit, a feature is not finite, a class is missing or the penalty is not
        above 0.

    Source: le Cessie and van Houwelingen 1992, Appl Stat 41:191.
    """
    rows, marks = _rows_and_sides(features, labels)
    share, sign = checked_weights(weights, len(rows)), np.where(marks, 1.0, -1.0)
    if not penalty > 0:
        raise ValueError(f"penalty is {penalty}; it must be above 0")

    def loss(unknown: Floats) -> tuple[float, Floats]:
        slope, intercept = unknown[:-1], unknown[-1]
        margin = sign * (rows @ slope + intercept)
        pull = -share * sign * scipy.special.expit(-margin)  # derivative by each row's score
        value = -share @ scipy.special.log_expit(margin) + penalty * slope @ slope / 2
        return float(value), np.append(pull @ rows + penalty * slope, pull.sum())

    found = scipy.optimize.minimize(
        loss,
        np.zeros(rows.shape[1] + 1),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 1e-14, "gtol": 1e-7, "maxiter": 2000},
    )
    return np.asarray(found.x[:-1]), float(found.x[-1])


@dataclass(frozen=True)
class Appearance:
    """Colour and focus of an image, in five numbers.

    Attributes
    ----------
    od_red, od_green, od_blue : float
        Mean optical density -ln(I / 255), 0 (white) to 5.5; a value of 0 counts as 1.
    saturation : float
        Mean of (max - min) / max over the three channels, 0 (grey) to 1; black counts as 0.
    sharpness : float
        Variance of the Laplacian of the grey image, in squared grey levels; falls out of focus.
    """

    od_red: float
    od_green: float
    od_blue: float
    saturation: float
    sharpness: float

    def row(self) -> Floats:
        """The five numbers in this order, (5,)."""
        return np.array(astuple(self))


def appearance(image: NDArray[np.uint8]) -> Appearance:
    """Colour and focus of an image, to be compared between sites at one pixel size.

    Grey is 0.299 R + 0.587 G + 0.114 B, the Laplacian is that of the four neighbours, with the
    border mirrored.

    Parameters
    ----------
    image : ndarray of uint8, (H, W, 3)

    Raises
    ------
    ValueError
        If it is no such array.

    Source: optical density: Ruifrok and Johnston 2001, Anal Quant Cytol Histol 23:291; focus:
    Pech-Pacheco et al. 2000, ICPR 3:314.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"the image is {image.dtype} {image.shape}; wanted is uint8 (H, W, 3)")
    density = -np.log(np.maximum(np.arange(256), 1) / 255)  # by grey level
    red, green, blue = (float(density[image[..., channel]].mean()) for channel in range(3))
    brightest = image.max(axis=2).astype(np.float64)
    range_of = brightest - image.min(axis=2)
    saturation = np.divide(range_of, brightest, out=np.zeros_like(brightest), where=brightest > 0)
    grey = image @ np.array([0.299, 0.587, 0.114])
    sharpness = float(scipy.ndimage.laplace(grey, mode="mirror").var())
    return Appearance(red, green, blue, float(saturation.mean()), sharpness)


def standardised_difference(
    values: ArrayLike,
    is_site: ArrayLike,
    groups: ArrayLike,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """How far a site's patients lie from the others' in a number such as the mean stain.

    (mean of the site - mean of the rest) / sqrt((s1^2 + s2^2) / 2), over one value a patient (the
    mean of its rows), with s1 and s2 the standard deviations (n - 1) of either side. 0.1 is
    commonly called negligible, 0.8 large.

    Parameters
    ----------
    values : array_like, (n,)
    is_site, groups
        As in `site_auc`.
    draws, seed, confidence
        As in `patient_bootstrap`; drawn by side.

    Raises
    ------
    ValueError
        If a side has fewer than 2 patients, a patient is on both, or neither side varies.

    Source: Cohen 1988, Statistical Power Analysis, section 2.2; Austin 2009, Stat Med 28:3083.
    """
    rows, marks = _rows_and_sides(np.reshape(values, (-1, 1)), is_site)
    names, patient = patient_numbers(groups, len(rows))
    side = _side_of_patients(marks, names, patient)
    per_patient = np.bincount(patient, rows[:, 0]) / np.bincount(patient)
    # Centred, so that squares of large values do not drown their differences.
    centred = per_patient - per_patient.mean()
    sums = np.stack([np.ones(len(names)), centred, centred**2], axis=1)  # (P, 3)

    def difference(weights: Floats) -> Floats:
        (mean_1, variance_1), (mean_2, variance_2) = (
            _mean_and_variance(weights[:, of] @ sums[of]) for of in (side, ~side)
        )
        # Of a side that does not vary rounding leaves 1e-17.
        spread = np.maximum((variance_1 + variance_2) / 2, 0)
        spread[spread < 1e-12 * centred.var()] = 0
        return quotient(mean_1 - mean_2, np.sqrt(spread))

    return patient_bootstrap(
        difference, np.arange(len(names)), side, draws=draws, seed=seed, confidence=confidence
    )


def _mean_and_variance(sums: Floats) -> tuple[Floats, Floats]:
    """Of weighted values, from their count, sum and sum of squares (D, 3); n - 1 below."""
    count, total, squares = sums.T
    mean = quotient(total, count)
    return mean, quotient(squares - count * mean**2, count - 1)


def _grouped_folds(marks: Bools, groups: ArrayLike, folds: int, seed: int) -> Numbers:
    """Fold of each row, 0 to folds - 1: each side's patients shuffled and dealt out in turn."""
    names, patient = patient_numbers(groups, len(marks))
    side = _side_of_patients(marks, names, patient)
    fewest = min(int(side.sum()), int((~side).sum()))
    if not 2 <= folds <= fewest:
        raise ValueError(f"{folds} folds of {fewest} patients on the smaller side; take 2 to that")
    rng, fold = np.random.default_rng(seed), np.empty(len(names), dtype=np.int64)
    for of in (side, ~side):
        fold[rng.permutation(np.flatnonzero(of))] = np.arange(of.sum()) % folds
    return np.asarray(fold[patient])


def _side_of_patients(marks: Bools, names: NDArray[Any], patient: Numbers) -> Bools:
    """Whether each patient (P,) is of the site."""
    share = np.bincount(patient, marks) / np.bincount(patient)
    both = np.flatnonzero((share > 0) & (share < 1))
    if len(both):
        raise ValueError(f"patient {names[both[0]]} is on both sides; a patient has one site")
    return np.asarray(share == 1)


def _rows_and_sides(features: ArrayLike, is_site: ArrayLike) -> tuple[Floats, Bools]:
    rows, marks = np.asarray(features, dtype=np.float64), np.asarray(is_site)
    if rows.ndim != 2 or marks.shape != rows.shape[:1] or not np.isfinite(rows).all():
        raise ValueError(
            f"features {rows.shape} and sides {marks.shape} must be rows of finite numbers and "
            "one mark a row"
        )
    if not np.isin(marks, (0, 1)).all() or len(np.unique(marks)) != 2:
        raise ValueError("a comparison takes rows of both sides, marked True and False")
    return rows, marks.astype(bool)
