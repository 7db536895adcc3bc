"""A figure with its n and its interval: the form in which every result is handed on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Interval:
    """An estimate, its confidence interval and what they rest on.

    Attributes
    ----------
    value : float or None
        The estimate; None where there is nothing to estimate it from.
    low, high : float or None
        Ends of the interval; None where it cannot be estimated (`reason` says why).
    n : int
        Units that the figure rests on: patients, or images where images are the unit.
    method : str
        How the interval was made, for example "wilson" or "delong, logit".
    confidence : float
        Level of the interval, between 0 and 1.
    reason : str or None
        Why there is no interval, or what its reader must know; None when all is well.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    confidence: float = 0.95
    reason: str | None = None

    @property
    def is_estimable(self) -> bool:
        """Whether both ends of the interval are known."""
        return self.low is not None and self.high is not None

    def __str__(self) -> str:
        value = "not estimable" if self.value is None else f"{self.value:.3f}"
        ends = "interval not estimable"
        if self.low is not None and self.high is not None:
            ends = f"{self.low:.3f}-{self.high:.3f}"
        return f"{value} ({ends}, n = {self.n})"


def normal_quantile(confidence: float) -> float:
    """Two-sided quantile of the standard normal: 1.96 at 0.95.

    Raises
    ------
    ValueError
        Unless 0 < confidence < 1.
    """
    if not (math.isfinite(confidence) and 0 < confidence < 1):
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1, such as 0.95")
    return NormalDist().inv_cdf(0.5 + confidence / 2)
