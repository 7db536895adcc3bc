"""Synthetic smears: truth, purity, files, and what colour alone may tell of the diagnosis."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import marrow.synthetic
from marrow.statistics import macro_auc_metric, patient_bootstrap
from marrow.synthetic import cohort, render_field, write_cohort
from marrow.synthetic.cohort import CELLS
from marrow.synthetic.morphology import MORPHOLOGIES

SMALL = {"size_px": 256, "pixel_size_um": 0.4}  # the whole 102 um field, a quarter of the work
COUNTS = {"AA": 24, "MDS": 28, "AML": 36}
FEWER = {"AA": 18, "MDS": 20, "AML": 26}  # for the guards, which render every patient
DIAGNOSES = ("AA", "MDS", "AML")


# --- the cohort ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["easy", "strict", "null"])
def test_cohort_has_the_asked_patients_and_the_same_ones_again(mode):
    patients = cohort(COUNTS, mode, seed=4)
    assert {d: sum(p.diagnosis == d for p in patients) for d in COUNTS} == COUNTS
    assert len({p.pseudonym for p in patients}) == 88
    assert patients == cohort(COUNTS, mode, seed=4)
    assert patients != cohort(COUNTS, mode, seed=5)


def test_pseudonyms_tell_no_diagnosis_and_differ_between_seeds():
    patients = cohort(COUNTS)
    assert [p.pseudonym for p in patients[:2]] == ["SYN-0001", "SYN-0002"]
    numbers = {d: [p.number for p in patients if p.diagnosis == d] for d in COUNTS}
    for of_one in numbers.values():
        assert min(of_one) < 20
        assert max(of_one) > 68
    others = {p.pseudonym for p in cohort(COUNTS, seed=1)}
    assert not others & {p.pseudonym for p in patients}


@pytest.mark.parametrize("mode", ["easy", "strict"])
def test_blasts_follow_the_definition_of_the_diagnosis(mode):
    allowed = {"AA": (0, 0.05), "MDS": (0, 0.19), "AML": (0.20, 1)}
    for patient in cohort({"AA": 150, "MDS": 150, "AML": 150}, mode):
        low, high = allowed[patient.diagnosis]
        assert low <= patient.mix[0] <= high
        assert sum(patient.mix) == pytest.approx(1)


def test_auer_rods_are_seen_in_about_three_of_ten_aml_and_nowhere_else():
    patients = cohort({"AA": 50, "MDS": 50, "AML": 400})
    assert not any(p.has_auer_rods for p in patients if p.diagnosis != "AML")
    share = np.mean([p.has_auer_rods for p in patients if p.diagnosis == "AML"])
    assert 0.23 < share < 0.37  # three standard errors at n = 400


def test_strict_gives_every_diagnosis_the_same_nuclear_area():
    areas = np.array([MORPHOLOGIES[kind].nuclear_area_um2 for kind in CELLS])
    found = {d: [] for d in DIAGNOSES}
    for patient in cohort(dict.fromkeys(DIAGNOSES, 300), "strict"):
        found[patient.diagnosis].append(patient.cellularity * float(areas @ patient.mix))
    means = np.array([np.mean(found[d]) for d in DIAGNOSES])
    assert np.ptp(means) / means.mean() < 0.08  # gamma of shape 9: error of a mean .019


def test_null_draws_every_diagnosis_alike():
    """The same place in the cohort gives the same patient, whatever the diagnosis says."""
    as_aa, as_aml = cohort({"AA": 5}, "null"), cohort({"AML": 5}, "null")
    for one, other in zip(as_aa, as_aml, strict=True):
        assert replace(one, diagnosis="AML") == other


def test_sites_are_balanced_within_each_diagnosis_and_stain_apart():
    patients = cohort({"AA": 200, "AML": 200}, sites=("north", "south"))
    for diagnosis in ("AA", "AML"):
        own = [p for p in patients if p.diagnosis == diagnosis]
        assert sum(p.site == "north" for p in own) == 100
    gains = {
        s: np.array([p.stain.gain for p in patients if p.site == s]) for s in ("north", "south")
    }
    gap = np.abs(gains["north"].mean(axis=0) - gains["south"].mean(axis=0)).max()
    assert gap > 3 * gains["north"].std(axis=0).max() / np.sqrt(200)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"CML": 3},), "no cell mix for CML"),
        (({"AA": -1},), "0 or more"),
        (({"AA": 1}, "hard"), "easy, strict or null"),
        (({"AA": 1}, "easy", -1), "seed"),
        (({"AA": 1}, "easy", 0, ()), "sites"),
        (({"AA": 1}, "easy", 0, "north"), "sites"),
    ],
)
def test_refuses_a_cohort_that_cannot_be_drawn(arguments, message):
    with pytest.raises(ValueError, match=message):
        cohort(*arguments)


# --- one field ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def field():
    patient = next(p for p in cohort({"MDS": 3}) if p.cellularity > 15)
    return render_field(patient, 0)


def test_field_has_the_declared_form(field):
    assert (field.image.shape, field.image.dtype) == ((512, 512, 3), np.uint8)
    assert (field.mask.shape, field.mask.dtype) == ((512, 512), np.uint16)
    assert field.pixel_size_um == 0.2
    assert field.image.std() > 10


def test_every_cell_of_the_truth_is_in_the_mask_and_no_other(field):
    assert set(np.unique(field.mask)) - {0} == set(range(1, len(field.cells) + 1))
    kinds = {cell.type for cell in field.cells}
    assert kinds <= {*CELLS, "red_cell"}
    assert "red_cell" in kinds


def test_truth_agrees_with_the_mask(field):
    checked = 0
    for number, cell in enumerate(field.cells, start=1):
        rows, columns = np.nonzero(field.mask == number)
        assert cell.centroid == pytest.approx((rows.mean(), columns.mean()))
        whole = min(rows.min(), columns.min()) > 0 and max(rows.max(), columns.max()) < 511
        if whole and cell.type != "red_cell":  # red cells may lie beneath others
            found_um = 2 * np.sqrt(len(rows) / np.pi) * 0.2
            assert found_um == pytest.approx(cell.diameter_um, rel=0.2)
            checked += 1
    assert checked >= 8


def test_nuclei_are_dark_red_cells_pale_and_background_clear(field):
    green = field.image[..., 1].astype(float)
    nucleated = sum(cell.type != "red_cell" for cell in field.cells)
    cells, red = (field.mask > 0) & (field.mask <= nucleated), field.mask > nucleated
    assert green[cells].mean() + 20 < green[red].mean() < green[field.mask == 0].mean() - 15


def test_rendering_is_a_pure_function():
    patient, other = cohort({"AML": 2}, "strict", seed=3)
    first = render_field(patient, 1, **SMALL)
    render_field(other, 0, 64, 0.3)
    again = render_field(patient, 1, **SMALL)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
    assert first.cells == again.cells
    assert not np.array_equal(first.image, render_field(patient, 2, **SMALL).image)
    assert not np.array_equal(first.image, render_field(other, 1, **SMALL).image)


@pytest.mark.parametrize(("size", "um"), [(32, 2.0), (96, 1.0), (200, 0.06), (333, 0.25)])
def test_any_size_and_pixel_size_can_be_drawn(size, um):
    for patient in cohort({"AA": 1, "MDS": 1, "AML": 1}):
        found = render_field(patient, 0, size, um)
        assert found.image.shape == (size, size, 3)
        assert found.mask.max() == len(found.cells)


def test_cells_keep_their_size_in_um_at_another_pixel_size():
    patient = cohort({"AML": 1})[0]
    for um, size in ((0.2, 512), (0.4, 256)):
        found = render_field(patient, 0, size, um)
        blasts = [cell.diameter_um for cell in found.cells if cell.type == "blast"]
        assert np.mean(blasts) == pytest.approx(15, abs=1.5)


@pytest.mark.parametrize(("field", "size", "um"), [(-1, 64, 0.2), (0, 8, 0.2), (0, 64, 5.0)])
def test_refuses_a_field_out_of_range(field, size, um):
    with pytest.raises(ValueError, match="pixel"):
        render_field(cohort({"AA": 1})[0], field, size, um)


def test_every_morphology_can_be_drawn_and_is_dense():
    """A patient of one kind of cell only: the kind is drawn, with a nucleus."""
    patient = cohort({"MDS": 1})[0]
    for place, kind in enumerate(CELLS):
        mix = tuple(float(i == place) for i in range(len(CELLS)))
        only = replace(patient, mix=mix, cellularity=20.0, red_cells=0.0, vacuoles=0.0)
        found = render_field(only, 0, **SMALL)
        assert {cell.type for cell in found.cells} == {kind}
        assert np.percentile(found.image[..., 1][found.mask > 0], 10) < 140, kind


# --- files --------------------------------------------------------------------------------


def test_files_say_synthetic_and_come_out_the_same_again(tmp_path):
    patients, seen = cohort({"AA": 1, "AML": 1}), []
    table = write_cohort(
        tmp_path / "a", patients, 5, 64, 0.5, on_progress=lambda *now: seen.append(now)
    )
    assert table == tmp_path / "a" / "labels.csv"
    assert seen == [(i, 10) for i in range(1, 11)]
    write_cohort(tmp_path / "b", patients, 5, 64, 0.5)
    written = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(written) == 11
    for name in written:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    for name in written[1:]:
        assert "synthetic" in name
        assert not any(diagnosis in name for diagnosis in DIAGNOSES)
        with Image.open(tmp_path / "a" / name) as image:
            assert image.info["Description"].startswith("synthetic")
            assert image.info["dpi"][0] == pytest.approx(25_400 / 0.5, rel=1e-4)


def test_labels_csv_has_a_row_for_each_image(tmp_path):
    patients = cohort({"MDS": 2}, sites=("north", "south"))
    with write_cohort(tmp_path, patients, 5, 32, 1.0).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["file", "patient", "slide", "site", "mpp", "diagnosis"]
    assert {row["file"] for row in rows} == {path.name for path in tmp_path.glob("*.png")}
    assert {row["patient"] for row in rows} == {"SYN-0001", "SYN-0002"}
    assert [row["slide"] for row in rows[:5]] == ["SYN-0001-1"] * 4 + ["SYN-0001-2"]
    assert {(row["mpp"], row["diagnosis"]) for row in rows} == {("1", "MDS")}
    assert rows[0]["site"] == patients[0].site


def test_refuses_no_fields(tmp_path):
    with pytest.raises(ValueError, match="1 or more"):
        write_cohort(tmp_path, cohort({"AA": 1}), 0)


# --- guards: what can be learned without looking at cells -----------------------------------


def colours(image: np.ndarray) -> np.ndarray:
    """Square roots of the colour histogram: 16 bins a channel and 6 x 6 x 6 joint bins."""
    flat = image.reshape(-1, 3).astype(int)
    joint = (flat * 6 // 256) @ [36, 6, 1]
    bins = [np.bincount(flat[:, c] // 16, minlength=16) for c in range(3)]
    bins.append(np.bincount(joint, minlength=216))
    return np.sqrt(np.concatenate(bins) / len(flat))


def census(cells) -> np.ndarray:
    """Shares of the kinds of nucleated cell."""
    counts = np.array([sum(cell.type == kind for cell in cells) for kind in CELLS], dtype=float)
    return counts / max(counts.sum(), 1)


def out_of_fold(features: np.ndarray, truth: np.ndarray) -> np.ndarray:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return cross_val_predict(model, features, truth, cv=folds, method="predict_proba")


@pytest.fixture(scope="module")
def guards():
    """Of each mode: truth, colours and census of one field a patient."""
    found = {}
    for mode in ("easy", "strict", "null"):
        patients = cohort(FEWER, mode, seed=2022)
        fields = [render_field(patient, 0, **SMALL) for patient in patients]
        truth = np.array([DIAGNOSES.index(patient.diagnosis) for patient in patients])
        seen = np.array([colours(field.image) for field in fields])
        found[mode] = truth, seen, np.array([census(field.cells) for field in fields])
    return found


@pytest.mark.slow
def test_colour_alone_tells_the_diagnosis_in_easy(guards):
    truth, seen, _ = guards["easy"]
    assert roc_auc_score(truth, out_of_fold(seen, truth), multi_class="ovr") > 0.92


@pytest.mark.slow
def test_colour_alone_hardly_tells_the_diagnosis_in_strict(guards):
    truth, seen, _ = guards["strict"]
    assert roc_auc_score(truth, out_of_fold(seen, truth), multi_class="ovr") <= 0.75


@pytest.mark.slow
def test_morphology_tells_the_diagnosis_in_strict(guards):
    truth, _, kinds = guards["strict"]
    assert roc_auc_score(truth, out_of_fold(kinds, truth), multi_class="ovr") > 0.95


@pytest.mark.slow
def test_colour_in_null_is_chance(guards):
    truth, seen, _ = guards["null"]
    p = out_of_fold(seen, truth)
    found = patient_bootstrap(
        macro_auc_metric(p, truth), np.arange(len(truth)), strata=truth, draws=500
    )
    assert found.low < 0.5 < found.high


def test_what_a_null_patient_is_made_of_is_chance():
    """Mix, counts and stain, learned on one cohort and tried on another (no rendering)."""

    def made_of(seed: int) -> tuple[np.ndarray, np.ndarray]:
        patients = cohort(dict.fromkeys(DIAGNOSES, 150), "null", seed)
        rows = [
            (*p.mix, p.cellularity, p.red_cells, p.vacuoles, p.has_auer_rods, *p.stain.gain)
            for p in patients
        ]
        return np.array(rows), np.array([DIAGNOSES.index(p.diagnosis) for p in patients])

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(*made_of(1))
    features, truth = made_of(2)
    p = model.predict_proba(features)
    found = patient_bootstrap(
        macro_auc_metric(p, truth), np.arange(len(truth)), strata=truth, draws=300
    )
    assert found.low < 0.5 < found.high


def test_public_names_are_sorted_and_exist():
    assert marrow.synthetic.__all__ == sorted(marrow.synthetic.__all__)
    assert all(hasattr(marrow.synthetic, name) for name in marrow.synthetic.__all__)
