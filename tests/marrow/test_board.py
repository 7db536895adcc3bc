"""The board of a sweep: folded from its events, the same in one step and in many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from marrow.board import Board, empty_board
from marrow.catalogue import jobs
from marrow.catalogue.schema import piece
from marrow.client import Client
from marrow.errors import NotFound
from marrow.records import Event, Job, TrainingSpec
from marrow.schemes import AA_MDS_AML
from marrow.study import Study
from marrow.sweeps import Grid, plan

METRIC = {
    "value": 0.9, "low": 0.8, "high": 0.95, "n": 40, "unit": "patients",
    "name": "macro one-vs-rest AUC", "method": "percentile", "confidence": 0.95, "reason": None,
}  # fmt: skip


def a_job(folds: int = 2) -> Job:
    """Two lengths of one trajectory: cells 0 and 1 share run 0 and the folds' runs 1 and 2."""
    base = TrainingSpec(tune="full", folds=folds)
    spec = plan(Grid(base=base, epochs=(2, 4)))
    return Job(
        id=7, kind="sweep", state="waiting", priority="overnight", spec=spec.model_dump(),
        last_seq=0, total=12, done=0, failed=0, created_at=0.0,
    )  # fmt: skip


def figures(run: int, epoch: int, fold: bool) -> dict[str, Any]:
    side = {"loss": 1 / epoch, "balanced": {"diagnosis": 0.1 * epoch}, "auc": 0.2 * epoch}
    left_out = {"loss": 2 / epoch, "balanced": {"diagnosis": 0.05 * epoch}, "auc": 0.1 * run}
    return {"run": run, "epoch": epoch, **side, "validation": left_out if fold else None}


class Story:
    """Events of a job, numbered."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, kind: str, **payload: Any) -> Story:
        values = {"job_id": 7, "seq": len(self.events) + 1, "at": 0.0}
        self.events.append(Event.model_validate({"kind": kind, "payload": payload, **values}))
        return self

    def epochs(self, run: int, *epochs: int) -> Story:
        for epoch in epochs:
            self.add("epoch", **figures(run, epoch, fold=run > 0))
        return self

    def board(self, at_work: tuple[int, ...] = (), folds: int = 2) -> Board:
        board = empty_board(AA_MDS_AML, a_job(folds)).after(self.events, at_work)
        one_by_one = empty_board(AA_MDS_AML, a_job(folds))
        for event in self.events:
            one_by_one = one_by_one.after([event], at_work)
        assert one_by_one == board.after(self.events, at_work)  # what was seen is passed over
        return board


def states(board: Board) -> list[str]:
    return [cell.state for cell in board.cells]


def test_before_the_first_event_everything_waits() -> None:
    board = empty_board(AA_MDS_AML, a_job())
    assert states(board) == ["waiting", "waiting"]
    assert [(one.fold, one.total, one.state) for one in board.runs] == [
        (None, 4, "waiting"),
        (0, 4, "waiting"),
        (1, 4, "waiting"),
    ]
    assert [one.total for one in board.cells] == [6, 12]
    assert board.runs[0].validation is None
    assert board.after([]) is board


def test_epochs_become_curves_and_the_cells_figures() -> None:
    board = Story().add("state", state="running").epochs(0, 1, 2, 3).epochs(1, 1).board((0, 1))
    whole, fold = board.runs[0], board.runs[1]
    assert (whole.epochs, whole.train.loss) == ((1, 2, 3), (1.0, 0.5, pytest.approx(1 / 3)))
    assert whole.train.balanced == pytest.approx((0.1, 0.2, 0.3))
    assert fold.validation is not None
    assert (fold.validation.loss, fold.validation.auc) == ((2.0,), (0.1,))
    short, long = board.cells
    assert (short.epoch, short.epochs, short.loss) == (2, 2, 0.5)  # its snapshot's, not the run's
    assert (long.epoch, long.loss) == (3, pytest.approx(1 / 3))
    assert (short.done, long.done) == (3, 4)
    assert (short.folds, short.validation_loss, short.auc) == (1, 2.0, 0.1)
    assert states(board) == ["running", "running"]


def test_figures_of_several_folds_are_means_up_to_the_cells_epochs() -> None:
    board = Story().epochs(1, 1, 2, 3).epochs(2, 1, 2).board()
    short, long = board.cells
    assert (short.folds, short.balanced, short.auc) == (2, pytest.approx(0.1), pytest.approx(0.15))
    assert long.validation_loss == pytest.approx((2 / 3 + 1) / 2)


def test_without_folds_there_is_no_validation_figure() -> None:
    board = Story().epochs(0, 1, 2).board(folds=0)
    assert all(cell.auc is None and cell.validation_loss is None for cell in board.cells)
    assert [one.validation for one in board.runs] == [None]
    assert states(board) == ["done", "waiting"]


def test_epochs_of_an_earlier_version_have_a_loss_and_no_more() -> None:
    board = Story().add("epoch", run=0, epoch=1, loss=0.7).board()
    assert board.runs[0].train.auc == (None,)
    assert board.cells[0].loss == 0.7


def test_a_stopped_cell_says_whether_its_runs_go_on() -> None:
    story = Story().epochs(0, 1).add("note", text="t", stopped_cells=[1], stopped_runs=[])
    board = story.board((0,))
    assert states(board) == ["running", "stopped"]
    assert [cell.goes_on for cell in board.cells] == [False, True]
    story.add("note", text="both", stopped_cells=[0, 1], stopped_runs=[0, 1, 2])
    board = story.board()
    assert states(board) == ["stopped", "stopped"]
    assert not any(cell.goes_on for cell in board.cells)
    assert {one.state for one in board.runs} == {"stopped"}
    assert board.news == "both"
    story.add("note", text="again", stopped_cells=[], stopped_runs=[])
    assert states(story.board((1,))) == ["running", "running"]


def test_nothing_goes_on_for_a_stopped_cell_whose_other_runs_are_done() -> None:
    story = Story().epochs(0, 1, 2, 3, 4).epochs(1, 1)
    story.add("note", text="both", stopped_cells=[0, 1], stopped_runs=[1, 2])  # of those not done
    board = story.board()
    assert [one.state for one in board.runs] == ["done", "stopped", "stopped"]
    assert states(board) == ["stopped", "stopped"]
    assert not any(cell.goes_on for cell in board.cells)
    assert not any(cell.goes_on for cell in story.board((1, 2)).cells)  # up to their next batch


def test_models_make_cells_done_and_one_of_them_chosen() -> None:
    story = Story()
    for run in range(3):
        story.epochs(run, 1, 2, 3, 4)
    assert states(story.board()) == ["done", "done"]
    story.add("model", model="m4", cells=[1], chosen=True, metric=METRIC)
    story.add("model", model="m5", cells=[0], chosen=False, metric=None)
    board = story.add("state", state="done").board()
    assert states(board) == ["done", "chosen"]
    metric = board.cells[1].metric
    assert metric is not None
    assert (metric.value, metric.low, metric.n, metric.unit) == (0.9, 0.8, 40, "patients")
    assert (board.cells[0].model, board.cells[0].metric) == ("m5", None)


def test_a_cancel_and_a_failure_and_what_a_retry_makes_of_them() -> None:
    story = Story().epochs(0, 1).add("note", text="x", stopped_cells=[1], stopped_runs=[])
    story.add("state", state="cancelled")
    assert states(story.board()) == ["cancelled", "cancelled"]
    story.add("state", state="waiting")
    assert states(story.board()) == ["waiting", "waiting"]
    story.add("note", text="no space", failed_run=2)
    assert states(story.board()) == ["failed", "failed"]
    assert story.board().runs[2].state == "failed"
    story.add("state", state="failed").add("state", state="waiting")
    assert states(story.board()) == ["waiting", "waiting"]
    assert story.board().cells[0].epoch == 1


def test_the_catalogues_board_reads_what_is_new_and_who_is_at_work(
    any_study: Study, add_smears: Callable[..., list[int]], add_model: Callable[..., Any]
) -> None:
    client = Client(any_study, start_agent=lambda _: None)
    job = client.sweep(plan(Grid(base=TrainingSpec(tune="full", folds=2), epochs=(2, 4))))
    first = client.board(job.id)
    assert first.seq == 1
    with any_study.database.write() as connection:
        connection.execute(update(piece).where(piece.c.number == 1).values(state="running"))
        jobs.append_event(connection, 1.0, job.id, "epoch", figures(0, 1, fold=False))
    second = client.board(job.id, first)
    assert (second.seq, second.at_work, second.runs[0].epoch) == (2, (1,), 1)
    assert second == client.board(job.id)
    assert client.board(job.id, second) is second
    add_model(any_study)
    classify = client.submit(add_smears(any_study, 1))
    with pytest.raises(NotFound, match="no board"):
        client.board(classify.id)
