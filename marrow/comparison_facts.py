"""What is drawn of two models on the same patients: ROC curves, confusion matrices and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from marrow.catalogue import jobs, models
from marrow.comparing import pair, paired_rows
from marrow.evaluate import BOOTSTRAP_SEED, head_figures
from marrow.figure_words import ALL_LABELS, BLIND_LABELS, labels_text
from marrow.paired import PairedRows
from marrow.paper_tables import (
    COLUMNS,
    GridModel,
    PaperGrid,
    Row,
    class_columns,
    performance,
)
from marrow.records import Cell, ModelRecord, Scoring, SweepSpec
from marrow.schemes import Head, Scheme
from marrow.scored import ScoredRows
from marrow.statistics.roc import RocCurve, roc_curve

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ClassCurves:
    """The ROC curves of one class against the rest, under both models.

    Attributes
    ----------
    name : str
        The class: of a two-class head the positive one.
    n : int
        Rows of the class.
    champion, challenger : RocCurve
        Their bands rest on the same draws of patients.
    champion_auc, challenger_auc : mapping
        Figures with `value`, `low`, `high`, `n`, `unit` and perhaps `reason`.
    """

    name: str
    n: int
    champion: RocCurve
    challenger: RocCurve
    champion_auc: Mapping[str, Any]
    challenger_auc: Mapping[str, Any]


@dataclass(frozen=True)
class HeadFacts:
    """Both models on one head.

    Attributes
    ----------
    n : int
        Rows, of this `unit`: `patients` or `images`.
    patients : int
    curves : tuple of ClassCurves
        Of each class that some rows have and some have not.
    champion_calls, challenger_calls : int64 (K, K)
        Rows by true class (first axis) and called class.
    """

    head: Head
    unit: str
    n: int
    patients: int
    curves: tuple[ClassCurves, ...]
    champion_calls: Counts
    challenger_calls: Counts


@dataclass(frozen=True)
class FactTable:
    """A table of figures; the cells are text, numbers, figures (mappings), or None."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class ComparisonFacts:
    """All that is drawn of a challenger and a champion.

    Attributes
    ----------
    heads : tuple of HeadFacts
        In the scheme's order, by labels that were given blind; heads without a row are left out.
    tables : tuple of FactTable
        First both models on the same patients, a table a head; then the paper's tables of the
        challenger's sweep, and of the champion's if that is another.
    """

    heads: tuple[HeadFacts, ...]
    tables: tuple[FactTable, ...]


def comparison_facts(
    connection: Connection, scheme: Scheme, champion: ModelRecord, challenger: ModelRecord
) -> ComparisonFacts:
    """Both models on the patients that neither was trained on, by blind labels.

    The same rows as `marrow.comparing.compare` tests.
    """
    found = pair(connection, scheme, champion, challenger)
    heads, tables = [], []
    for head in scheme.heads:
        rows = paired_rows(head, scheme, found.blind, found)
        if not len(rows.truth):
            continue
        both = _of_model(head, rows, rows.before), _of_model(head, rows, rows.after)
        figures = head_figures(both[0]), head_figures(both[1])
        heads.append(_head_facts(both, figures))
        tables.append(_shared_table(head, rows.unit, (champion, challenger), figures))
    sweeps = [challenger, *([] if challenger.job_id == champion.job_id else [champion])]
    for one in sweeps:
        tables += sweep_tables(connection, scheme, one)
    return ComparisonFacts(tuple(heads), tuple(tables))


def sweep_tables(
    connection: Connection, scheme: Scheme, model: ModelRecord
) -> tuple[FactTable, ...]:
    """The paper's Tables 1 to 5 in the eyes of a model, as its sweep was scored: each head over
    the loss weights and over the epochs, then external cohorts; tables without a row are left out.
    """
    sisters = _sisters(connection, model)
    scored = {one.id: _newest(models.scorings(connection, one.id)) for one in sisters}
    grid = _grid(connection, scheme, model, sisters, scored)
    unit = "image" if scheme.unit == "image" else "patient"
    told = (
        f"By {_labels_of([look for looks in scored.values() for look in looks.values()])}; "
        f"unit: the {unit}; n: denominator; brackets: 95% intervals."
    )
    made = [
        FactTable(
            f"{model.name}'s sweep, {found.head.name} by {found.varied}",
            f"At {found.fixed}, as it was scored. {told}",
            found.columns,
            found.rows,
        )
        for head in scheme.heads
        for found in grid.slices(head)
        if found.rows
    ]
    own = next(one for one in grid.models if one.id == model.id)
    rows = grid.external(own)
    if rows:
        columns = ("Site", "Head", "Class", "n", *COLUMNS)
        title = f"{model.name}, external validation"
        made.append(FactTable(title, f"As it was scored. {told}", columns, tuple(rows)))
    return tuple(made)


def _of_model(head: Head, rows: PairedRows, said: NDArray[np.float64]) -> ScoredRows:
    none: tuple[tuple[int, ...], ...] = ((),) * len(rows.truth)
    return ScoredRows(head, rows.unit, tuple(rows.patients), none, rows.truth, said)


def _head_facts(
    both: tuple[ScoredRows, ScoredRows], figures: tuple[dict[str, Any], dict[str, Any]]
) -> HeadFacts:
    rows = both[0]
    head, count = rows.head, len(rows)
    asked = [head.positive] if head.positive is not None else list(head.classes)
    shown = [name for name in asked if 0 < rows.classes[name] < count]
    return HeadFacts(
        head=head,
        unit=rows.unit,
        n=count,
        patients=rows.patient_count,
        curves=tuple(_curves(name, both, figures) for name in shown),
        champion_calls=both[0].confusion,
        challenger_calls=both[1].confusion,
    )


def _curves(
    name: str,
    both: tuple[ScoredRows, ScoredRows],
    figures: tuple[dict[str, Any], dict[str, Any]],
) -> ClassCurves:
    rows = both[0]
    index = rows.head.classes.index(name)
    is_own = rows.truth == index
    first, second = (
        roc_curve(one.probabilities[:, index], is_own, rows.patients, seed=BOOTSTRAP_SEED)
        for one in both
    )
    areas = [own["per_class"][name]["auc"] for own in figures]
    return ClassCurves(name, int(is_own.sum()), first, second, areas[0], areas[1])


def _shared_table(
    head: Head,
    unit: str,
    both: tuple[ModelRecord, ModelRecord],
    figures: tuple[dict[str, Any], dict[str, Any]],
) -> FactTable:
    rows = [
        (f"{one.name}, {role}", *row)
        for one, role, own in zip(both, ("champion", "challenger"), figures, strict=True)
        for row in performance(head, own)
    ]
    of = (
        ""
        if head.positive is None
        else f" Sensitivity to NPV and AUC are those of {head.positive}."
    )
    return FactTable(
        f"{head.name}, both models on the same {unit}",
        f"By labels given blind; unit: the {unit.removesuffix('s')}; n: denominator; brackets: "
        f"95% intervals.{of}",
        ("Model", *class_columns(head), "n", *COLUMNS),
        tuple(rows),
    )


def _sisters(connection: Connection, model: ModelRecord) -> list[ModelRecord]:
    """The models of the same job; of a model without one, itself alone."""
    own_job = model.job_id
    kin = [one for one in models.all_models(connection) if own_job and one.job_id == own_job]
    return kin or [model]


def _grid(
    connection: Connection,
    scheme: Scheme,
    model: ModelRecord,
    sisters: list[ModelRecord],
    scored: Mapping[int, Mapping[str, Scoring]],
) -> PaperGrid:
    """The sweep of a model from the catalogue; `scored` by model and side."""
    cells: tuple[Cell, ...] = ()
    if model.job_id is not None:
        cells = SweepSpec.model_validate(jobs.get(connection, model.job_id).spec).cells

    @cache
    def figures(model_id: int, side: str, head: str) -> dict[str, Any] | None:
        look = scored[model_id].get(side)
        found: dict[str, Any] | None = look.figures.get("heads", {}).get(head) if look else None
        return found

    return PaperGrid(
        scheme,
        _cells_of(model)[0],
        [GridModel(one.id, _cells_of(one), tuple(scored[one.id])) for one in sisters],
        [cell.loss_weights for cell in cells],
        len({cell.seed for cell in cells}) > 1,
        figures,
    )


def _cells_of(model: ModelRecord) -> tuple[Cell, ...]:
    """The cells that a model serves; one made up from its training if its card names none."""
    named = tuple(Cell.model_validate(one) for one in model.card.get("cells", ()))
    training = model.card.get("training", {})
    own = Cell(
        loss_weights=tuple(training.get("loss_weights", ())),
        epochs=training.get("epochs", 0),
        seed=training.get("seed", 0),
        run=0,
    )
    return named or (own,)


def _newest(looks: list[Scoring]) -> dict[str, Scoring]:
    """The newest look at each side; not those of seed2022, whose figures are pooled over images
    and stand beside no others without a banner."""
    return {one.side: one for one in looks if one.figures.get("protocol") != "seed2022"}


def _labels_of(looks: list[Scoring]) -> str:
    """By which labels stored figures were counted."""
    found = {labels_text(one.facts) for one in looks}
    if len(found) > 1:
        return f"{BLIND_LABELS} (what an earlier version scored: by {ALL_LABELS})"
    return found.pop() if found else ALL_LABELS
