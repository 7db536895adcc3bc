"""Blind reading and what comes of it: who reads, how far they agree, who decides."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from marrow.agreement import Agreement, agreements
from marrow.catalogue import labels, predictions
from marrow.catalogue.schema import label, smear
from marrow.catalogue.sight import Sight, blind_readers, count_hidden, set_blind_readers
from marrow.errors import BadReaders
from marrow.schemes import Scheme
from marrow.study import Study
from napari_marrow.lines.reading import (
    HeadReading,
    ReaderLine,
    TextLine,
    blind_words,
    head_reading,
    history_line,
    reader_line,
)


@dataclass(frozen=True)
class ReadingState:
    """All that the Consensus tab shows, from one moment and for one person."""

    readers: tuple[ReaderLine, ...]
    words: str
    """What blind reading hides."""
    heads: tuple[HeadReading, ...]
    reason: str
    """Why there is no agreement to show; empty where there is."""
    stamp: Hashable
    """Changes with whatever this shows."""


@dataclass(frozen=True)
class History:
    """The labels of a smear that a person may see."""

    smear_id: int
    lines: tuple[TextLine, ...]
    is_hidden: bool
    """Whether there may be others."""


class ReadingDesk:
    """The readers of a study.

    No method may run on the GUI thread.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def blind(self) -> tuple[str, ...] | None:
        """The study's blind readers; None: the database does not answer."""
        try:
            with self._study.database.read() as connection:
                return blind_readers(connection)
        except DBAPIError:
            return None

    def look(self, reader: str, known: Hashable = None) -> ReadingState | None:
        """What this person may see; None: the stamp is still `known`, or no database answers.

        Kappa's interval takes a bootstrap, so that it is computed when something has changed.
        """
        try:
            return self._state(reader, known)
        except DBAPIError:
            return None  # the Queue tab says so

    def _state(self, reader: str, known: Hashable) -> ReadingState | None:
        scheme = self._study.scheme
        with self._study.database.read() as connection:
            sight = Sight.of(connection, reader)
            stamp = (sight, _stamp(connection))
            if stamp == known:
                return None
            progress = labels.progress_by_reader(connection, scheme, sight)
            hidden = count_hidden(connection, scheme)
            found, reason = _agreements(connection, scheme)
        readers = tuple(reader_line(one, reader) for one in progress)
        heads = tuple(head_reading(one) for one in found)
        return ReadingState(readers, blind_words(readers, hidden), heads, reason, stamp)

    def set_blind(self, names: Sequence[str]) -> tuple[str, ...]:
        """Let these read blind, () opens the study; BadReaders if one reads alone."""
        with self._study.database.write() as connection:
            return set_blind_readers(connection, names)

    def adjudicate(self, smear_id: int, head: str, answer: str, reader: str) -> None:
        """Store the answer that counts for this smear, "" takes it back.

        It counts as blind only where no model has said anything of the smear: what was on a
        screen before this viewer was started, nobody knows.

        Raises
        ------
        NotOpen
            If a blind reader has still to read it.
        """
        with self._study.database.write() as connection:
            at = self._study.database.now(connection)
            scheme, sight = self._study.scheme, Sight.of(connection, reader)
            is_seen = bool(predictions.shown_to(connection, scheme, [smear_id], sight))
            labels.adjudicate(connection, at, scheme, smear_id, {head: answer}, reader, is_seen)

    def history(self, smear_id: int, reader: str) -> History:
        """All labels of a smear that this person may see, the newest first."""
        with self._study.database.read() as connection:
            sight = Sight.of(connection, reader)
            found = labels.history(connection, smear_id, sight)
            hidden = sight.hidden(connection, self._study.scheme, [smear_id])
        lines = tuple(history_line(one) for one in reversed(found))
        return History(smear_id, lines, bool(hidden))


def _agreements(connection: Connection, scheme: Scheme) -> tuple[list[Agreement], str]:
    try:
        return agreements(connection, scheme), ""
    except BadReaders as error:
        return [], str(error)


def _stamp(connection: Connection) -> Hashable:
    """Labels are added and superseded, never changed otherwise; patients get other names."""
    counts = select(func.max(label.c.id), func.count(label.c.superseded_at))
    names = func.count(smear.c.patient), func.count(smear.c.patient.distinct())
    patients = select(func.count(), *names)
    return (*connection.execute(counts).one(), *connection.execute(patients).one())
