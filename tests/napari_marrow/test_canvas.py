"""The canvas on a viewer without a window."""

from __future__ import annotations

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
from napari_marrow.desks.smears import SmearPicture
from napari_marrow.layers import HEATMAP_LAYER, REGIONS_LAYER, SMEAR_LAYER, heatmap

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
        return SmearPicture(smear, image.multiscale(), image, regions, None, None, "words")

    return make


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


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
    assert viewer.scale_bar.visible
    assert {str(one.units[0]) for one in viewer.layers} == {"micrometer"}
    canvas.show(make_picture(3, (40, 60)))
    assert not viewer.scale_bar.visible
    assert {str(one.units[0]) for one in viewer.layers} == {"pixel"}


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
    with pytest.raises(ValueError, match="closed"):
        first.image.read(0, 0, 0, 4, 4)
    second.image.read(0, 0, 0, 4, 4)
    canvas.close()
    with pytest.raises(ValueError, match="closed"):
        second.image.read(0, 0, 0, 4, 4)


def test_a_slide_is_sliced_on_a_thread_and_the_persons_setting_stays(
    viewer: ViewerModel, make_picture: MakePicture
) -> None:
    canvas = SmearCanvas(viewer)
    canvas.show(make_picture(1, (40, 60)))
    assert viewer._layer_slicer._force_sync
    field = make_picture(2, (40, 60))
    canvas.show(replace(field, smear=field.smear.model_copy(update={"is_slide": True})))
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
    assert not viewer.text_overlay.visible
    canvas.show(make_picture(2, (40, 50)))
    assert viewer.layers[SMEAR_LAYER].visible
    canvas.close()
