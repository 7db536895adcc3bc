"""What a table shows: its columns, and the sign for nothing."""

from __future__ import annotations

from dataclasses import dataclass

NOTHING = "–"
"""What a table shows where there is no answer."""


@dataclass(frozen=True)
class Column:
    """One column of a table: its header and what the catalogue calls it when it sorts by it."""

    title: str
    sort_key: str | None = None
    is_number: bool = False
