"""An evidence bar and the session: what one shows, the other holds."""

from __future__ import annotations

from napari_marrow._qt.evidence_bar import EvidenceBar
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.session import Evidence, Session


def wire_evidence(bar: EvidenceBar, session: Session, smear: SmearController) -> None:
    """Let the bar choose the heatmap and show which one is drawn."""
    bar.chosen.connect(smear.choose_evidence)
    bar.opacity_changed.connect(smear.set_opacity)
    bar.shown_changed.connect(smear.set_heatmap_shown)

    def on_desk(desk: Desk | None) -> None:
        if desk is not None:
            bar.set_scheme(desk.scheme)
            bar.setValue(None)

    def on_evidence(evidence: Evidence | None) -> None:
        bar.setValue(evidence)

    session.events.desk.connect(on_desk)
    session.events.evidence.connect(on_evidence)
    session.events.opacity.connect(lambda opacity: bar.set_opacity(opacity))
    session.events.is_heatmap_shown.connect(lambda shown: bar.set_shown(shown))
