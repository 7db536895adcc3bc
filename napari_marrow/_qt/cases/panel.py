"""The Cases dock: its page, what it drives, and the wires between them."""

from __future__ import annotations

from napari_marrow._qt.cases.case_list import FIRST_HEAD
from napari_marrow._qt.cases.page import CasesPage
from napari_marrow._qt.evidence_wires import wire_evidence
from napari_marrow.background import Background
from napari_marrow.canvas import SmearCanvas
from napari_marrow.controllers.cases import CasesController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.session import Session


class CasesPanel:
    """Lists, labels and draws into the shown smear.

    Parameters
    ----------
    session : Session
    background : Background
    canvas : SmearCanvas
    smear : SmearController
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        canvas: SmearCanvas,
        smear: SmearController,
    ) -> None:
        self._session, self._canvas, self._smear = session, canvas, smear
        self.page = CasesPage()
        self.controller = CasesController(session, background, self.page)
        self._wire_list()
        self._wire_page()
        wire_evidence(self.page.evidence, session, smear)

    def tick(self) -> None:
        """Called five times a second."""
        self.controller.tick()

    def _wire_list(self) -> None:
        listed = self.page.list
        listed.shown_changed.connect(self.controller.set_filter)
        listed.opened.connect(self._smear.open)
        listed.edited.connect(self._on_case_edited)
        listed.model.wants_more.connect(self.controller.more)
        self._session.events.smear_id.connect(self._on_smear_changed)

    def _wire_page(self) -> None:
        page, listed = self.page, self.page.list
        page.add_wanted.connect(self.controller.add_smears)
        page.regions.wanted.connect(self._canvas.regions.draw)
        self._canvas.regions.drawn.connect(self._on_regions_drawn)
        page.labels.given.connect(
            lambda head, answer: self.controller.give_label(listed.selected_ids(), head, answer)
        )
        page.describe.wanted.connect(
            lambda what, text: self.controller.describe(listed.selected_ids(), what, text)
        )

    def _on_smear_changed(self, smear_id: int | None) -> None:
        self.page.list.mark(smear_id)
        self.page.regions.reset()
        self._canvas.regions.draw("use", "none")

    def _on_regions_drawn(self) -> None:
        self._smear.save_regions(self._canvas.regions.regions())

    def _on_case_edited(self, ids: list[int], column: int, text: str) -> None:
        desk = self._session.desk
        if desk is None:
            return
        if column >= FIRST_HEAD:
            head = desk.scheme.asked[column - FIRST_HEAD]
            self.controller.give_label(ids, head.name, text)
        else:
            self.controller.describe(ids, "patient" if column == 1 else "site", text)
