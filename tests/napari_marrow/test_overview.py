"""Which part of a smear a camera shows."""

from __future__ import annotations

import numpy as np
import pytest

from napari_marrow.layers import smear_placement
from napari_marrow.overview import Overview, Part

PIXELS = np.zeros((100, 200, 3), np.uint8)


@pytest.mark.parametrize("um", [None, 0.25])
def test_the_part_on_the_canvas(um: float | None) -> None:
    scale = um or 1.0
    overview = Overview(PIXELS, (1000, 2000), smear_placement(um))
    # the centre of the smear, 500 x 500 screen px, 2 screen px a pixel
    centre = (499.5 * scale, 999.5 * scale)
    part = overview.part(centre, 2 / scale, (500, 500))
    assert part == pytest.approx(Part(0.375, 0.4375, 0.25, 0.125))
    assert not part.is_all
    assert overview.part(centre, 0.25 / scale, (500, 500)).is_all


@pytest.mark.parametrize("um", [None, 0.25])
def test_a_place_in_the_picture_is_the_centre_of_what_it_shows(um: float | None) -> None:
    overview = Overview(PIXELS, (1000, 2000), smear_placement(um))
    for down, across in ((0.0, 0.0), (0.3, 0.9), (1.0, 1.0)):
        part = overview.part(overview.place(down, across), 3.0, (400, 300))
        assert part.top + part.height / 2 == pytest.approx(down)
        assert part.left + part.width / 2 == pytest.approx(across)
