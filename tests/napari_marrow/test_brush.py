"""From a stroke to its outline, against areas worked out by hand and by counting cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from marrow.schemes import AA_MDS_AML, Scheme
from napari_marrow.brush import signed_area, stroke_outline
from napari_marrow.region_kinds import (
    CLASS_COLOURS,
    ROLE_COLOURS,
    RegionKind,
    region_colour,
    region_kinds,
)

RADIUS = 10.0


def area(polygon: object) -> float:
    return abs(signed_area(np.array(polygon)))


def near(stroke: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which cells a stroke covers, by the distance of each cell to each of its points."""
    cells = np.stack(np.mgrid[: shape[0], : shape[1]], axis=-1).reshape(-1, 2)
    distances = np.full(len(cells), np.inf)
    for point in stroke:
        distances = np.minimum(distances, np.hypot(*(cells - point).T))
    return (distances <= RADIUS).reshape(shape)


def test_a_dot_is_a_disc() -> None:
    outline = stroke_outline(np.array([[50.0, 70.0]]), RADIUS)
    assert outline.holes == ()
    (polygon,) = outline.outer
    assert area(polygon) == pytest.approx(np.pi * RADIUS**2, rel=0.02)
    distances = np.hypot(*(np.array(polygon) - [50, 70]).T)
    # the contour is interpolated in cells of a fifth of a radius
    assert distances == pytest.approx(np.full(len(polygon), RADIUS), rel=0.01)


@pytest.mark.parametrize("end", [(0.0, 300.0), (200.0, 150.0), (20_000.0, 20_000.0)])
def test_a_straight_stroke_is_a_stadium(end: tuple[float, float]) -> None:
    stroke = np.linspace((0.0, 0.0), end, 200)
    (polygon,) = stroke_outline(stroke, RADIUS).outer
    wanted = np.pi * RADIUS**2 + 2 * RADIUS * float(np.hypot(*end))
    assert area(polygon) == pytest.approx(wanted, rel=0.01)


def test_a_crossing_stroke_is_one_polygon_that_covers_its_cells() -> None:
    angles = np.linspace(0, 2 * np.pi, 400)
    stroke = np.stack([80 + 50 * np.sin(2 * angles), 100 + 70 * np.sin(angles)], axis=-1)
    outline = stroke_outline(stroke, RADIUS)
    (polygon,) = outline.outer
    covered, wanted = polygon2mask((160, 200), np.array(polygon)), near(stroke, (160, 200))
    assert len(outline.holes) == 2  # of the figure of eight
    for hole in outline.holes:
        covered &= ~polygon2mask((160, 200), np.array(hole))
    # the outline may be off by a fraction of a cell: a share of its length of some 300 cells
    assert np.count_nonzero(covered != wanted) < 0.03 * np.count_nonzero(wanted)


def test_a_ring_leaves_a_hole() -> None:
    angles = np.linspace(0, 2 * np.pi, 300)
    ring = 100 * np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    outline = stroke_outline(ring, RADIUS)
    assert [area(one) for one in outline.outer] == pytest.approx([np.pi * 110**2], rel=0.01)
    assert [area(one) for one in outline.holes] == pytest.approx([np.pi * 90**2], rel=0.01)


def test_a_gap_that_is_smaller_than_the_brush_is_no_hole() -> None:
    angles = np.linspace(0, 2 * np.pi, 100)
    ring = 15 * np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    assert stroke_outline(ring, RADIUS).holes == ()


def test_the_outline_has_few_points_where_it_is_straight() -> None:
    (polygon,) = stroke_outline(np.array([[0.0, 0.0], [0.0, 80.0]]), RADIUS).outer
    assert len(polygon) < 60
    assert len(set(polygon)) == len(polygon)


def test_refuses_a_stroke_of_nothing() -> None:
    for points, radius in ((np.empty((0, 2)), 1.0), (np.zeros((1, 2)), 0.0)):
        with pytest.raises(ValueError, match="no stroke"):
            stroke_outline(points, radius)


def test_regions_can_say_each_class_that_is_asked() -> None:
    kinds = region_kinds(AA_MDS_AML)
    assert [kind.title for kind in kinds] == ["use", "exclude", "AA", "MDS", "AML"]
    colours = [region_colour(kind, kinds) for kind in kinds]
    assert len(set(colours)) == len(colours)
    assert colours[:2] == [ROLE_COLOURS["use"], ROLE_COLOURS["exclude"]]
    assert colours[2] == CLASS_COLOURS[0]
    assert region_colour(RegionKind("class", "else"), kinds) == ROLE_COLOURS["class"]


def test_a_class_that_two_heads_have_is_told_with_its_head() -> None:
    scheme = Scheme.model_validate(
        {
            "name": "two",
            "unit": "image",
            "primary": "one",
            "heads": [
                {"name": "one", "classes": ["A", "B", "C"]},
                {"name": "other", "classes": ["C", "D", "E"]},
            ],
        }
    )
    names = [kind.class_name for kind in region_kinds(scheme)[2:]]
    assert names == ["A", "B", "one: C", "other: C", "D", "E"]


def test_the_example_schemes_have_kinds() -> None:
    for file in ("cells.toml", "subtypes.toml"):
        scheme = Scheme.from_toml(Path(__file__).parents[2] / "examples" / file)
        kinds = region_kinds(scheme)
        assert len(set(kinds)) == len(kinds) > 3
