"""Figures with their n and interval: pure functions on arrays (numpy and scipy only).

Parts of scipy are named in full, `scipy.stats.norm`: they load at first use, and a command that
computes nothing starts in half the time.
"""

from __future__ import annotations

from marrow.statistics.abstention import (
    RiskCoverage,
    aurc_metric,
    risk_coverage,
    threshold_for_false_alarms,
)
from marrow.statistics.agreement import cohen_kappa, fleiss_kappa
from marrow.statistics.auc import (
    auc,
    auc_metric,
    delong_interval,
    hand_till,
    hand_till_metric,
    macro_auc,
    macro_auc_metric,
    micro_auc,
    micro_auc_metric,
    weighted_auc,
    weighted_auc_metric,
)
from marrow.statistics.bootstrap import Metric, patient_bootstrap, patient_weights
from marrow.statistics.calibration import (
    CalibrationError,
    ReliabilityBin,
    calibration_error,
    calibration_error_metric,
    reliability,
)
from marrow.statistics.comparison import (
    DelongTest,
    McnemarTest,
    PairedBootstrap,
    delong_test,
    mcnemar,
    paired_bootstrap,
)
from marrow.statistics.conformal import (
    ConformalQuantile,
    class_quantiles,
    conformal_quantile,
    conformal_set,
)
from marrow.statistics.decision import DecisionCurve, decision_curve
from marrow.statistics.interval import Interval
from marrow.statistics.multiplicity import Contrast, holm, max_t
from marrow.statistics.novelty import Reference, rank_p_value
from marrow.statistics.proportions import (
    TwoByTwo,
    clopper_pearson,
    pooled_counts,
    seed_pooled,
    two_by_two,
    wald,
    wilson,
)
from marrow.statistics.rates import (
    accuracy_metric,
    balanced_accuracy,
    balanced_accuracy_metric,
    brier_metric,
    mean_metric,
    npv_metric,
    ppv_metric,
    sensitivity_metric,
    specificity_metric,
)
from marrow.statistics.shift import (
    Appearance,
    appearance,
    fit_logistic,
    site_auc,
    standardised_difference,
)
from marrow.statistics.temperature import apply_temperature, fit_temperature, log_probabilities

__all__ = [
    "Appearance",
    "CalibrationError",
    "ConformalQuantile",
    "Contrast",
    "DecisionCurve",
    "DelongTest",
    "Interval",
    "McnemarTest",
    "Metric",
    "PairedBootstrap",
    "Reference",
    "ReliabilityBin",
    "RiskCoverage",
    "TwoByTwo",
    "accuracy_metric",
    "appearance",
    "apply_temperature",
    "auc",
    "auc_metric",
    "aurc_metric",
    "balanced_accuracy",
    "balanced_accuracy_metric",
    "brier_metric",
    "calibration_error",
    "calibration_error_metric",
    "class_quantiles",
    "clopper_pearson",
    "cohen_kappa",
    "conformal_quantile",
    "conformal_set",
    "decision_curve",
    "delong_interval",
    "delong_test",
    "fit_logistic",
    "fit_temperature",
    "fleiss_kappa",
    "hand_till",
    "hand_till_metric",
    "holm",
    "log_probabilities",
    "macro_auc",
    "macro_auc_metric",
    "max_t",
    "mcnemar",
    "mean_metric",
    "micro_auc",
    "micro_auc_metric",
    "npv_metric",
    "paired_bootstrap",
    "patient_bootstrap",
    "patient_weights",
    "pooled_counts",
    "ppv_metric",
    "rank_p_value",
    "reliability",
    "risk_coverage",
    "seed_pooled",
    "sensitivity_metric",
    "site_auc",
    "specificity_metric",
    "standardised_difference",
    "threshold_for_false_alarms",
    "two_by_two",
    "wald",
    "weighted_auc",
    "weighted_auc_metric",
    "wilson",
]
