"""How plots are drawn: one restrained style, the same bytes for the same figures."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from training.report.parts import Plot

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart by people with any colour vision, and by their lightness in print.

Source: Okabe and Ito 2008, Color Universal Design (yellow left out: too light on paper)."""

DASHES = ("-", "--", "-.", ":")
"""A second sign beside the colour, for prints in grey."""

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.labelcolor": "#1a1a1a",
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    # Text as outlines: a reader without the font sees the same page.
    "svg.fonttype": "path",
    # Names of clip paths come from this salt and not from the clock.
    "svg.hashsalt": "napari-marrow",
}

PANEL_IN = 2.5
"""Edge of a square panel, in inches."""


def plot(
    key: str,
    title: str,
    caption: str,
    size_in: tuple[float, float],
    draw: Callable[[Any], None],
    banner: str = "",
) -> Plot:
    """Draw a figure and keep it as SVG and PNG.

    Parameters
    ----------
    size_in : (width, height) in inches
    draw : callable
        Is given an empty matplotlib Figure.
    """
    # matplotlib takes half a second to import: not for every `marrow --help`.
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}):
        figure = Figure(figsize=size_in, layout="constrained")
        draw(figure)
        # Placed once for both forms: the layout takes as long as the drawing.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        svg, png = io.BytesIO(), io.BytesIO()
        # Without the date, so that the same figures give the same bytes.
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", metadata={"Software": None})
    return Plot(key, title, caption, svg.getvalue(), png.getvalue(), banner)


def panels(figure: Any, count: int, columns: int | None = None) -> list[Any]:
    """`count` axes in rows of at most `columns` (None: 3, or 4 of 4), in reading order."""
    columns = min(columns or (4 if count == 4 else 3), count)
    rows = -(-count // columns)
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for empty in grid[count:]:
        empty.set_visible(False)
    return list(grid[:count])


def size_of(count: int, columns: int | None = None, extra_in: float = 0.35) -> tuple[float, float]:
    """Inches of a figure with `count` square panels, as `panels` places them."""
    width = min(columns or (4 if count == 4 else 3), count)
    return (width * (PANEL_IN + 0.25), -(-count // width) * (PANEL_IN + extra_in))


def unit_square(axes: Any, x: str, y: str) -> None:
    """Both axes from 0 to 1, a square, with a little air so that lines at 0 and 1 show."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
    axes.set_aspect("equal")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
