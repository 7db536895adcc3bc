"""Opening smears outside any study, and the samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from PIL import Image

from marrow.errors import UnreadableSmear
from napari_marrow import sample_data
from napari_marrow.reader import get_reader, get_regions_reader
from napari_marrow.writer import write_regions


def test_reads_an_image_as_one_multiscale_layer_in_um(tmp_path: Path) -> None:
    path = tmp_path / "smear.png"
    drawn = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(drawn).save(path, dpi=(25_400 / 0.25, 25_400 / 0.25))
    reader = get_reader([str(path)])
    assert reader is not None
    ((levels, shown, kind),) = reader([str(path)])
    assert kind == "image"
    assert np.array_equal(levels[0], drawn)
    assert shown["rgb"]
    assert shown["scale"] == pytest.approx((0.25, 0.25), rel=1e-3)  # dots per metre are whole
    assert shown["units"] == ("um", "um")


def test_leaves_files_that_cannot_be_smears_to_others(tmp_path: Path) -> None:
    assert get_reader(str(tmp_path / "table.csv")) is None
    assert get_reader([str(tmp_path / "a.png"), str(tmp_path / "b.txt")]) is None
    assert get_reader([]) is None


def test_a_damaged_file_is_named_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    reader = get_reader(str(path))
    assert reader is not None
    with pytest.raises(UnreadableSmear, match=r"broken\.png: "):
        reader(str(path))


@pytest.mark.parametrize(
    "sample", [sample_data.synthetic_aa, sample_data.synthetic_mds, sample_data.synthetic_aml]
)
def test_samples_say_that_they_are_synthetic(sample: object) -> None:
    assert callable(sample)
    ((image, shown, _kind),) = sample()
    assert image.dtype == np.uint8
    assert image.shape == (512, 512, 3)
    assert "synthetic" in shown["name"]
    assert shown["metadata"]["synthetic"] is True


def test_drawn_shapes_are_saved_and_opened_again(tmp_path: Path) -> None:
    viewer = ViewerModel()
    square = np.array([[1.0, 2], [1, 9], [8, 9], [8, 2]])
    layer = viewer.add_shapes([square, square[:2]], shape_type=["rectangle", "line"])
    layer.features = {"role": ["exclude", "use"], "class_name": ["", ""]}
    data, attributes, _kind = layer.as_layer_data_tuple()
    path = str(tmp_path / "drawn.geojson")
    assert write_regions(path, data, attributes) == [path]

    read = get_regions_reader(path)
    assert read is not None
    ((polygons, shown, kind),) = read(path)
    opened = Layer.create(polygons, shown, kind)
    np.testing.assert_array_equal(opened.data[0], square)  # the line has no area
    assert list(opened.features["role"]) == ["exclude"]
    assert get_regions_reader("smear.png") is None
