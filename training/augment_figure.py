"""The figure of `marrow augment`: a smear, and beside it what each method makes of it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from training.augment import AFFINE, SEED8, Copy, Seed8, affine_draw, make_copies
from training.gentle import gentle_draw
from training.zca import ConvZCA, Whitening

SHEET = "sheet.png"
NOTICE = "Research use only."
_NAMES: Mapping[str, str] = {
    "original": "Original",
    "rotation": "Rotation",
    "width-shift": "Width shift",
    "height-shift": "Height shift",
    "shear": "Shear",
    "zoom": "Zoom",
    "horizontal-flip": "Horizontal flip",
    "vertical-flip": "Vertical flip",
    "zca": "ZCA whitening",
    "convzca": "ConvZCA whitening",
    "gentle": "Gentle",
}
_ACROSS = 4
_PANEL_INCH = 1.72
_WIDTH_INCH = 7.2
"""Two columns of a journal, 183 mm."""
_DPI = 300
_CAPTION_LETTERS = 148
"""Of a line at 6.5 points, so that it fills the width."""


class Panel(NamedTuple):
    """One picture of the figure."""

    copy: Copy
    title: str
    """The method."""
    detail: str
    """What it was drawn with; may be empty."""
    pixels: torch.Tensor
    """uint8 (3, S, S)."""

    @property
    def file(self) -> str:
        """Name of its own file: `shear.png`, `gentle-2.png`."""
        number = f"-{self.copy.number + 1}" if self.copy.method == "gentle" else ""
        return f"{self.copy.method}{number}.png"


def panels_of(
    image: torch.Tensor,
    place: str,
    seed: int,
    whitening: Whitening,
    local: ConvZCA,
    ranges: Seed8 = SEED8,
) -> list[Panel]:
    """The original, the eight methods, ConvZCA, and two gentle copies.

    Parameters
    ----------
    image : uint8, (3, S, S)
    place : str
        As in `make_copies`.
    whitening, local
        Fitted on other smears, or on this one among others.
    """
    methods = [*_NAMES, "gentle"]
    copies = [Copy(method, methods[:at].count(method)) for at, method in enumerate(methods)]
    panels = []
    for copy in copies:
        fitted = local if copy.method == "convzca" else whitening
        made = make_copies(image[None], [place], [copy], seed, fitted, ranges)[0]
        detail = _detail(copy, place, seed, ranges)
        panels.append(Panel(copy, _NAMES[copy.method], detail, made))
    return panels


def _detail(copy: Copy, place: str, seed: int, ranges: Seed8) -> str:
    if copy.method == "gentle":
        drawn = gentle_draw(seed, place, copy.number)
        mirrored = ", mirrored" if drawn.is_mirrored else ""
        turns = 90 * drawn.quarter_turns
        return _typeset(f"{turns}°, then {drawn.degrees:+.1f}°; ×{1 / drawn.zoom:.2f}{mirrored}")
    if copy.method not in AFFINE:
        return ""
    parameters = affine_draw(seed, place, copy, ranges)
    if "zoom_rows" in parameters:
        rows, columns = (1 / parameters[name] for name in ("zoom_rows", "zoom_columns"))
        return f"×{columns:.2f} wide, ×{rows:.2f} high"
    ((name, value),) = parameters.items()
    if name.endswith("degrees"):
        return _typeset(f"{value:+.1f}°")
    # The share is of where is read; the picture itself moves the other way.
    towards = {"columns": ("left", "right"), "rows": ("up", "down")}[name][value < 0]
    return f"{abs(value):.1%} {towards}"


def _typeset(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def write_figure(panels: Sequence[Panel], caption: str, folder: Path) -> list[Path]:
    """One PNG of each panel, pixel by pixel, and the sheet of all; their paths, the sheet last.

    Each file says in its text chunk what it shows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for panel in panels:
        said = f"{panel.title} {panel.detail}".strip()
        text = PngInfo()
        text.add_text("Description", f"{said}. {caption}")
        path = folder / panel.file
        Image.fromarray(panel.pixels.permute(1, 2, 0).contiguous().numpy()).save(path, pnginfo=text)
        written.append(path)
    written.append(folder / SHEET)
    _draw_sheet(panels, caption, folder / SHEET)
    return written


def _draw_sheet(panels: Sequence[Panel], caption: str, target: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow: for this figure alone
    from matplotlib.figure import Figure

    lines = textwrap.wrap(caption, _CAPTION_LETTERS)
    down = -(-len(panels) // _ACROSS)
    title_inch, caption_inch = 0.34, 0.14 * len(lines) + 0.14
    height_inch = down * (_PANEL_INCH + title_inch) + caption_inch + 0.04
    figure = Figure(figsize=(_WIDTH_INCH, height_inch), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    gap = (_WIDTH_INCH - _ACROSS * _PANEL_INCH) / (_ACROSS + 1)
    for number, panel in enumerate(panels):
        row, column = divmod(number, _ACROSS)
        left = gap + column * (_PANEL_INCH + gap)
        top = height_inch - 0.04 - row * (_PANEL_INCH + title_inch) - title_inch
        axes = figure.add_axes(
            (
                left / _WIDTH_INCH,
                (top - _PANEL_INCH) / height_inch,
                _PANEL_INCH / _WIDTH_INCH,
                _PANEL_INCH / height_inch,
            )
        )
        axes.imshow(panel.pixels.permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_axis_off()
        at = left / _WIDTH_INCH
        letter = "abcdefghijklmnopqrstuvwxyz"[number]
        figure.text(at, (top + 0.17) / height_inch, letter, size=8, weight="bold")
        figure.text(at + 0.13 / _WIDTH_INCH, (top + 0.17) / height_inch, panel.title, size=7.5)
        figure.text(
            at + 0.13 / _WIDTH_INCH, (top + 0.055) / height_inch, panel.detail, size=6, color="0.35"
        )
    figure.text(
        gap / _WIDTH_INCH,
        (caption_inch - 0.08) / height_inch,
        "\n".join(lines),
        size=6.5,
        va="top",
        linespacing=1.35,
    )
    figure.savefig(target, metadata={"Description": caption})
