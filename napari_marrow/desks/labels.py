"""Labels, flags and regions: on disk at once, in the catalogue as soon as it takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError

from marrow.catalogue import flags, labels, moments
from marrow.catalogue.database import first_line
from marrow.catalogue.sight import Sight
from marrow.errors import MarrowError
from marrow.records import Label
from marrow.study import Study
from napari_marrow.arrivals import store
from napari_marrow.outbox import Entry, Outbox, folder_of, place_of

BATCH = 100
"""Entries of one transaction: short, because nobody else can write meanwhile."""


@dataclass(frozen=True)
class Opened:
    """What the outbox held when the study was opened."""

    waiting: tuple[Entry, ...]
    damaged: int
    """Labels or regions that were cut off when a viewer was killed."""


@dataclass(frozen=True)
class Sent:
    """What came of bringing entries to the catalogue."""

    sent: int
    waiting: int
    late: int = 0
    """Entries that were older than what stands, and stand as superseded."""
    refused: tuple[str, ...] = ()
    """Reasons, one for each entry that was refused for good."""
    refused_file: Path | None = None
    lost: str = ""
    """Why the catalogue took no more, empty where it did."""


@dataclass(frozen=True)
class WordsRead:
    """What the catalogue has of one reader on one smear."""

    answers: dict[str, str]
    is_flagged: bool
    newest: float
    """When anybody last said something of it, seconds since 1970; 0: it is not in the study."""


class LabelsDesk:
    """The labels of a study.

    No method may run on the GUI thread.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._outbox: Outbox | None = None

    def open(self) -> Opened:
        """Open this viewer's journal, and take over those of viewers that were killed.

        Raises
        ------
        MarrowError
            If the journal cannot be written.
        """
        settings = self._study.settings
        self._outbox = Outbox(folder_of(settings), place_of(settings))
        return Opened(self._outbox.waiting(), self._outbox.damaged)

    def write(self, entries: Sequence[Entry]) -> int:
        """Put entries on the disk; returns how many wait for the catalogue.

        Raises
        ------
        MarrowError
            If they are not on the disk.
        """
        outbox = self._opened()
        outbox.add(entries)
        return len(outbox)

    def send(self) -> Sent:
        """Bring what waits to the catalogue, in order, each entry once."""
        outbox = self._opened()
        sent = late = 0
        refused: list[str] = []
        file: Path | None = None
        try:
            for batch, is_late, reasons in self._deliver(outbox):
                for entry, reason in zip(batch, reasons, strict=True):
                    if reason:
                        file = outbox.keep_aside(entry, reason)
                        refused.append(reason)
                outbox.mark_sent(len(batch))
                sent += len(batch)
                late += is_late
        except DBAPIError as error:
            return Sent(sent, len(outbox), late, tuple(refused), file, first_line(error))
        return Sent(sent, len(outbox), late, tuple(refused), file)

    def own(self, smear_id: int, reader: str) -> WordsRead | None:
        """What this reader says of a smear; None: the catalogue does not answer."""
        try:
            with self._study.database.read() as connection:
                sight = Sight.of(connection, reader)
                return WordsRead(
                    labels.of_reader(connection, reader, [smear_id]).get(smear_id, {}),
                    bool(flags.standing(connection, [smear_id], sight)),
                    moments.newest(connection, [smear_id]).get(smear_id, 0.0),
                )
        except DBAPIError:
            return None

    def history(self, smear_id: int, reader: str) -> list[Label]:
        """All labels of a smear that this reader may see, oldest first."""
        with self._study.database.read() as connection:
            return labels.history(connection, smear_id, Sight.of(connection, reader))

    def close(self) -> None:
        """Give up the journal; what waits in it is sent by the next viewer."""
        if self._outbox is not None:
            self._outbox.close()

    def _opened(self) -> Outbox:
        if self._outbox is None:
            raise MarrowError(
                "Labels and regions cannot be stored: the outbox in "
                f"{folder_of(self._study.settings)} did not open; make that folder "
                "writable and open the study again"
            )
        return self._outbox

    def _deliver(self, outbox: Outbox) -> Iterator[tuple[Sequence[Entry], int, list[str]]]:
        """Batches that are in the catalogue now: entries, how many came late, refusals."""
        size = BATCH
        while batch := outbox.waiting(size):
            try:
                with self._study.database.write() as connection:
                    outcomes = [self._store(connection, entry) for entry in batch]
            except DataError as error:  # a text that the database cannot hold
                if len(batch) > 1:
                    size = 1  # find out whose
                    continue
                outcomes = [(False, first_line(error))]
            yield batch, sum(is_late for is_late, _ in outcomes), [why for _, why in outcomes]

    def _store(self, connection: Connection, entry: Entry) -> tuple[bool, str]:
        """Whether the entry came late, and why it was refused."""
        try:
            return store(connection, self._study.scheme, entry), ""
        except MarrowError as error:
            return False, str(error)
