"""Who reads, how far the readers agree, where they differ, and what was ever said of a smear."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from marrow.agreement import Agreement, Disagreement, Figure, PairAgreement
from marrow.catalogue.labels import Progress
from marrow.records import Label
from napari_marrow.lines.column import NOTHING, Column

WORKFLOW = (
    "Blind reading is a way of working and no access control: who can read the study's files "
    "can read all that is in them."
)
OTHERS = "others"
"""Column of those who are none of the blind readers."""
HISTORY_COLUMNS = (
    Column("when"),
    Column("reader"),
    Column("said"),
    Column("as"),
    Column("prediction"),
    Column("now"),
)


@dataclass(frozen=True)
class ReaderLine:
    """How far a reader has come."""

    name: str
    is_blind: bool
    is_you: bool
    read: int
    to_read: int


@dataclass(frozen=True)
class TextLine:
    """A row that says all that there is to say."""

    cells: tuple[str, ...]
    hint: str = ""


@dataclass(frozen=True)
class DisagreementLine:
    """A smear of which two readers or more say different things."""

    smear_id: int
    head: str
    cells: tuple[str, ...]
    hint: str = ""


@dataclass(frozen=True)
class PairReading:
    """Two readers: the answers of the first by those of the second."""

    title: str
    words: str
    """Kappa and the share of equal answers, with n, unit and interval."""
    columns: tuple[Column, ...]
    lines: tuple[TextLine, ...]


@dataclass(frozen=True)
class HeadReading:
    """What the readers make of one head."""

    head: str
    words: str
    """What was read, and the figures of all readers together."""
    pairs: tuple[PairReading, ...]
    columns: tuple[Column, ...]
    lines: tuple[DisagreementLine, ...]


def reader_line(one: Progress, you: str) -> ReaderLine:
    """A reader with his counts, which tell no answer."""
    return ReaderLine(
        one.reader, one.is_blind, one.reader == you, one.read, max(0, one.total - one.read)
    )


def blind_words(readers: Sequence[ReaderLine], hidden: int) -> str:
    """How much blind reading hides just now, and whom it waits for."""
    blind = [one for one in readers if one.is_blind]
    if not blind:
        return "Nobody reads blind: everybody sees all labels and predictions."
    names = _names([one.name for one in blind])
    if not hidden:
        return f"{names} read blind, and have read everything: all smears are open."
    waits = ", ".join(f"{one.name} has {one.to_read:,} to read" for one in blind if one.to_read)
    smears = "1 smear is" if hidden == 1 else f"{hidden:,} smears are"
    return (
        f"{names} read blind. {smears} hidden until each of them has read it: of these you see "
        f"only your own labels, and no prediction. {waits}."
    )


def head_reading(one: Agreement) -> HeadReading:
    """The figures of a head, its tables and its disagreements."""
    readers = one.readers
    has_others = any(set(it.answers) - set(readers) for it in one.disagreements)
    names = (*readers, "adjudicated", *((OTHERS,) if has_others else ()))
    columns = (Column("smear"), Column("patient"), *map(Column, names))
    return HeadReading(
        head=one.head,
        words="\n".join(_figure_lines(one)),
        pairs=tuple(_pair(one, pair) for pair in one.pairs),
        columns=columns,
        lines=tuple(_disagreement(one.head, readers, has_others, it) for it in one.disagreements),
    )


def figure_words(figure: Figure) -> str:
    """`0.712 (95% 0.551 to 0.873), n = 40 patients`, or why there is no figure or no interval."""
    if figure.value is None:
        return f"not estimable ({figure.reason})"
    ends = f"no interval: {figure.reason}"
    if figure.low is not None and figure.high is not None:
        ends = f"95% {figure.low:.3f} to {figure.high:.3f}"
    return f"{figure.value:.3f} ({ends}), n = {figure.n:,} {figure.unit}"


def history_line(one: Label) -> TextLine:
    """One label: when, who, what, whether a prediction had been seen, and whether it stands."""
    standing = "stands" if one.superseded_at is None else "superseded"
    cells = (
        time.strftime("%d %b %Y %H:%M", time.localtime(one.at)),
        one.reader,
        f"{one.head}: {one.answer}",
        "adjudicated" if one.is_adjudicated else "reader",
        "seen" if one.seen_prediction else "not seen",
        standing,
    )
    return TextLine(cells)


def _names(names: Sequence[str]) -> str:
    """`A, B and C`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _figure_lines(one: Agreement) -> list[str]:
    patients = f"{one.patients:,} {'patient' if one.patients == 1 else 'patients'}"
    lines = [f"{one.smears:,} smears of {patients} have an answer of {_names(one.readers)}."]
    if not any(pair.smears for pair in one.pairs):
        return lines
    if one.fleiss is not None:
        lines.append(f"Fleiss' kappa of all {figure_words(one.fleiss)}")
    unsure = ", ".join(
        f"{name} {count:,} of {one.answered[name]:,}" for name, count in one.unsure.items() if count
    )
    if unsure:
        lines.append(f"unsure, which is an answer of its own here: {unsure}")
    return lines


def _pair(one: Agreement, pair: PairAgreement) -> PairReading:
    first, second = pair.readers
    columns = Column(f"{first} ↓  {second} →"), *(Column(name, None, True) for name in one.answers)
    rows = zip(one.answers, pair.counts, strict=True)
    lines = tuple(
        TextLine((name, *(f"{count:,}" for count in counts)), f"{first} says {name}")
        for name, counts in rows
    )
    words = (
        f"Cohen's kappa {figure_words(pair.kappa)}\nequal answers {figure_words(pair.equal)}\n"
        f"{pair.smears:,} smears by answer, {first} down, {second} across:"
    )
    return PairReading(f"{first} and {second}", words if pair.smears else "", columns, lines)


def _disagreement(
    head: str, readers: Sequence[str], has_others: bool, it: Disagreement
) -> DisagreementLine:
    answers = [it.answers.get(name, NOTHING) for name in readers]
    answers.append(it.adjudicated or NOTHING)
    if has_others:
        others = (f"{name} {said}" for name, said in it.answers.items() if name not in readers)
        answers.append(", ".join(others) or NOTHING)
    return DisagreementLine(it.smear_id, head, (it.smear, it.patient, *answers))
