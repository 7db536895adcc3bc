"""The first page: what was found, on whom, and what must not be read into it."""

from __future__ import annotations

from marrow.paper_tables import model_text, side_text
from training.report.grid import Grid, cells_of
from training.report.parts import Missing, Part, Warn, figure_text
from training.report.words import SEED_BANNER


def summary_parts(grid: Grid) -> list[Part]:
    """A few sentences, each number with its n, unit and interval."""
    evidence = grid.evidence
    model, spec = evidence.model, evidence.card.training
    heads = len(evidence.scheme.heads)
    parts: list[Part] = [
        f"{model.record.name} ({model_text(cells_of(model), heads)}) answers "
        + "; ".join(f"{one.name}: {', '.join(one.classes)}" for one in evidence.scheme.heads)
        + f". Figures are counted in {evidence.unit}; brackets hold 95% intervals."
    ]
    if spec.protocol == "seed2022":
        parts.append(Warn(SEED_BANNER))
    sides = [one for one in grid.sides([model]) if one not in ("train", "out-of-fold", "seed2022")]
    for side in sides:
        parts += _side(grid, side)
    if spec.protocol == "seed2022":
        parts.append(
            Missing(
                "Under seed2022 no patient is held back, so that there are no honest internal "
                "figures; `marrow sweep --protocol honest` makes a model with them."
            )
        )
    elif "test" not in sides:
        parts.append(
            Missing(
                "The test side of this model was not scored with its answers kept: there are no "
                "internal figures of patients held back; `marrow sweep` makes a model with them."
            )
        )
    if not model.sites:
        parts.append(
            Missing(
                "No external cohort was scored: how the model does on smears of another site is "
                "not known."
            )
        )
    return parts


def _side(grid: Grid, side: str) -> list[Part]:
    evidence = grid.evidence
    found = {
        head.name: grid.figures(evidence.model.record.id, side, head.name)
        for head in evidence.scheme.heads
    }
    said = [
        f"{name}: AUC {figure_text(own['auc'])}, accuracy {figure_text(own['accuracy'])}, "
        f"n = {own['n']}" + (f" of {own['patients']} patients" if evidence.unit == "images" else "")
        for name, own in found.items()
        if own is not None
    ]
    if not said:
        return []
    looks = evidence.looks.get(side, 0)
    times = "once" if looks == 1 else f"{looks} times"
    return [
        f"{side_text(side)} ({evidence.unit}; looked at {times} by the models of this study): "
        + "; ".join(said)
        + "."
    ]
