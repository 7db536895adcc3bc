"""The figures on a model's card as text: each with its n, its unit and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marrow.records import ModelRecord

ALL_FIGURES = ("accuracy", "balanced_accuracy", "auc", "sensitivity", "specificity", "ppv", "npv")
"""Of a head, in the order of the seed paper's tables."""
FIGURE_WORDS = {"auc": "AUC", "ppv": "PPV", "npv": "NPV", "balanced_accuracy": "balanced accuracy"}
"""Of the others the name says it."""
BLIND_LABELS, ALL_LABELS = "labels given blind", "all labels"


def figures_text(model: ModelRecord) -> str:
    """The test figures of a card in a few lines, each with its n, unit and interval, and by which
    labels: first those given blind, then all where that differs."""
    figures = model.card.get("figures", {})
    every = figures.get("all_labels")
    parts = [(labels_text(figures), figures), *([(ALL_LABELS, every)] if every else [])]
    lines = []
    for labels, those in parts:
        found = figure_lines(those, ("accuracy", "auc"))
        lines += [f"by {labels}:", *found] if found else []
    return "\n".join(lines)


def labels_text(stored: Mapping[str, Any]) -> str:
    """By which labels figures were counted: all, if nothing is said (an earlier version, images).

    Parameters
    ----------
    stored : mapping
        A card's figures, or the facts of a scoring.
    """
    return BLIND_LABELS if "all_labels" in stored else ALL_LABELS


def figure_lines(figures: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """One line for each of these figures of each head, as far as it was computed."""
    return [
        f"{head} {FIGURE_WORDS.get(name, name)} {interval(own[name])}"
        for head, own in figures.get("heads", {}).items()
        for name in names
        if isinstance(own.get(name), dict)
    ]


def interval(figure: Mapping[str, Any]) -> str:
    """A stored figure as text: 0.912 (0.85-0.96), n = 40 patients."""
    value, low, high = figure.get("value"), figure.get("low"), figure.get("high")
    if value is None:
        return f"not estimable ({figure.get('reason', 'no cases')})"
    text = f"{value:.3f}"
    if low is not None and high is not None:
        text += f" ({low:.3f}-{high:.3f})"
    else:
        text += f" (no interval: {figure.get('reason') or 'not estimable'})"
    if "n" in figure:
        text += f", n = {figure['n']} {figure.get('unit', '')}".rstrip()
    return text


def protocol_text(model: ModelRecord) -> str:
    """How it was tested; seed2022 is marked, for its figures flatter."""
    protocol = str(model.card.get("training", {}).get("protocol", "honest"))
    imported = ", imported" if model.job_id is None else ""
    if protocol == "honest":
        return protocol + imported
    return f"{protocol}: replication, optimistic{imported}"
