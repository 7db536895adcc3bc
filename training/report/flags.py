"""Whether the flags find the wrong calls: shares flagged, among wrong and right calls."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from marrow.evaluate import share_figure
from marrow.paper_tables import SITE, side_text
from marrow.records import Scoring
from marrow.scored import ScoredRows
from training.report.grid import Grid
from training.report.parts import Cell, Missing, Part, Table
from training.report.words import intervals_text

KINDS = ("unsure", "heads-disagree", "unlike-training")


def flag_parts(grid: Grid) -> list[Part]:
    """Flagged calls of the primary head: wrong and right, external and internal."""
    evidence = grid.evidence
    rows: list[tuple[Cell, ...]] = []
    for side in grid.sides([evidence.model]):
        scoring = evidence.model.scoring(side)
        if side in ("train", "seed2022") or scoring is None or "flags" not in scoring.figures:
            continue
        counted = evidence.rows(evidence.model, side, evidence.scheme.primary)
        if counted is None or not len(counted):
            continue
        rows += _side(side, counted, scoring)
    if not rows:
        return [
            Missing(
                "Flags: no scoring of this model kept them; score a site again with "
                f"`marrow validate {evidence.model.record.name} --site SITE`."
            )
        ]
    parts: list[Part] = []
    if evidence.card.calibration is None:
        parts.append(
            Missing(
                "The model has no calibration, so that `unsure` and `unlike-training` are never "
                "raised; train with folds (`marrow sweep`)."
            )
        )
    table = Table(
        key="flags",
        title="Do the flags find the wrong calls?",
        caption="Share flagged among the wrong and among the right calls of "
        f"{evidence.scheme.primary}; a patient is flagged when a smear of the patient is. A useful "
        "flag is frequent among wrong calls, above all of an external site, and rare among right "
        "calls of patients like those of training. Out-of-fold calls are those that the "
        f"thresholds were fixed on. {intervals_text(evidence.unit)}",
        columns=("Data set", "Calls", "n", "Any flag", *KINDS),
        rows=tuple(rows),
    )
    return [*parts, table]


def _side(side: str, rows: ScoredRows, scoring: Scoring) -> list[tuple[Cell, ...]]:
    raised = flags_of_rows(rows, scoring)
    place = "external" if side.startswith(SITE) else "internal"
    made: list[tuple[Cell, ...]] = []
    for name, among in (("wrong", ~rows.is_right), ("right", rows.is_right)):
        shares = [share_figure(rows, raised[kind], among) for kind in ("any", *KINDS)]
        made.append((side_text(side), f"{name}, {place}", int(among.sum()), *shares))
    return made


def flags_of_rows(rows: ScoredRows, scoring: Scoring) -> dict[str, npt.NDArray[np.bool_]]:
    """Whether each flag, and `any` flag, is raised for a smear of each row; bool (n,) each."""
    stored = scoring.figures.get("flags", {})
    own = [{flag for smear in row for flag in stored.get(str(smear), ())} for row in rows.smears]
    found = {kind: np.array([kind in flags for flags in own], dtype=bool) for kind in KINDS}
    return {"any": np.array([bool(flags) for flags in own], dtype=bool), **found}
