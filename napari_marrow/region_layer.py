"""Regions of the shown smear as one persistent shapes layer that a person can draw into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from napari.layers import Shapes
from psygnal import Signal

from marrow.catalogue.regions import NewRegion
from marrow.records import Region, Role
from napari_marrow.layers import REGION_COLOURS, REGIONS_LAYER, Placement, outline, placed

Drawing = Literal["rectangle", "polygon", "none"]
_MODES = {"rectangle": "add_rectangle", "polygon": "add_polygon", "none": "pan_zoom"}
_CLEAR = [0.0, 0.0, 0.0, 0.0]
_ENDED = {"added", "changed", "removed"}
"""napari's shapes tell of each step; these three come when it is over."""


class RegionLayer:
    """Shows regions and tells when a person drew, changed or removed one.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    drawn = Signal()

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Shapes | None = None
        self._role: Role = "use"
        self._is_swapping = False

    @property
    def layer(self) -> Shapes | None:
        """napari's layer, None before the first smear was shown or after a person removed it."""
        return self._layer if self._layer in self._viewer.layers else None

    def show(self, regions: Sequence[Region], placement: Placement) -> None:
        """Show the regions of another smear; an existing layer was placed before."""
        self._is_swapping = True
        try:
            layer = self._made(placement)
            if layer.nshapes:
                layer.data = []
                layer.features = _no_features()  # napari keeps those of the removed shapes
            if regions:
                layer.add(
                    [
                        np.asarray(region.polygon) for region in regions
                    ],  # a tuple means (data, type)
                    shape_type="polygon",
                    edge_color=[REGION_COLOURS[region.role] for region in regions],
                    face_color=_CLEAR,
                )
                layer.features = {
                    "role": [region.role for region in regions],
                    "class_name": [region.class_name or "" for region in regions],
                }
            self._set_defaults(layer)
        finally:
            self._is_swapping = False

    def draw(self, role: Role, drawing: Drawing) -> None:
        """Let a person draw regions of this role; `none` goes back to moving the smear."""
        self._role = role
        layer = self.layer
        if layer is None:
            return
        layer.selected_data = set()
        self._set_defaults(layer)
        if drawing != "none":
            layer.visible = True
            self._viewer.layers.selection.active = layer
        layer.mode = _MODES[drawing]  # last: a layer that becomes active starts in pan_zoom

    def regions(self) -> list[NewRegion]:
        """What is drawn now; shapes without an area are left out."""
        layer = self.layer
        if layer is None:
            return []
        found = []
        roles, names = layer.features["role"], layer.features["class_name"]
        for vertices, kind, role, name in zip(
            layer.data, layer.shape_type, roles, names, strict=True
        ):
            polygon = outline(vertices, kind)
            if polygon is not None:
                found.append(NewRegion(role=role, class_name=name or None, polygon=polygon))
        return found

    def _made(self, placement: Placement) -> Shapes:
        layer = self.layer
        if layer is None:
            layer = self._viewer.add_shapes(
                ndim=2,
                name=REGIONS_LAYER,
                face_color=_CLEAR,
                edge_width=3,
                features=_no_features(),
                **placed(placement),
            )
            layer.events.data.connect(self._on_data)
            self._layer = layer
        return layer

    def _set_defaults(self, layer: Shapes) -> None:
        layer.feature_defaults = {"role": self._role, "class_name": ""}
        layer.current_edge_color = REGION_COLOURS[self._role]
        layer.current_face_color = _CLEAR

    def _on_data(self, event: Any) -> None:
        if not self._is_swapping and str(getattr(event, "action", "")) in _ENDED:
            self.drawn.emit()


def _no_features() -> dict[str, Any]:
    return {name: np.array([], dtype=object) for name in ("role", "class_name")}
