"""Pooled features of a frozen trunk: computed once per view, kept in the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import nn

from marrow.errors import BadModel
from training.checkpoints import save_state
from training.dataset import ORIGINAL, Decoder, View
from training.network import MultiHeadNetwork
from training.preprocess import Preprocessing, normalise
from training.turn import Turn

FEATURES_FOLDER = "features"
BATCH = 32
"""Views in one forward pass. Part of the key: another batch may round differently."""

_POOLED = "pooled"


@dataclass
class Features:
    """What a trunk makes of each view, as far as it has come.

    Attributes
    ----------
    pooled : float32 tensor (n, C)
        Mean over space of the last feature map, on the CPU; the first n views in their
        order. NaN where a view could not be read.
    skipped : dict of int to str
        Smear id and reason of each unreadable file among them.
    """

    pooled: torch.Tensor
    skipped: dict[int, str]

    @property
    def is_read(self) -> torch.Tensor:
        """Which rows hold features, bool (n,)."""
        return ~self.pooled.isnan().any(dim=1)


def weights_hash(network: MultiHeadNetwork, blocks: Iterable[nn.Module]) -> str:
    """SHA-256, in hex, over names and bytes of the weights and statistics of some blocks."""
    digest = hashlib.sha256(network.backbone.encode())
    for number, block in enumerate(blocks):
        for name, tensor in sorted(block.state_dict().items()):
            digest.update(f"{number} {name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def features_key(kind: str, weights: str, decoder: Decoder, views: Sequence[View]) -> str:
    """SHA-256, in hex, over all that decides the features: weights, preprocessing, views.

    Labels are no part of it, nor is the split; regions and the seed count for slides, because
    they choose the tiles, and the seed for augmented copies.

    Parameters
    ----------
    kind : str
        What is made of each view: `pooled` or `maps`.
    weights : str
        As `weights_hash` gives it, of the blocks that make it.
    """
    rows: list[Any] = []
    for view in views:
        labelled = decoder.smears[view.smear]
        regions = [[r.role, r.polygon] for r in labelled.regions]
        of_slide = [] if view.tile is None else [view.tile, decoder.seed, regions]
        of_copy: list[Any] = []
        if view.copy != ORIGINAL:
            fitted = None if decoder.whitening is None else decoder.whitening.key
            of_copy = [*view.copy, decoder.seed, fitted]
        rows.append([labelled.smear.identity, of_slide, of_copy])
    whole = [kind, weights, decoder.preprocessing.hash, BATCH, rows]
    return hashlib.sha256(json.dumps(whole, separators=(",", ":")).encode()).hexdigest()


def pooled_features(
    network: MultiHeadNetwork,
    decoder: Decoder,
    views: Sequence[View],
    store: Path,
    turn: Turn,
    begun: Features | None = None,
    *,
    keep: bool = True,
) -> tuple[Features, bool]:
    """Features of all views, or of as many as the turn allowed.

    Parameters
    ----------
    network : MultiHeadNetwork
        Put into eval mode, on the device where it is.
    views : sequence of View
        Into `decoder.smears`.
    store : Path
        Complete features are kept below it, and found there by the next run with the same
        trunk, preprocessing and views.
    begun : Features or None
        What an earlier segment returned: goes on behind its last row.
    keep : bool
        Whether to use the store at all: no use for a trunk that is seen once.

    Returns
    -------
    Features
    bool
        Whether they are complete.
    """
    weights = weights_hash(network, (*network.early_blocks, *network.late_blocks)) if keep else ""
    key = features_key(_POOLED, weights, decoder, views)
    path = store / FEATURES_FOLDER / f"{key}.safetensors"
    found = _kept_features(path, key, (len(views), network.channels)) if keep else None
    if found is not None:
        return found, True
    features = begun or Features(torch.empty(0, network.channels), {})
    decoder.skipped.update(features.skipped)
    done = features.pooled.shape[0]
    groups = [views[at : at + BATCH] for at in range(done, len(views), BATCH)]
    rows = [features.pooled]
    decoded = decoder.batches(groups)
    try:
        for number, (group, (read, pixels)) in enumerate(zip(groups, decoded, strict=True), 1):
            rows.append(_forward(network, len(group), read, pixels, decoder.preprocessing))
            if turn.is_over() and number < len(groups):
                return _so_far(rows, decoder, views), False
    finally:
        decoded.close()
    features = _so_far(rows, decoder, views)
    facts = {"key": key, "skipped": {str(k): why for k, why in features.skipped.items()}}
    if keep:
        save_state(path, {_POOLED: features.pooled}, facts)
    return features, True


def _so_far(rows: list[torch.Tensor], decoder: Decoder, views: Sequence[View]) -> Features:
    pooled = torch.cat(rows)
    # The decoder runs ahead: what it has skipped beyond these rows is said again later.
    ids = {decoder.smears[view.smear].smear.id for view in views[: len(pooled)]}
    return Features(pooled, {k: why for k, why in decoder.skipped.items() if k in ids})


@torch.no_grad()
def _forward(
    network: MultiHeadNetwork,
    count: int,
    read: Sequence[int],
    pixels: torch.Tensor | None,
    preprocessing: Preprocessing,
) -> torch.Tensor:
    rows = torch.full((count, network.channels), torch.nan)
    if pixels is not None:
        network.eval()
        device = next(network.parameters()).device
        images = normalise(pixels.to(device), preprocessing)
        pooled = network.pool(network.feature_maps(images)).cpu()
        if not pooled.isfinite().all():
            raise BadModel(f"the trunk {network.backbone} gives NaN or infinity; check its weights")
        rows[list(read)] = pooled
    return rows


def _kept_features(path: Path, key: str, shape: tuple[int, int]) -> Features | None:
    """Features as an earlier run left them; None if there are none, or they do not fit."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts: Mapping[str, Any] = json.loads((file.metadata() or {}).get("facts", "{}"))
            pooled = file.get_tensor(_POOLED)
    except (OSError, safetensors.SafetensorError, ValueError):
        return None  # made again, and replaced
    if facts.get("key") != key or tuple(pooled.shape) != shape:
        return None
    return Features(pooled, {int(k): str(why) for k, why in facts["skipped"].items()})
