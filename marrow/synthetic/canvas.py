"""The field while it is drawn: planes of optical density, and which cell lies where."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marrow.synthetic import cells
from marrow.synthetic.cells import Outline
from marrow.synthetic.cohort import Patient
from marrow.synthetic.morphology import GRANULE, MORPHOLOGIES, PINK, RED_CELL, Density
from marrow.synthetic.placement import Layout
from marrow.synthetic.shapes import Frame, coverage
from marrow.synthetic.textures import sheets

Plane = NDArray[np.float32]

_FILM: Density = (0.012, 0.022, 0.008)
"""Dried plasma between the cells: barely tinted; a vacuole has none."""

_ROD_SHARE = 0.35
"""Of the blasts of a patient with Auer rods, those that show one or more."""


class Canvas:
    """Optical density and instance mask of one square field.

    Attributes
    ----------
    od : ndarray, (3, H, W), float32
    cover : ndarray, (H, W), float32
        Share of each pixel that nucleated cells cover, 0 to 1.
    mask : ndarray, (H, W), uint16
        Number of the uppermost cell from 1, in the layout's order; 0: none.
    """

    def __init__(self, size_px: int, pixel_size_um: float) -> None:
        self.size, self.um = size_px, pixel_size_um
        self.sheets = sheets(pixel_size_um)
        self.od = np.zeros((3, size_px, size_px), dtype=np.float32)
        self.cover = np.zeros((size_px, size_px), dtype=np.float32)
        self.mask = np.zeros((size_px, size_px), dtype=np.uint16)

    def draw_nucleated(self, layout: Layout, patient: Patient, rng: np.random.Generator) -> None:
        """Draw the nucleated cells; where two meet, each keeps the pixels deeper inside it."""
        depth = np.zeros((self.size, self.size), dtype=np.float32)
        places: list[tuple[int, Outline]] = []
        for i in range(layout.nucleated):
            framed = self._frame(layout, i, 1.3 * float(layout.radii[i]) + 1)
            if framed is None:
                continue
            box, frame = framed
            kind = MORPHOLOGIES[layout.kinds[i]]
            place = Outline(box, frame, cells.outline(kind, frame, 2 * layout.radii[i], rng))
            deeper = place.depth > depth[box]
            depth[box][deeper] = place.depth[deeper]
            self.mask[box][deeper] = i + 1
            places.append((i, place))
        for i, place in places:
            self._draw_cell(i, place, layout, patient, rng)

    def _draw_cell(
        self, i: int, place: Outline, layout: Layout, patient: Patient, rng: np.random.Generator
    ) -> None:
        name, owner = layout.kinds[i], self.mask[place.box]
        visible = (owner == 0) | (owner == i + 1)
        has_rods = name == "blast" and patient.has_auer_rods and rng.random() < _ROD_SHARE
        rods = int(rng.choice([1, 1, 2, 3])) if has_rods else 0
        diameter = 2 * float(layout.radii[i])
        rows, columns = place.box
        self.od[:, rows, columns] += cells.density(
            MORPHOLOGIES[name], place, visible, diameter, self.sheets, rng, rods
        )
        self.cover[place.box] = np.maximum(
            self.cover[place.box], coverage(place.depth, 0.8) * visible
        )

    def draw_red_cells(self, layout: Layout, patient: Patient, rng: np.random.Generator) -> None:
        """Draw the red cells with their central pallor, beneath the nucleated ones."""
        amount = np.zeros((self.size, self.size), dtype=np.float32)
        pallor = float(rng.uniform(0.45, 0.8))
        for i in range(layout.nucleated, len(layout.kinds)):
            radius = float(layout.radii[i])
            framed = self._frame(layout, i, 1.2 * radius + 1)
            if framed is None:
                continue
            box, frame = framed
            away = _oval_distance(frame, rng) / np.float32(radius)
            inside = coverage((1 - away) * np.float32(radius), 0.45)
            hollow = np.float32(pallor * rng.uniform(0.6, 1.15))
            profile = 1 - hollow * np.exp(-((away / np.float32(rng.uniform(0.4, 0.55))) ** 2))
            amount[box] += inside * profile * np.float32(rng.uniform(0.9, 1.15))
            free = (inside > 0.5) & (self.mask[box] == 0)
            self.mask[box][free] = i + 1
        amount *= 1 - self.cover
        for channel in range(3):
            gain = RED_CELL[channel] * patient.stain.red_gain[channel]
            self.od[channel] += np.float32(gain) * amount

    def draw_film(self, layout: Layout, rng: np.random.Generator) -> None:
        """Draw dried plasma around the cells, the rims of vacuoles, and platelets."""
        film = 1 + np.float32(0.35) * self.sheets.piece("cloud", self.cover.shape, rng)
        film *= 1 - self.cover
        line = (np.arange(self.size, dtype=np.float32) + np.float32(0.5)) * np.float32(self.um)
        for row, column, radius in layout.vacuoles:
            away = Frame(line[:, None] - np.float32(row), line - np.float32(column)).radius()
            depth = np.float32(radius) - away
            film *= 1 - coverage(depth, 1.5)
            film += np.float32(1.6) * np.exp(-((depth / np.float32(0.7)) ** 2)) * (1 - self.cover)
        for channel in range(3):
            self.od[channel] += np.float32(_FILM[channel]) * film
        self._draw_platelets(layout, rng)

    def _draw_platelets(self, layout: Layout, rng: np.random.Generator) -> None:
        """A few small granular discs of 1.5 to 3.5 um, the same in every diagnosis."""
        side = self.size * self.um
        for _ in range(int(rng.poisson(6 * (side / 102.4) ** 2))):
            radius, centre = float(rng.uniform(0.9, 1.8)), rng.uniform(0, side, 2)
            in_fat = np.hypot(*(layout.vacuoles[:, :2] - centre).T) < layout.vacuoles[:, 2]
            framed = self._box(centre, 1.5 * radius + 1)
            if framed is None or in_fat.any():
                continue
            box, frame = framed
            disc = coverage(np.float32(radius) - _oval_distance(frame, rng), 0.6)
            disc *= 1 - self.cover[box]
            grain = self.sheets.piece("azurophil", disc.shape, rng)
            for channel in range(3):
                colour = 0.9 * PINK[channel] + 1.1 * GRANULE[channel] * grain
                self.od[channel][box] += colour.astype(np.float32) * disc

    def _frame(
        self, layout: Layout, i: int, reach_um: float
    ) -> tuple[tuple[slice, slice], Frame] | None:
        return self._box(layout.centres[i], reach_um)

    def _box(
        self, centre_um: NDArray[np.float64], reach_um: float
    ) -> tuple[tuple[slice, slice], Frame] | None:
        """The patch within `reach_um` of a centre, cut to the field; None outside of it."""
        centre = centre_um / self.um - 0.5  # centre of pixel 0 lies half a pixel in
        reach = reach_um / self.um
        low = np.maximum(np.floor(centre - reach), 0).astype(int)
        high = np.minimum(np.ceil(centre + reach) + 1, self.size).astype(int)
        if (low >= high).any():
            return None
        box = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
        return box, Frame.around((float(centre[0]), float(centre[1])), box, self.um)


def _oval_distance(frame: Frame, rng: np.random.Generator) -> Plane:
    """Distance from the centre in a slightly stretched frame, um, (h, w)."""
    stretch = np.float32(rng.uniform(0.9, 1.0))
    turn = rng.uniform(0, np.pi)
    sin, cos = np.float32(np.sin(turn)), np.float32(np.cos(turn))
    along = (cos * frame.y + sin * frame.x) / stretch
    across = (cos * frame.x - sin * frame.y) * stretch
    return np.asarray(np.sqrt(along * along + across * across))
