"""The doctor page: looking at everything that a person would check first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from marrow.doctor import Finding, examine
from marrow.settings import Settings
from napari_marrow.background import Background
from napari_marrow.lines.doctor import FindingLine, finding_line, verdict
from napari_marrow.session import Session


class DoctorView(Protocol):
    """The table of findings."""

    def set_findings(self, lines: Sequence[FindingLine], words: str) -> None:
        """Show what was found, and `words` about all of it."""

    def set_busy(self, words: str) -> None:
        """Say that it is being looked at."""


class DoctorController:
    """Examines the open study, or the one of the settings.

    Parameters
    ----------
    session : Session
    background : Background
    view : DoctorView
    """

    def __init__(self, session: Session, background: Background, view: DoctorView) -> None:
        self._session, self._background, self._view = session, background, view

    def examine(self) -> None:
        """Look at everything; it takes some seconds, off the GUI thread."""
        desk = self._session.desk
        home = None if desk is None else desk.home
        self._view.set_busy("Looking at the installation, the study and the queue …")
        self._background.ask(
            "doctor", lambda: _findings(home), self._on_findings, failed=self._on_failed
        )

    def _on_findings(self, lines: tuple[FindingLine, ...]) -> None:
        self._view.set_findings(lines, verdict(lines))

    def _on_failed(self) -> None:
        self._view.set_findings((), "The examination broke off.")


def _findings(
    home: Path | None, look: Callable[..., list[Finding]] = examine
) -> tuple[FindingLine, ...]:
    return tuple(finding_line(one) for one in look(lambda: Settings.read(home)))
