"""Rows of the Results table, and what is said above it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from marrow.catalogue.predictions import ResultRow
from marrow.catalogue.worklist import RANKS
from marrow.records import Job, ModelRecord
from marrow.schemes import Head, Scheme
from napari_marrow.lines.column import NOTHING, Column

MEANINGS: Mapping[str, str] = {
    "heads-disagree": "its answers contradict one another",
    "unsure": "the probability of its call is below the model's threshold for this class",
    "unlike-training": "no smear of the training set looks like this one",
    "few-tiles": "little usable area was found on the slide",
}
"""What a model's flags say of an answer."""
LONGEST_PATH = 200
"""Characters of a path in a tooltip."""
FIRST_CALL = 2
"""Column of the first head's call."""
LABEL = -2
"""Column of the label, from the right."""
FLAGS = (*RANKS, *(flag for flag in MEANINGS if flag not in RANKS))


@dataclass(frozen=True)
class ResultLine:
    """A smear in the Results table, with what is needed to open it."""

    smear_id: int
    prediction_id: int | None
    cells: tuple[str, ...]
    calls: Mapping[str, str]
    """The called class of each head; empty where there is an error."""
    label: Mapping[str, str] = field(default_factory=dict)
    """The answer that counts, by head."""
    error: str | None = None
    hint: str = ""
    """All of it, where a cell is too narrow."""

    @property
    def key(self) -> tuple[int, int | None]:
        """What makes the row this one."""
        return self.smear_id, self.prediction_id


@dataclass(frozen=True)
class Choice:
    """A job or a model that the table may be narrowed to."""

    id: int
    words: str


@dataclass(frozen=True)
class ResultChoices:
    """What the lists above the table offer, the newest first."""

    jobs: tuple[Choice, ...] = ()
    models: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class TableState:
    """What the line above the table is made from."""

    total: int
    is_counted: bool = True
    page: int | None = None
    """Of the first row on the screen, from 1; None: nothing is on the screen."""
    reading: range | None = None
    """Rows that are being read."""
    lost: str | None = None
    """Why the catalogue does not answer."""
    hidden: bool = False
    """Whether blind reading hides rows."""


def result_columns(scheme: Scheme) -> tuple[Column, ...]:
    """Smear, patient; per head its call and its probabilities; flags, label, model.

    A head with two classes is a question: `MDS?`, and one probability, that of its positive class.
    """
    columns = [Column("smear", "smear"), Column("patient", "patient")]
    for head in scheme.heads:
        title = head.name if head.positive is None else f"{head.positive}?"
        columns.append(Column(title, f"call:{head.name}"))
        columns += [
            Column(f"p {name}" if head.positive is None else "p", f"p:{head.name}:{name}", True)
            for name in _shown_classes(head)
        ]
    return (*columns, Column("flags", "flags"), Column("label"), Column("model", "model"))


def result_examples(scheme: Scheme) -> tuple[str, ...]:
    """A long text for each column, to make it wide enough."""
    examples = ["S000000", "SYN-2022-0000"]
    for head in scheme.heads:
        examples += [max(head.classes, key=len), *("0.000" for _name in _shown_classes(head))]
    labels = [max(head.classes, key=len) for head in scheme.asked if not head.asked_when]
    return (*examples, "heads-disagree", ", ".join(labels), "m000")


def result_line(scheme: Scheme, row: ResultRow) -> ResultLine:
    """One finished smear; an error stands where the first call would be."""
    answers = () if row.prediction is None else row.prediction.answer.heads
    by_head = {answer.head: answer for answer in answers}
    cells = [row.smear.name, row.smear.patient or NOTHING]
    for head in scheme.heads:
        answer = by_head.get(head.name)
        shown = _shown_classes(head)
        if answer is None:
            cells += [NOTHING] * (1 + len(shown))
        else:
            places = map(head.classes.index, shown)
            cells += [answer.call, *(f"{answer.probabilities[place]:.3f}" for place in places)]
    if row.error is not None:
        cells[FIRST_CALL] = f"failed: {row.error}"
    flags = () if row.prediction is None else row.prediction.answer.flags
    label = _label_words(scheme, row.label)
    return ResultLine(
        smear_id=row.smear.id,
        prediction_id=None if row.prediction is None else row.prediction.id,
        cells=(*cells, ", ".join(flags), label, row.model_name or NOTHING),
        calls={} if row.prediction is None else row.prediction.answer.calls,
        label=row.label,
        error=row.error,
        hint="\n".join(
            [path_end(row.smear.path), *([row.error] if row.error else map(flag_words, flags))]
        ),
    )


def path_end(path: str) -> str:
    """The end of a path, as much as a tooltip holds."""
    return path if len(path) <= LONGEST_PATH else f"…{path[-LONGEST_PATH:]}"


def with_answers(scheme: Scheme, line: ResultLine, answers: Mapping[str, str]) -> ResultLine:
    """The row with a reader's answers, "" for one that was taken back, before they are read."""
    label = {head: said for head, said in {**line.label, **answers}.items() if said}
    cells = list(line.cells)
    cells[LABEL] = _label_words(scheme, label)
    return replace(line, label=label, cells=tuple(cells))


def flag_words(flag: str) -> str:
    """`unsure: the probability of ...`; a flag of a later version says its name only."""
    meaning = MEANINGS.get(flag)
    return flag if meaning is None else f"{flag}: {meaning}"


def job_choice(job: Job) -> Choice:
    """`job 12 · 400 smears · 23 Nov 10:40`."""
    when = time.strftime("%d %b %H:%M", time.localtime(job.created_at))
    return Choice(job.id, f"job {job.id} · {job.total:,} smears · {when}")


def model_choice(model: ModelRecord) -> Choice:
    """`m17 (champion)`."""
    return Choice(model.id, f"{model.name} (champion)" if model.is_champion else model.name)


def table_words(state: TableState) -> tuple[str, bool]:
    """What stands above the table, and whether somebody should look."""
    if state.lost is not None:
        return f"{state.lost} Asking again every second; what is shown may be old.", True
    if state.total == 0:
        words = "reading ..." if state.reading is not None else "no results"
    else:
        rows = f"{state.total:,} {'row' if state.total == 1 else 'rows'}"
        words = rows if state.is_counted else f"{state.total:,} rows and more"
        if state.page is not None:
            words += f", page {state.page:,}"
        if state.reading is not None:
            words += f" · reading rows {state.reading.start + 1:,} to {state.reading.stop:,} ..."
    return f"{words} · of what all blind readers have read" if state.hidden else words, False


def _label_words(scheme: Scheme, label: Mapping[str, str]) -> str:
    return ", ".join(label[one.name] for one in scheme.asked if one.name in label) or NOTHING


def _shown_classes(head: Head) -> tuple[str, ...]:
    return head.classes if head.positive is None else (head.positive,)
