"""What a run leaves of one kept epoch: predictions, features and, if it is to serve, weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from marrow.errors import BadModel
from marrow.records import HarvestRef
from marrow.splits import patient_of
from marrow.statistics.novelty import Reference
from training.checkpoints import load_state, save_state
from training.material import Material
from training.network import MultiHeadNetwork
from training.progress import Progress

_NETWORK, _PROBABILITIES = "network/", "probabilities/"


@dataclass(frozen=True)
class Harvest:
    """The examined smears of a run at one of its epochs.

    Attributes
    ----------
    epoch : int
    smears : list of int
        Id of each row; under seed2022 a smear has several rows, its images.
    sides : list of str
        See `rows.Side`.
    probabilities : dict of float64 (n, classes)
        By head; the mean over the smear's views, uncalibrated.
    features : float32 (n, C)
        Pooled features, the mean over the smear's views.
    distances : float64 (n,)
        Mahalanobis distance of the features to those of the run's training patients; NaN for
        these themselves, and where there is no such distance.
    network : dict of tensors
        Weights that serve; empty where the run leaves out a fold.
    facts : dict
        Fit for JSON: `notes`, `skipped` (reason by smear id), `last` (figures of the epoch),
        `answers` (by smear id, as the run began with them), `preprocessing`, `seconds` (that
        the examination took).
    """

    epoch: int
    smears: list[int]
    sides: list[str]
    probabilities: dict[str, torch.Tensor]
    features: torch.Tensor
    distances: torch.Tensor
    network: dict[str, torch.Tensor]
    facts: dict[str, Any]


def harvest_of(
    network: MultiHeadNetwork,
    material: Material,
    progress: Progress,
    pooled: torch.Tensor,
    seconds: float,
) -> Harvest:
    """Of a network as it stands.

    Parameters
    ----------
    pooled : float32 (n, C)
        Of `material.rows.examined`, in that order; NaN where a view could not be read.
    seconds : float
        That making them took.
    """
    heads = _serving_heads(network, material)
    groups = _rows_by_smear(material, (~pooled.isnan().any(dim=1)).tolist())
    smears = [material.rows.smears[smear] for smear, _, _ in groups]
    sides: list[str] = [material.rows.sides[rows[0]] for rows in groups.values()]
    features = torch.stack([pooled[rows].mean(dim=0) for rows in groups.values()])
    patients = [patient_of(one.smear, material.spec.smear_is_patient) for one in smears]
    served = {f"trunk.{name}": value for name, value in network.trunk.state_dict().items()}
    served |= {f"heads.{name}": value for name, value in heads.state_dict().items()}
    return Harvest(
        epoch=progress.epoch,
        smears=[one.smear.id for one in smears],
        sides=sides,
        probabilities=_probabilities(heads, pooled, list(groups.values())),
        features=features,
        distances=_distances(features, patients, sides),
        network=served if material.spec.fold is None else {},
        facts={
            "notes": list(progress.notes),
            "skipped": {str(smear): why for smear, why in progress.skipped.items()},
            "last": progress.last,
            "answers": {str(k): its for side in progress.answers for k, its in side.items()},
            "preprocessing": material.preprocessing.model_dump(mode="json"),
            "seconds": seconds,
        },
    )


def save_harvest(store: Path, path: str, harvest: Harvest) -> HarvestRef:
    """Write a harvest to `path` (posix) below the store, whole or not at all."""
    tensors = {"features": harvest.features, "distances": harvest.distances}
    tensors |= {f"{_PROBABILITIES}{head}": p for head, p in harvest.probabilities.items()}
    tensors |= {f"{_NETWORK}{name}": tensor for name, tensor in harvest.network.items()}
    facts = {"epoch": harvest.epoch, "smears": harvest.smears, "sides": harvest.sides}
    sha256 = save_state(store / path, tensors, facts | {"facts": harvest.facts})
    return HarvestRef(path=path, sha256=sha256, epoch=harvest.epoch)


def load_harvest(store: Path, ref: HarvestRef) -> Harvest:
    """A harvest as it was written.

    Raises
    ------
    BadModel
        If it is missing, altered, or outside of the store.
    """
    path = store / ref.path
    if not path.resolve().is_relative_to(store.resolve()):
        raise BadModel(f"{ref.path}: what a run left lies outside of the store {store}")
    tensors, facts = load_state(path, ref.sha256)
    parts: dict[str, dict[str, torch.Tensor]] = {_NETWORK: {}, _PROBABILITIES: {}}
    for prefix, part in parts.items():
        part |= {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return Harvest(
        **facts,
        probabilities=parts[_PROBABILITIES],
        features=tensors["features"],
        distances=tensors["distances"],
        network=parts[_NETWORK],
    )


def _serving_heads(network: MultiHeadNetwork, material: Material) -> nn.ModuleDict:
    """Copies of the heads that take plain features."""
    heads = copy.deepcopy(network.heads).cpu()
    if material.standardiser is not None:
        for layer in heads.values():
            material.standardiser.fold_into(layer)  # type: ignore[arg-type]
    return heads


def _rows_by_smear(
    material: Material, is_read: Sequence[bool]
) -> dict[tuple[int, str, int], list[int]]:
    """Places in `examined` that make up one row of the harvest: the views of a smear.

    Under seed2022 an image is a row of its own.
    """
    groups: dict[tuple[int, str, int], list[int]] = {}
    is_image = material.spec.protocol == "seed2022"
    rows = material.rows
    for place, (row, side) in enumerate(zip(rows.examined, rows.sides, strict=True)):
        if is_read[place]:
            own = place if is_image and side != "held-out" else 0
            groups.setdefault((rows.views[row].smear, side, own), []).append(place)
    return groups


@torch.no_grad()
def _probabilities(
    heads: nn.ModuleDict, pooled: torch.Tensor, groups: Sequence[Sequence[int]]
) -> dict[str, torch.Tensor]:
    plain = torch.nan_to_num(pooled)
    found = {}
    for name, layer in heads.items():
        views = layer(plain).double().softmax(dim=1)
        found[name] = torch.stack([views[list(rows)].mean(dim=0) for rows in groups])
    return found


def _distances(
    features: torch.Tensor, patients: Sequence[str], sides: Sequence[str]
) -> torch.Tensor:
    values = features.numpy().astype(np.float64)
    trains = np.array([side == "train" for side in sides])
    distances = np.full(len(values), np.nan)
    if not trains.all() and len({p for p, own in zip(patients, trains, strict=True) if own}) > 1:
        reference = Reference.fit(values[trains], np.array(patients)[trains])
        distances[~trains] = reference.distances(values[~trains])
    return torch.from_numpy(distances)
