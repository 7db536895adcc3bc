"""The samples of a TIFF page as RGB, by what its tags say they mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marrow.images import colour
from marrow.images.boundary import NoSmear
from marrow.images.colour import Pixels
from marrow.images.segment_size import JPEG_CODES

_BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 1, 2, 3, 5, 6
_COLOUR = frozenset({_BLACK_IS_ZERO, _RGB, _YCBCR})
_ASSOCIATED, _UNASSOCIATED = 1, 2
_APERIO_YCBCR = 33003


def check_colour(page: Any) -> None:
    """Refuse a page whose samples are no colour picture.

    Raises
    ------
    NoSmear
        With what it is instead.
    """
    samples, photometric = int(page.samplesperpixel), int(page.photometric)
    if photometric == _PALETTE and samples == 1 and page.colormap is not None:
        return
    if samples < 3:
        channels = "one channel" if samples == 1 else f"{samples} channels"
        raise NoSmear(f"is an image of {channels}, no colour smear")
    if samples > 4:
        raise NoSmear(f"has {samples} channels; a colour smear has 3")
    if photometric not in _COLOUR and not (photometric == _CMYK and samples == 4):
        raise NoSmear(f"stores colour in a way that is not read ({page.photometric!s})")
    if page.dtype is None or page.dtype not in (np.uint8, np.uint16):
        kind = page.dtype or f"{page.bitspersample} bit"
        raise NoSmear(f"stores {kind} samples; a colour smear has 8 or 16 bit unsigned ones")


def rgb_of(samples: npt.NDArray[Any], page: Any) -> Pixels:
    """Return uint8 (H, W, 3) of decoded samples (H, W, S)."""
    photometric = int(page.photometric)
    if photometric == _PALETTE:
        return colour.from_palette(samples[..., 0], np.asarray(page.colormap))
    pixels = colour.to_8_bit(samples)
    if photometric == _CMYK:
        return colour.from_cmyk(pixels[..., :4])
    rgb = pixels[..., :3]
    compression = int(page.compression)
    if compression == _APERIO_YCBCR or (photometric == _YCBCR and compression not in JPEG_CODES):
        rgb = colour.from_ycbcr(rgb)
    if pixels.shape[-1] == 4 and page.extrasamples:
        kind = int(page.extrasamples[0])
        if kind in (_ASSOCIATED, _UNASSOCIATED):
            is_premultiplied = kind == _ASSOCIATED
            return colour.lay_onto_white(rgb, pixels[..., 3], premultiplied=is_premultiplied)
    return np.ascontiguousarray(rgb)
