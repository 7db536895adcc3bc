"""Labels on their way: on the disk, in the catalogue once, whatever is killed or lost."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DataError, OperationalError

from marrow.catalogue import flags, labels
from marrow.catalogue.schema import label
from marrow.catalogue.sight import set_blind_readers
from marrow.errors import MarrowError
from marrow.study import Study
from napari_marrow.desk import Desk
from napari_marrow.outbox import (
    PLACE,
    REFUSED,
    Entry,
    Outbox,
    folder_of,
    place_of,
    read_journal,
    refused_in,
    waiting_in,
)

NOW = 1_800_000_000.0


def entry(smear_id: int = 1, answer: str = "AA", at: float = NOW, **fields: Any) -> Entry:
    return Entry(smear_id=smear_id, reader="A", at=at, answers={"diagnosis": answer}, **fields)


def journal(folder: Path) -> Path:
    (found,) = (one for one in folder.glob("*.jsonl") if one.name != REFUSED)
    return found


@pytest.fixture
def study(any_study: Study) -> Study:
    """On SQLite and on PostgreSQL."""
    return any_study


@pytest.fixture
def ids(add_smears: Any, study: Study) -> list[int]:
    made: list[int] = add_smears(study, 6)
    return made


@pytest.fixture
def opened(desk: Desk, ids: list[int]) -> Iterator[Desk]:
    desk.labels.open()
    yield desk
    desk.labels.close()


def stored(study: Study, smear_id: int = 1) -> list[tuple[str, float, bool]]:
    """(answer, at, whether it stands) of a smear's labels, oldest first."""
    with study.database.read() as connection:
        given = labels.history(connection, smear_id)
    return [(one.answer, one.at, one.superseded_at is None) for one in given]


def break_database(study: Study, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    @contextmanager
    def broken() -> Iterator[None]:
        raise error
        yield

    monkeypatch.setattr(study.database, "write", broken)


def lost(words: str = "server closed the connection") -> OperationalError:
    return OperationalError("INSERT", {}, Exception(words))


def test_an_entry_is_private_and_on_the_disk_when_add_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path / "box", "/home/study")
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        assert os.fstat(descriptor).st_size > 0  # the line was written before
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    outbox.add([entry(at=1_795_555_555.123456789)])
    assert len(synced) == 1
    path = journal(tmp_path / "box")
    assert read_journal(path).waiting == (entry(at=1_795_555_555.123456789),)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (path.parent / PLACE).read_text() == "/home/study"


def test_what_was_sent_is_taken_out_and_an_empty_journal_is_empty(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([entry(1), entry(2), entry(3)])
    outbox.mark_sent(2)
    assert [one.smear_id for one in read_journal(journal(tmp_path)).waiting] == [3]
    outbox.add([entry(4)])
    outbox.mark_sent(1)
    assert [one.smear_id for one in read_journal(journal(tmp_path)).waiting] == [4]
    outbox.mark_sent(1)
    assert journal(tmp_path).stat().st_size == 0
    outbox.close()
    assert list(tmp_path.glob("*.jsonl")) == list(tmp_path.glob("*.lock")) == []


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_that_a_kill_cut_off_loses_no_other(tmp_path: Path, cut: int) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([entry(1), entry(2), entry(3)])
    path = journal(tmp_path)
    outbox.close()
    path.write_bytes(path.read_bytes()[:-cut])  # 1: only its line end is missing
    successor = Outbox(tmp_path)
    assert [one.smear_id for one in successor.waiting()] == [1, 2]
    assert successor.damaged == 1
    successor.add([entry(4)])
    assert [one.smear_id for one in read_journal(journal(tmp_path)).waiting] == [1, 2, 4]


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_damaged_line_swallows_no_label_that_waits(tmp_path: Path, line: int) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([entry(1), entry(2)])
    outbox.mark_sent(1)
    outbox.add([entry(3)])
    path = journal(tmp_path)
    outbox.close()
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = b"\x00" * (len(lines[line]) - 1) + b"\n"  # as some file systems leave it
    path.write_bytes(b"".join(lines))
    waiting = [one.smear_id for one in read_journal(path).waiting]
    # What cannot be read is lost; where the mark is, its label is sent twice and stored once.
    assert waiting == {0: [2, 3], 1: [3], 2: [1, 2, 3]}[line]


def test_a_full_disk_leaves_no_half_line_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([entry(1)])
    real = os.write

    def write(descriptor: int, lines: bytes) -> int:
        if len(lines) < 20:
            raise OSError(28, "No space left on device")
        return real(descriptor, lines[:-10])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        with pytest.raises(MarrowError, match="No space left on device"):
            outbox.add([entry(2)])
    outbox.add([entry(3)])
    assert [one.smear_id for one in outbox.waiting()] == [1, 3]
    assert read_journal(journal(tmp_path)).waiting == outbox.waiting()
    assert read_journal(journal(tmp_path)).damaged == 0


def test_two_viewers_keep_their_own_journals(tmp_path: Path) -> None:
    first = Outbox(tmp_path)
    first.add([entry(1)])
    second = Outbox(tmp_path)
    second.add([entry(2)])
    assert [one.smear_id for one in first.waiting()] == [1]
    assert [one.smear_id for one in second.waiting()] == [2]
    assert waiting_in(tmp_path) == 2


def test_a_viewer_closes_on_another_thread_than_it_opened(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(Outbox, tmp_path).result()
    first.add([entry(1)])
    first.close()
    assert [one.smear_id for one in Outbox(tmp_path).waiting()] == [1]


WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from napari_marrow.outbox import Entry, Outbox
outbox = Outbox(Path(sys.argv[1]))
outbox.add([Entry(smear_id=5, reader="A", at=2.0, answers={"diagnosis": "MDS"})])
outbox.add([Entry(smear_id=6, reader="A", at=3.0, answers={"diagnosis": "AML"})])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_the_journal_of_a_killed_viewer_is_adopted_in_order(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(tmp_path)], check=False)
    assert ended.returncode == -9
    living = Outbox(tmp_path)
    assert [one.smear_id for one in living.waiting()] == [5, 6]
    assert living.damaged == 0
    assert waiting_in(tmp_path) == 2  # one journal: the dead one's is gone
    assert len(list(tmp_path.glob("*.lock"))) == 1


def test_the_same_study_has_one_folder_and_no_password_in_it(study: Study, tmp_path: Path) -> None:
    settings = study.settings.model_copy(update={"database": None})
    assert folder_of(settings, tmp_path) == folder_of(settings, tmp_path)
    other = settings.model_copy(update={"home": tmp_path / "other"})
    assert folder_of(settings, tmp_path) != folder_of(other, tmp_path)
    lab = type(settings).model_validate(
        settings.model_dump() | {"database": "postgresql://u:secret@host/marrow"}
    )
    assert "secret" not in place_of(lab)
    assert "host/marrow" in place_of(lab)


def test_labels_arrive_in_order_with_the_moment_of_labelling(opened: Desk, study: Study) -> None:
    opened.labels.write([entry(1, "AA", NOW), entry(2, "MDS", NOW + 1)])
    opened.labels.write([entry(1, "AML", NOW + 2, seen_prediction=True)])
    sent = opened.labels.send()
    assert (sent.sent, sent.waiting, sent.lost, sent.refused) == (3, 0, "", ())
    assert stored(study) == [("AA", NOW, False), ("AML", NOW + 2, True)]
    with study.database.read() as connection:
        assert [one.seen_prediction for one in labels.history(connection, 1)] == [False, True]


def test_an_entry_that_is_sent_twice_is_stored_once(opened: Desk, study: Study) -> None:
    """The viewer was killed between the commit and the mark in the journal."""
    given = [entry(1, "AA", NOW), entry(1, "", NOW + 1), entry(1, "MDS", NOW + 2)]
    for _ in range(2):
        opened.labels.write(given)
        assert opened.labels.send().late == 0
    assert stored(study) == [("AA", NOW, False), ("MDS", NOW + 2, True)]
    with study.database.read() as connection:
        (first, _second) = labels.history(connection, 1)
    assert first.superseded_at == NOW + 1


def test_a_kill_between_commit_and_mark_stores_nothing_twice(
    desk: Desk, study: Study, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    def die(_outbox: Outbox, _count: int) -> None:
        raise KilledError

    desk.labels.open()
    desk.labels.write([entry(1, "AA", NOW), entry(2, "MDS", NOW + 1)])
    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "mark_sent", die)
        with pytest.raises(KilledError):
            desk.labels.send()
    desk.labels.close()
    successor = Desk(study, None)  # type: ignore[arg-type] -- no client is asked
    assert [one.smear_id for one in successor.labels.open().waiting] == [1, 2]
    assert successor.labels.send().sent == 2
    with study.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(label)).scalar_one() == 2
    successor.labels.close()


def test_a_lost_database_keeps_every_label_until_it_returns(
    opened: Desk, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.labels.write([entry(1, "AA", NOW)])
    with monkeypatch.context() as patched:
        break_database(study, patched, lost())
        sent = opened.labels.send()
        assert (sent.sent, sent.waiting, sent.lost) == (0, 1, "server closed the connection")
        assert opened.labels.write([entry(2, "MDS", NOW + 1)]) == 2
        assert opened.labels.send().waiting == 2
    assert stored(study, 1) == []
    assert opened.labels.send().sent == 2
    assert stored(study, 2) == [("MDS", NOW + 1, True)]


def test_a_read_only_study_keeps_the_labels_on_this_machine(opened: Desk, study: Study) -> None:
    if not study.database.is_sqlite:
        pytest.skip("a folder is read-only, a server is not")
    with study.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")  # this pooled connection stays so
    opened.labels.write([entry(1)])
    sent = opened.labels.send()
    assert sent.waiting == 1
    assert "readonly" in sent.lost
    assert waiting_in(folder_of(study.settings)) == 1


def test_what_is_refused_is_kept_aside_and_blocks_nothing(opened: Desk, study: Study) -> None:
    folder = folder_of(study.settings)
    given = [entry(99), entry(1, "CML"), entry(2, "MDS", NOW + 1)]
    opened.labels.write(given)
    sent = opened.labels.send()
    assert (sent.sent, sent.waiting) == (3, 0)
    assert "S000099" in sent.refused[0]
    assert "CML" in sent.refused[1]
    assert sent.refused_file == folder / REFUSED
    assert refused_in(folder) == 2
    first = json.loads((folder / REFUSED).read_text().splitlines()[0])
    assert (first["smear_id"], first["answers"]) == (99, {"diagnosis": "AA"})
    assert stored(study, 2) == [("MDS", NOW + 1, True)]


def test_a_text_that_the_database_cannot_hold_is_found_out_alone(
    opened: Desk, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = labels.give

    def give(connection: Any, at: float, scheme: Any, smear_id: int, *more: Any) -> None:
        if smear_id == 2:
            raise DataError("INSERT", {}, Exception("text fields cannot contain NUL bytes"))
        real(connection, at, scheme, smear_id, *more)

    monkeypatch.setattr(labels, "give", give)
    opened.labels.write([entry(1), entry(2), entry(3)])
    sent = opened.labels.send()
    assert (sent.sent, sent.waiting) == (3, 0)
    assert sent.refused == ("text fields cannot contain NUL bytes",)
    assert [bool(stored(study, one)) for one in (1, 2, 3)] == [True, False, True]


def test_a_label_of_another_study_at_the_same_place_is_refused(opened: Desk, study: Study) -> None:
    opened.labels.write([entry(1, at=1_000_000_000.0)])  # long before the smear was added
    assert "another study" in opened.labels.send().refused[0]
    assert stored(study) == []


def test_a_late_label_stands_behind_the_newer_one(opened: Desk, study: Study) -> None:
    """It lay in the journal of a killed viewer while its reader labelled elsewhere."""
    opened.labels.write([entry(1, "MDS", NOW + 5)])
    opened.labels.send()
    late = []
    for _ in range(2):
        opened.labels.write([entry(1, "AA", NOW)])
        late.append(opened.labels.send().late)
    assert late == [1, 0]  # the second time it was stored already
    assert stored(study) == [("AA", NOW, False), ("MDS", NOW + 5, True)]
    opened.labels.write([entry(1, "", NOW + 1)])  # a late taking back takes nothing newer back
    assert opened.labels.send().late == 1
    assert stored(study)[-1] == ("MDS", NOW + 5, True)


def undo(smear_id: int, undoes: float, at: float) -> Entry:
    return entry(smear_id, "", at, undoes=undoes)


def test_undoing_lets_stand_what_stood_before(opened: Desk, study: Study) -> None:
    opened.labels.write([entry(1, "AA", NOW, seen_prediction=True), entry(1, "MDS", NOW + 1)])
    for _ in range(2):  # twice changes nothing
        opened.labels.write([undo(1, NOW + 1, NOW + 2)])
        opened.labels.send()
    assert stored(study) == [
        ("AA", NOW, False),
        ("MDS", NOW + 1, False),
        ("AA", NOW + 2, True),
    ]
    with study.database.read() as connection:
        assert labels.history(connection, 1)[-1].seen_prediction
    opened.labels.write([entry(2, "AA", NOW), undo(2, NOW, NOW + 3)])
    opened.labels.send()
    assert stored(study, 2) == [("AA", NOW, False)]


def test_undoing_again_and_again_goes_back_step_by_step(opened: Desk, study: Study) -> None:
    given = [entry(1, "AA", NOW), entry(1, "MDS", NOW + 1), entry(1, "AML", NOW + 2)]
    opened.labels.write(given)
    opened.labels.send()
    stands = []
    for at, undoes, said_at in ((3, 2, 2), (4, 1, 3), (5, 0, 4)):
        step = undo(1, NOW + undoes, NOW + at).model_copy(update={"said_at": NOW + said_at})
        for _ in range(2):
            opened.labels.write([step])
            opened.labels.send()
        stands.append([answer for answer, _at, is_standing in stored(study) if is_standing])
    assert stands == [["MDS"], ["AA"], []]


def test_undoing_a_taking_back_gives_the_answer_again(opened: Desk, study: Study) -> None:
    opened.labels.write([entry(1, "AA", NOW), entry(1, "", NOW + 1), undo(1, NOW + 1, NOW + 2)])
    opened.labels.send()
    assert stored(study) == [("AA", NOW, False), ("AA", NOW + 2, True)]


def test_undoing_leaves_a_newer_answer_alone(opened: Desk, study: Study) -> None:
    opened.labels.write([entry(1, "AA", NOW), entry(1, "MDS", NOW + 5), undo(1, NOW, NOW + 6)])
    opened.labels.send()
    assert stored(study) == [("AA", NOW, False), ("MDS", NOW + 5, True)]


def test_flags_take_the_same_way(opened: Desk, study: Study) -> None:
    def flagged() -> dict[int, tuple[str, ...]]:
        with study.database.read() as connection:
            return flags.standing(connection, [1, 2])

    flag = Entry(smear_id=1, reader="A", at=NOW, is_flagged=True)
    clear = Entry(smear_id=1, reader="A", at=NOW + 1, is_flagged=False)
    opened.labels.write([flag, flag.model_copy(update={"smear_id": 2})])
    opened.labels.send()
    assert flagged() == {1: ("A",), 2: ("A",)}
    for _ in range(2):  # the flag comes once more after it was cleared
        opened.labels.write([clear, flag])
        opened.labels.send()
    assert flagged() == {2: ("A",)}


def test_a_flag_is_cleared_whatever_another_reader_said_that_one_cannot_see(
    opened: Desk, study: Study
) -> None:
    with study.database.write() as connection:
        set_blind_readers(connection, ["A", "B"])
    theirs = Entry(smear_id=1, reader="B", at=NOW + 5, is_flagged=True)  # a clock that is ahead
    mine = Entry(smear_id=1, reader="A", at=NOW, is_flagged=True)
    opened.labels.write(
        [theirs, mine, mine.model_copy(update={"at": NOW + 1, "is_flagged": False})]
    )
    opened.labels.send()
    with study.database.read() as connection:
        assert flags.standing(connection, [1]) == {1: ("B",)}


def test_without_a_place_to_write_the_sentence_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MarrowError, match=r"Labels and regions cannot be stored: .*file"):
        Outbox(tmp_path / "file" / "box")
