"""Models, their figures and comparisons in words."""

from __future__ import annotations

from collections.abc import Sequence

from marrow.comparing import Comparison
from marrow.figure_words import FIGURE_WORDS
from marrow.paired import Difference, HeadComparison
from marrow.records import ModelRecord
from marrow.schemes import Scheme

_CHANGES_SHOWN = 20


def cell_text(model: ModelRecord) -> str:
    """The cells of the grid that a model serves: `5:5 2:8 1:9, 30 epochs, seed 0`."""
    training = model.card.get("training", {})
    cells = model.card.get("cells") or [training]
    weights = dict.fromkeys(_weights_text(one.get("loss_weights", ())) for one in cells)
    parts = [" ".join(weights), f"{training.get('epochs', '?')} epochs"]
    return ", ".join([*filter(None, parts), f"seed {training.get('seed', '?')}"])


def comparison_text(found: Comparison, scheme: Scheme) -> str:
    """A comparison in words: who was compared, the differences, and whose call changes."""
    sides = ", ".join(f"{count} smears of {side}" for side, count in sorted(found.sides.items()))
    lines = [
        f"m{found.challenger} against m{found.champion} on {found.patients} patients "
        f"that neither was trained on ({sides or 'no smear was scored with both'})"
    ]
    if found.trained_on:
        lines.append(f"Left out: {found.trained_on} patients that one of them was trained on")
    for one in found.blind:
        lines += _head_lines(one, "blind labels")
    for one in found.all or ():
        lines += _head_lines(one, "all labels")
    if found.changes:
        smears = len({one.smear_id for one in found.changes})
        lines.append(f"{smears} smears are called otherwise:")
    for one_change in found.changes[:_CHANGES_SHOWN]:
        truth = one_change.truth or "not known"
        lines.append(
            f"  {one_change.smear} of {one_change.patient}, {one_change.head}: "
            f"{one_change.before} -> {one_change.after} (label: {truth})"
        )
    if found.hidden:
        lines.append(f"{found.hidden} smears whose call changes are hidden: blind reading")
    if len(found.changes) > _CHANGES_SHOWN:
        lines.append(f"  ... and {len(found.changes) - _CHANGES_SHOWN} more (--json lists all)")
    return "\n".join(lines)


def refusal_text(found: Comparison, refused: str | None) -> str:
    """Whether the challenger would be refused as champion, and why."""
    name = f"m{found.challenger}"
    if refused is not None:
        return f"{name} would not become champion: {refused}"
    return f"{name} may become champion: it is not shown to be worse"


def _head_lines(one: HeadComparison, labels: str) -> list[str]:
    lines = [f"{one.head}, {labels}:"]
    lines += [f"  {_difference_text(difference)}" for difference in one.differences]
    right = one.right
    if right is not None:
        test = f"McNemar mid-p {right.p_value:.3f}" if right.p_value is not None else right.reason
        lines.append(
            f"  right calls: both {right.both}, champion alone {right.only_champion}, challenger "
            f"alone {right.only_challenger}, neither {right.neither} of {one.n} {one.unit} ({test})"
        )
    return lines


def _difference_text(one: Difference) -> str:
    name = FIGURE_WORDS.get(one.figure, one.figure)
    if one.value is None or one.champion is None or one.challenger is None:
        return f"{name}: not estimable ({one.reason})"
    text = f"{name}: {one.champion:.3f} -> {one.challenger:.3f}, difference {one.value:+.3f}"
    if one.low is not None and one.high is not None:
        text += f" ({one.low:+.3f} to {one.high:+.3f})"
    else:
        text += f" (no interval: {one.reason})"
    p = "" if one.p_value is None else f", p = {one.p_value:.3f}"
    return f"{text}{p}, n = {one.n} {one.unit}; {one.method}"


def _weights_text(weights: Sequence[float]) -> str:
    return ":".join(f"{one:g}" for one in weights) or "equal"
