"""Synthetic patients: diagnosis, cell mix, stain, and what else a whole patient shares."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from marrow.synthetic.morphology import MORPHOLOGIES

Mode = Literal["easy", "strict", "null"]

CELLS = tuple(MORPHOLOGIES)

_MIXES: dict[str, tuple[float, ...]] = {
    # blast, promyelocyte, myelocyte, neutrophil, pelger, ring, erythroblast, megaloblastoid,
    # binucleate, lymphocyte, plasma, micromegakaryocyte; scaled to sum 1
    "AA": (0.01, 0.01, 0.06, 0.14, 0.005, 0.005, 0.14, 0.01, 0.005, 0.50, 0.12, 0.0005),
    "MDS": (0.08, 0.04, 0.16, 0.07, 0.13, 0.04, 0.15, 0.16, 0.06, 0.08, 0.03, 0.01),
    "AML": (0.62, 0.05, 0.06, 0.04, 0.01, 0.005, 0.09, 0.02, 0.005, 0.07, 0.03, 0.001),
}
_BLASTS = {"AA": (0.0, 0.049), "MDS": (0.0, 0.19), "AML": (0.20, 1.0)}
"""Allowed share of blasts: below 5% in AA, below 20% in MDS, 20% or more in AML (WHO)."""

_CELLULARITY = {"AA": 8.0, "MDS": 30.0, "AML": 40.0}
"""Nucleated cells in a field of 102.4 um, mean over patients (gamma, shape 9)."""

_VACUOLES = {"AA": 1.6, "MDS": 0.5, "AML": 0.2}
"""Fat vacuoles in a field of 102.4 um."""

_STRICT_NUCLEAR_UM2 = 1900.0
"""Area of all nuclei in a field of 102.4 um in mode strict, whatever the diagnosis."""

FIELD_UM = 102.4
"""Side of the field that counts per field refer to: 512 pixels of 0.2 um."""


@dataclass(frozen=True)
class Stain:
    """How a slide's colours come out.

    Attributes
    ----------
    gain : tuple of 3 floats
        Factor on the optical density in R, G, B.
    red_gain : tuple of 3 floats
        A further factor for the red cells, which fade and dry apart from the rest.
    gamma : float
        Exponent of the camera's response on light between 0 and 1.
    background : tuple of 3 floats
        Grey level of an empty field in R, G, B, 0 to 255.
    blur_um : float
        Standard deviation of the blur of lens and focus, um.
    """

    gain: tuple[float, float, float]
    red_gain: tuple[float, float, float]
    gamma: float
    background: tuple[float, float, float]
    blur_um: float


@dataclass(frozen=True)
class Patient:
    """One synthetic patient; all that `render_field` needs besides field and pixel size.

    Attributes
    ----------
    pseudonym : str
        "SYN-0001" and so on; with another seed than 0 "SYN-7-0001", so that cohorts of
        several seeds can meet in one study. It tells nothing of the diagnosis.
    number, seed : int
        Place in the cohort, from 1, and the cohort's seed: the source of all randomness.
    diagnosis, site, mode : str
        AA, MDS or AML; the site's name; the cohort's mode.
    mix : tuple of floats
        Share of each kind of nucleated cell, in the order of `CELLS`, sum 1.
    cellularity, red_cells, vacuoles : float
        Expected nucleated cells, red cells and fat vacuoles in a field of 102.4 um.
    has_auer_rods : bool
        Whether some of the blasts carry Auer rods.
    stain : Stain
        Colours of this patient's slides.
    """

    pseudonym: str
    number: int
    seed: int
    diagnosis: str
    site: str
    mode: Mode
    mix: tuple[float, ...]
    cellularity: float
    red_cells: float
    vacuoles: float
    has_auer_rods: bool
    stain: Stain


def cohort(
    counts: Mapping[str, int],
    mode: Mode = "easy",
    seed: int = 0,
    sites: Sequence[str] = ("synthetic",),
) -> list[Patient]:
    """Synthetic patients in random order, the sites balanced within each diagnosis.

    Parameters
    ----------
    counts : mapping of diagnosis to int
        Patients with AA, MDS and AML, for example {"AA": 26, "MDS": 32, "AML": 57}.
    mode : "easy", "strict" or "null"
        *easy*: cellularity and fat follow the diagnosis too. *strict*: the nuclei cover the
        same area in every diagnosis and stain, camera and red cells vary widely, so that
        only morphology tells. *null*: every patient is drawn alike and the diagnosis means
        nothing: whatever is learned from it is an error of the pipeline.
    seed : int
        Source of all randomness, 0 or more.
    sites : sequence of str
        Each site has a stain of its own.

    Raises
    ------
    ValueError
        For a diagnosis, mode, count, seed or list of sites that cannot be drawn.
    """
    _check(counts, mode, seed, sites)
    named: list[tuple[str, str]] = []
    for diagnosis in sorted(counts):
        named += [(diagnosis, sites[i % len(sites)]) for i in range(counts[diagnosis])]
    order = np.random.default_rng([seed, 0]).permutation(len(named))
    return [
        _patient(number, named[place][0], named[place][1], mode, seed)
        for number, place in enumerate(order, start=1)
    ]


def _check(counts: Mapping[str, int], mode: str, seed: int, sites: Sequence[str]) -> None:
    unknown = sorted(set(counts) - set(_MIXES))
    if unknown:
        raise ValueError(f"no cell mix for {', '.join(unknown)}; known are {', '.join(_MIXES)}")
    if any(count < 0 for count in counts.values()):
        raise ValueError(f"counts must be 0 or more, got {dict(counts)}")
    if mode not in ("easy", "strict", "null"):
        raise ValueError(f"mode is {mode!r}; it must be easy, strict or null")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must be 0 or more")
    if isinstance(sites, str) or not sites:
        raise ValueError("sites must be a list of at least one name")


def _patient(number: int, diagnosis: str, site: str, mode: Mode, seed: int) -> Patient:
    rng = np.random.default_rng([seed, 1, number])
    mix = _mix(diagnosis, mode, rng)
    if mode == "easy":
        cellularity = _CELLULARITY[diagnosis] * rng.gamma(9, 1 / 9)
        vacuoles = _VACUOLES[diagnosis] * rng.gamma(4, 1 / 4)
    else:
        areas = np.array([kind.nuclear_area_um2 for kind in MORPHOLOGIES.values()])
        cellularity = _STRICT_NUCLEAR_UM2 / float(mix @ areas) * rng.gamma(9, 1 / 9)
        vacuoles = 0.6 * rng.gamma(2, 1 / 2)
    has_rods = bool(rng.random() < 0.3) and (diagnosis == "AML" or mode == "null")
    wide = mode != "easy"
    red_cells = 75 * float(np.exp(rng.normal(0, 0.45 if wide else 0.2)))
    return Patient(
        pseudonym=f"SYN-{number:04d}" if seed == 0 else f"SYN-{seed}-{number:04d}",
        number=number,
        seed=seed,
        diagnosis=diagnosis,
        site=site,
        mode=mode,
        mix=tuple(float(share) for share in mix),
        cellularity=float(cellularity),
        red_cells=min(red_cells, 190.0),
        vacuoles=float(vacuoles),
        has_auer_rods=has_rods,
        stain=_stain(site, wide, seed, rng),
    )


def _mix(diagnosis: str, mode: Mode, rng: np.random.Generator) -> NDArray[np.float64]:
    """Dirichlet(40) around the diagnosis's mix, blasts kept within their bounds."""
    if mode == "null":
        mean, bounds = np.mean([_scaled(name) for name in _MIXES], axis=0), (0.0, 1.0)
    else:
        mean, bounds = _scaled(diagnosis), _BLASTS[diagnosis]
    mix = rng.dirichlet(40 * mean)
    blasts = float(np.clip(mix[0], *bounds))
    mix[1:] *= (1 - blasts) / mix[1:].sum()
    mix[0] = blasts
    return mix


def _scaled(diagnosis: str) -> NDArray[np.float64]:
    mix = np.asarray(_MIXES[diagnosis], dtype=np.float64)
    return np.asarray(mix / mix.sum())


def _stain(site: str, wide: bool, seed: int, rng: np.random.Generator) -> Stain:
    """A patient's stain around the stain of the site."""
    own = np.random.default_rng([seed, 2, zlib.crc32(site.encode())])
    spread = 2.6 if wide else 1.0
    density = own.normal(0, 0.05) + rng.normal(0, 0.09 * spread)
    hue = own.normal(0, 0.04, 3) + rng.normal(0, 0.05 * spread, 3)
    gamma = own.normal(0, 0.04) + rng.normal(0, 0.06 * spread)
    light = own.normal(0, 2, 3) + rng.normal(0, 2.5 * spread, 3)
    red = rng.normal(0, 0.08 * spread) + rng.normal(0, 0.05 * spread, 3)
    background = np.clip(np.array([236.0, 232.0, 236.0]) + light, 200, 250)
    return Stain(
        gain=_triple(np.exp(density + hue)),
        red_gain=_triple(np.exp(red)),
        gamma=float(np.clip(np.exp(gamma), 0.65, 1.5)),
        background=_triple(background),
        blur_um=float(np.clip(0.2 * np.exp(rng.normal(0, 0.25)), 0.12, 0.4)),
    )


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
