"""Records to layer data."""

from __future__ import annotations

import numpy as np
import pytest

from marrow.records import AnswerMap
from marrow.schemes import AA_MDS_AML
from napari_marrow.layers import class_index, heatmap, map_values, outline, smear_placement


def stored(kind: str = "activation") -> AnswerMap:
    values = np.arange(5 * 2 * 3, dtype="<f2").reshape(5, 2, 3) / 30
    values[4, 0, 0] = np.nan
    return AnswerMap(kind, values.tobytes(), (5, 2, 3), (40.0, 20.0))  # type: ignore[arg-type]


def test_finds_a_class_among_the_classes_of_all_heads() -> None:
    assert class_index(AA_MDS_AML, "mds", "MDS") == 1
    assert class_index(AA_MDS_AML, "diagnosis", "AA") == 2
    with pytest.raises(KeyError):
        class_index(AA_MDS_AML, "mds", "AML")
    with pytest.raises(KeyError):
        class_index(AA_MDS_AML, "lineage", "GRAN")


def test_a_heatmap_stays_small_and_covers_the_smear_exactly() -> None:
    drawn = heatmap(stored(), AA_MDS_AML, "diagnosis", "AML", None)
    assert drawn.values.shape == (2, 3)
    assert drawn.values.dtype == np.float32
    scale, translate = np.array(drawn.placement.scale), np.array(drawn.placement.translate)
    # napari's pixel k covers k - 0.5 to k + 0.5: the map's edges are the smear's, 80 x 60 px
    assert translate - scale / 2 == pytest.approx([-0.5, -0.5])
    assert translate + scale * (np.array([2, 3]) - 0.5) == pytest.approx([79.5, 59.5])
    assert drawn.placement.unit == "pixel"


def test_a_heatmap_lies_in_um_where_the_smear_does() -> None:
    drawn = heatmap(stored(), AA_MDS_AML, "diagnosis", "AA", 0.25)
    assert drawn.placement.scale == (10.0, 5.0)
    assert drawn.placement.unit == smear_placement(0.25).unit == "um"


def test_evidence_is_scaled_by_the_head_and_a_probability_is_not() -> None:
    classes = [
        heatmap(stored(), AA_MDS_AML, "diagnosis", one, None) for one in ("AA", "MDS", "AML")
    ]
    top = float(np.nanmax(map_values(stored())[2:]))
    assert {one.contrast for one in classes} == {(0.0, top)}
    assert all(one.is_smooth for one in classes)
    tiles = heatmap(stored("tiles"), AA_MDS_AML, "diagnosis", "AML", None)
    assert tiles.contrast == (0.0, 1.0)
    assert not tiles.is_smooth
    assert np.isnan(tiles.values[0, 0])


def test_a_shape_is_a_polygon_only_if_it_has_an_area() -> None:
    box = np.array([[0, 0], [0, 10], [20, 10], [20, 0]], float)
    assert outline(box, "rectangle") == ((0, 0), (0, 10), (20, 10), (20, 0))
    assert outline(box, "path") is None
    assert outline(box[:2], "polygon") is None


def test_an_ellipse_becomes_a_polygon_of_its_area() -> None:
    box = np.array([[0, 0], [0, 10], [20, 10], [20, 0]], float)
    polygon = np.array(outline(box, "ellipse"))
    rows, columns = polygon.T
    area = abs(np.dot(rows, np.roll(columns, 1)) - np.dot(columns, np.roll(rows, 1))) / 2
    assert area == pytest.approx(np.pi * 10 * 5, rel=0.003)  # as ELLIPSE_VERTICES says
    assert polygon.mean(axis=0) == pytest.approx([10, 5])
