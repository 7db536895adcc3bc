"""What is drawn on the canvas, on a real catalogue that others draw into and that may be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy.exc import OperationalError

from marrow.catalogue import regions
from marrow.catalogue.regions import NewRegion, Redrawn, plain
from marrow.client import Client
from marrow.records import Region
from marrow.study import Study
from napari_marrow.controllers.outbox import RETRY_S, OutboxController
from napari_marrow.controllers.regions import RegionsController
from napari_marrow.desk import Desk
from napari_marrow.layers import drawn_form
from napari_marrow.session import Session


def square(edge: float, role: str = "use") -> NewRegion:
    polygon = ((edge, 0.1), (edge, 9.3), (edge + 9, 9.3))
    return NewRegion.model_validate({"role": role, "polygon": polygon})


class Viewer:
    """A person's outbox and what he has on his canvas."""

    def __init__(self, desk: Desk, background: Any, reader: str) -> None:
        self.now = 1_800_000_000.0 + ord(reader)
        self.session = Session(reader=reader)
        self.outbox = OutboxController(self.session, background, self.clock, self.clock)
        self.regions = RegionsController(self.session, self.outbox)
        self.saved = Mock()
        self.outbox.saved.connect(self.saved)
        self.session.desk = desk
        self.canvas: list[NewRegion] = []

    def clock(self) -> float:
        return self.now

    def show(self, smear_id: int) -> None:
        assert self.session.desk is not None
        unsent = self.regions.unsent(smear_id)
        stored = self.session.desk.smears.facts(smear_id, None, self.session.reader).regions
        forms = map(drawn_form, self.regions.fill(smear_id, stored, unsent))
        self.smear_id, self.canvas = smear_id, [one for one in forms if one is not None]

    def draw(self, *drawn: NewRegion) -> None:
        for one in drawn:
            form = drawn_form(one)
            assert form is not None
            self.canvas.append(form)
            self.regions.save(self.smear_id, self.canvas)

    def erase(self, place: int) -> None:
        del self.canvas[place]
        self.regions.save(self.smear_id, self.canvas)


@pytest.fixture
def make_viewer(
    study: Study,
    client_without_agent: Callable[[Study], Client],
    background: Any,
    add_smears: Any,
) -> Iterator[Callable[[str], Viewer]]:
    add_smears(study, 2)
    desks: list[Desk] = []

    def make(reader: str) -> Viewer:
        desks.append(Desk(study, client_without_agent(study)))
        return Viewer(desks[-1], background, reader)

    yield make
    for desk in desks:
        desk.labels.close()


@contextmanager
def lost_database(study: Study) -> Iterator[None]:
    """It takes nothing meanwhile."""

    @contextmanager
    def write() -> Iterator[None]:
        raise OperationalError("INSERT", {}, Exception("database is locked"))
        yield

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(study.database, "write", write)
        yield


def standing(study: Study, smear_id: int = 1) -> list[Region]:
    with study.database.read() as connection:
        return regions.of(connection, smear_id)


def edges(found: list[Region]) -> list[tuple[float, str]]:
    return [(one.polygon[0][0], one.reader) for one in found]


def test_what_two_people_draw_on_one_smear_stands_under_their_own_names(
    make_viewer: Callable[[str], Viewer], study: Study
) -> None:
    anna, ben = make_viewer("A"), make_viewer("B")
    ben.show(1)
    anna.show(1)
    anna.draw(square(1), square(2))
    hers = standing(study)
    ben.draw(square(3))  # his canvas knows nothing of hers
    assert edges(standing(study)) == [(1, "A"), (2, "A"), (3, "B")]
    ben.show(1)
    ben.draw(square(4))  # his canvas has them all now
    assert edges(standing(study)) == [(1, "A"), (2, "A"), (3, "B"), (4, "B")]
    assert standing(study)[:2] == hers
    ben.erase(0)
    assert edges(standing(study)) == [(2, "A"), (3, "B"), (4, "B")]
    anna.erase(1)  # she sees her two yet
    assert edges(standing(study)) == [(3, "B"), (4, "B")]


def test_a_region_that_comes_back_from_the_canvas_rounded_is_the_same(
    make_viewer: Callable[[str], Viewer], study: Study
) -> None:
    exact = NewRegion(role="use", polygon=((0.1, 0.2), (0.3, 9.7), (9.9, 9.1)))
    with study.database.write() as connection:  # as a file brings it
        regions.change(connection, 5.0, 1, Redrawn(drawn=[exact]), "file")
    anna = make_viewer("A")
    anna.show(1)
    assert anna.canvas != [exact]
    anna.draw(square(3))
    assert plain(standing(study)[0]) == exact
    anna.erase(0)
    assert edges(standing(study)) == [(3, "A")]


def test_a_click_that_changes_nothing_stores_nothing(
    make_viewer: Callable[[str], Viewer], study: Study
) -> None:
    anna = make_viewer("A")
    anna.show(1)
    anna.draw(square(1))
    anna.regions.save(1, anna.canvas)
    with study.database.read() as connection:
        assert regions.is_stored(connection, anna.now, 1, "A")
    assert len(standing(study)) == 1
    assert anna.outbox.moment([1]) == pytest.approx(anna.now, abs=1e-5)


def test_a_region_that_the_database_does_not_take_is_shown_told_and_sent_later(
    make_viewer: Callable[[str], Viewer], study: Study
) -> None:
    anna = make_viewer("A")
    anna.show(1)
    anna.draw(square(1))
    with lost_database(study):
        anna.draw(square(2))
        anna.erase(0)
        anna.saved.assert_called_with(2, "database is locked")
        anna.show(2)
        assert anna.canvas == []
        anna.show(1)  # it is still there, and what was erased is not
        assert [one.polygon[0][0] for one in anna.canvas] == [2]
        assert edges(standing(study)) == [(1, "A")]
    anna.now += RETRY_S
    anna.outbox.tick()
    anna.saved.assert_called_with(0, "")
    assert edges(standing(study)) == [(2, "A")]
    anna.show(1)
    assert len(anna.canvas) == 1


def test_a_region_survives_the_end_of_the_program(
    make_viewer: Callable[[str], Viewer], study: Study
) -> None:
    anna = make_viewer("A")
    anna.show(1)
    with lost_database(study):
        anna.draw(square(1))
        assert anna.session.desk is not None
        anna.session.desk.labels.close()
        second = make_viewer("A")
        second.show(1)  # the database is still lost
        assert len(second.canvas) == 1
        assert standing(study) == []
    second.now += RETRY_S
    second.outbox.tick()
    assert edges(standing(study)) == [(1, "A")]


def test_a_full_disk_keeps_what_was_drawn_until_it_takes_it(
    make_viewer: Callable[[str], Viewer], study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_descriptor: int, _lines: bytes) -> int:
        raise OSError(28, "No space left on device")

    anna = make_viewer("A")
    anna.show(1)
    with monkeypatch.context() as patched:
        patched.setattr("os.write", full_disk)
        anna.draw(square(1))
        anna.show(2)
        anna.show(1)
        assert len(anna.canvas) == 1
        assert standing(study) == []
    anna.show(2)
    assert edges(standing(study)) == [(1, "A")]


def test_a_region_that_is_sent_twice_is_drawn_once(
    make_viewer: Callable[[str], Viewer], study: Study
) -> None:
    """The viewer was killed between the commit and the mark in its journal."""
    anna = make_viewer("A")
    anna.show(1)
    with lost_database(study):
        anna.draw(square(1))
        anna.canvas[0] = anna.canvas[0].model_copy(update={"role": "exclude"})
        anna.regions.save(1, anna.canvas)
        anna.canvas[0] = anna.canvas[0].model_copy(update={"role": "use"})
        anna.regions.save(1, anna.canvas)
    desk = anna.session.desk
    assert desk is not None
    given = desk.labels._opened().waiting()
    for _ in range(2):
        desk.labels.write(given)
        desk.labels.send()
    assert [(one.role, one.reader) for one in standing(study)] == [("use", "A")]
