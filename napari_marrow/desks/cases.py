"""The Cases list: reading it, describing its smears, adding more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import func, select

from marrow.catalogue import smears
from marrow.catalogue.schema import smear as smear_table
from marrow.catalogue.smears import SmearFilter
from marrow.client import Client
from marrow.errors import MarrowError
from marrow.study import Study
from napari_marrow.lines.cases import CaseLine, case_line

Described = Literal["patient", "site"]


@dataclass(frozen=True)
class CasePage:
    """A part of the Cases list, and the counts above it."""

    lines: tuple[CaseLine, ...]
    total: int
    """Smears that the filter shows."""
    smears: int
    """Smears of the study."""
    labelled: int
    without_patient: int


@dataclass(frozen=True)
class Imported:
    """What an import did, over all dropped files and folders."""

    added: int
    known: int
    labels: int
    refused: tuple[str, ...]


class CasesDesk:
    """The smears of a study.

    No method may run on the GUI thread.

    Parameters
    ----------
    study : Study
    client : Client
    """

    def __init__(self, study: Study, client: Client) -> None:
        self._study = study
        self._client = client

    def page(self, shown: SmearFilter, offset: int, limit: int) -> CasePage:
        """`limit` smears of the filtered list from `offset`, and the study's counts."""
        with self._study.database.read() as connection:
            rows = smears.page(connection, shown, offset, limit)
            nameless = select(func.count()).where(smear_table.c.patient.is_(None))
            return CasePage(
                lines=tuple(case_line(self._study.scheme, row) for row in rows),
                total=smears.count(connection, shown),
                smears=smears.count(connection, SmearFilter()),
                labelled=smears.count(connection, SmearFilter(labelled=True)),
                without_patient=int(connection.execute(nameless).scalar_one()),
            )

    def ids(self, shown: SmearFilter) -> list[int]:
        """Ids of all smears that the filter shows."""
        return self._client.smear_ids(shown)

    def describe(self, ids: Sequence[int], what: Described, value: str) -> None:
        """Set the patient or the site of several smears."""
        with self._study.database.write() as connection:
            if what == "patient":
                smears.describe(connection, ids, patient=value)
            else:
                smears.describe(connection, ids, site=value)

    def add(self, paths: Sequence[Path], on_progress: Callable[[int, int], None]) -> Imported:
        """Register files and folders; a folder's own labels.csv is read with it.

        Raises
        ------
        BadLabels
            If a labels.csv does not fit the scheme; its folder is not registered.
        """
        folders = [path for path in paths if (path / "labels.csv").is_file()]
        others = [path for path in paths if path not in folders]
        parts: list[tuple[list[Path], Path | None]] = [
            ([folder], folder / "labels.csv") for folder in folders
        ]
        if others:
            parts.append((others, None))
        added = known = given = 0
        refused: list[MarrowError] = []
        for part, table in parts:
            report = self._client.import_smears(part, table, on_progress=on_progress)
            added += report.added
            known += report.known
            given += report.labels
            refused += report.refused
        return Imported(added, known, given, tuple(str(error) for error in refused))
