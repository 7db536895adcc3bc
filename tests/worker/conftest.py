"""A tiny real model and real smears, for tests that let a worker work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marrow.catalogue import models
from marrow.importing import import_smears
from marrow.records import ModelRecord, TrainingSpec
from marrow.study import Study
from training.checkpoints import ModelCard, save_model
from training.network import build_network
from training.preprocess import Preprocessing

INPUT_PX = 32


def _tiny_model(study: Study) -> ModelRecord:
    """A resnet18 with random weights that sees 32 x 32 px, saved and registered."""
    network = build_network("resnet18", study.scheme, dropout=0.0, seed=0)
    preprocessing = Preprocessing(input_px=INPUT_PX)
    card = ModelCard(
        scheme=study.scheme,
        backbone="resnet18",
        preprocessing=preprocessing,
        preprocessing_hash=preprocessing.hash,
        data_sha256="0" * 64,
        training=TrainingSpec(backbone="resnet18", input_px=INPUT_PX),
        split={},
        versions={},
        figures={},
        created="2026-01-01T00:00:00Z",
    )
    folder = study.store / "models" / "tiny"
    saved = save_model(folder, network, card)
    with study.database.write() as connection:
        return models.register(
            connection,
            study.database.now(connection),
            sha256=saved.weights_sha256,
            path="models/tiny",
            preprocessing=saved.preprocessing_hash,
            precision=saved.precision,
            card=saved.model_dump(mode="json"),
            job_id=None,
        )


def _small_smears(study: Study, folder: Path, count: int) -> list[int]:
    """Register `count` different smears of 40 x 50 px, P0 to P9 in turn; returns their ids."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file,patient"]
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05d}.png", compress_level=1)
        lines.append(f"{number:05d}.png,P{number % 10}")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines))
    return list(import_smears(study, [folder], table).smear_ids)


@pytest.fixture
def tiny_model() -> Callable[[Study], ModelRecord]:
    return _tiny_model


@pytest.fixture
def small_smears() -> Callable[[Study, Path, int], list[int]]:
    return _small_smears
