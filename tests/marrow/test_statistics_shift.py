"""Shift between sites against scikit-learn, scikit-image and hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.color import rgb2hsv
from sklearn.linear_model import LogisticRegression

from marrow.statistics import (
    Appearance,
    appearance,
    fit_logistic,
    shift,
    site_auc,
    standardised_difference,
)


def two_sites(n=60, d=8, gap=1.0, seed=0):
    """Two images a patient; the first feature differs between the sites by `gap`."""
    rng = np.random.default_rng(seed)
    patient = np.arange(n) // 2
    is_site = patient % 2 == 1
    rows = rng.normal(0, 1, (n, d)) + rng.normal(0, 0.5, (n // 2, d))[patient]
    rows[:, 0] += gap * is_site
    return rows, is_site, patient


@pytest.mark.parametrize(("n", "d", "penalty"), [(80, 5, 1.0), (40, 100, 1.0), (60, 8, 0.05)])
def test_logistic_regression_equals_scikit_learn(n, d, penalty):
    rows, labels, _ = two_sites(n, d)
    weights = np.random.default_rng(1).integers(1, 4, n).astype(float)
    theirs = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000)
    theirs.fit(rows, labels, sample_weight=weights)
    slope, intercept = fit_logistic(rows, labels, penalty, weights)
    assert slope == pytest.approx(theirs.coef_[0], abs=1e-4)  # both stop at a gradient, not at 0
    assert intercept == pytest.approx(theirs.intercept_[0], abs=1e-4)


def test_logistic_regression_of_separable_points_by_hand():
    # x = +-1: minimise 2 log(1 + e^-b) + b^2 / 2, so that b = 2 / (1 + e^b): b = 0.6749.
    slope, intercept = fit_logistic([[1.0], [-1.0]], [1, 0])
    assert slope[0] == pytest.approx(2 / (1 + np.exp(slope[0])), abs=1e-7)
    assert intercept == pytest.approx(0, abs=1e-7)


def test_site_is_told_where_it_shows_and_not_where_it_does_not():
    rows, is_site, patient = two_sites(200, 10, gap=3.0)
    shown = site_auc(rows, is_site, patient, draws=300)
    assert shown.low > 0.9
    assert shown.n == 100
    alike = [site_auc(*two_sites(120, 10, 0.0, seed), draws=100) for seed in range(30)]
    # Deviation .09 each, .017 of the mean.
    assert np.mean([one.value for one in alike]) == pytest.approx(0.5, abs=0.06)
    # Coverage .8 to .93 measured: fewer than 19 of 30 has a chance of 1% at most.
    assert sum(one.low <= 0.5 <= one.high for one in alike) >= 19


def test_images_of_a_patient_do_not_teach_the_fold_that_scores_them():
    """Each patient has a mark of its own: with images split at random, site AUC would be 1."""
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(40), 5)
    is_site = rng.permutation(np.arange(40) % 2 == 1)[patient]
    rows = rng.normal(0, 1, (40, 200))[patient] + rng.normal(0, 0.05, (200, 200))
    found = site_auc(rows, is_site, patient, draws=200)
    assert found.low < 0.5 < found.high


def test_folds_keep_patients_whole_and_sides_in_proportion():
    patient = np.repeat(np.arange(48), 3)
    is_site = patient < 7
    fold = shift._grouped_folds(is_site, patient, folds=5, seed=0)
    assert all(len(np.unique(fold[patient == p])) == 1 for p in range(48))
    assert sorted(np.bincount(fold[is_site]) // 3) == [1, 1, 1, 2, 2]
    assert sorted(np.bincount(fold[~is_site]) // 3) == [8, 8, 8, 8, 9]


def test_more_features_than_rows_and_constant_features_are_no_trouble():
    rows, is_site, patient = two_sites(40, 300)
    rows[:, :20] += is_site[:, None]
    rows[:, 25] = 7.0
    assert site_auc(rows, is_site, patient, draws=200).value > 0.7


def test_site_auc_is_the_same_each_time_and_for_each_order_of_rows():
    rows, is_site, patient = two_sites()
    first = site_auc(rows, is_site, patient, draws=200, seed=4)
    assert first == site_auc(rows, is_site, patient, draws=200, seed=4)
    order = np.random.default_rng(0).permutation(len(rows))
    again = site_auc(rows[order], is_site[order], patient[order], draws=200, seed=4)
    assert again.value == pytest.approx(first.value, abs=1e-3)  # sums in another order


def test_refuses_sides_that_cannot_be_compared():
    rows, is_site, patient = two_sites(12)
    with pytest.raises(ValueError, match="5 folds of 3 patients"):
        site_auc(rows, is_site, patient)
    with pytest.raises(ValueError, match="patient 0 is on both sides"):
        site_auc(rows, np.arange(12) % 2, patient, folds=2)
    with pytest.raises(ValueError, match="both sides"):
        site_auc(rows, np.ones(12), patient)
    with pytest.raises(ValueError, match="penalty"):
        fit_logistic(rows, is_site, 0.0)


def test_appearance_of_plain_images_by_hand():
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    image[:] = (255, 51, 102)
    found = appearance(image)
    assert found.od_red == 0
    assert found.od_green == pytest.approx(np.log(5))
    assert found.od_blue == pytest.approx(np.log(2.5))
    assert found.saturation == pytest.approx(0.8)
    assert found.sharpness == pytest.approx(0, abs=1e-20)
    assert found.row().tolist() == [
        found.od_red,
        found.od_green,
        found.od_blue,
        found.saturation,
        found.sharpness,
    ]
    black = appearance(np.zeros((3, 3, 3), dtype=np.uint8))
    assert black == Appearance(*[pytest.approx(np.log(255))] * 3, 0.0, 0.0)


def test_appearance_equals_scikit_image_and_a_written_out_laplacian():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    found = appearance(image)
    assert found.saturation == pytest.approx(rgb2hsv(image)[..., 1].mean())
    grey = image @ np.array([0.299, 0.587, 0.114])
    p = np.pad(grey, 1, mode="reflect")
    laplacian = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * grey
    assert found.sharpness == pytest.approx(laplacian.var())


def test_sharpness_falls_out_of_focus_and_density_rises_with_stain():
    rng = np.random.default_rng(1)
    image = np.clip(ndimage.gaussian_filter(rng.normal(150, 300, (64, 64, 3)), (2, 2, 0)), 0, 255)
    sharp = appearance(image.astype(np.uint8))
    blurred = appearance(ndimage.gaussian_filter(image, (2, 2, 0)).astype(np.uint8))
    assert blurred.sharpness < 0.3 * sharp.sharpness
    darker = appearance((image * 0.7).astype(np.uint8))
    assert darker.od_red > sharp.od_red


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_refuses_what_is_no_colour_image(bad):
    with pytest.raises(ValueError, match="wanted is uint8"):
        appearance(bad)


def test_standardised_difference_by_hand():
    # Means 2 and 5, variances (n - 1) of 1 and 4: 3 / sqrt(2.5).
    values, is_site = [1.0, 2, 3, 3, 5, 7], [0, 0, 0, 1, 1, 1]
    found = standardised_difference(values, is_site, range(6), draws=200)
    assert found.value == pytest.approx(3 / np.sqrt(2.5))
    assert found.n == 6


def test_standardised_difference_is_over_one_value_a_patient():
    values, is_site = np.array([1.0, 2, 3, 3, 5, 7]), np.array([0, 0, 0, 1, 1, 1])
    once = standardised_difference(values, is_site, range(6), draws=300)
    # Two images each, whose mean is the patient's value.
    apart = np.concatenate([values - 10, values + 10])
    twice = standardised_difference(apart, np.tile(is_site, 2), np.tile(range(6), 2), draws=300)
    assert twice.value == pytest.approx(once.value)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))


def test_standardised_difference_covers_the_truth():
    rng, hits = np.random.default_rng(2), 0
    is_site = np.arange(80) < 30
    for seed in range(200):
        values = rng.normal(0, 1, 80) + 0.5 * is_site
        found = standardised_difference(values, is_site, range(80), draws=200, seed=seed)
        hits += found.low <= 0.5 <= found.high
    assert hits / 200 > 0.88  # .94 expected, standard error .017


def test_large_values_do_not_drown_their_difference():
    rng, is_site = np.random.default_rng(3), np.arange(40) < 20
    values = rng.normal(0, 1, 40) + is_site
    small = standardised_difference(values, is_site, range(40), draws=200)
    large = standardised_difference(values + 1e7, is_site, range(40), draws=200)
    assert (large.value, large.low) == pytest.approx((small.value, small.low), rel=1e-6)


def test_refuses_sides_that_do_not_vary():
    with pytest.raises(ValueError, match="does not exist"):
        standardised_difference([1.0, 1, 2, 2], [0, 0, 1, 1], range(4))
    with pytest.raises(ValueError, match="at least 2"):
        standardised_difference([1.0, 1, 2], [0, 0, 1], range(3))
