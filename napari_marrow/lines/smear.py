"""What stands on the canvas beside a smear."""

from __future__ import annotations

from pathlib import PurePosixPath

from marrow.errors import printable
from marrow.records import Prediction, Smear
from napari_marrow.lines.flow import flowed

LONGEST_NAME = 60
"""Characters of a file's or a patient's name on the canvas."""
BETWEEN = " · "
HIDDEN = "blind reading: the model's answer is shown when all blind readers have read"
NO_ANSWER = "no model has answered yet"


def smear_words(smear: Smear) -> str:
    """The smear, its patient and its size."""
    parts = [_title(smear), f"{smear.width_px:,} x {smear.height_px:,} px"]
    if smear.pixel_size_um is None:
        parts.append("pixel size unknown: no scale bar")
    return flowed(parts, BETWEEN)


def answer_words(prediction: Prediction | None, is_hidden: bool) -> str:
    """The answers of the model, or why there is none."""
    if is_hidden:
        return HIDDEN
    if prediction is None:
        return NO_ANSWER
    heads = prediction.answer.heads
    said = [f"{one.head}: {one.call} {max(one.probabilities):.2f}" for one in heads]
    return flowed(said, BETWEEN)


def evidence_words(head: str, class_name: str) -> str:
    """What the heatmap is about."""
    return f"evidence for {head}: {class_name}"


def unread_words(smear: Smear, reason: str) -> str:
    """Which smear is not on the canvas, and why."""
    file = shorten(printable(PurePosixPath(smear.path).name), LONGEST_NAME)
    return f"{_title(smear)}\n{file} cannot be shown:\n{printable(reason)}"


def _title(smear: Smear) -> str:
    return f"{smear.name}{BETWEEN}{shorten(printable(smear.patient or 'no patient'), LONGEST_NAME)}"


def shorten(text: str, longest: int) -> str:
    """The text, its middle left out if it has more than `longest` characters."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
