"""The small picture of a whole smear, and which part of it is on the canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from marrow.images.colour import Pixels
from napari_marrow.layers import Placement


class Part(NamedTuple):
    """A rectangle in shares of a smear: 0 is its top or left edge, 1 its bottom or right one."""

    top: float
    left: float
    height: float
    width: float

    @property
    def is_all(self) -> bool:
        """Whether the whole smear lies in it."""
        bottom, right = self.top + self.height, self.left + self.width
        return self.top <= 0 and self.left <= 0 and bottom >= 1 and right >= 1


@dataclass(frozen=True)
class Overview:
    """A small picture of a smear, with what is needed to find one's place in it."""

    pixels: Pixels
    """(h, w, 3) uint8."""
    size_px: tuple[int, int]
    """(height, width) of the smear, level-0 px."""
    placement: Placement

    def part(self, centre: tuple[float, float], zoom: float, canvas_px: tuple[int, int]) -> Part:
        """Which part of the smear a camera shows; may reach beyond the smear.

        Parameters
        ----------
        centre : (row, column)
            Of the camera, in the world.
        zoom : float
            Screen px of a unit of the world.
        canvas_px : (height, width)
            Of the canvas on the screen.
        """
        (height, width), (row_um, column_um) = self.size_px, self.placement.scale
        shown_rows = canvas_px[0] / zoom / row_um / height
        shown_columns = canvas_px[1] / zoom / column_um / width
        row, column = ((centre[0] / row_um + 0.5) / height, (centre[1] / column_um + 0.5) / width)
        return Part(row - shown_rows / 2, column - shown_columns / 2, shown_rows, shown_columns)

    def place(self, down: float, across: float) -> tuple[float, float]:
        """Where in the world a point of the picture lies, (row, column).

        Parameters
        ----------
        down, across : float
            In shares of the picture's height and width, 0 to 1.
        """
        (height, width), (row_um, column_um) = self.size_px, self.placement.scale
        return ((down * height - 0.5) * row_um, (across * width - 0.5) * column_um)
