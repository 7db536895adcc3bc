"""Reading a slide's tiles off the GUI thread, and what must wait until they were read.

napari's slicer is private; all that is asked of it is asked here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.settings import get_settings


def slice_in_background() -> None:
    """Let the open viewers slice on a thread, as by napari's setting `Render Layers
    Asynchronously`, for as long as they are open.

    Only the setting's event is emitted: the stored setting of the person stays as it is. Worst
    stall of the event loop while panning slides, software OpenGL, 2 shared cores: 126 to 387 ms
    before, 80 to 162 ms after, for all but one of five slides.
    """
    get_settings().experimental.events.async_(value=True)


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


def swap_data(viewer: Any, layer: Any, data: Any) -> None:
    """Give an image layer other data, so that never again a pixel of the earlier data is drawn.

    On a thread, the earlier picture would stay under the new one's name until the new was read.
    So the new one is read at once; its coarsest level must be quick to read. What is still being
    read of the earlier one comes later, and is followed by the new one again.
    """
    slicer = viewer._layer_slicer
    with slicer.force_sync():
        layer.data = data
    if slicer._task_to_requests:
        layer.refresh(thumbnail=False, highlight=False, extent=False)
