"""What is drawn of two models, fit for JSON: curves with bands, matrices and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marrow.comparison_facts import ClassCurves, ComparisonFacts, HeadFacts
from marrow.statistics.roc import FALSE_ALARMS, RocCurve


def facts_values(facts: ComparisonFacts) -> dict[str, Any]:
    """Curves and matrices by head, and the tables.

    Returns
    -------
    dict
        `false_alarms`, 1 - specificity at which every curve is given; `heads`, each with its
        `curves` by class and `calls` (rows: true class, columns: called class) by role; `tables`.
    """
    return {
        "false_alarms": FALSE_ALARMS.tolist(),
        "heads": [_head(one) for one in facts.heads],
        "tables": [
            {
                "title": one.title,
                "caption": one.caption,
                "columns": one.columns,
                "rows": one.rows,
            }
            for one in facts.tables
        ],
    }


def _head(one: HeadFacts) -> dict[str, Any]:
    return {
        "head": one.head.name,
        "classes": one.head.classes,
        "unit": one.unit,
        "n": one.n,
        "patients": one.patients,
        "calls": {
            "champion": one.champion_calls.tolist(),
            "challenger": one.challenger_calls.tolist(),
        },
        "curves": [_curves(own) for own in one.curves],
    }


def _curves(one: ClassCurves) -> dict[str, Any]:
    return {
        "class": one.name,
        "n": one.n,
        "champion": _curve(one.champion, one.champion_auc),
        "challenger": _curve(one.challenger, one.challenger_auc),
    }


def _curve(one: RocCurve, area: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "auc": area,
        "sensitivity": one.sensitivity.tolist(),
        "low": None if one.low is None else one.low.tolist(),
        "high": None if one.high is None else one.high.tolist(),
        "reason": one.reason,
    }
