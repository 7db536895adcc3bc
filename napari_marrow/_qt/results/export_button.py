"""The button that writes what is listed, and takes regions back in."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton, QWidget

from napari_marrow._qt.activity import Activity

KINDS = (
    ("csv", "Table as CSV ...", "Table (*.csv)"),
    ("parquet", "Table as Parquet ...", "Parquet (*.parquet)"),
    ("geojson", "Regions and tile maps for QuPath (GeoJSON) ...", "GeoJSON (*.geojson)"),
    ("sheets", "A printable sheet per patient (HTML) ...", "Web page (*.html)"),
)
"""Kind, entry of the menu, and filter of the file dialog."""


class ExportButton(QPushButton):
    """A menu of what can be written.

    Signals
    -------
    wanted(str, object)
        Kind and Path.
    stop_wanted()
        Stop the export that is under way.
    regions_chosen(object)
        Paths of GeoJSON files, as a list.
    """

    wanted = Signal(str, object)
    stop_wanted = Signal()
    regions_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Export", parent)
        self._activity = Activity("Export of results")
        menu = QMenu(self)
        for kind, title, names in KINDS:
            action = menu.addAction(title)
            action.triggered.connect(
                lambda _on=False, kind=kind, names=names: self._on_kind_triggered(kind, names)
            )
        menu.addSeparator()
        self.stop = menu.addAction("Stop the export")
        self.stop.setEnabled(False)
        self.stop.triggered.connect(lambda _on=False: self.stop_wanted.emit())
        menu.addSeparator()
        menu.addAction("Import regions (GeoJSON) ...").triggered.connect(
            lambda _on=False: self._on_import_triggered()
        )
        self.setMenu(menu)
        self.setToolTip("Write the rows that are listed now, all pages of them")

    def set_progress(self, done: int, total: int) -> None:
        """Show how far an export has come, here and in napari's activity dock; total 0: none."""
        done = min(done, total)  # rows may have come since they were counted
        self._activity.show(done, total)
        self.stop.setEnabled(total > 0)
        self.setText(f"Export {done / total:.0%}" if total else "Export")

    def _on_kind_triggered(self, kind: str, names: str) -> None:
        suffix = names[names.index("*.") + 1 : -1]
        chosen, _filter = QFileDialog.getSaveFileName(
            self, "Export the results that are listed", f"results{suffix}", names
        )
        if chosen:
            # `2024.11 night` has no suffix of ours.
            named = chosen if chosen.lower().endswith(suffix) else f"{chosen}{suffix}"
            self.wanted.emit(kind, Path(named))

    def _on_import_triggered(self) -> None:
        chosen, _filter = QFileDialog.getOpenFileNames(
            self, "Import regions", "", "Regions (*.geojson *.json)"
        )
        if chosen:
            self.regions_chosen.emit([Path(name) for name in chosen])
