"""The networks of torchvision that can be a trunk: those that end in a feature map.

Named here because a sweep is planned where no torch is installed; `tests/training` compares the
names with torchvision's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

BACKBONES = (
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
    "mnasnet0_5",
    "mnasnet0_75",
    "mnasnet1_0",
    "mnasnet1_3",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "regnet_x_16gf",
    "regnet_x_1_6gf",
    "regnet_x_32gf",
    "regnet_x_3_2gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_x_8gf",
    "regnet_y_128gf",
    "regnet_y_16gf",
    "regnet_y_1_6gf",
    "regnet_y_32gf",
    "regnet_y_3_2gf",
    "regnet_y_400mf",
    "regnet_y_800mf",
    "regnet_y_8gf",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "wide_resnet101_2",
    "wide_resnet50_2",
)
"""Sorted. Not here: googlenet and inception have side outputs, vgg and alexnet need their hidden
layers after pooling, squeezenet has no linear layer, transformers have no map in this sense."""


def fault_of_backbone(name: str) -> str | None:
    """Why a network cannot be the trunk, in a sentence with what can; None: it can."""
    if name in BACKBONES:
        return None
    if not name.strip():
        return "name a torchvision network, such as resnet50"
    near = get_close_matches(name, BACKBONES) or ("resnet50", "mobilenet_v2", "convnext_tiny")
    return f"{name!r} is no network of torchvision that ends in a feature map, as {_or(near)} does"


def _or(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
