"""What a person types of a sweep, read: loss weights, numbers, and where the weights come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from marrow.errors import BadGrid, BadModel
from marrow.records import Augment, Protocol
from marrow.schemes import Scheme
from marrow.sweeps import are_shares

PAPER_WEIGHTS = ((5.0, 5.0), (2.0, 8.0), (1.0, 9.0))
"""Of Wang et al. 2022, (two-class head, three-class head)."""

MOST_DIGITS = 19
"""Of the largest seed."""


def augment_of(asked: Augment | None, protocol: Protocol) -> Augment:
    """The augmentation that was asked for, or what belongs to the protocol."""
    return asked or ("gentle" if protocol == "honest" else "seed8")


def weights_source(weights: str) -> tuple[str, str | None]:
    """(source, SHA-256) of the initial weights; a file's path is made absolute.

    Raises
    ------
    BadModel
        If there is no such file.
    """
    if weights in {"none", "imagenet"}:
        return weights, None
    path = Path(weights).expanduser().absolute()
    try:
        with path.open("rb") as file:
            return str(path), hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadModel(f"{path}: {error.strerror}; give a file, `imagenet` or `none`") from error


def paper_weights(scheme: Scheme) -> tuple[tuple[float, ...], ...]:
    """Those of the paper, if there are two heads, and otherwise equal ones."""
    return PAPER_WEIGHTS if len(scheme.heads) == 2 else ((),)


def read_grid_weights(text: str, scheme: Scheme) -> tuple[tuple[float, ...], ...]:
    """((5.0, 5.0), (1.0, 9.0)) for `5:5,1:9`; () stands for `equal`.

    Raises
    ------
    BadGrid
        If a part is not one number per head, none negative and one above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    return tuple(() if part == "equal" else read_weights(part, scheme) for part in parts)


def read_weights(text: str, scheme: Scheme) -> tuple[float, ...]:
    """(1.0, 9.0) for `1:9`; see `read_grid_weights`."""
    try:
        weights = tuple(float(part) for part in text.split(":"))
    except ValueError:
        weights = ()
    if len(weights) != len(scheme.heads) or not are_shares(weights):
        heads = ", ".join(head.name for head in scheme.heads)
        example = ":".join(["1", "9", *["1"] * len(scheme.heads)][: len(scheme.heads)])
        raise BadGrid(f"{text!r}: give one number per head ({heads}), as in {example}")
    return weights


def read_numbers(text: str, example: str) -> tuple[int, ...]:
    """(30, 50, 200) for `30,50,200`.

    Raises
    ------
    BadGrid
        If a part is no whole number, or too long; `example` says what one types.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise BadGrid(f"{text!r}: give whole numbers, as in {example}")
    longest = max(map(len, parts))
    if longest > MOST_DIGITS:
        raise BadGrid(f"A number of {longest:,} digits is too long: give numbers as in {example}")
    return tuple(int(part) for part in parts)
