"""The Consensus tab without a window, on a real catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest

from marrow.catalogue import labels, sight, smears
from marrow.schemes import AA_MDS_AML
from marrow.study import Study
from napari_marrow.controllers.reading import (
    TICKS_PER_BLIND_LOOK,
    TICKS_PER_LOOK,
    ReadingController,
    ReadingView,
)
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.desks.reading import ReadingState
from napari_marrow.lines.reading import DisagreementLine
from napari_marrow.session import Session

Sit = Callable[[str], "Seat"]


class Seat:
    """A person at a viewer of the study."""

    def __init__(self, desk: Desk, reader: str, background: Any) -> None:
        self.view: Any = create_autospec(ReadingView, instance=True)
        self.view.is_looked_at.return_value = True
        self.smear: Any = create_autospec(SmearController, instance=True)
        self.session = Session(reader=reader)
        self.controller = ReadingController(self.session, background, self.view, self.smear)
        self.session.desk = desk
        self.controller.look()

    @property
    def state(self) -> ReadingState:
        self.controller.look()
        found = self.view.set_state.call_args.args[0]
        assert isinstance(found, ReadingState)
        return found

    @property
    def rows(self) -> tuple[DisagreementLine, ...]:
        return self.state.heads[0].lines


@pytest.fixture
def sit(study: Study, client_without_agent: Any, background: Any) -> Sit:
    return lambda reader: Seat(Desk(study, client_without_agent(study)), reader, background)


def read(study: Study, reader: str, answers: dict[int, str]) -> None:
    with study.database.write() as connection:
        at = study.database.now(connection)
        for smear_id, answer in answers.items():
            given = {"diagnosis": answer}
            labels.give(connection, at, AA_MDS_AML, smear_id, given, reader, False)


def make_blind(study: Study, *names: str) -> None:
    with study.database.write() as connection:
        sight.set_blind_readers(connection, names)


def alone_each(study: Study, ids: Sequence[int]) -> None:
    """Each smear is a patient of its own."""
    with study.database.write() as connection:
        for one in ids:
            smears.describe(connection, [one], patient=f"Q{one}")


def test_a_disagreement_is_listed_only_when_both_have_read(
    sit: Sit, study: Study, add_smears: Any, background: Any
) -> None:
    first, second, third = add_smears(study, 3)
    make_blind(study, "A", "B")
    a, b = sit("A"), sit("B")
    read(study, "A", {first: "AA", second: "MDS", third: "AML"})
    for seat in (a, b):
        assert seat.rows == ()
        assert "3 smears are hidden" in seat.state.words
        assert "B has 3 to read" in seat.state.words
    read(study, "B", {first: "AML", second: "MDS"})
    for seat in (a, b):
        assert [row.cells for row in seat.rows] == [("S000001", "P0", "AA", "AML", "–")]
        assert "B has 1 to read" in seat.state.words
    read(study, "B", {third: "unsure"})
    assert [row.smear_id for row in a.rows] == [first, third]
    assert a.state.words == "A and B read blind, and have read everything: all smears are open."
    assert background.told == []


def test_a_label_of_a_third_person_hides_no_disagreement_of_two(
    sit: Sit, study: Study, add_smears: Any
) -> None:
    first, second = add_smears(study, 2)
    read(study, "A", {first: "AA", second: "MDS"})
    read(study, "B", {first: "AML", second: "MDS"})
    read(study, "C", {second: "MDS"})
    seat = sit("C")
    assert [row.cells for row in seat.rows] == [("S000001", "P0", "AA", "AML", "–", "–")]
    seat.controller.press("2", seat.rows[0])
    assert seat.rows[0].cells[-1] == "MDS"


def test_somebody_who_contradicts_the_blind_readers_stands_beside_them(
    sit: Sit, study: Study, add_smears: Any
) -> None:
    first, second = add_smears(study, 2)
    make_blind(study, "A", "B")
    read(study, "C", {first: "AML"})
    for reader in ("A", "B"):
        read(study, reader, {first: "AA", second: "AA"})
    seat = sit("A")
    assert [row.cells for row in seat.rows] == [("S000001", "P0", "AA", "AA", "–", "C AML")]


def test_a_history_of_a_hidden_smear_holds_ones_own_labels_alone(
    sit: Sit, study: Study, add_smears: Any
) -> None:
    (one,) = add_smears(study, 1)
    make_blind(study, "A", "B")
    read(study, "A", {one: "AA"})
    read(study, "A", {one: "MDS"})
    seat = sit("B")
    seat.controller.show_history(one)
    history = seat.view.set_history.call_args.args[0]
    assert history.lines == ()
    assert history.is_hidden
    read(study, "B", {one: "AML"})
    seat.controller.show_history(one)
    history = seat.view.set_history.call_args.args[0]
    assert not history.is_hidden
    assert [line.cells[1:] for line in history.lines] == [
        ("B", "diagnosis: AML", "reader", "not seen", "stands"),
        ("A", "diagnosis: MDS", "reader", "not seen", "stands"),
        ("A", "diagnosis: AA", "reader", "not seen", "superseded"),
    ]


def test_a_digit_decides_undo_takes_it_back_and_nothing_is_lost(
    sit: Sit, study: Study, add_smears: Any, client_without_agent: Any, worker: Any
) -> None:
    one, other = add_smears(study, 2)
    client_without_agent(study).submit([other])
    worker.work_off()
    read(study, "A", {one: "AA", other: "AA"})
    read(study, "B", {one: "AML", other: "MDS"})
    seat = sit("C")
    line, second = seat.rows
    seat.controller.show_history(one)
    seat.controller.press("2", line)
    assert seat.rows[0].cells[-1] == "MDS"
    seat.view.advance.assert_called_once_with(line)
    history = seat.view.set_history.call_args.args[0].lines
    assert history[0].cells[1:] == ("C", "diagnosis: MDS", "adjudicated", "not seen", "stands")
    assert [row.cells[-1] for row in history[1:]] == ["stands", "stands"]  # the readers' own
    seat.controller.press("0", second)
    with study.database.read() as connection:
        agreed = labels.consensus(connection, [one, other])
        given = labels.history(connection, other)
    assert agreed[one].answers == {"diagnosis": "MDS"}
    assert agreed[other].excluded == {"diagnosis": "unsure"}
    # A model had answered: it may have been looked at before this viewer was started.
    assert given[-1].seen_prediction
    seat.controller.press("undo", line)
    assert seat.rows[0].cells[-1] == "–"
    with study.database.read() as connection:
        assert labels.consensus(connection, [one])[one].excluded == {"diagnosis": "conflict"}
    seat.controller.press("7", line)  # no such class
    seat.controller.press("2", None)
    assert seat.rows[0].cells[-1] == "–"


def test_what_is_not_stored_is_said(
    sit: Sit, study: Study, add_smears: Any, background: Any
) -> None:
    (one,) = add_smears(study, 1)
    read(study, "A", {one: "AA"})
    read(study, "B", {one: "AML"})
    seat = sit("A")
    line = seat.rows[0]
    make_blind(study, "A", "B", "C")  # meanwhile, elsewhere
    seat.controller.press("1", line)
    assert "C must read it" in background.told[0]
    seat.view.tell.assert_called_once_with("S000001 was not adjudicated: try again.", True)
    seat.view.advance.assert_not_called()


def test_enter_opens_without_and_h_with_the_models_answer(
    sit: Sit, study: Study, add_smears: Any
) -> None:
    (one,) = add_smears(study, 1)
    read(study, "A", {one: "AA"})
    read(study, "B", {one: "AML"})
    seat = sit("A")
    seat.controller.open(seat.rows[0])
    seat.smear.open.assert_called_once_with(one)
    seat.controller.press("heatmap", seat.rows[0])
    seat.smear.toggle_heatmap.assert_called_once_with()


def test_blind_reading_is_set_up_and_opened_again(
    sit: Sit, study: Study, add_smears: Any, background: Any
) -> None:
    add_smears(study, 2)
    a, b = sit("A"), sit("B")
    a.controller.set_blind(["A"])
    assert "'A' alone cannot be blind" in background.told[0]
    a.controller.set_blind(["A", "B"])
    assert a.session.blind == ("A", "B")
    assert a.view.tell.call_args.args[0] == "A, B read blind from now on."
    assert [(one.name, one.is_blind, one.to_read) for one in a.state.readers] == [
        ("A", True, 2),
        ("B", True, 2),
    ]
    assert b.session.blind == ()
    b.view.is_looked_at.return_value = False
    for _ in range(TICKS_PER_BLIND_LOOK):
        b.controller.tick()
    assert b.session.blind == ("A", "B")  # also where nobody looks at the tab
    a.controller.set_blind([])
    assert a.session.blind == ()
    assert "Nobody reads blind" in a.state.words


def test_too_few_readers_are_said_and_not_an_error(
    sit: Sit, study: Study, add_smears: Any, background: Any
) -> None:
    (one,) = add_smears(study, 1)
    read(study, "A", {one: "AA"})
    state = sit("A").state
    assert state.heads == ()
    assert "agreement needs two readers" in state.reason
    assert background.told == []


def test_figures_are_computed_again_only_when_something_has_changed(
    sit: Sit, study: Study, add_smears: Any, background: Any
) -> None:
    (one,) = add_smears(study, 1)
    seat = sit("A")
    seat.view.set_state.reset_mock()
    for _ in range(3 * TICKS_PER_LOOK):
        seat.controller.tick()
    seat.view.set_state.assert_not_called()
    read(study, "B", {one: "AA"})
    for _ in range(TICKS_PER_LOOK):
        seat.controller.tick()
    seat.view.set_state.assert_called_once()


def test_another_person_at_the_screen_sees_nothing_of_the_one_before(
    sit: Sit, study: Study, add_smears: Any
) -> None:
    (one,) = add_smears(study, 1)
    make_blind(study, "A", "B")
    read(study, "A", {one: "AA"})
    seat = sit("A")
    seat.controller.show_history(one)
    assert len(seat.view.set_history.call_args.args[0].lines) == 1
    seat.session.reader = "B"
    seat.view.set_history.assert_called_with(None)
    assert [line.is_you for line in seat.state.readers] == [True, False]
    seat.controller.show_history(one)
    assert seat.view.set_history.call_args.args[0].lines == ()


def test_kappa_on_the_screen_is_that_of_statsmodels(
    sit: Sit, study: Study, add_smears: Any
) -> None:
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    rng = np.random.default_rng(5)
    ids, answers = add_smears(study, 80), ("AA", "MDS", "AML", "unsure")
    alone_each(study, ids)
    first = rng.integers(0, 4, len(ids))
    second = np.where(rng.random(len(ids)) < 0.6, first, rng.integers(0, 4, len(ids)))
    for reader, said in (("A", first), ("B", second)):
        read(study, reader, {one: answers[k] for one, k in zip(ids, said, strict=True)})
    counts = np.zeros((4, 4), dtype=int)
    np.add.at(counts, (first, second), 1)
    expected = inter_rater.cohens_kappa(counts)
    pair = sit("A").state.heads[0].pairs[0]
    assert [list(map(int, line.cells[1:])) for line in pair.lines] == counts.tolist()
    found = re.match(r"Cohen's kappa (\S+) \(95% (\S+) to (\S+)\), n = 80 patients", pair.words)
    assert found is not None
    shown = [float(number) for number in found.groups()]
    # Three decimals are shown; both take Fleiss, Cohen and Everitt's variance.
    assert shown == pytest.approx(
        [expected.kappa, expected.kappa_low, expected.kappa_upp], abs=6e-4
    )
