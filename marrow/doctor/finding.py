"""One thing that was looked at."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """What was looked at, what was found, and what to do unless all is well.

    A remedy of something that is well says what else there could be. No finding holds a
    password or names a patient.
    """

    is_well: bool
    what: str
    found: str
    remedy: str = ""


def well(what: str, found: str, remedy: str = "") -> Finding:
    """A thing as it should be."""
    return Finding(True, what, found, remedy)


def ill(what: str, found: str, remedy: str) -> Finding:
    """A thing that needs a hand."""
    return Finding(False, what, found, remedy)
