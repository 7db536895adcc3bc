"""Smears that are opened before they are asked for, one question at a time."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from napari_marrow.controllers.shelf import Shelf
from napari_marrow.desks.smears import NoPixels, SmearPixels


class Lane:
    """A `Background` whose errands wait until they are let go, in order."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def tell(self, errand: Any, then: Any, *, lane: str, failed: Any) -> None:
        assert lane == "pictures"

        def go() -> None:
            try:
                answer = errand()
            except LookupError:
                failed()
            else:
                then(answer)

        self.waiting.append(go)

    def go(self, errands: int = 99) -> None:
        for one in [self.waiting.pop(0) for _ in range(min(errands, len(self.waiting)))]:
            one()


class Smears:
    """Opens images that remember whether they were closed."""

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.images: dict[int, Mock] = {}

    def pixels(self, smear_id: int) -> SmearPixels | NoPixels:
        self.opened.append(smear_id)
        if smear_id == 13:
            return NoPixels(13, "damaged")
        if smear_id == 99:
            raise LookupError
        self.images[smear_id] = Mock()
        empty = np.zeros((1, 1, 3), np.uint8)
        return SmearPixels(smear_id, [empty], empty, self.images[smear_id])

    def open_ids(self) -> list[int]:
        return [one for one, image in self.images.items() if not image.close.called]


@pytest.fixture
def lane() -> Lane:
    return Lane()


@pytest.fixture
def shelf(lane: Lane) -> Shelf:
    return Shelf(lane)  # type: ignore[arg-type]


@pytest.fixture
def desk() -> Any:
    return SimpleNamespace(smears=Smears())


def test_what_was_read_ahead_is_handed_out_at_once(shelf: Shelf, lane: Lane, desk: Any) -> None:
    shelf.prefetch(desk, 2)
    shelf.prefetch(desk, 2)
    lane.go()
    assert desk.smears.opened == [2]
    taken: list[Any] = []
    shelf.take(desk, 2, taken.append)
    assert [one.smear_id for one in taken] == [2]
    assert not desk.smears.images[2].close.called  # the taker's to close
    assert shelf.ready == ()
    assert lane.waiting == []


def test_two_are_kept_and_the_one_expected_longest_is_closed(
    shelf: Shelf, lane: Lane, desk: Any
) -> None:
    for smear_id in (1, 2, 3):
        shelf.prefetch(desk, smear_id)
        lane.go()
    assert shelf.ready == (2, 3)
    assert desk.smears.open_ids() == [2, 3]
    shelf.prefetch(desk, 2)  # wanted more than 3 now
    shelf.prefetch(desk, 4)
    lane.go()
    assert desk.smears.open_ids() == [2, 4]


def test_what_is_read_ahead_already_is_read_once_for_him_who_takes_it(
    shelf: Shelf, lane: Lane, desk: Any
) -> None:
    shelf.prefetch(desk, 2)
    taken: list[Any] = []
    shelf.take(desk, 2, taken.append)
    lane.go()
    assert desk.smears.opened == [2]
    assert [one.smear_id for one in taken] == [2]


def test_a_smear_that_was_passed_by_is_not_opened(shelf: Shelf, lane: Lane, desk: Any) -> None:
    taken: list[Any] = []
    for smear_id in range(20, 30):  # a key is held down
        shelf.take(desk, smear_id, taken.append)
    lane.go()
    assert desk.smears.opened == [29]
    assert [one.smear_id for one in taken] == [29]


def test_a_smear_that_was_passed_by_while_it_was_read_is_closed(
    shelf: Shelf, lane: Lane, desk: Any
) -> None:
    taken: list[Any] = []
    read = desk.smears.pixels

    def passed_by(smear_id: int) -> Any:
        pixels = read(smear_id)
        shelf.take(desk, 2, taken.append)
        return pixels

    desk.smears.pixels = passed_by
    shelf.take(desk, 1, taken.append)
    lane.go(1)
    desk.smears.pixels = read
    lane.go()
    assert [one.smear_id for one in taken] == [2]
    assert desk.smears.open_ids() == [2]


def test_a_smear_that_one_comes_back_to_before_its_turn_is_opened(
    shelf: Shelf, lane: Lane, desk: Any
) -> None:
    taken: list[Any] = []
    shelf.take(desk, 1, taken.append)
    shelf.take(desk, 2, taken.append)
    shelf.take(desk, 1, taken.append)
    lane.go()
    assert [one.smear_id for one in taken] == [1]
    assert desk.smears.open_ids() == [1]


def test_what_cannot_be_read_is_told_to_him_who_takes_it_and_never_kept(
    shelf: Shelf, lane: Lane, desk: Any
) -> None:
    shelf.prefetch(desk, 13)
    lane.go()
    assert shelf.ready == ()
    taken: list[Any] = []
    shelf.take(desk, 13, taken.append)
    lane.go()
    assert taken == [NoPixels(13, "damaged")]
    assert desk.smears.opened == [13, 13]  # it may be there again


def test_a_lost_catalogue_is_asked_again(shelf: Shelf, lane: Lane, desk: Any) -> None:
    taken: list[Any] = []
    for _ in range(2):
        shelf.take(desk, 99, taken.append)
        lane.go()
    assert desk.smears.opened == [99, 99]
    assert taken == []


def test_another_study_gets_nothing_of_the_first(shelf: Shelf, lane: Lane, desk: Any) -> None:
    other = SimpleNamespace(smears=Smears())
    taken: list[Any] = []
    shelf.prefetch(desk, 1)
    lane.go()
    shelf.prefetch(desk, 2)
    shelf.take(other, 2, taken.append)
    assert desk.smears.open_ids() == []
    lane.go()
    assert desk.smears.opened == [1]
    assert [one.image for one in taken] == [other.smears.images[2]]
    shelf.prefetch(other, 3)
    lane.go()
    shelf.clear()
    assert other.smears.open_ids() == [2]
