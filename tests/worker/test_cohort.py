"""Who trains, tests and is held out: one draw for good, external patients on no other side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marrow.catalogue import cohorts, labels, smears
from marrow.catalogue import sight as sights
from marrow.cohort_preview import HIDDEN, preview_cohort
from marrow.commands.cohort_words import cohort_text
from marrow.errors import CannotSplit, UnreachableSmear
from marrow.importing import import_smears
from marrow.records import TrainingSpec
from marrow.schemes import AA_MDS_AML, Scheme
from marrow.study import Study
from training.dataset import LabelledSmear
from training.splits import split_of
from worker.cohort import cohort_of

EXAMPLES = Path(__file__).parents[2] / "examples"
MakeStudy = Callable[..., Study]
SPEC = TrainingSpec()
CLASSES = ("AA", "MDS", "AML")


@pytest.fixture
def fill(make_study: MakeStudy, tmp_path: Path) -> Callable[[list[tuple[str, str, str]]], Study]:
    """A study of one smear for each (patient, site, diagnosis)."""

    def make(rows: list[tuple[str, str, str]]) -> Study:
        study = make_study()
        folder = tmp_path / "smears"
        folder.mkdir()
        lines = ["file,patient,site,diagnosis"]
        for number, (patient, site, diagnosis) in enumerate(rows):
            name = f"{number:03d}.png"
            write_png(folder / name, number)
            lines.append(f"{name},{patient},{site},{diagnosis}")
        table = folder / "labels.csv"
        table.write_text("\n".join(lines))
        assert import_smears(study, [folder], table).labels == sum(bool(d) for _, _, d in rows)
        return study

    return make


def write_png(path: Path, number: int) -> None:
    pixels = np.random.default_rng(number).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def site(name: str, count: int) -> list[tuple[str, str, str]]:
    return [(f"{name}{i}", name, CLASSES[i % 3]) for i in range(count)]


def patients(side: list[LabelledSmear]) -> set[str | None]:
    return {one.smear.patient for one in side}


def test_the_first_run_draws_the_test_patients_for_good(fill) -> None:
    study = fill(site("kiel", 12))
    first = cohort_of(study, SPEC).sides
    assert (len(first.train), len(first.test), first.held_out) == (9, 3, [])
    other = cohort_of(study, SPEC.model_copy(update={"data_seed": 9, "test_share": 0.6})).sides
    assert patients(other.test) == patients(first.test)


def test_the_data_seed_draws_not_the_seed_of_the_heads(fill, make_study: MakeStudy) -> None:
    study = fill(site("kiel", 30))
    drawn = []
    for seed, data_seed in ((0, 0), (5, 0), (0, 5)):
        with study.database.write() as connection:
            connection.exec_driver_sql("DELETE FROM test_patient")
        spec = SPEC.model_copy(update={"seed": seed, "data_seed": data_seed})
        drawn.append(patients(cohort_of(study, spec).sides.test))
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_held_out_site_neither_trains_nor_is_drawn(fill) -> None:
    study = fill(site("kiel", 12) + site("ulm", 12))
    held_out = cohort_of(study, SPEC.model_copy(update={"hold_out_sites": ("ulm",)})).sides
    assert {one.smear.site for one in held_out.held_out} == {"ulm"}
    assert len(held_out.held_out) == 12
    assert {one.smear.site for one in held_out.train + held_out.test} == {"kiel"}
    with study.database.read() as connection:
        assert smears.test_patients(connection) == patients(held_out.test)
    split_of(held_out.train, held_out.test, False, held_out.held_out)
    # Later without: the site's patients train, the test patients have not moved.
    whole = cohort_of(study, SPEC).sides
    assert patients(whole.test) == patients(held_out.test)
    assert len(whole.train) == len(held_out.train) + 12


def test_a_site_may_be_held_out_after_its_patients_were_drawn(fill) -> None:
    study = fill(site("kiel", 12) + site("ulm", 12))
    before = cohort_of(study, SPEC).sides
    after = cohort_of(study, SPEC.model_copy(update={"hold_out_sites": ("ulm",)})).sides
    assert patients(after.test) == {p for p in patients(before.test) if p.startswith("kiel")}
    assert len(after.held_out) == 12


@pytest.mark.parametrize("asked", ["nowhere", "empty"])
def test_an_unknown_or_unlabelled_site_is_refused_with_those_there_are(fill, asked) -> None:
    study = fill([*site("kiel", 9), *site("ulm", 3), ("x", "empty", "")])
    with pytest.raises(CannotSplit, match=re.escape("kiel (9), ulm (3)")) as refused:
        cohort_of(study, SPEC.model_copy(update={"hold_out_sites": (asked,)}))
    assert repr(asked) in str(refused.value)


def test_a_locked_site_is_on_no_side_and_counted(fill) -> None:
    study = fill(site("kiel", 12) + site("ulm", 6))
    lock(study, "ulm")
    cohort = cohort_of(study, SPEC)
    assert {one.smear.site for side in cohort.sides for one in side} == {"kiel"}
    assert cohort.excluded == Counter({"locked site ulm": 6})
    with pytest.raises(CannotSplit, match="marrow validate MODEL --site ulm"):
        cohort_of(study, SPEC.model_copy(update={"hold_out_sites": ("ulm",)}))


def test_under_seed2022_test_patients_train_and_nobody_is_drawn(fill) -> None:
    study = fill(site("kiel", 12) + site("ulm", 6) + site("bonn", 3))
    lock(study, "bonn")
    spec = SPEC.model_copy(update={"protocol": "seed2022", "hold_out_sites": ("ulm",)})
    sides = cohort_of(study, spec).sides
    assert [len(side) for side in sides] == [12, 0, 6]
    with study.database.read() as connection:
        assert smears.test_patients(connection) == frozenset()
    cohort_of(study, SPEC.model_copy(update={"hold_out_sites": ("ulm",)}))
    assert [len(side) for side in cohort_of(study, spec).sides] == [12, 0, 6]


def test_a_training_patient_of_an_external_site_is_left_out_and_counted(fill) -> None:
    rows = [*site("kiel", 12), ("kiel0", "ulm", "AA"), *site("ulm", 6)]
    study = fill(rows)
    spec = SPEC.model_copy(update={"hold_out_sites": ("ulm",)})
    cohort = cohort_of(study, spec)  # kiel0 is not drawn: he is external
    assert "kiel0" not in patients(cohort.sides.train) | patients(cohort.sides.test)
    assert cohort.excluded == Counter({"patient also of site ulm": 1})
    split_of(cohort.sides.train, cohort.sides.test, False, cohort.sides.held_out)


def test_a_test_patient_who_is_also_external_is_refused(fill) -> None:
    study = fill([*site("kiel", 12), ("kiel0", "ulm", "AA"), *site("ulm", 6)])
    with study.database.write() as connection:
        smears.keep_test_patients(connection, {"kiel0", "kiel1", "kiel2"})
    with pytest.raises(CannotSplit, match="1 test patients also have smears of the external site"):
        cohort_of(study, SPEC.model_copy(update={"hold_out_sites": ("ulm",)}))
    cohort_of(study, SPEC)  # while the site is not external he tests


def test_a_test_patient_who_came_to_a_locked_site_is_refused(fill, tmp_path: Path) -> None:
    study = fill(site("kiel", 12) + site("ulm", 6))
    tested = sorted(str(p) for p in patients(cohort_of(study, SPEC).sides.test))
    kiel = next(name for name in tested if name.startswith("kiel"))
    with study.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM test_patient WHERE patient LIKE 'ulm%'")
    lock(study, "ulm")
    later = tmp_path / "later"
    later.mkdir()
    write_png(later / "late.png", 999)
    (later / "labels.csv").write_text(f"file,patient,site,diagnosis\nlate.png,{kiel},ulm,AA\n")
    import_smears(study, [later], later / "labels.csv")
    with pytest.raises(CannotSplit, match=f"external site ulm \\({kiel}\\)"):
        cohort_of(study, SPEC)


def test_a_class_without_training_patients_is_refused(fill) -> None:
    rows = site("kiel", 12) + [(f"u{i}", "ulm", "AA") for i in range(4)]
    study = fill([row if row[2] != "AA" or row[1] == "ulm" else (*row[:2], "") for row in rows])
    with pytest.raises(CannotSplit, match="0 of AA, 4 of MDS, 4 of AML"):
        cohort_of(study, SPEC.model_copy(update={"hold_out_sites": ("ulm",)}))
    with study.database.read() as connection:
        assert smears.test_patients(connection) == frozenset()
    assert cohort_of(study, SPEC).sides.test
    with pytest.raises(CannotSplit, match="not every class has a smear to train on"):
        cohort_of(study, SPEC.model_copy(update={"hold_out_sites": ("ulm",)}))


def test_unsure_and_conflicting_answers_are_left_out_and_counted(fill) -> None:
    study = fill([*site("kiel", 12), ("x", "kiel", "unsure"), ("y", "kiel", "AA")])
    answer(study, 14, "MDS", reader="second")
    cohort = cohort_of(study, SPEC)
    assert cohort.excluded == Counter({"unsure": 1, "conflict": 1})
    assert not {"x", "y"} & (patients(cohort.sides.train) | patients(cohort.sides.test))


def test_a_begun_run_keeps_smears_whose_answers_were_taken_back(fill) -> None:
    study = fill(site("kiel", 12))
    before = cohort_of(study, SPEC).sides
    answer(study, before.train[0].smear.id, "", reader=study.settings.reader)
    after = cohort_of(study, SPEC, is_begun=True).sides
    assert [s.smear.id for s in after.train] == [s.smear.id for s in before.train]
    assert len(cohort_of(study, SPEC).sides.train) == len(before.train) - 1


def test_a_missing_file_is_named(fill, tmp_path: Path) -> None:
    study = fill(site("kiel", 12))
    (tmp_path / "smears" / "004.png").unlink()
    with pytest.raises(UnreachableSmear, match=re.escape("004.png")):
        cohort_of(study, SPEC)


def lock(study: Study, name: str) -> None:
    with study.database.write() as connection:
        cohorts.lock_site(connection, study.database.now(connection), study.scheme, name)


def answer(study: Study, smear_id: int, diagnosis: str, reader: str) -> None:
    with study.database.write() as connection:
        at = study.database.now(connection)
        labels.give(connection, at, AA_MDS_AML, smear_id, {"diagnosis": diagnosis}, reader, False)


def test_who_is_left_out_by_hand_neither_trains_nor_is_drawn_and_is_counted(fill) -> None:
    study = fill(site("kiel", 12))
    spec = SPEC.model_copy(update={"left_out": (("kiel0", "wrong stain"), ("S000002", "blur"))})
    cohort = cohort_of(study, spec)
    sides = cohort.sides
    assert not {"kiel0", "kiel1"} & (patients(sides.train) | patients(sides.test))
    assert cohort.excluded == Counter(
        {"left out by hand: wrong stain": 1, "left out by hand: blur": 1}
    )
    again = cohort_of(study, spec, is_begun=True)
    assert patients(again.sides.train) == patients(sides.train)
    assert {"kiel0", "kiel1"} <= patients(cohort_of(study, SPEC).sides.train)


def test_a_test_patient_and_an_unknown_one_cannot_be_left_out(fill) -> None:
    study = fill(site("kiel", 12))
    unknown = SPEC.model_copy(update={"left_out": (("kiel77", "x"),)})
    with pytest.raises(CannotSplit, match="'kiel77' is neither a patient"):
        cohort_of(study, unknown)
    with study.database.read() as connection:
        assert smears.test_patients(connection) == frozenset()  # nothing was drawn
    tested = sorted(filter(None, patients(cohort_of(study, SPEC).sides.test)))[0]
    with pytest.raises(CannotSplit, match="who never move"):
        cohort_of(study, SPEC.model_copy(update={"left_out": ((tested, "x"),)}))


def test_a_file_that_only_left_out_smears_need_may_be_out_of_sight(fill, tmp_path) -> None:
    study = fill(site("kiel", 12))
    (tmp_path / "smears" / "000.png").unlink()
    with pytest.raises(UnreachableSmear):
        cohort_of(study, SPEC)
    cohort_of(study, SPEC.model_copy(update={"left_out": (("kiel0", "lost"),)}))


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        SPEC.model_copy(update={"hold_out_sites": ("ulm",)}),
        SPEC.model_copy(update={"protocol": "seed2022"}),
        SPEC.model_copy(update={"left_out": (("kiel0", "blur"),), "data_seed": 3}),
    ],
)
def test_a_preview_shows_the_cohort_that_the_worker_makes_of_it(fill, spec) -> None:
    """Before anything is drawn, and without drawing it."""
    study = fill([*site("kiel", 15), *site("ulm", 6), ("kiel1", "ulm", "MDS"), ("x", "ulm", "")])
    with study.database.read() as connection:
        shown = preview_cohort(connection, study.scheme, spec)
        assert smears.test_patients(connection) == frozenset()
    cohort = cohort_of(study, spec)
    train, test, held_out = cohort.sides
    assert (shown.smears, shown.trouble) == (len(train) + len(test), None)
    assert shown.patients == len(patients(train) | patients(test))
    for one in shown.classes:
        for side, count in ((train, one.train), (test, one.test)):
            own = [s for s in side if s.answers["diagnosis"] == one.name]
            assert len(patients(own)) == count
    assert sum(one.smears for one in shown.held_out) == len(held_out)
    assert shown.excluded == dict(cohort.excluded)
    assert shown.test == ("none" if spec.protocol == "seed2022" else "will be drawn")


def test_a_preview_says_which_sites_can_be_held_out_and_which_are_locked(fill) -> None:
    study = fill([*site("kiel", 12), *site("ulm", 3), *site("bonn", 3)])
    with study.database.write() as connection:
        cohorts.lock_site(connection, 1.0, study.scheme, "ulm")
        shown = preview_cohort(connection, study.scheme, SPEC)
    assert (shown.open_sites, shown.locked_sites) == (("bonn", "kiel"), ("ulm",))
    text = cohort_text(shown)
    assert "sites that can be held out: bonn, kiel" in text
    assert "locked sites, which no training sees: ulm" in text


def test_a_preview_says_drawn_once_they_are_and_why_a_training_would_be_refused(fill) -> None:
    study = fill([*site("kiel", 12), ("", "kiel", "AA")])
    with study.database.read() as connection:
        shown = preview_cohort(connection, study.scheme, SPEC)
    assert shown.trouble is not None
    assert "1 of 13 labelled smears have no patient" in shown.trouble
    assert [(one.smear, one.reason) for one in shown.left_out] == [("S000013", "no patient")]
    own = SPEC.model_copy(update={"smear_is_patient": True, "folds": 10})
    cohort_of(study, own)
    with study.database.read() as connection:
        shown = preview_cohort(connection, study.scheme, own)
    assert shown.test == "drawn"
    assert shown.trouble is not None  # the folds come after the sides, which are known
    assert "--folds" in shown.trouble
    assert shown.test_patients > 0


def test_a_test_patient_with_images_of_several_classes_is_counted_once(
    make_study: MakeStudy, add_smears: Callable[..., list[int]]
) -> None:
    study = make_study(Scheme.from_toml(EXAMPLES / "cells.toml"))
    ids = add_smears(study, 60)
    with study.database.write() as connection:
        for number, smear_id in enumerate(ids):
            smears.describe(connection, [smear_id], patient=f"P{number // 3}")
            given = {"lineage": ("GRAN", "LYM", "MON")[number % 3], "eosinophil": "other"}
            labels.give(connection, 1.0, study.scheme, smear_id, given, "A", False)
        shown = preview_cohort(connection, study.scheme, SPEC)
    assert shown.trouble is None
    assert [one.test for one in shown.classes] == [shown.test_patients] * 3  # each has all three
    assert 0 < shown.test_patients < shown.patients == 20
    words = f"test patients, will be drawn: {shown.test_patients} (GRAN"
    assert words in cohort_text(shown)


def test_a_preview_tells_a_blind_reader_nothing_of_labels_that_are_hidden(fill) -> None:
    study = fill(site("kiel", 12))
    with study.database.write() as connection:
        at, reader = study.database.now(connection), study.settings.reader
        labels.give(connection, at, study.scheme, 1, {"diagnosis": "unsure"}, reader, False)
        same = labels.consensus(connection, [2])[2].answers
        for name in ("anna", "bert"):
            labels.give(connection, at, study.scheme, 2, same, name, False)
        sights.set_blind_readers(connection, ("anna", "bert"))
    with study.database.read() as connection:
        who = sights.Sight.of(connection, "anna")
        (told,) = preview_cohort(connection, study.scheme, SPEC).left_out
        seen = preview_cohort(connection, study.scheme, SPEC, who)
    assert (told.smear_id, told.reason) == (1, "unsure")
    assert {one.smear_id for one in seen.left_out if one.reason == HIDDEN} == {1, *range(3, 13)}
    assert seen.smears <= 1  # what both have read
    assert sum(one.train + one.test for one in seen.classes) <= 1
    assert seen.trouble is None
