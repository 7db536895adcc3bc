"""What `marrow train` and `marrow sweep` are asked on the command line."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from marrow.errors import BadModel
from marrow.records import Augment, Protocol, Tune
from marrow.schemes import Scheme

Backbone = Annotated[str, typer.Option(help="A torchvision classification network.")]
Weights = Annotated[
    str, typer.Option(help="A state dict or safetensors file, `imagenet`, or `none`.")
]
Tuned = Annotated[Tune, typer.Option(help="What of the network is trained.")]
Protocols = Annotated[
    Protocol,
    typer.Option(help="honest: split by patient; seed2022: by augmented image, as the paper did."),
]
Augments = Annotated[
    Augment | None,
    typer.Option(help="Copies for training; default: gentle, under seed2022 seed8."),
]
Copies = Annotated[
    int, typer.Option(min=1, max=64, help="Of each training view, of `gentle` alone.")
]
Folds = Annotated[
    int,
    typer.Option(
        min=0, max=20, help="Of the training patients, to choose and calibrate by; 0: none."
    ),
]
HoldOutSites = Annotated[
    list[str] | None,
    typer.Option("--hold-out-site", help="Neither trains nor tests; may be given again."),
]
BatchSize = Annotated[int, typer.Option(min=2)]
InputPx = Annotated[int, typer.Option(min=32, help="Edge of the network's input.")]
TrainingPrecision = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(help="Of training a trunk; auto: bf16 where the processor computes in it."),
]
SmearIsPatient = Annotated[
    bool, typer.Option("--smear-is-patient", help="A smear without a patient is its own patient.")
]
PAPER_WEIGHTS = ((5.0, 5.0), (2.0, 8.0), (1.0, 9.0))
"""Of Wang et al. 2022, (two-class head, three-class head)."""


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


def parse_grid_weights(text: str | None, scheme: Scheme) -> tuple[tuple[float, ...], ...]:
    """((5.0, 5.0), (1.0, 9.0)) for `5:5,1:9`; for None those of the paper, if there are two
    heads, and otherwise equal ones."""
    if text is None:
        return PAPER_WEIGHTS if len(scheme.heads) == 2 else ((),)
    return tuple(parse_loss_weights(part, scheme) for part in text.split(","))


def parse_loss_weights(text: str | None, scheme: Scheme) -> tuple[float, ...]:
    """(1.0, 9.0) for `1:9`; () for None, which means equal."""
    if text is None:
        return ()
    try:
        weights = tuple(float(part) for part in text.split(":"))
    except ValueError:
        weights = ()
    if not all(map(math.isfinite, weights)):
        weights = ()
    if len(weights) != len(scheme.heads) or min(weights) < 0 or sum(weights) <= 0:
        heads = ", ".join(head.name for head in scheme.heads)
        raise typer.BadParameter(f"{text!r}: give one number per head ({heads}), as in 1:9")
    return weights


def parse_numbers(text: str, option: str) -> tuple[int, ...]:
    """(30, 50, 200) for `30,50,200`."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(f"{text!r}: give whole numbers, as in {option} 30,50,200")
    return tuple(int(part) for part in parts)
