"""The canvas on a viewer without a window."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.settings import get_settings
from PIL import Image

from marrow.images import open_smear
from marrow.records import Region, Smear
from marrow.schemes import AA_MDS_AML
from napari_marrow.canvas import EVIDENCE_COLOURS, SmearCanvas
from napari_marrow.desks.smears import SmearFacts, SmearPicture, SmearPixels
from napari_marrow.layers import (
    HEATMAP_LAYER,
    REGIONS_LAYER,
    SMEAR_LAYER,
    drawn_form,
    heatmap,
)
from napari_marrow.overview import Overview
from napari_marrow.region_kinds import region_kinds
from napari_marrow.region_layer import BRUSH_ON_SCREEN, EDGE_ON_SCREEN

MakePicture = Callable[..., SmearPicture]


@pytest.fixture
def make_picture(tmp_path: Path) -> MakePicture:
    def make(
        number: int,
        shape: tuple[int, int],
        um: float | None = None,
        regions: tuple[Region, ...] = (),
    ) -> SmearPicture:
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((*shape, 3), 10 * number, np.uint8)).save(path)
        image = open_smear(path)
        smear = Smear(
            id=number,
            identity="0" * 64,
            root="local",
            path=str(path),
            height_px=shape[0],
            width_px=shape[1],
            is_slide=False,
            pixel_size_um=um,
        )
        levels = image.multiscale()
        facts = SmearFacts(smear, regions, None, None, "words", "")
        return SmearPicture(facts, SmearPixels(number, levels, np.asarray(levels[-1]), image))

    return make


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def wait_for_slicer(viewer: ViewerModel) -> None:
    """It works in order: what was asked of it before is done."""
    viewer._layer_slicer._executor.submit(int).result(10)


def region(role: str) -> Region:
    return Region.model_validate(
        {
            "id": 1,
            "smear_id": 1,
            "role": role,
            "polygon": ((1, 2), (1, 12), (9, 12)),
            "reader": "A",
        }
    )


def test_layers_persist_while_smears_change(viewer: ViewerModel, make_picture: MakePicture) -> None:
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (40, 60)))
    first = list(viewer.layers)
    canvas.show(make_picture(2, (80, 30), um=0.5))
    assert list(viewer.layers) == first
    layer = viewer.layers[SMEAR_LAYER]
    assert layer.data[0].shape == (80, 30, 3)
    assert layer.data[0][0, 0, 0] == 20
    assert tuple(layer.scale) == (0.5, 0.5)
    assert viewer.canvas.overlays.scale_bar.visible
    assert {str(one.units[0]) for one in viewer.layers} == {"micrometer"}
    canvas.show(make_picture(3, (40, 60)))
    assert not viewer.canvas.overlays.scale_bar.visible
    assert {str(one.units[0]) for one in viewer.layers} == {"pixel"}


def test_the_view_is_of_the_smear_whatever_a_person_has_added(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (40, 60), 0.2))
    zoom, centre = viewer.camera.zoom, viewer.camera.center
    own = viewer.layers[SMEAR_LAYER]
    viewer.add_labels(np.zeros((400, 600), int), scale=(1.0, 1.0), units=own.units)
    canvas.show(make_picture(2, (40, 60), 0.2))
    assert viewer.camera.zoom == pytest.approx(zoom)
    assert viewer.camera.center == pytest.approx(centre)


def test_the_heatmap_is_drawn_between_smear_and_regions_over_the_whole_smear(
    viewer: ViewerModel, make_picture: MakePicture, pretend_answer: Callable[..., object]
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (128, 128), um=0.25))
    _answer, drawn = pretend_answer(AA_MDS_AML, 1)  # type: ignore[misc]
    canvas.show_heatmap(heatmap(drawn, AA_MDS_AML, "diagnosis", "AML", 0.25))
    canvas.set_opacity(0.3)
    assert [layer.name for layer in viewer.layers] == [SMEAR_LAYER, HEATMAP_LAYER, REGIONS_LAYER]
    layer = viewer.layers[HEATMAP_LAYER]
    assert layer.data.shape == (8, 8)
    assert layer.opacity == pytest.approx(0.3)
    # the map's first and last cell centres, half a cell of 16 px (4 um) inside the smear
    assert layer.extent.world == pytest.approx(
        viewer.layers[SMEAR_LAYER].extent.world + np.array([[1.875], [-1.875]])
    )
    canvas.show(make_picture(2, (128, 128)))
    assert not layer.visible
    canvas.show_heatmap(heatmap(drawn, AA_MDS_AML, "mds", "MDS", None))
    assert layer.visible
    assert len(viewer.layers) == 3


def test_evidence_against_a_class_and_missing_tiles_are_clear(viewer: ViewerModel) -> None:
    colours = EVIDENCE_COLOURS.map(np.array([0.0, 1.0, np.nan]))
    assert colours[:, 3] == pytest.approx([0.0, 1.0, 0.0])


def test_a_layer_that_a_person_removed_comes_back(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (40, 60)))
    viewer.layers.remove(SMEAR_LAYER)
    viewer.layers.remove(REGIONS_LAYER)
    canvas.show(make_picture(2, (40, 60)))
    assert [layer.name for layer in viewer.layers] == [SMEAR_LAYER, REGIONS_LAYER]


def test_an_untouched_region_comes_back_in_its_drawn_form(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    polygon = ((1.1, 2.7), (1.3, 12.9), (9.123456789, 12.2))  # no float32 is one of these
    stored = region("use").model_copy(update={"polygon": polygon})
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (40, 60), regions=(stored,)))
    (found,) = canvas.regions.regions()
    assert found == drawn_form(stored)
    assert found.polygon != polygon


def test_stored_regions_are_shown_and_come_back_as_they_were(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    told: list[int] = []
    canvas.regions.drawn.connect(lambda: told.append(1))
    canvas.show(make_picture(1, (40, 60), regions=(region("use"), region("exclude"))))
    assert [one.role for one in canvas.regions.regions()] == ["use", "exclude"]
    assert canvas.regions.regions()[0].polygon == ((1, 2), (1, 12), (9, 12))
    canvas.show(make_picture(2, (40, 60)))
    assert canvas.regions.regions() == []
    assert told == []  # showing another smear is no drawing


def test_what_is_drawn_is_told_with_the_chosen_role(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (40, 60), um=0.5, regions=(region("use"),)))
    told: list[list[str]] = []
    canvas.regions.drawn.connect(
        lambda: told.append([one.role for one in canvas.regions.regions()])
    )
    canvas.regions.draw("exclude", "rectangle")
    layer = canvas.regions.layer
    assert layer is not None
    assert str(layer.mode) == "add_rectangle"
    layer.add([np.array([[0, 0], [0, 5], [5, 5], [5, 0]])], shape_type="rectangle")
    assert told == [["use", "exclude"]]
    layer.selected_data = {0}
    layer.remove_selected()
    assert told[-1] == ["exclude"]


def test_the_file_of_the_smear_before_is_closed(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    first, second = make_picture(1, (40, 60)), make_picture(2, (40, 60))
    canvas.show(first)
    canvas.show(second)
    wait_for_slicer(viewer)
    with pytest.raises(ValueError, match="closed"):
        first.pixels.image.read(0, 0, 0, 4, 4)
    second.pixels.image.read(0, 0, 0, 4, 4)
    canvas.close()
    wait_for_slicer(viewer)
    with pytest.raises(ValueError, match="closed"):
        second.pixels.image.read(0, 0, 0, 4, 4)


def test_a_smear_that_is_still_being_read_is_closed_behind_it(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    first, second = make_picture(1, (40, 60)), make_picture(2, (40, 60))
    canvas.show(first)
    may_read = threading.Event()

    def read_slowly() -> object:
        assert may_read.wait(10)
        return first.pixels.image.read(0, 0, 0, 4, 4)

    reading = viewer._layer_slicer._executor.submit(read_slowly)
    canvas.show(second)  # does not wait
    canvas.close()
    may_read.set()
    assert reading.exception(10) is None
    wait_for_slicer(viewer)
    with pytest.raises(ValueError, match="closed"):
        first.pixels.image.read(0, 0, 0, 4, 4)


def test_a_smear_is_closed_at_once_where_the_viewer_slices_no_more(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    picture = make_picture(1, (40, 60))
    canvas.show(picture)
    viewer._layer_slicer.shutdown()
    canvas.close()
    with pytest.raises(ValueError, match="closed"):
        picture.pixels.image.read(0, 0, 0, 4, 4)


def test_a_slide_is_sliced_on_a_thread_and_the_persons_setting_stays(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (40, 60)))
    assert viewer._layer_slicer._force_sync
    field = make_picture(2, (40, 60))
    slide = field.facts.smear.model_copy(update={"is_slide": True})
    canvas.show(replace(field, facts=replace(field.facts, smear=slide)))
    assert not viewer._layer_slicer._force_sync
    assert not get_settings().experimental.async_


def test_a_cleared_canvas_shows_nothing_and_takes_the_next_smear(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    square = Region(id=1, smear_id=1, role="use", polygon=((0, 0), (0, 9), (9, 9)), reader="A")
    canvas = SmearCanvas(viewer)
    canvas.clear()  # nothing to clear yet
    canvas.show(make_picture(1, (40, 50), regions=(square,)))
    canvas.clear()
    assert not viewer.layers[SMEAR_LAYER].visible
    assert viewer.layers[REGIONS_LAYER].nshapes == 0
    assert not viewer.canvas.overlays.text.visible
    canvas.show(make_picture(2, (40, 50)))
    assert viewer.layers[SMEAR_LAYER].visible
    canvas.close()


def test_a_smear_that_cannot_be_read_leaves_nothing_but_words(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    overviews: list[Overview | None] = []
    canvas.overview_changed.connect(overviews.append)
    canvas.set_label_words("LABEL MODE")
    canvas.show(make_picture(1, (40, 50), um=0.2, regions=(region("use"),)))
    canvas.set_words("S000001")
    assert words_on(viewer) == "LABEL MODE\nS000001"
    canvas.show_unread("S000002\nfield.png cannot be shown: damaged")
    assert words_on(viewer) == "LABEL MODE\nS000002\nfield.png cannot be shown: damaged"
    layer = viewer.layers[SMEAR_LAYER]
    assert not layer.visible
    assert layer.data[0].shape == (1, 1, 3)  # the eye in the layer list brings nothing back
    assert canvas.regions.regions() == []
    assert not viewer.canvas.overlays.scale_bar.visible
    first, last = overviews
    assert first is not None
    assert first.size_px == (40, 50)
    assert last is None
    canvas.set_label_words("")
    canvas.clear()
    assert not viewer.canvas.overlays.text.visible


def test_words_and_scale_bar_stand_on_a_ground_of_their_own(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (40, 50), um=0.2))
    canvas.set_words("S000001")
    for overlay in (viewer.canvas.overlays.text, viewer.canvas.overlays.scale_bar):
        assert overlay.box
        ground, ink = np.asarray(overlay.box_color), np.asarray(overlay.color)
        # over white glass: what shines through leaves the ground dark
        assert (ground[:3] * ground[3] + (1 - ground[3])).max() < 0.3
        assert ink[:3].min() > 0.9


def words_on(viewer: ViewerModel) -> str:
    lines = viewer.canvas.overlays.text.text.splitlines()
    return "\n".join(line.rstrip("\N{NO-BREAK SPACE}") for line in lines).rstrip()


def paint(canvas: SmearCanvas, points: np.ndarray) -> None:
    """What napari does with a line that was drawn with the mouse button held."""
    layer = canvas.regions.layer
    assert layer is not None
    layer._is_creating = True
    layer.add(points, shape_type="path", gui=True)
    layer._moving_value = (layer.nshapes - 1, len(points) - 1)
    layer._finish_drawing()


def test_a_stroke_becomes_a_polygon_with_its_hole_left_out(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.set_kinds(region_kinds(AA_MDS_AML))
    canvas.show(make_picture(1, (400, 400), um=0.5, regions=(region("use"),)))
    told: list[int] = []
    canvas.regions.drawn.connect(lambda: told.append(1))
    canvas.regions.set_brush(10.0)  # um: 20 px
    angles = np.linspace(0, 2 * np.pi, 200)
    ring = 200 + 100 * np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    canvas.regions.draw("use", "brush")
    paint(canvas, ring)
    assert told == [1]
    kinds = [(one.role, one.class_name) for one in canvas.regions.regions()]
    assert kinds == [("use", None), ("use", None), ("exclude", None)]
    outer, hole = (np.array(one.polygon) for one in canvas.regions.regions()[1:])
    assert np.hypot(*(outer - 200).T) == pytest.approx(np.full(len(outer), 120), abs=1)
    assert np.hypot(*(hole - 200).T) == pytest.approx(np.full(len(hole), 80), abs=1)
    layer = canvas.regions.layer
    assert layer is not None
    assert set(layer.shape_type) == {"polygon"}
    assert len({tuple(colour) for colour in layer.edge_color}) == 2
    canvas.regions.draw("class", "brush", "MDS")
    paint(canvas, ring)
    assert [(one.role, one.class_name) for one in canvas.regions.regions()[3:]] == [
        ("class", "MDS")
    ]
    assert told == [1, 1]
    assert str(layer.mode) == "add_path"  # the brush stays in the hand


def test_without_a_chosen_radius_the_brush_is_as_wide_on_the_screen_at_each_zoom(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (400, 400), um=0.5))
    canvas.regions.draw("use", "brush")
    layer = canvas.regions.layer
    assert layer is not None
    for zoom in (1.0, 8.0):
        viewer.scene.camera.zoom = zoom
        width_on_screen = layer.current_edge_width * 0.5 * zoom
        assert width_on_screen == pytest.approx(2 * BRUSH_ON_SCREEN)
    canvas.regions.set_brush(10.0)
    assert layer.current_edge_width == 40  # 2 x 10 um of 0.5 um


def test_outlines_are_as_wide_on_the_screen_at_each_zoom(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (400, 400), um=0.5, regions=(region("use"), region("exclude"))))
    told: list[int] = []
    canvas.regions.drawn.connect(lambda: told.append(1))
    layer = canvas.regions.layer
    assert layer is not None
    for zoom in (0.1, 1.0, 30.0):
        viewer.scene.camera.zoom = zoom
        assert np.array(layer.edge_width) * 0.5 * zoom == pytest.approx(EDGE_ON_SCREEN)
    assert told == []


def test_what_the_selected_regions_say_can_be_changed(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.set_kinds(region_kinds(AA_MDS_AML))
    canvas.show(make_picture(1, (40, 60), regions=(region("use"), region("exclude"))))
    told: list[list[tuple[str, str | None]]] = []
    canvas.regions.drawn.connect(
        lambda: told.append([(one.role, one.class_name) for one in canvas.regions.regions()])
    )
    canvas.regions.draw("use", "edit")
    layer = canvas.regions.layer
    assert layer is not None
    canvas.regions.set_kind("class", "AML")  # nothing is selected: for what comes
    assert told == []
    layer.selected_data = {1}
    canvas.regions.set_kind("class", "AML")
    assert told == [[("use", None), ("class", "AML")]]
    assert tuple(layer.edge_color[0]) != tuple(layer.edge_color[1])
    layer.remove_selected()
    assert told[-1] == [("use", None)]
    canvas.show(make_picture(2, (40, 60)))
    canvas.regions.draw("exclude", "rectangle")
    layer.add([np.array([[0, 0], [0, 5], [5, 5], [5, 0]])], shape_type="rectangle")
    assert told[-1] == [("exclude", None)]


def test_a_polygon_that_is_being_drawn_is_ended_and_told_before_the_next_smear_comes(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (40, 60)))
    told: list[list[tuple[tuple[float, float], ...]]] = []
    canvas.regions.drawn.connect(
        lambda: told.append([one.polygon for one in canvas.regions.regions()])
    )
    canvas.regions.draw("use", "polygon")
    layer = canvas.regions.layer
    assert layer is not None
    layer._is_creating = True
    corners = [(0.0, 0.0), (0.0, 9.0), (9.0, 9.0)]
    # the last point is where the mouse is, not yet clicked
    layer.add(np.array([*corners, (20.0, 20.0)]), shape_type="polygon", gui=True)
    layer._moving_value = (0, 3)
    canvas.finish_drawing()
    assert told == [[tuple(corners)]]
    assert str(layer.mode) == "pan_zoom"
    canvas.show(make_picture(2, (40, 60)))
    assert canvas.regions.regions() == []
    assert len(told) == 1
