"""Showing smears, on a real catalogue and a canvas that only records."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest

from marrow.catalogue import regions
from marrow.catalogue.regions import NewRegion
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
    return SmearController(session, background, canvas)


@pytest.fixture
def predicted(desk: Desk, worker: Any, fields: Path) -> list[int]:
    """Prediction ids of the smears 1 to 3."""
    desk.cases.add([fields], lambda _done, _total: None)
    desk.queue.submit([1, 2, 3])
    worker.work_off()
    return [desk.results.lines_of_piece(1, 0)[k].prediction_id or 0 for k in range(3)]


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


def test_a_file_that_is_gone_is_told_and_what_is_shown_stays(
    controller: SmearController,
    session: Session,
    canvas: Any,
    background: Any,
    fields: Path,
    predicted: list[int],
) -> None:
    controller.open(1)
    (fields / "field_01.png").unlink()
    controller.open(2)
    assert session.smear_id == 1
    canvas.show.assert_called_once()
    assert "field_01.png" in background.told[0]


def test_a_picture_of_another_study_is_not_shown(
    controller: SmearController,
    session: Session,
    canvas: Any,
    background: Any,
    desk: Desk,
    predicted: list[int],
) -> None:
    held: list[Any] = []
    background.ask = lambda _topic, question, then, **_options: held.append((question(), then))
    controller.open(1)
    session.desk = Desk(desk._study, desk.queue._client)
    picture, then = held[0]
    then(picture)
    canvas.show.assert_not_called()
    with pytest.raises(ValueError, match="closed"):
        picture.image.read(0, 0, 0, 1, 1)


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
