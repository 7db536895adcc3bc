"""Short words side by side on the canvas, in as few lines as there is room for."""

from __future__ import annotations

from collections.abc import Sequence

LINE_CHARACTERS = 52
"""Of a line on the canvas, which may be no wider than 550 px beside two docks."""


def flowed(parts: Sequence[str], between: str) -> str:
    """The parts in their order, `between` two of one line; a longer part has a line of its own."""
    lines = list(parts[:1])
    for part in parts[1:]:
        if len(lines[-1]) + len(between) + len(part) <= LINE_CHARACTERS:
            lines[-1] += f"{between}{part}"
        else:
            lines.append(part)
    return "\n".join(lines)
