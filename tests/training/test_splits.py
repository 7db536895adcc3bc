"""Test patients: stratified, seeded, and never on both sides."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from marrow.errors import CannotSplit
from marrow.schemes import Head, Scheme
from marrow.splits import draw_test_patients, patient_class, patient_of, split
from training.dataset import LabelledSmear
from training.splits import split_of


def rows(**patients: int) -> list[tuple[str, str]]:
    return [(f"{name}{i}", name) for name, count in patients.items() for i in range(count)]


def test_draws_the_share_of_each_class(make_smears, scheme):
    smears = make_smears(rows(AA=10, MDS=20, AML=7))
    test = draw_test_patients(smears, scheme, 0.3, 5, False)
    assert Counter(name.rstrip("0123456789") for name in test) == {"AA": 3, "MDS": 6, "AML": 2}


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_every_class_keeps_a_patient_on_both_sides_where_it_has_two(make_smears, scheme, share):
    smears = make_smears(rows(AA=2, MDS=1, AML=9))
    test = draw_test_patients(smears, scheme, share, 0, False)
    counts = Counter(name.rstrip("0123456789") for name in test)
    assert counts["AA"] == 1
    assert counts["MDS"] == 0
    assert 1 <= counts["AML"] <= 8


def test_the_seed_alone_decides_not_the_order(make_smears, scheme):
    smears = make_smears(rows(AA=10, MDS=10, AML=10))
    drawn = [draw_test_patients(smears, scheme, 0.3, seed, False) for seed in range(6)]
    assert len(set(drawn)) == 6
    assert draw_test_patients(smears[::-1], scheme, 0.3, 2, False) == drawn[2]


def test_the_draw_is_the_same_everywhere(make_smears, scheme):
    # The least of printf "0:0:AA0" | sha256sum ... in each class; another draw moves test patients.
    smears = make_smears(rows(AA=3, MDS=3, AML=3))
    assert draw_test_patients(smears, scheme, 0.3, 0, False) == EXPECTED


EXPECTED = frozenset({"AA2", "MDS0", "AML2"})


def test_refuses_a_split_without_patients(make_smears, scheme):
    smears = make_smears([*rows(AA=3, MDS=3, AML=3), (None, "AA"), (None, "MDS")])
    with pytest.raises(CannotSplit, match="2 of 11 labelled smears have no patient"):
        draw_test_patients(smears, scheme, 0.3, 0, False)


def test_a_smear_counts_as_a_patient_only_when_told_and_only_without_one(make_smears, scheme):
    smears = make_smears([("p", "AA"), ("p", "AA"), *[(None, d) for d in ("AA", "MDS", "AML") * 3]])
    test = draw_test_patients(smears, scheme, 0.3, 0, True)
    assert len(test) == 3
    names = {patient_of(s.smear, True) for s in smears}
    assert len(names) == 10
    assert "p" in names


@pytest.mark.parametrize("counts", [{"AA": 3, "MDS": 4}, {"AA": 1, "MDS": 1, "AML": 1}])
def test_refuses_too_few_patients_with_their_counts(make_smears, scheme, counts):
    smears = make_smears(rows(**counts))
    wanted = ", ".join(f"{counts.get(name, 0)} of {name}" for name in ("AA", "MDS", "AML"))
    with pytest.raises(CannotSplit, match=re.escape(wanted)):
        draw_test_patients(smears, scheme, 0.3, 0, False)


def test_a_patient_is_of_the_class_of_most_smears(make_smears, scheme):
    smears = make_smears([("p", "AML"), ("p", "AA"), ("p", "AML"), ("p", None)])
    assert patient_class(smears, scheme) == "AML"
    assert patient_class(smears[:2], scheme) == "AA"  # a tie: first in the scheme
    assert patient_class(smears[3:], scheme) is None


def test_a_class_of_another_head_keeps_a_training_patient(make_smears):
    # One patient alone has EOS: the draw is made again until that patient trains.
    asked = Scheme(
        name="cells",
        unit="image",
        primary="diagnosis",
        heads=(
            Head(name="diagnosis", classes=("AA", "MDS", "AML")),
            Head(name="eos", classes=("other", "EOS"), positive="EOS"),
        ),
    )
    smears = [
        LabelledSmear(s.smear, s.path, {**s.answers, "eos": "EOS" if i == 0 else "other"})
        for i, s in enumerate(make_smears(rows(AA=3, MDS=3, AML=3)))
    ]
    for seed in range(30):
        assert "AA0" not in draw_test_patients(smears, asked, 0.5, seed, False)


def test_split_keeps_patients_whole_and_sends_new_ones_to_training(make_smears):
    smears = make_smears([("a", "AA"), ("b", "MDS"), ("a", "AA"), ("new", "AML")])
    train, test = split(smears, frozenset({"a"}), False)
    assert [s.smear.id for s in test] == [1, 3]
    sides = split_of(train, test, False)
    assert sides.test_patients == ("a",)
    assert sides.train_patients == ("b", "new")
    assert sides.train_smears == (2, 4)


def test_refuses_a_patient_on_both_sides(make_smears):
    smears = make_smears([("a", "AA"), ("a", "AA"), ("b", "MDS")])
    with pytest.raises(CannotSplit, match="1 of 1 test patients also train"):
        split_of(smears[1:], smears[:1], False)


def test_where_images_are_the_unit_a_class_needs_no_patient_of_its_own(make_smears, scheme):
    # Cells: a patient has several kinds, and lymphocytes are nowhere the most frequent one.
    images = scheme.model_copy(update={"unit": "image"})
    smears = make_smears(
        [("a", "AA")] * 3 + [("a", "MDS")] + [("b", "AA")] * 2 + [("b", "MDS")] + [("c", "AML")] * 2
        + [("d", "AML")] * 2 + [("d", "MDS")]
    )  # fmt: skip
    test = draw_test_patients(smears, images, 0.3, 0, False)
    assert test
    kept = {s.answers["diagnosis"] for s in smears if s.smear.patient not in test}
    assert kept == {"AA", "MDS", "AML"}
    with pytest.raises(CannotSplit, match="0 of MDS"):
        draw_test_patients(smears, scheme, 0.3, 0, False)
