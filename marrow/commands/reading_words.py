"""Readers, their agreement and a smear's labels in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from marrow.agreement import Agreement, Disagreement, Figure, PairAgreement
from marrow.catalogue.labels import Progress
from marrow.catalogue.sight import Sight
from marrow.commands.job_words import hidden_text
from marrow.records import Label

_SHOWN = 30
"""Disagreements that are listed one by one; `--json` lists all."""


def readers_text(sight: Sight, progress: Sequence[Progress], hidden: int) -> str:
    """Who reads blind, and a line for each reader."""
    lines = ["Nobody reads blind: everything is open"]
    if sight.blind:
        lines = [f"Blind readers: {', '.join(sight.blind)}", f"{hidden} smears are not open yet"]
    for one in progress:
        marks = ["blind"] * one.is_blind + ["you"] * (one.reader == sight.reader)
        mark = f" ({', '.join(marks)})" if marks else ""
        lines.append(f"  {one.reader}{mark}: has read {one.read} of {one.total} smears")
    return "\n".join(lines)


def agreement_text(found: Sequence[Agreement], hidden: int) -> str:
    """Each head's figures, tables and disagreements."""
    lines = [line for one in found for line in _head_lines(one)]
    return "\n".join([*lines, hidden_text(hidden)] if hidden else lines)


def _head_lines(one: Agreement) -> list[str]:
    lines = [
        f"{one.head}: {one.smears} smears of {one.patients} patients have an answer of "
        f"{', '.join(one.readers)}"
    ]
    if any(pair.smears for pair in one.pairs):
        lines += _figure_lines(one)
    if one.disagreements:
        lines.append(f"  {len(one.disagreements)} smears are answered differently:")
    lines += [f"    {_difference_text(it)}" for it in one.disagreements[:_SHOWN]]
    if len(one.disagreements) > _SHOWN:
        lines.append(f"    ... and {len(one.disagreements) - _SHOWN} more (--json lists all)")
    return lines


def _figure_lines(one: Agreement) -> list[str]:
    lines = [] if one.fleiss is None else [f"  Fleiss' kappa of all {figure_text(one.fleiss)}"]
    for pair in one.pairs:
        lines += _pair_lines(one, pair)
    unsure = ", ".join(
        f"{name} {count} of {one.answered[name]}" for name, count in one.unsure.items() if count
    )
    if unsure:
        lines.append(f"  unsure, which is an answer of its own here: {unsure}")
    return lines


def _pair_lines(one: Agreement, pair: PairAgreement) -> list[str]:
    first, second = pair.readers
    used = [
        place
        for place in range(len(one.answers))
        if any(pair.counts[place]) or any(row[place] for row in pair.counts)
    ]
    names = [one.answers[place] for place in used]
    rows = [[one.answers[place], *(str(pair.counts[place][at]) for at in used)] for place in used]
    table = [["", *names], *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        f"  {first} and {second}, {pair.smears} smears: Cohen's kappa {figure_text(pair.kappa)}",
        f"    equal answers {figure_text(pair.equal)}",
        f"    smears by answer, {first} down, {second} across:",
        *(
            "      " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in table
        ),
    ]


def figure_text(figure: Figure) -> str:
    """`0.712 (0.551-0.873), n = 40 patients`."""
    if figure.value is None:
        return f"not estimable ({figure.reason})"
    ends = f"no interval: {figure.reason}"
    if figure.low is not None and figure.high is not None:
        ends = f"{figure.low:.3f}-{figure.high:.3f}"
    return f"{figure.value:.3f} ({ends}), n = {figure.n} {figure.unit}"


def _difference_text(one: Disagreement) -> str:
    said = ", ".join(f"{name} {answer}" for name, answer in one.answers.items())
    decided = f"; adjudicated: {one.adjudicated}" if one.adjudicated else ""
    return f"{one.smear} of {one.patient}: {said}{decided}"


def history_text(smear_id: int, found: Sequence[Label], is_hidden: bool) -> str:
    """A line a label: when, who, what, and whether it still stands."""
    lines = [f"S{smear_id:06d}: {len(found)} labels"]
    for one in found:
        when = datetime.fromtimestamp(one.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        notes = ["adjudicated"] * one.is_adjudicated
        notes += ["prediction seen" if one.seen_prediction else "blind"]
        notes += ["superseded"] * (one.superseded_at is not None)
        lines.append(f"  {when}  {one.reader}  {one.head} {one.answer}  ({', '.join(notes)})")
    if is_hidden:
        lines.append("Others' labels are hidden: not all blind readers have read this smear")
    return "\n".join(lines)
