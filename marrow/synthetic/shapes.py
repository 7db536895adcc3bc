"""Outlines of cells and nuclei as depth maps: um inside the outline, negative outside."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

_ANGLES = 256
_TURN = np.linspace(-np.pi, np.pi, _ANGLES + 1)  # the last angle is the first again


@dataclass(frozen=True)
class Frame:
    """A patch of the field around a cell's centre: um from that centre, (h, w) float32."""

    y: Plane
    x: Plane

    @classmethod
    def around(cls, centre: tuple[float, float], box: tuple[slice, slice], um: float) -> Frame:
        """The frame of the pixels in `box`, from a centre in pixels (row, column)."""
        rows = (np.arange(box[0].start, box[0].stop, dtype=np.float32) - centre[0]) * um
        columns = (np.arange(box[1].start, box[1].stop, dtype=np.float32) - centre[1]) * um
        y, x = np.meshgrid(rows.astype(np.float32), columns.astype(np.float32), indexing="ij")
        return cls(y, x)

    def moved(self, y_um: float, x_um: float) -> Frame:
        """The same pixels, measured from another centre."""
        return Frame(self.y - np.float32(y_um), self.x - np.float32(x_um))

    def radius(self) -> Plane:
        """Distance from the centre in um, (h, w)."""
        return np.sqrt(self.y * self.y + self.x * self.x)  # np.hypot takes four times as long


def rounded(
    frame: Frame,
    radius_um: float,
    irregularity: float,
    rng: np.random.Generator,
    dents: tuple[tuple[float, float, float], ...] = (),
    oval: tuple[float, float] = (0.0, 0.0),
) -> Plane:
    """Depth inside a wavy disc.

    Parameters
    ----------
    irregularity : float
        Relative height of the waves, 0 for a circle, about 1 for a cell in a smear.
    dents : tuple of (angle rad, relative depth, half-width rad)
        Hollows of the outline, as in a kidney-shaped nucleus.
    oval : (relative elongation, angle rad)
        Stretch along one axis.
    """
    angle = _TURN
    outline = np.ones(_ANGLES + 1)
    phases = rng.uniform(0, 2 * np.pi, 5)
    heights = np.array([0.05, 0.03, 0.018, 0.012, 0.008]) * irregularity * rng.uniform(0.5, 1.3, 5)
    for wave, (phase, height) in enumerate(zip(phases, heights, strict=True), start=2):
        outline += height * np.cos(wave * angle + phase)
    outline += oval[0] * np.cos(2 * (angle - oval[1]))
    for where, depth, width in dents:
        turn = np.angle(np.exp(1j * (angle - where)))
        outline -= depth * np.exp(-((turn / width) ** 2))
    table = (radius_um * outline).astype(np.float32)
    step = np.float32(_ANGLES / (2 * np.pi))
    index = ((np.arctan2(frame.y, frame.x) + np.float32(np.pi)) * step).astype(np.int16)
    return np.asarray(np.take(table, index) - frame.radius())


def capsule(
    frame: Frame, start: tuple[float, float], end: tuple[float, float], half_um: float
) -> Plane:
    """Depth inside a rod with round ends between two points (y, x) in um."""
    y0, x0 = start
    dy, dx = end[0] - y0, end[1] - x0
    length2 = max(dy * dy + dx * dx, 1e-6)
    along = ((frame.y - np.float32(y0)) * dy + (frame.x - np.float32(x0)) * dx) / length2
    along = np.clip(along, 0, 1).astype(np.float32)
    y_gap = frame.y - np.float32(y0) - along * np.float32(dy)
    x_gap = frame.x - np.float32(x0) - along * np.float32(dx)
    return np.asarray(np.float32(half_um) - np.sqrt(y_gap * y_gap + x_gap * x_gap))


def lobes(
    frame: Frame,
    centres: list[tuple[float, float]],
    radii_um: list[float],
    bridge_um: float,
    rng: np.random.Generator,
) -> Plane:
    """Depth inside a chain of round lobes; a bridge of half-width 0 um leaves them apart."""
    depth = np.full(frame.y.shape, -np.inf, dtype=np.float32)
    for (y, x), radius in zip(centres, radii_um, strict=True):
        oval = (rng.uniform(0.0, 0.12), rng.uniform(0, np.pi))
        lobe = rounded(frame.moved(y, x), radius, 0.7, rng, oval=oval)
        depth = np.maximum(depth, lobe)
    if bridge_um > 0:
        for start, end in pairwise(centres):
            depth = np.maximum(depth, capsule(frame, start, end, bridge_um))
    return depth


def ring(frame: Frame, radius_um: float, width_um: float, rng: np.random.Generator) -> Plane:
    """Depth inside a ring whose middle line has that radius."""
    middle = rounded(frame, radius_um, 0.9, rng)
    return np.float32(width_um / 2) - np.abs(middle)


def coverage(depth_um: Plane, edge_um: float) -> Plane:
    """Share of each pixel that is covered, 0 to 1, with an edge that many um wide."""
    share = depth_um / np.float32(edge_um) + np.float32(0.5)
    return np.asarray(np.clip(share, 0, 1), dtype=np.float32)
