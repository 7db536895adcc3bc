"""torchvision's classification networks, cut where their last feature map comes out."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
import torchvision
from torch import nn

from marrow.backbones import fault_of_backbone
from marrow.errors import BadModel

_AFTER_THE_MAP = frozenset({"avgpool", "fc", "classifier"})
_STAGES = frozenset({"features", "layers", "trunk_output", "classifier"})
"""Containers whose children are the blocks of a trunk."""


@dataclass(frozen=True)
class Trunk:
    """A backbone without its classifier."""

    layers: nn.Sequential
    """Parameters have the names of torchvision's state dicts."""
    channels: int
    """Channels of the last feature map."""


def check_backbone(backbone: str) -> None:
    """Raise BadModel unless it can be built."""
    fault = fault_of_backbone(backbone)
    if fault is not None:
        raise BadModel(fault)


def build_trunk(backbone: str, seed: int) -> Trunk:
    """A randomly initialised trunk; the same seed gives the same numbers.

    torch's global generator is left as it was. Under `torch.device("meta")` nothing is
    allocated.

    Raises
    ------
    BadModel
        If the backbone is unknown or does not end in a feature map.
    """
    check_backbone(backbone)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = torchvision.models.get_model(backbone, weights=None)
    last = list(network.children())[-1]
    channels = next(m.in_features for m in last.modules() if isinstance(m, nn.Linear))
    layers = OrderedDict(
        (name, child) for name, child in network.named_children() if name not in _AFTER_THE_MAP
    )
    if backbone.startswith("densenet"):
        layers["relu"] = nn.ReLU()  # torchvision applies it in forward()
    if backbone.startswith("convnext"):
        # torchvision normalises the pooled features. Normalised at each place instead, the
        # head stays linear in the map, which makes activation maps exact; the pretrained
        # parameters keep their name, classifier.0.
        layers["classifier"] = nn.Sequential(OrderedDict({"0": last[0]}))
    return Trunk(nn.Sequential(layers), channels)


def blocks_of(layers: nn.Sequential) -> tuple[nn.Module, ...]:
    """The trunk's blocks, to be applied one after the other."""
    blocks: list[nn.Module] = []
    for name, child in layers.named_children():
        blocks.extend(child.children() if name in _STAGES else [child])
    return tuple(blocks)


def before_last_stage(layers: nn.Sequential) -> int:
    """How many blocks come before the trunk's lowest resolution: all but `layer4` of a ResNet."""
    return max(index for index, block in enumerate(blocks_of(layers)) if _halves_the_map(block))


def _halves_the_map(block: nn.Module) -> bool:
    # Strides are ints or tuples, as the layer's author wrote them.
    strides = (getattr(layer, "stride", 1) for layer in block.modules())
    return any(stride in (2, (2, 2)) for stride in strides)
