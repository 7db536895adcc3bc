"""What each marrow cell looks like: size, nucleus, chromatin, cytoplasm, granules.

Diameters, shares of the nucleus and optical densities (R, G, B; May-Gruenwald-Giemsa-like)
are the project's own design figures for a plausible picture, not measurements of patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Density = tuple[float, float, float]
"""Optical density in R, G and B: natural logarithm of background over transmitted light."""

COARSE_CHROMATIN: Density = (0.62, 0.95, 0.38)
FINE_CHROMATIN: Density = (0.45, 0.72, 0.25)
BASOPHILIC: Density = (0.52, 0.36, 0.10)
PINK: Density = (0.06, 0.22, 0.13)
GRANULE: Density = (0.18, 0.40, 0.18)
RED_CELL: Density = (0.09, 0.27, 0.24)
AUER_ROD: Density = (0.12, 0.75, 0.35)
BACKGROUND = (236.0, 232.0, 236.0)
"""Grey levels of an empty field, R, G, B."""

RED_CELL_UM = (7.2, 0.5)
"""Mean and standard deviation of a red cell's diameter, um."""

Nucleus = Literal["round", "dented", "lobed", "pelger", "ring", "two", "small"]
Texture = Literal["fine", "coarse", "clump"]


@dataclass(frozen=True)
class Morphology:
    """One kind of nucleated cell.

    Attributes
    ----------
    diameter_um, spread_um : float
        Mean and standard deviation of the cell's diameter.
    share : float
        Area of the nucleus over area of the cell, 0 to 1.
    nucleus : str
        Shape of the nucleus.
    ripeness : float
        0: fine chromatin of a blast; 1: coarse, dense chromatin.
    texture, contrast : str, float
        Scale of the chromatin's grain and its relative height.
    blue, pink, red : float
        Amounts of basophilic, acidophilic and haemoglobin colour in the cytoplasm.
    azurophil, specific : float
        Amounts of coarse and of fine granules.
    eccentric, hof : float
        How far the nucleus lies off centre (1: at the border), and the pale zone beside it.
    """

    diameter_um: float
    spread_um: float
    share: float
    nucleus: Nucleus
    ripeness: float
    texture: Texture
    contrast: float
    blue: float = 0.0
    pink: float = 0.0
    red: float = 0.0
    azurophil: float = 0.0
    specific: float = 0.0
    eccentric: float = 0.35
    hof: float = 0.0

    @property
    def nuclear_area_um2(self) -> float:
        """Expected area of the nucleus in um2."""
        return self.share * np.pi / 4 * (self.diameter_um**2 + self.spread_um**2)


MORPHOLOGIES: dict[str, Morphology] = {
    "blast": Morphology(
        15, 1.8, 0.80, "round", 0.0, "fine", 0.12, blue=0.75, pink=0.1, eccentric=0.8
    ),
    "promyelocyte": Morphology(
        18,
        1.8,
        0.60,
        "round",
        0.25,
        "coarse",
        0.14,
        0.55,
        0.35,
        azurophil=1.0,
        specific=0.3,
        eccentric=0.8,
        hof=0.5,
    ),
    "myelocyte": Morphology(
        15,
        1.5,
        0.45,
        "dented",
        0.6,
        "clump",
        0.18,
        0.18,
        0.75,
        azurophil=0.15,
        specific=0.7,
        eccentric=0.7,
    ),
    "neutrophil": Morphology(13, 0.9, 0.36, "lobed", 1.0, "clump", 0.18, 0.0, 0.75, specific=0.45),
    "pelger": Morphology(13, 0.9, 0.36, "pelger", 1.1, "clump", 0.16, 0.0, 0.6, specific=0.02),
    "ring": Morphology(13.5, 1.0, 0.38, "ring", 0.9, "clump", 0.16, 0.0, 0.75, specific=0.4),
    "erythroblast": Morphology(
        10.5, 1.0, 0.48, "round", 1.25, "clump", 0.22, 0.35, 0.0, 0.8, eccentric=0.25
    ),
    "megaloblastoid": Morphology(
        15, 1.5, 0.55, "round", 0.45, "clump", 0.30, 0.55, 0.0, 0.4, eccentric=0.35
    ),
    "binucleate": Morphology(14, 1.0, 0.46, "two", 1.1, "clump", 0.22, 0.4, 0.0, 0.7),
    "lymphocyte": Morphology(9, 0.8, 0.85, "round", 0.95, "clump", 0.16, blue=0.45, eccentric=0.7),
    "plasma": Morphology(
        15, 1.2, 0.33, "round", 1.0, "clump", 0.26, blue=1.05, pink=0.15, eccentric=0.85, hof=0.75
    ),
    "micromegakaryocyte": Morphology(
        22, 6.0, 0.30, "small", 1.15, "clump", 0.16, 0.2, 0.6, azurophil=0.25, specific=0.8
    ),
}
"""Every kind of nucleated cell that is drawn. Ring sideroblasts are none of them: they
cannot be seen without an iron stain."""


def blend(first: Density, second: Density, share: float) -> NDArray[np.float64]:
    """The density between two densities; a share above 1 goes on beyond the second."""
    return np.asarray(first) * (1 - share) + np.asarray(second) * share
