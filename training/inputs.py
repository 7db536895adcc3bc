"""What each batch of a training run holds: features, maps of a frozen part, or images."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from typing import Protocol

import torch

from training.dataset import Decoder, View
from training.maps import FrozenMaps
from training.network import MultiHeadNetwork
from training.preprocess import normalise

Batches = Generator[tuple[list[int], torch.Tensor | None], None, None]
"""Which rows of each group could be read, and what the network takes of them."""


class Inputs(Protocol):
    """Rows of a run's views, in the form in which the trained part takes them."""

    def batches(self, groups: Iterable[Sequence[int]], least: int = 1) -> Batches:
        """The groups in their order, a little ahead of the network.

        `least`: with fewer rows that can be read, the network gets none of the group. Batch
        norm in training needs two.
        """

    def pooled(self, network: MultiHeadNetwork, inputs: torch.Tensor) -> torch.Tensor:
        """Pooled features float32 (B, C) of a batch."""


class FeatureInputs:
    """Pooled features, float32 (n, C): for heads alone."""

    def __init__(self, features: torch.Tensor) -> None:
        self._features = features

    def batches(self, groups: Iterable[Sequence[int]], least: int = 1) -> Batches:
        """Every row, as it is; those that could not be read must not be asked for."""
        for group in groups:
            yield list(group), self._features[list(group)]

    def pooled(self, _network: MultiHeadNetwork, inputs: torch.Tensor) -> torch.Tensor:
        """They are so already."""
        return inputs


class MapInputs:
    """Maps of a frozen part of the trunk: for the last stage and the heads."""

    def __init__(self, maps: FrozenMaps, device: torch.device) -> None:
        self._maps, self._device = maps, device

    def batches(self, groups: Iterable[Sequence[int]], least: int = 1) -> Batches:
        """The rows that could be read."""
        for group in groups:
            read = [row for row in group if self._maps.is_read[row]]
            yield read, self._maps.of(read).to(self._device) if len(read) >= least else None

    def pooled(self, network: MultiHeadNetwork, inputs: torch.Tensor) -> torch.Tensor:
        """What the last stage makes of them."""
        return network.pool(network.late_maps(inputs))


class ImageInputs:
    """Views as they are decoded: for the whole network."""

    def __init__(self, decoder: Decoder, views: Sequence[View], device: torch.device) -> None:
        self._decoder, self._views, self._device = decoder, views, device

    def batches(self, groups: Iterable[Sequence[int]], least: int = 1) -> Batches:
        """The rows that can be read, decoded in threads ahead of the network."""
        wanted = [list(group) for group in groups]
        views = [[self._views[row] for row in group] for group in wanted]
        with closing(self._decoder.batches(views)) as decoded:
            for group, (read, pixels) in zip(wanted, decoded, strict=True):
                images = None
                if pixels is not None and len(read) >= least:
                    moved = pixels.to(self._device)
                    images = normalise(moved, self._decoder.preprocessing)
                yield [group[position] for position in read], images

    def pooled(self, network: MultiHeadNetwork, inputs: torch.Tensor) -> torch.Tensor:
        """What the trunk makes of them."""
        return network.pool(network.feature_maps(inputs))
