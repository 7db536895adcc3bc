"""Pages of results are what sorting everything in Python gives, however they are found."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from marrow.catalogue import jobs, predictions, selection, smears
from marrow.catalogue.predictions import ResultFilter, ResultRow, Sort
from marrow.catalogue.schema import job_smear, smear
from marrow.catalogue.smears import SmearFilter
from marrow.records import Answer, HeadAnswer, ModelRecord, Provenance
from marrow.study import Study

MADE_BY = Provenance(code_version="0", torch_version="0", device="cpu", host="here")
COLUMNS = ("smear", "patient", "at", "top_p", "call:diagnosis", "p:mds:MDS", "p:diagnosis:AA")
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
    {"flag": "heads-disagree"},
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
        failed = update(job_smear).where(job_smear.c.smear_id == ids[45])
        connection.execute(failed.values(error="dark"))
    return any_study


def _answer(random: np.random.Generator) -> Answer:
    p = [float(value) for value in random.dirichlet((1, 1, 1)).round(1)]
    mds = round(float(random.random()), 1)
    heads = (
        HeadAnswer(head="mds", call="MDS" if mds > 0.5 else "other", probabilities=(1 - mds, mds)),
        HeadAnswer(
            head="diagnosis",
            call=("AA", "MDS", "AML")[int(np.argmax(p))],
            probabilities=(min(p[0], 1.0), min(p[1], 1.0), min(p[2], 1.0)),
        ),
    )
    return Answer(heads=heads, flags=("heads-disagree",) if random.random() < 0.2 else ())


def _value(row: ResultRow, column: str) -> Any:
    """What a row is sorted by, None if it has no value."""
    kind, *names = column.split(":")
    if kind == "smear":
        return row.smear.id
    if kind == "patient":
        return row.smear.patient
    if row.prediction is None:
        return None
    by_head = {one.head: one for one in row.prediction.answer.heads}
    if kind == "at":
        return row.prediction.at
    if kind == "top_p":
        return max(by_head["diagnosis"].probabilities)
    classes = {"mds": ("other", "MDS"), "diagnosis": ("AA", "MDS", "AML")}[names[0]]
    if kind == "call":
        return classes.index(by_head[names[0]].call)
    return by_head[names[0]].probabilities[classes.index(names[1])]


def _key(row: ResultRow) -> tuple[int, int]:
    return row.smear.id, -1 if row.prediction is None else row.prediction.id


@pytest.mark.parametrize("looked_through", [5, 4000])
def test_a_page_is_a_part_of_everything_sorted(
    answered: Study, monkeypatch: pytest.MonkeyPatch, looked_through: int
) -> None:
    monkeypatch.setattr(selection, "LOOKED_THROUGH", looked_through)
    scheme = answered.scheme
    with answered.database.read() as connection:
        for values, column, down in itertools.product(FILTERS, COLUMNS, (False, True)):
            shown, sort = ResultFilter(**values), Sort(column=column, descending=down)
            every = list(predictions.every(connection, scheme, shown))
            has = [row for row in every if _value(row, column) is not None]
            has.sort(key=lambda row: (_value(row, column), *_key(row)), reverse=down)
            none = [row for row in every if _value(row, column) is None]
            none.sort(key=_key, reverse=down)
            wanted = [*map(_key, has), *map(_key, none)]
            found = []
            for offset in range(0, len(wanted) + 1, 23):
                page = predictions.page(connection, scheme, shown, sort, offset, 23)
                found += map(_key, page)
            assert found == wanted, (values, column, down)
            assert predictions.count(connection, scheme, shown) == len(wanted)


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
