"""Accuracy and loss over the epochs (the paper's Figure 5), and what an epoch takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from marrow.paper_tables import weights_text
from marrow.records import TrainingSpec
from training.report.drawing import PALETTE, plot
from training.report.evidence import Evidence
from training.report.parts import Missing, Part

Curve = Mapping[int, Sequence[float]]
"""By epoch, one value a run."""


def learning_parts(evidence: Evidence) -> list[Part]:
    """One figure for each set of loss weights: accuracy and loss of every head."""
    groups = _trajectories(evidence)
    if not groups:
        return [
            Missing(
                "Accuracy-loss curves: the epochs of this model's training are not in this "
                "catalogue (it was imported, or its job was removed); train it here to have them."
            )
        ]
    return [_figure(evidence, name, runs) for name, runs in groups.items()]


def _trajectories(evidence: Evidence) -> dict[str, list[tuple[int, TrainingSpec]]]:
    """Runs that have epochs, grouped by the loss weights that they serve."""
    if evidence.sweep is None:
        return {}
    seen = {payload.get("run", 0) for payload in evidence.epochs}
    heads = len(evidence.scheme.heads)
    served: dict[int, list[str]] = defaultdict(list)
    for cell in evidence.sweep.cells:
        for run in (cell.run, *cell.fold_runs):
            served[run].append(weights_text(cell, heads))
    groups: dict[str, list[tuple[int, TrainingSpec]]] = defaultdict(list)
    for number, spec in enumerate(evidence.sweep.runs):
        if number in seen:
            groups[" = ".join(dict.fromkeys(served[number]))].append((number, spec))
    return dict(groups)


def _figure(evidence: Evidence, weights: str, runs: list[tuple[int, TrainingSpec]]) -> Part:
    whole = {number for number, spec in runs if spec.fold is None}
    folds = {number for number, spec in runs if spec.fold is not None}
    kept = sorted({epoch for _, spec in runs for epoch in spec.kept_epochs})
    heads = [head.name for head in evidence.scheme.heads]

    def draw(figure: Any) -> None:
        grid = figure.subplots(2, len(heads), squeeze=False, sharex=True)
        for column, head in enumerate(heads):
            for row, kind in enumerate(("accuracies", "losses")):
                axes = grid[row][column]
                for epoch in kept:
                    axes.axvline(epoch, color="#cccccc", linewidth=0.7, linestyle=":")
                _lines(axes, evidence, kind, head, whole or folds, folds)
                if row == 0:
                    axes.set(ylim=(0, 1.03), ylabel="Accuracy" if column == 0 else "")
                    axes.set_title(f"Head {head}")
                else:
                    axes.set(xlabel="Epoch", ylabel="Loss (cross-entropy)" if column == 0 else "")
                    axes.set_ylim(bottom=0)
        grid[0][0].legend(loc="lower right")

    seeds = len({spec.seed for _, spec in runs})
    trained = len(whole) or len(folds)
    over = "one run" if trained == 1 else f"mean over {trained} runs ({seeds} seeds)"
    validation = (
        f"validation: mean over {len(folds)} runs that each leave out a fold of the training "
        "patients, with the range over them"
        if folds
        else "no fold was left out, so that there is no validation curve"
    )
    return plot(
        f"learning-{weights.replace(' = ', '_').replace(':', '-')}",
        f"Accuracy and loss over the epochs, loss weights {weights}.",
        f"In the form of Figure 5 of the paper. Training: views of the training patients while "
        f"dropout was on, {over}; {validation}. "
        f"Dotted lines: epochs whose model was kept ({', '.join(map(str, kept))}). Counted over "
        "views, not patients: these curves show how training went, not how good the model is.",
        (3.1 * len(heads) + 0.3, 3.9),
        draw,
    )


def _lines(
    axes: Any, evidence: Evidence, kind: str, head: str, whole: set[int], folds: set[int]
) -> None:
    training = _curve(evidence.epochs, whole, kind, head, validation=False)
    _line(axes, training, PALETTE[0], "-", "training")
    _line(axes, _curve(evidence.epochs, folds, kind, head, validation=True), PALETTE[1], "--",
          "validation")  # fmt: skip


def _curve(
    epochs: Sequence[Mapping[str, Any]], runs: set[int], kind: str, head: str, *, validation: bool
) -> Curve:
    found: dict[int, list[float]] = defaultdict(list)
    for payload in epochs:
        side = payload.get("validation") if validation else payload
        if payload.get("run", 0) in runs and side:
            value = side.get(kind, {}).get(head)
            if value is not None:
                found[payload["epoch"]].append(value)
    return found


def _line(axes: Any, curve: Curve, colour: str, dash: str, label: str) -> None:
    if not curve:
        return
    x = sorted(curve)
    mean = [float(np.mean(curve[epoch])) for epoch in x]
    low, high = [min(curve[epoch]) for epoch in x], [max(curve[epoch]) for epoch in x]
    if any(len(curve[epoch]) > 1 for epoch in x):
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, mean, color=colour, linestyle=dash, label=label)
