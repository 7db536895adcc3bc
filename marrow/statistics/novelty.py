"""Unlike the training set: how far a smear's features lie from those the model learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marrow.statistics.bootstrap import Floats
from marrow.statistics.inputs import Numbers, patient_numbers

MAX_ROWS = 2000
"""Rows that a reference is fitted on. More are thinned by a seeded choice, evenly over the
patients: the Gram matrix has rows x rows numbers, its decomposition rows^3 steps (seconds)."""


@dataclass(frozen=True)
class Reference:
    """The training set's place in feature space: a mean and a shrunk covariance.

    The covariance has the variance v_j along each component e_j and `rest` in every direction at a
    right angle to all of them. It is never written out as d x d.

    Attributes
    ----------
    mean : ndarray, (d,)
        Mean over patients of each patient's mean.
    components : ndarray, (k, d)
        Orthonormal rows, k <= min(rows, d).
    variances : ndarray, (k,)
        In squared units of the features, falling, above 0.
    rest : float
        As `variances`.
    shrinkage : float
        Weight of the sphere in the covariance, 0 to 1.
    """

    mean: Floats
    components: Floats
    variances: Floats
    rest: float
    shrinkage: float

    @classmethod
    def fit(cls, features: ArrayLike, groups: ArrayLike | None = None, seed: int = 0) -> Self:
        """Mean and Ledoit-Wolf covariance of the features, each patient counting alike.

        With S_p the mean of x x' over the (centred) rows of patient p, S the mean of S_p over the P
        patients, m = tr S / d and |.| the Frobenius norm: the covariance is (1 - s) S + s m I with
        s = min(b, D) / D, D = |S - m I|^2, b = sum of |S_p - S|^2 / P^2. With one row a patient
        that is scikit-learn's `LedoitWolf`; the images of one patient are one observation, so that
        many of them do not pass for many patients.

        All of it comes from the Gram matrix K = Y Y', where Y holds the rows, each divided by
        sqrt(P x rows of its patient): S = Y'Y has the eigenvalues of K, |S|^2 = |K|^2,
        and b = (sum of K_ij^2 within patients) - |K|^2 / P. So d may exceed the number of rows.

        Parameters
        ----------
        features : array_like, (n, d)
            Pooled features of the training smears. Beyond `MAX_ROWS` rows a seeded choice of them.
        groups : array_like, (n,), optional
            Patient of each row; None: each row is a patient.
        seed : int
            Of the choice.

        Raises
        ------
        ValueError
            If there are fewer than 2 patients, a number is not finite, or the features do not vary.

        Source: Ledoit and Wolf 2004, J Multivar Anal 88:365.
        """
        rows = _finite_rows(features)
        names, patient = patient_numbers(groups, len(rows))
        if len(names) < 2:
            raise ValueError(
                f"{len(names)} patient; the distance to a training set takes 2 or more"
            )
        kept = _thinned(patient, seed)
        rows, patient = rows[kept], np.unique(patient[kept], return_inverse=True)[1]
        patients, dimensions = int(patient.max()) + 1, rows.shape[1]
        share = 1 / (patients * np.bincount(patient)[patient])
        mean = share @ rows
        scaled = (rows - mean) * np.sqrt(share)[:, None]  # Y, (n, d)
        gram = scaled @ scaled.T  # K, (n, n)
        total, squares = float(np.trace(gram)), gram**2
        spread = squares.sum() - total**2 / dimensions  # D
        noise = squares[patient[:, None] == patient].sum() - squares.sum() / patients  # b
        # One feature, or as much of each direction: any weight gives the same covariance.
        shrinkage = float(min(noise, spread) / spread) if spread > 1e-12 * total**2 else 0.0
        sphere = shrinkage * total / dimensions
        values, vectors = np.linalg.eigh(gram)
        # An eigenvalue of 0 comes out as rounding times the largest one.
        real = values > values[-1] * len(values) * np.finfo(np.float64).eps
        values, vectors = values[real][::-1], vectors[:, real][:, ::-1]
        # Of constant features rounding leaves 1e-32 times their square.
        is_constant = total <= 1e-24 * float(mean @ mean)
        if is_constant or (sphere <= 0 and len(values) < dimensions):
            raise ValueError("the features of the training set do not vary between patients")
        return cls(
            mean=mean,
            components=(vectors / np.sqrt(values)).T @ scaled,
            variances=(1 - shrinkage) * values + sphere,
            rest=sphere,
            shrinkage=shrinkage,
        )

    def distances(self, features: ArrayLike) -> Floats:
        """Mahalanobis distance of each row to the mean, (m,), in standard deviations.

        The square is the sum over components of (e_j (x - mean))^2 / v_j, plus what lies outside of
        all of them, |r|^2 / rest.

        Parameters
        ----------
        features : array_like, (m, d)
            For smears of training patients use a reference fitted without them (out of fold):
            their own features have drawn the ellipsoid out towards them.

        Source: Mahalanobis 1936, Proc Natl Inst Sci India 2:49; Lee et al. 2018, NeurIPS 31.
        """
        rows = _finite_rows(features)
        if rows.shape[1] != len(self.mean):
            raise ValueError(f"{rows.shape[1]} features a row; the reference has {len(self.mean)}")
        centred = rows - self.mean
        along = centred @ self.components.T  # (m, k)
        squared = (along**2 / self.variances).sum(axis=1)
        if len(self.variances) < len(self.mean):
            outside = centred - along @ self.components
            squared = squared + (outside**2).sum(axis=1) / self.rest
        return np.asarray(np.sqrt(squared))

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """The reference as float32 arrays by name, to be stored beside the weights."""
        return {
            "mean": self.mean.astype(np.float32),
            "components": self.components.astype(np.float32),
            "variances": self.variances.astype(np.float32),
            "rest": np.array([self.rest], dtype=np.float32),
            "shrinkage": np.array([self.shrinkage], dtype=np.float32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ArrayLike]) -> Self:
        """The reference that `to_arrays` wrote; distances differ from the first by about 1e-5.

        Raises
        ------
        ValueError
            If an array is missing or does not fit the others.
        """
        names = ("mean", "components", "variances", "rest", "shrinkage")
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"the reference lacks {', '.join(missing)}")
        mean, components, variances, rest, shrinkage = (
            np.asarray(arrays[name], dtype=np.float64) for name in names
        )
        fits = components.shape == variances.shape + mean.shape and mean.ndim == 1
        if not fits or rest.shape != (1,) or shrinkage.shape != (1,):
            raise ValueError(f"the reference's mean {mean.shape} and components do not fit")
        return cls(mean, components, variances, float(rest[0]), float(shrinkage[0]))


def rank_p_value(distances: ArrayLike, calibration_distances: ArrayLike) -> Floats:
    """How rare so great a distance is among smears like the training set's: (1 + #{>=}) / (n + 1).

    Never 0: with n patients nothing below 1 / (n + 1) can be shown, so that a flag at p <= 0.05
    takes at least 19.

    Parameters
    ----------
    distances : array_like, (m,) or one number
    calibration_distances : array_like, (n,)
        Out of fold, one a patient.

    Returns
    -------
    ndarray, in the shape of `distances`

    Raises
    ------
    ValueError
        If there is no calibration distance, or one is not a number.

    Source: Phipson and Smyth 2010, Stat Appl Genet Mol Biol 9:39; as a test of being unlike: Bates,
    Candes, Lei, Romano and Sesia 2023, Ann Stat 51:149.
    """
    found = np.asarray(distances, dtype=np.float64)
    known = np.sort(np.asarray(calibration_distances, dtype=np.float64).ravel())
    if not len(known) or np.isnan(known).any() or np.isnan(found).any():
        raise ValueError(f"{len(known)} calibration distances; at least 1, all of them numbers")
    at_least = len(known) - np.searchsorted(known, found, side="left")
    return np.asarray((1 + at_least) / (len(known) + 1))


def _finite_rows(features: ArrayLike) -> Floats:
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
        raise ValueError(f"features {rows.shape} must be rows of finite numbers, one a smear")
    return rows


def _thinned(patient: Numbers, seed: int) -> Numbers:
    """At most MAX_ROWS row numbers: one of each patient at random, then a second one, and so on."""
    shuffled = np.random.default_rng(seed).permutation(len(patient))
    by_patient = shuffled[np.argsort(patient[shuffled], kind="stable")]
    counts = np.bincount(patient)
    turn = np.arange(len(patient)) - np.repeat(np.cumsum(counts) - counts, counts)
    # Within a turn the order is random too: with more patients than rows, which come is chance.
    chosen = by_patient[np.lexsort((np.argsort(shuffled)[by_patient], turn))][:MAX_ROWS]
    return np.sort(chosen)
