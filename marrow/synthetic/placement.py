"""Which cells a field holds and where they lie: random places, then pushed apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marrow.synthetic.cohort import CELLS, FIELD_UM, Patient
from marrow.synthetic.morphology import MORPHOLOGIES, RED_CELL_UM

Floats = NDArray[np.float64]

_MARGIN_UM = 12.0
"""Cells are placed this far beyond the field too, so that its borders cut some of them."""

_FULLEST = 0.80
"""Share of a field that nucleated cells may cover; beyond it they would lie in layers."""

_FULL = 0.95
"""Share of a field that all cells and vacuoles together may cover."""


@dataclass(frozen=True)
class Layout:
    """The discs of a field, in um.

    Attributes
    ----------
    kinds : list of str, n
        Kind of each cell; nucleated cells first, then "red_cell".
    centres : ndarray, (n, 2)
        (row, column) in um from the field's corner; outside of the field in its margin.
    radii : ndarray, (n,)
    vacuoles : ndarray, (v, 3)
        Fat vacuoles: row, column and radius in um.
    """

    kinds: list[str]
    centres: Floats
    radii: Floats
    vacuoles: Floats

    @property
    def nucleated(self) -> int:
        """How many of the cells have a nucleus (or several)."""
        return sum(kind != "red_cell" for kind in self.kinds)


def lay_out(patient: Patient, side_um: float, rng: np.random.Generator) -> Layout:
    """Cells, red cells and vacuoles of one field of that side, in um."""
    area = (side_um + 2 * _MARGIN_UM) ** 2
    per_field = area / FIELD_UM**2
    vacuoles = _vacuoles(patient.vacuoles * per_field, side_um, rng)
    free = max(area - float(np.sum(np.pi * vacuoles[:, 2] ** 2)), 0.2 * area)

    kinds, diameters = _nucleated(patient, patient.cellularity * per_field, rng)
    fits = np.cumsum(np.pi / 4 * diameters**2) <= _FULLEST * free
    kinds, diameters = [k for k, fit in zip(kinds, fits, strict=True) if fit], diameters[fits]

    room = _FULL * free - float(np.sum(np.pi / 4 * diameters**2))
    wanted = int(rng.poisson(patient.red_cells * per_field))
    red = rng.normal(*RED_CELL_UM, max(min(wanted, int(room / 41)), 0)).clip(5.5, 9)

    kinds += ["red_cell"] * len(red)
    radii = np.concatenate([diameters, red]) / 2
    centres = rng.uniform(-_MARGIN_UM, side_um + _MARGIN_UM, (len(radii), 2))
    # A vacuole hardly moves; a red cell gives way to everything.
    stiffness = np.repeat([40.0, 5.0, 1.0], [len(vacuoles), len(diameters), len(red)])
    moved = push_apart(
        np.concatenate([vacuoles[:, :2], centres]),
        np.concatenate([vacuoles[:, 2], radii]),
        stiffness,
        rounds=25,
    )
    settled = np.column_stack([moved[: len(vacuoles)], vacuoles[:, 2]])
    return Layout(kinds, moved[len(vacuoles) :], radii, settled)


def _vacuoles(expected: float, side_um: float, rng: np.random.Generator) -> Floats:
    """Fat vacuoles of 9 to 40 um radius: row, column, radius in um, (v, 3)."""
    count = int(rng.poisson(expected))
    radii = np.exp(rng.normal(np.log(14), 0.45, count)).clip(9, 40)
    centres = rng.uniform(-_MARGIN_UM, side_um + _MARGIN_UM, (count, 2))
    return np.column_stack([centres, radii])


def _nucleated(
    patient: Patient, expected: float, rng: np.random.Generator
) -> tuple[list[str], Floats]:
    """Kinds and diameters (um): Poisson count, the field's own mix around the patient's."""
    mix = rng.dirichlet(60 * np.asarray(patient.mix) + 1e-6)
    places = rng.choice(len(CELLS), size=int(rng.poisson(expected)), p=mix)
    kinds = [CELLS[place] for place in places]
    mean = np.array([MORPHOLOGIES[kind].diameter_um for kind in kinds])
    spread = np.array([MORPHOLOGIES[kind].spread_um for kind in kinds])
    diameters = mean + spread * rng.standard_normal(len(kinds)).clip(-2, 2.6)
    return kinds, np.maximum(diameters, 6.0)


def push_apart(centres: Floats, radii_um: Floats, stiffness: Floats, rounds: int) -> Floats:
    """Centres after overlapping discs have pushed each other away.

    Parameters
    ----------
    centres : ndarray, (n, 2)
        In um.
    radii_um : ndarray, (n,)
    stiffness : ndarray, (n,)
        How little a disc gives way: of the way that two discs part, the first goes the
        second's stiffness over the sum of both.
    rounds : int
        Few rounds leave some overlap, as in a smear.
    """
    if len(centres) < 2:
        return centres
    reach = radii_um[:, None] + radii_um[None, :]
    yields = stiffness[None, :] / (stiffness[:, None] + stiffness[None, :])
    np.fill_diagonal(yields, 0)
    rows, columns = centres[:, 0].copy(), centres[:, 1].copy()
    for _ in range(rounds):
        down, right = rows[:, None] - rows, columns[:, None] - columns  # (n, n)
        distance = np.sqrt(down * down + right * right) + 1e-9
        push = np.maximum(reach - distance, 0) * yields / distance * 0.6
        rows += (push * down).sum(axis=1)
        columns += (push * right).sum(axis=1)
    return np.column_stack([rows, columns])
