"""Pages of results are what sorting everything in Python gives, however they are found."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, insert, select, update

from marrow.catalogue import jobs, labels, predictions, selection, smears
from marrow.catalogue.predictions import ResultFilter, ResultRow, Sort
from marrow.catalogue.schema import job_smear, label, smear
from marrow.catalogue.smears import SmearFilter
from marrow.records import Answer, HeadAnswer, ModelRecord, Provenance
from marrow.study import Study

MADE_BY = Provenance(code_version="0", torch_version="0", device="cpu", host="here")
FLAGS = ("heads-disagree", "unsure", "unlike-training", "few-tiles")
COLUMNS = (
    "smear", "patient", "at", "top_p", "flags", "model", "worklist",
    "call:diagnosis", "p:mds:MDS", "p:diagnosis:AA",
)  # fmt: skip
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"text": "nowhere/1"},
    {"text": "P3"},
    {"text": "S000012"},
    {"text": "no such text"},
    {"job_id": 1},
    {"job_id": 1, "has_error": True},
    {"job_id": 1, "text": "P1"},
    {"job_id": 1, "piece": 1},
    {"model_id": 2},
    {"head": "diagnosis", "call": "AML"},
    {"head": "diagnosis", "call": "AML", "min_p": 0.6},
    {"job_id": 1, "head": "diagnosis", "call": "MDS"},
    {"head": "diagnosis", "call": "AML", "min_p": 0.4},
    {"head": "mds", "call": "MDS", "min_p": 0.3},
    {"model_id": 2, "head": "diagnosis", "call": "AML"},
    {"flag": "heads-disagree"},
    {"flagged": True},
    {"flagged": True, "model_id": 1, "head": "diagnosis", "call": "MDS"},
    {"disagrees": True},
    {"disagrees": False},
    {"disagrees": True, "text": "P1", "head": "diagnosis", "call": "MDS", "min_p": 0.5},
    {"job_id": 1, "has_ended": True},
    {"job_id": 1, "has_ended": False},
    {"job_id": 1, "disagrees": True},
    {"job_id": 1, "disagrees": True, "flagged": True},
)


@pytest.fixture
def answered(
    any_study: Study,
    add_smears: Callable[..., list[int]],
    add_model: Callable[..., ModelRecord],
) -> Study:
    """60 smears; a job with two models' answers, an error, and smears not answered yet."""
    ids = add_smears(any_study, 60)
    made = [add_model(any_study, "a" * 64), add_model(any_study, "b" * 64)]
    random = np.random.default_rng(0)
    with any_study.database.write() as connection:
        connection.execute(update(smear).where(smear.c.id % 7 == 0).values(patient=None))
        by = predictions.provenance_id(connection, MADE_BY)
        job = jobs.submit_classify(connection, 1.0, made[0], ids[:50])
        for model, chosen in ((made[0], ids[:40]), (made[1], ids[20:])):
            answers = {one: (_answer(random), None) for one in chosen}
            stored = predictions.store(
                connection, float(model.id), any_study.scheme, model, by,
                dict.fromkeys(chosen, 0), answers,
            )  # fmt: skip
            for one, prediction_id in stored.items():
                connection.execute(
                    update(job_smear)
                    .where(job_smear.c.job_id == job.id, job_smear.c.smear_id == one)
                    .where(model.id == made[0].id)
                    .values(prediction_id=prediction_id)
                )
        failed = update(job_smear).where(job_smear.c.smear_id.in_([ids[45], ids[48]]))
        connection.execute(failed.values(error="dark"))
        for number, one in enumerate(ids):
            said = ("AA", "MDS", "AML", "unsure")[number % 4]
            if number % 3 == 0:
                give(connection, any_study, one, "jk", said)
            if number % 15 == 0:
                give(connection, any_study, one, "mw", "AML")
            if number % 30 == 0:  # what was adjudicated counts in the readers' place
                ruling = {"smear_id": one, "head": "diagnosis", "answer": "AA", "reader": "jk"}
                ruling |= {"seen_prediction": False, "at": 9.0, "is_adjudicated": True}
                connection.execute(insert(label), ruling)
    return any_study


def give(connection: Connection, study: Study, smear_id: int, reader: str, answer: str) -> None:
    answers = {"diagnosis": answer}
    labels.give(connection, 1.0, study.scheme, smear_id, answers, reader, seen_prediction=False)


def _answer(random: np.random.Generator) -> Answer:
    p = (random.multinomial(10, random.dirichlet((1, 1, 1))) / 10).tolist()  # with many ties
    mds = round(float(random.random()), 1)
    heads = (
        HeadAnswer(head="mds", call="MDS" if mds > 0.5 else "other", probabilities=(1 - mds, mds)),
        HeadAnswer(
            head="diagnosis",
            call=("AA", "MDS", "AML")[int(np.argmax(p))],
            probabilities=tuple(p),
        ),
    )
    flags = [name for name in FLAGS if random.random() < 0.15]
    return Answer(heads=heads, flags=tuple(flags))


def _value(row: ResultRow, column: str) -> Any:
    """What a row is sorted by, None if it has no value."""
    kind, *names = column.split(":")
    if kind == "smear":
        return row.smear.id
    if kind == "patient":
        return row.smear.patient
    if row.prediction is None:
        return -1 if kind == "worklist" and row.error else None
    by_head = {one.head: one for one in row.prediction.answer.heads}
    if kind == "at":
        return row.prediction.at
    if kind == "top_p":
        return max(by_head["diagnosis"].probabilities)
    if kind == "worklist":
        urgent = [
            place for place, flag in enumerate(FLAGS[:3]) if flag in row.prediction.answer.flags
        ]
        return min(urgent, default=3) + max(by_head["diagnosis"].probabilities)
    if kind == "flags":
        return " ".join(row.prediction.answer.flags) or None
    if kind == "model":
        return row.prediction.model_id
    classes = {"mds": ("other", "MDS"), "diagnosis": ("AA", "MDS", "AML")}[names[0]]
    if kind == "call":
        return classes.index(by_head[names[0]].call)
    return by_head[names[0]].probabilities[classes.index(names[1])]


def _key(row: ResultRow) -> tuple[int, int]:
    return row.smear.id, -1 if row.prediction is None else row.prediction.id


def _is_shown(row: ResultRow, shown: ResultFilter, pieces: dict[int, int]) -> bool:
    """What the filter asks, in Python."""
    one, its = row.smear, row.prediction
    calls = {} if its is None else its.answer.calls
    flags = () if its is None else its.answer.flags
    asks = [
        not shown.text
        or shown.text in one.path
        or shown.text in (one.patient or "")
        or shown.text == one.name,
        shown.piece is None or pieces.get(one.id) == shown.piece,
        shown.model_id is None or (its is not None and its.model_id == shown.model_id),
        shown.flag is None or shown.flag in flags,
        not shown.flagged or bool(flags),
        shown.has_error is None or (row.error is not None) == shown.has_error,
        shown.has_ended is None or (row.error is not None or its is not None) == shown.has_ended,
        shown.disagrees is None or _disagrees(one.id, calls) == shown.disagrees,
    ]
    if shown.head is not None and shown.min_p is None:
        asks.append(calls.get(shown.head) == shown.call)
    elif shown.head is not None:
        p = None if its is None else _value(row, f"p:{shown.head}:{shown.call}")
        asks.append(p is not None and p >= shown.min_p)
    return all(asks)


def _disagrees(smear_id: int, calls: dict[str, str]) -> bool:
    """As the labels of `answered` are given: ids begin with 1."""
    number = smear_id - 1
    said = {("AA", "MDS", "AML", "unsure")[number % 4]} if number % 3 == 0 else set()
    said |= {"AML"} if number % 15 == 0 else set()
    said = {"AA"} if number % 30 == 0 else said
    return "diagnosis" in calls and bool(said - {"unsure", calls["diagnosis"]})


COMBINATIONS = list(itertools.product(FILTERS, COLUMNS, (False, True)))


# Each of the four runs takes another quarter of the combinations on SQLite and PostgreSQL.
@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_a_page_is_a_part_of_everything_sorted(
    answered: Study, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(selection, "LOOKED_THROUGH", (5, 20, 100, 4000)[part])
    scheme = answered.scheme
    with answered.database.read() as connection:
        outcomes = connection.execute(select(job_smear.c.smear_id, job_smear.c.piece))
        pieces = {row.smear_id: row.piece for row in outcomes}
        all_of = {
            job_id: list(predictions.every(connection, scheme, ResultFilter(job_id=job_id)))
            for job_id in (None, 1)
        }
        assert (len(all_of[None]), len(all_of[1])) == (80, 50)
        for values, column, down in COMBINATIONS[part::4]:
            shown, sort = ResultFilter(**values), Sort(column=column, descending=down)
            every = [row for row in all_of[shown.job_id] if _is_shown(row, shown, pieces)]
            has = [row for row in every if _value(row, column) is not None]
            has.sort(key=lambda row: (_value(row, column), *_key(row)), reverse=down)
            none = [row for row in every if _value(row, column) is None]
            none.sort(key=_key, reverse=down)
            wanted = [*map(_key, has), *map(_key, none)]
            found = []
            for offset in range(0, len(wanted) + 1, 33):
                page = predictions.page(connection, scheme, shown, sort, offset, 33)
                found += map(_key, page)
            assert found == wanted, (values, column, down)
            assert predictions.count(connection, scheme, shown) == len(wanted)
            everything = predictions.every(connection, scheme, shown, sort)
            assert list(map(_key, everything)) == wanted, (values, column, down)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("Straße", ["Straße 1.png"]),
        ('a"b', ['a"b.png']),
        ("100%", ["100%.png"]),
        ("_x_", ["a_x_b.png"]),
        ("tif OR", ["x tif or y.png"]),
        ("lab", []),
    ],
)
def test_any_text_can_be_asked_for(
    any_study: Study, add_smears: Callable[..., list[int]], asked: str, names: list[str]
) -> None:
    ids = add_smears(any_study, 5)
    files = ["Straße 1.png", 'a"b.png', "100%.png", "a_x_b.png", "x tif or y.png"]
    with any_study.database.write() as connection:
        for one, name in zip(ids, files, strict=True):
            connection.execute(update(smear).where(smear.c.id == one).values(path=name))
        rows = smears.page(connection, SmearFilter(text=asked), 0, 9)
        assert [row.smear.path for row in rows] == names
        assert smears.count(connection, SmearFilter(text=asked)) == len(names)


def test_a_hundred_thousand_letters_are_asked_for_in_vain(any_study: Study) -> None:
    with any_study.database.read() as connection:
        assert smears.all_ids(connection, SmearFilter(text="ab" * 50_000)) == []
