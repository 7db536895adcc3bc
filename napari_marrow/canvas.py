"""The smear on napari's canvas: one persistent layer of each kind, whose data is swapped.

Removing a layer and adding another crashes some drivers (reproduced with software OpenGL), and
swapping is faster. Works on `napari.components.ViewerModel`, without Qt.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap

from marrow.images import SmearImage
from napari_marrow.desks.smears import SmearPicture
from napari_marrow.layers import (
    HEATMAP_LAYER,
    SMEAR_LAYER,
    Heatmap,
    Placement,
    placed,
    smear_placement,
)
from napari_marrow.region_layer import RegionLayer
from napari_marrow.slicing import slice_in_background

EVIDENCE_COLOURS = Colormap(
    # Clear to yellow over green, the colours that a Romanowsky stain lacks; alpha rises first,
    # so that weak evidence leaves the smear as it is.
    colors=[
        [0.0, 0.45, 0.45, 0.0],
        [0.0, 0.60, 0.50, 0.45],
        [0.25, 0.80, 0.30, 0.85],
        [0.95, 0.95, 0.10, 1.0],
    ],
    controls=[0.0, 0.35, 0.7, 1.0],
    name="marrow evidence",
)


class SmearCanvas:
    """Draws one smear at a time into a viewer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._smear: Image | None = None
        self._heatmap: Image | None = None
        self._image: SmearImage | None = None
        self._placement = smear_placement(None)
        self.regions = RegionLayer(viewer)

    def show(self, picture: SmearPicture) -> None:
        """Show another smear; its heatmap comes by `show_heatmap`."""
        if picture.smear.is_slide:
            slice_in_background()
        self._placement = placement = smear_placement(picture.smear.pixel_size_um)
        earlier, self._image = self._image, picture.image
        self.show_heatmap(None)
        # All at once and before anything is drawn: napari warns of layers of several units,
        # hidden ones too, and draws as soon as a layer's visibility is set.
        for layer in (self._smear, self._heatmap, self.regions.layer):
            if layer is not None:
                _place(layer, placement)
        self._swap_smear(picture, placement)
        self.regions.show(picture.regions, placement)
        self._keep_order()
        if earlier is not None:
            earlier.close()
        self._viewer.scale_bar.visible = picture.smear.pixel_size_um is not None
        self._viewer.reset_view()

    def clear(self) -> None:
        """Show no smear; the layers stay, hidden or empty."""
        self.show_heatmap(None)
        if self._smear is not None:
            self._smear.visible = False
            self.regions.show((), self._placement)
        self.set_words("")
        self.close()

    def show_heatmap(self, heatmap: Heatmap | None) -> None:
        """Draw the evidence for a class, None to hide it."""
        layer = self._heatmap
        if heatmap is None:
            if layer is not None and layer.visible:
                layer.visible = False
            return
        if layer is None or layer not in self._viewer.layers:
            layer = self._viewer.add_image(
                heatmap.values,
                name=HEATMAP_LAYER,
                colormap=EVIDENCE_COLOURS,
                blending="translucent_no_depth",
                **placed(heatmap.placement),
            )
            self._heatmap = layer
            self._keep_order()
        else:
            layer.data = heatmap.values
            _place(layer, heatmap.placement)
        layer.contrast_limits_range = (
            min(0.0, float(np.nanmin(heatmap.values, initial=0.0))),
            heatmap.contrast[1],
        )
        layer.contrast_limits = heatmap.contrast
        layer.interpolation2d = "linear" if heatmap.is_smooth else "nearest"
        if not layer.visible:
            layer.visible = True

    def set_opacity(self, opacity: float) -> None:
        """Opacity of the heatmap, 0 to 1."""
        if self._heatmap is not None:
            self._heatmap.opacity = opacity

    def set_words(self, words: str) -> None:
        """The line of text in the canvas's corner."""
        overlay = self._viewer.text_overlay
        overlay.position = "top_left"
        overlay.text = words
        overlay.visible = bool(words)

    def close(self) -> None:
        """Give up the file of the shown smear; the layers stay as they are."""
        if self._image is not None:
            self._image.close()
            self._image = None

    def _swap_smear(self, picture: SmearPicture, placement: Placement) -> None:
        layer = self._smear
        if layer is None or layer not in self._viewer.layers:
            self._smear = layer = self._viewer.add_image(
                list(picture.levels),
                name=SMEAR_LAYER,
                rgb=True,
                multiscale=True,
                **placed(placement),
            )
            self._keep_order()
        else:
            layer.data = list(picture.levels)
        if not layer.visible:
            layer.visible = True

    def _keep_order(self) -> None:
        """The smear lies below, then the heatmap, then the regions; a reader may reorder."""
        layers = self._viewer.layers
        ours = [self._smear, self._heatmap, self.regions.layer]
        wanted = [one for one in ours if one is not None and one in layers]
        places = sorted(layers.index(one) for one in wanted)
        for place, one in zip(places, wanted, strict=True):
            at = layers.index(one)
            if at != place:
                layers.move(at, place)
        if self._smear is not None and self._smear in layers:
            layers.selection.active = self._smear


def _place(layer: Any, placement: Placement) -> None:
    for name, value in placed(placement).items():
        setattr(layer, name, value)
