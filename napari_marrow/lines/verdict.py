"""What two models are to each other, in words: on whom, how sure, and whose call changes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from marrow.comparing import Change, Comparison
from marrow.paired import Difference, HeadComparison, RightCalls
from napari_marrow.lines.column import NOTHING
from napari_marrow.lines.models import ChangeLine

_TROUBLE = "#e4572e"
_NAMES = {"auc": "AUC", "balanced_accuracy": "balanced accuracy"}


def headline(found: Comparison) -> str:
    """On whom the two are compared."""
    pair = f"m{found.challenger} against m{found.champion}"
    if not found.sides:
        return f"{pair}: no patient was scored with both and trained neither."
    sides = ", ".join(
        f"{count} smears of {_side(side)}" for side, count in sorted(found.sides.items())
    )
    words = f"{pair} on {_count(found.patients, 'patient')} that trained neither ({sides})"
    if found.trained_on:
        left = _count(found.trained_on, "patient")
        words += f"; {left} left out because one of the two was trained on them"
    return f"{words}."


def verdict(found: Comparison, primary: str, objection: str, why_not: str) -> str:
    """The paired tests in words, as rich text.

    Parameters
    ----------
    objection : str
        Why the challenger should not be champion; empty: nothing speaks against it.
    why_not : str
        Why promotion is not decided by these two; empty: it is.
    """
    blind = sorted(found.blind, key=lambda one: one.head != primary)
    parts = [f"<p>{escape(why_not)}</p>" if why_not else _decision(found, blind[0], objection)]
    for one in blind:
        decides = ", decides" if one.head == primary and not why_not else ""
        parts.append(_head(found, one, f"blind labels{decides}"))
    for one in found.all or ():
        parts.append(_head(found, one, "all labels, those given after a prediction too"))
    return "".join(parts)


def change_lines(changes: Sequence[Change]) -> tuple[ChangeLine, ...]:
    """The smears whose call changes: those that get worse first, then those that get better."""
    rank = {"worse": 0, "better": 1, "": 2}
    lines = [(_effect(one), one) for one in changes]
    ordered = sorted(lines, key=lambda pair: (rank[pair[0]], pair[1].smear_id, pair[1].head))
    return tuple(
        ChangeLine(
            one.smear_id,
            (
                one.smear,
                one.patient,
                one.head,
                one.before,
                one.after,
                one.truth or NOTHING,
                effect,
            ),
        )
        for effect, one in ordered
    )


def changes_words(found: Comparison) -> str:
    """How many smears are called otherwise."""
    count = len({one.smear_id for one in found.changes})
    if not found.sides:
        return "Nothing to compare."
    words = f"{_count(count, 'smear')} called otherwise" if count else "No call changes"
    if count:
        effects = [_effect(one) for one in found.changes]
        words += f" ({effects.count('worse')} calls worse, {effects.count('better')} better)"
    if found.hidden:
        words += f"; {_count(found.hidden, 'smear')} hidden until all blind readers have read them"
    return f"{words}. Enter opens the smear." if count else f"{words}."


def _side(side: str) -> str:
    return "the test side" if side == "test" else side.replace("site:", "site ")


def _decision(found: Comparison, primary: HeadComparison, objection: str) -> str:
    if objection:
        return f'<p style="color:{_TROUBLE}"><b>{escape(objection)}.</b></p>'
    return (
        f"<p><b>m{found.challenger} is not shown to be worse than m{found.champion} on "
        f"{escape(primary.head)}</b> (n = {primary.n} {primary.unit}): it may become champion.</p>"
    )


def _head(found: Comparison, one: HeadComparison, labels: str) -> str:
    lines = [f"<b>{escape(one.head)}</b> ({labels}; n = {one.n} {one.unit})"]
    lines += [_difference(difference) for difference in one.differences]
    if one.right is not None:
        lines.append(_right(found, one, one.right))
    return f"<p>{'<br>'.join(lines)}</p>"


def _difference(one: Difference) -> str:
    name = _NAMES[one.figure]
    if one.value is None or one.champion is None or one.challenger is None:
        return f"{name}: not estimable ({escape(one.reason or '')})"
    text = f"{name} {one.champion:.3f} → {one.challenger:.3f}, difference {_signed(one.value)}"
    if one.low is None or one.high is None:
        return f"{text} (no interval: {escape(one.reason or '')})"
    p = "" if one.p_value is None else f", p = {one.p_value:.3f}"
    return f"{text} (95% {_signed(one.low)} to {_signed(one.high)}{p})"


def _right(found: Comparison, one: HeadComparison, right: RightCalls) -> str:
    test = f"McNemar p = {right.p_value:.3f}" if right.p_value is not None else right.reason
    return (
        f"right calls of {one.n} {one.unit}: both {right.both}, only m{found.champion} "
        f"{right.only_champion}, only m{found.challenger} {right.only_challenger}, neither "
        f"{right.neither} ({escape(test or '')})"
    )


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _effect(one: Change) -> str:
    if one.truth is None:
        return ""
    return {one.before: "worse", one.after: "better"}.get(one.truth, "")


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
