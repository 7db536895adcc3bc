"""Opening a smear, or a file of regions, as a layer by File > Open, outside any study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LayerData = tuple[Any, dict[str, Any], str]
SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".tif",
    ".tiff",
    ".svs",
    ".ndpi",
    ".dcm",
)
"""As in the manifest, which npe2 compares with the file's name."""


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """The function that reads these files, None if one of them cannot be a smear."""
    paths = [path] if isinstance(path, str) else list(path)
    if not paths or any(Path(one).suffix.lower() not in SUFFIXES for one in paths):
        return None
    return read_smears


def get_regions_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """The function that reads regions, None if one of the files is no GeoJSON by its name."""
    paths = [path] if isinstance(path, str) else list(path)
    if not paths or any(Path(one).suffix.lower() != ".geojson" for one in paths):
        return None
    return read_regions


def read_regions(path: str | Sequence[str]) -> list[LayerData]:
    """One shapes layer per file, in level-0 pixels.

    Raises
    ------
    BadRegions
        With the file and the reason.
    """
    from marrow.regions_file import read_geojson
    from napari_marrow.region_kinds import ROLE_COLOURS

    layers: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        drawn = [found.region for found in read_geojson(Path(one)).drawn]
        shown: dict[str, Any] = {
            "name": Path(one).name,
            "shape_type": "polygon",
            "face_color": [0.0, 0.0, 0.0, 0.0],
            "edge_color": [ROLE_COLOURS[region.role] for region in drawn] or "white",
            "features": {
                "role": [region.role for region in drawn],
                "class_name": [region.class_name or "" for region in drawn],
            },
        }
        layers.append(([np.asarray(region.polygon) for region in drawn], shown, "shapes"))
    return layers


def read_smears(path: str | Sequence[str]) -> list[LayerData]:
    """One multiscale image layer per file, in um where the pixel size is known.

    Raises
    ------
    NotASmear, UnreadableSmear
        With the file and the reason.
    """
    from marrow.images import open_smear
    from napari_marrow.layers import smear_placement

    paths = [path] if isinstance(path, str) else list(path)
    layers: list[LayerData] = []
    for one in paths:
        # Not closed: napari reads the levels of a slide for as long as the layer lives.
        image = open_smear(Path(one))
        placement = smear_placement(image.pixel_size_um)
        shown: dict[str, Any] = {
            "name": Path(one).name,
            "rgb": True,
            "multiscale": True,
            "scale": placement.scale,
            "units": (placement.unit, placement.unit),
            "metadata": {"pixel_size_um": image.pixel_size_um, "warnings": image.warnings},
        }
        layers.append((image.multiscale(), shown, "image"))
    return layers
