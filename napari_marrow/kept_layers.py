"""Layers that stay in a viewer when its Cases dock is closed, for the dock that is opened next.

To remove a layer and add another one crashes some drivers; see `napari_marrow.canvas`.
"""

from __future__ import annotations

from typing import Any

_MARK = "napari-marrow"


def leave(layer: Any, kind: str) -> None:
    """Mark a layer that nobody draws into any more."""
    layer.metadata[_MARK] = kind


def take(viewer: Any, kind: str) -> Any | None:
    """The layer of this kind that was left in a viewer and belongs to nobody, None: there is none.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    kind : str
        As it was given to `leave`.
    """
    for layer in viewer.layers:
        if layer.metadata.get(_MARK) == kind:
            del layer.metadata[_MARK]
            return layer
    return None
