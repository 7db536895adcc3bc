"""What is drawn of two models: the same rows as the paired tests, and the report's own figures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from marrow.catalogue import models
from marrow.comparing import Comparison, compare, pair, paired_rows
from marrow.comparison_facts import ComparisonFacts, comparison_facts, sweep_tables
from marrow.records import ModelRecord
from marrow.schemes import Scheme
from marrow.statistics.roc import FALSE_ALARMS
from marrow.study import Study
from tests.training.reported_study import reported_study
from training.report.evidence import gather
from training.report.grid import Grid, paper_tables
from training.report.parts import Table


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
