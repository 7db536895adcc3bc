"""Distance to the training set against dense Ledoit-Wolf and Mahalanobis, and by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from marrow.statistics import Reference, novelty, rank_p_value


def features(n, d, seed=0):
    """Correlated features with a falling spectrum, as pooled features of a network have."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(0, 1, (d, d)) / (1 + np.arange(d)[:, None]) ** 0.7
    return rng.normal(0, 1, (n, d)) @ mixing + rng.normal(0, 3, d)


def dense_distances(covariance, mean, rows):
    centred = rows - mean
    return np.sqrt((centred @ np.linalg.inv(covariance) * centred).sum(axis=1))


# Rows above, near and below the number of features.
@pytest.mark.parametrize(("n", "d"), [(200, 50), (50, 50), (30, 120), (5, 80), (400, 3), (20, 1)])
def test_equals_dense_ledoit_wolf_and_mahalanobis(n, d):
    rows, new = features(n, d), features(40, d, seed=1)
    theirs = LedoitWolf().fit(rows)
    ours = Reference.fit(rows)
    assert ours.shrinkage == pytest.approx(theirs.shrinkage_, abs=1e-8)
    assert ours.mean == pytest.approx(theirs.location_, abs=1e-12)
    expected = dense_distances(theirs.covariance_, theirs.location_, new)
    assert ours.distances(new) == pytest.approx(expected, rel=1e-8)
    own = dense_distances(theirs.covariance_, theirs.location_, rows)
    assert ours.distances(rows) == pytest.approx(own, rel=1e-8)


def test_components_are_orthonormal_and_build_the_covariance():
    rows = features(25, 60)
    found = Reference.fit(rows)
    assert found.components @ found.components.T == pytest.approx(np.eye(24), abs=1e-10)
    sphere = found.rest * (np.eye(60) - found.components.T @ found.components)
    built = (found.components.T * found.variances) @ found.components + sphere
    assert built == pytest.approx(LedoitWolf().fit(rows).covariance_, abs=1e-10)
    assert (np.diff(found.variances) <= 0).all()


def test_distance_of_a_square_by_hand():
    """Corners (+-2, 0) and (0, +-1): S = diag(2, 1/2), m = 5/4, |S|^2 = 17/4, D = 9/8.

    b = (16 + 16 + 1 + 1) / 16 - 17/16 = 17/16, s = 17/18: variances 2/18 + 85/72 and 1/36 + 85/72.
    """
    found = Reference.fit([[2.0, 0], [-2, 0], [0, 1], [0, -1]])
    assert found.shrinkage == pytest.approx(17 / 18)
    assert found.variances == pytest.approx([93 / 72, 87 / 72])
    assert found.distances([[3.0, 0], [0, 3], [0, 0]]) == pytest.approx(
        [3 / np.sqrt(93 / 72), 3 / np.sqrt(87 / 72), 0]
    )


def test_copies_of_a_patient_change_nothing():
    rows, new = features(30, 45), features(10, 45, seed=1)
    counts = np.random.default_rng(2).integers(1, 6, 30)
    copied = Reference.fit(np.repeat(rows, counts, axis=0), np.repeat(np.arange(30), counts))
    once = Reference.fit(rows)
    assert copied.shrinkage == pytest.approx(once.shrinkage, rel=1e-9)
    assert copied.distances(new) == pytest.approx(once.distances(new), rel=1e-8)


def test_grouped_shrinkage_equals_its_definition():
    rows, groups = features(40, 12), np.random.default_rng(3).integers(0, 9, 40)
    found = Reference.fit(rows, groups)
    patients = [rows[groups == p] - found.mean for p in range(9)]
    assert found.mean == pytest.approx(
        np.mean([rows[groups == p].mean(axis=0) for p in range(9)], axis=0)
    )
    each = [own.T @ own / len(own) for own in patients]
    mean = np.mean(each, axis=0)
    spread = np.sum((mean - np.trace(mean) / 12 * np.eye(12)) ** 2)
    noise = np.sum([np.sum((one - mean) ** 2) for one in each]) / 81
    assert found.shrinkage == pytest.approx(min(noise, spread) / spread, rel=1e-10)
    covariance = (1 - found.shrinkage) * mean + found.shrinkage * np.trace(mean) / 12 * np.eye(12)
    expected = dense_distances(covariance, found.mean, features(5, 12, seed=4))
    assert found.distances(features(5, 12, seed=4)) == pytest.approx(expected, rel=1e-8)


def test_survives_storage_as_float32():
    found, new = Reference.fit(features(40, 100)), features(20, 100, seed=1)
    arrays = found.to_arrays()
    assert {one.dtype for one in arrays.values()} == {np.dtype(np.float32)}
    read = Reference.from_arrays(arrays)
    assert read.distances(new) == pytest.approx(found.distances(new), rel=1e-4)
    assert read.shrinkage == pytest.approx(found.shrinkage, rel=1e-6)


def test_refuses_arrays_that_are_no_reference():
    arrays = Reference.fit(features(10, 4)).to_arrays()
    with pytest.raises(ValueError, match="lacks variances, rest"):
        Reference.from_arrays({k: v for k, v in arrays.items() if k not in ("variances", "rest")})
    with pytest.raises(ValueError, match="do not fit"):
        Reference.from_arrays({**arrays, "mean": np.zeros(5)})
    with pytest.raises(ValueError, match="5 features a row"):
        Reference.from_arrays(arrays).distances(np.zeros((2, 5)))


def test_many_rows_are_thinned_evenly_over_patients_and_alike_each_time(monkeypatch):
    monkeypatch.setattr(novelty, "MAX_ROWS", 200)
    counts = np.r_[[150, 150], np.full(50, 2)]
    rows, groups = features(400, 4), np.repeat(np.arange(52), counts)
    kept = groups[novelty._thinned(groups, seed=0)]
    assert np.bincount(kept).tolist() == [50, 50, *[2] * 50]
    first, second = (Reference.fit(rows, groups, seed=5) for _ in range(2))
    assert (first.components == second.components).all()
    other = Reference.fit(rows, groups, seed=6)
    assert (first.mean != other.mean).any()


def test_more_patients_than_rows_leave_a_chance_choice_of_patients(monkeypatch):
    monkeypatch.setattr(novelty, "MAX_ROWS", 50)
    kept = [novelty._thinned(np.arange(400), seed) for seed in range(2)]
    assert [len(np.unique(one)) for one in kept] == [50, 50]
    assert 100 < kept[0].mean() < 300
    assert kept[0].tolist() != kept[1].tolist()


def test_features_of_another_kind_stand_out():
    """Held-out smears of the same kind lie where they should; shifted ones beyond all of them."""
    rows = features(300, 200)
    found = Reference.fit(rows[:150])
    alike = rank_p_value(found.distances(rows[200:]), found.distances(rows[150:200]))
    assert 0.3 < alike.mean() < 0.7
    shifted = rows[200:] + 3 * rows.std(axis=0) * np.random.default_rng(1).choice([-1, 1], 200)
    assert (rank_p_value(found.distances(shifted), found.distances(rows[150:200])) < 0.05).all()


def test_p_value_by_hand():
    # Of four: at least 3 are {3, 4}; at least 5, none; at least 0, all.
    assert rank_p_value([3.0, 5.0, 0.0], [1.0, 2, 3, 4]).tolist() == [3 / 5, 1 / 5, 1.0]
    assert rank_p_value(3.0, [4.0, 1, 3, 3]) == pytest.approx(4 / 5)


def test_p_value_is_uniform_for_smears_alike():
    rng = np.random.default_rng(0)
    p = [float(rank_p_value(rng.normal(), rng.normal(size=19))) for _ in range(4000)]
    # Each of 20 values has a chance of 1/20: 200 of 4000, deviation 14.
    counts = np.bincount(np.rint(np.array(p) * 20).astype(int), minlength=21)[1:]
    assert np.abs(counts - 200).max() < 4 * 14


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((5, 3)), "do not vary"),
        (np.full((7, 3), 0.1), "do not vary"),
        (np.ones((1, 3)), "1 patient"),
        ([[1.0, 2.0], [3.0, np.nan]], "finite"),
        (np.zeros(4), "rows of finite"),
        ([[1.0, 1, 1], [-1.0, -1, -1]], "do not vary"),
    ],
)
def test_refuses_what_has_no_shape(rows, message):
    with pytest.raises(ValueError, match=message):
        Reference.fit(rows)


def test_refuses_to_rank_among_nobody():
    with pytest.raises(ValueError, match="0 calibration distances"):
        rank_p_value([1.0], [])


@pytest.mark.slow
def test_the_size_of_a_study_takes_seconds():
    rows = np.random.default_rng(0).normal(0, 1, (1000, 2048))
    start = time.process_time()
    Reference.fit(rows, np.arange(1000) // 8).distances(rows)
    assert time.process_time() - start < 30  # about 1 s; dense it would be 2048^3 steps and more
