"""Which configuration of a grid is chosen: by predictions of training patients, out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from marrow.records import Cell
from marrow.schemes import Scheme
from marrow.scored import ScoredRows
from marrow.statistics import Interval
from marrow.statistics.auc import macro_auc_metric
from marrow.statistics.bootstrap import interval_and_draws
from training.losses import head_weights

METRIC = "macro one-vs-rest AUC"

DRAWS = 2000
"""Of patients, the same for every cell."""

_Configuration = tuple[tuple[float, ...], int]
"""Shares of the heads, and epochs."""


class Choice(NamedTuple):
    """What came of the choice.

    Attributes
    ----------
    chosen : int
        Index of a cell; the first one where nothing could be chosen.
    why : str
        One sentence.
    metrics : list of dict
        By cell, fit for JSON: the interval's fields and `unit`; {} without predictions.
    """

    chosen: int
    why: str
    metrics: list[dict[str, Any]]


def choose(cells: Sequence[Cell], out_of_fold: Mapping[int, ScoredRows], scheme: Scheme) -> Choice:
    """The simplest configuration that is as good as the best.

    Configurations whose metric lies within one standard error of the best one's count as
    equal to it; of these the one with the fewest epochs is taken, then the one whose loss
    weighs the primary head most (1:9 before 2:8). The metric of a configuration is the mean
    over its seeds; its standard error comes from shared draws of patients.

    Parameters
    ----------
    cells : sequence of Cell
    out_of_fold : mapping
        By index of the cell, the primary head's rows; missing where the cell has no folds.

    Source: one-standard-error rule: Breiman, Friedman, Olshen and Stone 1984, Classification
    and Regression Trees, section 3.4.3.
    """
    if len(cells) == 1:
        metrics = [_figure(out_of_fold[0]) if 0 in out_of_fold else {}]
        return Choice(0, "there is one configuration", metrics)
    if len(out_of_fold) < len(cells):
        why = "no patients were left out in folds, so that nothing was chosen among the cells"
        return Choice(0, why, [{} for _ in cells])
    lacking = {
        name: count
        for rows in out_of_fold.values()
        for name, count in rows.classes.items()
        if not count
    }
    if lacking or any(rows.patient_count < 2 for rows in out_of_fold.values()):
        why = f"no out-of-fold patient is of class {', '.join(lacking)}: nothing was chosen"
        return Choice(0, why, [_figure(rows) for _, rows in sorted(out_of_fold.items())])
    found = {index: _drawn(rows) for index, rows in out_of_fold.items()}
    groups: dict[_Configuration, list[int]] = {}
    for index, cell in enumerate(cells):
        groups.setdefault(_configuration(cell, scheme), []).append(index)
    means = {own: float(np.mean([found[k][0].value for k in g])) for own, g in groups.items()}
    best = max(means, key=lambda own: means[own])
    # A draw of images may lack a class, and then has no figure.
    error = float(np.nanstd(np.mean([found[k][1] for k in groups[best]], axis=0), ddof=1))
    equal = [own for own in groups if means[own] >= means[best] - error]
    primary = [head.name for head in scheme.heads].index(scheme.primary)
    taken = min(equal, key=lambda own: (own[1], -own[0][primary]))
    why = (
        f"out-of-fold {METRIC} of {scheme.primary} {means[taken]:.3f}; the best is "
        f"{means[best]:.3f} with a standard error of {error:.3f}, and of the {len(equal)} "
        f"configurations within it this one has the fewest epochs, then the greatest weight on "
        f"{scheme.primary}"
    )
    metrics = [_as_figure(found[index][0], out_of_fold[index]) for index in range(len(cells))]
    return Choice(min(groups[taken], key=lambda k: cells[k].seed), why, metrics)


def _configuration(cell: Cell, scheme: Scheme) -> _Configuration:
    shares = head_weights(scheme, cell.loss_weights)
    return tuple(round(share, 9) for share in shares.values()), cell.epochs


def _drawn(rows: ScoredRows) -> tuple[Interval, npt.NDArray[np.float64]]:
    metric = macro_auc_metric(rows.probabilities, rows.truth)
    strata = rows.truth if rows.are_patients else None
    return interval_and_draws(metric, rows.patients, strata, DRAWS, 0, "percentile", 0.95)


def _figure(rows: ScoredRows) -> dict[str, Any]:
    if not all(rows.classes.values()) or rows.patient_count < 2:
        return {}
    return _as_figure(_drawn(rows)[0], rows)


def _as_figure(interval: Interval, rows: ScoredRows) -> dict[str, Any]:
    return {**asdict(interval), "n": len(rows), "unit": rows.unit, "name": METRIC}
