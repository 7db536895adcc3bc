"""A run of labels without a window, on a real catalogue and real files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from sqlalchemy.exc import OperationalError

from marrow.catalogue import flags
from marrow.catalogue import labels as stored_labels
from marrow.client import Client
from marrow.errors import MarrowError
from marrow.schemes import Scheme
from marrow.study import Study
from napari_marrow.controllers.cases import CasesController, CasesView
from napari_marrow.controllers.label_view import LabellingView
from napari_marrow.controllers.labelling import LabellingController
from napari_marrow.controllers.labels import LabelsController, LabelsView
from napari_marrow.controllers.outbox import RETRY_S, OutboxController
from napari_marrow.controllers.regions import RegionsController
from napari_marrow.controllers.smear import Canvas, SmearController
from napari_marrow.desk import Desk
from napari_marrow.lines.labelling import OWED_TEXT
from napari_marrow.outbox import folder_of, waiting_in
from napari_marrow.session import Session

EXAMPLES = Path(__file__).parents[3] / "examples"


class Room:
    """Label mode with all that is around it, on a study of 20 unlabelled smears."""

    def __init__(self, desk: Desk, study: Study, background: Any, folder: Path) -> None:
        (folder / "labels.csv").unlink(missing_ok=True)
        desk.cases.add([folder], lambda _done, _total: None)
        self.desk, self.study, self.background, self.folder = desk, study, background, folder
        self.session = Session(reader="A")
        self.now_s = 100.0
        self.canvas = create_autospec(Canvas, instance=True)
        self.view = create_autospec(LabellingView, instance=True)
        self.view.tool.return_value = "none"
        cases_view = create_autospec(CasesView, instance=True)
        cases_view.is_model_shown.return_value = False
        self.outbox = OutboxController(self.session, background)
        regions = RegionsController(self.session, self.outbox)
        self.smear = SmearController(self.session, background, self.canvas, regions)
        self.labels = LabelsController(
            self.session, background, self.outbox, create_autospec(LabelsView, instance=True)
        )
        self.cases = CasesController(self.session, background, cases_view, self.labels)
        self.mode = LabellingController(
            self.session,
            background,
            self.view,
            self.labels,
            self.smear,
            self.cases,
            timer=lambda: self.now_s,
        )

    def open(self) -> None:
        self.session.desk = self.desk

    def press(self, keys: str) -> None:
        for key in keys.split():
            self.mode.press(key)

    @property
    def words(self) -> str:
        words: str = self.view.set_label_words.call_args.args[0]
        return words

    def answers(self, reader: str = "A") -> dict[int, dict[str, str]]:
        with self.study.database.read() as connection:
            return stored_labels.of_reader(connection, reader, list(range(1, 21)))

    def diagnoses(self, reader: str = "A") -> dict[int, str]:
        return {one: given["diagnosis"] for one, given in self.answers(reader).items()}


@pytest.fixture
def room(desk: Desk, study: Study, background: Any, fields: Path) -> Iterator[Room]:
    made = Room(desk, study, background, fields)
    made.open()
    made.mode.enter()
    yield made
    made.smear.close()
    desk.labels.close()


@pytest.fixture
def make_room(
    make_study: Callable[..., Study],
    client_without_agent: Callable[[Study], Client],
    background: Any,
    fields: Path,
) -> Iterator[Callable[[str], Room]]:
    rooms: list[Room] = []

    def make(example: str) -> Room:
        study = make_study(Scheme.from_toml(EXAMPLES / example), name=example)
        rooms.append(Room(Desk(study, client_without_agent(study)), study, background, fields))
        rooms[-1].open()
        rooms[-1].mode.enter()
        return rooms[-1]

    yield make
    for room in rooms:
        room.smear.close()
        room.desk.labels.close()


def test_a_run_of_keys_labels_smear_after_smear(room: Room) -> None:
    assert room.session.is_labelling
    room.view.set_labelling.assert_called_with(True)
    assert room.words.splitlines() == [
        "LABEL MODE  1 AA  2 MDS  3 AML  0 unsure",
        "1/20  not labelled by you",  # its name is among the words of the smear
    ]
    room.press("1 2 3 0 7")  # there is no seventh class
    assert room.diagnoses() == {1: "AA", 2: "MDS", 3: "AML", 4: "unsure"}
    assert room.session.smear_id == 5
    assert "5/20  not labelled" in room.words


def test_each_label_is_on_the_disk_before_the_next_smear_is_opened(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: list[int] = []
    opened = room.smear.open

    def open_smear(smear_id: int, **more: Any) -> None:
        on_disk.append(waiting_in(folder_of(room.study.settings)))
        opened(smear_id, **more)

    monkeypatch.setattr(room.outbox, "_send", lambda: None)
    monkeypatch.setattr(room.smear, "open", open_smear)
    room.press("1 2 3")
    assert on_disk == [1, 2, 3]


def test_a_key_while_the_next_smear_is_on_its_way_labels_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(room.smear, "open", lambda _smear_id, **_more: None)  # it takes its time
        room.press("1 2 3")
    assert room.diagnoses() == {1: "AA"}
    assert "2/20  S000002  not labelled" in room.words  # the first is still on the canvas
    room.smear.open(2)
    assert "2/20  not labelled" in room.words
    room.press("3")
    assert room.diagnoses() == {1: "AA", 2: "AML"}


def test_a_smear_of_which_the_catalogue_says_nothing_is_asked_for_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_asked: Any) -> None:
        raise MarrowError("server closed the connection")

    with monkeypatch.context() as patched:
        patched.setattr(room.desk.smears, "facts", fail)
        room.press("1 2")
        assert "S000002" in room.words
        assert OWED_TEXT in room.words
        room.now_s += RETRY_S
        room.mode.tick()
        told = len(room.background.told)
        room.mode.tick()  # not at once again
        assert len(room.background.told) == told
    assert room.session.smear_id == 1
    assert room.diagnoses() == {1: "AA"}
    room.now_s += RETRY_S
    room.mode.tick()
    assert room.session.smear_id == 2
    assert OWED_TEXT not in room.words
    room.press("2")
    assert room.diagnoses() == {1: "AA", 2: "MDS"}


def test_own_words_that_the_catalogue_owes_are_asked_for_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.press("1")
    with monkeypatch.context() as patched:
        patched.setattr(room.desk.labels, "own", lambda *_asked: None)
        room.press("left")
        assert OWED_TEXT in room.words
    with room.study.database.write() as connection:  # elsewhere
        given, at = {"diagnosis": "AML"}, room.study.database.now(connection)
        stored_labels.give(connection, at, room.study.scheme, 1, given, "A", False)
    room.now_s += RETRY_S
    room.mode.tick()
    assert OWED_TEXT not in room.words
    assert "your label: AML" in room.words


def test_a_smear_from_elsewhere_is_not_opened_again_while_another_was_on_its_way(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []
    at_once, opened = room.background.ask, []

    def ask(topic: str, question: Any, then: Any, **more: Any) -> None:
        if topic == "facts":
            held[:] = [lambda: at_once(topic, question, then, **more)]
        else:
            at_once(topic, question, then, **more)

    room.background.ask = ask
    room.press("right")  # the second smear is on its way
    room.smear.open(3)  # from the results, with its heatmap
    monkeypatch.setattr(room.smear, "open", lambda smear_id, **_more: opened.append(smear_id))
    held[0]()
    assert room.session.smear_id == 3
    assert opened == []
    room.background.ask = at_once
    room.press("1")
    assert room.diagnoses() == {3: "AA"}
    assert opened == [4]


def test_going_on_and_back_at_once_ends_where_it_began(room: Room) -> None:
    held: list[Any] = []
    at_once = room.background.ask

    def ask(topic: str, question: Any, then: Any, **more: Any) -> None:
        if topic == "facts":
            held[:] = [lambda: at_once(topic, question, then, **more)]  # the last one counts
        else:
            at_once(topic, question, then, **more)

    room.background.ask = ask
    room.press("right left")  # the second smear is still on its way
    held[0]()
    room.background.ask = at_once
    assert room.session.smear_id == 1
    room.press("2")
    assert room.diagnoses() == {1: "MDS"}


def test_a_full_disk_keeps_the_smear_and_takes_the_next_key(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_descriptor: int, _lines: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full_disk)
        room.press("1")
    assert room.session.smear_id == 1
    assert "No space left" in room.background.told[-1]
    room.press("2")
    assert room.diagnoses() == {1: "MDS"}


def test_going_back_and_forth_and_to_the_next_unlabelled(room: Room) -> None:
    room.press("1 1 left left")
    assert room.session.smear_id == 1
    assert "your label: AA" in room.words
    room.press("left")
    assert "first smear of the list" in room.words
    room.press("next")
    assert room.session.smear_id == 3
    room.press("right right next")
    assert room.session.smear_id == 6
    room.mode.go(20)
    room.press("1")
    assert "end of the list; U goes to one of 17" in room.words
    room.press("next")  # around the end
    assert room.session.smear_id == 3


def test_undo_goes_back_step_by_step_also_out_of_the_filter(room: Room) -> None:
    room.cases.choose(1)  # unlabelled by me
    room.press("1 2")
    room.cases.choose(0)
    room.cases.choose(1)  # a new run, without the two
    assert "1/18" in room.words or "not in this list" in room.words
    room.press("undo")
    assert room.session.smear_id == 2
    assert room.diagnoses() == {1: "AA"}
    assert "not labelled by you" in room.words
    room.press("undo")
    assert room.session.smear_id == 1
    assert room.diagnoses() == {}
    room.press("undo")
    assert "nothing to undo" in room.words
    room.press("3")
    assert room.diagnoses() == {1: "AML"}


def test_an_undone_correction_stands_as_before(room: Room) -> None:
    room.press("1 left 2")
    assert room.diagnoses() == {1: "MDS"}
    room.press("undo")
    assert room.diagnoses() == {1: "AA"}
    assert "your label: AA" in room.words


def test_an_unreadable_smear_is_named_and_only_unsure_can_be_said_of_it(room: Room) -> None:
    for number in (3, 5):
        (room.folder / f"field_{number - 1:02d}.png").write_bytes(b"no picture any more")
    room.press("1 1")
    assert "3/20  not labelled" in room.words
    assert "S000003" in room.canvas.show_unread.call_args.args[0]
    room.press("3")
    assert 3 not in room.diagnoses()
    assert "cannot be seen" in room.words
    room.press("flag 0 1")
    assert room.diagnoses() == {1: "AA", 2: "AA", 3: "unsure", 4: "AA"}
    assert "5/20  not labelled" in room.words
    room.press("right 2")
    assert room.diagnoses() == {1: "AA", 2: "AA", 3: "unsure", 4: "AA", 6: "MDS"}
    with room.study.database.read() as connection:
        assert flags.standing(connection, [3, 5]) == {3: ("A",)}


def test_several_heads_are_asked_one_after_the_other(make_room: Callable[[str], Room]) -> None:
    room = make_room("cells.toml")
    assert room.words.startswith("LABEL MODE  eosinophil?  1 other  2 EOS  0 unsure")
    room.view.set_asked.assert_called_with("eosinophil")
    room.press("1")
    assert room.session.smear_id == 1
    assert room.words.startswith("LABEL MODE  lineage?  1 GRAN  2 LYM  3 MON  0 unsure")
    room.press("3 2 1")
    assert room.answers() == {
        1: {"eosinophil": "other", "lineage": "MON"},
        2: {"eosinophil": "EOS", "lineage": "GRAN"},
    }
    room.press("1 undo")
    assert room.session.smear_id == 3
    assert room.answers().get(3) is None
    assert "eosinophil?" in room.words


def test_a_head_is_asked_where_it_makes_sense(make_room: Callable[[str], Room]) -> None:
    room = make_room("subtypes.toml")
    room.press("1")  # AA has no subtype
    assert room.session.smear_id == 2
    room.press("2")
    assert "mds_subtype?  1 MDS-5q" in room.words
    room.press("4 0")  # of the third smear the diagnosis is unsure: no subtype
    assert room.session.smear_id == 4
    assert room.answers() == {
        1: {"diagnosis": "AA"},
        2: {"diagnosis": "MDS", "mds_subtype": "MDS-LB"},
        3: {"diagnosis": "unsure"},
    }
    room.press("left left")
    room.press("3")  # it was AML after all: the subtype of MDS goes with it
    assert room.answers()[2] == {"diagnosis": "AML"}
    assert "aml_subtype?" in room.words
    room.press("undo")
    assert room.answers()[2] == {"diagnosis": "MDS", "mds_subtype": "MDS-LB"}


def test_what_is_given_in_a_list_meanwhile_asks_the_question_that_makes_sense(
    make_room: Callable[[str], Room],
) -> None:
    room = make_room("subtypes.toml")
    room.press("2")
    assert "mds_subtype?" in room.words
    room.labels.give([1], {"diagnosis": "AML"})  # in the contact sheet
    assert "aml_subtype?" in room.words
    assert "your label: AML" in room.words
    room.press("1")
    assert room.answers()[1] == {"diagnosis": "AML", "aml_subtype": "PML::RARA"}
    assert room.session.smear_id == 2


def test_a_class_beyond_the_ninth_has_a_button_and_no_key(make_room: Callable[[str], Room]) -> None:
    room = make_room("subtypes.toml")
    room.press("3")
    keys = room.words.partition("1/20")[0].splitlines()
    assert keys[-1].endswith("9 with-maturation  0 unsure")
    assert max(len(line) for line in keys) <= 52
    assert "monocytic" not in room.words
    room.mode.answer("aml_subtype", "erythroid")
    assert room.answers()[1] == {"diagnosis": "AML", "aml_subtype": "erythroid"}
    assert room.session.smear_id == 2


def test_taking_an_answer_back_stays_on_the_smear(room: Room) -> None:
    room.press("1 left")
    room.mode.answer("diagnosis", "")
    assert room.session.smear_id == 1
    assert room.diagnoses() == {}
    room.press("next")
    assert room.session.smear_id == 2


def test_a_lost_database_stops_no_label(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def gone() -> Iterator[None]:
        raise OperationalError("SELECT", {}, Exception("server closed the connection"))
        yield

    with monkeypatch.context() as patched:
        patched.setattr(room.study.database, "write", gone)
        room.press("1 2 left")
        assert "your label: MDS" in room.words  # as it was said, not as it is stored
        assert room.diagnoses() == {}
    room.press("right 3")
    assert room.diagnoses() == {1: "AA", 2: "MDS", 3: "AML"}


def test_another_reader_begins_with_his_own_labels(room: Room) -> None:
    room.press("1 1")
    room.session.reader = "B"
    assert "3/20  not labelled by you" in room.words
    room.press("left")
    assert "not labelled by you" in room.words
    room.press("2")
    assert (room.diagnoses("A"), room.diagnoses("B")) == ({1: "AA", 2: "AA"}, {2: "MDS"})
    room.press("left left next")
    assert room.session.smear_id == 3
    room.press("undo undo")
    assert room.diagnoses("A") == {1: "AA", 2: "AA"}


def test_a_run_goes_beyond_the_lines_that_were_read(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_marrow.controllers.cases.PAGE", 5)
    room.mode.leave()
    room.cases.search("field_1")
    room.mode.enter()
    assert "1/10  not labelled" in room.words
    assert room.session.smear_id == 11
    room.press(" ".join("1" * 10))
    assert sorted(room.diagnoses()) == list(range(11, 21))
    assert "end of the list" in room.words


def test_the_next_smear_is_read_in_advance(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    expected: list[int] = []
    monkeypatch.setattr(room.smear, "prefetch", expected.append)
    room.press("1 1 left")
    assert expected == [3, 4, 3]


def test_the_pen_is_put_down_before_label_mode_ends(room: Room) -> None:
    room.press("rectangle")
    room.view.draw.assert_called_with("rectangle")
    room.view.tool.return_value = "rectangle"
    room.press("leave")
    room.view.draw.assert_called_with("none")
    assert room.session.is_labelling
    room.press("polygon")
    room.view.draw.assert_called_with("polygon")
    room.view.tool.return_value = "none"
    room.press("leave")
    assert not room.session.is_labelling
    room.view.set_labelling.assert_called_with(False)
    assert room.words == ""
    room.press("1")
    assert room.diagnoses() == {}


def test_an_empty_list_is_told_and_nothing_begins(room: Room) -> None:
    room.mode.leave()
    room.cases.search("no such file")
    room.mode.toggle()
    assert not room.session.is_labelling
    assert "The list is empty" in room.view.tell.call_args.args[0]


def test_label_mode_that_was_wanted_before_the_study_opened_begins_with_it(
    desk: Desk, study: Study, background: Any, fields: Path
) -> None:
    room = Room(desk, study, background, fields)
    room.mode.toggle()
    assert not room.session.is_labelling
    room.open()
    assert room.session.is_labelling
    assert room.session.smear_id == 1
    room.session.desk = None
    assert not room.session.is_labelling
    room.smear.close()
    desk.labels.close()
