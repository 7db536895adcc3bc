"""How often the 95% intervals hold the truth: the simulation behind the table in the docs."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from marrow.statistics import (
    auc_metric,
    delong_interval,
    patient_bootstrap,
    ppv_metric,
    sensitivity_metric,
    wilson,
)

DOCS = Path(__file__).parents[2] / "docs" / "statistics.md"
RUNS = 500
DRAWS = 500
"""Of each bootstrap; the project's figures use 2,000."""

AREA = 0.95
CORRELATION = 0.3
"""Of two images of one patient, given the class."""

SHIFT = float(np.sqrt(2) * norm.ppf(AREA))
"""Between the classes, in standard deviations of an image's score: gives images an AUC of .95."""

SCENARIOS = [(32, 83, 1), (32, 83, 4), (100, 100, 1), (100, 100, 4)]
"""Patients with and without the disease, and images of each."""

ROWS = {
    "delong": "AUC of patients, DeLong, logit",
    "none": "... of which without interval: fully separated, counted as not covered",
    "delong of images": "AUC of images, DeLong as if they were patients",
    "percentile": "AUC of images, bootstrap, percentile, stratified",
    "bca": "AUC of images, bootstrap, BCa, stratified",
    "wilson": "sensitivity of images, Wilson as if they were patients",
    "sensitivity": "sensitivity of images, bootstrap, percentile, stratified",
    "ppv": "PPV of images, bootstrap, percentile, not stratified",
    "ppv stratified": "PPV of images, bootstrap, percentile, stratified (wrong)",
}


def cohort(rng, is_ill, images):
    """Scores (patients, images): a normal patient effect and normal images around it."""
    patient = rng.normal(0, np.sqrt(CORRELATION), (len(is_ill), 1))
    image = rng.normal(0, np.sqrt(1 - CORRELATION), (len(is_ill), images))
    return SHIFT * is_ill[:, None] + patient + image


def covered(interval, truth):
    return interval.is_estimable and interval.low <= truth <= interval.high


def areas(rng, is_ill, images, seed):
    """Which intervals of the AUC and of the sensitivity hold the truth, in one cohort."""
    scores = cohort(rng, is_ill, images)
    groups, truth = np.repeat(np.arange(len(is_ill)), images), np.repeat(is_ill, images)
    each, options = scores.ravel(), {"strata": truth, "draws": DRAWS, "seed": seed}
    # The mean of a patient's images varies less than an image: its AUC is higher.
    spread = np.sqrt(2 * (CORRELATION + (1 - CORRELATION) / images))
    called = each > SHIFT / 2
    metric, right = auc_metric(each, truth), int(called[truth].sum())
    held = {
        "delong": (delong_interval(scores.mean(axis=1), is_ill), norm.cdf(SHIFT / spread)),
        "delong of images": (delong_interval(each, truth), AREA),
        "percentile": (patient_bootstrap(metric, groups, **options), AREA),
        "bca": (patient_bootstrap(metric, groups, method="bca", **options), AREA),
        "wilson": (wilson(right, int(truth.sum())), norm.cdf(SHIFT / 2)),
        "sensitivity": (
            patient_bootstrap(sensitivity_metric(called, truth, True), groups, **options),
            norm.cdf(SHIFT / 2),
        ),
    }
    found = {name for name, (interval, true) in held.items() if covered(interval, true)}
    return found if held["delong"][0].is_estimable else found | {"none"}


def predictive_values(rng, is_ill, images, seed):
    """As `areas`, for the PPV in a cohort whose number of diseased patients is left to chance."""
    share, hit = is_ill.mean(), norm.cdf(SHIFT / 2)
    true = share * hit / (share * hit + (1 - share) * (1 - hit))
    drawn = rng.random(len(is_ill)) < share
    called = cohort(rng, drawn, images).ravel() > SHIFT / 2
    groups, truth = np.repeat(np.arange(len(drawn)), images), np.repeat(drawn, images)
    metric = ppv_metric(called, truth, True)
    free = patient_bootstrap(metric, groups, draws=DRAWS, seed=seed)
    fixed = patient_bootstrap(metric, groups, truth, draws=DRAWS, seed=seed)
    held = {"ppv": free, "ppv stratified": fixed}
    return {name for name, interval in held.items() if covered(interval, true)}


@cache
def coverage(ill: int, others: int, images: int) -> dict[str, float]:
    """Share of the runs in which each interval holds the truth."""
    rng = np.random.default_rng([ill, others, images])
    is_ill = np.arange(ill + others) < ill
    held = Counter()
    for run in range(RUNS):
        held.update(areas(rng, is_ill, images, run))
        held.update(predictive_values(rng, is_ill, images, run))
    return {name: held[name] / RUNS for name in ROWS}


@pytest.mark.slow
@pytest.mark.parametrize(("ill", "others"), [(32, 83), (100, 100)])
def test_logit_delong_covers_the_auc_of_patients(ill, others):
    """At a true AUC of .95. (The mean of four images has .991: the docs have what holds there.)"""
    assert 0.92 <= coverage(ill, others, 1)["delong"] <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("images", [1, 4])
def test_bootstrap_of_patients_covers_the_auc_of_images(images):
    assert 0.90 <= coverage(100, 100, images)["percentile"] <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("ill", "others"), [(32, 83), (100, 100)])
def test_images_that_pass_for_patients_make_intervals_too_narrow(ill, others):
    found = coverage(ill, others, 4)
    assert found["delong of images"] < found["percentile"] - 0.02
    assert found["wilson"] < found["sensitivity"] - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("images", [1, 4])
def test_stratified_draws_make_the_interval_of_a_predictive_value_too_narrow(images):
    found = coverage(32, 83, images)
    assert found["ppv stratified"] < 0.90 < found["ppv"]


@pytest.mark.slow
def test_the_docs_show_what_was_measured():
    columns = [coverage(*scenario) for scenario in SCENARIOS]
    table = [
        " | ".join([f"| {title}", *(f"{found[name]:.3f}" for found in columns)]) + " |"
        for name, title in ROWS.items()
    ]
    shown = DOCS.read_text("utf-8").splitlines()
    assert [row for row in table if row not in shown] == []  # the rows to be put there
