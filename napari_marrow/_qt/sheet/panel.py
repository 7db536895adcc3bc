"""The contact sheet: its widget, what it drives, and the wires between them."""

from __future__ import annotations

from napari_marrow._qt.keys import LabelKeys
from napari_marrow._qt.sheet.tab import SheetTab
from napari_marrow.background import Background
from napari_marrow.controllers.cases import CasesController
from napari_marrow.controllers.labels import LabelsController
from napari_marrow.controllers.sheet import SheetController
from napari_marrow.session import Session

_STEPS = {"left": -1, "right": 1}


class SheetPanel:
    """Shows the smears of the Cases list in small, and takes the keys of label mode for several.

    Parameters
    ----------
    session : Session
    background : Background
    cases : CasesController
    labels : LabelsController
    """

    title = "Smears"

    def __init__(
        self,
        session: Session,
        background: Background,
        cases: CasesController,
        labels: LabelsController,
    ) -> None:
        self.tab = SheetTab()
        self.controller = SheetController(session, background, self.tab, cases, labels)
        self.keys = LabelKeys(self._on_key_pressed, self.tab)
        self.keys.watch(self.tab.list)
        self.keys.set_on(True)
        self.tab.model.wants_more.connect(self.controller.more)
        self.tab.looked_at.connect(self.controller.want)

    def tick(self) -> None:
        """Called five times a second."""
        self.controller.tick()

    def close(self) -> None:
        """Nothing of it runs on a thread of its own."""

    def _on_key_pressed(self, key: str) -> None:
        head = self.tab.asked()
        if key in _STEPS:
            self.tab.list.step(_STEPS[key])
        elif key == "leave":
            self.tab.list.clearSelection()
        elif head is not None:
            self.controller.press(key, self.tab.selected_ids(), head)
