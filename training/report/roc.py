"""ROC curves with bands from drawing patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from marrow.evaluate import BOOTSTRAP_SEED, class_figures, macro_auc
from marrow.paper_tables import side_text
from marrow.scored import ScoredRows
from marrow.statistics.roc import FALSE_ALARMS, band_of, curve_and_draws, roc_curves
from training.report.drawing import DASHES, PALETTE, panels, plot, size_of, unit_square
from training.report.evidence import Evidence
from training.report.grid import Grid
from training.report.parts import Missing, Part, figure_text

Floats = npt.NDArray[np.float64]

_CURVES = 4
"""Classes of which each gets a curve with its band; of more, their mean alone."""


def roc_parts(grid: Grid) -> list[Part]:
    """One figure a head: a panel for each data set (the paper's Figure 6)."""
    evidence = grid.evidence
    return [
        _head(evidence, head.name, grid.sides([evidence.model])) for head in evidence.scheme.heads
    ]


def _head(evidence: Evidence, head: str, sides: Sequence[str]) -> Part:
    found = [(side, evidence.rows(evidence.model, side, head)) for side in sides]
    drawn = [(side, rows) for side, rows in found if rows is not None and _has_both(rows)]
    if not drawn:
        return Missing(
            f"ROC of {head}: no side of this model holds two classes with kept answers; label "
            "smears of every class, and score the model again."
        )

    def draw(figure: Any) -> None:
        for axes, (side, rows) in zip(panels(figure, len(drawn)), drawn, strict=True):
            unit_square(axes, "1 − specificity", "Sensitivity")
            axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.7)
            axes.set_title(f"{side_text(side)} (n = {len(rows)})")
            _curves(axes, rows)
            axes.legend(loc="lower right", borderaxespad=0.2, handlelength=1.6)

    return plot(
        f"roc-{head}",
        f"ROC curves, head {head}.",
        "In the form of Figure 6 of the paper. Curves of each class against the rest; bands: "
        "pointwise 95% of 2,000 bootstrap draws of patients; legend: AUC with its 95% interval "
        "and the number of the class among all.",
        size_of(len(drawn)),
        draw,
    )


def _has_both(rows: ScoredRows) -> bool:
    return sum(count > 0 for count in rows.classes.values()) > 1


def _curves(axes: Any, rows: ScoredRows) -> None:
    head = rows.head
    shown = [head.positive] if head.positive else [c for c, n in rows.classes.items() if n]
    if len(shown) > _CURVES:
        curves = [_class_curve(rows, name) for name in shown]
        middle = np.mean([curve for curve, _ in curves], axis=0)
        band = band_of(np.mean([draws for _, draws in curves], axis=0))
        _line(axes, 0, middle, band, f"mean of {len(shown)}: {figure_text(macro_auc(rows), 2)}")
        return
    for number, name in enumerate(shown):
        curve, draws = _class_curve(rows, name)
        area = class_figures(rows, name)["auc"]
        label = f"{name} {figure_text(area, 2)}, {rows.classes[name]}/{len(rows)}"
        _line(axes, number, curve, band_of(draws), label)


def _line(axes: Any, number: int, curve: Floats, band: Floats, label: str) -> None:
    colour = PALETTE[number % len(PALETTE)]
    axes.fill_between(FALSE_ALARMS, band[0], band[1], color=colour, alpha=0.13, linewidth=0)
    axes.plot(
        np.concatenate([[0], FALSE_ALARMS]),
        np.concatenate([[0], curve]),
        color=colour,
        linestyle=DASHES[number % len(DASHES)],
        label=label,
    )


def _class_curve(rows: ScoredRows, name: str) -> tuple[Floats, Floats]:
    """Sensitivity, (101,), of the rows as they are and of each draw, (D, 101)."""
    index = rows.head.classes.index(name)
    scores, truth = rows.probabilities[:, index], rows.truth == index
    if rows.patient_count < 2:
        curve = roc_curves(scores, truth, np.ones((1, len(rows))))
        return curve[0], np.repeat(curve, 2, axis=0)
    return curve_and_draws(scores, truth, rows.patients, seed=BOOTSTRAP_SEED)
