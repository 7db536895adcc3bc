"""The wrong calls, the surest first, each with the places that spoke for the call."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from marrow.paper_tables import side_text
from training.report.evidence import Evidence
from training.report.grid import Grid
from training.report.images import Eye, Opened
from training.report.parts import Gallery, Missing, Part, Picture

AT_MOST = 24
_WIDTH_PX = 224
_QUALITY = 85


@dataclass(frozen=True)
class Wrong:
    """A wrong call.

    Attributes
    ----------
    gap : float
        Probability of the call minus that of the readers' answer, over the counted row.
    smear : int
        Of the row's smears the one that speaks most for the call.
    """

    gap: float
    smear: int
    side: str
    answer: str
    call: str
    probability: float
    rest: int
    """Further smears of the same patient behind the call."""
    is_hidden: bool
    """Whether not all blind readers have read all of these smears."""


def gallery_parts(grid: Grid, eye: Eye | None) -> list[Part]:
    """At most 24 wrong calls of the primary head, of the sides that were held back.

    What blind reading hides is counted and not shown.

    Parameters
    ----------
    eye : Eye or None
        None: the model's files cannot be read here.
    """
    evidence = grid.evidence
    found = wrong_calls(grid)
    if found is None:
        return [
            Missing("Wrong calls: no held-back side of this model was scored with its answers.")
        ]
    if not found:
        return ["Not one call of the primary head was wrong on the sides that were held back."]
    seen = [one for one in found if not one.is_hidden]
    if not seen:
        return [
            Missing(
                f"{len(found)} wrong calls cannot be shown before all blind readers have read "
                "these smears; `marrow readers` shows how far they are."
            )
        ]
    if eye is None:
        return [
            Missing(
                f"{len(found)} wrong calls cannot be shown, because the model's files are not in "
                "this study's store; import the model with `marrow models import`."
            )
        ]
    shown = seen[:AT_MOST]
    opened = {one.smear.id: one for one in eye.open([evidence.smears[w.smear] for w in shown])}
    pictures = [_picture(evidence, one, opened[one.smear]) for one in shown if one.smear in opened]
    unread = len(shown) - len(pictures)
    if not pictures:
        return [
            Missing(
                f"None of the {len(found)} wrongly called smears can be opened on this machine; "
                "set MARROW_ROOTS, or import them with `marrow import --copy`."
            )
        ]
    note = f" {unread} more could not be opened on this machine." if unread else ""
    hidden = len(found) - len(seen)
    note += f" {hidden} more are hidden: blind reading." if hidden else ""
    head = evidence.scheme.primary
    gallery = Gallery(
        title=f"Wrong calls of {head}: {len(pictures)} of {len(found)}.",
        caption="Worst first: by how much more probability the wrong class had than the readers' "
        "answer. Left: the image as the network sees it; right: where the evidence for the called "
        f"class lies (yellow for, blue against, both on the scale of the image's own map).{note}",
        pictures=tuple(pictures),
    )
    return [gallery]


def wrong_calls(grid: Grid) -> list[Wrong] | None:
    """All wrong calls of the primary head on held-back sides; None where none was scored."""
    evidence = grid.evidence
    model, found, is_scored = evidence.model, [], False
    for side in grid.sides([model]):
        rows = None
        if side not in ("train", "out-of-fold", "seed2022"):
            rows = evidence.rows(model, side, evidence.scheme.primary)
        if rows is None:
            continue
        is_scored = True
        scoring = model.scoring(side)
        assert scoring is not None  # noqa: S101 -- the side has rows
        for row in np.flatnonzero(~rows.is_right):
            call, truth = int(rows.called[row]), int(rows.truth[row])
            said = rows.probabilities[row]
            smears = rows.smears[row]
            head = rows.head
            worst = max(smears, key=lambda one: scoring.answers[one][head.name][call])
            found.append(
                Wrong(
                    float(said[call] - said[truth]),
                    worst,
                    side,
                    head.classes[truth],
                    head.classes[call],
                    float(said[call]),
                    len(smears) - 1,
                    not evidence.hidden.isdisjoint(smears),
                )
            )
    found.sort(key=lambda one: (-one.gap, one.smear))
    return found if is_scored else None


def _picture(evidence: Evidence, wrong: Wrong, opened: Opened) -> Picture:
    smear = opened.smear
    scoring = evidence.model.scoring(wrong.side)
    flags = () if scoring is None else scoring.figures.get("flags", {}).get(str(smear.id), ())
    site = f", site {smear.site}" if smear.site else ""
    more = f" (and {wrong.rest} more smears of the patient)" if wrong.rest else ""
    return Picture(
        _jpeg(opened.pixels),
        _jpeg(overlay(opened.pixels, opened.maps[_place(evidence, wrong.call)])),
        (
            f"{smear.name}{more}, {side_text(wrong.side)}{site}",
            f"readers: {wrong.answer}; model: {wrong.call} with {wrong.probability:.2f}",
            f"flags: {', '.join(flags) or 'none'}",
        ),
    )


def _place(evidence: Evidence, call: str) -> int:
    """Index of a class of the primary head among the classes of all heads."""
    place = 0
    for head in evidence.scheme.heads:
        if head.name == evidence.scheme.primary:
            return place + head.classes.index(call)
        place += len(head.classes)
    raise KeyError(evidence.scheme.primary)


def overlay(pixels: npt.NDArray[np.uint8], evidence: npt.NDArray[np.float32]) -> Any:
    """The image in grey with the evidence over it, uint8 (S, S, 3).

    Parameters
    ----------
    pixels : uint8 (S, S, 3)
    evidence : float (h, w)
        Above 0 for the class, below against it; drawn smoothly between the cells' centres.
    """
    size = pixels.shape[1], pixels.shape[0]
    scale = max(float(np.abs(evidence).max()), 1e-9)
    small = Image.fromarray((evidence / scale).astype(np.float32))
    smooth = np.asarray(small.resize(size, Image.Resampling.BICUBIC)).clip(-1, 1)[..., None]
    grey = pixels.mean(axis=2, keepdims=True) * 0.75 + 45
    colour = np.where(smooth > 0, np.array([240.0, 200, 0]), np.array([0.0, 90, 200]))
    share = 0.6 * np.abs(smooth)
    mixed = grey * (1 - share) + colour * share
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8)


def _jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(pixels).resize((_WIDTH_PX, _WIDTH_PX), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
