"""An open smear: levels of pixels, read lazily, in one form for fields and slides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from marrow.errors import UnreadableSmear
from marrow.images.boundary import decoding
from marrow.images.budget import PIXELS_IN_FLIGHT
from marrow.images.colour import Pixels
from marrow.images.lazy_levels import LazyLevel, OverviewLevel
from marrow.images.limits import MEGA, SLIDE_PIXELS, WHOLE_PIXELS
from marrow.images.resize import reduce, resize

_WHITE = 255
# A thumbnail of a level larger than this is averaged band by band.
_THUMBNAIL_BAND_PIXELS = 16 * MEGA
# napari gets an extra overview where the coarsest level is larger than this (a texture's edge).
_LONGEST_COARSE_PX, _OVERVIEW_PX = 4096, 2048


class Level(Protocol):
    """One resolution of a smear."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in px."""

    def read(self, row: int, column: int, height: int, width: int) -> Pixels:
        """Return a window that lies wholly inside, uint8 (height, width, 3), never shared."""


class WholeLevel:
    """A level that can only be decoded as a whole; kept for the next window while there is room.

    Parameters
    ----------
    shape : (height, width)
        In px, as `decode` returns them.
    decode : callable
        Returns all pixels, uint8 (height, width, 3), in an array nobody else holds.
    cost_bytes : int
        What decoding takes at its worst moment.

    Raises
    ------
    TooLarge
        If that is more than the whole budget: better said on opening than on reading.
    """

    def __init__(
        self, shape: tuple[int, int], decode: Callable[[], Pixels], cost_bytes: int
    ) -> None:
        PIXELS_IN_FLIGHT.check(cost_bytes)
        self.shape = shape
        self._decode = decode
        self._cost_bytes = cost_bytes

    def read(self, row: int, column: int, height: int, width: int) -> Pixels:
        if (row, column, height, width) == (0, 0, *self.shape):
            kept = PIXELS_IN_FLIGHT.kept(self)
            return self._decoded() if kept is None else kept.copy()
        pixels = PIXELS_IN_FLIGHT.kept(self)
        if pixels is None:
            pixels = self._decoded()
            PIXELS_IN_FLIGHT.keep(self, pixels)
        return pixels[row : row + height, column : column + width].copy()

    def _decoded(self) -> Pixels:
        with PIXELS_IN_FLIGHT.reserve(self._cost_bytes):
            return self._decode()

    def forget(self) -> None:
        """Give up the kept pixels."""
        PIXELS_IN_FLIGHT.drop(self)


class SmearImage:
    """An open smear. A context manager; safe to use from one thread at a time.

    Attributes
    ----------
    path : Path
        The file that was opened.
    levels : tuple of (height, width)
        In px, finest first; at least one.
    pixel_size_um : float or None
        Edge of a pixel of level 0, 0.02 to 10 um; None if unknown or implausible, and then
        `warnings` says why.
    warnings : tuple of str
        What a person should know, one sentence each.
    is_slide : bool
        Has several levels, or more than 25 megapixels: worked on by tiles.
    """

    def __init__(
        self,
        path: Path,
        levels: Sequence[Level],
        pixel_size_um: float | None = None,
        warnings: Sequence[str] = (),
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self.levels = tuple(level.shape for level in levels)
        self.pixel_size_um = pixel_size_um
        self.warnings = tuple(warnings)
        height, width = self.levels[0]
        self.is_slide = len(self.levels) > 1 or height * width > SLIDE_PIXELS
        self._levels = tuple(levels)
        self._close = close
        self._is_closed = False
        self._lock = threading.RLock()

    def read(self, level: int, row: int, column: int, height: int, width: int) -> Pixels:
        """Return a window of one level, white outside the image.

        Parameters
        ----------
        level : int
            0 is the finest.
        row, column : int
            Top left corner in px of that level; may lie outside.
        height, width : int
            In px of that level, at least 1.

        Returns
        -------
        uint8 array (height, width, 3)

        Raises
        ------
        ValueError
            If there is no such level, the window is empty or the smear is closed.
        UnreadableSmear
            If the window cannot be decoded, or is larger than all memory allowed for pixels.
        """
        if not 0 <= level < len(self.levels) or height < 1 or width < 1:
            raise ValueError(
                f"no window of {height} x {width} px in level {level} of {len(self.levels)}"
            )
        with self._lock, decoding(self.path):
            if self._is_closed:
                raise ValueError("the smear was closed")
            PIXELS_IN_FLIGHT.check(height * width * 3)
            return self._read_padded(self._levels[level], row, column, height, width)

    @staticmethod
    def _read_padded(level: Level, row: int, column: int, height: int, width: int) -> Pixels:
        top, left = max(row, 0), max(column, 0)
        bottom = min(row + height, level.shape[0])
        right = min(column + width, level.shape[1])
        if (top, left, bottom, right) == (row, column, row + height, column + width):
            return level.read(row, column, height, width)
        window = np.full((height, width, 3), _WHITE, np.uint8)
        if top < bottom and left < right:
            inside = level.read(top, left, bottom - top, right - left)
            window[top - row : bottom - row, left - column : right - column] = inside
        return window

    def whole(self, level: int = 0) -> Pixels:
        """Return all of one level, uint8 (H, W, 3).

        Raises
        ------
        UnreadableSmear
            If it cannot be decoded or has over 200 megapixels.
        """
        height, width = self.levels[level]
        if height * width > WHOLE_PIXELS:
            raise UnreadableSmear(
                self.path,
                f"level {level} has {height * width / MEGA:.0f} megapixels; at most "
                f"{WHOLE_PIXELS // MEGA} are read at once: read it by windows",
            )
        return self.read(level, 0, 0, height, width)

    def thumbnail(self, longest_px: int) -> Pixels:
        """Return the whole smear, its longer edge `longest_px` (never enlarged), antialiased.

        Returns
        -------
        uint8 array (h, w, 3)
        """
        height, width = self.levels[0]
        downsample = max(1.0, max(height, width) / longest_px)
        wanted = (max(1, round(height / downsample)), max(1, round(width / downsample)))
        level = self.level_for(downsample)
        height, width = self.levels[level]
        # Averaged to no less than twice what is wanted, so that the last step still filters.
        factor = max(1, int(min(height / wanted[0], width / wanted[1]) / 2))
        if height * width <= _THUMBNAIL_BAND_PIXELS or factor == 1:
            return resize(self.whole(level), *wanted)
        band = max(1, _THUMBNAIL_BAND_PIXELS // (width * factor)) * factor
        bands = [
            reduce(self.read(level, row, 0, min(band, height - row), width), factor)
            for row in range(0, height, band)
        ]
        return resize(np.concatenate(bands), *wanted)

    def level_for(self, downsample: float) -> int:
        """Return the coarsest level that is at least as fine as `downsample` (1 is level 0)."""
        fitting = (
            number
            for number in range(len(self.levels))
            # a level's edges are rounded to whole pixels: 2.0005 serves for 2
            if self.downsample(number) <= downsample * 1.01
        )
        return max(fitting, default=0)

    def downsample(self, level: int) -> float:
        """Return how many px of level 0 one px of `level` covers, along one edge."""
        (height, width), (rows, columns) = self.levels[0], self.levels[level]
        return (height / rows + width / columns) / 2

    def multiscale(self) -> list[LazyLevel | OverviewLevel | Pixels]:
        """Return the levels for napari: lazy arrays (H, W, 3) uint8; for a field its pixels.

        The lazy arrays read from this smear: keep it open as long as they are shown. Where even
        the coarsest level is too large to draw, an overview made on first use follows it.
        """
        if not self.is_slide:
            return [self.whole()]
        shown: list[LazyLevel | OverviewLevel | Pixels] = [
            LazyLevel(self, number) for number in range(len(self.levels))
        ]
        height, width = self.levels[-1]
        longest = max(height, width)
        if longest > _LONGEST_COARSE_PX:
            downsample = longest / _OVERVIEW_PX
            edges = max(1, round(height / downsample)), max(1, round(width / downsample))
            shown.append(OverviewLevel(self, edges))
        return shown

    def close(self) -> None:
        """Give up file and memory; closing twice does nothing."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            for level in self._levels:
                if isinstance(level, WholeLevel):
                    level.forget()
            with decoding(self.path):
                self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
