"""The open study as the panels use it, composed of one desk per panel.

No method of a desk may run on the GUI thread; only the plain attributes here may.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from marrow.client import Client
from marrow.schemes import Scheme
from marrow.settings import Settings
from marrow.study import Study
from napari_marrow.desks.cases import CasesDesk
from napari_marrow.desks.exports import ExportsDesk
from napari_marrow.desks.labels import LabelsDesk
from napari_marrow.desks.models import ModelsDesk
from napari_marrow.desks.queue import QueueDesk
from napari_marrow.desks.reading import ReadingDesk
from napari_marrow.desks.results import ResultsDesk
from napari_marrow.desks.retrain import RetrainDesk
from napari_marrow.desks.smears import SmearsDesk


class Desk:
    """A study and its client.

    Parameters
    ----------
    study : Study
    client : Client
    """

    def __init__(self, study: Study, client: Client) -> None:
        self._study = study
        self.cases = CasesDesk(study, client)
        self.exports = ExportsDesk(study)
        self.labels = LabelsDesk(study)
        self.models = ModelsDesk(study)
        self.queue = QueueDesk(study, client)
        self.reading = ReadingDesk(study)
        self.results = ResultsDesk(study)
        self.retrain = RetrainDesk(study, client)
        self.smears = SmearsDesk(study)

    @classmethod
    def open(cls, settings: Settings, make_client: Callable[[Study], Client] = Client) -> Desk:
        """Open the study of this home, and see to it that waiting work goes on.

        Raises
        ------
        NoStudy
            If there is none, or one of another version.
        """
        study = Study.open(settings)
        client = make_client(study)
        client.wake_if_waiting()
        return cls(study, client)

    @classmethod
    def create(
        cls,
        settings: Settings,
        scheme: Scheme,
        make_client: Callable[[Study], Client] = Client,
    ) -> Desk:
        """Make a new study in this home."""
        study = Study.create(settings, scheme)
        return cls(study, make_client(study))

    @property
    def scheme(self) -> Scheme:
        """The study's questions."""
        return self._study.scheme

    @property
    def home(self) -> Path:
        """The study's folder."""
        return self._study.settings.home

    @property
    def reader(self) -> str:
        """Name under which labels are stored unless the reader says otherwise."""
        return self._study.settings.reader

    def close(self) -> None:
        """Close the catalogue's connections of this process; running jobs go on."""
        self.labels.close()
        self._study.close()
