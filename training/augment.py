"""Copies of training views: the eight methods of Wang et al. 2022, and the gentle preset.

The eight are those of Keras's ImageDataGenerator, one change a copy. They squeeze, lean and cut
off cells, which distorts cytology: they stay for comparison with the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from marrow.records import Augment
from training.affine import Map, about_centre, rotation, shear, shift, to_uint8, warp, zoom
from training.draws import between, uniform_draws
from training.gentle import change_gently, gentle_draw
from training.zca import ConvZCA, Whitening

AFFINE = ("rotation", "width-shift", "height-shift", "shear", "zoom")
"""Drawn anew for each copy; the paper makes three copies by each."""
FLIPS = ("horizontal-flip", "vertical-flip")
"""Horizontal exchanges left and right, as the word is commonly used; the paper says it of up
and down. Both are made, so that the set is the same."""
METHODS = (*AFFINE, *FLIPS, "zca")
"""The paper's eight."""
PER_METHOD = 3
"""Copies by each method in the paper; of flips and whitening, all three are the same."""


class Copy(NamedTuple):
    """One copy of a view."""

    method: str
    """`original`, one of `METHODS`, `convzca`, or `gentle`."""
    number: int
    """Which copy by that method, from 0."""


class Seed8(NamedTuple):
    """Ranges of the affine methods; the defaults are the paper's, as Keras reads them."""

    degrees: float = 35.0
    """Rotation, U(-35, 35)."""
    is_exact: bool = False
    """Rotate by -35 or 35 degrees and nothing between, as the paper's text has it; then three
    copies have no more than two different angles."""
    width_shift: float = 0.35
    """Share of the width, U(-0.35, 0.35). The paper says 35% and, in another place, 40%."""
    height_shift: float = 0.35
    """Share of the height, U(-0.35, 0.35)."""
    shear_degrees: float = 35.0
    """U(-35, 35)."""
    zoom: tuple[float, float] = (0.65, 1.35)
    """Factor on the place that is read, drawn for each axis apart: below 1 is closer."""
    is_isotropic: bool = False
    """Zoom both axes alike; with `zoom` (0.65, 1) the paper's "closer"."""


SEED8 = Seed8()


def copies_of(preset: Augment, copies: int) -> tuple[Copy, ...]:
    """The distinct copies of each training view, the original first.

    Parameters
    ----------
    preset : str
        `none`: the original alone; `gentle`; or `seed8`: three of each affine method, and one
        of each flip and of whitening, 18 in all.
    copies : int
        Of `gentle` alone: how many beside the original.
    """
    original = (Copy("original", 0),)
    if preset == "none":
        return original
    if preset == "gentle":
        return original + tuple(Copy("gentle", number) for number in range(copies))
    return original + tuple(copy for copy, _ in seed2022_copies())


def seed2022_copies() -> tuple[tuple[Copy, int], ...]:
    """The paper's 24 copies of a smear: 18 distinct ones, each with how often it counts.

    Three by each of eight methods; the original is not among them.
    """
    drawn = tuple((Copy(method, n), 1) for method in AFFINE for n in range(PER_METHOD))
    fixed = tuple((Copy(method, 0), PER_METHOD) for method in METHODS if method not in AFFINE)
    return drawn + fixed


def affine_draw(seed: int, place: str, copy: Copy, ranges: Seed8 = SEED8) -> Mapping[str, float]:
    """What an affine copy is made with, by the name of the parameter.

    Returns
    -------
    dict of float
        One of {degrees}, {columns} (share of the width), {rows} (share of the height),
        {shear_degrees}, or {zoom_rows, zoom_columns}.
    """
    method, number = copy
    first, second = uniform_draws((seed, place, method, number), 2)
    if method == "rotation":
        if ranges.is_exact:
            return {"degrees": ranges.degrees if first >= 0.5 else -ranges.degrees}
        return {"degrees": between(-ranges.degrees, ranges.degrees, first)}
    if method == "width-shift":
        return {"columns": between(-ranges.width_shift, ranges.width_shift, first)}
    if method == "height-shift":
        return {"rows": between(-ranges.height_shift, ranges.height_shift, first)}
    if method == "shear":
        return {"shear_degrees": between(-ranges.shear_degrees, ranges.shear_degrees, first)}
    second = first if ranges.is_isotropic else second
    return {
        "zoom_rows": between(*ranges.zoom, first),
        "zoom_columns": between(*ranges.zoom, second),
    }


def affine_map(drawn: Mapping[str, float], height_px: int, width_px: int) -> Map:
    """The map of `affine_draw`'s parameters on an image of this size, about its centre."""
    if "degrees" in drawn:
        own = rotation(drawn["degrees"])
    elif "shear_degrees" in drawn:
        own = shear(drawn["shear_degrees"])
    elif "zoom_rows" in drawn:
        own = zoom(drawn["zoom_rows"], drawn["zoom_columns"])
    else:
        own = shift(drawn.get("rows", 0.0) * height_px, drawn.get("columns", 0.0) * width_px)
    return about_centre(own, height_px, width_px)


def make_copies(
    pixels: torch.Tensor,
    places: Sequence[str],
    copies: Sequence[Copy],
    seed: int,
    whitening: Whitening | ConvZCA | None = None,
    ranges: Seed8 = SEED8,
) -> torch.Tensor:
    """Each row's copy of its view; a row depends on nothing but itself, bit for bit.

    Parameters
    ----------
    pixels : uint8, (B, 3, H, W)
        Any memory format, any device.
    places : sequence of B str
        Name of each view: the smear's identity, and of a tile ":row:column" after it.
    copies : sequence of B Copy
        What becomes of each row; an `original` comes back as it is.
    seed : int
        The parameters of a copy are a pure function of (seed, place, method, number): the same
        in whatever batch, order and machine. Pixels computed on another kind of processor may
        be rounded to the neighbouring grey level.
    whitening : Whitening or ConvZCA
        Fitted on training patients; for rows of its method, `zca` or `convzca`.
    ranges : Seed8
        Of the affine methods.

    Returns
    -------
    uint8, (B, 3, H, W), on the same device and in the same memory format

    Raises
    ------
    ValueError
        If a method is unknown, or its whitening is missing.
    """
    made = pixels.clone()
    by_kind: dict[str, list[int]] = {}
    for row, copy in enumerate(copies):
        kind = "affine" if copy.method in AFFINE else copy.method
        by_kind.setdefault(kind, []).append(row)
    for kind, rows in by_kind.items():
        own, names = pixels[rows], [(places[row], copies[row]) for row in rows]
        if kind == "affine":
            made[rows] = _affine(own, names, seed, ranges)
        elif kind == "gentle":
            made[rows] = _gentle(own, names, seed)
        elif kind in FLIPS:
            made[rows] = own.flip(3 if kind == "horizontal-flip" else 2)
        elif whitening is not None and kind == whitening.method:
            made[rows] = whitening.apply(own)
        elif kind != "original":
            raise ValueError(f"no copy is made by {kind!r} with whitening {whitening!r}")
    return made


_Names = Sequence[tuple[str, Copy]]
"""Place and copy of each row."""


def _affine(pixels: torch.Tensor, names: _Names, seed: int, ranges: Seed8) -> torch.Tensor:
    height, width = pixels.shape[2:]
    drawn = [affine_draw(seed, place, copy, ranges) for place, copy in names]
    maps = [affine_map(one, height, width) for one in drawn]
    return to_uint8(warp(pixels.float(), maps, "border"))


def _gentle(pixels: torch.Tensor, names: _Names, seed: int) -> torch.Tensor:
    is_square = pixels.shape[2] == pixels.shape[3]
    changes = [gentle_draw(seed, place, copy.number, is_square) for place, copy in names]
    return change_gently(pixels, changes)
