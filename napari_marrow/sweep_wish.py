"""What a person asks of a sweep, as the form holds it, and the runs that it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from marrow.errors import BadGrid
from marrow.grids import augment_of, read_grid_weights, read_numbers
from marrow.records import Augment, Protocol, SweepSpec, TrainingSpec, Tune
from marrow.schemes import Scheme, first_fault
from marrow.sweeps import Grid, plan


@dataclass(frozen=True)
class SweepWish:
    """The options of `marrow sweep`, with its defaults."""

    loss_weights: str = "equal"
    """As they are typed: `5:5, 2:8, 1:9`."""
    epochs: str = "30, 50, 200"
    seeds: str = "0"
    folds: int = 5
    tune: Tune = "heads"
    protocol: Protocol = "honest"
    augment: Augment | None = None
    """None: what belongs to the protocol."""
    copies: int = 4
    backbone: str = "resnet50"
    weights: str = "none"
    """`none`, `imagenet`, or a file."""
    hold_out_sites: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    """Patients, or smears as S000148, that a person leaves out, each with the reason."""
    batch_size: int = 32
    input_px: int = 256
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    smear_is_patient: bool = False
    at: str | None = None
    """HH:MM of this machine's zone; None: now."""
    until: str | None = None
    """None: once it has begun it runs to its end."""


def plan_of(wish: SweepWish, scheme: Scheme, source: tuple[str, str | None]) -> SweepSpec:
    """The runs and cells of a wish.

    Parameters
    ----------
    source : (str, str or None)
        `marrow.grids.weights_source` of the wish's weights.

    Raises
    ------
    BadGrid
        If a part of it is no number, or out of its range, or the grid cannot be planned.
    """
    try:
        return plan(_grid_of(wish, scheme, source))
    except ValidationError as error:
        raise BadGrid(first_fault(error)) from error


def _grid_of(wish: SweepWish, scheme: Scheme, source: tuple[str, str | None]) -> Grid:
    return Grid(
        base=TrainingSpec(
            backbone=wish.backbone,
            weights=source[0],
            weights_sha256=source[1],
            tune=wish.tune,
            protocol=wish.protocol,
            augment=augment_of(wish.augment, wish.protocol),
            copies=wish.copies,
            folds=wish.folds,
            hold_out_sites=wish.hold_out_sites,
            left_out=wish.left_out,
            batch_size=wish.batch_size,
            input_px=wish.input_px,
            precision=wish.precision,
            smear_is_patient=wish.smear_is_patient,
        ),
        loss_weights=read_grid_weights(wish.loss_weights, scheme),
        epochs=read_numbers(wish.epochs, "30, 50, 200"),
        seeds=read_numbers(wish.seeds, "0, 1, 2"),
    )
