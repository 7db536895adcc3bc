"""The report opens images again: wrong calls with their maps, and how the sites look."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marrow.catalogue import labels, models, smears
from marrow.evaluate import evaluate
from training.dataset import LabelledSmear
from training.report import make_report
from training.report.evidence import gather
from training.report.images import Eye, look_at_sites

pytestmark = pytest.mark.slow

CLASSES = ("AA", "MDS", "AML")


@pytest.fixture
def scored(make_study, tiny_model, small_smears, tmp_path):
    """20 images of ten patients of two sites; every second patient is called wrongly."""
    study = make_study()
    record = tiny_model(study)
    ids = small_smears(study, tmp_path / "images", 20)
    answers = {}
    with study.database.write() as connection:
        at = study.database.now(connection)
        for smear in smears.get(connection, ids):
            number = int(smear.patient[1:])
            truth, site = CLASSES[number % 3], "near" if number % 2 else "far"
            smears.describe(connection, [smear.id], site=site)
            labels.give(connection, at, study.scheme, smear.id, {"diagnosis": truth}, "r", False)
            said = np.full(3, 0.1)
            said[(number + number // 5) % 3] = 0.8
            answers[smear.id] = {"mds": (0.5, 0.5), "diagnosis": tuple(said.tolist())}
        truths = {one.id: CLASSES[int(one.patient[1:]) % 3] for one in smears.get(connection, ids)}
        known = [
            LabelledSmear(s, Path(s.path), study.scheme.complete({"diagnosis": truths[s.id]}))
            for s in smears.get(connection, ids)
        ]
        figures = evaluate(answers, known, study.scheme, False)
        models.record_scoring(connection, at, record.id, "test", figures, answers)
    return study, record, ids, tmp_path / "images"


def test_wrong_calls_are_shown_with_their_maps(scored, tmp_path):
    study, record, _, _ = scored
    text = make_report(study, record.id, tmp_path / "out").page.read_text()
    # Five of ten patients are called wrongly; each is shown once, with its map beside it.
    assert "Wrong calls of diagnosis: 5 of 5." in text
    assert text.count("data:image/jpeg") == 10
    with (tmp_path / "out/tables/shift.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["Site"], row["Images"], row["Patients"]) for row in rows] == [("near", "10", "5")]
    # All images are noise of one kind: no site can be told.
    assert float(rows[0]["Site AUC low"]) < 0.5 or float(rows[0]["Site AUC value"]) < 0.9


def test_an_image_that_is_gone_or_another_one_is_left_out(scored):
    study, record, ids, folder = scored
    evidence = gather(study, record.id)
    (folder / "00003.png").unlink()
    Image.new("RGB", (50, 40), "red").save(folder / "00004.png")
    (folder / "00005.png").write_bytes(b"no image")
    opened = [one.smear.id for one in Eye(study, evidence).open([evidence.smears[i] for i in ids])]
    assert opened == [one for one in ids if one not in (ids[3], ids[4], ids[5])]


def test_what_is_opened_is_what_the_network_saw(scored):
    study, record, ids, _ = scored
    evidence = gather(study, record.id)
    eye = Eye(study, evidence)
    (one,) = eye.open([evidence.smears[ids[0]]])
    assert one.pixels.shape == (32, 32, 3)
    assert one.maps.shape[0] == 5  # two classes and three
    # Pooling and heads are linear: the map's mean over space is the centred logit.
    seen = look_at_sites(eye, evidence)
    assert {own.site for own in seen} == {"near", "far"}
    assert len(seen) == 20


def test_a_model_whose_files_are_gone_is_reported_without_pictures(scored, tmp_path):
    study, record, _, _ = scored
    for file in (study.store / record.path).iterdir():
        file.unlink()
    report = make_report(study, record.id, tmp_path / "out")
    assert any("the model's files are not in" in sentence for sentence in report.missing)
    assert any("two sites" in sentence for sentence in report.missing)


def test_images_that_this_machine_does_not_see_are_said_to_be_missing(scored, tmp_path):
    study, record, _, folder = scored
    for file in folder.iterdir():
        file.unlink()
    report = make_report(study, record.id, tmp_path / "out")
    assert any("MARROW_ROOTS" in sentence for sentence in report.missing)
