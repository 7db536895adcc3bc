"""What the bench works on: fields as JPEG files, a model with random weights, studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from marrow.catalogue import models, smears
from marrow.importing import import_smears
from marrow.records import TrainingSpec
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.study import Study
from marrow.synthetic import cohort, render_field
from training.checkpoints import ModelCard, save_model
from training.network import build_network
from training.preprocess import Preprocessing
from worker.classify import Request

FIELD_PX = 1024
JPEG_QUALITY = 90
"""About 110 kB a field."""
_DRAWN = 16
"""Drawing a field takes half a second; the others are these, shifted around their edge."""
_PATIENTS = 32


def write_fields(folder: Path, count: int) -> list[Path]:
    """`count` JPEG files of 1024 x 1024 px, no two alike, and their labels.csv."""
    folder.mkdir(parents=True)
    people = cohort({"AA": 6, "MDS": 5, "AML": 5})
    drawn = [
        render_field(person, 0, FIELD_PX, pixel_size_um=0.1).image
        for person in people[: min(count, _DRAWN)]
    ]
    paths = [folder / f"{number:04d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        turn, which = divmod(number, len(drawn))
        shifted = np.roll(drawn[which], (31 * turn, 17 * turn), axis=(0, 1))
        Image.fromarray(shifted).save(path, quality=JPEG_QUALITY)
    rows = [f"{path.name},P{number % _PATIENTS}" for number, path in enumerate(paths)]
    (folder / "labels.csv").write_text("\n".join(["file,patient", *rows]))
    return paths


def write_model(folder: Path, backbone: str, input_px: int) -> ModelCard:
    """A model whose weights are random: as fast, and as slow, as one that has learnt."""
    preprocessing = Preprocessing(input_px=input_px)
    card = ModelCard(
        scheme=AA_MDS_AML,
        backbone=backbone,
        preprocessing=preprocessing,
        preprocessing_hash=preprocessing.hash,
        data_sha256="0" * 64,
        training=TrainingSpec(backbone=backbone, input_px=input_px),
        split={},
        versions={},
        figures={},
        created="2026-01-01T00:00:00Z",
    )
    return save_model(folder, build_network(backbone, AA_MDS_AML, 0.0, seed=0), card)


def make_study(
    settings: Settings, fields: Sequence[Path], backbone: str, input_px: int
) -> tuple[Study, list[Request]]:
    """A study with such a model and these fields, and what a worker would ask of its engine."""
    study = Study.create(settings, AA_MDS_AML)
    card = write_model(model_folder(study), backbone, input_px)
    with study.database.write() as connection:
        models.register(
            connection,
            study.database.now(connection),
            sha256=card.weights_sha256,
            path=model_folder(study).relative_to(study.store).as_posix(),
            preprocessing=card.preprocessing_hash,
            precision=card.precision,
            card=card.model_dump(mode="json"),
            job_id=None,
        )
    import_smears(study, fields, fields[0].parent / "labels.csv")
    with study.database.read() as connection:
        registered = smears.get(connection, smears.all_ids(connection, smears.SmearFilter()))
    return study, [
        Request(one.id, study.file_of(one), (), study.members_of(one), one.identity, one.is_slide)
        for one in registered
    ]


def model_folder(study: Study) -> Path:
    """Where the model of such a study lies."""
    return study.store / "models" / "bench"
