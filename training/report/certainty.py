"""Whether probabilities can be believed: calibration, abstention, conformal sets, decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marrow.calibration import HeadCalibration
from marrow.evaluate import BOOTSTRAP_SEED, share_figure
from marrow.paper_tables import side_text
from marrow.schemes import Head
from marrow.scored import ScoredRows
from marrow.statistics.abstention import risk_coverage
from marrow.statistics.calibration import ReliabilityBin, reliability
from marrow.statistics.conformal import conformal_set
from marrow.statistics.decision import decision_curve
from training.report.drawing import DASHES, PALETTE, panels, plot, size_of, unit_square
from training.report.evidence import Evidence
from training.report.grid import Grid
from training.report.parts import Cell, Missing, Part, Table
from training.report.words import intervals_text

_BINS = 5
"""Of a reliability diagram: with 35 patients in 10 bins each would hold 3 or 4."""

_MIN_FOR_CURVE = 10

Sides = list[tuple[str, ScoredRows]]


def _sides(grid: Grid, head: str) -> Sides:
    """The sides that no network was fitted to, with their rows."""
    evidence = grid.evidence
    named = [side for side in grid.sides([evidence.model]) if side not in ("train", "seed2022")]
    found = [(side, evidence.rows(evidence.model, side, head)) for side in named]
    return [(side, rows) for side, rows in found if rows is not None and len(rows)]


def _weights(rows: ScoredRows) -> npt.NDArray[np.float64]:
    """1 / rows of its patient, float64 (n,)."""
    _, patient, counts = np.unique(rows.patients, return_inverse=True, return_counts=True)
    return np.asarray(1 / counts[patient])


def _lacking(what: str, head: str) -> Missing:
    return Missing(
        f"{what} of {head}: the model has no scored side with kept answers; train with folds "
        "(`marrow sweep`), or score a site with `marrow validate`."
    )


def calibration_parts(grid: Grid) -> list[Part]:
    """Reliability diagrams, and Brier score, calibration error and temperature of each head."""
    parts: list[Part] = []
    rows: list[tuple[Cell, ...]] = []
    for head in grid.evidence.scheme.heads:
        sides = _sides(grid, head.name)
        if not sides:
            parts.append(_lacking("Calibration", head.name))
            continue
        parts.append(_reliability_plot(head, sides))
        for side, _ in sides:
            found = grid.figures(grid.evidence.model.record.id, side, head.name)
            assert found is not None  # noqa: S101 -- the side has rows
            temperature = _temperature(grid.evidence, head.name)
            rows.append((head.name, side_text(side), temperature, found["brier"], found["ece"]))
    if rows:
        parts.append(
            Table(
                key="calibration",
                title="Calibration.",
                caption="Probabilities as served, after the temperature of each head. Brier "
                "score: 0 is best; of a two-class head 0 to 1, of more classes 0 to 2. ECE: "
                "expected calibration error of the class called, ten bins of equal mass; it "
                "reads too high for few patients. Out-of-fold rows are those that the "
                f"temperature was fitted on. {intervals_text(grid.evidence.unit)}",
                columns=("Head", "Data set", "Temperature", "Brier score", "ECE"),
                rows=tuple(rows),
                lead=2,
            )
        )
    return parts


def _temperature(evidence: Evidence, head: str) -> Cell:
    calibration = evidence.card.calibration
    return "none fitted" if calibration is None else calibration.heads[head].temperature


def _reliability_plot(head: Head, sides: Sides) -> Part:
    def draw(figure: Any) -> None:
        for axes, (side, rows) in zip(panels(figure, len(sides)), sides, strict=True):
            unit_square(axes, "Probability of the call", "Share of right calls")
            axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.7)
            axes.set_title(f"{side_text(side)} (n = {len(rows)})")
            sure = rows.probabilities.max(axis=1)
            table = reliability(sure, rows.is_right, rows.patients, bins=_BINS)
            for one in table:
                _reliability_point(axes, one)
            sizes = "bins of " + ", ".join(str(one.rows) for one in table)
            axes.text(0.98, 0.02, sizes, ha="right", fontsize=7)

    return plot(
        f"reliability-{head.name}",
        f"Reliability, head {head.name}.",
        f"Share of right calls against the mean probability of the class called, in up to {_BINS} "
        f"bins of equal mass ({sides[0][1].unit}); bars: 95% intervals over patients; their n "
        "stands below. On the line, 80% sure is right 80% of the time.",
        size_of(len(sides)),
        draw,
    )


def _reliability_point(axes: Any, one: ReliabilityBin) -> None:
    share = one.right
    if share.low is not None and share.high is not None:
        axes.plot([one.confidence] * 2, [share.low, share.high], color=PALETTE[0], linewidth=1)
    axes.plot([one.confidence], [share.value], "o", color=PALETTE[0], markersize=3.5)


def abstention_parts(grid: Grid) -> list[Part]:
    """Risk-coverage curves of each head, and what the stored threshold does."""
    parts: list[Part] = []
    rows: list[tuple[Cell, ...]] = []
    for head in grid.evidence.scheme.heads:
        sides = _sides(grid, head.name)
        if not sides:
            parts.append(_lacking("Risk and coverage", head.name))
            continue
        parts.append(_risk_plot(head, sides))
        own = _head_calibration(grid.evidence, head.name)
        if own is not None and own.unsure_below is not None:
            rows += [_threshold_row(head, own.unsure_below, *one) for one in sides]
    if rows:
        flagged = grid.evidence.scheme.primary
        parts.append(
            Table(
                key="abstention",
                title="Answering only when sure.",
                caption="The threshold was fixed on out-of-fold predictions, where it withholds "
                f"10% of the right calls. Only that of {flagged} raises the flag `unsure`. "
                f"{intervals_text(grid.evidence.unit)}",
                columns=(
                    "Head",
                    "Data set",
                    "Threshold",
                    "Answered",
                    "Accuracy of all",
                    "Accuracy of the answered",
                ),
                rows=tuple(rows),
                lead=2,
            )
        )
    else:
        parts.append(
            Missing(
                "No threshold for `unsure` is on the model's card: it takes out-of-fold right "
                "calls of 10 patients; train with folds (`marrow sweep`) on more patients."
            )
        )
    return parts


def _head_calibration(evidence: Evidence, head: str) -> HeadCalibration | None:
    calibration = evidence.card.calibration
    return None if calibration is None else calibration.heads[head]


def _threshold_row(head: Head, threshold: float, side: str, rows: ScoredRows) -> tuple[Cell, ...]:
    answered = rows.probabilities.max(axis=1) >= threshold
    every = np.ones(len(rows), dtype=bool)
    return (
        head.name,
        side_text(side),
        threshold,
        share_figure(rows, answered, every),
        share_figure(rows, rows.is_right, every),
        share_figure(rows, rows.is_right, answered),
    )


def _risk_plot(head: Head, sides: Sides) -> Part:
    def draw(figure: Any) -> None:
        axes = panels(figure, 1)[0]
        for number, (side, rows) in enumerate(sides):
            curve = risk_coverage(rows.probabilities.max(axis=1), rows.is_right, _weights(rows))
            kept = curve.coverage * len(rows) >= min(_MIN_FOR_CURVE, len(rows))
            axes.plot(
                curve.coverage[kept],
                curve.risk[kept],
                color=PALETTE[number % len(PALETTE)],
                linestyle=DASHES[number % len(DASHES)],
                label=f"{side_text(side)}, n = {len(rows)}",
                drawstyle="steps-post",
            )
        axes.set(xlim=(0, 1.02), xlabel="Coverage (share answered)", ylabel="Share wrong of these")
        axes.set_ylim(bottom=0)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2)

    return plot(
        f"risk-coverage-{head.name}",
        f"Risk and coverage, head {head.name}.",
        "Share of wrong calls if only the surest are answered, each patient counted alike; drawn "
        f"from {_MIN_FOR_CURVE} answered {sides[0][1].unit} on, because fewer say nothing.",
        (4.2, 3.4),
        draw,
    )


def decision_parts(grid: Grid) -> list[Part]:
    """A decision curve of each two-class head."""
    heads = [head for head in grid.evidence.scheme.heads if head.positive is not None]
    if not heads:
        return [Missing("Decision curves are of two-class heads, and this scheme has none.")]
    return [_decision(head, _sides(grid, head.name)) for head in heads]


def _decision(head: Head, sides: Sides) -> Part:
    both = [one for one in sides if sum(n > 0 for n in one[1].classes.values()) > 1]
    both = [one for one in both if one[0] != "out-of-fold" and one[1].patient_count > 1]
    if not both:
        return _lacking("The decision curve", head.name)
    assert head.positive is not None  # noqa: S101 -- two-class heads alone come here
    index = head.classes.index(head.positive)

    def draw(figure: Any) -> None:
        for axes, (side, rows) in zip(panels(figure, len(both)), both, strict=True):
            curve = decision_curve(
                rows.probabilities[:, index],
                rows.truth == index,
                rows.patients,
                seed=BOOTSTRAP_SEED,
            )
            if curve.model_band is not None:
                axes.fill_between(
                    curve.thresholds, *curve.model_band, color=PALETTE[0], alpha=0.15, linewidth=0
                )
            axes.plot(curve.thresholds, curve.model, color=PALETTE[0], label="model")
            axes.plot(curve.thresholds, curve.treat_all, color=PALETTE[1], linestyle="--",
                      label="act on all")  # fmt: skip
            axes.axhline(0, color="#666666", linewidth=0.8, linestyle=":", label="act on none")
            top = max(0.05, float(curve.prevalence)) * 1.1
            if curve.model_band is not None:
                top = max(top, float(curve.model_band[1].max()) * 1.05)
            axes.set(xlim=(0, 1), ylim=(-0.25 * top, top), xlabel="Threshold probability")
            axes.set_ylabel("Net benefit")
            axes.set_title(f"{side_text(side)} (n = {len(rows)})")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3)

    return plot(
        f"decision-{head.name}",
        f"Decision curve, head {head.name}.",
        f"Net benefit, in true {head.positive} a {both[0][1].unit.removesuffix('s')}, of acting at "
        "a probability at or above the threshold, at each data set's own prevalence; band: "
        "pointwise 95% of 2,000 draws of patients.",
        size_of(len(both), extra_in=0.6),
        draw,
    )


def conformal_parts(grid: Grid) -> list[Part]:
    """How often the conformal sets hold the truth, and how large they are."""
    calibration = grid.evidence.card.calibration
    if calibration is None:
        return [
            Missing(
                "Conformal sets: the model's card has no calibration; train with folds "
                "(`marrow sweep`) to have one."
            )
        ]
    parts: list[Part] = []
    rows: list[tuple[Cell, ...]] = []
    for head in grid.evidence.scheme.heads:
        own = calibration.heads[head.name]
        if own.conformal_note:
            parts.append(f"{head.name}: {own.conformal_note}.")
        if all(quantile is None for quantile in own.conformal):
            continue
        for side, scored in _sides(grid, head.name):
            rows += _coverage_rows(head, side, scored, own)
    if not rows:
        return [*parts, Missing("No conformal set can be given for any head: label more patients.")]
    table = Table(
        key="conformal",
        title="Conformal sets.",
        caption=f"Sets promised to hold the truth of {calibration.confidence:.0%} of new patients "
        "of each class (class-conditional, from out-of-fold predictions: certain is only "
        f"{2 * calibration.confidence - 1:.0%}, because several networks made them and another is "
        f"served). Coverage: share whose set holds the truth. {intervals_text(grid.evidence.unit)}",
        columns=(
            "Head",
            "Data set",
            "Class",
            "Coverage",
            "Classes in a set (mean)",
            "Sets of one class",
            "Empty sets",
        ),
        rows=tuple(rows),
        lead=2,
    )
    return [*parts, table]


def _coverage_rows(
    head: Head, side: str, rows: ScoredRows, own: HeadCalibration
) -> list[tuple[Cell, ...]]:
    held = conformal_set(rows.probabilities, own.conformal)
    sizes, covers = held.sum(axis=1), held[np.arange(len(rows)), rows.truth]
    made: list[tuple[Cell, ...]] = []
    for name in ("all", *head.classes):
        among = np.ones(len(rows), dtype=bool)
        if name != "all":
            among = rows.truth == head.classes.index(name)
        if among.any():
            made.append(
                (
                    head.name,
                    side_text(side),
                    name,
                    share_figure(rows, covers, among),
                    f"{sizes[among].mean():.2f}",
                    share_figure(rows, sizes == 1, among),
                    share_figure(rows, sizes == 0, among),
                )
            )
    return made
