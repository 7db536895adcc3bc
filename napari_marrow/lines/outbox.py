"""Words for what is on its way to the catalogue."""

from __future__ import annotations


def entries_text(count: int) -> str:
    """`3 labels or regions`."""
    return "1 label or region" if count == 1 else f"{count:,} labels or regions"


def unsent_text(unsent: int, trouble: str) -> str:
    """`3 labels or regions not sent yet (database is locked): ...`."""
    why = f" ({trouble})" if trouble else ""
    return (
        f"{entries_text(unsent)} not sent yet{why}: stored on this machine, and tried again by "
        "itself."
    )
