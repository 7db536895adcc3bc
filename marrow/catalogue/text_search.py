"""Smears by a part of their path, of their patient, or of their name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    column,
    or_,
    select,
    table,
    true,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from marrow.catalogue.schema import smear

TRIGRAM = 3
_MOST_TRIGRAMS = 14
"""Of a longer text, its beginning chooses; `holds` reads the rest."""
_smear_text = table("smear_text", column("rowid"), column("smear_text"))


class _Contains(FunctionElement[bool]):
    """Whether a text holds a pattern of LIKE, in either case; `/` escapes.

    SQLAlchemy's `icontains` writes each text in small letters first: of the 100,000 smears of a
    night that takes as long as all the rest of the search.
    """

    type = Boolean()
    inherit_cache = True


@compiles(_Contains)
def _contains(element: _Contains, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite's LIKE knows no other than either case (of ASCII letters).
    like = "LIKE" if compiler.dialect.name == "sqlite" else "ILIKE"
    text, pattern = (compiler.process(one, **options) for one in element.clauses)
    return f"({text} {like} {pattern} ESCAPE '/')"


def holds(who: Any, asked: str) -> ColumnElement[bool]:
    """Whether the path, the patient or the name (S000148) of `who`, a smear, holds this text."""
    escaped = asked.replace("/", "//").replace("%", "/%").replace("_", "/_")
    terms = [_Contains(one, f"%{escaped}%") for one in (who.c.path, who.c.patient)]
    number = smear_number(asked)
    return or_(*terms) if number is None else or_(*terms, who.c.id == number)


def may_hold(connection: Connection, smear_id: Any, asked: str) -> ColumnElement[bool]:
    """True of every smear that holds this text, and of few others; quick, where `holds` reads
    each path. Always true of a short text, and on PostgreSQL, which reads a million in 0.5 s.
    """
    if connection.dialect.name != "sqlite" or len(asked) < TRIGRAM:
        return true()
    # Side by side, and the last one: more of them find hardly fewer smears and take longer.
    last = len(asked) - TRIGRAM
    starts = [*range(0, last, TRIGRAM), last][:_MOST_TRIGRAMS]
    trigrams = {asked[start : start + TRIGRAM].replace('"', '""') for start in starts}
    wanted = " AND ".join(f'"{one}"' for one in sorted(trigrams))
    found: Any = select(_smear_text.c.rowid).where(_smear_text.c.smear_text.op("MATCH")(wanted))
    number = smear_number(asked)
    if number is not None:
        found = union_all(found, select(smear.c.id).where(smear.c.id == number))
    is_found: ColumnElement[bool] = smear_id.in_(found)
    return is_found


def smear_number(asked: str) -> int | None:
    """148 of `S000148` or `148`, None of what is no smear's name."""
    digits = asked.upper().removeprefix("S").lstrip("0")
    is_number = digits.isascii() and digits.isdigit()  # "²" is a digit too
    return int(digits) if is_number and len(digits) < 10 else None
