"""What is drawn of two models: the same rows as the paired tests, and the report's own figures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, roc_auc_score

from marrow.catalogue import models, smears
from marrow.catalogue.smears import SmearFilter
from marrow.comparing import Comparison, compare, pair, paired_rows
from marrow.comparison_facts import ComparisonFacts, comparison_facts, sweep_tables
from marrow.records import ModelRecord
from marrow.schemes import Scheme
from marrow.statistics.roc import FALSE_ALARMS
from marrow.study import Study
from tests.training.reported_study import BASE, add_model, card_of, labelled, reported_study
from training.harvest import Harvest
from training.report.evidence import gather
from training.report.grid import Grid, paper_tables
from training.report.parts import Table
from training.scoring import scorings_of


@pytest.fixture
def study(make_study: Callable[..., Study], scheme: Scheme) -> Study:
    study = make_study(scheme)
    reported_study(study, seen=(0,))
    return study


def both(study: Study) -> tuple[ModelRecord, ModelRecord]:
    with study.database.read() as connection:
        return models.get(connection, 1), models.get(connection, 2)


def facts(study: Study) -> tuple[ComparisonFacts, Comparison]:
    with study.database.read() as connection:
        args = connection, study.scheme, *both(study)
        return comparison_facts(*args), compare(*args)


def test_curves_and_matrices_rest_on_the_rows_of_the_paired_tests(study: Study) -> None:
    found, compared = facts(study)
    champion, challenger = both(study)
    with study.database.read() as connection:
        shared = pair(connection, study.scheme, champion, challenger)
    assert [one.head.name for one in found.heads] == [one.head for one in compared.blind]
    for one, tested in zip(found.heads, compared.blind, strict=True):
        assert (one.n, one.unit, one.patients) == (tested.n, tested.unit, tested.patients)
        assert one.n == 38  # 15 test and 24 external patients, one labelled after a prediction
        rows = paired_rows(one.head, study.scheme, shared.blind, shared)
        for said, calls in ((rows.before, one.champion_calls), (rows.after, one.challenger_calls)):
            expected = confusion_matrix(rows.truth, said.argmax(axis=1))
            np.testing.assert_array_equal(calls, expected)
        for curves in one.curves:
            index = one.head.classes.index(curves.name)
            truth = rows.truth == index
            assert curves.n == truth.sum()
            area = roc_auc_score(truth, rows.after[:, index])
            assert curves.challenger_auc["value"] == pytest.approx(area)
            drawn = curves.challenger
            # The grid cuts corners of at most one step by one point of the curve.
            middle = (drawn.sensitivity[1:] + drawn.sensitivity[:-1]) / 2
            assert middle.mean() == pytest.approx(area, abs=0.02)
            assert drawn.low is not None
            assert len(drawn.low) == len(FALSE_ALARMS)
    names = {one.head.name: [curves.name for curves in one.curves] for one in found.heads}
    assert names == {"mds": ["MDS"], "diagnosis": ["AA", "MDS", "AML"]}


def test_the_shared_tables_show_both_models_with_n_and_intervals(study: Study) -> None:
    found, compared = facts(study)
    mds, diagnosis = found.tables[:2]
    assert [row[0] for row in mds.rows] == ["m1, champion", "m2, challenger"]
    assert [row[1] for row in diagnosis.rows[:4]] == ["all", "AA", "MDS", "AML"]
    area = mds.columns.index("AUC")
    for row, value in zip(
        mds.rows,
        (compared.blind[0].differences[0].champion, compared.blind[0].differences[0].challenger),
        strict=True,
    ):
        cell = row[area]
        assert isinstance(cell, dict)
        assert cell["value"] == pytest.approx(value)
        assert cell["low"] < cell["value"] < cell["high"]
        assert cell["unit"] == "patients"
    assert all(len(row) == len(one.columns) for one in found.tables for row in one.rows)


def test_the_papers_tables_of_a_sweep_are_those_of_its_report(study: Study) -> None:
    """The report counts by today's labels, the stored looks by those of then: here the same."""
    champion, _ = both(study)
    with study.database.read() as connection:
        made = sweep_tables(connection, study.scheme, champion)
    reported = [one for one in paper_tables(Grid(gather(study, 1))) if isinstance(one, Table)]
    assert len(made) == len(reported) == 5
    for ours, theirs in zip(made, reported, strict=True):
        assert ours.columns == theirs.columns
        assert ours.rows == theirs.rows


def test_the_papers_tables_say_by_which_labels(study: Study) -> None:
    """Those that an earlier version stored say nothing of it: they are by all labels."""
    champion, _ = both(study)
    told = []
    with study.database.write() as connection:
        for scored_anew in ((), (1,), (2,)):
            for model_id in scored_anew:
                for look in models.scorings(connection, model_id):
                    given = look.side, look.figures, look.answers, {"all_labels": None}
                    models.record_scoring(connection, look.at, model_id, *given)
            made = sweep_tables(connection, study.scheme, champion)
            (labels,) = {one.caption.partition("scored. ")[2].partition(";")[0] for one in made}
            told.append(labels)
    assert told == [
        "By all labels",
        "By labels given blind (what an earlier version scored: by all labels)",
        "By labels given blind",
    ]


def test_a_model_that_was_never_scored_has_nothing_to_draw(study: Study) -> None:
    champion, _ = both(study)
    with study.database.write() as connection:
        other = models.register(
            connection, 1.0, sha256="f" * 64, path="models/f", preprocessing="p",
            precision="fp32", card={}, job_id=None,
        )  # fmt: skip
    with study.database.read() as connection:
        found = comparison_facts(connection, study.scheme, champion, other)
    assert found.heads == ()
    assert [one.title.split(",")[0] for one in found.tables][:1] == ["m1's sweep"]


def test_the_pooled_figures_of_seed2022_stand_in_no_table_of_patients(study: Study) -> None:
    """A model of the same sweep that was scored as the paper did, on images."""
    champion, _ = both(study)
    with study.database.read() as connection:
        before = sweep_tables(connection, study.scheme, champion)
    sister = add_seed2022(study, champion.job_id)
    with study.database.read() as connection:
        assert sweep_tables(connection, study.scheme, champion) == before
        found = comparison_facts(connection, study.scheme, champion, sister)
        alone = comparison_facts(connection, study.scheme, sister, sister)
    assert found.heads == ()
    assert [one.title for one in found.tables] == [one.title for one in alone.tables]
    assert "seed2022" not in str(found.tables)


def add_seed2022(study: Study, job_id: int | None) -> ModelRecord:
    """A model of 4 epochs whose images, two a smear, were split."""
    with study.database.read() as connection:
        ids = smears.all_ids(connection, SmearFilter(site="home"))
    rows = [one for one in ids for _ in range(2)]
    harvest = Harvest(
        epoch=4, smears=rows, sides=["train", "image"] * len(ids),
        probabilities={
            head.name: torch.full((len(rows), len(head.classes)), 1 / len(head.classes))
            for head in study.scheme.heads
        },
        features=torch.zeros(len(rows), 1), distances=torch.zeros(len(rows)), network={}, facts={},
    )  # fmt: skip
    spec = BASE.model_copy(update={"protocol": "seed2022", "folds": 0, "snapshots": ()})
    known = {one.smear.id: one for one in labelled(study, ids)}
    scored = scorings_of(harvest, [], known, study.scheme, spec, None)
    assert sorted(scored) == ["seed2022", "train"]
    card = card_of(study.scheme, spec, split={"train": ("P1",)})
    made = add_model(study, card, scored, "e", job_id)
    with study.database.read() as connection:
        assert models.learned_from(connection, made.id) == ids
    return made
