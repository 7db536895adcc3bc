"""What is fitted on out-of-fold predictions keeps its promise on new patients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from marrow.calibration import calibration_of
from marrow.errors import BadModel
from marrow.schemes import Head, Scheme
from training.calibrate import (
    Calibration,
    OutOfFold,
    calibrated,
    fit_calibration,
    is_unlike,
    is_unsure,
)

THREE = Head(name="diagnosis", classes=("AA", "MDS", "AML"))


def scheme(unit: str = "patient", *more: Head) -> Scheme:
    return Scheme(name="x", unit=unit, primary="diagnosis", heads=(THREE, *more))


def cohort(patients: int, seed: int, *, smears: int = 1, too_sure: float = 2.0) -> OutOfFold:
    """Patients whose true class follows the softmax of their logits, `too_sure` times sharper.

    The smears of a patient differ by little noise.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (patients, 3))
    truth = np.array([rng.choice(3, p=softmax(row)) for row in logits])
    rows = np.repeat(np.arange(patients), smears)
    shown = too_sure * (logits[rows] + rng.normal(0, 0.1, (len(rows), 3)) * (smears > 1))
    return OutOfFold(
        patients=[f"p{row}" for row in rows],
        truth={"diagnosis": truth[rows]},
        probabilities={"diagnosis": softmax(shown, axis=1)},
        distances=np.sqrt(rng.chisquare(5, len(rows))),
    )


def repeated(oof: OutOfFold, row: int, times: int) -> OutOfFold:
    """The same with one smear of a patient many times over."""
    rows = [*range(len(oof.patients)), *[row] * times]
    return OutOfFold(
        [oof.patients[one] for one in rows],
        {name: own[rows] for name, own in oof.truth.items()},
        {name: own[rows] for name, own in oof.probabilities.items()},
        oof.distances[rows],
    )


def test_the_temperature_takes_back_what_was_too_sure() -> None:
    fitted = fit_calibration(cohort(600, 0, too_sure=2.0), scheme(), folds=5)
    # The standard error at 600 patients is about 0.15.
    assert fitted.heads["diagnosis"].temperature == pytest.approx(2.0, abs=0.35)
    assert fitted.heads["diagnosis"].patients == 600
    assert fitted.source == "out-of-fold predictions of 600 patients in 5 folds"


def test_every_patient_weighs_alike_however_many_smears_there_are() -> None:
    oof = cohort(60, 1)
    once = fit_calibration(oof, scheme(), 5)
    wrong = int(np.argmax(oof.probabilities["diagnosis"].argmax(1) != oof.truth["diagnosis"]))
    often = fit_calibration(repeated(oof, wrong, 200), scheme(), 5)
    one, other = once.heads["diagnosis"], often.heads["diagnosis"]
    assert other.temperature == pytest.approx(one.temperature, rel=1e-5)
    assert other.unsure_below == pytest.approx(one.unsure_below, rel=1e-5)
    assert other.conformal == pytest.approx(one.conformal, rel=1e-5)
    assert often.distance_patients == once.distance_patients == 60
    far = np.linspace(0, 6, 200)
    # 2,000 quantiles of 60 patients are exact but for the rounding of a step.
    assert (is_unlike(once, far) == is_unlike(often, far)).mean() > 0.98


@pytest.mark.parametrize("unit", ["patient", "image"])
def test_promises_hold_for_new_patients(unit: str) -> None:
    fitted = fit_calibration(cohort(400, 2, smears=2), scheme(unit), 5)
    new = cohort(3000, 3)
    own = fitted.heads["diagnosis"]
    served = calibrated(new.probabilities["diagnosis"], own.temperature)
    truth = new.truth["diagnosis"]
    right = served.argmax(1) == truth
    unsure = np.array([is_unsure(fitted, scheme(unit), row) for row in served])
    # Tolerances: three standard errors of the calibration quantiles (about 0.02).
    assert unsure[right].mean() == pytest.approx(0.10, abs=0.05)
    assert unsure[~right].mean() > 2 * unsure[right].mean()
    assert is_unlike(fitted, new.distances).mean() == pytest.approx(0.05, abs=0.035)
    assert is_unlike(fitted, new.distances + 3).mean() > 0.5
    sets = [fitted.possible(THREE, row.tolist()) for row in served]
    for index, name in enumerate(THREE.classes):
        held = [name in one for one, true in zip(sets, truth, strict=True) if true == index]
        assert np.mean(held) == pytest.approx(0.90, abs=0.07)


def test_a_patient_has_one_score_in_a_scheme_of_patients_and_images_in_one_of_images() -> None:
    # 12 patients of two smears, .9 and .5 sure of the true class: their mean is .7 for each.
    patients = [f"p{number}" for number in range(12) for _ in range(2)]
    answers = np.tile([[0.9, 0.05, 0.05], [0.5, 0.25, 0.25]], (12, 1))
    flat = np.zeros(24)
    oof = OutOfFold(patients, {"diagnosis": np.zeros(24, np.int64)}, {"diagnosis": answers}, flat)
    by_patient = fit_calibration(oof, scheme("patient"), 3).heads["diagnosis"]
    by_image = fit_calibration(oof, scheme("image"), 3).heads["diagnosis"]
    served = 1 - calibrated(answers[:2], by_patient.temperature)[:, 0]
    assert by_patient.conformal[0] == pytest.approx(served.mean())
    assert by_image.conformal[0] == pytest.approx(served.max())


def test_a_class_with_few_patients_can_never_be_ruled_out_and_the_note_says_so() -> None:
    oof = cohort(60, 4)
    rare = [row for row, true in enumerate(oof.truth["diagnosis"]) if true == 0][8:]
    oof.truth["diagnosis"][rare] = -1
    fitted = fit_calibration(oof, scheme(), 5)
    own = fitted.heads["diagnosis"]
    assert own.conformal[0] is None
    assert None not in own.conformal[1:]
    assert "9 calibration patients" in own.conformal_note
    assert "AA (8)" in own.conformal_note
    assert own.patients == 60 - len(rare)
    assert fitted.possible(THREE, (0.0, 1.0, 0.0)) == ("AA", "MDS")


def test_a_head_without_any_answer_is_left_as_it_is() -> None:
    oof = cohort(30, 5)
    more = Head(name="subtype", classes=("LB", "IB1", "IB2"), asked_when={"diagnosis": ("MDS",)})
    oof.truth["subtype"] = np.full(30, -1)
    oof.probabilities["subtype"] = oof.probabilities["diagnosis"]
    fitted = fit_calibration(oof, scheme("patient", more), 5)
    own = fitted.heads["subtype"]
    assert (own.temperature, own.unsure_below, own.patients) == (1, None, 0)
    assert own.conformal == (None, None, None)
    assert "no patient has a known answer to subtype" in own.conformal_note
    assert fitted.possible(more, (0.2, 0.3, 0.5)) is None


def test_with_few_right_patients_nothing_is_called_unsure() -> None:
    oof = cohort(9, 6)
    fitted = fit_calibration(oof, scheme(), 3)
    assert fitted.heads["diagnosis"].unsure_below is None
    assert not is_unsure(fitted, scheme(), np.array([0.34, 0.33, 0.33]))


@pytest.mark.parametrize(("patients", "rate"), [(3, 1 / 4), (18, 1 / 19), (19, 0.05), (60, 0.05)])
def test_few_patients_flag_what_lies_beyond_all_of_them_at_a_declared_rate(patients, rate) -> None:
    oof = cohort(patients, 7, smears=4)
    fitted = fit_calibration(oof, scheme(), 3)
    assert fitted.unlike_below == pytest.approx(rate)
    assert is_unlike(fitted, np.array([1e6, 0.0])).tolist() == [True, False]
    if patients < 19:
        assert not is_unlike(fitted, np.array([oof.distances.max()])).any()


def test_where_images_are_the_unit_ten_right_ones_set_the_threshold() -> None:
    oof = cohort(5, 6, smears=12)
    assert fit_calibration(oof, scheme("patient"), 3).heads["diagnosis"].unsure_below is None
    assert fit_calibration(oof, scheme("image"), 3).heads["diagnosis"].unsure_below is not None


def test_many_distances_are_summed_up() -> None:
    fitted = fit_calibration(cohort(900, 8, smears=3), scheme(), 5)
    assert len(fitted.distances) == 2000
    assert list(fitted.distances) == sorted(fitted.distances)
    assert fitted.distance_patients == 900


def test_smears_without_distance_are_left_out() -> None:
    oof = cohort(30, 9)
    oof.distances[:10] = np.nan
    assert fit_calibration(oof, scheme(), 5).distance_patients == 20
    oof.distances[:] = np.nan
    fitted = fit_calibration(oof, scheme(), 5)
    assert not is_unlike(fitted, np.array([1e6])).any()


def test_survives_the_card() -> None:
    fitted = fit_calibration(cohort(40, 10), scheme(), 5)
    card = {"calibration": fitted.model_dump(mode="json")}
    assert calibration_of(card) == fitted
    assert Calibration.model_validate_json(fitted.model_dump_json()) == fitted
    assert calibration_of({}) is None
    assert calibration_of({"calibration": None}) is None
    with pytest.raises(BadModel, match=r"temperature.*train or import"):
        card["calibration"]["heads"]["diagnosis"]["temperature"] = 0
        calibration_of(card)
