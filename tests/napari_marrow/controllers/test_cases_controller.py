"""The Cases list without a window, on a real catalogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from marrow.catalogue import labels as stored_labels
from marrow.errors import MarrowError
from napari_marrow.controllers import cases
from napari_marrow.controllers.cases import CasesController, CasesView
from napari_marrow.controllers.labels import LabelsController, LabelsView
from napari_marrow.controllers.outbox import OutboxController
from napari_marrow.desk import Desk
from napari_marrow.session import Session

CHOICES = [
    "all",
    "unlabelled by me",
    "labelled",
    "flagged",
    "model ≠ label",
    "without a patient",
    "AA",
    "MDS",
    "AML",
    "unsure",
]


@pytest.fixture
def view() -> Any:
    made = create_autospec(CasesView, instance=True)
    made.is_model_shown.return_value = False
    return made


@pytest.fixture
def session() -> Session:
    return Session(reader="A")


@pytest.fixture
def outbox(session: Session, background: Any) -> OutboxController:
    return OutboxController(session, background)


@pytest.fixture
def labels(session: Session, background: Any, outbox: OutboxController) -> LabelsController:
    view = create_autospec(LabelsView, instance=True)
    return LabelsController(session, background, outbox, view)


@pytest.fixture
def controller(
    session: Session, background: Any, view: Any, labels: LabelsController, desk: Desk
) -> CasesController:
    made = CasesController(session, background, view, labels)
    session.desk = desk
    return made


def cells(view: Any) -> list[tuple[str, ...]]:
    return [line.cells for line in view.set_lines.call_args.args[0]]


def choose(controller: CasesController, title: str) -> None:
    controller.choose(CHOICES.index(title))


def test_lists_a_study_when_it_is_opened(controller: CasesController, view: Any) -> None:
    columns, asked = view.set_scheme.call_args.args
    titles = [column.title for column in columns]
    assert titles == ["id", "label", "model", "⚑", "patient", "site"]
    assert [head.name for head in asked] == ["diagnosis"]
    choices, chosen = view.set_choices.call_args.args
    assert [choice.title for choice in choices] == CHOICES
    assert chosen == 0
    view.set_counts.assert_called_with(0, 0, 0, "")


def test_adding_tells_what_came_of_it_and_lists_it(
    controller: CasesController, view: Any, fields: Path, session: Session, desk: Desk
) -> None:
    controller.add_smears([fields])
    view.tell.assert_called_once_with("20 smears added, 16 labels read.", False)
    reader = session.reader  # who dropped the folder: its table holds his labels
    view.set_counts.assert_called_with(16, 20, 4, "")
    assert len(cells(view)) == 20
    session.reader = desk.reader
    view.set_counts.assert_called_with(0, 20, 4, f"{reader} 16")


def test_refused_files_are_named_and_only_some_of_many(
    controller: CasesController, view: Any, tmp_path: Path
) -> None:
    for number in range(5):
        (tmp_path / f"bad{number}.png").write_bytes(b"no picture %d" % number)
    controller.add_smears(sorted(tmp_path.glob("bad*.png")))
    words, is_warning = view.tell.call_args.args
    assert is_warning
    assert "5 refused" in words
    assert "bad0.png" in words
    assert "bad4.png" not in words
    assert words.endswith("and 2 more")


def test_progress_is_shown_by_the_tick_and_never_from_the_thread(
    controller: CasesController, view: Any, fields: Path, background: Any
) -> None:
    held: list[Callable[[], Any]] = []
    background.tell = lambda errand, then, **_options: held.append(errand)
    controller.add_smears([fields])
    held[0]()  # the thread's work; its answer is still on the way
    view.set_progress.assert_not_called()
    controller.tick()
    view.set_progress.assert_called_once_with(20, 20)
    controller.tick()
    view.set_progress.assert_called_once()


def test_describes_and_shows_labels_of_several_smears(
    controller: CasesController, labels: LabelsController, view: Any, add_smears: Any, study: Any
) -> None:
    ids = add_smears(study, 3)
    controller.describe(ids, "site", " north ")
    labels.give(ids[:2], {"diagnosis": "AML"})
    assert [(row[1], row[5]) for row in cells(view)] == [
        ("AML", "north"),
        ("AML", "north"),
        ("", "north"),
    ]
    labels.give(ids[:1], {"diagnosis": ""})
    assert [row[1] for row in cells(view)] == ["", "AML", ""]


def test_each_filter_shows_what_it_says(
    controller: CasesController,
    labels: LabelsController,
    view: Any,
    add_smears: Any,
    study: Any,
    session: Session,
) -> None:
    ids = add_smears(study, 5)
    labels.give(ids[:2], {"diagnosis": "AA"})
    labels.give(ids[2:3], {"diagnosis": "unsure"})
    labels.flag(ids[4:], is_flagged=True)
    controller.describe(ids[:1], "patient", "")
    listed = {}
    for title in CHOICES:
        choose(controller, title)
        listed[title] = [row[0][-1] for row in cells(view)]
    assert listed == {
        "all": ["1", "2", "3", "4", "5"],
        "unlabelled by me": ["4", "5"],
        "labelled": ["1", "2", "3"],
        "flagged": ["5"],
        "model ≠ label": [],
        "without a patient": ["1"],
        "AA": ["1", "2"],
        "MDS": [],
        "AML": [],
        "unsure": ["3"],
    }
    choose(controller, "unlabelled by me")
    session.reader = "B"
    assert len(cells(view)) == 5
    choose(controller, "all")
    controller.search("S000002")
    assert [row[0] for row in cells(view)] == ["S000002"]
    assert controller.shown.text == "S000002"


def test_a_disagreement_with_the_champion_is_found(
    controller: CasesController,
    labels: LabelsController,
    view: Any,
    desk: Desk,
    worker: Any,
    fields: Path,
) -> None:
    desk.cases.add([fields], lambda _done, _total: None)
    desk.queue.submit(list(range(1, 9)))
    worker.work_off()
    controller.reload()
    called = {line.smear_id: line.model_call for line in view.set_lines.call_args.args[0]}
    assert all(called[smear_id] for smear_id in range(1, 9))
    calls = {smear_id: called[smear_id].split()[0] for smear_id in range(1, 9)}
    labels.give([20], {"diagnosis": "AA"})  # the model said nothing of it
    choose(controller, "model ≠ label")
    wrong = [row[0] for row in cells(view)]
    given = {number: ("AA", "MDS", "AML")[(number - 1) % 3] for number in range(1, 9)}
    assert wrong == [f"S{k:06d}" for k in range(1, 9) if calls[k] != given[k]]
    assert 0 < len(wrong) < 8


def test_the_same_filter_asks_nothing(controller: CasesController, background: Any) -> None:
    before = len(background.asked)
    controller.search("  ")
    controller.choose(0)
    assert len(background.asked) == before


def test_a_label_is_later_than_all_that_the_list_showed(
    controller: CasesController, outbox: OutboxController, add_smears: Any, study: Any
) -> None:
    (one,) = add_smears(study, 1)
    with study.database.write() as connection:  # by a clock that is an hour ahead
        at = study.database.now(connection) + 3600
        stored_labels.give(connection, at, study.scheme, one, {"diagnosis": "AA"}, "A", False)
    controller.reload()
    assert at < outbox.moment([one]) < at + 1


def test_what_waits_in_the_outbox_is_shown_all_the_same(
    controller: CasesController,
    labels: LabelsController,
    outbox: OutboxController,
    view: Any,
    add_smears: Any,
    study: Any,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = add_smears(study, 2)
    controller.reload()
    monkeypatch.setattr(desk.labels, "send", lambda: pytest.fail("sent"))
    monkeypatch.setattr(outbox, "_send", lambda: None)  # the database is gone
    labels.give(ids[:1], {"diagnosis": "AML"})
    labels.flag(ids[1:], is_flagged=True)
    assert [row[1] for row in cells(view)] == ["AML", ""]
    controller.reload()  # the catalogue knows nothing of it
    assert [(row[1], row[3]) for row in cells(view)] == [("AML", ""), ("", "⚑")]


def test_what_others_say_stays_in_the_list_when_a_smear_is_looked_at(
    controller: CasesController,
    labels: LabelsController,
    outbox: OutboxController,
    view: Any,
    add_smears: Any,
    study: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = add_smears(study, 2)
    with study.database.write() as connection:
        stored_labels.give(connection, 5.0, study.scheme, ids[0], {"diagnosis": "AML"}, "B", False)
    labels.learn(ids[0])  # it was on the canvas in label mode
    monkeypatch.setattr(outbox, "_send", lambda: None)  # the database is gone
    labels.give(ids[1:], {"diagnosis": "MDS"})
    controller.reload()
    assert [row[1] for row in cells(view)] == ["AML", "MDS"]


def test_in_label_mode_a_labelled_smear_stays_in_the_list(
    controller: CasesController,
    labels: LabelsController,
    view: Any,
    add_smears: Any,
    study: Any,
    session: Session,
) -> None:
    ids = add_smears(study, 3)
    choose(controller, "unlabelled by me")
    session.is_labelling = True
    labels.give(ids[:1], {"diagnosis": "AA"})
    assert next(row[:2] for row in cells(view)) == ("S000001", "AA")
    assert len(cells(view)) == 3
    view.set_counts.assert_called_with(1, 3, 0, "")  # the progress goes on
    session.is_labelling = False
    controller.reload()
    assert len(cells(view)) == 2


def test_a_listed_answer_of_the_model_is_a_seen_one(
    controller: CasesController,
    view: Any,
    desk: Desk,
    worker: Any,
    add_smears: Any,
    study: Any,
    session: Session,
) -> None:
    ids = add_smears(study, 3)
    desk.queue.submit(ids[:1])
    worker.work_off()
    controller.reload()
    controller.tick()
    assert session.seen == frozenset()  # the column or the dock is hidden
    view.is_model_shown.return_value = True
    controller.tick()
    assert session.seen == {ids[0]}
    desk.queue.submit(ids[1:2])
    worker.work_off()
    controller.reload()
    controller.tick()
    assert session.seen == set(ids[:2])


def test_a_long_list_is_read_page_by_page(
    controller: CasesController,
    view: Any,
    add_smears: Any,
    study: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cases, "PAGE", 4)
    add_smears(study, 10)
    controller.reload()
    assert [row[0] for row in cells(view)] == ["S000001", "S000002", "S000003", "S000004"]
    controller.more()
    assert [line.cells[0] for line in view.append_lines.call_args.args[0]][-1] == "S000008"
    controller.more()
    assert len(view.append_lines.call_args.args[0]) == 2
    view.append_lines.reset_mock()
    controller.more()
    view.append_lines.assert_not_called()
    controller.reload()  # after a change: as many as were read before
    assert len(cells(view)) == 10


def test_labels_that_are_given_meanwhile_make_no_gap_in_the_next_page(
    controller: CasesController,
    labels: LabelsController,
    view: Any,
    add_smears: Any,
    study: Any,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cases, "PAGE", 4)
    ids = add_smears(study, 14)
    choose(controller, "unlabelled by me")
    session.is_labelling = True
    labels.give(ids[:3], {"diagnosis": "AA"})  # the list stays, the filter shows 11
    listed = [row[0] for row in cells(view)]
    for total in (14, 14, 14):
        controller.more()
        lines, told = view.append_lines.call_args.args
        listed += [line.cells[0] for line in lines]
        assert told == total
    assert listed == [f"S{number:06d}" for number in ids]


def test_another_reader_does_not_see_the_list_of_the_one_before_though_the_catalogue_is_lost(
    controller: CasesController,
    labels: LabelsController,
    view: Any,
    add_smears: Any,
    study: Any,
    desk: Desk,
    session: Session,
    background: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_smears(study, 3)
    controller.reload()

    def lose(*_asked: object) -> None:
        raise MarrowError("the catalogue is lost")

    monkeypatch.setattr(desk.cases, "page", lose)
    session.reader = "B"
    assert background.told == ["the catalogue is lost"]
    assert cells(view) == []
    assert controller.total == 0


def test_the_list_is_read_anew_when_a_job_has_ended(
    controller: CasesController, view: Any, session: Session
) -> None:
    session.unfinished = (1, 2)
    view.set_lines.reset_mock()
    session.unfinished = (1, 2, 3)
    view.set_lines.assert_not_called()
    session.unfinished = (1, 3)
    view.set_lines.assert_called_once()
    session.is_labelling = True
    session.unfinished = ()
    view.set_lines.assert_called_once()
    assert not controller.shown.text
