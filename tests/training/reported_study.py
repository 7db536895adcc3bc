"""A small study whose models were never trained: cards and answers are made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marrow.calibration import Calibration
from marrow.catalogue import cohorts, jobs, labels, models, smears
from marrow.evaluate import evaluate
from marrow.model_files import CARD, WEIGHTS
from marrow.records import Cell, ModelRecord, NewSmear, SweepSpec, TrainingSpec
from marrow.schemes import Scheme
from marrow.study import Study
from training.calibrate import OutOfFold, fit_calibration
from training.checkpoints import ModelCard
from training.dataset import LabelledSmear
from training.preprocess import Preprocessing
from training.scoring import flags_of

CLASSES = ("AA", "MDS", "AML")
BASE = TrainingSpec(
    backbone="resnet18", input_px=32, epochs=4, snapshots=(2,), folds=2, loss_weights=(1.0, 9.0)
)

Answers = dict[int, dict[str, tuple[float, ...]]]


def add_patients(
    study: Study, site: str, counts: Sequence[int], reader: str = "r1", *, seen: Sequence[int] = ()
) -> list[int]:
    """Smears without a file, one a patient, so many of each diagnosis; `seen`: not blind."""
    ids = []
    with study.database.write() as connection:
        at = study.database.now(connection)
        start = smears.count(connection, smears.SmearFilter())
        diagnoses = [name for name, n in zip(CLASSES, counts, strict=True) for _ in range(n)]
        for number, diagnosis in enumerate(diagnoses, start):
            new = NewSmear(
                identity=f"{number:064x}", root="local", path=f"/nowhere/{number}.png",
                height_px=40, width_px=40, is_slide=False, patient=f"P{number}", site=site,
            )  # fmt: skip
            smear, _ = smears.register(connection, at, new)
            is_seen = number - start in seen
            given = {"diagnosis": diagnosis}
            labels.give(connection, at, study.scheme, smear, given, reader, is_seen)
            ids.append(smear)
    return ids


def labelled(study: Study, ids: Sequence[int]) -> list[LabelledSmear]:
    with study.database.read() as connection:
        found = smears.get(connection, ids)
        agreed = labels.consensus(connection, ids)
    return [
        LabelledSmear(one, Path(one.path), study.scheme.complete(agreed[one.id].answers))
        for one in found
    ]


def make_answers(study: Study, ids: Sequence[int], skill: float, seed: int) -> Answers:
    """Random probabilities that lean to the truth by `skill`."""
    rng = np.random.default_rng(seed)
    made: Answers = {}
    for one in labelled(study, ids):
        made[one.smear.id] = {}
        for head in study.scheme.heads:
            logits = rng.normal(0, 1, len(head.classes))
            answer = one.answers[head.name]
            if answer is not None:
                logits[head.classes.index(answer)] += skill
            shares = np.exp(logits) / np.exp(logits).sum()
            made[one.smear.id][head.name] = tuple(float(p) for p in shares)
    return made


def figures_of(
    study: Study, answers: Answers, scheme: Scheme, calibration: Calibration | None
) -> dict[str, Any]:
    flags = {}
    for smear, said in answers.items():
        arrays = {head: np.array(its) for head, its in said.items()}
        raised = flags_of(arrays, False, scheme, calibration)
        if raised:
            flags[str(smear)] = list(raised)
    return {**evaluate(answers, labelled(study, list(answers)), scheme, False), "flags": flags}


def calibration_of(study: Study, answers: Answers) -> Calibration:
    known = labelled(study, list(answers))
    scheme = study.scheme
    return fit_calibration(
        OutOfFold(
            [one.smear.patient or "" for one in known],
            {
                head.name: np.array(
                    [head.classes.index(str(one.answers[head.name])) for one in known]
                )
                for head in scheme.heads
            },
            {
                head.name: np.array([answers[one.smear.id][head.name] for one in known])
                for head in scheme.heads
            },
            np.arange(len(known), dtype=np.float64),
        ),
        scheme,
        2,
    )


def card_of(
    scheme: Scheme, spec: TrainingSpec, calibration: Calibration | None = None, **more: Any
) -> ModelCard:
    preprocessing = Preprocessing(input_px=32)
    return ModelCard(
        scheme=scheme, backbone=spec.backbone, preprocessing=preprocessing,
        preprocessing_hash=preprocessing.hash, data_sha256="d" * 64, training=spec,
        split=more.pop("split", {}), versions={"marrow": "0.1.0"}, figures=more.pop("figures", {}),
        created="2026-01-01T00:00:00+00:00", calibration=calibration, **more,
    )  # fmt: skip


def add_model(
    study: Study, card: ModelCard, scorings: Mapping[str, tuple[Any, ...]],
    letter: str, job_id: int | None = None,
) -> ModelRecord:  # fmt: skip
    folder = study.store / "models" / letter
    folder.mkdir(parents=True)
    for file in (WEIGHTS, CARD):
        (folder / file).touch()
    with study.database.write() as connection:
        at = study.database.now(connection)
        record = models.register(
            connection, at, sha256=letter * 64, path=f"models/{letter}", precision="fp32",
            preprocessing=card.preprocessing_hash, card=card.model_dump(mode="json"), job_id=job_id,
        )  # fmt: skip
        for side, look in scorings.items():
            models.record_scoring(connection, at, record.id, side, *look)
    return record


def add_sweep(study: Study) -> int:
    """A job of three runs (two leave out a fold) and of four cells; its epochs are told."""
    runs = (BASE, *(BASE.model_copy(update={"fold": fold}) for fold in (0, 1)))
    cells = tuple(
        Cell(loss_weights=weights, epochs=epochs, seed=0, run=0, fold_runs=(1, 2))
        for epochs in (2, 4)
        for weights in ((5.0, 5.0), (1.0, 9.0))
    )
    with study.database.write() as connection:
        at = study.database.now(connection)
        spec = SweepSpec(runs=runs, cells=cells, notes=("One run serves all loss weights.",))
        job = jobs.submit_sweep(connection, at, spec)
        for run in range(3):
            for epoch in range(1, 5):
                both = {"mds": 1 / epoch, "diagnosis": 1.2 / epoch}
                side = {"losses": both, "accuracies": {"mds": 0.8, "diagnosis": 0.7}}
                payload = {
                    "run": run, "epoch": epoch, "epochs": 4, **side,
                    "validation": side if run else None, "seconds": 0.5,
                }  # fmt: skip
                jobs.append_event(connection, at, job.id, "epoch", payload)
    return job.id


def reported_study(study: Study, *, seen: Sequence[int] = ()) -> ModelRecord:
    """30 training, 15 test and 24 external patients; two models of one sweep, the first chosen."""
    train = add_patients(study, "home", (10, 10, 10))
    test = add_patients(study, "home", (5, 5, 5), seen=seen)
    external = add_patients(study, "clinic", (8, 8, 8))
    job = add_sweep(study)
    names = {"train": train, "test": test}
    split = {side: tuple(f"P{one - 1}" for one in ids) for side, ids in names.items()}
    with study.database.write() as connection:
        cohorts.lock_site(connection, study.database.now(connection), study.scheme, "clinic")
    first = None
    for number, epochs in enumerate((4, 2)):
        skill = 2.5 - number
        said = {
            "train": make_answers(study, train, skill + 1, number),
            "out-of-fold": make_answers(study, train, skill, 10 + number),
            "test": make_answers(study, test, skill, 20 + number),
            "site:clinic": make_answers(study, external, skill - 1, 30 + number),
        }
        calibration = calibration_of(study, said["out-of-fold"])
        scored = {
            side: (figures_of(study, its, study.scheme, calibration), its)
            for side, its in said.items()
        }
        weights = ((5.0, 5.0), (1.0, 9.0))
        card = card_of(
            study.scheme,
            BASE.model_copy(update={"epochs": epochs, "snapshots": ()}),
            calibration,
            split=split,
            figures={"timing": {"smear_s": 0.02, "smears": 7}},
            selection={"why": "4 epochs are best.", "chosen": number == 0, "cells": 4},
            cells=tuple(
                Cell(loss_weights=one, epochs=epochs, seed=0, run=0, fold_runs=(1, 2))
                for one in weights
            ),
        )
        made = add_model(study, card, scored, "ab"[number], job)
        first = first or made
    assert first is not None
    with study.database.write() as connection:
        at = study.database.now(connection)
        cohort = cohorts.of_site(connection, study.scheme, "clinic")
        cohorts.open_site(connection, at, "clinic", first, cohorts.hash_of(cohort))
    return first
