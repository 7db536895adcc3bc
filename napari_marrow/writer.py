"""Saving drawn shapes as GeoJSON by File > Save, outside any study."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np

from marrow.records import Role
from marrow.regions_file import feature, write_geojson
from napari_marrow.layers import outline

ROLES: tuple[Role, ...] = get_args(Role)


def write_regions(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a Shapes layer as QuPath's annotations; lines and paths have no area and stay out.

    Coordinates are level-0 pixels, as the layer holds them before its scale.

    Raises
    ------
    BadSettings
        If the file cannot be written.
    """
    features = attributes.get("features")
    names = {"role": ["use"] * len(data), "class_name": [""] * len(data)}
    if features is not None:
        names |= {key: list(features[key]) for key in names if key in features}
    found = []
    for vertices, kind, role, class_name in zip(
        data, _kinds(data, attributes), names["role"], names["class_name"], strict=True
    ):
        polygon = outline(np.asarray(vertices)[:, -2:], kind)
        if polygon is not None:
            found.append(feature(_role(role), class_name or None, polygon))
    write_geojson(Path(path), found)
    return [path]


def _role(name: Any) -> Role:
    """A layer may hold any text; what is no role of ours is usable area."""
    return next((role for role in ROLES if role == name), "use")


def _kinds(data: Any, attributes: dict[str, Any]) -> list[str]:
    kinds = attributes.get("shape_type", "polygon")
    return [kinds] * len(data) if isinstance(kinds, str) else list(kinds)
