"""Folds by patient and class, and the seed paper's split of images."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from marrow.errors import CannotSplit
from marrow.folds import fold_of, split_images
from marrow.schemes import Head, Scheme
from training.dataset import LabelledSmear


def rows(**patients: int) -> list[tuple[str, str]]:
    return [(f"{name}{i}", name) for name, count in patients.items() for i in range(count)]


def test_each_class_and_the_whole_are_dealt_evenly(make_smears, scheme):
    smears = make_smears(rows(AA=18, MDS=22, AML=40))
    folds = fold_of(smears, scheme, 5, 0, False)
    assert set(folds.values()) == set(range(5))
    for name in ("AA", "MDS", "AML"):
        sizes = Counter(fold for patient, fold in folds.items() if patient.startswith(name))
        assert max(sizes.values()) - min(sizes.values()) <= 1
    assert set(Counter(folds.values()).values()) == {16}


def test_a_patient_is_in_one_fold_with_all_smears(make_smears, scheme):
    smears = make_smears(rows(AA=4, MDS=4, AML=4) * 3)
    folds = fold_of(smears, scheme, 3, 0, False)
    assert len(folds) == 12
    assert {s.smear.patient for s in smears} == set(folds)


def test_the_seed_alone_decides_not_the_order(make_smears, scheme):
    smears = make_smears(rows(AA=6, MDS=6, AML=6))
    drawn = [fold_of(smears, scheme, 3, seed, False) for seed in range(4)]
    assert fold_of(smears[::-1], scheme, 3, 2, False) == drawn[2]
    assert len({tuple(sorted(one.items())) for one in drawn}) == 4


def test_the_folds_are_the_same_everywhere(make_smears, scheme):
    # In each class the order of printf "0:0:AA0" | sha256sum ..., dealt 0 1 0 | 1 0 1 | 0 1 0.
    folds = fold_of(make_smears(rows(AA=3, MDS=3, AML=3)), scheme, 2, 0, False)
    assert folds == EXPECTED


EXPECTED = {
    "AA2": 0, "AA0": 1, "AA1": 0, "MDS0": 1, "MDS1": 1, "MDS2": 0, "AML2": 0, "AML0": 1, "AML1": 0,
}  # fmt: skip


def test_refuses_a_class_that_a_fold_would_take_away_with_numbers_and_remedy(make_smears, scheme):
    smears = make_smears(rows(AA=1, MDS=4, AML=4))
    with pytest.raises(CannotSplit, match=re.escape("1 of AA, 4 of MDS, 4 of AML")) as refused:
        fold_of(smears, scheme, 3, 0, False)
    assert "--folds 0" in str(refused.value)


def test_refuses_more_folds_than_patients(make_smears, scheme):
    smears = make_smears(rows(AA=2, MDS=2, AML=2))
    with pytest.raises(CannotSplit, match="6 training patients cannot be parted into 7 folds"):
        fold_of(smears, scheme, 7, 0, False)


def test_two_patients_of_a_class_never_share_a_fold(make_smears, scheme):
    smears = make_smears(rows(AA=2, MDS=9, AML=9))
    for seed in range(20):
        folds = fold_of(smears, scheme, 2, seed, False)
        assert folds["AA0"] != folds["AA1"]


def test_a_class_of_another_head_is_kept_where_it_has_two_patients(make_smears):
    asked = Scheme(
        name="cells",
        unit="image",
        primary="diagnosis",
        heads=(
            Head(name="diagnosis", classes=("AA", "MDS", "AML")),
            Head(name="eos", classes=("other", "EOS"), positive="EOS"),
            Head(name="rare", classes=("other", "seen"), positive="seen"),
        ),
    )
    smears = [
        LabelledSmear(
            s.smear,
            s.path,
            {
                **s.answers,
                "eos": "EOS" if s.smear.patient in ("AA0", "AML1") else "other",
                "rare": "seen" if s.smear.patient == "MDS1" else None,
            },
        )
        for s in make_smears(rows(AA=3, MDS=3, AML=3))
    ]
    for seed in range(20):
        folds = fold_of(smears, asked, 2, seed, False)  # the single `seen` is no reason to refuse
        assert folds["AA0"] != folds["AML1"]


def test_without_patients_each_smear_is_one_only_when_told(make_smears, scheme):
    smears = make_smears([(None, name) for name in ("AA", "MDS", "AML") * 3])
    with pytest.raises(CannotSplit, match="9 of 9 labelled smears have no patient"):
        fold_of(smears, scheme, 3, 0, False)
    assert len(fold_of(smears, scheme, 3, 0, True)) == 9


def test_images_are_split_whatever_their_patient():
    train, test = split_images(2760, 0.3, 0)
    assert len(test) == 828
    assert sorted([*train, *test]) == list(range(2760))
    assert (train, test) == (sorted(train), sorted(test))
    # 24 copies of one smear: almost surely on both sides (0.7^24 = 0.0002).
    smears_of_test = {row // 24 for row in test}
    assert smears_of_test & {row // 24 for row in train} == smears_of_test
    assert split_images(2760, 0.3, 0) == (train, test)
    assert split_images(2760, 0.3, 1) != (train, test)


def test_both_sides_of_images_have_one():
    assert [len(side) for side in split_images(2, 0.01, 0)] == [1, 1]
    assert [len(side) for side in split_images(3, 0.99, 0)] == [1, 2]
    with pytest.raises(CannotSplit, match="1 images cannot be split"):
        split_images(1, 0.3, 0)
