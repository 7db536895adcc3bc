"""Levels of a slide as lazy arrays, as napari slices them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from marrow.images.colour import Pixels


class _Source(Protocol):
    @property
    def levels(self) -> tuple[tuple[int, int], ...]: ...

    def read(self, level: int, row: int, column: int, height: int, width: int) -> Pixels: ...

    def thumbnail(self, longest_px: int) -> Pixels: ...


class _LazyArray:
    """What napari asks of an array: shape, dtype, ndim, size and basic indexing."""

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, height: int, width: int) -> None:
        self.shape = (height, width, 3)
        self.size = height * width * 3

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, key: Any) -> Pixels:
        keys = self._expanded(key)
        spans = [_span(one, length) for one, length in zip(keys[:2], self.shape[:2], strict=True)]
        if any(low >= high for low, high, _ in spans):
            # a view of one zero: the right empty shape without the memory
            empty: Pixels = np.broadcast_to(np.uint8(0), self.shape)[tuple(keys)]
            return empty
        (top, bottom, rows), (left, right, columns) = spans
        window = self._window(top, left, bottom - top, right - left)
        chosen: Pixels = window[rows, columns, keys[2]]
        return chosen

    def _expanded(self, key: Any) -> list[Any]:
        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys[at : at + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        if len(keys) > self.ndim:
            raise IndexError(f"{len(keys)} indices for an array of {self.ndim} dimensions")
        return keys + [slice(None)] * (self.ndim - len(keys))

    def _window(self, row: int, column: int, height: int, width: int) -> Pixels:
        raise NotImplementedError


def _span(key: Any, length: int) -> tuple[int, int, Any]:
    """Return (low, high) of the pixels needed, and the index to apply to them."""
    if isinstance(key, slice):
        wanted = range(*key.indices(length))
        if not wanted:
            return 0, 0, slice(0)
        low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1]) + 1
        return low, high, slice(None, None, wanted.step)
    number = int(key)
    if not -length <= number < length:
        raise IndexError(f"index {number} is outside an axis of {length} px")
    number %= length
    return number, number + 1, 0


class LazyLevel(_LazyArray):
    """One level of an open smear; every index reads just that window.

    Parameters
    ----------
    smear : SmearImage
        Must stay open while the level is shown.
    level : int
        0 is the finest.
    """

    def __init__(self, smear: _Source, level: int) -> None:
        super().__init__(*smear.levels[level])
        self._smear = smear
        self._level = level

    def _window(self, row: int, column: int, height: int, width: int) -> Pixels:
        return self._smear.read(self._level, row, column, height, width)


class OverviewLevel(_LazyArray):
    """A small picture of the whole slide, made on first use and kept.

    Parameters
    ----------
    smear : SmearImage
        Must be open until the first use.
    edges : (height, width)
        In px.
    """

    def __init__(self, smear: _Source, edges: tuple[int, int]) -> None:
        super().__init__(*edges)
        self._smear = smear
        self._pixels: Pixels | None = None

    def _window(self, row: int, column: int, height: int, width: int) -> Pixels:
        if self._pixels is None:
            self._pixels = self._smear.thumbnail(max(self.shape[:2]))
        return self._pixels[row : row + height, column : column + width]
