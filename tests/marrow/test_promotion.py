"""A challenger becomes champion unless it is worse where neither was trained."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from marrow import statistics
from marrow.catalogue import labels, models, smears
from marrow.catalogue.sight import set_blind_readers
from marrow.cli import build
from marrow.comparing import Comparison, without_hidden
from marrow.errors import BadModel, Busy, NotBetter, NotFound
from marrow.model_files import CARD, WEIGHTS
from marrow.promotion import FORCE_HINT, compare_models, promote, rollback
from marrow.records import ModelRecord, NewSmear
from marrow.schemes import AA_MDS_AML
from marrow.study import Study

CLASSES = AA_MDS_AML.head("diagnosis").classes
TRUTH = [CLASSES[number % 3] for number in range(30)]
"""Of 30 test patients, one smear each."""
Said = dict[int, dict[str, tuple[float, ...]]]


def add_smears(
    study: Study, answers: Sequence[str], patients: Sequence[str], *, seen: Sequence[int] = ()
) -> list[int]:
    """Labelled smears; those at the places `seen` were labelled after a prediction."""
    asked = study.scheme.asked[0].name
    ids = []
    with study.database.write() as connection:
        for number, (answer, patient) in enumerate(zip(answers, patients, strict=True)):
            new = NewSmear(
                identity=f"{number:064x}",
                root="local",
                path=f"/nowhere/{number}.png",
                height_px=9,
                width_px=9,
                is_slide=False,
                patient=patient,
            )
            smear_id, _ = smears.register(connection, 1.0, new)
            given = {asked: answer}
            labels.give(connection, 1.0, study.scheme, smear_id, given, "r", number in seen)
            ids.append(smear_id)
    return ids


def add_files(study: Study, name: str) -> Path:
    """What a model consists of, and what is in it is no matter here."""
    folder = study.store / "models" / name
    folder.mkdir(parents=True)
    for file in (WEIGHTS, CARD):
        (folder / file).touch()
    return folder


def add_model(study: Study, name: str, said: Said | None, side: str = "test", **card: Any) -> int:
    add_files(study, name)
    with study.database.write() as connection:
        made = models.register(
            connection,
            1.0,
            sha256=name * 64,
            path=f"models/{name}",
            preprocessing="b",
            precision="fp32",
            card=card,
            job_id=None,
        )
        if said is not None:
            models.record_scoring(connection, 1.0, made.id, side, {}, said)
    return made.id


def said_of(ids: Sequence[int], truth: Sequence[str], wrong: Sequence[int] = ()) -> Said:
    """A model that calls every smear rightly, with more or less certainty, but these places."""
    rng = np.random.default_rng(5)
    answers: Said = {}
    for place, (smear_id, answer) in enumerate(zip(ids, truth, strict=True)):
        index = CLASSES.index(answer)
        if place in wrong:
            index = (index + 1) % 3
        top = rng.uniform(0.5, 0.9)
        diagnosis = [(1 - top) / 2] * 3
        diagnosis[index] = top
        answers[smear_id] = {
            "diagnosis": tuple(diagnosis),
            "mds": (1 - diagnosis[1], diagnosis[1]),
        }
    return answers


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study()


@pytest.fixture
def ids(study: Study) -> list[int]:
    return add_smears(study, TRUTH, [f"P{number}" for number in range(30)])


def champion_of(study: Study) -> ModelRecord:
    with study.database.read() as connection:
        found = models.champion(connection)
    assert found is not None
    return found


def rows(found: Comparison, head: str) -> Any:
    return next(one for one in found.blind if one.head == head)


def test_differences_are_those_of_the_statistics(study: Study, ids: list[int]) -> None:
    before, after = said_of(ids, TRUTH, wrong=[0, 1, 2, 5]), said_of(ids, TRUTH, wrong=[4, 5])
    first, second = add_model(study, "a", before), add_model(study, "c", after)
    found = compare_models(study, first, second)
    assert (found.sides, found.patients, found.trained_on) == ({"test": 30}, 30, 0)
    assert found.all is None, "all labels were given blind"
    truth = np.array([CLASSES.index(one) for one in TRUTH])
    p_before, p_after = (
        np.array([said[one]["diagnosis"] for one in ids]) for said in (before, after)
    )
    area, balanced = rows(found, "diagnosis").differences
    assert area.champion == pytest.approx(statistics.macro_auc(p_before, truth))
    assert area.challenger == pytest.approx(statistics.macro_auc(p_after, truth))
    patients = [f"P{number}" for number in range(30)]
    expected = statistics.paired_bootstrap(
        statistics.balanced_accuracy_metric(p_after.argmax(axis=1), truth, range(3)),
        statistics.balanced_accuracy_metric(p_before.argmax(axis=1), truth, range(3)),
        patients,
        TRUTH,
    )
    assert balanced.value == pytest.approx(28 / 30 - 26 / 30)
    assert (balanced.low, balanced.high) == (expected.difference.low, expected.difference.high)
    assert (balanced.n, balanced.unit, balanced.p_value) == (30, "patients", expected.p_value)
    right = rows(found, "diagnosis").right
    assert (right.both, right.only_champion, right.only_challenger) == (25, 1, 3)
    assert right.neither == 1
    assert right.p_value == statistics.mcnemar([1] * 1 + [0] * 3, [0] * 1 + [1] * 3).p_value
    delong = statistics.delong_test(p_after[:, 1], p_before[:, 1], truth == 1)
    area = rows(found, "mds").differences[0]
    assert (area.value, area.p_value) == (delong.difference.value, delong.p_value)
    assert area.method == "delong, paired"


def test_the_smears_whose_call_changes_are_named(study: Study, ids: list[int]) -> None:
    first = add_model(study, "a", said_of(ids, TRUTH, wrong=[0]))
    second = add_model(study, "c", said_of(ids, TRUTH, wrong=[5]))
    found = [
        (one.smear, one.patient, one.before, one.after, one.truth)
        for one in compare_models(study, first, second).changes
        if one.head == "diagnosis"
    ]
    assert found == [
        ("S000001", "P0", "MDS", "AA", "AA"),
        ("S000006", "P5", "AML", "AA", "AML"),
    ]


def test_the_changes_of_hidden_smears_are_counted_and_not_named(
    study: Study, ids: list[int]
) -> None:
    first = add_model(study, "a", said_of(ids, TRUTH, wrong=[0]))
    second = add_model(study, "c", said_of(ids, TRUTH, wrong=[5]))
    stored = compare_models(study, first, second).model_dump(mode="json")
    with study.database.write() as connection:
        set_blind_readers(connection, ["r", "s"])
        labels.give(connection, 2.0, study.scheme, ids[5], {"diagnosis": "AML"}, "s", False)
    found = compare_models(study, first, second)
    assert ({one.smear for one in found.changes}, found.hidden) == ({"S000006"}, 1)
    # The figures are of all smears, as before; what was stored earlier names no hidden one either.
    assert found.model_dump(mode="json")["blind"] == stored["blind"]
    with study.database.read() as connection:
        shown = without_hidden(connection, study.scheme, stored)
        assert {one["smear"] for one in shown["changes"]} == {"S000006"}
        assert without_hidden(connection, study.scheme, {}) == {}


def test_patients_that_one_of_them_was_trained_on_are_left_out(
    study: Study, ids: list[int]
) -> None:
    said = said_of(ids, TRUTH)
    first = add_model(study, "a", said, split={"train": ["P0", "other"], "test": ["P5"]})
    by_image = {"protocol": "seed2022"}
    second = add_model(study, "c", said, split={"train": [], "test": ["P1"]}, training=by_image)
    found = compare_models(study, first, second)
    assert (found.patients, found.trained_on, found.sides) == (28, 2, {"test": 28})


def test_a_training_smear_that_gets_a_test_patients_name_leaves_that_patient_out(
    study: Study, ids: list[int]
) -> None:
    said = said_of(ids, TRUTH)
    tested, trained = ids[:29], ids[29]
    made = [
        add_model(study, name, {one: said[one] for one in tested}, split={"train": ["P29"]})
        for name in "ac"
    ]
    with study.database.write() as connection:
        models.record_scoring(connection, 1.0, made[0], "train", {}, {trained: said[trained]})
        smears.describe(connection, [trained], patient="P3")
    found = compare_models(study, *made)
    assert (found.patients, found.trained_on) == (28, 1)


def test_only_smears_of_common_sides_and_the_newest_look_count(
    study: Study, ids: list[int]
) -> None:
    right, wrong = said_of(ids, TRUTH), said_of(ids, TRUTH, wrong=range(30))
    first = add_model(study, "a", wrong)
    second = add_model(study, "c", {one: right[one] for one in ids[:12]})
    with study.database.write() as connection:
        models.record_scoring(connection, 2.0, first, "test", {}, right)
        models.record_scoring(connection, 2.0, first, "site:x", {}, wrong)
        trained = {one: wrong[one] for one in ids[20:]}
        models.record_scoring(connection, 2.0, second, "train", {}, trained)
        models.record_scoring(connection, 2.0, first, "train", {}, trained)
    found = compare_models(study, first, second)
    assert (found.sides, found.changes) == ({"test": 12}, ())


def test_blind_labels_decide_and_all_labels_stand_beside_them(
    make_study: Callable[..., Study],
) -> None:
    study = make_study()
    ids = add_smears(study, TRUTH, [f"P{n}" for n in range(30)], seen=range(6))
    first = add_model(study, "a", said_of(ids, TRUTH))
    second = add_model(study, "c", said_of(ids, TRUTH, wrong=range(6)))
    found = compare_models(study, first, second)
    assert rows(found, "diagnosis").n == 24
    assert rows(found, "diagnosis").differences[1].value == 0, "blind: they are equal"
    assert found.all is not None
    by_all = next(one for one in found.all if one.head == "diagnosis")
    assert by_all.n == 30
    assert by_all.differences[1].value == pytest.approx(-0.2)
    assert promote(study, second, 1, "equal by blind labels").is_forced is False


def test_a_patient_counts_once_with_the_mean_of_its_smears(
    make_study: Callable[..., Study],
) -> None:
    study = make_study()
    truth = ["AA", "AA", "MDS", "AML", "AA", "MDS", "AML"]
    ids = add_smears(study, truth, ["P0", "P0", "P1", "P2", "P3", "P4", "P5"])
    said = said_of(ids, truth)
    # Wrong about one smear of P0, but less than it is right about the other.
    said[ids[0]] = {"diagnosis": (0.4, 0.6, 0.0), "mds": (0.4, 0.6)}
    said[ids[1]] = {"diagnosis": (0.9, 0.1, 0.0), "mds": (0.9, 0.1)}
    first, second = add_model(study, "a", said), add_model(study, "c", said)
    one = rows(compare_models(study, first, second), "diagnosis")
    assert (one.n, one.patients, one.classes) == (6, 6, {"AA": 2, "MDS": 2, "AML": 2})
    assert one.right.both == 6


def test_a_worse_challenger_is_refused_and_can_be_forced(study: Study, ids: list[int]) -> None:
    first = add_model(study, "a", said_of(ids, TRUTH))
    second = add_model(study, "c", said_of(ids, TRUTH, wrong=range(15)))
    with pytest.raises(
        NotBetter,
        match=r"^m2 is worse than m1 on diagnosis: AUC -0\.\d+ \(-0.+ to -0.+, n = 30 patients\); "
        r"--force promotes it all the same, which is on record$",
    ):
        promote(study, second, 1, "newer")
    assert champion_of(study).id == first
    done = promote(study, second, 1, "newer", force=True)
    assert (done.champion.id, done.is_forced) == (second, True)
    with study.database.read() as connection:
        row = models.promotions(connection)[-1]
    assert (row.model_id, row.previous_id, row.is_forced) == (second, first, True)
    assert Comparison.model_validate(row.comparison) == done.comparison


def test_a_challenger_that_may_be_as_good_is_promoted(study: Study, ids: list[int]) -> None:
    add_model(study, "a", said_of(ids, TRUTH))
    second = add_model(study, "c", said_of(ids, TRUTH, wrong=[4]))
    done = promote(study, second, 1, " seen a new site ")
    assert (done.champion.id, done.is_forced) == (second, False)
    with study.database.read() as connection:
        assert models.promotions(connection)[-1].reason == "seen a new site"


def test_what_cannot_be_compared_is_refused_with_the_way_out(study: Study, ids: list[int]) -> None:
    """Only with what `marrow validate` accepts of these two."""
    everybody = [f"P{number}" for number in range(30)]
    add_model(study, "a", said_of(ids, TRUTH))
    second = add_model(study, "c", None)
    seed2022 = {"split": {"train": everybody}, "training": {"protocol": "seed2022"}}
    by_image = add_model(study, "d", None, **seed2022)

    def way_out(challenger: int) -> str:
        with pytest.raises(NotBetter) as refused:
            promote(study, challenger, 1, "newer")
        return str(refused.value).partition("trained neither; ")[2].removesuffix(FORCE_HINT)

    nobody = "label patients of a site that trained neither, and score both on it"
    assert (way_out(second), way_out(by_image)) == (nobody, nobody), "no test patient is drawn"
    with study.database.write() as connection:
        smears.keep_test_patients(connection, everybody[:9])
    assert way_out(second) == "`marrow validate m2 --side test` scores them"
    assert way_out(by_image) == nobody, "the test patients trained it"
    with study.database.write() as connection:
        smears.describe(connection, ids[:1], site="home")
        for smear_id, site in ((ids[20], "home"), (ids[29], "clinic")):
            smears.describe(connection, [smear_id], patient=f"new {site}", site=site)
    assert way_out(by_image) == (
        "`marrow validate m1 --site clinic` and `marrow validate m3 --site clinic` score them"
    )
    assert promote(study, second, 1, "newer", force=True).is_forced


def test_a_class_that_no_test_patient_has_is_refused(make_study: Callable[..., Study]) -> None:
    study = make_study()
    truth = ["AA", "AA", "MDS", "MDS"]
    ids = add_smears(study, truth, ["P0", "P1", "P2", "P3"])
    add_model(study, "a", said_of(ids, truth))
    second = add_model(study, "c", said_of(ids, truth))
    with pytest.raises(NotBetter, match="none of the 4 patients is of class AML"):
        promote(study, second, 1, "newer")


def test_without_an_interval_a_worse_figure_is_refused(make_study: Callable[..., Study]) -> None:
    study = make_study()
    truth = ["AA", "AA", "MDS", "MDS", "AML"]
    ids = add_smears(study, truth, [f"P{n}" for n in range(5)])
    add_model(study, "a", said_of(ids, truth))
    second = add_model(study, "c", said_of(ids, truth, wrong=[0]))
    with pytest.raises(NotBetter, match="no interval: class AML has 1 patient"):
        promote(study, second, 1, "newer")


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_reason_is_needed(study: Study, ids: list[int], reason: str) -> None:
    add_model(study, "a", said_of(ids, TRUTH))
    second = add_model(study, "c", said_of(ids, TRUTH))
    with pytest.raises(NotBetter, match="needs a reason"):
        promote(study, second, 1, reason)
    promote(study, second, 1, "newer")
    with pytest.raises(NotBetter, match="needs a reason"):
        rollback(study, second, reason)
    assert champion_of(study).id == second


def test_the_champion_is_not_promoted_again(study: Study) -> None:
    only = add_model(study, "a", None)
    with pytest.raises(NotBetter, match="m1 is the champion already"):
        promote(study, only, 1, "why not", force=True)


def test_a_study_without_champion_takes_any(study: Study) -> None:
    add_files(study, "f")
    with study.database.write() as connection:
        foreign = models.register(
            connection,
            1.0,
            sha256="f" * 64,
            path="models/f",
            preprocessing="b",
            precision="fp32",
            card={},
            job_id=None,
            is_foreign=True,
        )
    done = promote(study, foreign.id, None, "from the other clinic")
    assert (done.champion.id, done.previous, done.comparison) == (foreign.id, None, None)
    assert done.is_forced is False


def test_rollback_goes_back_one_champion_at_a_time(study: Study, ids: list[int]) -> None:
    made = [add_model(study, name, said_of(ids, TRUTH)) for name in "acd"]
    promote(study, made[1], made[0], "newer")
    promote(study, made[2], made[1], "newer")
    assert rollback(study, made[2], "calls of Monday were odd").champion.id == made[1]
    assert rollback(study, made[1], "still odd").champion.id == made[0]
    with pytest.raises(NotFound, match="no champion before"):
        rollback(study, made[0], "again")
    with study.database.read() as connection:
        undone = [one.is_rollback for one in models.promotions(connection)]
    assert undone == [False] * 3 + [True] * 2


def test_another_champion_than_the_person_saw_is_not_replaced(study: Study, ids: list[int]) -> None:
    made = [add_model(study, name, said_of(ids, TRUTH)) for name in "acd"]
    promote(study, made[1], made[0], "newer")
    told = "m2 is the champion by now: look at it before you change it"
    with pytest.raises(Busy, match=told):
        promote(study, made[2], made[0], "compared with m1", force=True)
    with pytest.raises(Busy, match=told):
        promote(study, made[2], None, "nobody was champion")
    assert champion_of(study).id == made[1]


def test_two_who_roll_back_at_once_go_back_one_champion(study: Study, ids: list[int]) -> None:
    made = [add_model(study, name, said_of(ids, TRUTH)) for name in "acd"]
    promote(study, made[1], made[0], "newer")
    promote(study, made[2], made[1], "newer")
    rollback(study, made[2], "calls of Monday were odd")
    with pytest.raises(Busy, match="m2 is the champion by now"):
        rollback(study, made[2], "calls of Monday were odd")
    assert champion_of(study).id == made[1]


@pytest.mark.parametrize("missing", [WEIGHTS, CARD])
def test_a_model_without_its_files_becomes_no_champion(
    study: Study, ids: list[int], missing: str
) -> None:
    made = [add_model(study, name, said_of(ids, TRUTH)) for name in "ac"]
    file = study.store / "models" / "c" / missing
    file.unlink()
    told = re.escape(f"m2 has no {missing} in {file.parent}: restore it from a backup")
    with pytest.raises(BadModel, match=told):
        promote(study, made[1], made[0], "newer", force=True)
    file.touch()
    promote(study, made[1], made[0], "newer")
    (study.store / "models" / "a" / missing).unlink()
    with pytest.raises(BadModel, match=f"m1 has no {missing}"):
        rollback(study, made[1], "calls of Monday were odd")
    assert champion_of(study).id == made[1]


def test_the_commands(study: Study, ids: list[int], tmp_path: Path) -> None:
    add_model(study, "a", said_of(ids, TRUTH, wrong=[3]))
    add_model(study, "c", said_of(ids, TRUTH))

    def run(*words: str) -> Any:
        home = ["--home", str(tmp_path / "home"), "models"]
        return CliRunner(env={"COLUMNS": "200"}).invoke(build(), [*home, *words])

    shown = run("compare", "m1", "m2").output
    assert "m2 against m1 on 30 patients that neither was trained on (30 smears of test)" in shown
    assert "balanced accuracy: 0.967 -> 1.000, difference +0.033 (" in shown
    assert "S000004 of P3, diagnosis: MDS -> AA (label: AA)" in shown
    assert "right calls: both 29, champion alone 0, challenger alone 1, neither 0 of 30" in shown
    assert run("promote", "m2").exit_code == 2, "a reason is required"
    done = run("promote", "m2", "--reason", "one call better", "--json")
    assert json.loads(done.output)["champion"] == "m2"
    assert run("rollback").output.startswith("m1 is the champion, instead of m2")
    history = run("history").output
    assert [word in history for word in ("one call better", "rolled back", "rollback")] == [
        True
    ] * 3
    as_json = json.loads(run("history", "--json").output)
    assert [one["model_id"] for one in as_json] == [1, 2, 1]


def test_comparing_tells_without_promoting_what_would_be_refused_and_has_what_is_drawn(
    study: Study, ids: list[int], tmp_path: Path
) -> None:
    add_model(study, "a", said_of(ids, TRUTH))
    add_model(study, "c", said_of(ids, TRUTH, wrong=range(15)))
    add_model(study, "d", said_of(ids, TRUTH, wrong=[4]))

    def run(*words: str) -> str:
        home = ["--home", str(tmp_path / "home"), "models", "compare"]
        shown = CliRunner(env={"COLUMNS": "200"}).invoke(build(), [*home, *words])
        assert shown.exit_code == 0, shown.output
        return shown.output

    def last(*words: str) -> str:
        return run(*words).splitlines()[-1]

    assert last("m1", "m2").startswith("m2 would not become champion: m2 is worse than m1 on ")
    assert last("m1", "m3") == "m3 may become champion: it is not shown to be worse"
    assert last("m2", "m1") == "m1 would not become champion: m1 is the champion already"
    assert last("m2", "m3") == (
        "m3 would not become champion: promotion is decided against the champion m1: "
        "`marrow models compare m1 m3`"
    )
    (study.store / "models" / "d" / CARD).unlink()
    assert "m3 has no card.json" in last("m1", "m3")
    assert champion_of(study).id == 1

    values = json.loads(run("m1", "m2", "--json"))
    assert values["refusal"].startswith("m2 is worse than m1")
    diagnosis = next(one for one in values["heads"] if one["head"] == "diagnosis")
    assert (diagnosis["n"], diagnosis["unit"]) == (30, "patients")
    assert np.trace(diagnosis["calls"]["champion"]) == 30
    assert np.trace(diagnosis["calls"]["challenger"]) == 15
    assert [one["class"] for one in diagnosis["curves"]] == list(CLASSES)
    curve = diagnosis["curves"][0]["challenger"]
    assert len(curve["low"]) == len(curve["sensitivity"]) == len(values["false_alarms"]) == 101
    assert curve["auc"]["low"] < curve["auc"]["value"] < curve["auc"]["high"]
    title = values["tables"][0]["title"]
    assert title == "mds, both models on the same patients"
