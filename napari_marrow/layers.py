"""From records to layer data and back: pure functions, no viewer.

Records hold level-0 pixels as (row, column). A layer's world is in um where the smear's pixel
size is known and in pixels elsewhere; the centre of the first pixel lies at (0, 0) in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marrow.catalogue.regions import NewRegion
from marrow.records import AnswerMap, Polygon, Region
from marrow.schemes import Scheme

SMEAR_LAYER = "Smear"
HEATMAP_LAYER = "Evidence"
REGIONS_LAYER = "Regions"


@dataclass(frozen=True)
class Placement:
    """Where a layer lies in the world: both in (row, column)."""

    scale: tuple[float, float]
    translate: tuple[float, float]
    unit: str
    """`um` or `pixel`."""


@dataclass(frozen=True)
class Heatmap:
    """One class of an answer map, ready for an image layer."""

    values: NDArray[np.float32]
    """(rows, columns); NaN where nothing was looked at."""
    placement: Placement
    contrast: tuple[float, float]
    is_smooth: bool
    """Whether cells may be blended: evidence of one field yes, tiles of a slide no."""


def smear_placement(pixel_size_um: float | None) -> Placement:
    """Where a smear of this pixel size lies; None: one world unit is one pixel."""
    if pixel_size_um is None:
        return Placement((1.0, 1.0), (0.0, 0.0), "pixel")
    return Placement((pixel_size_um, pixel_size_um), (0.0, 0.0), "um")


def class_index(scheme: Scheme, head: str, class_name: str) -> int:
    """Index of a class among the classes of all heads, in the scheme's order.

    Raises
    ------
    KeyError
        If the scheme has no such head or the head no such class.
    """
    index = 0
    for candidate in scheme.heads:
        if candidate.name == head:
            if class_name not in candidate.classes:
                raise KeyError(class_name)
            return index + candidate.classes.index(class_name)
        index += len(candidate.classes)
    raise KeyError(head)


def map_values(answer_map: AnswerMap) -> NDArray[np.float32]:
    """All classes of an answer map: (classes over all heads, rows, columns), float32.

    Raises
    ------
    ValueError
        If the bytes do not fill the shape.
    """
    stored = np.frombuffer(answer_map.values, dtype="<f2")
    return stored.reshape(answer_map.shape).astype(np.float32)


def heatmap(
    answer_map: AnswerMap, scheme: Scheme, head: str, class_name: str, pixel_size_um: float | None
) -> Heatmap:
    """The evidence for one class, small as stored: the layer is scaled, never the array.

    Evidence is drawn from 0 (neither for nor against) to the largest value that any class of
    the head reaches, so that two classes of one smear can be compared; a tile's probability
    from 0 to 1.
    """
    values = map_values(answer_map)
    chosen = values[class_index(scheme, head, class_name)]
    contrast = (0.0, 1.0)
    if answer_map.kind == "activation":
        first = class_index(scheme, head, scheme.head(head).classes[0])
        of_head = values[first : first + len(scheme.head(head).classes)]
        top = float(np.nanmax(of_head)) if np.isfinite(of_head).any() else 1.0
        contrast = (0.0, max(top, 1e-3))
    um = pixel_size_um if pixel_size_um is not None else 1.0
    height, width = answer_map.cell_px
    placement = Placement(
        scale=(height * um, width * um),
        # The centre of the first cell, where the centre of the first pixel is 0.
        translate=((height - 1) / 2 * um, (width - 1) / 2 * um),
        unit="pixel" if pixel_size_um is None else "um",
    )
    return Heatmap(chosen, placement, contrast, answer_map.kind == "activation")


def placed(placement: Placement) -> dict[str, Any]:
    """A placement as the keywords of a napari layer."""
    return {
        "units": (placement.unit, placement.unit),
        "scale": placement.scale,
        "translate": placement.translate,
    }


def outline(vertices: NDArray[np.floating[Any]], kind: str) -> Polygon | None:
    """A drawn shape as a polygon; None for what has no area (a line, a path).

    Parameters
    ----------
    vertices : (vertices, 2) array
        As napari gives them, (row, column) in level-0 px; of an ellipse the corners of its box.
    kind : str
        napari's name of the shape.
    """
    if kind not in {"rectangle", "polygon", "ellipse"} or len(vertices) < 3:
        return None
    points = np.asarray(vertices, dtype=np.float64)
    if kind == "ellipse":
        centre = points.mean(axis=0)
        first, second = (points[1] - points[0]) / 2, (points[2] - points[1]) / 2
        angles = np.linspace(0, 2 * np.pi, ELLIPSE_VERTICES, endpoint=False)[:, np.newaxis]
        points = centre + np.cos(angles) * first + np.sin(angles) * second
    return tuple((float(row), float(column)) for row, column in points)


def drawn_form(one: Region | NewRegion) -> NewRegion | None:
    """A region as napari gives it back when nobody has touched it: its points are float32.

    None: it has no area, and is not given back.
    """
    polygon = outline(np.asarray(one.polygon, dtype=np.float32), "polygon")
    if polygon is None:
        return None
    return NewRegion(role=one.role, class_name=one.class_name or None, polygon=polygon)


ELLIPSE_VERTICES = 48
"""Area of the polygon is 0.3% below the ellipse's: 1 - sin(2 pi / n) n / (2 pi)."""
