"""What a finished model says to each side, calibrated, with its figures and flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from marrow import statistics
from marrow.evaluate import evaluate_blind
from marrow.records import TrainingSpec
from marrow.schemes import Head, Scheme
from marrow.statistics import Interval
from training.calibrate import Calibration, flags_of, is_unlike, served
from training.dataset import LabelledSmear
from training.harvest import Harvest

Answers = dict[int, dict[str, tuple[float, ...]]]

OUT_OF_FOLD = "out-of-fold"
IMAGES = "seed2022"
"""Side of the images that seed2022 tests on; copies of their smears have trained."""
DIGITS = 7
"""Of stored probabilities: beyond what float32 tells apart."""


class Scored(NamedTuple):
    """One look at a side: its figures, the answers behind them, and facts; all fit for JSON."""

    figures: dict[str, Any]
    """As `evaluate` gives them, and `flags` by smear id: those of `Answer.flags` raised."""
    answers: Answers
    """Calibrated, by smear id and head; empty where images, not smears, were scored."""
    facts: dict[str, Any]
    """`all_labels`: the figures by all labels, where those of blind ones differ (else None);
    `smears`: ids of those whose images were scored."""


def scorings_of(
    harvest: Harvest,
    folds: Sequence[Harvest],
    smears: Mapping[int, LabelledSmear],
    scheme: Scheme,
    spec: TrainingSpec,
    calibration: Calibration | None,
) -> dict[str, Scored]:
    """Every side that a run and its folds have examined.

    Returns
    -------
    dict
        By side: `train`, `test`, `out-of-fold`, `site:NAME` for each site held out; under
        seed2022 `train` and `seed2022`, which hold images.
    """
    names = [_side(harvest, row, smears) for row in range(len(harvest.smears))]
    scored = {}
    for side in dict.fromkeys(names):
        rows = [row for row, its in enumerate(names) if its == side]
        if spec.protocol == "seed2022" and not side.startswith("site:"):
            figures = _image_figures(harvest, rows, smears, scheme)
            ids = sorted({harvest.smears[row] for row in rows})
            scored[side] = Scored(figures, {}, {"smears": ids})
        else:
            scored[side] = _scored([(harvest, rows)], smears, scheme, spec, calibration)
    if folds:
        parts = [(one, _rows_of(one, "validation")) for one in folds]
        scored[OUT_OF_FOLD] = _scored(parts, smears, scheme, spec, calibration)
    return scored


def _side(harvest: Harvest, row: int, smears: Mapping[int, LabelledSmear]) -> str:
    side = harvest.sides[row]
    if side == "held-out":
        return f"site:{smears[harvest.smears[row]].smear.site}"
    return IMAGES if side == "image" else side


def _rows_of(harvest: Harvest, side: str) -> list[int]:
    return [row for row, its in enumerate(harvest.sides) if its == side]


def _scored(
    parts: Sequence[tuple[Harvest, Sequence[int]]],
    smears: Mapping[int, LabelledSmear],
    scheme: Scheme,
    spec: TrainingSpec,
    calibration: Calibration | None,
) -> Scored:
    answers: Answers = {}
    flags: dict[str, list[str]] = {}
    for harvest, rows in parts:
        unlike = np.zeros(len(harvest.smears), dtype=bool)
        distances = harvest.distances.numpy()
        known = np.isfinite(distances)
        if calibration is not None and known.any():
            unlike[known] = is_unlike(calibration, distances[known])
        for row in rows:
            said = served(
                {head: its[row].numpy() for head, its in harvest.probabilities.items()}, calibration
            )
            smear = harvest.smears[row]
            answers[smear] = {
                head: tuple(round(float(p), DIGITS) for p in its) for head, its in said.items()
            }
            raised = flags_of(said, bool(unlike[row]), scheme, calibration)
            if raised:
                flags[str(smear)] = list(raised)
    known_smears = [smears[smear] for smear in answers]
    found = evaluate_blind(answers, known_smears, scheme, spec.smear_is_patient)
    return Scored({**found.blind, "flags": flags}, answers, {"all_labels": found.every})


def _image_figures(
    harvest: Harvest,
    rows: Sequence[int],
    smears: Mapping[int, LabelledSmear],
    scheme: Scheme,
) -> dict[str, Any]:
    """The seed paper's figures: pooled over images, with Wald intervals, for replication only."""
    heads = {}
    for head in scheme.heads:
        answers = [(row, smears[harvest.smears[row]].answers[head.name]) for row in rows]
        known = [(row, answer) for row, answer in answers if answer is not None]
        truth = np.array([head.classes.index(answer) for _, answer in known], dtype=np.int64)
        said = harvest.probabilities[head.name].numpy()[[row for row, _ in known]]
        heads[head.name] = _pooled_figures(head, scheme, truth, said)
    return {
        "unit": "image",
        "protocol": "seed2022",
        "images": len(rows),
        "patients": None,
        "heads": heads,
    }


def _pooled_figures(
    head: Head,
    scheme: Scheme,
    truth: npt.NDArray[np.int64],
    said: npt.NDArray[np.float64],
) -> dict[str, Any]:
    called = said.argmax(axis=1)
    if head.positive is not None:
        pooled = [head.classes.index(head.positive)]
    else:
        # The paper leaves out the class that the other head asks for.
        asked = {
            answer
            for other in scheme.heads
            if other.label_from is not None and other.label_from.head == head.name
            for answers in other.label_from.classes.values()
            for answer in answers
        }
        kept = [index for index, name in enumerate(head.classes) if name not in asked]
        pooled = kept or list(range(len(head.classes)))
    counts = statistics.pooled_counts(called, truth, pooled)
    five = asdict(statistics.seed_pooled(*counts))
    areas = [
        statistics.auc(said[:, index], truth == index)
        for index in pooled
        if 0 < int((truth == index).sum()) < len(truth)
    ]
    area = Interval(
        float(np.mean(areas)) if areas else None, None, None, len(truth), "none",
        reason="images of one smear on both sides",
    )  # fmt: skip
    figures = {name: {**its, "unit": "images"} for name, its in five.items()}
    figures["auc"] = {**asdict(area), "unit": "images"}
    return {
        "n": len(truth),
        "unit": "images",
        "pooled": [head.classes[index] for index in pooled],
        "counts": dict(zip(("tp", "fn", "fp", "tn"), counts, strict=True)),
        "classes": {name: int((truth == k).sum()) for k, name in enumerate(head.classes)},
        **figures,
    }
