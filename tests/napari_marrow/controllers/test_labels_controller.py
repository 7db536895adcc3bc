"""The one way that labels take, on a real catalogue that may be lost for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock, create_autospec

import pytest
from sqlalchemy.exc import OperationalError

from marrow.catalogue import flags
from marrow.catalogue import labels as stored_labels
from marrow.catalogue.smears import SmearFilter
from marrow.client import Client
from marrow.schemes import Scheme
from marrow.study import Study
from napari_marrow.controllers.labels import LabelsController, LabelsView
from napari_marrow.controllers.outbox import RETRY_S, SILENT_S, OutboxController
from napari_marrow.desk import Desk
from napari_marrow.outbox import folder_of, waiting_in
from napari_marrow.session import Session

EXAMPLES = Path(__file__).parents[3] / "examples"


class Hand:
    """A clock and a timer that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def view() -> Any:
    """The `LabelsView`, and what the outbox says."""
    made = create_autospec(LabelsView, instance=True)
    made.set_saved, made.tell = Mock(), Mock()
    return made


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def session() -> Session:
    return Session(reader="A")


@pytest.fixture
def outbox(session: Session, background: Any, view: Any, hand: Hand) -> OutboxController:
    made = OutboxController(session, background, clock=hand, timer=hand)
    made.saved.connect(view.set_saved)
    made.told.connect(view.tell)
    return made


@pytest.fixture
def controller(
    session: Session, background: Any, outbox: OutboxController, view: Any, desk: Desk
) -> Iterator[LabelsController]:
    made = LabelsController(session, background, outbox, view)
    session.desk = desk
    yield made
    desk.labels.close()


@pytest.fixture
def ids(add_smears: Any, study: Study) -> list[int]:
    made: list[int] = add_smears(study, 20)
    return made


class Line:
    """The line to the database."""

    is_cut = False


@pytest.fixture
def line(study: Study, monkeypatch: pytest.MonkeyPatch) -> Line:
    made, whole = Line(), study.database.write

    @contextmanager
    def write() -> Iterator[Any]:
        if made.is_cut:
            raise OperationalError("INSERT", {}, Exception("database is locked"))
        with whole() as connection:
            yield connection

    monkeypatch.setattr(study.database, "write", write)
    return made


def standing(study: Study, smear_id: int, reader: str = "A") -> dict[str, str]:
    with study.database.read() as connection:
        return stored_labels.of_reader(connection, reader, [smear_id]).get(smear_id, {})


def test_a_label_is_on_the_disk_before_anything_follows(
    controller: LabelsController,
    outbox: OutboxController,
    study: Study,
    ids: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting: list[int] = []
    monkeypatch.setattr(outbox, "_send", lambda: None)
    controller.give(
        ids[:2],
        {"diagnosis": "AA"},
        then=lambda: waiting.append(waiting_in(folder_of(study.settings))),
    )
    assert waiting == [2]


def test_a_label_knows_whether_a_prediction_was_seen(
    controller: LabelsController, session: Session, study: Study, ids: list[int]
) -> None:
    session.note_seen(frozenset({ids[1]}))
    controller.give(ids[:2], {"diagnosis": "AA"})
    controller.give(ids[2:3], {"diagnosis": "AA"}, seen=True)
    with study.database.read() as connection:
        seen = [
            stored_labels.history(connection, smear_id)[0].seen_prediction for smear_id in ids[:3]
        ]
    assert seen == [False, True, True]


def test_undo_is_repeatable_and_takes_a_bulk_back_at_once(
    controller: LabelsController, view: Any, study: Study, ids: list[int], hand: Hand
) -> None:
    controller.give(ids[:1], {"diagnosis": "AA"})
    controller.give(ids[:3], {"diagnosis": "MDS"})
    view.set_undoable.assert_called_with(3)
    went: list[list[int]] = []
    controller.undo(then=lambda undone: went.append(list(undone)))
    assert went == [ids[:3]]
    view.set_undoable.assert_called_with(1)
    assert [standing(study, one) for one in ids[:3]] == [{"diagnosis": "AA"}, {}, {}]
    controller.undo()
    assert standing(study, ids[0]) == {}
    view.set_undoable.assert_called_with(0)
    controller.undo(then=lambda undone: went.append(list(undone)))
    assert went == [ids[:3], []]


def test_undo_takes_the_label_back_that_is_being_stored(
    controller: LabelsController, background: Any, study: Study, ids: list[int]
) -> None:
    controller.give(ids[:1], {"diagnosis": "AA"})
    journal = slow_disk(background)
    controller.give(ids[1:2], {"diagnosis": "MDS"})
    controller.undo()  # before the disk has it
    work_off(journal)
    assert standing(study, ids[0]) == {"diagnosis": "AA"}
    assert standing(study, ids[1]) == {}


def test_a_label_that_is_stored_after_the_reader_changed_is_not_the_new_readers(
    controller: LabelsController,
    session: Session,
    background: Any,
    view: Any,
    study: Study,
    ids: list[int],
) -> None:
    journal = slow_disk(background)
    controller.give(ids[:1], {"diagnosis": "AA"})
    session.reader = "B"
    view.set_undoable.reset_mock()
    work_off(journal)
    assert standing(study, ids[0], "A") == {"diagnosis": "AA"}
    assert controller.own(ids[0]) == {}
    view.set_undoable.assert_not_called()


def test_labels_that_wait_in_a_study_that_was_left_are_told(
    controller: LabelsController,
    session: Session,
    background: Any,
    view: Any,
    study: Study,
    desk: Desk,
    ids: list[int],
    line: Line,
    make_study: Callable[..., Study],
    client_without_agent: Callable[[Study], Client],
) -> None:
    journal = slow_disk(background)
    controller.give(ids[:2], {"diagnosis": "AA"})
    session.desk = Desk(study, client_without_agent(study))  # the same one: it sends them
    work_off(journal)
    view.tell.assert_not_called()
    assert standing(study, ids[1]) == {"diagnosis": "AA"}
    line.is_cut = True
    controller.give(ids[:1], {"diagnosis": "AML"})
    work_off(journal)
    controller.give(ids[1:2], {"diagnosis": "AML"})
    other = make_study(name="other")
    session.desk = Desk(other, client_without_agent(other))
    work_off(journal)
    told = [call.args[0] for call in view.tell.call_args_list]
    assert all(f"1 label or region of {study.settings.home}" in words for words in told)
    assert len(told) == 2
    assert "when that study is opened again" in told[0]
    session.desk.labels.close()


def slow_disk(background: Any) -> list[Callable[[], None]]:
    """What the disk has still to do, in order."""
    at_once, journal = background.tell, []

    def tell(errand: Any, then: Any, *, lane: str = "", failed: Any = None) -> None:
        if lane == "journal":
            journal.append(lambda: at_once(errand, then, failed=failed))
        else:
            at_once(errand, then, lane=lane, failed=failed)

    background.tell = tell
    return journal


def work_off(journal: list[Callable[[], None]]) -> None:
    while journal:
        journal.pop(0)()


@pytest.fixture
def subtypes(
    make_study: Callable[..., Study],
    client_without_agent: Callable[[Study], Client],
    add_smears: Any,
    session: Session,
    controller: LabelsController,
) -> Iterator[Study]:
    """A study open that asks for the subtype of what is MDS or AML."""
    made = make_study(Scheme.from_toml(EXAMPLES / "subtypes.toml"), name="subtypes")
    add_smears(made, 3)
    session.desk = Desk(made, client_without_agent(made))
    yield made
    session.desk.labels.close()


def test_an_answer_takes_the_answers_back_that_make_no_sense_any_more(
    controller: LabelsController, session: Session, subtypes: Study
) -> None:
    controller.give([1], {"diagnosis": "MDS"})
    controller.give([1], {"mds_subtype": "MDS-5q"})
    session.reader = "B"
    session.reader = "A"  # nothing is known here of what he said
    controller.give([1, 2], {"diagnosis": "AML"})
    assert standing(subtypes, 1) == standing(subtypes, 2) == {"diagnosis": "AML"}
    controller.undo()
    assert standing(subtypes, 1) == {"diagnosis": "MDS", "mds_subtype": "MDS-5q"}
    assert standing(subtypes, 2) == {}


def test_of_a_models_calls_those_are_accepted_that_make_sense_together(
    controller: LabelsController, subtypes: Study
) -> None:
    controller.give([1], {"diagnosis": "AML", "mds_subtype": "MDS-5q", "aml_subtype": "NPM1"})
    assert standing(subtypes, 1) == {"diagnosis": "AML", "aml_subtype": "NPM1"}


def test_an_answer_to_a_question_without_sense_is_told_and_not_stored(
    controller: LabelsController, session: Session, view: Any, subtypes: Study
) -> None:
    controller.give([1], {"diagnosis": "AML"})
    controller.give([2], {"diagnosis": "MDS"})
    stays = Mock()
    controller.give([1], {"mds_subtype": "MDS-5q"}, failed=stays)
    stays.assert_called_once()
    assert "S000001: mds_subtype is not asked" in view.tell.call_args.args[0]
    controller.give([1, 2], {"mds_subtype": "MDS-5q"})
    assert standing(subtypes, 1) == {"diagnosis": "AML"}
    assert standing(subtypes, 2) == {"diagnosis": "MDS", "mds_subtype": "MDS-5q"}
    session.reader = "B"
    session.reader = "A"  # nothing is known here of what he said: the catalogue knows
    controller.give([1], {"mds_subtype": "MDS-5q"})
    assert standing(subtypes, 1) == {"diagnosis": "AML"}
    assert "refused" in view.tell.call_args.args[0]
    controller.give([1], {"mds_subtype": ""})  # to take back what is not there is no matter


def test_nobody_takes_back_what_another_reader_said(
    controller: LabelsController, session: Session, study: Study, ids: list[int]
) -> None:
    controller.give(ids[:1], {"diagnosis": "AA"})
    session.reader = "B"
    controller.undo()
    controller.give(ids[:1], {"diagnosis": "MDS"})
    assert standing(study, ids[0], "A") == {"diagnosis": "AA"}
    assert standing(study, ids[0], "B") == {"diagnosis": "MDS"}


def test_two_labels_of_one_moment_keep_their_order(
    controller: LabelsController, study: Study, ids: list[int], hand: Hand
) -> None:
    controller.give(ids[:1], {"diagnosis": "AA"})
    hand.now -= 3600  # somebody sets the clock back
    controller.give(ids[:1], {"diagnosis": "MDS"})
    assert standing(study, ids[0]) == {"diagnosis": "MDS"}


def test_the_last_word_counts_after_the_clock_was_set_back_between_two_starts(
    controller: LabelsController,
    session: Session,
    view: Any,
    study: Study,
    hand: Hand,
    ids: list[int],
    client_without_agent: Callable[[Study], Client],
) -> None:
    controller.give([1], {"diagnosis": "AA"})
    hand.now -= 3600
    session.desk = Desk(study, client_without_agent(study))
    controller.note_newest(session.desk.cases.page(SmearFilter(), "A", 0, 20).newest)
    controller.give([1], {"diagnosis": "AML"})
    assert standing(study, 1) == {"diagnosis": "AML"}
    controller.give([1], {"diagnosis": ""})
    assert standing(study, 1) == {}
    hand.now = 1_000_000_000.0  # long before the smears were added
    controller.give([2], {"diagnosis": "MDS"})
    assert standing(study, 2) == {"diagnosis": "MDS"}
    view.tell.assert_not_called()
    session.desk.labels.close()


def test_what_was_said_by_a_clock_that_is_ahead_is_known_before_the_answer(
    controller: LabelsController, study: Study, hand: Hand, ids: list[int]
) -> None:
    with study.database.write() as connection:  # on another machine
        given = {"diagnosis": "AA"}
        stored_labels.give(connection, hand.now + 60, study.scheme, 1, given, "A", False)
    controller.learn(1)
    controller.give([1], {"diagnosis": "AML"})
    assert standing(study, 1) == {"diagnosis": "AML"}


def test_a_database_that_is_gone_for_half_a_minute_costs_no_label(
    controller: LabelsController,
    outbox: OutboxController,
    view: Any,
    study: Study,
    ids: list[int],
    hand: Hand,
    line: Line,
) -> None:
    controller.give(ids[:1], {"diagnosis": "AA"})
    view.set_saved.assert_called_with(0, "")
    line.is_cut = True
    labelled_at = []
    for smear_id in ids[1:4]:
        hand.now += 1
        labelled_at.append(hand.now)
        controller.give([smear_id], {"diagnosis": "MDS"})
    view.set_saved.assert_called_with(3, "database is locked")
    attempts = view.set_saved.call_count
    for _ in range(150):  # 30 s of the panel's clock
        hand.now += 0.2
        outbox.tick()
    assert view.set_saved.call_count - attempts == pytest.approx(30 / RETRY_S, abs=2)
    view.set_saved.assert_called_with(3, "database is locked")
    line.is_cut = False
    hand.now += RETRY_S
    outbox.tick()
    view.set_saved.assert_called_with(0, "")
    assert controller.unsent == 0
    with study.database.read() as connection:
        given = [stored_labels.history(connection, smear_id) for smear_id in ids[1:4]]
    assert [[one.at for one in labels] for labels in given] == [[at] for at in labelled_at]


def test_labels_that_wait_for_a_locked_database_are_shown(
    controller: LabelsController,
    outbox: OutboxController,
    view: Any,
    ids: list[int],
    hand: Hand,
    background: Any,
) -> None:
    held: list[Any] = []
    at_once = background.tell

    def tell(errand: Any, then: Any, *, lane: str = "", failed: Any = None) -> None:
        if lane == "sender":
            held.append((errand, then))  # waits for a lock, for half a minute
        else:
            at_once(errand, then, lane=lane, failed=failed)

    background.tell = tell
    controller.give(ids[:1], {"diagnosis": "AA"})
    controller.give(ids[1:2], {"diagnosis": "AA"})
    assert len(held) == 1  # one sender at a time
    hand.now += SILENT_S + 0.1
    outbox.tick()
    view.set_saved.assert_called_with(2, "")
    errand, then = held.pop()
    then(errand())
    view.set_saved.assert_called_with(0, "")


def test_what_a_closed_viewer_left_is_sent_by_the_next(
    controller: LabelsController,
    session: Session,
    view: Any,
    study: Study,
    ids: list[int],
    client_without_agent: Callable[[Study], Client],
    line: Line,
) -> None:
    line.is_cut = True
    controller.give(ids[:2], {"diagnosis": "AML"})
    line.is_cut = False
    session.desk = Desk(study, client_without_agent(study))  # the study is opened once more
    assert [standing(study, one) for one in ids[:2]] == [{"diagnosis": "AML"}] * 2
    view.set_saved.assert_called_with(0, "")
    assert waiting_in(folder_of(study.settings)) == 0
    session.desk.labels.close()


def test_a_damaged_journal_is_told(
    controller: LabelsController,
    session: Session,
    view: Any,
    study: Study,
    ids: list[int],
    client_without_agent: Callable[[Study], Client],
) -> None:
    folder = folder_of(study.settings)
    (folder / "1-dead.jsonl").write_bytes(b'{"smear_id": 1, "reader": "A", "a')
    session.desk = Desk(study, client_without_agent(study))
    assert "that one is lost" in view.tell.call_args.args[0]
    session.desk.labels.close()


def test_a_refusal_is_told_once_and_the_rest_goes_on(
    controller: LabelsController, view: Any, study: Study, ids: list[int]
) -> None:
    controller.give([4711, ids[0]], {"diagnosis": "AA"})
    words = view.tell.call_args.args[0]
    assert "1 label or region refused" in words
    assert "S004711" in words
    assert "refused.jsonl" in words
    assert standing(study, ids[0]) == {"diagnosis": "AA"}
    view.set_saved.assert_called_with(0, "")


def test_a_full_disk_stops_the_run_and_offers_the_undo_again(
    controller: LabelsController,
    view: Any,
    background: Any,
    ids: list[int],
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    controller.give(ids[:1], {"diagnosis": "AA"})
    went: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr("os.write", full_disk)
        controller.give(
            ids[1:2],
            {"diagnosis": "AA"},
            then=lambda: went.append("on"),
            failed=lambda: went.append("stays"),
        )
        assert went == ["stays"]
        assert "No space left" in background.told[0]
        controller.undo()
        view.set_undoable.assert_called_with(1)
    controller.undo()
    view.set_undoable.assert_called_with(0)


def full_disk(_descriptor: int, _lines: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_a_flag_is_set_and_cleared(
    controller: LabelsController, study: Study, ids: list[int]
) -> None:
    def flagged() -> dict[int, tuple[str, ...]]:
        with study.database.read() as connection:
            return flags.standing(connection, ids)

    controller.flag(ids[:2], is_flagged=True)
    assert flagged() == {ids[0]: ("A",), ids[1]: ("A",)}
    controller.flag(ids[:1], is_flagged=False)
    assert flagged() == {ids[1]: ("A",)}
    assert controller.is_flagged(ids[0]) is False
    assert controller.is_flagged(ids[2]) is None
