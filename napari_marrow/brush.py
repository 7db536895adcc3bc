"""From the stroke of a brush to its outline: polygons, without any drawing library."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

from marrow.records import Polygon

CELLS_A_RADIUS = 5
"""Cells of the distance field along a radius. Contours are interpolated within a cell: the
area of a dot is then 2% too small at most."""
MOST_CELLS = 1_500_000
"""Of a long stroke the field is coarser: about 40 ms of work at most."""
TOLERANCE = 0.01
"""How far a point may lie from the line between its neighbours to be left out, in radii."""
PASSES = 5
"""At most 1 of 32 points is left where a line is straight."""


@dataclass(frozen=True)
class StrokeOutline:
    """What a stroke covers."""

    outer: tuple[Polygon, ...]
    holes: tuple[Polygon, ...]
    """Uncovered parts inside, each larger than a dot of the brush."""


def stroke_outline(points: NDArray[np.floating[Any]], radius: float) -> StrokeOutline:
    """The outline of a disc that was led along a line.

    Parameters
    ----------
    points : (points, 2) array
        Where the centre of the brush went, (row, column); at least one.
    radius : float
        Of the brush, in the unit of the points; > 0.

    Raises
    ------
    ValueError
        If there is no point or the radius is not positive.
    """
    path = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if not len(path) or not radius > 0:
        raise ValueError(f"no stroke of {len(path)} points with a radius of {radius}")
    path = _thinned(path, radius)
    margin = 1.5 * radius
    low, extent = path.min(axis=0) - margin, np.ptp(path, axis=0) + 2 * margin
    cell = max(radius / CELLS_A_RADIUS, float(np.sqrt(extent.prod() / MOST_CELLS)))
    field = _distances((path - low) / cell, np.ceil(extent / cell).astype(int) + 1, radius / cell)
    outer: list[Polygon] = []
    holes: list[Polygon] = []
    for contour in find_contours(field, radius / cell):
        thinned = _simplified(contour, TOLERANCE * radius / cell)[:-1]
        if len(thinned) < 3:
            continue
        ring = low + thinned * cell
        polygon = tuple((float(row), float(column)) for row, column in ring)
        # find_contours keeps the low side, here the stroke, on one hand: holes turn the other way.
        turned = signed_area(ring)
        if turned > 0:
            outer.append(polygon)
        elif -turned > np.pi * radius**2:
            holes.append(polygon)
    return StrokeOutline(tuple(outer), tuple(holes))


def signed_area(ring: NDArray[np.floating[Any]]) -> float:
    """Area within a ring of (row, column), negative if it turns the other way (shoelace)."""
    rows, columns = ring[:, 0], ring[:, 1]
    return float(np.dot(rows, np.roll(columns, -1)) - np.dot(columns, np.roll(rows, -1))) / 2


def _thinned(path: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """The path in pieces: as few as keep its line, none far longer than the brush is wide.

    Long pieces cost more than short ones, because each fills the box around itself.
    """
    line = _simplified(path, 3 * TOLERANCE * radius)
    pieces = [line[:1]]
    for start, end in pairwise(line):
        steps = max(1, int(np.ceil(np.hypot(*(end - start)) / (8 * radius))))
        pieces.append(start + (end - start) * np.arange(1, steps + 1)[:, np.newaxis] / steps)
    return np.concatenate(pieces)


def _simplified(line: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """The line without points that add little; its ends stay.

    Every second point is judged at a time, so that its neighbours stay: a few passes over whole
    arrays, 50 times faster than scikit-image's `approximate_polygon` on an outline.
    """
    for turn in range(PASSES):
        judged = np.arange(1 + turn % 2, len(line) - 1, 2)
        if not len(judged):
            break
        before, after = line[judged - 1], line[judged + 1]
        along, offset = after - before, line[judged] - before
        length = np.maximum(np.hypot(*along.T), 1e-12)
        distance = np.abs(along[:, 0] * offset[:, 1] - along[:, 1] * offset[:, 0]) / length
        # A point beyond its neighbours is the tip of a turn, however thin.
        share = (along * offset).sum(axis=1) / length**2
        line = np.delete(line, judged[(distance < tolerance) & (share >= 0) & (share <= 1)], axis=0)
    return line


def _distances(
    path: NDArray[np.float64], shape: NDArray[np.intp], radius: float
) -> NDArray[np.float32]:
    """Distance of each cell to the path in cells, up to twice the radius; (rows, columns).

    Each piece of the path fills its own surroundings alone: the work grows with the length of
    the stroke, not with the square of its extent.
    """
    field = np.full(tuple(shape), 2 * radius, np.float32)
    pieces = [*pairwise(path)] or [(path[0], path[0])]
    reach = 1.3 * radius + 1
    for start, end in pieces:
        top, left = np.maximum(np.floor(np.minimum(start, end) - reach), 0).astype(int)
        bottom, right = np.ceil(np.maximum(start, end) + reach).astype(int) + 1
        window = field[top:bottom, left:right]
        rows = np.arange(top, top + window.shape[0])[:, np.newaxis] - start[0]
        columns = np.arange(left, left + window.shape[1]) - start[1]
        along = end - start
        length = float(along @ along)
        share = np.clip((rows * along[0] + columns * along[1]) / length, 0, 1) if length else 0.0
        distance = np.hypot(rows - share * along[0], columns - share * along[1])
        np.minimum(window, distance, out=window, casting="same_kind")
    return field
