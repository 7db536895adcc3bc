"""Retraining without a window, on a real catalogue whose worker only pretends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import create_autospec

import pytest
from sqlalchemy.exc import OperationalError

from marrow.catalogue import cohorts, jobs, labels, sight, smears
from marrow.cohort_preview import HIDDEN
from marrow.errors import NotFound
from napari_marrow.controllers.retrain import (
    TICKS_PER_LIST,
    TICKS_PER_PROSPECT,
    TICKS_PER_TRY,
    RetrainController,
    RetrainView,
)
from napari_marrow.desk import Desk
from napari_marrow.session import Session
from napari_marrow.sweep_wish import SweepWish

WISH = SweepWish(loss_weights="5:5, 1:9", epochs="2, 4", folds=2, tune="last-block")


@pytest.fixture
def view() -> Any:
    made = create_autospec(RetrainView, instance=True)
    made.is_looked_at.return_value = True
    return made


@pytest.fixture
def labelled(study: Any, add_smears: Any) -> list[int]:
    """Twenty-four smears of twelve patients, four of each class."""
    ids: list[int] = add_smears(study, 24)
    with study.database.write() as connection:
        at = study.database.now(connection)
        for number, smear in enumerate(ids):
            given = {"diagnosis": ("AA", "MDS", "AML")[number // 2 % 3]}
            labels.give(connection, at, study.scheme, smear, given, "A", False)
    return ids


@pytest.fixture
def controller(background: Any, view: Any, desk: Desk) -> RetrainController:
    session = Session()
    made = RetrainController(session, background, view)
    session.desk = desk
    return made


def tell_epochs(study: Any, job_id: int, run: int, epochs: range, validation: bool) -> None:
    side: dict[str, Any] = {"loss": 0.5, "balanced": {"diagnosis": 0.75}, "auc": 0.8}
    told = [
        {
            "run": run,
            "epoch": epoch,
            "epochs": 4,
            **side,
            "validation": side if validation else None,
        }
        for epoch in epochs
    ]
    with study.database.write() as connection:
        jobs.append_events(connection, study.database.now(connection), job_id, "epoch", told)


def board_of(view: Any) -> Any:
    return view.set_board.call_args.args[0]


def test_the_form_is_offered_the_papers_weights_and_open_sites(
    controller: RetrainController, view: Any
) -> None:
    choices = view.set_choices.call_args.args[0]
    assert choices.weights == "5:5, 2:8, 1:9"
    assert choices.heads == ("mds", "diagnosis")


def test_without_labels_the_start_is_refused_in_a_sentence(
    controller: RetrainController, view: Any
) -> None:
    controller.plan(WISH)
    assert "label" in view.set_prospect.call_args.args[0].trouble


def test_a_plan_says_who_trains_and_how_much_work_sharing_saves(
    controller: RetrainController, view: Any, labelled: list[int]
) -> None:
    controller.plan(WISH)
    prospect = view.set_prospect.call_args.args[0]
    assert "12 patients (AA 4, MDS 4, AML 4), of whom 3 test" in prospect.cohort
    assert not prospect.trouble
    # Two loss weights, each a run on all and two that leave a fold out, of 4 epochs; apart it
    # would be 2 and 4 epochs of each.
    assert "24 epochs instead of 36" in prospect.work


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss_weights": "5:5, 1"}, "one number per head (mds, diagnosis)"),
        ({"loss_weights": "1:9, 2:18"}, "which are the same"),
        ({"epochs": "30, many"}, "whole numbers"),
        ({"epochs": "0"}, "0 epochs train nothing"),
        ({"folds": 1}, "1 fold would leave out all training patients"),
        ({"weights": "/nowhere/trunk.pth"}, "/nowhere/trunk.pth"),
        ({"epochs": "30, 100000"}, "10000"),
        ({"seeds": str(2**63)}, "seed: Input should be less than 9223372036854775808"),
        ({"backbone": "resnet5"}, "'resnet5' is no network of torchvision that ends in a feature"),
        ({"loss_weights": "1e308:1.5e308"}, "one number per head"),
        ({"seeds": ",".join(map(str, range(200)))}, "800 cells, and a sweep 500 at most"),
    ],
)
def test_a_grid_that_cannot_be_trained_says_why_in_one_sentence(
    controller: RetrainController,
    view: Any,
    background: Any,
    labelled: list[int],
    change: dict[str, Any],
    words: str,
) -> None:
    controller.plan(replace(WISH, **change))
    trouble = view.set_prospect.call_args.args[0].trouble
    assert words in trouble
    assert "\n" not in trouble
    assert background.told == []  # in place, and no notice for each letter that is typed


def test_left_out_smears_are_listed_with_their_reasons(
    controller: RetrainController, view: Any, study: Any, labelled: list[int]
) -> None:
    with study.database.write() as connection:
        at = study.database.now(connection)
        give = labels.give
        give(connection, at, study.scheme, labelled[0], {"diagnosis": "unsure"}, "A", False)
        give(connection, at, study.scheme, labelled[2], {"diagnosis": "AML"}, "B", False)
    controller.plan(WISH)
    prospect = view.set_prospect.call_args.args[0]
    assert [one.cells[0] for one in prospect.exclusions] == ["S000001", "S000003"]
    assert [
        "unsure" in prospect.exclusions[0].cells[3],
        "conflict" in prospect.exclusions[1].cells[3],
    ] == [True, True]
    assert "2" in prospect.excluded


def test_a_patient_is_left_out_by_hand_with_a_reason(
    controller: RetrainController, view: Any, study: Any, labelled: list[int]
) -> None:
    with study.database.read() as connection:
        patients = {one.patient for one in smears.get(connection, labelled)}
    assert len(patients) == 12
    controller.plan(replace(WISH, folds=0, left_out=(("P5", "treated before"),)))
    prospect = view.set_prospect.call_args.args[0]
    assert "11 patients" in prospect.cohort
    assert {one.cells[3] for one in prospect.exclusions} == {"left out by hand: treated before"}
    assert {one.by_hand for one in prospect.exclusions} == {"P5"}
    controller.plan(replace(WISH, left_out=(("P5", "treated"), ("nobody", "treated"))))
    prospect = view.set_prospect.call_args.args[0]
    assert "'nobody' is neither a patient" in prospect.trouble
    assert {one.by_hand for one in prospect.exclusions} == {"P5"}  # and is not forgotten for it
    assert "11 patients" in prospect.cohort


def test_who_is_left_out_is_told_anew_when_somebody_else_looks_or_reads_blind(
    held_background: Any, view: Any, desk: Desk, study: Any, labelled: list[int]
) -> None:
    with study.database.write() as connection:
        at = study.database.now(connection)
        labels.give(connection, at, study.scheme, labelled[0], {"diagnosis": "MDS"}, "B", False)
    session = Session(reader="C")
    controller = RetrainController(session, held_background, view)
    session.desk = desk
    controller.plan(WISH)
    held_background.let_go()

    def reasons() -> list[str]:
        return [one.cells[3] for one in view.set_prospect.call_args.args[0].exclusions]

    assert reasons() == ["conflict"]
    view.is_looked_at.return_value = False  # the window of the exclusions is another one
    with study.database.write() as connection:
        sight.set_blind_readers(connection, ("B", "C"))
    session.blind = ("B", "C")
    assert reasons() == []  # at once
    held_background.let_go()
    assert set(reasons()) == {HIDDEN}
    session.reader = "B"
    assert reasons() == []
    held_background.let_go()
    assert set(reasons()) == {HIDDEN}


def test_too_few_patients_for_the_folds_are_told_before_the_start(
    controller: RetrainController, view: Any, labelled: list[int]
) -> None:
    controller.plan(replace(WISH, folds=19))
    assert "folds" in view.set_prospect.call_args.args[0].trouble


def test_a_sweep_is_started_and_its_board_shown(
    controller: RetrainController, view: Any, study: Any, labelled: list[int]
) -> None:
    controller.start(WISH)
    view.tell.assert_called_once_with("Sweep 1 is queued.", is_warning=False)
    board = board_of(view)
    assert (board.rows, board.columns) == (("5:5", "1:9"), ("2 epochs", "4 epochs"))
    assert [cell.cell for cell in board.cells] == [0, 1, 2, 3]
    assert {cell.state for cell in board.cells} == {"waiting"}
    # A cell of each trajectory, the longest one.
    view.choose.assert_called_once_with((1, 3))


def test_a_second_click_while_a_sweep_is_being_queued_queues_no_other(
    held_background: Any, view: Any, desk: Desk, study: Any, labelled: list[int]
) -> None:
    session = Session()
    controller = RetrainController(session, held_background, view)
    session.desk = desk
    held_background.let_go()
    controller.start(WISH)
    controller.start(WISH)
    view.set_starting.assert_called_once_with(True)
    held_background.let_go()
    with study.database.read() as connection:
        assert [one.id for one in jobs.newest(connection)] == [1]
    view.set_starting.assert_called_with(False)
    controller.start(replace(WISH, loss_weights="1:2:3"))  # refused: the next one may follow
    held_background.let_go()
    controller.start(WISH)
    held_background.let_go()
    with study.database.read() as connection:
        assert [one.id for one in jobs.newest(connection)] == [2, 1]


def test_tonight_is_a_window_of_the_job(
    controller: RetrainController, study: Any, labelled: list[int]
) -> None:
    controller.start(replace(WISH, at="22:00", until="06:00"))
    with study.database.read() as connection:
        (job,) = jobs.newest(connection)
    assert job.night is not None
    assert (job.night.at, job.night.until) == ("22:00", "06:00")


def test_the_board_and_curves_follow_the_events(
    controller: RetrainController, view: Any, study: Any, labelled: list[int]
) -> None:
    controller.start(WISH)
    tell_epochs(study, 1, 0, range(1, 4), validation=False)
    tell_epochs(study, 1, 1, range(1, 3), validation=True)
    controller.tick()
    cells = board_of(view).cells
    assert {"loss 0.500", "left out 0.500", "AUC so far 0.80"} <= set(cells[1].words)
    assert cells[1].share_done == (3 + 2 + 0) / 12
    assert cells[0].share_done == (2 + 2 + 0) / 6  # never beyond its own epochs
    curves = view.set_curves.call_args.args[0]
    assert [(one.name, one.is_validation) for one in curves.loss] == [
        ("5:5: training", False),
        ("5:5: left out", True),
    ]
    assert curves.loss[0].epochs.tolist() == [1, 2, 3]
    assert curves.accuracy[1].values.tolist() == [0.75, 0.75]
    assert curves.most_epochs == 4
    assert curves.kept == (2, 4)
    controller.set_figure("auc")
    assert view.set_curves.call_args.args[0].accuracy[1].values.tolist() == [0.8, 0.8]


def test_only_new_events_are_read(
    controller: RetrainController, study: Any, desk: Desk, labelled: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    controller.start(WISH)
    tell_epochs(study, 1, 0, range(1, 4), validation=False)
    controller.tick()
    asked: list[int] = []
    events = jobs.events
    monkeypatch.setattr(
        jobs, "events", lambda c, job, after: asked.append(after) or events(c, job, after)
    )
    controller.tick()
    with study.database.read() as connection:
        assert asked == [jobs.get(connection, 1).last_seq]


def test_curves_are_of_the_chosen_cells_and_end_with_them(
    controller: RetrainController, view: Any, study: Any, labelled: list[int]
) -> None:
    controller.start(WISH)
    tell_epochs(study, 1, 0, range(1, 5), validation=False)
    controller.choose(1, (0,))
    (training,) = view.set_curves.call_args.args[0].loss
    assert training.epochs.tolist() == [1, 2]
    controller.choose(1, ())
    curves = view.set_curves.call_args.args[0]
    assert curves.loss == ()
    assert "Choose cells" in curves.words


def test_a_cell_is_stopped_and_resumed(
    controller: RetrainController, view: Any, background: Any, labelled: list[int]
) -> None:
    controller.start(WISH)
    controller.stop(1, (2, 3))
    states = [cell.state for cell in board_of(view).cells]
    assert states == ["waiting", "waiting", "stopped", "stopped"]
    assert [cell.can_resume for cell in board_of(view).cells] == [False, False, True, True]
    assert "3 of 6 runs wait" in view.tell.call_args.args[0]
    controller.stop(1, (0,))
    assert "goes on" not in board_of(view).cells[1].words[0]
    assert "others go on" in board_of(view).cells[0].words[0]  # cell 1 needs the same runs
    controller.resume(1, (0, 2, 3))
    assert {cell.state for cell in board_of(view).cells} == {"waiting"}
    assert background.told == []


def test_a_click_on_the_board_of_before_means_its_own_sweep(
    held_background: Any, view: Any, desk: Desk, study: Any, labelled: list[int]
) -> None:
    session = Session()
    controller = RetrainController(session, held_background, view)
    session.desk = desk
    controller.start(WISH)
    held_background.let_go()
    controller.start(replace(WISH, epochs="3"))
    held_background.let_go()
    controller.show(1)  # and the board of 2 is still on the screen
    controller.choose(2, (1,))
    controller.stop(2, (0, 1))
    held_background.let_go()
    assert "Sweep 2: stopped are" in view.tell.call_args.args[0]
    assert {cell.state for cell in board_of(view).cells} == {"waiting"}
    assert board_of(view).job_id == 1
    view.choose.assert_called_with((1, 3))  # what the board of 1 begins with


def test_nothing_is_asked_while_nobody_looks_or_an_answer_is_on_its_way(
    controller: RetrainController, view: Any, background: Any, labelled: list[int]
) -> None:
    controller.start(WISH)
    view.is_looked_at.return_value = False
    background.asked.clear()
    for _ in range(2 * TICKS_PER_LIST):
        controller.tick()
    assert background.asked == []
    view.is_looked_at.return_value = True
    background.ask = lambda topic, *_args, **_options: background.asked.append(topic)
    for _ in range(5):
        controller.tick()
    assert background.asked.count("board") == 1


def test_a_lost_database_is_told_in_place_and_asked_every_two_seconds(
    controller: RetrainController, view: Any, background: Any, study: Any, labelled: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    controller.start(WISH)
    read = study.database.read

    def lose(*_args: Any) -> Any:
        raise OperationalError("SELECT 1", {}, Exception("the server is gone"))

    background.asked.clear()
    monkeypatch.setattr(study.database, "read", lose)
    for _ in range(2 * TICKS_PER_PROSPECT):  # twenty seconds
        controller.tick()
    assert background.told == []
    assert background.asked.count("board") <= 2 * TICKS_PER_PROSPECT / TICKS_PER_TRY
    assert "does not answer" in view.set_prospect.call_args.args[0].trouble
    monkeypatch.setattr(study.database, "read", read)
    tell_epochs(study, 1, 0, range(1, 4), validation=False)
    for _ in range(TICKS_PER_PROSPECT):
        controller.tick()
    assert "loss 0.500" in board_of(view).cells[1].words
    assert not view.set_prospect.call_args.args[0].trouble


def test_a_board_that_fails_otherwise_is_not_asked_at_each_tick(
    controller: RetrainController, background: Any, desk: Desk, labelled: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    controller.start(WISH)

    def fail(*_args: Any) -> Any:
        raise NotFound("There is no job 1")

    monkeypatch.setattr(desk.retrain, "follow", fail)
    for _ in range(3 * TICKS_PER_TRY):
        controller.tick()
    assert len(background.told) <= 3


def test_an_older_sweep_stays_shown_until_another_is_started(
    controller: RetrainController, view: Any, labelled: list[int]
) -> None:
    controller.start(WISH)
    controller.start(replace(WISH, epochs="3"))
    assert board_of(view).job_id == 2
    controller.show(1)
    for _ in range(TICKS_PER_LIST + 1):
        controller.tick()
    assert board_of(view).job_id == 1
    sweeps, shown = view.set_jobs.call_args.args
    assert ([one.job_id for one in sweeps], shown) == ([2, 1], 1)
    controller.start(replace(WISH, epochs="2"))
    assert board_of(view).job_id == 3


def test_runs_that_cells_share_are_told_in_words(
    controller: RetrainController, view: Any, labelled: list[int]
) -> None:
    controller.start(replace(WISH, tune="heads"))
    assert "one run serves them all" in board_of(view).notes
    view.choose.assert_called_once_with((1,))
    assert "Shares its runs with" in board_of(view).cells[0].hint


def test_a_locked_site_is_offered_with_the_reason(
    background: Any, view: Any, desk: Desk, study: Any, add_smears: Any
) -> None:
    ids = add_smears(study, 2)
    with study.database.write() as connection:
        at = study.database.now(connection)
        for smear, site in zip(ids, ("clinic", "north"), strict=True):
            smears.describe(connection, [smear], site=site, patient=f"{site}-1")
            labels.give(connection, at, study.scheme, smear, {"diagnosis": "AA"}, "A", False)
        cohorts.lock_site(connection, at, study.scheme, "clinic")
    session = Session()
    controller = RetrainController(session, background, view)
    session.desk = desk
    choices = view.set_choices.call_args.args[0]
    assert choices.sites == ("north",)
    assert choices.site_words == {"clinic": "locked"}
    controller.plan(WISH)
    (left,) = view.set_prospect.call_args.args[0].exclusions
    assert "clinic" in left.cells[3]
