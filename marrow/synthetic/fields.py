"""A field of a synthetic smear, composed in optical density: I = background * exp(-sum OD)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from marrow.synthetic.canvas import Canvas
from marrow.synthetic.cells import SyntheticCell
from marrow.synthetic.cohort import Patient
from marrow.synthetic.placement import Layout, lay_out

Plane = NDArray[np.float32]

FIELDS_PER_SLIDE = 4
"""Fields 0 to 3 lie on a patient's first slide, 4 to 7 on the second, and so on."""


@dataclass(frozen=True)
class SyntheticField:
    """A rendered field and the truth about it.

    Attributes
    ----------
    image : ndarray, (H, W, 3), uint8
    mask : ndarray, (H, W), uint16
        0: no cell; k: `cells[k - 1]`, the uppermost cell at that pixel.
    cells : tuple of SyntheticCell
        Nucleated cells first, then red cells; only those that can be seen.
    pixel_size_um : float
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint16]
    cells: tuple[SyntheticCell, ...]
    pixel_size_um: float


def render_field(
    patient: Patient, field: int, size_px: int = 512, pixel_size_um: float = 0.2
) -> SyntheticField:
    """One field of a patient's smear: the image and its truth.

    A pure function of the patient (with its seed), the field's number, size and pixel size.

    Parameters
    ----------
    patient : Patient
    field : int
        Number of the field, from 0.
    size_px : int
        Side of the square image, 32 to 4096.
    pixel_size_um : float
        Side of a pixel in um, 0.05 to 2.

    Raises
    ------
    ValueError
        If field, size or pixel size is out of range.
    """
    if field < 0 or not 32 <= size_px <= 4096 or not 0.05 <= pixel_size_um <= 2:
        raise ValueError(
            f"field {field}, {size_px} px of {pixel_size_um} um: field must be 0 or more, the "
            "size 32 to 4096 px, the pixel 0.05 to 2 um"
        )
    rng = np.random.default_rng([patient.seed, 3, patient.number, field])
    layout = lay_out(patient, size_px * pixel_size_um, rng)
    canvas = Canvas(size_px, pixel_size_um)
    canvas.draw_nucleated(layout, patient, rng)
    canvas.draw_red_cells(layout, patient, rng)
    canvas.draw_film(layout, rng)
    image = _photograph(canvas.od, patient, field, pixel_size_um, rng)
    mask, seen = _truth(canvas.mask, layout)
    return SyntheticField(image, mask, seen, pixel_size_um)


def _photograph(
    od: Plane, patient: Patient, field: int, pixel_size_um: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Optical density (3, H, W) as a camera sees it: stain, light, lens, noise, (H, W, 3)."""
    stain, size = patient.stain, od.shape[1]
    slide = np.random.default_rng([patient.seed, 4, patient.number, field // FIELDS_PER_SLIDE])
    gain = np.asarray(stain.gain) * np.exp(slide.normal(0, 0.03, 3))
    sigma = stain.blur_um / pixel_size_um
    lamp = _lamp(size, rng)
    image = np.empty((size, size, 3), dtype=np.uint8)
    for channel in range(3):
        light = np.exp(od[channel] * np.float32(-gain[channel]))
        light = ndimage.gaussian_filter(light, sigma, mode="nearest", truncate=3.0)
        light *= lamp
        np.power(light, np.float32(stain.gamma), out=light)
        light *= np.float32(stain.background[channel])
        light += np.float32(1.3) * rng.standard_normal((size, size), dtype=np.float32)
        image[..., channel] = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    return image


def _lamp(size: int, rng: np.random.Generator) -> Plane:
    """Brightness over the field, 1 at the lamp's centre and a few per cent less at corners."""
    centre = rng.uniform(0.35, 0.65, 2)
    line = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    squares = (line - np.float32(centre[0]))[:, None] ** 2 + (line - np.float32(centre[1])) ** 2
    return np.asarray(1 - np.float32(rng.uniform(0.02, 0.07)) * squares, dtype=np.float32)


def _truth(
    drawn: NDArray[np.uint16], layout: Layout
) -> tuple[NDArray[np.uint16], tuple[SyntheticCell, ...]]:
    """The mask with numbers of visible cells only, and those cells in that order."""
    total = len(layout.kinds) + 1
    flat = drawn.ravel()
    pixels = np.bincount(flat, minlength=total)
    line = np.arange(drawn.shape[0], dtype=np.float64)
    row_sum = np.bincount(flat, weights=np.repeat(line, drawn.shape[1]), minlength=total)
    column_sum = np.bincount(flat, weights=np.tile(line, drawn.shape[1]), minlength=total)
    number = np.zeros(total, dtype=np.uint16)
    seen: list[SyntheticCell] = []
    for k in range(1, total):
        if pixels[k]:
            centroid = (float(row_sum[k] / pixels[k]), float(column_sum[k] / pixels[k]))
            seen.append(
                SyntheticCell(layout.kinds[k - 1], centroid, 2 * float(layout.radii[k - 1]))
            )
            number[k] = len(seen)
    return number[drawn], tuple(seen)
