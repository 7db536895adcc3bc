"""Showing smears, on a real catalogue and a canvas that only records."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest

from marrow.catalogue import labels, regions
from marrow.catalogue.regions import NewRegion, Redrawn
from marrow.catalogue.sight import set_blind_readers
from napari_marrow.controllers.outbox import OutboxController
from napari_marrow.controllers.regions import RegionsController
from napari_marrow.controllers.smear import Canvas, SmearController
from napari_marrow.desk import Desk
from napari_marrow.layers import map_values
from napari_marrow.session import Evidence, Session


@pytest.fixture
def canvas() -> Any:
    return create_autospec(Canvas, instance=True)


@pytest.fixture
def session(desk: Desk) -> Session:
    return Session(desk=desk, reader="A")


@pytest.fixture
def controller(session: Session, background: Any, canvas: Any) -> SmearController:
    return with_outbox(session, background, canvas)


def with_outbox(session: Session, background: Any, canvas: Any) -> SmearController:
    """On a study whose outbox is open."""
    outbox = OutboxController(session, background)
    session.desk.labels.open()
    return SmearController(session, background, canvas, RegionsController(session, outbox))


@pytest.fixture
def predicted(desk: Desk, worker: Any, fields: Path) -> list[int]:
    """Prediction ids of the smears 1 to 3."""
    desk.cases.add([fields], lambda _done, _total: None)
    desk.queue.submit([1, 2, 3])
    worker.work_off()
    shown = [desk.smears.facts(number, "newest", "A").prediction for number in (1, 2, 3)]
    return [0 if one is None else one.id for one in shown]


def drawn(canvas: Any) -> Any:
    return canvas.show_heatmap.call_args.args[0]


def test_a_case_is_shown_without_the_models_answer(
    controller: SmearController, session: Session, canvas: Any, predicted: list[int]
) -> None:
    controller.open(1)
    assert session.smear_id == 1
    assert session.prediction_id is None
    assert session.evidence is None
    assert session.seen == frozenset()
    assert "MDS" not in canvas.set_words.call_args.args[0]
    canvas.show.assert_called_once()


def test_a_result_is_shown_with_the_evidence_for_the_called_class(
    controller: SmearController,
    session: Session,
    canvas: Any,
    predicted: list[int],
    pretend_answer: Any,
    desk: Desk,
) -> None:
    controller.open(2, predicted[1])
    answer, stored = pretend_answer(desk.scheme, 2)
    called = answer.calls["diagnosis"]
    assert session.evidence == Evidence("diagnosis", called)
    assert session.seen == frozenset({2})
    index = 2 + desk.scheme.head("diagnosis").classes.index(called)
    assert np.array_equal(drawn(canvas).values, map_values(stored)[index])


def test_the_same_class_of_the_next_smear_is_drawn_anew(
    controller: SmearController,
    session: Session,
    canvas: Any,
    predicted: list[int],
    pretend_answer: Any,
    desk: Desk,
) -> None:
    for number, prediction in ((1, predicted[0]), (3, predicted[2])):
        controller.open(number, prediction, Evidence("diagnosis", "AA"))
        _answer, stored = pretend_answer(desk.scheme, number)
        assert np.array_equal(drawn(canvas).values, map_values(stored)[2])


def test_another_class_and_opacity_are_drawn_without_asking_the_catalogue(
    controller: SmearController,
    session: Session,
    canvas: Any,
    background: Any,
    predicted: list[int],
) -> None:
    controller.open(1, predicted[0])
    asked = len(background.asked)
    controller.choose_evidence(Evidence("mds", "MDS"))
    assert drawn(canvas) is not None
    controller.set_opacity(3.0)
    assert canvas.set_opacity.call_args.args == (1.0,)
    controller.set_heatmap_shown(False)
    assert drawn(canvas) is None
    controller.set_heatmap_shown(True)
    assert drawn(canvas) is not None
    assert len(background.asked) == asked


def test_a_file_that_is_gone_leaves_no_other_smear_on_the_canvas(
    controller: SmearController,
    session: Session,
    canvas: Any,
    background: Any,
    fields: Path,
    predicted: list[int],
    study: Any,
) -> None:
    controller.open(1, predicted[0])
    (fields / "field_01.png").unlink()
    told: list[str] = []
    controller.open(2, predicted[1], unreadable=told.append)
    (words,) = canvas.show_unread.call_args.args
    assert words.startswith("S000002 · ")
    assert "field_01.png cannot be shown" in words
    assert told[0] in words
    assert (session.smear_id, session.prediction_id, session.evidence) == (None, None, None)
    assert session.seen == {1}
    assert drawn(canvas) is None
    assert background.told == []
    controller.save_regions([NewRegion(role="use", polygon=((0, 0), (0, 9), (9, 9)))])
    with study.database.read() as connection:
        assert regions.of_many(connection, [1, 2]) == {}
    controller.open(3)
    assert session.smear_id == 3


def test_a_smear_that_is_not_in_the_catalogue_changes_nothing(
    controller: SmearController, session: Session, canvas: Any, background: Any, predicted: Any
) -> None:
    controller.open(1)
    controller.open(99)
    assert session.smear_id == 1
    canvas.show.assert_called_once()
    assert "S000099" in background.told[0]


class Later:
    """A `Background` whose answers are handed over when the test says so."""

    def __init__(self) -> None:
        self.held: dict[str, list[Any]] = {}

    def ask(
        self, topic: str, question: Any, then: Any, *, lane: str = "", failed: Any = None
    ) -> None:
        self.held[topic] = [(question, then)]  # the last question of a topic counts

    def tell(self, errand: Any, then: Any, *, lane: str = "catalogue", failed: Any = None) -> None:
        self.held.setdefault(lane, []).append((errand, then))

    def answer(self, what: str) -> Any:
        question, then = self.held[what].pop(0)
        found = question()
        then(found)
        return found


def test_a_picture_of_another_study_is_not_shown(
    session: Session, canvas: Any, desk: Desk, predicted: list[int]
) -> None:
    background = Later()
    controller = with_outbox(session, background, canvas)
    controller.open(1)
    pixels = background.answer("pictures")
    session.desk = Desk(desk._study, desk.queue._client)
    background.answer("facts")
    canvas.show.assert_not_called()
    with pytest.raises(ValueError, match="closed"):
        pixels.image.read(0, 0, 0, 1, 1)


@pytest.mark.parametrize("first", ["pictures", "facts"])
def test_pixels_and_facts_may_come_in_any_order(
    session: Session, canvas: Any, predicted: list[int], first: str
) -> None:
    background = Later()
    controller = with_outbox(session, background, canvas)
    controller.open(1, predicted[0])
    background.answer(first)
    canvas.show.assert_not_called()
    background.answer("facts" if first == "pictures" else "pictures")
    (picture,) = canvas.show.call_args.args
    assert picture.facts.smear.id == picture.pixels.smear_id == session.smear_id == 1
    assert session.prediction_id == predicted[0]


def test_of_two_smears_asked_for_in_haste_the_last_is_shown_and_the_first_closed(
    session: Session, canvas: Any, predicted: list[int]
) -> None:
    background = Later()
    controller = with_outbox(session, background, canvas)
    controller.open(1)
    passed = background.answer("pictures")
    controller.open(2)
    background.answer("pictures")
    background.answer("facts")
    (picture,) = canvas.show.call_args.args
    assert picture.facts.smear.id == picture.pixels.smear_id == session.smear_id == 2
    with pytest.raises(ValueError, match="closed"):
        passed.image.read(0, 0, 0, 1, 1)


def test_a_smear_read_ahead_is_shown_as_soon_as_the_catalogue_was_asked(
    session: Session, canvas: Any, predicted: list[int], study: Any
) -> None:
    background = Later()
    controller = with_outbox(session, background, canvas)
    controller.prefetch(2)
    background.answer("pictures")
    square = NewRegion(role="use", polygon=((0, 0), (0, 9), (9, 9)))
    with study.database.write() as connection:  # by another viewer, meanwhile
        regions.change(connection, 5.0, 2, Redrawn(drawn=[square]), "B")
    controller.open(2)
    assert background.held["pictures"] == []
    background.answer("facts")
    (picture,) = canvas.show.call_args.args
    assert [one.reader for one in picture.facts.regions] == ["B"]
    controller.prefetch(2)  # it is on the canvas
    assert background.held["pictures"] == []


def test_a_region_drawn_in_haste_is_stored_for_its_smear_and_is_there_again(
    session: Session, canvas: Any, predicted: list[int], study: Any
) -> None:
    background = Later()
    controller = with_outbox(session, background, canvas)
    square = NewRegion(role="exclude", polygon=((0, 0), (0, 9), (9, 9)))

    def show(smear_id: int) -> Any:
        controller.open(smear_id)
        background.answer("facts")
        background.answer("pictures")
        return canvas.show.call_args.args[0]

    show(1)
    canvas.finish_drawing.side_effect = lambda: controller.save_regions([square])
    controller.open(2)  # with the mouse button still held
    canvas.finish_drawing.side_effect = None
    background.answer("facts")
    background.answer("pictures")
    assert canvas.show.call_args.args[0].facts.regions == ()
    assert show(1).facts.regions == (square,)  # it is still on its way to the disk
    background.answer("journal")
    background.answer("sender")
    with study.database.read() as connection:
        assert [*regions.of_many(connection, [1, 2])] == [1]
    assert [one.role for one in show(1).facts.regions] == ["exclude"]


def test_the_key_shows_the_newest_answer_of_a_case_and_hides_it_again(
    controller: SmearController, session: Session, canvas: Any, predicted: list[int]
) -> None:
    controller.toggle_heatmap()  # nothing is shown
    session.is_heatmap_shown = False
    controller.open(2)
    assert session.seen == frozenset()
    controller.toggle_heatmap()
    assert drawn(canvas) is not None
    assert session.prediction_id == predicted[1]
    assert session.seen == {2}
    called = session.evidence
    words = canvas.set_words.call_args.args[0]
    assert called is not None
    assert f"evidence for {called.head}: {called.class_name}" in words
    assert f"{called.head}: {called.class_name} 0." in words
    controller.toggle_heatmap()
    assert drawn(canvas) is None
    assert "evidence" not in canvas.set_words.call_args.args[0]
    controller.toggle_heatmap()
    assert drawn(canvas) is not None
    controller.open(4)
    controller.toggle_heatmap()
    assert drawn(canvas) is None
    assert "no model has answered" in canvas.set_words.call_args.args[0]


def test_the_class_is_stepped_through_all_heads_and_around(
    controller: SmearController, session: Session, canvas: Any, predicted: list[int], desk: Desk
) -> None:
    controller.step_class(1)  # nothing is shown
    assert session.evidence is None
    controller.open(1, predicted[0], Evidence("mds", "other"))
    classes = [(head.name, name) for head in desk.scheme.heads for name in head.classes]
    seen = []
    for _ in classes:
        seen.append((session.evidence.head, session.evidence.class_name))
        controller.step_class(1)
    assert seen == classes
    assert session.evidence == Evidence("mds", "other")
    controller.step_class(-1)
    assert (session.evidence.head, session.evidence.class_name) == classes[-1]


def test_of_a_smear_that_is_read_blind_no_answer_reaches_the_canvas(
    controller: SmearController,
    session: Session,
    canvas: Any,
    predicted: list[int],
    study: Any,
    desk: Desk,
) -> None:
    with study.database.write() as connection:
        set_blind_readers(connection, ["A", "B"])
    controller.open(1, predicted[0])
    (picture,) = canvas.show.call_args.args
    assert (picture.facts.prediction, picture.facts.answer_map) == (None, None)
    controller.toggle_heatmap()
    canvas.show_heatmap.assert_not_called()
    assert (session.prediction_id, session.evidence, session.seen) == (None, None, frozenset())
    assert "blind reading" in canvas.set_words.call_args.args[0]
    for reader in ("A", "B"):
        with study.database.write() as connection:
            at = study.database.now(connection)
            labels.give(connection, at, study.scheme, 1, {"diagnosis": "AA"}, reader, False)
    controller.toggle_heatmap()
    assert drawn(canvas) is not None


def test_regions_are_stored_under_the_readers_name(
    controller: SmearController, predicted: list[int], study: Any
) -> None:
    region = NewRegion(role="use", polygon=((0, 0), (0, 9), (9, 9)))
    controller.save_regions([region])  # no smear is shown
    controller.open(1)
    controller.save_regions([region])
    with study.database.read() as connection:
        (stored,) = regions.of(connection, 1)
    assert (stored.role, stored.reader, stored.polygon) == ("use", "A", region.polygon)


def test_another_study_leaves_nothing_of_the_first_on_the_canvas(
    controller: SmearController, session: Session, canvas: Any, predicted: list[int]
) -> None:
    controller.open(1, predicted[0])
    canvas.show_heatmap.reset_mock()
    session.desk = None
    canvas.clear.assert_called_once()
    controller.choose_evidence(Evidence("diagnosis", "AML"))
    assert drawn(canvas) is None
