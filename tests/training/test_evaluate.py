"""Figures in the scheme's unit, each with its n, and None with a reason where there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from marrow import statistics
from marrow.evaluate import evaluate


def probabilities(smears, scheme, seed=0, skill=1.0):
    """Random answers that lean to the truth, by smear id."""
    rng = np.random.default_rng(seed)
    given = {}
    for smear in smears:
        given[smear.smear.id] = {}
        for head in scheme.heads:
            row = rng.gamma(1.0, size=len(head.classes))
            if smear.answers[head.name] is not None:
                row[head.classes.index(smear.answers[head.name])] += skill
            given[smear.smear.id][head.name] = row / row.sum()
    return given


def test_a_patient_counts_once_with_the_mean_of_the_smears(make_smears, scheme):
    # Three images of p speak for AML on average, though two of them call AA.
    smears = make_smears([("p", "AML")] * 3 + [("q", "AA"), ("r", "MDS"), ("s", "MDS")])
    rows = [[0.5, 0.1, 0.4], [0.5, 0.1, 0.4], [0.0, 0.0, 1.0], [1, 0, 0], [0, 1, 0], [0.6, 0.4, 0]]
    given = {
        s.smear.id: {"diagnosis": np.array(row), "mds": np.array([1 - row[1], row[1]])}
        for s, row in zip(smears, rows, strict=True)
    }
    figures = evaluate(given, smears, scheme, False)
    head = figures["heads"]["diagnosis"]
    assert (head["n"], head["unit"], head["patients"]) == (4, "patients", 4)
    assert head["classes"] == {"AA": 1, "MDS": 2, "AML": 1}
    wilson = statistics.wilson(3, 4)
    assert head["accuracy"]["value"] == pytest.approx(0.75)
    assert head["accuracy"]["low"] == pytest.approx(wilson.low)
    assert head["accuracy"]["high"] == pytest.approx(wilson.high)
    assert head["balanced_accuracy"]["value"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert figures["smears"] == 6
    assert figures["patients"] == 4


@pytest.mark.slow
def test_the_auc_of_two_classes_is_of_the_positive_one_with_a_logit_interval(make_smears, scheme):
    smears = make_smears([(f"p{i}", d) for i, d in enumerate(["AA", "MDS", "AML", "MDS"] * 8)])
    given = probabilities(smears, scheme)
    auc = evaluate(given, smears, scheme, False)["heads"]["mds"]["auc"]
    scores = [given[s.smear.id]["mds"][1] for s in smears]
    truth = [s.answers["mds"] == "MDS" for s in smears]
    assert auc["value"] == pytest.approx(roc_auc_score(truth, scores))
    assert auc["method"] == "delong, logit"
    assert auc["low"] < auc["value"] < auc["high"]
    assert (auc["n"], auc["unit"]) == (32, "patients")


@pytest.mark.slow
def test_of_more_classes_it_is_the_macro_mean(make_smears, scheme):
    smears = make_smears([(f"p{i}", d) for i, d in enumerate(["AA", "MDS", "AML", "MDS"] * 6)])
    given = probabilities(smears, scheme)
    head = evaluate(given, smears, scheme, False)["heads"]["diagnosis"]
    scores = np.array([given[s.smear.id]["diagnosis"] for s in smears])
    truth = np.array([("AA", "MDS", "AML").index(s.answers["diagnosis"]) for s in smears])
    assert head["auc"]["value"] == pytest.approx(roc_auc_score(truth, scores, multi_class="ovr"))
    assert head["balanced_accuracy"]["value"] == pytest.approx(
        balanced_accuracy_score(truth, scores.argmax(1))
    )
    assert head["auc"]["low"] < head["auc"]["value"] < head["auc"]["high"]


@pytest.mark.slow
def test_images_are_counted_with_an_interval_over_patients(make_smears, scheme):
    by_image = scheme.model_copy(update={"unit": "image"})
    many = [(f"p{i % 9}", ("AA", "MDS", "AML")[i % 3]) for i in range(90)]
    smears = make_smears(many)
    # All images of a patient are right or wrong together: 9 opinions, not 90.
    given = {}
    for s in smears:
        right = s.smear.patient not in {"p0", "p4"}
        given[s.smear.id] = {}
        for head in scheme.heads:
            row = np.full(len(head.classes), 0.1)
            true = head.classes.index(s.answers[head.name])
            row[true if right else (true + 1) % len(head.classes)] = 0.9
            given[s.smear.id][head.name] = row / row.sum()
    accuracy = evaluate(given, smears, by_image, False)["heads"]["diagnosis"]["accuracy"]
    assert (accuracy["n"], accuracy["unit"]) == (90, "images")
    assert accuracy["value"] == pytest.approx(7 / 9)
    assert "patients" in accuracy["method"]
    naive = statistics.wilson(70, 90)
    assert accuracy["high"] - accuracy["low"] > 2 * (naive.high - naive.low)


def test_what_cannot_be_estimated_is_none_with_a_reason(make_smears, scheme):
    smears = make_smears([("p", "AA"), ("q", "AA"), ("r", "AML")])
    heads = evaluate(probabilities(smears, scheme), smears, scheme, False)["heads"]
    assert heads["mds"]["auc"]["value"] is None
    assert heads["mds"]["auc"]["reason"] == "none of the 3 patients is of class MDS"
    assert heads["diagnosis"]["accuracy"]["value"] is not None
    unknown = make_smears([("p", None)])
    heads = evaluate(probabilities(unknown, scheme), unknown, scheme, False)["heads"]
    assert heads["diagnosis"]["accuracy"]["value"] is None
    assert "has an answer" in heads["diagnosis"]["accuracy"]["reason"]
    assert heads["diagnosis"]["n"] == 0


def test_a_class_with_one_patient_has_a_value_but_no_interval(make_smears, scheme):
    smears = make_smears([("p", "AA"), ("q", "MDS"), ("r", "AML"), ("s", "AML")])
    auc = evaluate(probabilities(smears, scheme), smears, scheme, False)["heads"]["diagnosis"][
        "auc"
    ]
    assert auc["value"] is not None
    assert auc["low"] is None
    assert auc["reason"]


def test_smears_that_were_not_scored_are_counted_apart(make_smears, scheme):
    smears = make_smears([("p", "AA"), ("q", "MDS"), ("r", "AML")])
    given = probabilities(smears, scheme)
    del given[2]
    figures = evaluate(given, smears, scheme, False)
    assert (figures["smears"], figures["not_scored"]) == (2, 1)


@pytest.mark.slow
def test_figures_are_json(make_smears, scheme):
    smears = make_smears([(f"p{i}", d) for i, d in enumerate(["AA", "MDS", "AML"] * 3)])
    figures = evaluate(probabilities(smears, scheme), smears, scheme, False)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


@pytest.mark.slow
def test_every_class_is_judged_against_the_rest(make_smears, scheme):
    smears = make_smears([(f"p{i}", d) for i, d in enumerate(["AA", "MDS", "AML", "MDS"] * 6)])
    given = probabilities(smears, scheme)
    heads = evaluate(given, smears, scheme, False)["heads"]
    truth = np.array([s.answers["diagnosis"] for s in smears])
    scores = np.array([given[s.smear.id]["diagnosis"] for s in smears])
    called = np.array(("AA", "MDS", "AML"))[scores.argmax(1)]
    for index, name in enumerate(("AA", "MDS", "AML")):
        said, was = called == name, truth == name
        wanted = statistics.two_by_two(
            int((said & was).sum()), int((~said & was).sum()),
            int((said & ~was).sum()), int((~said & ~was).sum()),
        )  # fmt: skip
        own = heads["diagnosis"]["per_class"][name]
        for rate in ("sensitivity", "specificity", "ppv", "npv"):
            expected = getattr(wanted, rate)
            got = own[rate]
            assert (got["value"], got["low"], got["high"], got["n"]) == (
                expected.value, expected.low, expected.high, expected.n,
            )  # fmt: skip
        assert own["auc"]["value"] == pytest.approx(roc_auc_score(was, scores[:, index]))
        assert own["auc"]["method"] == "delong, logit"
    # A two-class head's own figures are those of its positive class.
    assert heads["mds"]["sensitivity"] == heads["mds"]["per_class"]["MDS"]["sensitivity"]
    assert "sensitivity" not in heads["diagnosis"]


@pytest.mark.slow
def test_probabilities_are_judged_too(make_smears, scheme):
    smears = make_smears([(f"p{i}", d) for i, d in enumerate(["AA", "MDS", "AML", "MDS"] * 6)])
    given = probabilities(smears, scheme)
    heads = evaluate(given, smears, scheme, False)["heads"]
    positive = np.array([given[s.smear.id]["mds"][1] for s in smears])
    truth = np.array([s.answers["mds"] == "MDS" for s in smears])
    assert heads["mds"]["brier"]["value"] == pytest.approx(np.mean((positive - truth) ** 2))
    rows = np.array([given[s.smear.id]["diagnosis"] for s in smears])
    one_hot = np.array(
        [[s.answers["diagnosis"] == c for c in ("AA", "MDS", "AML")] for s in smears]
    )
    several = heads["diagnosis"]["brier"]
    assert several["value"] == pytest.approx(np.mean(((rows - one_hot) ** 2).sum(1)))
    for head in heads.values():
        assert 0 <= head["ece"]["value"] <= 1
        assert head["brier"]["low"] < head["brier"]["value"] < head["brier"]["high"]


@pytest.mark.slow
def test_shares_of_images_have_intervals_over_patients_and_their_own_n(make_smears, scheme):
    by_image = scheme.model_copy(update={"unit": "image"})
    smears = make_smears([(f"p{i % 9}", ("AA", "MDS", "AML")[i % 3]) for i in range(90)])
    figures = evaluate(probabilities(smears, by_image), smears, by_image, False)["heads"]["mds"]
    assert figures["sensitivity"]["n"] == 30
    assert figures["specificity"]["n"] == 60
    assert figures["sensitivity"]["unit"] == "images"
    assert "patients" in figures["sensitivity"]["method"]


def test_a_share_of_nothing_has_a_reason(make_smears, scheme):
    smears = make_smears([("p", "AA"), ("q", "AA"), ("r", "AML")])
    given = {
        s.smear.id: {"mds": np.array([0.9, 0.1]), "diagnosis": np.array([0.8, 0.1, 0.1])}
        for s in smears
    }
    heads = evaluate(given, smears, scheme, False)["heads"]
    assert heads["mds"]["sensitivity"]["reason"] == "none of the 3 patients is of class MDS"
    assert heads["mds"]["ppv"]["reason"] == "none of the 3 patients is called MDS"
    assert heads["mds"]["specificity"]["value"] == 1.0
