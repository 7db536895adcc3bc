"""What is said of one row of the Results table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marrow.calibration import Calibration, calibration_of
from marrow.records import HeadAnswer, Label, ModelRecord, Prediction, Smear
from marrow.schemes import Scheme
from napari_marrow.lines.results import ResultLine, flag_words, path_end


@dataclass(frozen=True)
class Bar:
    """The probability of one class."""

    class_name: str
    p: float
    """0 to 1."""
    is_called: bool
    is_possible: bool | None
    """Whether it cannot be ruled out; None where the model cannot say."""


@dataclass(frozen=True)
class HeadBars:
    """The answer to one head."""

    head: str
    bars: tuple[Bar, ...]
    words: str
    """Which classes cannot be ruled out; empty where the model cannot say."""


@dataclass(frozen=True)
class ResultDetail:
    """One row of the Results table, in full."""

    smear_id: int
    prediction_id: int | None
    title: str
    place: str
    heads: tuple[HeadBars, ...]
    flags: tuple[str, ...]
    """A sentence for each."""
    labels: tuple[str, ...]
    made: str
    """By which model, and when; why there is no answer."""
    calls: Mapping[str, str]
    """The called class of each head that a reader is asked; empty without an answer."""
    is_flagged: bool = False
    """Whether a flag stands that the person may see."""


def asked_calls(scheme: Scheme, calls: Mapping[str, str]) -> dict[str, str]:
    """Of the calls of all heads, those of the heads that a reader is asked."""
    return {head.name: calls[head.name] for head in scheme.asked if head.name in calls}


def coming_detail(scheme: Scheme, line: ResultLine) -> ResultDetail:
    """What the table itself says of a row, until all of it was read."""
    name, patient, *_cells = line.cells
    return ResultDetail(
        smear_id=line.smear_id,
        prediction_id=line.prediction_id,
        title=f"{name} · {patient}",
        place="",
        heads=(),
        flags=(),
        labels=tuple(f"{head}: {answer}" for head, answer in line.label.items()),
        made=f"Failed: {line.error}" if line.error else "reading ...",
        calls=asked_calls(scheme, line.calls),
    )


def result_detail(
    scheme: Scheme,
    smear: Smear,
    prediction: Prediction | None,
    model: ModelRecord | None,
    given: Sequence[Label],
    error: str | None,
    is_flagged: bool,
) -> ResultDetail:
    """All that may be seen of a smear's answer, in words.

    Parameters
    ----------
    given : sequence of Label
        Those that the person may see.
    error : str or None
        Why the smear has no answer.
    is_flagged : bool
        Whether a flag stands that the person may see.
    """
    calibration = None if model is None else calibration_of(model.card)
    answers = () if prediction is None else prediction.answer.heads
    calls = {} if prediction is None else prediction.answer.calls
    whose = " · ".join(filter(None, (smear.patient or "no patient", smear.site)))
    return ResultDetail(
        smear_id=smear.id,
        prediction_id=None if prediction is None else prediction.id,
        title=f"{smear.name} · {whose}",
        place=f"{smear.root}: {path_end(smear.path)}",
        heads=tuple(_head_bars(scheme, answer, calibration) for answer in answers),
        flags=() if prediction is None else tuple(map(flag_words, prediction.answer.flags)),
        labels=tuple(_label_words(one) for one in given if one.superseded_at is None),
        made=_made(prediction, model, error),
        calls=asked_calls(scheme, calls),
        is_flagged=is_flagged,
    )


def _head_bars(scheme: Scheme, answer: HeadAnswer, calibration: Calibration | None) -> HeadBars:
    head = scheme.head(answer.head)
    possible = None
    if calibration is not None and answer.head in calibration.heads:
        possible = calibration.possible(head, answer.probabilities)
    bars = tuple(
        Bar(name, p, name == answer.call, None if possible is None else name in possible)
        for name, p in zip(head.classes, answer.probabilities, strict=True)
    )
    words = ""
    if possible is not None and calibration is not None:
        named = ", ".join(possible) or "none: no patient of the calibration looked like this"
        unit = "for a patient's mean" if scheme.unit == "patient" else "for an image"
        words = f"not ruled out ({calibration.confidence:.0%}, {unit}): {named}"
    return HeadBars(head.name, bars, words)


def _label_words(label: Label) -> str:
    how = "adjudicated by " if label.is_adjudicated else ""
    seen = ", prediction seen" if label.seen_prediction else ""
    return f"{label.head}: {label.answer} ({how}{label.reader}, {_when(label.at)}{seen})"


def _made(prediction: Prediction | None, model: ModelRecord | None, error: str | None) -> str:
    if prediction is None or model is None:
        return f"Failed: {error}" if error else "No answer yet."
    champion = " (champion)" if model.is_champion else ""
    return f"{model.name}{champion} · {prediction.precision} · {_when(prediction.at)}"


def _when(at: float) -> str:
    return time.strftime("%d %b %Y %H:%M", time.localtime(at))
