"""Conformal sets against MAPIE, hand-worked cases and the coverage that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.linear_model import LogisticRegression

from marrow.statistics import class_quantiles, conformal_quantile, conformal_set


def smears(n, seed):
    """Three classes in two dimensions, overlapping."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    return rng.normal(0, 1, (n, 2)) + np.array([[0, 0], [1.5, 0], [0, 1.5]])[truth], truth


@pytest.fixture(scope="module")
def model():
    return LogisticRegression().fit(*smears(300, 0))


def test_quantile_of_nine_patients_is_the_greatest_score():
    # (9 + 1) x .9 = 9: the ninth smallest of nine.
    found = conformal_quantile(np.arange(9) / 10, confidence=0.9)
    assert (found.quantile, found.patients, found.reason) == (0.8, 9, None)
    # (14 + 1) x .8 = 12 of fourteen.
    assert conformal_quantile(np.arange(14) / 20, confidence=0.8).quantile == pytest.approx(11 / 20)


@pytest.mark.parametrize(("confidence", "needed"), [(0.9, 9), (0.95, 19), (0.8, 4), (0.99, 99)])
def test_says_how_many_patients_it_takes(confidence, needed):
    enough = conformal_quantile(np.linspace(0, 1, needed), confidence=confidence)
    assert enough.quantile == 1.0
    found = conformal_quantile(np.linspace(0, 1, needed - 1), confidence=confidence)
    assert found.quantile is None
    assert found.reason == (
        f"{needed - 1} calibration patients; a set of {confidence:.0%} takes at least {needed}"
    )


def test_images_of_a_patient_are_one_patient():
    """Four images each of eight patients are not 32 patients."""
    assert conformal_quantile(np.linspace(0, 1, 32), np.arange(32) // 4).quantile is None
    scores = np.random.default_rng(0).random(15)
    once = conformal_quantile(scores)
    copied = conformal_quantile(np.repeat(scores, 24), np.repeat(np.arange(15), 24))
    assert (copied.quantile, copied.patients) == (once.quantile, 15)


def test_each_image_weighs_its_share_of_a_patient_by_hand():
    # Nine patients, 10 x .9 = 9: all weight. At .8: 8 of 9. The greatest scores are patient 8's
    # two images of .9 and .8 (a half each); to reach 8 takes the .7 of patient 7.
    groups = np.r_[np.arange(9), 8]
    scores = np.r_[np.arange(8) / 10, 0.9, 0.8]
    assert conformal_quantile(scores, groups, 0.9).quantile == 0.9
    assert conformal_quantile(scores, groups, 0.85).quantile == 0.8  # 8.5 is reached at .8
    assert conformal_quantile(scores, groups, 0.8).quantile == 0.7


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
def test_split_sets_equal_mapie(model, confidence):
    calibration, truth = smears(121, 1)
    new, _ = smears(200, 2)
    theirs = SplitConformalClassifier(model, confidence, conformity_score="lac", prefit=True)
    theirs.conformalize(calibration, truth)
    _, expected = theirs.predict_set(new)
    scores = 1 - model.predict_proba(calibration)[np.arange(121), truth]
    quantile = conformal_quantile(scores, confidence=confidence).quantile
    found = conformal_set(model.predict_proba(new), [quantile] * 3)
    assert (found == expected[:, :, 0]).all()


@pytest.mark.filterwarnings("ignore:WARNING. your conformalization dataset has less labels")
def test_class_conditional_quantiles_equal_mapie_on_each_class(model):
    calibration, truth = smears(150, 3)
    new, _ = smears(200, 4)
    found = class_quantiles(model.predict_proba(calibration), truth, confidence=0.9)
    sets = conformal_set(model.predict_proba(new), [one.quantile for one in found])
    for k in range(3):
        theirs = SplitConformalClassifier(model, 0.9, conformity_score="lac", prefit=True)
        theirs.conformalize(calibration[truth == k], truth[truth == k])
        _, expected = theirs.predict_set(new)
        assert (sets[:, k] == expected[:, k, 0]).all()
        assert found[k].patients == np.sum(truth == k)


def test_a_class_with_too_few_patients_belongs_to_every_set(model):
    calibration, truth = smears(60, 5)
    kept = (truth != 2) | (np.cumsum(truth == 2) <= 5)
    found = class_quantiles(model.predict_proba(calibration[kept]), truth[kept])
    assert found[2].quantile is None
    assert "5 calibration patients" in found[2].reason
    new, _ = smears(50, 6)
    sets = conformal_set(model.predict_proba(new), [one.quantile for one in found])
    assert sets[:, 2].all()
    assert not sets[:, 0].all()


def test_a_score_equal_to_its_quantile_belongs_to_the_set():
    found = conformal_set([[0.75, 0.25, 0.0], [0.5, 0.5, 0.0]], [0.25, 0.5, None])
    assert found.tolist() == [[True, False, True], [False, True, True]]


def test_a_class_without_a_patient_has_no_quantile():
    found = class_quantiles(np.full((12, 2), 0.5), np.zeros(12, dtype=int))
    assert (found[1].quantile, found[1].patients) == (None, 0)


def test_covers_each_class_at_the_promised_rate(model):
    """600 calibrations of 20 patients a class: (21 x .9 -> 19) / 21 = .905 on average."""
    rng, new_patients = np.random.default_rng(7), smears(3000, 8)
    new, rounds = model.predict_proba(new_patients[0]), 600
    hits = np.zeros((rounds, 3))
    pool, truth = smears(6000, 9)
    pool_answers = model.predict_proba(pool)
    for i in range(rounds):
        own = np.concatenate([rng.choice(np.flatnonzero(truth == k), 20) for k in range(3)])
        found = class_quantiles(pool_answers[own], truth[own], confidence=0.9)
        sets = conformal_set(new, [one.quantile for one in found])
        is_held = sets[np.arange(3000), new_patients[1]]
        hits[i] = [is_held[new_patients[1] == k].mean() for k in range(3)]
    # Beta(19, 2) has a deviation of .063: .0026 over 600 rounds; 1000 new patients add .01.
    assert hits.mean(axis=0) == pytest.approx([19 / 21] * 3, abs=0.03)


def test_covers_one_image_of_a_new_patient_where_images_are_alike():
    """1 to 20 images a patient, correlation .8: each patient's weight is one."""
    rng, hits, rounds = np.random.default_rng(10), 0, 3000
    for _ in range(rounds):
        counts = rng.integers(1, 21, 20)
        groups = np.repeat(np.arange(20), counts)
        level = rng.normal(0, np.sqrt(0.8), 21)
        scores = level[groups] + rng.normal(0, np.sqrt(0.2), len(groups))
        found = conformal_quantile(scores, groups, 0.9).quantile
        hits += level[20] + rng.normal(0, np.sqrt(0.2)) <= found
    # At least .9, and at most .9 + 1/21 without ties; standard error .005.
    assert 0.885 < hits / rounds < 0.965


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="between 0 and 1, such as"):
        conformal_quantile([0.5], confidence=1.0)
    with pytest.raises(ValueError, match="finite"):
        conformal_quantile([np.nan])
    with pytest.raises(ValueError, match="quantiles do not fit"):
        conformal_set([[0.5, 0.5]], [0.1, 0.1, 0.1])
    with pytest.raises(ValueError, match="columns between 0 and 1"):
        class_quantiles([[0.5, 0.5]], [2])
    with pytest.raises(ValueError, match="patient of each of 2 rows"):
        class_quantiles([[0.5, 0.5], [0.4, 0.6]], [0, 1], ["a"])
