"""What `marrow train` and `marrow sweep` are asked on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from marrow.errors import BadGrid
from marrow.grids import paper_weights, read_grid_weights, read_numbers, read_weights
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
LeaveOut = Annotated[
    list[str] | None,
    typer.Option(
        "--leave-out",
        metavar="PATIENT=REASON",
        help="A training patient, or a smear as S000148; may be given again.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say who would train and be tested; queue nothing.")
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


def parse_left_out(given: list[str] | None) -> tuple[tuple[str, str], ...]:
    """(("P7", "wrong stain"),) for `P7=wrong stain`."""
    pairs = [tuple(part.strip() for part in one.partition("=")[::2]) for one in given or ()]
    for patient, reason in pairs:
        if not patient or not reason:
            raise typer.BadParameter(
                f"{patient or reason!r}: give a patient and why, as in --leave-out P7='wrong stain'"
            )
    return tuple((patient, reason) for patient, reason in pairs)


def parse_grid_weights(text: str | None, scheme: Scheme) -> tuple[tuple[float, ...], ...]:
    """((5.0, 5.0), (1.0, 9.0)) for `5:5,1:9`; for None those of the paper, if there are two
    heads, and otherwise equal ones."""
    return paper_weights(scheme) if text is None else _read(read_grid_weights, text, scheme)


def parse_loss_weights(text: str | None, scheme: Scheme) -> tuple[float, ...]:
    """(1.0, 9.0) for `1:9`; () for None, which means equal."""
    return () if text is None else _read(read_weights, text, scheme)


def parse_numbers(text: str, option: str) -> tuple[int, ...]:
    """(30, 50, 200) for `30,50,200`."""
    return _read(read_numbers, text, f"{option} 30,50,200")


def _read(read: Callable[..., tuple[Any, ...]], *given: object) -> tuple[Any, ...]:
    try:
        return read(*given)
    except BadGrid as error:
        raise typer.BadParameter(str(error)) from error
