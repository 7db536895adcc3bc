"""Text that a spreadsheet shows and never runs."""

from __future__ import annotations

import re

NOTICE = "research use only"
HIDDEN = "hidden: blind reading"
"""Stands among the flags of a smear whose prediction nobody may see yet."""
NO_CLASS = "(none)"
"""A conformal set without a class: nobody in the calibration set looked like this."""

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
"""How a text begins that a spreadsheet would run; full-width signs count, blanks are skipped."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


def harmless(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would run it as a formula.

    A number with a sign stays a number.

    Source: OWASP, CSV Injection.
    """
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text
