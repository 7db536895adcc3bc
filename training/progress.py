"""How far a training run has come, as a checkpoint on disk."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from marrow.errors import BadModel
from marrow.records import CheckpointRef, HarvestRef, Precision, SegmentPayload
from training.checkpoints import load_state, save_state
from training.features import Features
from training.maps import Begun
from training.network import MultiHeadNetwork
from training.splits import Sides
from training.steps import optimizer_tensors, restore_optimizer
from training.tally import Tally

_NAME = re.compile(r"segment-(\d+)-attempt-\d+\.safetensors")


@dataclass
class Progress:
    """Where a run stands, apart from the network's and Adam's numbers.

    Attributes
    ----------
    epoch, batch : int
        The next batch to do; `epoch` = the run's epochs once all are done.
    tally : Tally
        Running sums of the unfinished epoch.
    last : dict
        Figures of the last finished epoch, for the card; empty before.
    notes : list of str
        Sentences for the card.
    skipped : dict of int to str
        Smear id and reason of each unreadable file met so far.
    answers : list of dict
        Answers by smear id as they were when the run began, of train, test and held out.
    features : Features or None
        Unfinished features, of which the next segment makes the rest.
    maps : Begun or None
        Likewise of maps, which lie in a file of their own.
    is_warm : bool
        Whether the heads have had the epochs that they train alone.
    precision : str
        Of the trained trunk: `fp32` or `bf16`, as the machine of the first segment had it.
    harvests : list of HarvestRef
        What the run has left of its kept epochs so far.
    """

    epoch: int = 0
    batch: int = 0
    tally: Tally = field(default_factory=Tally)
    last: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)
    answers: list[dict[int, dict[str, str | None]]] = field(default_factory=list)
    features: Features | None = None
    maps: Begun | None = None
    is_warm: bool = False
    precision: Precision = "fp32"
    harvests: list[HarvestRef] = field(default_factory=list)


def as_begun(progress: Progress, sides: Sides) -> Sides:
    """The sides with the smears and answers of the run's first segment.

    A reader may go on labelling while a run of many segments goes on; without this the
    order of its batches would change under it.

    Raises
    ------
    BadModel
        If a smear that the run began with is no longer among them.
    """
    given = {labelled.smear.id: labelled for side in sides for labelled in side}
    lost = sorted({smear for side in progress.answers for smear in side} - given.keys())
    if lost:
        raise BadModel(
            f"{len(lost)} smears that this training began with are gone (S{lost[0]:06d} ...); "
            "start the training anew"
        )
    return Sides(
        *(
            [replace(given[smear], answers=answers) for smear, answers in side.items()]
            for side in progress.answers
        )
    )


def save_checkpoint(
    store: Path,
    run_folder: str,
    payload: SegmentPayload,
    attempt: int,
    network: MultiHeadNetwork,
    optimizer: torch.optim.Adam,
    progress: Progress,
) -> CheckpointRef:
    """Write a checkpoint named for run (its folder), segment and attempt; gives back where."""
    path = f"{run_folder}/segment-{payload.segment:05d}-attempt-{attempt}.safetensors"
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    adam = optimizer_tensors(network, optimizer)
    tensors |= {f"adam/{name}": tensor for name, tensor in adam.items()}
    facts = asdict(replace(progress, features=None, maps=None, harvests=[]))
    facts["harvests"] = [ref.model_dump(mode="json") for ref in progress.harvests]
    if progress.maps is not None:
        facts["maps"] = {**asdict(progress.maps), "skipped": _named(progress.maps.skipped)}
    if progress.features is not None:
        tensors["features"] = progress.features.pooled
        facts["features"] = _named(progress.features.skipped)
    facts["skipped"] = _named(progress.skipped)
    facts["answers"] = [_named(side) for side in progress.answers]
    sha256 = save_state(store / path, tensors, {"run": payload.run, **facts})
    return CheckpointRef(path=path, sha256=sha256, epoch=progress.epoch, batch=progress.batch)


def load_checkpoint(
    store: Path, payload: SegmentPayload
) -> tuple[Progress, dict[str, torch.Tensor]]:
    """What the checkpoint of the segment before holds; the tensors are for `restore`.

    Raises
    ------
    BadModel
        If it is missing, altered, outside the store, or of another run.
    """
    ref = payload.checkpoint
    if ref is None:
        raise ValueError("the run's first segment has no checkpoint")
    path = store / ref.path
    if not path.resolve().is_relative_to(store.resolve()):
        raise BadModel(f"{ref.path}: a checkpoint lies outside of the store {store}")
    tensors, facts = load_state(path, ref.sha256)
    if facts.pop("run", None) != payload.run:
        raise BadModel(f"{ref.path}: a checkpoint of another run than {payload.run}")
    begun = facts.pop("features", None)
    progress = Progress(
        **facts
        | {
            "tally": Tally(**facts["tally"]),
            "skipped": _numbered(facts["skipped"]),
            "answers": [_numbered(side) for side in facts["answers"]],
            "harvests": [HarvestRef.model_validate(ref) for ref in facts["harvests"]],
        }
    )
    if progress.maps is not None:
        begun_maps = facts["maps"]
        progress.maps = Begun(begun_maps["is_read"], _numbered(begun_maps["skipped"]))
    if begun is not None:
        progress.features = Features(tensors.pop("features"), _numbered(begun))
    return progress, tensors


def restore(
    network: MultiHeadNetwork, optimizer: torch.optim.Adam, tensors: dict[str, torch.Tensor]
) -> None:
    """Give network and Adam the numbers of a checkpoint."""
    parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "adam": {}}
    for key, tensor in tensors.items():
        part, name = key.split("/", 1)
        parts[part][name] = tensor
    network.load_state_dict(parts["network"])
    restore_optimizer(network, optimizer, parts["adam"])


def prune(store: Path, run_folder: str, payload: SegmentPayload) -> None:
    """Remove checkpoints that no segment from this one on can start from.

    This segment starts from the one before, which therefore stays; so do leftovers of
    other attempts at it, until the next segment begins.
    """
    folder = store / run_folder
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match and int(match.group(1)) < payload.segment - 1:
            path.unlink(missing_ok=True)


def _named(by_id: dict[int, Any]) -> dict[str, Any]:
    return {str(smear): value for smear, value in by_id.items()}


def _numbered(by_name: dict[str, Any]) -> dict[int, Any]:
    return {int(smear): value for smear, value in by_name.items()}
