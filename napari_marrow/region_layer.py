"""Regions of the shown smear as one persistent shapes layer that a person can draw into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

import numpy as np
from napari.layers import Shapes
from psygnal import Signal

from marrow.catalogue.regions import NewRegion
from marrow.records import Polygon, Region, Role
from napari_marrow import kept_layers
from napari_marrow.brush import stroke_outline
from napari_marrow.layers import REGIONS_LAYER, Placement, outline, placed, smear_placement
from napari_marrow.region_kinds import RegionKind, region_colour

Drawing = Literal["rectangle", "polygon", "brush", "edit", "none"]
_MODES: dict[Drawing, str] = {
    "rectangle": "add_rectangle",
    "polygon": "add_polygon",
    "brush": "add_path",
    "edit": "direct",
    "none": "pan_zoom",
}
_CLEAR = [0.0, 0.0, 0.0, 0.0]
_ENDED = {"added", "changed", "removed"}
"""napari's shapes tell of each step; these three come when it is over."""
BRUSH_ON_SCREEN = 14.0
"""Radius of the brush in screen px, unless a person chose one."""
EDGE_ON_SCREEN = 2.5
"""Width of an outline in screen px."""
ZOOM_STEP = 1.4
"""Outlines are drawn anew when the zoom has changed by this factor: 3 ms a region."""


class RegionLayer:
    """Shows regions and tells when a person drew, changed or removed one.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    drawn = Signal()

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Shapes | None = kept_layers.take(viewer, REGIONS_LAYER)
        self._kinds: tuple[RegionKind, ...] = ()
        self._kind = RegionKind("use")
        self._drawing: Drawing = "none"
        self._brush: float | None = None
        self._placement = smear_placement(None)
        self._edge_zoom = 0.0
        self._is_swapping = False
        viewer.scene.camera.events.zoom.connect(self._on_camera_zoom)
        if self._layer is not None:
            self._layer.events.data.connect(self._on_data)

    @property
    def layer(self) -> Shapes | None:
        """napari's layer, None before the first smear was shown or after a person removed it."""
        return self._layer if self._layer in self._viewer.layers else None

    def set_kinds(self, kinds: Sequence[RegionKind]) -> None:
        """What regions of this study can say; decides the colours of classes."""
        self._kinds = tuple(kinds)

    def show(self, regions: Sequence[Region | NewRegion], placement: Placement) -> None:
        """Show the regions of another smear; an existing layer was placed before.

        What a person is drawing just now must have been ended by `finish` before.
        """
        self._placement = placement
        with self._swapping():
            layer = self._made(placement)
            if layer.nshapes:
                layer.data = []
                layer.features = _no_features()  # napari keeps those of the removed shapes
            kinds = [RegionKind(one.role, one.class_name or "") for one in regions]
            self._add([one.polygon for one in regions], kinds)
            self._set_defaults(layer)

    def finish(self) -> None:
        """End what a person is drawing as if he had ended it, and go back to moving the smear."""
        self.draw(self._kind.role, "none", self._kind.class_name)

    def draw(self, role: Role, drawing: Drawing, class_name: str | None = None) -> None:
        """Let a person draw regions of this role; `none` goes back to moving the smear.

        Parameters
        ----------
        role : Role
        drawing : str
            `rectangle`, `polygon`, `brush`; `edit` selects regions and moves their points
            (Delete removes a selected one); `none`.
        class_name : str or None
            Of a `class` region.
        """
        self._kind = RegionKind(role, class_name or "")
        layer = self.layer
        if layer is None:
            return
        if layer._is_creating:
            # In the mode in which it was begun; another mode would leave a half-made line.
            layer._finish_drawing()
        self._drawing = drawing
        if drawing != "edit":
            layer.selected_data = set()
        self._set_defaults(layer)
        if drawing != "none":
            layer.visible = True
            self._viewer.layers.selection.active = layer
        layer.mode = _MODES[drawing]  # last: a layer that becomes active starts in pan_zoom

    def set_kind(self, role: Role, class_name: str | None = None) -> None:
        """Let the selected regions, and those that are drawn from now on, say this."""
        self._kind = kind = RegionKind(role, class_name or "")
        layer = self.layer
        if layer is None:
            return
        chosen = sorted(layer.selected_data)
        if chosen:
            kinds = self._kinds_of(layer)
            for index in chosen:
                kinds[index] = kind
            layer.edge_color = self._colours(kinds)
            layer.features = _features(kinds)
            self.drawn.emit()
        self._set_defaults(layer)

    def set_brush(self, radius: float | None) -> None:
        """Radius of the brush in um, in px where the pixel size is unknown.

        None: as wide on the screen at each zoom.
        """
        self._brush = radius
        if self.layer is not None:
            self._set_defaults(self.layer)

    def close(self) -> None:
        """Tell of no more drawing; the layer stays."""
        self._viewer.scene.camera.events.zoom.disconnect(self._on_camera_zoom)
        if self._layer is not None:
            self._layer.events.data.disconnect(self._on_data)
            kept_layers.leave(self._layer, REGIONS_LAYER)

    def regions(self) -> list[NewRegion]:
        """What is drawn now; shapes without an area are left out."""
        layer = self.layer
        if layer is None:
            return []
        found = []
        for vertices, shape, kind in zip(
            layer.data, layer.shape_type, self._kinds_of(layer), strict=True
        ):
            polygon = outline(vertices, shape)
            if polygon is not None:
                name = kind.class_name or None
                found.append(NewRegion(role=kind.role, class_name=name, polygon=polygon))
        return found

    def _made(self, placement: Placement) -> Shapes:
        layer = self.layer
        if layer is None:
            layer = self._viewer.add_shapes(
                ndim=2,
                name=REGIONS_LAYER,
                face_color=_CLEAR,
                opacity=0.9,
                features=_no_features(),
                **placed(placement),
            )
            layer.events.data.connect(self._on_data)
            self._layer = layer
        return layer

    def _add(self, polygons: Sequence[Polygon], kinds: Sequence[RegionKind]) -> None:
        """Add regions at the end; not a word of it to those who listen for drawings."""
        layer = self.layer
        if layer is None or not polygons:
            return
        before = self._kinds_of(layer)
        layer.add(
            [np.asarray(polygon) for polygon in polygons],  # a tuple means (data, type)
            shape_type="polygon",
            edge_color=self._colours(kinds),
            edge_width=self._edge_width(),
            face_color=_CLEAR,
        )
        layer.selected_data = set()
        layer.features = _features([*before, *kinds])

    def _set_defaults(self, layer: Shapes) -> None:
        # None of these may touch what is selected: they are about the next shape.
        with layer.block_update_properties():
            layer.feature_defaults = {"role": self._kind.role, "class_name": self._kind.class_name}
            layer.current_edge_color = region_colour(self._kind, self._kinds)
            layer.current_face_color = _CLEAR
            brushing = self._drawing == "brush"
            layer.current_edge_width = 2 * self._radius_px() if brushing else self._edge_width()

    def _on_data(self, event: Any) -> None:
        if self._is_swapping or str(getattr(event, "action", "")) not in _ENDED:
            return
        layer = self.layer
        if layer is None:
            return
        if self._drawing == "brush" and layer.nshapes and layer.shape_type[-1] == "path":
            self._turn_stroke(layer)
        self.drawn.emit()

    def _turn_stroke(self, layer: Shapes) -> None:
        """Put the outline of the stroke that was just painted in the place of its line."""
        last = layer.nshapes - 1
        painted = stroke_outline(np.asarray(layer.data[last]), layer.edge_width[last] / 2)
        kinds = [self._kind] * len(painted.outer)
        holes: tuple[Polygon, ...] = ()
        if self._kind.role == "use":  # what is not used inside what is used
            holes = painted.holes
            kinds += [RegionKind("exclude")] * len(holes)
        # napari tells of the new line a moment before it notes that drawing is over, and to
        # remove a line would end it again.
        layer._is_creating = False
        with self._swapping():
            layer.remove([last])
            self._add([*painted.outer, *holes], kinds)

    def _on_camera_zoom(self, _event: Any = None) -> None:
        layer = self.layer
        if layer is None:
            return
        change = self._viewer.scene.camera.zoom / self._edge_zoom if self._edge_zoom else np.inf
        if 1 / ZOOM_STEP < change < ZOOM_STEP or layer._is_creating:
            return
        self._edge_zoom = self._viewer.scene.camera.zoom
        with self._swapping():
            if layer.nshapes:
                layer.edge_width = self._edge_width()
            self._set_defaults(layer)

    def _per_screen_px(self) -> float:
        """Level-0 px in a px of the screen."""
        return 1 / (float(self._viewer.scene.camera.zoom) * self._placement.scale[0])

    def _edge_width(self) -> float:
        return EDGE_ON_SCREEN * self._per_screen_px()

    def _radius_px(self) -> float:
        if self._brush is None:
            return BRUSH_ON_SCREEN * self._per_screen_px()
        return self._brush / self._placement.scale[0]

    def _kinds_of(self, layer: Shapes) -> list[RegionKind]:
        return [
            RegionKind(cast("Role", role), name)
            for role, name in zip(layer.features["role"], layer.features["class_name"], strict=True)
        ]

    def _colours(self, kinds: Sequence[RegionKind]) -> list[str]:
        return [region_colour(kind, self._kinds) for kind in kinds]

    @contextmanager
    def _swapping(self) -> Iterator[None]:
        """While the program itself changes the layer."""
        before, self._is_swapping = self._is_swapping, True
        try:
            yield
        finally:
            self._is_swapping = before


def _features(kinds: Sequence[RegionKind]) -> dict[str, Any]:
    return {
        "role": np.array([kind.role for kind in kinds], dtype=object),
        "class_name": np.array([kind.class_name for kind in kinds], dtype=object),
    }


def _no_features() -> dict[str, Any]:
    return _features(())
