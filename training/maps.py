"""Maps of a frozen part of the trunk, float16 in a file: what `last-block` trains on."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from marrow.errors import BadModel
from training.dataset import Decoder, View
from training.features import BATCH, FEATURES_FOLDER, features_key, weights_hash
from training.network import MultiHeadNetwork
from training.preprocess import normalise
from training.turn import Turn

_KIND = "maps"


@dataclass(frozen=True)
class FrozenMaps:
    """What the last stage of a trunk takes, for each view.

    Attributes
    ----------
    values : float16 (n, C, h, w)
        Mapped into memory, not read into it; 0 where a view could not be read. Half precision
        keeps 11 bits: ResNet50 at 256 px takes 0.5 MB a view.
    is_read : bool (n,)
    skipped : dict of int to str
        Smear id and reason of each unreadable file.
    """

    values: npt.NDArray[np.float16]
    is_read: npt.NDArray[np.bool_]
    skipped: dict[int, str]

    def of(self, rows: Sequence[int]) -> torch.Tensor:
        """The maps of some views, float32 (b, C, h, w), channels last."""
        maps = torch.from_numpy(self.values[list(rows)]).float()
        return maps.contiguous(memory_format=torch.channels_last)


@dataclass
class Begun:
    """Maps that an earlier segment has begun.

    Attributes
    ----------
    is_read : list of bool
        Of the first views, as many as lie in the file.
    skipped : dict of int to str
    """

    is_read: list[bool]
    skipped: dict[int, str]


def frozen_maps(
    network: MultiHeadNetwork,
    decoder: Decoder,
    views: Sequence[View],
    store: Path,
    aside: Path,
    turn: Turn,
    begun: Begun | None = None,
) -> FrozenMaps | Begun:
    """Maps of all views, or how far the turn allowed to come with them.

    Parameters
    ----------
    network : MultiHeadNetwork
        Put into eval mode, on the device where it is.
    store : Path
        Complete maps are kept below it, and found there by the next run with the same frozen
        weights, preprocessing and views.
    aside : Path
        Of the run alone; unfinished maps lie in it. Written in order and never mapped before
        they are complete: a full disk is an error of write(), not the end of the process.
    begun : Begun or None
        What an earlier segment returned. If its file is gone, the maps are made anew.
    """
    key = features_key(_KIND, weights_hash(network, network.early_blocks), decoder, views)
    path = store / FEATURES_FOLDER / f"{key}.maps"
    found = _kept(path, key, len(views))
    if found is not None:
        return found
    shape = _shape(network, decoder.preprocessing.input_px)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    so_far = begun if begun is not None and _holds(aside, len(begun.is_read), shape) else None
    so_far = so_far or Begun([], {})
    decoder.skipped.update(so_far.skipped)
    if not _write(network, decoder, views, aside, shape, so_far, turn):
        return so_far
    os.replace(aside, path)
    facts = {"key": key, "shape": shape, "is_read": so_far.is_read, "skipped": so_far.skipped}
    described = path.with_suffix(".json")
    half = described.with_name(f".{described.name}.{os.getpid()}.part")
    half.write_text(json.dumps(facts))
    os.replace(half, described)
    maps = _kept(path, key, len(views))
    if maps is None:
        raise BadModel(f"{path}: was changed while it was written; start the training again")
    return maps


def _write(
    network: MultiHeadNetwork,
    decoder: Decoder,
    views: Sequence[View],
    aside: Path,
    shape: Sequence[int],
    so_far: Begun,
    turn: Turn,
) -> bool:
    """Append maps to the file, batch by batch; whether they are complete."""
    done = len(so_far.is_read)
    groups = [views[at : at + BATCH] for at in range(done, len(views), BATCH)]
    decoded = decoder.batches(groups)
    try:
        with aside.open("r+b" if done else "wb") as file:
            file.truncate(done * _row_bytes(shape))
            file.seek(0, os.SEEK_END)
            for number, (group, (read, pixels)) in enumerate(zip(groups, decoded, strict=True), 1):
                rows = np.zeros((len(group), *shape), np.float16)
                if pixels is not None:
                    rows[read] = _forward(network, decoder, pixels)
                file.write(rows.tobytes())
                so_far.is_read += [position in set(read) for position in range(len(group))]
                if turn.is_over() and number < len(groups):
                    break
            file.flush()
            os.fsync(file.fileno())
    finally:
        decoded.close()
    # The decoder runs ahead: what it has skipped beyond these rows is said again later.
    ids = {decoder.smears[view.smear].smear.id for view in views[: len(so_far.is_read)]}
    so_far.skipped |= {one: why for one, why in decoder.skipped.items() if one in ids}
    return len(so_far.is_read) == len(views)


@torch.no_grad()
def _forward(
    network: MultiHeadNetwork, decoder: Decoder, pixels: torch.Tensor
) -> npt.NDArray[np.float16]:
    network.eval()
    device = next(network.parameters()).device
    images = normalise(pixels.to(device), decoder.preprocessing)
    maps = network.early_maps(images).half().cpu().contiguous()
    if not maps.isfinite().all():
        raise BadModel(
            f"the trunk {network.backbone} gives NaN or more than half precision holds; "
            "check its weights"
        )
    values: npt.NDArray[np.float16] = maps.numpy()
    return values


@torch.no_grad()
def _shape(network: MultiHeadNetwork, input_px: int) -> list[int]:
    """(C, h, w) of the maps of one view."""
    network.eval()
    device = next(network.parameters()).device
    maps = network.early_maps(torch.zeros(1, 3, input_px, input_px, device=device))
    return list(maps.shape[1:])


def _row_bytes(shape: Sequence[int]) -> int:
    return int(np.prod(shape)) * np.dtype(np.float16).itemsize


def _holds(path: Path, rows: int, shape: Sequence[int]) -> bool:
    return path.is_file() and path.stat().st_size >= rows * _row_bytes(shape)


def _kept(path: Path, key: str, count: int) -> FrozenMaps | None:
    """Maps as an earlier run left them; None if there are none, or they do not fit."""
    try:
        facts: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
        shape = (count, *facts["shape"])
        if facts["key"] != key or path.stat().st_size != count * _row_bytes(facts["shape"]):
            return None
        values = np.memmap(path, np.float16, "r", shape=shape)
        skipped = {int(one): str(why) for one, why in facts["skipped"].items()}
        return FrozenMaps(values, np.array(facts["is_read"], dtype=bool), skipped)
    except (OSError, ValueError, LookupError, TypeError):
        return None  # made again, and replaced
