"""Labels: one reader's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from marrow.catalogue import labels
from marrow.study import Study


class LabelsDesk:
    """The labels of a study.

    No method may run on the GUI thread.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def give(
        self, ids: Sequence[int], answers: Mapping[str, str], reader: str, seen: frozenset[int]
    ) -> None:
        """Store one reader's answers to several smears; `seen`: smears whose label is not blind."""
        with self._study.database.write() as connection:
            at = self._study.database.now(connection)
            for smear_id in ids:
                labels.give(
                    connection, at, self._study.scheme, smear_id, answers, reader, smear_id in seen
                )
