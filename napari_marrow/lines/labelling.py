"""What label mode says on the canvas, and which head is asked next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from marrow.schemes import Head, Scheme
from napari_marrow.lines.flow import flowed

DIGITS = 9
"""Classes that a key of its own can have; those beyond are given by the dock's buttons."""
UNSURE = "unsure"
OWED_TEXT = "the database does not answer: asked again by itself"


def answer_keys(head: Head) -> dict[str, str]:
    """Answer by key: 1 to 9 the classes in their order, 0 unsure."""
    classes = {str(number): name for number, name in enumerate(head.classes[:DIGITS], start=1)}
    return classes | {"0": UNSURE}


def keys_text(scheme: Scheme, head: Head) -> str:
    """`LABEL MODE  1 AA  2 MDS  3 AML  0 unsure`; which head, where several are asked.

    Many classes take several lines.
    """
    parts = [f"{head.name}?"] if len(scheme.asked) > 1 else []
    parts += [f"{key} {answer}" for key, answer in answer_keys(head).items()]
    return flowed(["LABEL MODE", *parts], "  ")


def case_text(
    coming: int | None, place: int | None, count: int, own: Mapping[str, str], is_flagged: bool
) -> str:
    """`148/400  your label: MDS  flagged`.

    Parameters
    ----------
    coming : int or None
        The smear while it is on its way to the canvas, where the words of the smear before
        stand; None: its own words stand there, with its name.
    place : int or None
        Counts from 0; None: it is not listed.
    count : int
        Smears of the list.
    own : mapping
        The reader's answers by head.
    is_flagged : bool
    """
    where = f"{place + 1:,}/{count:,}" if place is not None else "not in this list"
    said = ", ".join(answer for answer in own.values() if answer)
    which = "" if coming is None else f"S{coming:06d}"
    words = f"your label: {said}" if said else "not labelled by you"
    return "  ".join(filter(None, (where, which, words, "flagged" if is_flagged else "")))


def not_asked_text(smear_ids: Sequence[int], heads: Sequence[str]) -> str:
    """`S000001: mds_subtype is not asked under the other answers; nothing was stored.`"""
    more = f" and {len(smear_ids) - 1:,} more" if smear_ids[1:] else ""
    asked = "is not asked" if len(heads) == 1 else "are not asked"
    return (
        f"S{smear_ids[0]:06d}{more}: {', '.join(heads)} {asked} under your other answers; nothing "
        "was stored. Change those first."
    )


def applying(scheme: Scheme, own: Mapping[str, str]) -> list[Head]:
    """The asked heads whose question makes sense under these answers."""
    given = {head: answer for head, answer in own.items() if answer}
    makes_sense = {head.name for head in scheme.applying(given)}
    return [head for head in scheme.asked if head.name in makes_sense]


def first_head(scheme: Scheme, own: Mapping[str, str]) -> Head:
    """The head to ask when a smear comes: the first without an answer, else the first."""
    heads = [head for head in applying(scheme, own) if _is_ripe(head, own)]
    return next((head for head in heads if not own.get(head.name)), heads[0])


def next_head(scheme: Scheme, own: Mapping[str, str], answered: str) -> Head | None:
    """The head to ask after one was answered, None: the smear is done."""
    asked: Sequence[str] = [head.name for head in scheme.asked]
    after = asked[asked.index(answered) + 1 :]
    return next((head for head in applying(scheme, own) if head.name in after), None)


def ruled_out(scheme: Scheme, own: Mapping[str, str]) -> list[str]:
    """Asked heads that make no sense under these answers: the subtype of MDS of what is AML."""
    makes_sense = applying(scheme, own)
    return [head.name for head in scheme.asked if head not in makes_sense]


def is_read(scheme: Scheme, own: Mapping[str, str]) -> bool:
    """Whether each head that is always asked has an answer."""
    return all(own.get(head.name) for head in scheme.asked if not head.asked_when)


def _is_ripe(head: Head, own: Mapping[str, str]) -> bool:
    """A question with a condition is asked once the condition is known."""
    return all(own.get(name) for name in head.asked_when)
