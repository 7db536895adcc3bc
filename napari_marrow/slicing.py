"""Reading a slide's tiles off the GUI thread, and what must wait until they were read.

napari can read on a thread, but its layers do so only where the person's setting `Render Layers
Asynchronously` says so. napari's slicer is private; all that is asked of it is asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from napari.settings import get_settings


def slice_in_background(viewer: Any, layer: Any) -> None:
    """Let a slide's tiles be read on the slicer's thread, whatever the person's setting says.

    What has one level is in memory and still drawn at once. The setting is touched for the
    length of one call alone, without a word to anybody, so that it is never stored.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    layer : napari.layers.Image
        Multiscale; doing this twice does nothing more.
    """
    slicer = viewer._layer_slicer
    slicer._force_sync = False
    if "refresh" in vars(layer):
        return
    at_once = layer.refresh

    def refresh(*event: Any, **options: Any) -> None:
        if slicer._force_sync or len(layer.data) < 2:
            at_once(*event, **options)
        else:
            with _asynchronous():
                at_once(*event, **options)

    layer.refresh = refresh


@contextmanager
def _asynchronous() -> Iterator[None]:
    values = vars(get_settings().experimental)
    before, values["async_"] = values["async_"], True
    try:
        yield
    finally:
        values["async_"] = before


@contextmanager
def unread(layer: Any) -> Iterator[None]:
    """Change a layer without reading the data that it is about to lose."""
    with layer._block_refresh():
        yield


def swap_data(viewer: Any, layer: Any, data: Any) -> None:
    """Give an image layer other data, so that not a pixel of the earlier data stays.

    On a thread, the earlier picture would stay under the new one's name until the new was read;
    so this slice is made at once. A tile of the earlier data that is being read just now comes
    later, and is dropped.
    """
    _drop_late_tiles(layer)
    with viewer._layer_slicer.force_sync():
        layer.data = data


def _drop_late_tiles(layer: Any) -> None:
    """From now on, take no answer of the slicer that is older than the one that is drawn."""
    state = layer._slicing_state
    if "_update_slice_response" in vars(state):
        return
    take = state._update_slice_response
    newest = -1

    def take_if_new(response: Any) -> None:
        nonlocal newest
        if response.request_id >= newest:
            newest = response.request_id
            take(response)

    state._update_slice_response = take_if_new


def after_slicing(viewer: Any, errand: Callable[[], None]) -> None:
    """Do something once nothing that the viewer has been asked to draw is still being read.

    The slicer reads on one thread, in the order in which it was asked: an errand on that thread
    comes after all that was asked before. Without a slicer (its window is closed, and has waited
    for it) the errand is done at once.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    errand : callable
        Runs on another thread.
    """
    try:
        viewer._layer_slicer._executor.submit(errand)
    except RuntimeError:
        errand()
