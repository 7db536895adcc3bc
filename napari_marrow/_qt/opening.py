"""Finding the Cases dock of a viewer, or making it, and what is opened from menus."""

from __future__ import annotations

from pathlib import Path

import napari

from napari_marrow._qt.cases_dock import CasesDock

DOCK_NAME = "Cases (Marrow)"
"""As napari names the dock when it is opened from the menu, so that there is one of it."""


def cases_dock(viewer: napari.Viewer, home: Path | None = None) -> CasesDock:
    """The viewer's Cases dock; made with this home (None: of the settings) if there is none."""
    docked = viewer.window.dock_widgets.get(DOCK_NAME)
    if isinstance(docked, CasesDock):
        return docked
    dock = CasesDock(viewer, home)
    viewer.window.add_dock_widget(dock, name=DOCK_NAME, area="right")
    return dock


def open_workbench(viewer: napari.Viewer) -> None:
    """Show the workbench: the queue and the results."""
    cases_dock(viewer).desktop.workbench.open()


def open_doctor(viewer: napari.Viewer) -> None:
    """Look at the installation, the study and the queue."""
    cases_dock(viewer).desktop.doctor.open()


def label_mode(viewer: napari.Viewer) -> None:
    """Begin label mode, or end it."""
    cases_dock(viewer).desktop.cases.labelling.toggle()
