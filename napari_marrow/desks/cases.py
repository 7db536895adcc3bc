"""The Cases list: reading it, describing its smears, adding more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection

from marrow.catalogue import labels, moments, smears
from marrow.catalogue.labels import Progress
from marrow.catalogue.sight import Sight
from marrow.catalogue.smears import SmearFilter
from marrow.client import Client
from marrow.errors import MarrowError
from marrow.study import Study
from napari_marrow.lines.cases import CaseLine, case_line

Described = Literal["patient", "site"]


@dataclass(frozen=True)
class CaseCounts:
    """What stands above the Cases list."""

    smears: int
    """Smears of the study."""
    without_patient: int
    progress: tuple[Progress, ...]
    """How far each reader has come, first the one who looks."""


@dataclass(frozen=True)
class CasePage:
    """A part of the Cases list."""

    lines: tuple[CaseLine, ...]
    left: int
    """Smears that the filter shows behind these."""
    shown: SmearFilter
    """The filter as it was asked, with the reader's sight."""
    newest: Mapping[int, float]
    """By smear, when something was last said of it."""


@dataclass(frozen=True)
class Run:
    """The smears that label mode walks through."""

    ids: tuple[int, ...]
    """All that the filter shows, in the order of the list, which is that of the ids."""
    unread: frozenset[int]
    """Those that the reader has not labelled."""


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

    def page(self, shown: SmearFilter, reader: str, after_id: int, limit: int) -> CasePage:
        """`limit` smears of the filtered list behind the one of `after_id`, 0: from the top.

        As this reader may see them.
        """
        with self._study.database.read() as connection:
            shown = _as_seen(connection, shown, reader)
            rows = smears.page(connection, shown, after_id, limit)
            last_id = rows[-1].smear.id if rows else after_id
            return CasePage(
                lines=tuple(case_line(self._study.scheme, row) for row in rows),
                left=smears.count(connection, shown, last_id),
                shown=shown,
                newest=moments.newest(connection, [row.smear.id for row in rows]),
            )

    def counts(self, reader: str) -> CaseCounts:
        """How many smears there are, and how far the readers have come."""
        with self._study.database.read() as connection:
            sight = Sight.of(connection, reader)
            return CaseCounts(
                smears=smears.count(connection, SmearFilter()),
                without_patient=smears.count(connection, SmearFilter(has_patient=False)),
                progress=tuple(labels.progress_by_reader(connection, self._study.scheme, sight)),
            )

    def run(self, shown: SmearFilter, reader: str) -> Run:
        """What label mode walks through: all that the filter shows."""
        with self._study.database.read() as connection:
            shown = _as_seen(connection, shown, reader)
            unread = shown.model_copy(update={"unread_by": reader})
            return Run(
                tuple(smears.all_ids(connection, shown)),
                frozenset(smears.all_ids(connection, unread)),
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

    def add(
        self,
        paths: Sequence[Path],
        on_progress: Callable[[int, int], None],
        reader: str | None = None,
    ) -> Imported:
        """Register files and folders; a folder's own labels.csv is read with it, as this reader's
        (None: of the person that the settings name).

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
            report = self._client.import_smears(part, table, reader=reader, on_progress=on_progress)
            added += report.added
            known += report.known
            given += report.labels
            refused += report.refused
        return Imported(added, known, given, tuple(str(error) for error in refused))


def _as_seen(connection: Connection, shown: SmearFilter, reader: str) -> SmearFilter:
    return shown.model_copy(update={"sight": Sight.of(connection, reader)})
