"""Finished models into the store: whole or not at all."""

from __future__ import annotations

import platform
import secrets
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
import torchvision

from marrow.statistics.novelty import Reference
from training.checkpoints import ModelCard, save_model
from training.network import MultiHeadNetwork

MODELS_FOLDER = "models"


def store_model(
    store: Path, network: MultiHeadNetwork, card: ModelCard, reference: Reference | None
) -> tuple[Path, ModelCard]:
    """Put a model into models/<first 16 digits of its weights' SHA-256>, whole or not at all.

    A model with the same weights is there already when a run is repeated: its card is
    replaced by the newer one.
    """
    models = store / MODELS_FOLDER
    aside = models / f".{secrets.token_hex(8)}.part"
    try:
        complete = save_model(aside, network, card, reference)
        folder = models / complete.weights_sha256[:16]
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            complete = save_model(folder, network, card, reference)
        return folder, complete
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def versions() -> dict[str, str]:
    """Of marrow, torch, torchvision and python."""
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
