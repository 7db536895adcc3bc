"""The Results tab: its widget, what it drives, and the wires between them."""

from __future__ import annotations

from napari_marrow._qt.evidence_wires import wire_evidence
from napari_marrow._qt.keys import LabelKeys
from napari_marrow._qt.results.tab import ResultsTab
from napari_marrow.background import Background
from napari_marrow.controllers.exporting import ExportController
from napari_marrow.controllers.labels import LabelsController
from napari_marrow.controllers.results import ResultsController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.controllers.worklist import WorklistController
from napari_marrow.session import Session


class ResultsPanel:
    """Shows the answers, opens their smears, and takes corrections.

    Parameters
    ----------
    session : Session
    background : Background
    smear : SmearController
    labels : LabelsController
    """

    title = "Results"

    def __init__(
        self,
        session: Session,
        background: Background,
        smear: SmearController,
        labels: LabelsController,
    ) -> None:
        self.tab = ResultsTab()
        self.controller = ResultsController(session, background, self.tab)
        self.worklist = WorklistController(
            session, background, self.tab, self.controller, smear, labels
        )
        self.keys = LabelKeys(self.worklist.press, self.tab)
        self.exports = ExportController(session, background, self.tab, self.controller, smear)
        self._wire_table()
        self._wire_reading()
        wire_evidence(self.tab.evidence, session, smear)

    def tick(self) -> None:
        """Called five times a second."""
        self.controller.tick()
        self.exports.tick()

    def close(self) -> None:
        """End the thread that follows jobs, and an export; the jobs go on."""
        self.controller.close()
        self.exports.close()

    def _wire_table(self) -> None:
        self.tab.filter.changed.connect(self.controller.set_filter)
        self.tab.filter.worklist_wanted.connect(self.controller.set_worklist)
        self.tab.sort_wanted.connect(self.controller.set_sort)
        self.tab.table.looked_at.connect(self.controller.look)
        self.tab.export.wanted.connect(self.exports.export)
        self.tab.export.stop_wanted.connect(self.exports.stop)
        self.tab.export.regions_chosen.connect(self.exports.import_regions)

    def _wire_reading(self) -> None:
        detail = self.tab.detail
        self.tab.opened.connect(self.worklist.open)
        self.tab.table.chosen.connect(self.worklist.choose)
        detail.accepted.connect(self.worklist.accept)
        detail.given.connect(self.worklist.give)
        detail.undo_wanted.connect(self.worklist.undo)
        self.tab.table.accept_wanted.connect(self.worklist.accept)
        self.keys.watch(self.tab.table)
        self.keys.set_on(True)
        detail.follows_changed.connect(self.worklist.set_follows)
