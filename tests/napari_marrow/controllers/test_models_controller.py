"""Comparing, promoting and rolling back without a window, on a real catalogue."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest

from marrow.catalogue import labels, models, sight, smears
from marrow.model_files import CARD, WEIGHTS
from marrow.promotion import promote
from marrow.records import NewSmear
from napari_marrow.controllers.models import (
    NO_MODEL,
    ONE_MODEL,
    TICKS_PER_LOOK,
    CompareView,
    ModelsController,
)
from napari_marrow.desk import Desk
from napari_marrow.lines.models import Offer, champion_of, offer_of
from napari_marrow.report_run import ReportRun
from napari_marrow.session import Session

CLASSES = ("AA", "MDS", "AML")


@pytest.fixture
def view() -> Any:
    made = create_autospec(CompareView, instance=True)
    made.is_looked_at.return_value, made.is_deciding.return_value = True, False
    return made


@pytest.fixture
def reports() -> Any:
    made = create_autospec(ReportRun, instance=True)
    made.news, made.is_busy = deque(), False
    return made


@pytest.fixture
def tested(study: Any) -> list[int]:
    """Thirty test patients, ten of each class, one smear each."""
    ids = []
    with study.database.write() as connection:
        at = study.database.now(connection)
        for number in range(30):
            new = NewSmear(
                identity=f"{number:064x}", root="local", path=f"/nowhere/{number}.png",
                height_px=40, width_px=40, is_slide=False, patient=f"P{number}",
            )  # fmt: skip
            smear, _ = smears.register(connection, at, new)
            given = {"diagnosis": CLASSES[number % 3]}
            labels.give(connection, at, study.scheme, smear, given, "A", False)
            ids.append(smear)
    return ids


def add_model(study: Any, letter: str, ids: list[int], skill: float, seed: int = 0) -> int:
    """A model that was never trained, and what it said of the test side."""
    rng = np.random.default_rng(seed)
    said = {}
    for number, smear in enumerate(ids):
        by_head = {}
        for head in study.scheme.heads:
            logits = rng.normal(0, 1, len(head.classes))
            answers = study.scheme.complete({"diagnosis": CLASSES[number % 3]})
            logits[head.classes.index(answers[head.name])] += skill
            shares = np.exp(logits) / np.exp(logits).sum()
            by_head[head.name] = tuple(map(float, shares))
        said[smear] = by_head
    folder = study.store / "models" / letter
    folder.mkdir(parents=True)
    for file in (WEIGHTS, CARD):
        (folder / file).touch()
    card = {"backbone": "resnet50", "training": {"epochs": 30, "loss_weights": [1, 9]}, "split": {}}
    with study.database.write() as connection:
        at = study.database.now(connection)
        made = models.register(
            connection, at, sha256=letter * 64, path=f"models/{letter}", preprocessing="p",
            precision="fp32", card=card, job_id=None,
        )  # fmt: skip
        if ids:
            models.record_scoring(connection, at, made.id, "test", {}, said)
    return made.id


@pytest.fixture
def make_controller(background: Any, view: Any, desk: Desk, reports: Any) -> Any:
    def make() -> ModelsController:
        session = Session()
        made = ModelsController(session, background, view, reports)
        session.desk = desk
        made.tick()
        made.kept = session  # type: ignore[attr-defined] -- it is held by nobody else
        return made

    return make


def comparison(view: Any) -> Any:
    return view.set_comparison.call_args.args[0]


def champion(study: Any) -> int:
    with study.database.read() as connection:
        found = models.champion(connection)
    assert found is not None
    return found.id


def test_without_models_a_sentence_says_what_to_do(
    make_controller: Any, view: Any, study: Any
) -> None:
    controller = make_controller()
    assert view.set_comparison.call_args.args == (None, NO_MODEL)
    add_model(study, "a", [], 1)
    controller.look()
    assert view.set_comparison.call_args.args == (None, ONE_MODEL)


def test_models_without_common_patients_are_not_compared(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 1)
    add_model(study, "b", [], 2)
    with study.database.write() as connection:
        smears.keep_test_patients(connection, ["P0"])
    make_controller()
    shown = comparison(view)
    assert "no patient was scored with both" in shown.headline
    assert "`marrow validate m2 --side test`" in shown.objection
    assert shown.roc == ()


def test_the_champion_is_compared_with_the_newest_other_model(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    for letter, skill in (("a", 1), ("b", 1), ("c", 3)):
        add_model(study, letter, tested, skill, seed=ord(letter))
    make_controller()
    known, left, right = view.set_models.call_args.args
    assert ([one.model_id for one in known], left, right) == ([3, 2, 1], 1, 3)
    shown = comparison(view)
    assert (shown.champion, shown.challenger) == (1, 3)
    assert "on 30 patients" in shown.headline
    assert "n = 30 patients" in shown.verdict
    assert "McNemar" in shown.verdict
    assert "95%" in shown.verdict
    assert shown.objection == ""
    assert "m3 is not shown to be worse than m1 on diagnosis</b> (n = 30 patients)" in shown.verdict
    assert "is not worse" not in shown.verdict


def test_promotion_is_decided_against_the_champion_alone(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    """m3 is worse than m2, which is not the champion: that speaks neither for nor against it."""
    for letter, skill in (("a", 0), ("b", 4), ("c", 0)):
        add_model(study, letter, tested, skill, seed=ord(letter))
    controller = make_controller()
    controller.compare(2, 3)
    shown = comparison(view)
    told = "Promotion is decided against the champion m1: choose it on the left."
    assert shown.verdict.startswith(f"<p>{told}</p>")
    assert "decides" not in shown.verdict
    assert shown.objection == ""
    assert offer_of(*view.set_models.call_args.args) == Offer(None, 1, told)
    controller.compare(1, 3)
    assert offer_of(*view.set_models.call_args.args) == Offer(3, 1)
    controller.compare(2, 1)
    assert "m1 is the champion already." in comparison(view).verdict


def test_a_champion_that_was_not_seen_is_not_replaced(
    make_controller: Any, view: Any, background: Any, study: Any, tested: list[int]
) -> None:
    for letter in "abc":
        add_model(study, letter, tested, 2, seed=ord(letter))
    controller = make_controller()
    promote(study, 2, 1, "in another viewer")
    controller.promote(3, "compared with m1", False)
    controller.promote(3, "compared with m1", True)
    controller.rollback("m1 was odd")
    assert set(background.told) == {"m2 is the champion by now: look at it before you change it"}
    assert champion(study) == 2
    assert champion_of(view.set_models.call_args.args[0]) == 2, "what stands now is shown"


def test_no_second_change_is_asked_for_before_the_first_is_answered(
    make_controller: Any, view: Any, background: Any, study: Any, tested: list[int]
) -> None:
    for letter in "ab":
        add_model(study, letter, tested, 2, seed=ord(letter))
    controller = make_controller()
    waiting: list[tuple[Any, Any, str]] = []
    background.tell = lambda errand, then, lane="", **_how: waiting.append((errand, then, lane))
    controller.promote(2, "newer", False)
    view.set_changing.assert_called_once_with(True)
    ((errand, then, lane),) = waiting
    assert lane == "figures", "no list of the catalogue waits for the draws"
    then(errand())
    view.set_changing.assert_called_with(False)


def test_smears_whose_call_gets_worse_come_first(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 1.5, seed=1)
    add_model(study, "b", tested, 1.5, seed=2)
    make_controller()
    shown = comparison(view)
    effects = [one.cells[-1] for one in shown.changes]
    assert {"worse", "better"} <= set(effects)
    assert effects == sorted(effects, key=["worse", "better", ""].index)
    for one in shown.changes:
        _name, _patient, _head, before, after, label, effect = one.cells
        assert before != after
        assert (effect == "better") == (after == label)
    assert f"{effects.count('worse')} calls worse" in shown.changes_words


def test_who_sees_changed_calls_labels_no_longer_blind(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 1.5, seed=1)
    add_model(study, "b", tested, 1.5, seed=2)
    session = make_controller().kept
    assert session.seen == {one.smear_id for one in comparison(view).changes}


def test_nothing_is_compared_while_nobody_looks(
    make_controller: Any, view: Any, background: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 1, seed=1)
    add_model(study, "b", tested, 1, seed=2)
    view.is_looked_at.return_value = False
    controller = make_controller()
    assert background.asked == []
    view.is_looked_at.return_value = True
    controller.tick()
    assert background.asked == ["models", "compare"]


def test_changed_smears_stay_hidden_where_reading_is_blind(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 1, seed=1)
    add_model(study, "b", tested, 1, seed=2)
    with study.database.write() as connection:
        sight.set_blind_readers(connection, ["A", "B"])
    make_controller()
    shown = comparison(view)
    assert shown.changes == ()
    assert "hidden until all blind readers have read them" in shown.changes_words


def test_a_better_model_is_promoted_with_its_reason_and_rolled_back(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 0.5, seed=1)
    add_model(study, "b", tested, 3, seed=2)
    controller = make_controller()
    controller.promote(2, "fewer AML missed", False)
    view.tell.assert_called_with("m2 is the champion, instead of m1.", is_warning=False)
    view.clear_reason.assert_called_once_with()
    assert champion(study) == 2
    assert [one.cells[1] for one in view.set_history.call_args.args[0]] == ["m2", "m1"]
    assert view.set_history.call_args.args[0][0].cells[4] == "fewer AML missed"
    controller.rollback("slower than thought")
    assert champion(study) == 1
    assert view.set_history.call_args.args[0][0].cells[1:] == (
        "m1",
        "m2",
        "rolled back",
        "slower than thought",
    )


def test_a_worse_model_is_refused_and_forced_only_by_a_second_click(
    make_controller: Any, view: Any, background: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 4, seed=1)
    add_model(study, "b", tested, 0, seed=2)
    controller = make_controller()
    assert "m2 is worse than m1 on diagnosis" in comparison(view).objection
    controller.promote(2, "I like it", False)
    (objection,) = view.set_objection.call_args.args
    assert objection == comparison(view).objection
    assert "--force" not in objection
    view.clear_reason.assert_not_called()
    assert champion(study) == 1
    controller.promote(2, "I like it", True)
    assert champion(study) == 2
    assert "on record" in view.tell.call_args.args[0]
    assert view.set_objection.call_args.args == ("",)
    with study.database.read() as connection:
        assert models.promotions(connection)[-1].is_forced
    assert background.told == []


def test_a_first_champion_cannot_be_rolled_back(
    make_controller: Any, background: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 1)
    make_controller().rollback("why not")
    assert background.told == ["There was no champion before this one: `marrow models history`"]


def test_a_new_model_appears_by_itself(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 1, seed=1)
    controller = make_controller()
    add_model(study, "b", tested, 1, seed=2)
    for _ in range(TICKS_PER_LOOK):
        controller.tick()
    assert comparison(view).challenger == 2
    view.set_comparison.reset_mock()
    controller.look()
    view.set_comparison.assert_not_called()  # nothing is new: nothing is computed again


def test_a_chosen_pair_stays_when_a_model_arrives(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    for letter in "abc":
        add_model(study, letter, tested, 2, seed=ord(letter))
    controller = make_controller()
    controller.compare(1, 2)
    add_model(study, "d", tested, 2, seed=4)
    controller.look()
    known, *pair = view.set_models.call_args.args
    assert ([one.model_id for one in known], pair) == ([4, 3, 2, 1], [1, 2])
    controller.promote(2, "decided", False)
    assert view.set_models.call_args.args[1:] == (2, 4)  # the next decision


def test_the_challenger_stays_while_the_reason_for_it_is_written(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    for letter in "ab":
        add_model(study, letter, tested, 2, seed=ord(letter))
    controller = make_controller()
    view.is_deciding.return_value = True
    add_model(study, "c", tested, 2, seed=3)
    controller.look()
    assert view.set_models.call_args.args[1:] == (1, 2)
    view.is_deciding.return_value = False
    add_model(study, "d", tested, 2, seed=4)
    controller.look()
    assert view.set_models.call_args.args[1:] == (1, 4)


def test_a_comparison_follows_new_labels_and_scorings(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 4, seed=1)
    add_model(study, "b", tested, 0, seed=2)
    controller = make_controller()
    controller.promote(2, "I like it", False)
    assert view.set_objection.call_args.args != ("",)
    before = comparison(view)
    view.set_comparison.reset_mock()
    with study.database.write() as connection:
        at = study.database.now(connection)
        labels.give(connection, at, study.scheme, tested[0], {"diagnosis": "unsure"}, "A", False)
    controller.look()
    (shown,) = view.set_comparison.call_args_list  # the earlier one stays until then
    assert "n = 29 patients" in shown.args[0].verdict
    assert "n = 30 patients" in before.verdict
    assert view.set_objection.call_args.args == ("",)
    with study.database.write() as connection:
        at = study.database.now(connection)
        labels.give(connection, at, study.scheme, tested[0], {"diagnosis": ""}, "A", False)
        answers = models.scorings(connection, 1)[0].answers
        models.record_scoring(connection, at, 2, "test", {}, answers)
    controller.look()
    assert comparison(view).changes == ()


def test_what_is_hidden_now_leaves_the_screen_at_once(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 1, seed=1)
    add_model(study, "b", tested, 1, seed=2)
    controller = make_controller()
    view.set_comparison.reset_mock()
    with study.database.write() as connection:
        sight.set_blind_readers(connection, ["A", "B"])
    controller.look()
    first, last = (call.args[0] for call in view.set_comparison.call_args_list)
    assert first is None
    assert last.changes == ()


def test_the_same_model_twice_is_no_comparison(
    make_controller: Any, view: Any, study: Any, tested: list[int]
) -> None:
    add_model(study, "a", tested, 1, seed=1)
    add_model(study, "b", tested, 1, seed=2)
    make_controller().compare(2, 2)
    assert "the same model" in view.set_comparison.call_args.args[1]


def test_a_report_is_made_once_and_opened_from_then_on(
    make_controller: Any, view: Any, reports: Any, study: Any, desk: Desk, tested: list[int]
) -> None:
    add_model(study, "a", tested, 1)
    controller = make_controller()
    controller.report(1, False)
    page = desk.home / "reports" / "m1" / "report.html"
    reports.start.assert_called_once_with(desk.home, 1, page.parent)
    view.open_page.assert_not_called()
    page.parent.mkdir(parents=True)
    page.touch()
    controller.look()
    controller.report(1, False)
    view.open_page.assert_called_once_with(page)
    controller.report(1, True)
    assert reports.start.call_count == 2


def test_an_earlier_report_is_not_opened_while_blind_reading_hides_something(
    make_controller: Any, view: Any, reports: Any, study: Any, desk: Desk, tested: list[int]
) -> None:
    add_model(study, "a", tested, 1)
    page = desk.home / "reports" / "m1" / "report.html"
    page.parent.mkdir(parents=True)
    page.touch()
    with study.database.write() as connection:
        sight.set_blind_readers(connection, ["A", "B"])
    make_controller().report(1, False)
    view.open_page.assert_not_called()
    reports.start.assert_called_once_with(desk.home, 1, page.parent)


@pytest.fixture
def run() -> Any:
    def make(code: str) -> tuple[ReportRun, list[Any]]:
        made = ReportRun(
            lambda _home, model, out: [sys.executable, "-c", code, str(out), str(model)]
        )
        made.start(Path(), 7, Path("out"))
        assert made._thread is not None
        made._thread.join(30)
        return made, list(made.news)

    return make


@pytest.mark.slow
def test_a_report_tells_its_progress_its_page_and_its_failure(run: Any) -> None:
    _, news = run(
        "import sys; print('Making: ROC curves', file=sys.stderr); "
        'print(\'{"page": "a/r.html"}\')'
    )
    assert [type(one).__name__ for one in news] == ["Making", "ReportMade"]
    assert news[0].words == "Making: ROC curves"
    assert (news[1].model_id, news[1].page) == (7, Path("a/r.html"))
    _, news = run("import sys; print('marrow: the disk is full', file=sys.stderr); sys.exit(1)")
    assert news[-1].reason == "the disk is full"
    _, news = run("print('not JSON')")
    assert "did not say where" in news[-1].reason


@pytest.mark.slow
def test_news_of_a_report_are_shown_and_its_page_opened(
    make_controller: Any, view: Any, reports: Any, run: Any
) -> None:
    _, news = run('print(\'{"page": "a/r.html"}\')')
    controller = make_controller()
    reports.news = deque(news)
    controller.tick()
    view.open_page.assert_called_once_with(Path("a/r.html"))
    assert view.set_reporting.call_args.args[1] is False


@pytest.mark.slow
def test_closing_ends_a_report_that_is_being_made() -> None:
    made = ReportRun(lambda *_given: [sys.executable, "-c", "import time; time.sleep(60)"])
    made.start(Path(), 1, Path("out"))
    while made._process is None:
        assert made.is_busy
    made.stop()
    assert made._thread is not None
    made._thread.join(30)
    assert not made.is_busy
    assert not made.news
