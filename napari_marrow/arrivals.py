"""An entry of the outbox becomes rows of the catalogue, however often it arrives.

What the reader said last counts. An entry may arrive twice (the viewer was killed between the
commit and the mark in its journal), and late (it lay in a journal while the same reader said
something newer elsewhere).
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from marrow.catalogue import flags, labels, regions
from marrow.catalogue.regions import Redrawn
from marrow.catalogue.schema import label, smear, smear_flag
from marrow.catalogue.sight import Sight, seen_by
from marrow.errors import BadLabels, NotFound
from marrow.schemes import Scheme
from napari_marrow.lines.labelling import not_asked_text, ruled_out
from napari_marrow.outbox import Entry

CLOCKS_APART_S = 600.0
"""By so much the clocks of two hosts may differ before a smear counts as newer than its label."""


def store(connection: Connection, scheme: Scheme, entry: Entry) -> bool:
    """Store an entry unless it is stored; returns whether it came too late to stand.

    Raises
    ------
    NotFound
        If the study has no such smear, or has had it only since after the label: then it is
        another study at the same place.
    BadLabels
        If the scheme does not ask this, knows no such answer, or what the reader says otherwise
        leaves no sense in the question.
    """
    _require_smear(connection, entry)
    for head, answer in entry.answers.items():
        labels.check_answer(scheme, head, answer)
    _require_sense(connection, scheme, entry)
    is_late = False
    for head, answer in entry.answers.items():
        if entry.undoes is not None:
            _undo(connection, entry, head, entry.undoes, entry.said_at or entry.undoes)
        elif _changed_at(connection, entry, head) < entry.at:
            who = entry.reader, entry.seen_prediction
            labels.give(connection, entry.at, scheme, entry.smear_id, {head: answer}, *who)
        elif not _is_stored(connection, entry, head):
            is_late = True
            if answer:
                ended_at = _next_change(connection, entry, head)
                _insert(connection, entry, head, superseded_at=ended_at)
    if entry.is_flagged is not None:
        _flag(connection, entry, entry.is_flagged)
    if entry.redrawn is not None:
        _redraw(connection, entry, entry.redrawn)
    return is_late


def _require_smear(connection: Connection, entry: Entry) -> None:
    added_at = connection.execute(
        select(smear.c.added_at).where(smear.c.id == entry.smear_id)
    ).scalar_one_or_none()
    if added_at is None:
        raise NotFound(f"There is no smear S{entry.smear_id:06d} in this study")
    if added_at > entry.at + CLOCKS_APART_S:
        raise NotFound(
            f"S{entry.smear_id:06d} came to this study after the label was given: another study "
            "lay here then"
        )


def _require_sense(connection: Connection, scheme: Scheme, entry: Entry) -> None:
    """The viewer may not have known what else its reader says of the smear."""
    conditional = {
        head.name for head in scheme.asked if head.asked_when and entry.answers.get(head.name)
    }
    if not conditional:
        return
    own = labels.of_reader(connection, entry.reader, [entry.smear_id]).get(entry.smear_id, {})
    for head in conditional.intersection(ruled_out(scheme, {**own, **entry.answers})):
        if _changed_at(connection, entry, head) < entry.at:
            raise BadLabels(not_asked_text([entry.smear_id], [head]))


def _own(entry: Entry, head: str) -> tuple[ColumnElement[bool], ...]:
    return (
        label.c.smear_id == entry.smear_id,
        label.c.head == head,
        label.c.reader == entry.reader,
        ~label.c.is_adjudicated,
    )


def _changed_at(connection: Connection, entry: Entry, head: str) -> float:
    """When this reader last gave an answer to this head, or took one back; 0: never."""
    newest = select(
        func.max(label.c.at), func.max(func.coalesce(label.c.superseded_at, 0.0))
    ).where(*_own(entry, head))
    given, ended = connection.execute(newest).one()
    return max(given or 0.0, ended or 0.0)


def _next_change(connection: Connection, entry: Entry, head: str) -> float:
    """When this reader said something else after this entry."""
    later = select(func.min(label.c.at)).where(*_own(entry, head), label.c.at > entry.at)
    found = connection.execute(later).scalar_one()
    return _changed_at(connection, entry, head) if found is None else float(found)


def _is_stored(connection: Connection, entry: Entry, head: str) -> bool:
    """An answer is a row; a taking back is the end of one."""
    moment = label.c.at if entry.answers[head] else label.c.superseded_at
    same = select(label.c.id).where(*_own(entry, head), moment == entry.at)
    return connection.execute(same).first() is not None


def _insert(
    connection: Connection, entry: Entry, head: str, **fields: str | bool | float | None
) -> None:
    row: Mapping[str, object] = {
        "smear_id": entry.smear_id,
        "head": head,
        "reader": entry.reader,
        "at": entry.at,
        "answer": entry.answers[head],
        "seen_prediction": entry.seen_prediction,
        **fields,
    }
    connection.execute(insert(label), row)


def _undo(
    connection: Connection, entry: Entry, head: str, undone_at: float, said_at: float
) -> None:
    """What stood before `undone_at` stands again, unless something was said after `said_at`."""
    if _changed_at(connection, entry, head) > said_at:
        return
    before = connection.execute(
        select(label.c.answer, label.c.seen_prediction).where(
            *_own(entry, head), label.c.superseded_at == undone_at
        )
    ).one_or_none()
    connection.execute(
        update(label)
        .where(*_own(entry, head), label.c.superseded_at.is_(None))
        .values(superseded_at=entry.at)
    )
    if before is not None:
        _insert(connection, entry, head, **before._mapping)


def _flag(connection: Connection, entry: Entry, is_flagged: bool) -> None:
    """Set the reader's flag, or clear those that he sees, unless a newer word was said."""
    sight = Sight.of(connection, entry.reader)
    whose = (
        smear_flag.c.reader == entry.reader
        if is_flagged
        else seen_by(connection, sight, smear_flag)
    )
    newest = select(
        func.max(smear_flag.c.at), func.max(func.coalesce(smear_flag.c.cleared_at, 0.0))
    ).where(smear_flag.c.smear_id == entry.smear_id, whose)
    given, cleared = connection.execute(newest).one()
    if max(given or 0.0, cleared or 0.0) >= entry.at:
        return
    if is_flagged:
        flags.give(connection, entry.at, entry.smear_id, entry.reader)
    else:
        flags.clear(connection, entry.at, entry.smear_id, sight)


def _redraw(connection: Connection, entry: Entry, redrawn: Redrawn) -> None:
    if not regions.is_stored(connection, entry.at, entry.smear_id, entry.reader):
        regions.change(connection, entry.at, entry.smear_id, redrawn, entry.reader)
