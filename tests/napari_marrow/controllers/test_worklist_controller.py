"""Reading the results row by row, without a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from sqlalchemy import delete

from marrow.catalogue import flags
from marrow.catalogue import labels as stored
from marrow.catalogue.predictions import Sort
from marrow.catalogue.schema import job_smear
from marrow.schemes import Scheme
from marrow.study import Study
from napari_marrow.controllers.labels import LabelsController, LabelsView
from napari_marrow.controllers.outbox import OutboxController
from napari_marrow.controllers.results import ResultsController
from napari_marrow.controllers.results_view import ResultsView
from napari_marrow.controllers.smear import SmearController
from napari_marrow.controllers.worklist import WorklistController
from napari_marrow.desk import Desk
from napari_marrow.lines.detail import ResultDetail
from napari_marrow.session import Session

CELLS = Scheme.from_toml(Path(__file__).parents[3] / "examples" / "subtypes.toml")


class Pane:
    """A `WorklistView` whose selected row a test moves; moving chooses, as in the table."""

    def __init__(self) -> None:
        self.row: int | None = None
        self.detail: ResultDetail | None = None
        self.asked: str | None = None
        self.told: list[str] = []
        self.chosen: Callable[[int], None] = lambda _row: None

    def select(self, row: int | None = None) -> None:
        """As the table does it: without telling."""
        self.row = row

    def current_row(self) -> int | None:
        return self.row

    def move_to(self, row: int) -> None:
        self.row = row
        self.chosen(row)

    def set_detail(self, detail: ResultDetail | None) -> None:
        self.detail = detail

    def set_asked_head(self, head: str | None) -> None:
        self.asked = head

    def tell(self, words: str, is_warning: bool) -> None:
        self.told.append(words)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(reader="A")


@pytest.fixture
def smear() -> Any:
    return create_autospec(SmearController, instance=True)


@pytest.fixture
def pane() -> Pane:
    return Pane()


@pytest.fixture
def make(session: Session, background: Any, pane: Pane, smear: Any) -> Iterator[Any]:
    opened: list[Desk] = []

    def open_desk(desk: Desk) -> tuple[WorklistController, ResultsController]:
        view = create_autospec(ResultsView, instance=True)
        view.current_row.side_effect = pane.current_row
        view.select.side_effect = view.to_top.side_effect = pane.select
        follower = create_autospec(object, instance=True)
        follower.watch = lambda *_what: None
        follower.take = list
        results = ResultsController(session, background, view, lambda _desk: follower)
        labels = LabelsController(
            session,
            background,
            OutboxController(session, background),
            create_autospec(LabelsView, instance=True),
        )
        worklist = WorklistController(session, background, pane, results, smear, labels)
        pane.chosen = worklist.choose
        session.desk = desk
        opened.append(desk)
        results.set_sort(Sort(column="smear"))
        return worklist, results

    yield open_desk
    for desk in opened:
        desk.labels.close()


@pytest.fixture
def worklist(
    make: Any, desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]]
) -> WorklistController:
    worker.unreadable = {4}
    job = desk.queue.submit(add_smears(study, 5))
    worker.work_off()
    made, results = make(desk)
    results.set_filter(results.asked.shown.model_copy(update={"job_id": job.id}))
    return made


def standing(study: Study, smear_id: int) -> dict[str, tuple[str, bool]]:
    with study.database.read() as connection:
        given = stored.history(connection, smear_id)
    return {one.head: (one.answer, one.seen_prediction) for one in given if not one.superseded_at}


def test_choosing_a_row_shows_it_in_full_and_opens_nothing(
    worklist: WorklistController, pane: Pane, smear: Any
) -> None:
    pane.move_to(1)
    assert pane.detail is not None
    assert pane.detail.smear_id == 2
    assert pane.asked == "diagnosis"
    smear.open.assert_not_called()
    worklist.open(1)
    smear.open.assert_called_once_with(2, pane.detail.prediction_id)


def test_open_as_i_go_opens_each_chosen_row(
    worklist: WorklistController, pane: Pane, smear: Any
) -> None:
    pane.move_to(0)
    worklist.set_follows(True)
    pane.move_to(1)
    assert [one.args[0] for one in smear.open.call_args_list] == [1, 2]
    smear.prefetch.assert_called_once_with(3)


def test_accepting_stores_the_models_call_as_seen_and_goes_to_the_next_row(
    worklist: WorklistController, pane: Pane, study: Study
) -> None:
    pane.move_to(0)
    assert pane.detail is not None
    call = pane.detail.calls["diagnosis"]
    worklist.accept()
    assert standing(study, 1) == {"diagnosis": (call, True)}
    assert pane.row == 1
    line = worklist._results.pages.line(0)
    assert line is not None
    assert line.cells[-2] == call  # at once, before the table is read again


def test_a_digit_corrects_and_zero_is_unsure(
    worklist: WorklistController, pane: Pane, study: Study
) -> None:
    pane.move_to(1)
    worklist.press("3")
    worklist.press("0")
    worklist.press("9")  # no such class
    assert standing(study, 2) == {"diagnosis": ("AML", True)}
    assert standing(study, 3) == {"diagnosis": ("unsure", True)}
    assert pane.row == 3
    assert pane.detail is not None
    assert pane.detail.smear_id == 4


def test_a_failed_smear_can_be_labelled_but_not_accepted(
    worklist: WorklistController, pane: Pane, study: Study
) -> None:
    pane.move_to(3)
    worklist.accept()
    assert pane.told == ["S000004 has no answer to accept."]
    worklist.press("1")
    assert standing(study, 4) == {"diagnosis": ("AA", False)}  # nothing was seen


def test_who_saw_another_models_answer_labels_a_failed_row_not_blind(
    worklist: WorklistController, pane: Pane, study: Study, session: Session
) -> None:
    session.note_seen(frozenset({4}))
    pane.move_to(3)
    worklist.press("1")
    assert standing(study, 4) == {"diagnosis": ("AA", True)}


def test_a_key_is_about_the_smear_in_the_pane_though_its_row_has_left_the_list(
    worklist: WorklistController, pane: Pane, study: Study
) -> None:
    results = worklist._results
    pane.move_to(1)
    with study.database.write() as connection:  # by now only the others have no answer
        connection.execute(delete(job_smear).where(job_smear.c.smear_id == 2))
    results.reload()
    assert pane.row is None
    assert pane.detail is not None
    assert pane.detail.smear_id == 2
    worklist.press("3")
    assert standing(study, 2) == {"diagnosis": ("AML", True)}
    assert standing(study, 3) == {}
    assert pane.row == 1  # where it stood stands the next one now
    assert pane.detail.smear_id == 3


def test_a_key_that_comes_while_a_label_is_on_its_way_labels_nothing(
    worklist: WorklistController, pane: Pane, study: Study, background: Any, monkeypatch: Any
) -> None:
    pane.move_to(0)
    held: list[Callable[[], None]] = []

    def hold(errand: Any, then: Any, *, lane: str = "", failed: Any = None) -> None:
        answer = errand()
        held.append(lambda: then(answer))

    with monkeypatch.context() as slow:
        slow.setattr(background, "tell", hold)
        worklist.press("1")
        worklist.press("3")
        worklist.accept()
    assert len(held) == 1
    held[0]()
    assert standing(study, 1) == {"diagnosis": ("AA", True)}
    assert pane.row == 1


def test_the_pane_never_shows_the_earlier_row(
    worklist: WorklistController, pane: Pane, background: Any, monkeypatch: Any
) -> None:
    pane.move_to(0)
    late: list[Callable[[], None]] = []

    def hold(topic: str, question: Any, then: Any, **_more: Any) -> None:
        answer = question()
        if topic == "result-detail":
            late.append(lambda: then(answer))

    with monkeypatch.context() as slow:
        slow.setattr(background, "ask", hold)
        pane.move_to(1)
        assert pane.detail is not None
        assert pane.detail.title.startswith("S000002")
        assert list(pane.detail.calls) == ["diagnosis"]
        pane.move_to(2)
        assert pane.detail.title.startswith("S000003")
    late[0]()  # of the second row
    assert pane.detail.title.startswith("S000003")
    assert pane.detail.heads == ()
    late[1]()
    assert pane.detail.heads != ()


def test_a_flag_of_an_earlier_day_is_cleared_by_the_same_key(
    worklist: WorklistController, pane: Pane, study: Study
) -> None:
    with study.database.write() as connection:
        flags.give(connection, 1.0, 3, "A")
    pane.move_to(2)
    worklist.press("flag")
    assert pane.told == ["S000003 is not flagged any more."]
    with study.database.read() as connection:
        assert flags.standing(connection, [3]) == {}


def test_undo_takes_the_label_back_and_jumps_to_its_row(
    worklist: WorklistController, pane: Pane, study: Study
) -> None:
    pane.move_to(0)
    worklist.press("1")
    worklist.press("2")
    assert pane.row == 2
    worklist.press("undo")
    assert standing(study, 2) == {}
    assert pane.row == 1
    worklist.press("undo")
    assert pane.row == 0
    worklist.press("undo")
    assert pane.told == ["There is no label to take back."]


def test_arrows_step_the_flag_key_flags_and_heatmap_toggles(
    worklist: WorklistController, pane: Pane, smear: Any, session: Session
) -> None:
    pane.move_to(1)
    worklist.press("right")
    assert pane.row == 2
    worklist.press("left")
    assert pane.row == 1
    worklist.press("flag")
    worklist.press("flag")
    assert pane.told == ["S000002 is flagged.", "S000002 is not flagged any more."]
    worklist.press("heatmap")
    smear.toggle_heatmap.assert_called_once_with()
    worklist.press("class-on")
    smear.step_class.assert_called_once_with(1)
    worklist.press("sheet")  # not a key of the table


def test_several_questions_are_asked_one_after_the_other_before_the_next_row(
    make: Any,
    make_study: Callable[..., Study],
    add_smears: Callable[..., list[int]],
    add_model: Callable[..., Any],
    client_without_agent: Any,
    pane: Pane,
    session: Session,
) -> None:
    study = make_study(CELLS, "subtypes")
    add_smears(study, 3)
    add_model(study)
    desk = Desk(study, client_without_agent(study))
    job = desk.queue.submit([1, 2, 3])
    worklist, results = make(desk)
    results.set_filter(results.asked.shown.model_copy(update={"job_id": job.id}))
    first = CELLS.asked[0]
    from_worker(study, desk)
    results.reload(from_top=True)
    conditional = next(head for head in CELLS.asked if head.asked_when)
    needed = conditional.asked_when[first.name][0]
    pane.move_to(0)
    worklist.press(str(first.classes.index(needed) + 1))
    assert pane.row == 0
    assert pane.asked == conditional.name
    worklist.press("1")
    assert pane.row == 1
    assert {head: one[0] for head, one in standing(study, 1).items()} == {
        first.name: needed,
        conditional.name: conditional.classes[0],
    }
    # What one reader was asked next, another one is not: it would tell what the first has said.
    worklist.press(str(first.classes.index(needed) + 1))
    assert pane.asked == conditional.name
    session.reader = "B"
    assert pane.asked is None
    assert pane.detail is None
    pane.move_to(1)
    assert pane.asked == first.name


def from_worker(study: Study, desk: Desk) -> None:
    from marrow.catalogue import models
    from tests.napari_marrow.conftest import PretendWorker

    with study.database.read() as connection:
        model = models.champion(connection)
    assert model is not None
    PretendWorker(study, model).work_off()
