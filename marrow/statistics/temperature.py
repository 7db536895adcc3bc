"""Temperature: one number a head that makes its probabilities as sure as they are right."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike

from marrow.statistics.bootstrap import Floats
from marrow.statistics.inputs import checked_answers, checked_weights

TEMPERATURES = (0.1, 10.0)
"""Bounds of a temperature. Where every calibration call is right, the likelihood rises without
end as T falls to 0, and would turn each later answer into certainty; where the calls are worse
than chance, it rises as T grows. A few dozen patients cannot vouch for more than a factor of
ten. The project's choice; Guo et al. 2017 report 0.9 to 3 for trained networks."""

_SMALLEST = float(np.finfo(np.float32).tiny)
"""What a probability of 0 counts as: a softmax in float32 rounds to 0 below it."""


def log_probabilities(probabilities: ArrayLike) -> Floats:
    """Natural logarithms, finite at 0 (as if the probability were 1.2e-38)."""
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _SMALLEST))


def fit_temperature(
    log_probabilities: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """The temperature T that makes the true classes most likely; above 1 the head was too sure.

    Minimises the weighted mean of -log softmax(log p / T)[true class] over log T by L-BFGS with
    the exact gradient. In 1 / T this is convex, so that the minimum found is the only one.

    Parameters
    ----------
    log_probabilities : array_like, (n, K)
        Finite; as `log_probabilities` gives them (logits serve as well). Rows of patients that
        the network was not trained on: out of fold.
    truth : array_like of int, (n,)
        Column of each row's true class.
    weights : array_like, (n,), optional
        1 / (rows of its patient), so that each patient counts alike.

    Returns
    -------
    float
        Within `TEMPERATURES`; 1 where the probabilities do not depend on it.

    Raises
    ------
    ValueError
        If the shapes do not fit or a number is not finite.

    Source: Guo, Pleiss, Sun and Weinberger 2017, ICML, PMLR 70:1321; L-BFGS-B: Byrd, Lu, Nocedal
    and Zhu 1995, SIAM J Sci Comput 16:1190.
    """
    logs = np.asarray(log_probabilities, dtype=np.float64)
    if not np.isfinite(logs).all():
        raise ValueError("a logarithm is not finite; log_probabilities() makes them so")
    _, true = checked_answers(scipy.special.softmax(logs, axis=-1), truth)
    share = checked_weights(weights, len(true))
    share = share / share.sum()
    of_truth = logs[np.arange(len(true)), true]

    def loss(log_t: Floats) -> tuple[float, Floats]:
        coldness = float(np.exp(-log_t[0]))  # 1 / T
        scaled = coldness * logs
        likelihood = coldness * of_truth - scipy.special.logsumexp(scaled, axis=1)
        expected = (scipy.special.softmax(scaled, axis=1) * logs).sum(axis=1)
        slope = -coldness * float(share @ (expected - of_truth))
        return -float(share @ likelihood), np.array([slope])

    low, high = np.log(TEMPERATURES)
    found = scipy.optimize.minimize(
        loss,
        [0.0],
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, high)],
        options={"ftol": 1e-15, "gtol": 1e-9},
    )
    return float(np.clip(np.exp(found.x[0]), *TEMPERATURES))


def apply_temperature(probabilities: ArrayLike, temperature: float) -> Floats:
    """Calibrated probabilities softmax(log p / T), in the shape given; rows sum to 1.

    The order of the classes, and so the call, stays as it was.

    Parameters
    ----------
    probabilities : array_like, (..., K)
        As the network's softmax gives them; 0 is allowed.
    temperature : float
        Above 0; 1 changes nothing.

    Raises
    ------
    ValueError
        If the temperature is not a number above 0.

    Source: Guo, Pleiss, Sun and Weinberger 2017, ICML, PMLR 70:1321.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"the temperature is {temperature}; it must be a number above 0")
    softened = scipy.special.softmax(log_probabilities(probabilities) / temperature, axis=-1)
    return np.asarray(softened, dtype=np.float64)
