"""The end of a run: the test side is scored once, and the model goes into the store."""

from __future__ import annotations

import platform
import secrets
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import torchvision

from training.checkpoints import ModelCard, save_model
from training.dataset import LabelledSmear, data_hash
from training.evaluate import evaluate, smear_probabilities
from training.network import MultiHeadNetwork
from training.splits import split_of
from training.stages import TrainingRun
from training.turn import Turn

MODELS_FOLDER = "models"


def finish(run: TrainingRun, turn: Turn) -> tuple[Path, ModelCard]:
    """Evaluate and store the model of a run whose stages are complete: folder and card."""
    network = run.network.eval()
    if run.standardiser is not None:
        for head in run.scheme.heads:
            run.standardiser.fold_into(network.heads[head.name])  # type: ignore[arg-type]
    train, test = _sides(run)
    features = run.test_features()
    probabilities = smear_probabilities(network, features, [v.smear for v in run.test_views])
    scored = {run.smears[index].smear.id: p for index, p in probabilities.items()}
    figures = evaluate(scored, test, run.scheme, run.spec.smear_is_patient)
    card = _card(run, train, test, figures)
    turn.check()
    return store_model(run.store, network.cpu(), card)


def _sides(run: TrainingRun) -> tuple[list[LabelledSmear], list[LabelledSmear]]:
    sides = []
    for views in (run.train_views, run.test_views):
        sides.append([run.smears[index] for index in dict.fromkeys(v.smear for v in views)])
    return sides[0], sides[1]


def _card(
    run: TrainingRun,
    train: list[LabelledSmear],
    test: list[LabelledSmear],
    figures: Mapping[str, Any],
) -> ModelCard:
    sides = split_of(train, test, run.spec.smear_is_patient)
    names = {labelled.smear.id: labelled.smear.name for labelled in (*train, *test)}
    skipped = {names[smear]: why for smear, why in sorted(run.progress.skipped.items())}
    return ModelCard(
        scheme=run.scheme,
        backbone=run.spec.backbone,
        preprocessing=run.preprocessing,
        preprocessing_hash=run.preprocessing.hash,
        data_sha256=data_hash(train),
        training=run.spec,
        split={"train": sides.train_patients, "test": sides.test_patients},
        versions=_versions(),
        figures={**figures, "training": run.progress.last, "skipped": skipped},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=(*run.progress.notes, *_notes(run, skipped)),
    )


def _notes(run: TrainingRun, skipped: Mapping[str, str]) -> list[str]:
    notes = [
        "loss balanced: every class counts alike, and in it every patient, so that "
        "probabilities refer to equally frequent classes"
    ]
    if run.standardiser is not None:
        notes.append(
            "heads trained on features standardised over the training side, which is folded "
            "into their weights"
        )
    if skipped:
        some = "; ".join(f"{name}: {why}" for name, why in list(skipped.items())[:3])
        more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        notes.append(f"{len(skipped)} smears could not be read and were left out ({some}{more})")
    return notes


def _versions() -> dict[str, str]:
    try:
        own = version("napari-marrow")
    except PackageNotFoundError:  # run from a checkout that is not installed
        own = "unknown"
    return {
        "marrow": own,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
    }


def store_model(store: Path, network: MultiHeadNetwork, card: ModelCard) -> tuple[Path, ModelCard]:
    """Put a model into models/<first 16 digits of its weights' SHA-256>, whole or not at all.

    A model with the same weights is there already when a run is repeated: its card is
    replaced by the newer one.
    """
    models = store / MODELS_FOLDER
    aside = models / f".{secrets.token_hex(8)}.part"
    try:
        complete = save_model(aside, network, card)
        folder = models / complete.weights_sha256[:16]
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            complete = save_model(folder, network, card)
        return folder, complete
    finally:
        shutil.rmtree(aside, ignore_errors=True)
