"""The registry: who is champion, who was, and every look that was taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from typer.testing import CliRunner

from marrow.catalogue import models
from marrow.catalogue.models import FIRST, predecessor
from marrow.cli import build
from marrow.commands.models import figures_text, interval
from marrow.errors import NotFound
from marrow.records import ModelRecord, Promotion
from marrow.study import Study


def add(connection: Connection, name: str, **given: Any) -> ModelRecord:
    known: dict[str, Any] = {"card": {}, "job_id": None, "precision": "fp32"}
    return models.register(
        connection, 1.0, sha256=name * 64, path=f"models/{name}", preprocessing="b", **known | given
    )


def test_the_first_model_becomes_champion_and_that_is_on_record(any_study: Study) -> None:
    with any_study.database.write() as connection:
        first, second = add(connection, "a"), add(connection, "c")
        assert (first.is_champion, second.is_champion) == (True, False)
        (row,) = models.promotions(connection)
        assert (row.model_id, row.previous_id, row.reason) == (first.id, None, FIRST)


def test_a_foreign_model_never_becomes_champion_by_itself(any_study: Study) -> None:
    with any_study.database.write() as connection:
        foreign = add(connection, "a", is_foreign=True)
        assert models.champion(connection) is None
        own = add(connection, "c")
        assert models.champion(connection) == own
        assert add(connection, "a", is_foreign=True) == foreign, "importing twice is harmless"
        assert len(models.all_models(connection)) == 2


def test_every_promotion_is_a_row(any_study: Study) -> None:
    with any_study.database.write() as connection:
        first, second = add(connection, "a"), add(connection, "c")
        models.promote(connection, 7.0, second.id, "better", is_forced=True, comparison={"n": 1})
        row = models.promotions(connection)[-1]
        assert row == Promotion(
            id=row.id,
            model_id=second.id,
            previous_id=first.id,
            reason="better",
            is_forced=True,
            is_rollback=False,
            comparison={"n": 1},
            at=7.0,
        )
        with pytest.raises(NotFound, match="m99"):
            models.promote(connection, 7.0, 99, "?")
        assert len(models.promotions(connection)) == 2


def changes(*steps: tuple[int, int | None] | None) -> list[Promotion]:
    """(model, the one before) for a promotion, None for a rollback."""
    return [
        Promotion(
            id=number,
            model_id=0 if step is None else step[0],
            previous_id=None if step is None else step[1],
            reason="",
            is_forced=False,
            is_rollback=step is None,
            comparison={},
            at=0.0,
        )
        for number, step in enumerate(steps)
    ]


@pytest.mark.parametrize(
    ("steps", "before"),
    [
        ((), None),
        (((1, None),), None),
        (((1, None), (2, 1)), 1),
        # A study from before promotions were noted: its champion was m1.
        (((2, 1),), 1),
        (((2, 1), None), None),
        (((1, None), (2, 1), (3, 2), None), 1),
        (((1, None), (2, 1), (3, 2), None, None), None),
        (((1, None), (2, 1), None, (3, 1)), 1),
    ],
)
def test_rollbacks_undo(steps: tuple[Any, ...], before: int | None) -> None:
    assert predecessor(changes(*steps)) == before


def test_a_scoring_keeps_its_answers_and_facts(any_study: Study) -> None:
    answers = {3: {"mds": (0.25, 0.75)}, 12: {"mds": (1.0, 0.0)}}
    with any_study.database.write() as connection:
        first, second = add(connection, "a"), add(connection, "c")
        assert models.record_scoring(connection, 5.0, first.id, "test", {"n": 2}, answers) == 1
        assert models.record_scoring(connection, 6.0, second.id, "test", {}) == 2
        facts = {"lock": "x"}
        assert models.record_scoring(connection, 6.0, first.id, "site:b", {}, facts=facts) == 1
        assert (models.looks(connection, "test"), models.looks(connection, "train")) == (2, 0)
        test, site = models.scorings(connection, first.id)
        assert (test.side, test.at, test.figures, test.facts) == ("test", 5.0, {"n": 2}, {})
        assert test.answers == answers
        assert (site.side, site.answers, site.facts) == ("site:b", {}, facts)


FIGURE = {"value": 0.912, "low": 0.85, "high": 0.96, "n": 40, "unit": "patients"}


def test_a_figure_is_never_shown_without_its_n_and_interval() -> None:
    assert interval(FIGURE) == "0.912 (0.850-0.960), n = 40 patients"
    assert interval({"value": None, "reason": "no AA"}) == "not estimable (no AA)"
    alone = {"value": 1.0, "low": None, "high": None, "reason": "every draw gives 1", "n": 3}
    assert interval(alone) == "1.000 (no interval: every draw gives 1), n = 3"


def test_test_figures_say_by_which_labels(any_study: Study) -> None:
    blind = {"heads": {"mds": {"auc": FIGURE}}}
    every = {"heads": {"mds": {"auc": FIGURE | {"n": 44}}}}
    area = "mds AUC 0.912 (0.850-0.960), n = "
    with any_study.database.write() as connection:
        both = add(connection, "a", card={"figures": blind | {"all_labels": every}})
        same = add(connection, "c", card={"figures": blind | {"all_labels": None}})
        untested = add(connection, "d", card={"figures": {"all_labels": None}})
    assert figures_text(both).splitlines() == [
        "by labels given blind:",
        f"{area}40 patients",
        "by all labels:",
        f"{area}44 patients",
    ]
    assert figures_text(same).splitlines() == ["by labels given blind:", f"{area}40 patients"]
    assert figures_text(untested) == ""


def test_the_list_shows_champion_cell_protocol_and_figures(
    make_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = make_study()
    cells = [{"loss_weights": [5.0, 5.0]}, {"loss_weights": [1.0, 9.0]}]
    training = {"epochs": 50, "seed": 3, "protocol": "seed2022", "tune": "heads"}
    figures = {"heads": {"mds": {"auc": FIGURE, "accuracy": FIGURE}}}
    with study.database.write() as connection:
        add(connection, "a", card={"backbone": "resnet18"})
        made = add(connection, "c", card={"training": training, "cells": cells, "figures": figures})
    assert figures_text(made).splitlines() == [
        "by all labels:",
        "mds accuracy 0.912 (0.850-0.960), n = 40 patients",
        "mds AUC 0.912 (0.850-0.960), n = 40 patients",
    ]
    run = CliRunner(env={"COLUMNS": "200"})
    shown = run.invoke(build(), ["--home", str(tmp_path / "home"), "models"])
    assert shown.exit_code == 0, shown.output
    second, first = (line for line in shown.output.splitlines() if "m1" in line or "m2" in line)
    assert "5:5 1:9, 50 epochs, seed 3" in second
    assert "seed2022: replication, optimistic" in second
    assert "*" in first
    assert "*" not in second
    as_json = run.invoke(build(), ["--home", str(tmp_path / "home"), "models", "list", "--json"])
    assert [one["id"] for one in json.loads(as_json.output)] == [2, 1]
