"""The smear on napari's canvas: one persistent layer of each kind, whose data is swapped.

Removing a layer and adding another crashes some drivers (reproduced with software OpenGL), and
swapping is faster. Works on `napari.components.ViewerModel`, without Qt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap
from psygnal import Signal

from marrow.images import SmearImage
from napari_marrow import kept_layers
from napari_marrow.desks.smears import SmearPicture
from napari_marrow.layers import (
    HEATMAP_LAYER,
    SMEAR_LAYER,
    Heatmap,
    Placement,
    placed,
    smear_placement,
)
from napari_marrow.overview import Overview
from napari_marrow.region_kinds import RegionKind
from napari_marrow.region_layer import RegionLayer
from napari_marrow.slicing import after_slicing, slice_in_background, swap_data, unread

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
NOTHING = [np.zeros((1, 1, 3), np.uint8)]
"""Data of the smear's layer while no smear is shown: what is closed must not be drawn."""
UNIT_NAMES = {"um": "micrometer", "pixel": "pixel"}
"""How a layer spells its units."""
DARK = (0.0, 0.0, 0.0, 0.72)
"""Behind words, scale bar and legend: white on it is legible on stain and on glass, also where
napari's theme is light."""
WHITE = (1.0, 1.0, 1.0, 1.0)
BEHIND_A_LINE = 3 * "\N{NO-BREAK SPACE}"


class SmearCanvas:
    """Draws one smear at a time into a viewer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    overview_changed = Signal(object)
    """An `Overview` of the shown smear, or None."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._smear: Image | None = kept_layers.take(viewer, SMEAR_LAYER)
        self._heatmap: Image | None = kept_layers.take(viewer, HEATMAP_LAYER)
        self._image: SmearImage | None = None
        self._placement = smear_placement(None)
        self._smear_words = self._label_words = ""
        self.regions = RegionLayer(viewer)

    def set_kinds(self, kinds: Sequence[RegionKind]) -> None:
        """What regions of this study can say."""
        self.regions.set_kinds(kinds)

    def finish_drawing(self) -> None:
        """End the region that a person is drawing just now, and tell of it."""
        self.regions.finish()

    def show(self, picture: SmearPicture) -> None:
        """Show another smear; its heatmap comes by `show_heatmap`."""
        smear = picture.facts.smear
        self._placement = placement = smear_placement(smear.pixel_size_um)
        earlier, self._image = self._image, picture.pixels.image
        self.show_heatmap(None)
        # All at once and before anything is drawn: napari warns of layers of several units,
        # hidden ones too, and draws as soon as a layer's visibility is set.
        for layer in (self._smear, self._heatmap, self.regions.layer):
            if layer is not None:
                with unread(layer):
                    _place(layer, placement)
        self._swap_smear(picture.pixels.levels, placement)
        if smear.is_slide and self._smear is not None:
            slice_in_background(self._viewer, self._smear)
        self.regions.show(picture.facts.regions, placement)
        self._keep_order()
        self._close_behind(earlier)
        self._show_scale_bar(is_shown=smear.pixel_size_um is not None)
        # To the smear: a person's own layer may reach far beyond it.
        self._viewer.reset_view(layers=[self._smear])
        size_px = (smear.height_px, smear.width_px)
        self.overview_changed.emit(Overview(picture.pixels.overview, size_px, placement))

    def show_unread(self, words: str) -> None:
        """Show no smear, and say which one cannot be shown and why."""
        self.clear()
        self.set_words(words)

    def clear(self) -> None:
        """Show no smear; the layers stay, hidden or empty."""
        self.show_heatmap(None)
        if self._smear is not None:
            if self._smear.visible:
                self._smear.visible = False
            swap_data(self._viewer, self._smear, NOTHING)
            self.regions.show((), self._placement)
        self._show_scale_bar(is_shown=False)
        self.overview_changed.emit(None)
        self.set_words("")
        self._give_up_file()

    def show_heatmap(self, heatmap: Heatmap | None) -> None:
        """Draw the evidence for a class with its legend, None to hide it."""
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
            layer.colorbar.box_color = DARK
            layer.colorbar.color = WHITE
            layer.colorbar.visible = True
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
        """What stands in the canvas's corner about the smear."""
        self._smear_words = words
        self._show_words()

    def set_label_words(self, words: str) -> None:
        """What stands above that: which key means which answer; "" outside label mode."""
        self._label_words = words
        self._show_words()

    def close(self) -> None:
        """Give up the file of the shown smear and draw no more; the layers stay as they are."""
        self._give_up_file()
        self.regions.close()
        for layer, kind in ((self._smear, SMEAR_LAYER), (self._heatmap, HEATMAP_LAYER)):
            if layer is not None:
                kept_layers.leave(layer, kind)

    def _give_up_file(self) -> None:
        earlier, self._image = self._image, None
        self._close_behind(earlier)

    def _show_words(self) -> None:
        words = "\n".join(filter(None, (self._label_words, self._smear_words)))
        if words:
            # On screens of less than 96 dpi napari's box is too narrow for the text, and too low
            # by a part of each line.
            words = "\n".join(line + BEHIND_A_LINE for line in [*words.splitlines(), ""])
        overlay = self._viewer.canvas.overlays.text
        if words == overlay.text and overlay.visible == bool(words):
            return
        overlay.position = "top_left"
        overlay.box_color = DARK
        overlay.color = WHITE
        overlay.text = words
        overlay.visible = bool(words)

    def _show_scale_bar(self, *, is_shown: bool) -> None:
        bar = self._viewer.canvas.overlays.scale_bar
        bar.box_color = DARK
        bar.colored = True
        bar.color = WHITE
        bar.visible = is_shown

    def _close_behind(self, image: SmearImage | None) -> None:
        """Close a smear when the last of its tiles that was asked for has been read."""
        if image is not None:
            after_slicing(self._viewer, image.close)

    def _swap_smear(self, levels: Sequence[Any], placement: Placement) -> None:
        layer = self._smear
        if layer is None or layer not in self._viewer.layers:
            self._smear = layer = self._viewer.add_image(
                list(levels),
                name=SMEAR_LAYER,
                rgb=True,
                multiscale=True,
                **placed(placement),
            )
            self._keep_order()
        else:
            swap_data(self._viewer, layer, list(levels))
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
    """Put a layer into its place; what is in place is left alone: each step costs 20 ms."""
    wanted = placed(placement)
    units = wanted.pop("units")
    if [str(one) for one in layer.units] != [UNIT_NAMES[unit] for unit in units]:
        layer.units = units
    for name, value in wanted.items():
        if not np.array_equal(getattr(layer, name), value):
            setattr(layer, name, value)
