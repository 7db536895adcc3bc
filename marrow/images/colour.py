"""Samples of any kind as 8-bit RGB: palettes, CMYK, YCbCr, 16 bit, alpha, orientation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marrow.images.boundary import NoSmear

Pixels = npt.NDArray[np.uint8]


def to_8_bit(samples: npt.NDArray[Any]) -> Pixels:
    """Return unsigned samples of 8 or 16 bits as 8 bits (the high byte, as Pillow does).

    Raises
    ------
    NoSmear
        If the samples are signed, floating or of another width.
    """
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype == np.uint16:
        return (samples >> 8).astype(np.uint8)
    raise NoSmear(
        f"stores samples of type {samples.dtype}; a colour smear has 8 or 16 bit unsigned samples"
    )


def lay_onto_white(rgb: Pixels, alpha: Pixels, *, premultiplied: bool = False) -> Pixels:
    """Return (H, W, 3) RGB as it looks on a white ground; `alpha` is (H, W), 255 opaque."""
    cover = alpha[..., np.newaxis].astype(np.uint16)
    colour = rgb.astype(np.uint16)
    if premultiplied:
        laid = np.minimum(colour + (255 - cover), 255)
    else:
        # at most 255 * 255 + 127, which 16 bits hold
        laid = (colour * cover + 255 * (255 - cover) + 127) // 255
    white_ground: Pixels = laid.astype(np.uint8)
    return white_ground


def from_cmyk(samples: Pixels) -> Pixels:
    """Return (H, W, 3) RGB of (H, W, 4) ink coverages, 255 full ink; no colour profile."""
    paper = 255 - samples.astype(np.uint16)
    rgb: Pixels = ((paper[..., :3] * paper[..., 3:4] + 127) // 255).astype(np.uint8)
    return rgb


def from_ycbcr(samples: Pixels) -> Pixels:
    """Return (H, W, 3) RGB of full-range YCbCr. Source: JFIF 1.02, page 3 (BT.601)."""
    luma = samples[..., 0].astype(np.float32)
    blue, red = (samples[..., i].astype(np.float32) - 128 for i in (1, 2))
    rgb = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
    pixels: Pixels = np.clip(np.rint(np.stack(rgb, axis=-1)), 0, 255).astype(np.uint8)
    return pixels


def fits_ycbcr(samples: Pixels) -> bool:
    """Could these samples be YCbCr? Of RGB pixels, those near white or black could not.

    Only a quarter of all triples are colours when read as YCbCr. With 10 levels of tolerance a
    YCbCr slide has 97 % or more of its pixels inside (resampling moves some out), RGB slides with
    white glass 24 to 52 %; from 90 % on it is taken for YCbCr. A dull picture without any white
    fits both: this test alone decides nothing.
    """
    luma, blue, red = (samples[..., i].astype(np.float32) for i in range(3))
    ends = (luma + 1.402 * (red - 128), luma + 1.772 * (blue - 128))
    inside = [(end >= -10) & (end <= 265) for end in ends]
    return bool((inside[0] & inside[1]).mean() >= 0.90)


def from_palette(indices: npt.NDArray[Any], colormap: npt.NDArray[Any]) -> Pixels:
    """Return (H, W, 3) RGB of (H, W) indices into a TIFF colour map of shape (3, colours)."""
    # The map has 16 bits; some writers fill in 8-bit values all the same.
    colours = colormap >> 8 if colormap.max(initial=0) > 255 else colormap
    table = np.ascontiguousarray(colours.T.astype(np.uint8))
    # a damaged file may point beyond its map: the last colour stands for that
    rgb: Pixels = table.take(indices.astype(np.intp), axis=0, mode="clip")
    return rgb


def orient(pixels: Pixels, orientation: int) -> Pixels:
    """Return the image as it is meant to be seen. Source: EXIF 2.32, tag 0x0112, values 1 to 8."""
    turned = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: a.transpose(1, 0, 2)[::-1],
    }.get(orientation)
    return pixels if turned is None else np.ascontiguousarray(turned(pixels))


def oriented_shape(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Return (height, width) after `orient`."""
    return (width, height) if 5 <= orientation <= 8 else (height, width)
