"""The Cases dock: its page, what it drives, and the wires between them."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QWidget

from napari_marrow._qt.cases.page import CasesPage
from napari_marrow._qt.evidence_wires import wire_evidence
from napari_marrow._qt.keys import LabelKeys, canvas_widget
from napari_marrow.background import Background
from napari_marrow.canvas import SmearCanvas
from napari_marrow.controllers.cases import CasesController
from napari_marrow.controllers.labelling import LabellingController
from napari_marrow.controllers.labels import LabelsController
from napari_marrow.controllers.outbox import OutboxController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.lines.cases import FIRST_HEAD, history_text, patient_column
from napari_marrow.region_kinds import region_kinds
from napari_marrow.session import Session


class CasesPanel:
    """Lists, labels and draws into the shown smear. The `LabellingView`.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    background : Background
    outbox : OutboxController
    canvas : SmearCanvas
    smear : SmearController
    """

    def __init__(
        self,
        viewer: Any,
        session: Session,
        background: Background,
        outbox: OutboxController,
        canvas: SmearCanvas,
        smear: SmearController,
    ) -> None:
        self._viewer, self._session, self._background = viewer, session, background
        self._canvas, self._smear = canvas, smear
        self.page = CasesPage()
        self.labels = LabelsController(session, background, outbox, self.page)
        self.controller = CasesController(session, background, self.page, self.labels)
        self.labelling = LabellingController(
            session, background, self, self.labels, smear, self.controller
        )
        self.keys = LabelKeys(self.labelling.press, self.page)
        self._watched: QWidget | None = None
        self._wire_list()
        self._wire_labels(outbox)
        self._wire_page()
        wire_evidence(self.page.evidence, session, smear)

    def tick(self) -> None:
        """Called five times a second."""
        self.controller.tick()
        self.labelling.tick()

    def close(self) -> None:
        """Let go of the window that is being closed."""
        self.keys.set_on(False)
        self._watched = None

    def set_labelling(self, is_on: bool) -> None:
        """See `LabellingView.set_labelling`."""
        self.page.set_labelling(is_on)
        self.keys.set_on(is_on)
        if self._watched is not None:
            self.keys.leave(self._watched)
            self._watched = None
        if not is_on:
            return
        canvas = canvas_widget(self._viewer)
        # The whole window: a click on a layer in napari's list takes the keys there.
        self._watched = self.page if canvas is None else canvas.window()
        self.keys.watch(self._watched)
        self.take_keys()
        if canvas is None:
            words = (
                "This version of napari does not tell which widget it draws on: label by the "
                "buttons of the Cases dock, or click on the dock before using the keys."
            )
            self.page.tell(words, is_warning=True)

    def take_keys(self) -> None:
        """In label mode, let the next key be one of its keys."""
        canvas = canvas_widget(self._viewer) if self.labelling.is_on else None
        if canvas is not None:
            canvas.activateWindow()
            canvas.setFocus(Qt.FocusReason.OtherFocusReason)

    def set_label_words(self, words: str) -> None:
        """See `LabellingView.set_label_words`."""
        self._canvas.set_label_words(words)

    def set_asked(self, head: str | None) -> None:
        """See `LabellingView.set_asked`."""
        self.page.labels.set_asked(head)

    def tool(self) -> str:
        """See `LabellingView.tool`."""
        return self.page.regions.value()[1]

    def draw(self, tool: str) -> None:
        """See `LabellingView.draw`."""
        if self.tool() != tool:
            self.page.regions.take(tool)

    def show_sheet(self) -> None:
        """See `LabellingView.show_sheet`."""
        self.page.sheet_wanted.emit()

    def tell(self, words: str, is_warning: bool) -> None:
        """See `LabellingView.tell`."""
        self.page.tell(words, is_warning)

    def _wire_list(self) -> None:
        listed = self.page.list
        listed.searched.connect(self.controller.search)
        listed.search_ended.connect(self.take_keys)
        listed.chosen.connect(self._on_filter_chosen)
        listed.opened.connect(self._on_row_opened)
        listed.edited.connect(self._on_case_edited)
        listed.history_wanted.connect(self._on_history_wanted)
        listed.flag_wanted.connect(self.labels.flag)
        listed.model.wants_more.connect(self.controller.more)
        self._session.events.smear_id.connect(self._on_smear_changed)

    def _wire_labels(self, outbox: OutboxController) -> None:
        page = self.page
        outbox.saved.connect(page.set_saved)
        outbox.told.connect(lambda words: page.tell(words, is_warning=True))
        page.label_mode.clicked.connect(lambda _is_on: self._on_label_mode_clicked())
        page.undo.clicked.connect(lambda: self.labelling.undo())
        page.labels.given.connect(self._on_label_given)

    def _wire_page(self) -> None:
        page = self.page
        page.add_wanted.connect(self.controller.add_smears)
        page.regions.wanted.connect(self._canvas.regions.draw)
        page.regions.kind_chosen.connect(self._canvas.regions.set_kind)
        page.regions.brush_changed.connect(self._canvas.regions.set_brush)
        self._session.events.desk.connect(self._on_desk)
        self._canvas.regions.drawn.connect(self._on_regions_drawn)
        # Else the next digit would go to the field or the box, and label nothing.
        for ended in (page.describe.entered, page.regions.entered, page.evidence.chosen):
            ended.connect(lambda *_what: self.take_keys())
        page.describe.wanted.connect(
            lambda what, text: self.controller.describe(page.list.selected_ids(), what, text)
        )

    def _on_label_mode_clicked(self) -> None:
        self.page.label_mode.setChecked(self.labelling.is_on)  # it says what is, not what is asked
        self.labelling.toggle()

    def _on_filter_chosen(self, choice: int) -> None:
        self.controller.choose(choice)
        self.take_keys()  # else the next digit would choose another filter

    def _on_row_opened(self, smear_id: int) -> None:
        if smear_id == self._smear.coming:
            return
        if self.labelling.is_on:
            self.labelling.go(smear_id)
        else:
            self._smear.open(smear_id)

    def _on_label_given(self, head: str, answer: str) -> None:
        chosen = self.page.list.selected_ids()
        if self.labelling.is_on and len(chosen) < 2:
            self.labelling.answer(head, answer)
        else:
            self.labels.give(chosen, {head: answer})

    def _on_desk(self, desk: Desk | None) -> None:
        if desk is not None:
            self.page.regions.set_kinds(region_kinds(desk.scheme))

    def _on_smear_changed(self, smear_id: int | None) -> None:
        self.page.list.mark(smear_id)
        self.page.regions.reset()
        self._canvas.regions.draw("use", "none")

    def _on_regions_drawn(self) -> None:
        self._smear.save_regions(self._canvas.regions.regions())

    def _on_history_wanted(self, smear_id: int, where: QPoint) -> None:
        desk, reader = self._session.desk, self._session.reader
        if desk is not None:
            self._background.ask(
                "history",
                lambda: history_text(f"S{smear_id:06d}", desk.labels.history(smear_id, reader)),
                lambda words: self.page.show_history(words, where),
            )

    def _on_case_edited(self, ids: list[int], column: int, text: str) -> None:
        desk = self._session.desk
        if desk is None:
            return
        patient = patient_column(desk.scheme)
        if column >= patient:
            self.controller.describe(ids, "patient" if column == patient else "site", text)
        else:
            head = desk.scheme.asked[column - FIRST_HEAD]
            self.labels.give(ids, {head.name: text})
