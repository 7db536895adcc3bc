"""Blind reading: before all blind readers have read a smear, nobody sees what others say of it."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from marrow.agreement import agreements
from marrow.catalogue import flags, jobs, labels, models, predictions, smears
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.schema import job_smear
from marrow.catalogue.sight import (
    Sight,
    blind_readers,
    count_hidden,
    hidden_smears,
    scheme_of,
    set_blind_readers,
)
from marrow.catalogue.smears import SmearFilter, next_unread
from marrow.errors import BadReaders, NotOpen
from marrow.exporting import HIDDEN, write_all_csv, write_job_csv
from marrow.importing import import_smears
from marrow.patients import summarise_patients
from marrow.records import Answer, AnswerMap, HeadAnswer, ModelRecord, Provenance
from marrow.schemes import Scheme
from marrow.settings import Settings
from marrow.study import Study
from marrow.summary import summarise

EXAMPLES = Path(__file__).parents[2] / "examples"
MADE_BY = Provenance(code_version="0", torch_version="0", device="cpu", host="here")
MakeStudy = Callable[..., Study]
AddSmears = Callable[..., list[int]]
AddModel = Callable[..., ModelRecord]
ANSWERED = 7
"""Of the 8 smears; the last one is dark."""


def give(study: Study, smear_id: int, reader: str, answer: str, seen: bool = False) -> None:
    with study.database.write() as connection:
        at = study.database.now(connection)
        given = {"diagnosis": answer}
        labels.give(connection, at, study.scheme, smear_id, given, reader, seen)


def adjudicate(study: Study, smear_id: int, answer: str, seen: bool = False) -> None:
    with study.database.write() as connection:
        at = study.database.now(connection)
        given = {"diagnosis": answer}
        labels.adjudicate(connection, at, study.scheme, smear_id, given, "judge", seen)


def make_blind(study: Study, *names: str) -> None:
    with study.database.write() as connection:
        set_blind_readers(connection, names)


def says(place: int) -> Answer:
    """Smear after smear AA, MDS, AML; flagged every other time."""
    p = np.full(3, 0.1)
    p[place % 3] = 0.8
    heads = (
        HeadAnswer(head="mds", call=("other", "MDS")[place % 3 == 1], probabilities=(0.6, 0.4)),
        HeadAnswer(
            head="diagnosis", call=("AA", "MDS", "AML")[place % 3], probabilities=tuple(p.tolist())
        ),
    )
    return Answer(heads=heads, flags=("unsure",) if place % 2 else ())


@pytest.fixture
def predicted(any_study: Study, add_smears: AddSmears, add_model: AddModel) -> Study:
    """8 smears of P0 to P3 in job 1: 7 with an answer and a map, 1 with an error. A has read all,
    B the first 3, and A and B are blind."""
    ids = add_smears(any_study, ANSWERED + 1)
    model = add_model(any_study)
    a_map = AnswerMap("tiles", np.zeros((5, 2, 2), "<f2").tobytes(), (5, 2, 2), (8.0, 8.0))
    with any_study.database.write() as connection:
        by = predictions.provenance_id(connection, MADE_BY)
        job = jobs.submit_classify(connection, 1.0, model, ids)
        answers = {one: (says(place), a_map) for place, one in enumerate(ids[:ANSWERED])}
        stored = predictions.store(
            connection, 1.0, any_study.scheme, model, by, dict.fromkeys(answers, 0), answers
        )
        for smear_id, prediction_id in stored.items():
            own = update(job_smear).where(job_smear.c.smear_id == smear_id)
            connection.execute(own.values(prediction_id=prediction_id))
        failed = update(job_smear).where(job_smear.c.smear_id == ids[-1])
        connection.execute(failed.values(error="dark"))
    for one in ids:
        give(any_study, one, "A", "AA")
    for one in ids[:3]:
        give(any_study, one, "B", "MDS")
    make_blind(any_study, "A", "B")
    assert job.id == 1
    return any_study


OPEN = [1, 2, 3]
READERS = ("A", "B", "judge")


def sight_of(study: Study, reader: str) -> Sight:
    with study.database.read() as connection:
        return Sight.of(connection, reader)


def test_the_readers_of_a_study(any_study: Study) -> None:
    with any_study.database.write() as connection:
        assert blind_readers(connection) == ()
        assert scheme_of(connection) == any_study.scheme
        assert set_blind_readers(connection, [" A", "B "]) == ("A", "B")
        assert set_blind_readers(connection, ["B", "C", "A"]) == ("B", "C", "A")
        assert Sight.of(connection, "D") == Sight(reader="D", blind=("B", "C", "A"))
        for wrong, told in ((["A"], "name two"), (["A", "A"], "twice"), (["A", " "], "blank")):
            with pytest.raises(BadReaders, match=told):
                set_blind_readers(connection, wrong)
        assert blind_readers(connection) == ("B", "C", "A")
        set_blind_readers(connection, [])
        assert Sight.of(connection, "D") == Sight(reader="D")


def test_golden_sight() -> None:
    text = '{"reader":"A","blind":["A","B"]}'
    assert Sight(reader="A", blind=("A", "B")).model_dump_json() == text
    assert Sight.model_validate_json(text) == Sight(reader="A", blind=("A", "B"))


def test_a_smear_is_open_when_all_have_answered_what_is_always_asked(
    make_study: MakeStudy, add_smears: AddSmears
) -> None:
    study = make_study(Scheme.from_toml(EXAMPLES / "subtypes.toml"))
    one, two = add_smears(study, 2)
    make_blind(study, "A", "B")
    scheme = study.scheme
    with study.database.write() as connection:
        for smear_id, reader, given in (
            (one, "A", {"diagnosis": "MDS", "mds_subtype": "MDS-LB"}),
            (one, "B", {"mds_subtype": "MDS-LB"}),
            (one, "C", {"diagnosis": "MDS"}),
            (two, "A", {"diagnosis": "unsure"}),
            (two, "B", {"diagnosis": "AA"}),
        ):
            labels.give(connection, 1.0, scheme, smear_id, given, reader, False)
        assert hidden_smears(connection, scheme, [one, two]) == {one}
        labels.give(connection, 2.0, scheme, one, {"diagnosis": "unsure"}, "B", False)
        assert hidden_smears(connection, scheme, [one, two]) == set()
        # Taken back, and hidden again.
        labels.give(connection, 3.0, scheme, one, {"diagnosis": ""}, "A", False)
        assert hidden_smears(connection, scheme, [one, two]) == {one}
        assert count_hidden(connection, scheme) == 1


FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"job_id": 1},
    {"model_id": 1},
    {"flag": "unsure"},
    {"text": "nowhere"},
    {"job_id": 1, "has_error": False},
    {"disagrees": True},
    *({"head": "diagnosis", "call": call} for call in ("AA", "MDS", "AML")),
    {"head": "diagnosis", "call": "MDS", "min_p": 0.1},
    {"job_id": 1, "head": "diagnosis", "call": "AA"},
)
ORDERS = ("smear", "patient", "top_p", "worklist", "call:diagnosis", "p:mds:MDS", "at")


def test_no_result_of_a_hidden_smear_by_any_filter_or_order(predicted: Study) -> None:
    scheme, sight = predicted.scheme, sight_of(predicted, "A")
    with predicted.database.read() as connection:
        for values, column in itertools.product(FILTERS, ORDERS):
            sort = Sort(column=column, descending=column < "n")
            unseen = ResultFilter(**values)
            shown = unseen.model_copy(update={"sight": sight})
            everything = predictions.page(connection, scheme, unseen, sort, 0, 50)
            # Whoever sees nothing of a smear sees the order of the others alone.
            wanted = [r for r in everything if r.prediction is None or r.smear.id in OPEN]
            rows = predictions.page(connection, scheme, shown, sort, 0, 50)
            assert [r.smear.id for r in rows] == [r.smear.id for r in wanted], (values, column)
            assert [r.prediction for r in rows] == [r.prediction for r in wanted]
            third = predictions.page(connection, scheme, shown, sort, 2, 1)
            assert [r.smear.id for r in third] == [r.smear.id for r in wanted[2:3]]
            every = predictions.every(connection, scheme, shown, sort)
            assert [r.smear.id for r in every] == [r.smear.id for r in wanted]
            assert predictions.count(connection, scheme, shown) == len(wanted)


@pytest.mark.parametrize("reader", READERS)
def test_nobody_sees_more_than_another(predicted: Study, reader: str) -> None:
    sight = sight_of(predicted, reader)
    with predicted.database.read() as connection:
        for values, count in (({}, 3), ({"job_id": 1}, 4), ({"flag": "unsure"}, 1)):
            shown = ResultFilter(**values, sight=sight)
            rows = predictions.page(connection, predicted.scheme, shown, Sort(), 0, 50)
            assert len(rows) == predictions.count(connection, predicted.scheme, shown) == count


def test_a_failed_smear_is_told_without_anybody_elses_label(predicted: Study) -> None:
    for reader, own in (("A", {"diagnosis": "AA"}), ("B", {}), ("judge", {})):
        shown = ResultFilter(job_id=1, has_error=True, sight=sight_of(predicted, reader))
        with predicted.database.read() as connection:
            (row,) = predictions.page(connection, predicted.scheme, shown, Sort(), 0, 9)
        assert (row.error, row.label, row.prediction) == ("dark", own, None)


@pytest.mark.parametrize("reader", READERS)
def test_neither_the_answers_nor_the_maps_of_a_hidden_smear(predicted: Study, reader: str) -> None:
    scheme, sight = predicted.scheme, sight_of(predicted, reader)
    with predicted.database.read() as connection:
        for smear_id in range(1, ANSWERED + 1):
            (row,) = predictions.of_smear(connection, scheme, smear_id)
            assert row.prediction is not None
            assert predictions.map_of(connection, row.prediction.id) is not None
            is_open = smear_id in OPEN
            assert bool(predictions.of_smear(connection, scheme, smear_id, sight)) == is_open
            found = predictions.map_of(connection, row.prediction.id, sight)
            assert (found is not None) == is_open


def test_the_list_of_smears_shows_a_reader_his_own(predicted: Study) -> None:
    with predicted.database.write() as connection:
        flags.give(connection, 1.0, 5, "A")
        flags.give(connection, 1.0, 2, "A")
        # Adjudicated while everything was open: hidden with the rest.
        set_blind_readers(connection, [])
        given = {"diagnosis": "AML"}
        labels.adjudicate(connection, 2.0, predicted.scheme, 6, given, "judge", False)
        set_blind_readers(connection, ["A", "B"])
    newest = {"diagnosis": "MDS"}
    wanted = {
        "A": ({"diagnosis": "AA"}, [2, 5], 8),
        "B": ({}, [2], 3),
        "C": ({}, [2], 3),
        "judge": ({}, [2], 4),
    }
    for reader, (closed, flagged, labelled) in wanted.items():
        sight = sight_of(predicted, reader)
        with predicted.database.read() as connection:
            rows = smears.page(connection, SmearFilter(sight=sight), 0, 50)
            assert [row.answers for row in rows[:3]] == [newest] * 3
            assert [row.answers for row in rows[3:5]] == [closed] * 2
            assert [row.smear.id for row in rows if row.flagged] == flagged
            assert [row.model_call for row in rows] == ["AA .80", "MDS .80", "AML .80", *[""] * 5]

            def ids(sight: Sight = sight, **asked: Any) -> list[int]:
                shown = SmearFilter(sight=sight, **asked)
                found = smears.all_ids(connection, shown)
                assert smears.count(connection, shown) == len(found)
                return found

            assert ids(flagged=True) == flagged
            assert ids(flagged=False) == [one for one in range(1, 9) if one not in flagged]
            assert len(ids(labelled=True)) == labelled
            assert len(ids(labelled=False)) == 8 - labelled
            assert ids(answer=("diagnosis", "MDS")) == OPEN
            assert ids(answer=("diagnosis", "AA")) == (list(range(1, 9)) if reader == "A" else OPEN)
            assert ids(answer=("diagnosis", "AML")) == ([6] if reader == "judge" else [])
            assert smears.standing_answers(connection, [6], sight) == {
                "A": {6: {"diagnosis": "AA"}},
                "judge": {6: {"diagnosis": "AML"}},
            }.get(reader, {})
    with predicted.database.read() as connection:
        assert ids(None, answer=("diagnosis", "AML")) == [6]  # type: ignore[arg-type]
        assert 6 not in ids(None, answer=("diagnosis", "AA"))  # type: ignore[arg-type]


def test_the_history_of_a_hidden_smear_is_ones_own(predicted: Study) -> None:
    give(predicted, 5, "A", "AML")
    wanted = {"A": ["AA", "AML"], "B": [], "judge": []}
    for reader, own in wanted.items():
        with predicted.database.read() as connection:
            found = labels.history(connection, 5, Sight.of(connection, reader))
            assert [one.answer for one in found] == own
            assert len(labels.history(connection, 1, Sight.of(connection, reader))) == 2
    give(predicted, 5, "B", "AML")
    with predicted.database.read() as connection:
        found = labels.history(connection, 5, Sight.of(connection, "B"))
    assert [(one.reader, one.answer) for one in found] == [("A", "AA"), ("A", "AML"), ("B", "AML")]
    assert [one.superseded_at is None for one in found] == [False, True, True]


def test_progress_tells_counts_of_all_and_answers_of_none(predicted: Study) -> None:
    with predicted.database.read() as connection:
        sight = Sight.of(connection, "judge")
        found = labels.progress_by_reader(connection, predicted.scheme, sight)
    assert [(one.reader, one.read, one.total, one.is_blind) for one in found] == [
        ("judge", 0, 8, False),
        ("A", 8, 8, True),
        ("B", 3, 8, True),
    ]


def test_of_two_questions_both_make_a_reading(make_study: MakeStudy, add_smears: AddSmears) -> None:
    study = make_study(Scheme.from_toml(EXAMPLES / "cells.toml"))
    first, second = (head for head in study.scheme.asked if not head.asked_when)
    one, two = add_smears(study, 2)
    with study.database.write() as connection:
        for smear_id, heads in ((one, (first, second)), (two, (second,))):
            given = {head.name: head.classes[0] for head in heads}
            labels.give(connection, 1.0, study.scheme, smear_id, given, "A", False)
        (found,) = labels.progress_by_reader(connection, study.scheme, Sight(reader="A"))
        assert (found.read, found.total) == (1, 2)
        assert smears.all_ids(connection, SmearFilter(unread_by="A")) == [two]


def test_the_next_smear_to_read_wraps_around_once(predicted: Study) -> None:
    with predicted.database.read() as connection:

        def after(smear_id: int, reader: str = "B", **asked: Any) -> int | None:
            shown = SmearFilter(sight=Sight.of(connection, reader), **asked)
            return next_unread(connection, predicted.scheme, shown, reader, smear_id)

        assert [after(one) for one in (0, 3, 4, 7)] == [4, 4, 5, 8]
        assert after(8) == 4
        assert after(8, text="nowhere/7") == 8
        assert after(2, text="nowhere/1.") is None
        assert after(0, "A") is None
        assert smears.all_ids(connection, SmearFilter(unread_by="B")) == [4, 5, 6, 7, 8]
        assert smears.count(connection, SmearFilter(unread_by="A")) == 0


def test_flags_are_given_once_and_cleared_by_whoever_sees_them(predicted: Study) -> None:
    with predicted.database.write() as connection:
        for smear_id, reader in ((1, "A"), (1, "A"), (1, "B"), (5, "A")):
            flags.give(connection, 1.0, smear_id, reader)
        assert flags.standing(connection, [1, 2, 5]) == {1: ("A", "B"), 5: ("A",)}
        sight = Sight.of(connection, "B")
        assert flags.standing(connection, [1, 2, 5], sight) == {1: ("A", "B")}
        assert flags.clear(connection, 2.0, 5, sight) == 0
        assert flags.clear(connection, 2.0, 1, sight) == 2
        assert flags.standing(connection, [1, 5]) == {5: ("A",)}
        flags.give(connection, 3.0, 1, "A")
        assert flags.standing(connection, [1], sight) == {1: ("A",)}


def test_files_say_that_an_answer_is_hidden(predicted: Study, tmp_path: Path) -> None:
    target = tmp_path / "results.csv"

    def read() -> list[dict[str, str]]:
        with target.open(newline="") as file:
            return list(csv.DictReader(file))

    assert write_job_csv(predicted, 1, target) == ANSWERED - len(OPEN)
    rows = read()
    assert [row["diagnosis"] for row in rows] == ["AA", "MDS", "AML", *[""] * 5]
    assert [row["flags"] == HIDDEN for row in rows] == [False] * 3 + [True] * 4 + [False]
    assert [row["error"] for row in rows] == [""] * 7 + ["dark"]
    assert all(row["file"] and row["patient"] for row in rows)
    # Nor what A says of them, of the one that failed neither.
    assert {row["diagnosis_label"] for row in rows[3:]} == {""}
    assert {row["diagnosis_p_AA"] for row in rows[3:]} == {""}
    assert write_all_csv(predicted, target) == len(OPEN)
    assert [row["diagnosis"] for row in read()] == ["AA", "MDS", "AML"]
    make_blind(predicted)
    assert write_job_csv(predicted, 1, target) == 0
    assert [bool(row["diagnosis"]) for row in read()] == [True] * 7 + [False]


def test_the_summary_of_a_job_counts_only_open_calls(predicted: Study) -> None:
    found = summarise(predicted, 1)
    assert found.hidden == ANSWERED - len(OPEN)
    counts = {one.head: (one.n, one.counts) for one in found.calls}
    assert counts["diagnosis"] == (3, {"AA": 1, "MDS": 1, "AML": 1})
    assert sum(found.devices.values()) == ANSWERED
    make_blind(predicted)
    found = summarise(predicted, 1)
    assert (found.hidden, found.calls[1].n) == (0, ANSWERED)


def test_a_patient_with_a_hidden_smear_has_no_summary(predicted: Study) -> None:
    with predicted.database.read() as connection:
        sight, model = Sight.of(connection, "A"), models.get(connection, 1)
    # Smears 1 and 2 are of P0, 3 (open) and 4 (hidden) of P1.
    assert [one.patient for one in summarise_patients(predicted, model, sight=sight)] == ["P0"]
    assert len(summarise_patients(predicted, model)) == 4


def test_an_adjudicated_answer_counts_alone_and_deletes_nothing(predicted: Study) -> None:
    def counting() -> labels.Consensus:
        with predicted.database.read() as connection:
            found = labels.consensus(connection, [1])[1]
            standing = smears.standing_answers(connection, [1])
            assert not found.answers or standing[1] == found.answers
            return found

    assert counting().excluded == {"diagnosis": "conflict"}
    adjudicate(predicted, 1, "AML")
    assert (counting().answers, counting().is_blind) == ({"diagnosis": "AML"}, True)
    adjudicate(predicted, 1, "AML", seen=True)
    assert (counting().answers, counting().is_blind) == ({"diagnosis": "AML"}, False)
    adjudicate(predicted, 1, "AA")  # by the same person, who has seen the prediction
    assert (counting().answers, counting().is_blind) == ({"diagnosis": "AA"}, False)
    # A reader who changes his mind, and one who saw the prediction: the adjudicated one stays.
    give(predicted, 1, "B", "AML", seen=True)
    assert (counting().answers, counting().is_blind) == ({"diagnosis": "AA"}, False)
    give(predicted, 1, "judge", "AML")
    assert counting().answers == {"diagnosis": "AA"}
    with predicted.database.read() as connection:
        found = labels.history(connection, 1)
    standing = [(one.reader, one.answer) for one in found if one.superseded_at is None]
    assert standing == [("A", "AA"), ("judge", "AA"), ("B", "AML"), ("judge", "AML")]
    assert [one.is_adjudicated for one in found] == [False] * 2 + [True] * 3 + [False] * 2
    adjudicate(predicted, 1, "")
    assert counting().excluded == {"diagnosis": "conflict"}
    adjudicate(predicted, 1, "unsure")
    assert counting().excluded == {"diagnosis": "unsure"}


def test_only_what_is_open_is_adjudicated(predicted: Study) -> None:
    with pytest.raises(NotOpen, match=r"S000005 .* B must read it before"):
        adjudicate(predicted, 5, "AA")
    give(predicted, 5, "B", "unsure")
    adjudicate(predicted, 5, "AA")
    make_blind(predicted)
    adjudicate(predicted, 8, "AA")
    with predicted.database.read() as connection:
        assert labels.consensus(connection, [5, 8])[5].answers == {"diagnosis": "AA"}


def test_a_second_reader_may_import_the_same_table(
    make_study: MakeStudy, small_smears: Callable[[Study, Path, int], list[int]], tmp_path: Path
) -> None:
    study = make_study()
    ids = small_smears(study, tmp_path / "s", 2)
    table = tmp_path / "s" / "labels.csv"
    table.write_text("file,diagnosis\n00000.png,AA\n00001.png,MDS\n")

    def import_as(reader: str) -> int:
        settings = Settings.model_validate(study.settings.model_dump() | {"reader": reader})
        as_reader = Study(settings, study.database, study.scheme)
        return import_smears(as_reader, [tmp_path / "s"], table).labels

    make_blind(study, "A", "B")
    # Whether B is told "2 labels" must not depend on what A has said.
    assert [import_as("A"), import_as("B"), import_as("B")] == [2, 2, 0]
    with study.database.read() as connection:
        assert hidden_smears(connection, study.scheme, ids) == set()
    adjudicate(study, ids[0], "AML")
    make_blind(study)
    assert import_as("A") == 0
    # Equal answers are answers too: without them kappa would be of the differing ones alone.
    assert import_as("C") == 2
    with study.database.read() as connection:
        (found,) = agreements(connection, study.scheme, ["A", "C"])
    assert found.pairs[0].equal.value == 1.0
