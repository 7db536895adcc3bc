"""One nucleated cell at a time: its outline, and the optical density that it adds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marrow.synthetic import morphology as m
from marrow.synthetic.morphology import Morphology
from marrow.synthetic.shapes import Frame, capsule, coverage, lobes, ring, rounded
from marrow.synthetic.textures import Sheets

Plane = NDArray[np.float32]

_EDGE_UM = 0.35
"""Width of a cell's border; the lens blurs it further."""


@dataclass(frozen=True)
class SyntheticCell:
    """The truth about one visible cell.

    Attributes
    ----------
    type : str
        One of `marrow.synthetic.morphology.MORPHOLOGIES`, or "red_cell".
    centroid : tuple of float
        Centre of the visible part, (row, column) in pixels.
    diameter_um : float
        Diameter of the whole cell, also where the field's border cuts it.
    """

    type: str
    centroid: tuple[float, float]
    diameter_um: float


@dataclass(frozen=True)
class Outline:
    """A cell's place in the field.

    Attributes
    ----------
    box : (slice, slice)
        Rows and columns of its patch within the field.
    frame : Frame
        The patch in um from the cell's centre.
    depth : ndarray, (h, w)
        Depth inside the outline, um.
    """

    box: tuple[slice, slice]
    frame: Frame
    depth: Plane


def outline(kind: Morphology, frame: Frame, diameter_um: float, rng: np.random.Generator) -> Plane:
    """Depth inside the outline of a cell of that kind, um, (h, w)."""
    oval = {"two": 0.06, "small": 0.04}.get(kind.nucleus, rng.uniform(0, 0.05))
    ragged = 1.5 if kind.nucleus == "small" else 0.9
    return rounded(frame, diameter_um / 2, ragged, rng, oval=(oval, rng.uniform(0, np.pi)))


def density(
    kind: Morphology,
    place: Outline,
    visible: NDArray[np.bool_],
    diameter_um: float,
    sheets: Sheets,
    rng: np.random.Generator,
    rods: int = 0,
) -> Plane:
    """Optical density of one cell, (3, h, w), and nothing outside of `visible`."""
    frame, shape = place.frame, place.depth.shape
    cell = coverage(place.depth, _EDGE_UM) * visible
    away = rng.uniform(0, 2 * np.pi)
    nucleus_um, room = _nucleus_size(kind, diameter_um)
    shift = kind.eccentric * room
    centred = frame.moved(shift * np.sin(away), shift * np.cos(away))
    depth = _nucleus(kind, centred, diameter_um, away, rng)
    nucleus = coverage(depth, 0.4) * cell

    plasm = (cell - nucleus) * _cytoplasm(kind, place, away, sheets, rng)
    grains = np.zeros(shape, dtype=np.float32)
    if kind.azurophil:
        grains += np.float32(kind.azurophil) * sheets.piece("azurophil", shape, rng)
    if kind.specific:
        grains += np.float32(0.45 * kind.specific) * sheets.piece("specific", shape, rng)
    grains *= cell - np.float32(0.55) * nucleus
    chromatin = nucleus * _chromatin(kind, depth, centred, nucleus_um, sheets, rng)
    added = _stained(kind, plasm, chromatin, grains)
    for _ in range(rods):
        added += _rod(frame, diameter_um, away, cell, rng)
    return added


def _stained(kind: Morphology, plasm: Plane, chromatin: Plane, grains: Plane) -> Plane:
    cytoplasm = (
        kind.blue * np.asarray(m.BASOPHILIC)
        + kind.pink * np.asarray(m.PINK)
        + kind.red * np.asarray(m.RED_CELL)
    )
    nuclear = m.blend(m.FINE_CHROMATIN, m.COARSE_CHROMATIN, kind.ripeness)
    planes = np.empty((3, *plasm.shape), dtype=np.float32)
    for channel in range(3):
        plane = planes[channel]
        np.multiply(plasm, np.float32(cytoplasm[channel]), out=plane)
        plane += np.float32(nuclear[channel]) * chromatin
        plane += np.float32(m.GRANULE[channel]) * grains
    return planes


def _nucleus_size(kind: Morphology, diameter_um: float) -> tuple[float, float]:
    """Radius of a round nucleus of that share, and how far it can move, um."""
    radius = diameter_um / 2 * float(np.sqrt(kind.share))
    return radius, diameter_um / 2 - radius


def _nucleus(
    kind: Morphology, frame: Frame, diameter_um: float, away: float, rng: np.random.Generator
) -> Plane:
    """Depth inside the nucleus, um. Each shape has the area that the share asks for."""
    cell = diameter_um / 2
    radius = cell * float(np.sqrt(kind.share))
    if kind.nucleus == "ring":
        return ring(frame, 0.5 * cell, kind.share * cell, rng)
    if kind.nucleus == "lobed":
        return _segments(frame, cell, kind.share, rng)
    if kind.nucleus in ("pelger", "two"):
        return _pair(frame, cell, kind, rng)
    if kind.nucleus == "small" and rng.random() < 0.5:
        return _pair(frame, cell, kind, rng)
    if kind.nucleus == "dented":
        # The hollow of a myelocyte faces the middle of the cell.
        dents = ((away + np.pi, rng.uniform(0.02, 0.3), 0.6),)
        return rounded(frame, radius * 1.04, 0.8, rng, dents, (rng.uniform(0, 0.1), away + 1.57))
    if kind.texture == "fine" and rng.random() < 0.3:  # a folded or cleft blast nucleus
        dents = ((rng.uniform(0, 6.28), rng.uniform(0.08, 0.22), 0.25),)
        return rounded(frame, radius, 1.0, rng, dents)
    waves = 1.0 if kind.texture == "fine" else 0.5
    return rounded(frame, radius, waves, rng, oval=(rng.uniform(0, 0.05), rng.uniform(0, np.pi)))


def _segments(frame: Frame, cell: float, share: float, rng: np.random.Generator) -> Plane:
    """Three to five lobes on an arc, joined by threads."""
    count = int(rng.choice([3, 3, 4, 4, 5]))
    sizes = cell * np.sqrt(share / count) * rng.uniform(0.88, 1.12, count)
    arc = 0.54 * cell
    angle, angles = rng.uniform(0, 2 * np.pi), []
    for i in range(count):
        if i:
            apart = (sizes[i - 1] + sizes[i]) * rng.uniform(0.92, 1.12)
            angle += 2 * float(np.arcsin(min(apart / (2 * arc), 0.95)))
        angles.append(angle)
    reach = arc * rng.uniform(0.85, 1.12, count)
    centres = [
        (float(r * np.sin(a)), float(r * np.cos(a))) for a, r in zip(angles, reach, strict=True)
    ]
    return lobes(frame, centres, [float(size) for size in sizes], 0.35, rng)


def _pair(frame: Frame, cell: float, kind: Morphology, rng: np.random.Generator) -> Plane:
    """Two round lobes: a pince-nez (Pelger), or two nuclei apart."""
    size = cell * float(np.sqrt(kind.share / 2))
    apart = size * rng.uniform(1.06, 1.2)
    axis = rng.uniform(0, np.pi)
    y, x = float(apart * np.sin(axis)), float(apart * np.cos(axis))
    sizes = [float(size * rng.uniform(0.93, 1.07)) for _ in range(2)]
    return lobes(frame, [(-y, -x), (y, x)], sizes, 0.4 if kind.nucleus == "pelger" else 0.0, rng)


def _cytoplasm(
    kind: Morphology, place: Outline, away: float, sheets: Sheets, rng: np.random.Generator
) -> Plane:
    """Relative density of the cytoplasm, about 1: cloudy, darker at a basophilic border."""
    amount = 1 + np.float32(0.07) * sheets.piece("cloud", place.depth.shape, rng)
    if kind.blue > 0.4:
        amount += np.float32(0.22) * np.exp(-np.maximum(place.depth, 0) / np.float32(0.9))
    if kind.hof:
        # The Golgi zone: pale, beside the nucleus, towards the middle of the cell.
        towards = place.frame.moved(-0.8 * np.sin(away), -0.8 * np.cos(away))
        amount *= 1 - np.float32(kind.hof) * np.exp(-((towards.radius() / np.float32(2.2)) ** 2))
    return np.asarray(amount, dtype=np.float32)


def _chromatin(
    kind: Morphology,
    depth: Plane,
    frame: Frame,
    radius_um: float,
    sheets: Sheets,
    rng: np.random.Generator,
) -> Plane:
    """Relative density of the chromatin, about 1, with membrane, spokes and nucleoli."""
    grain = sheets.piece(kind.texture, depth.shape, rng)
    if kind.texture != "fine":
        grain = np.tanh(np.float32(1.4) * grain)  # clumps with edges, not a smooth swell
    amount = 1 + np.float32(kind.contrast * rng.uniform(0.85, 1.15)) * grain
    membrane = np.exp(-(((depth - np.float32(0.45)) / np.float32(0.4)) ** 2))
    amount += np.float32(0.12) * membrane
    if kind.hof > 0.6:  # the plasma cell's clock-face
        spokes = np.cos(7 * np.arctan2(frame.y, frame.x) + np.float32(rng.uniform(0, 6.28)))
        outer = np.clip(frame.radius() / np.float32(radius_um), 0, 1)
        amount += np.float32(0.22) * spokes * outer
    if kind.texture in ("fine", "coarse"):
        amount += _nucleoli(frame, radius_um, rng, most=3 if kind.texture == "fine" else 1)
    return np.asarray(np.maximum(amount, 0.25), dtype=np.float32)


def _nucleoli(frame: Frame, radius_um: float, rng: np.random.Generator, most: int) -> Plane:
    """Pale round nucleoli with a faintly darker rim, as a change of relative density."""
    change = np.zeros(frame.y.shape, dtype=np.float32)
    for _ in range(int(rng.integers(1, most + 1))):
        angle, reach = rng.uniform(0, 2 * np.pi), radius_um * np.sqrt(rng.uniform(0.02, 0.4))
        size = np.float32(rng.uniform(0.75, 1.35))
        away = frame.moved(reach * np.sin(angle), reach * np.cos(angle)).radius()
        change -= np.float32(0.24) * np.clip((size - away) / np.float32(0.4) + 0.5, 0, 1)
        change += np.float32(0.1) * np.exp(-(((away - size - 0.3) / np.float32(0.3)) ** 2))
    return change


def _rod(
    frame: Frame, diameter_um: float, away: float, cell: Plane, rng: np.random.Generator
) -> Plane:
    """An Auer rod in the wider part of the cytoplasm, (3, h, w)."""
    side = away + np.pi + rng.normal(0, 0.35)
    reach = diameter_um / 2 * rng.uniform(0.72, 0.86)
    middle = (reach * np.sin(side), reach * np.cos(side))
    lean = side + np.pi / 2 + rng.normal(0, 0.3)
    half = rng.uniform(1.5, 2.6)
    dy, dx = half * np.sin(lean), half * np.cos(lean)
    start, end = (middle[0] - dy, middle[1] - dx), (middle[0] + dy, middle[1] + dx)
    rod = coverage(capsule(frame, start, end, 0.24), 0.25) * cell
    return np.asarray(m.AUER_ROD, dtype=np.float32)[:, None, None] * rod
