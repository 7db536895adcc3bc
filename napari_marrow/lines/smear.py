"""What stands on the canvas beside a smear."""

from __future__ import annotations

from marrow.records import Prediction, Smear


def smear_words(smear: Smear, prediction: Prediction | None) -> str:
    """What stands on the canvas: the smear, its size, and a line per answer of the model."""
    size = f"{smear.width_px:,} x {smear.height_px:,} px"
    if smear.pixel_size_um is None:
        size += ", pixel size unknown"
    lines = [f"{smear.name} · {smear.patient or 'no patient'}", size]
    if prediction is not None:
        lines += [
            f"{answer.head}: {answer.call} {max(answer.probabilities):.2f}"
            for answer in prediction.answer.heads
        ]
    return "\n".join(lines)
