"""Figures with their n and interval: pure functions on arrays (numpy and scipy only)."""

from __future__ import annotations

from marrow.statistics.auc import (
    DelongTest,
    auc,
    delong_interval,
    delong_test,
    hand_till,
    macro_auc,
    micro_auc,
    weighted_auc,
)
from marrow.statistics.bootstrap import patient_bootstrap, patient_draws
from marrow.statistics.interval import Interval
from marrow.statistics.proportions import (
    TwoByTwo,
    balanced_accuracy,
    clopper_pearson,
    pooled_counts,
    seed_pooled,
    two_by_two,
    wald,
    wilson,
)

__all__ = [
    "DelongTest",
    "Interval",
    "TwoByTwo",
    "auc",
    "balanced_accuracy",
    "clopper_pearson",
    "delong_interval",
    "delong_test",
    "hand_till",
    "macro_auc",
    "micro_auc",
    "patient_bootstrap",
    "patient_draws",
    "pooled_counts",
    "seed_pooled",
    "two_by_two",
    "wald",
    "weighted_auc",
    "wilson",
]
