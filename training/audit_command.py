"""`marrow audit`: the permuted-label control of the study's own pipeline."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from marrow.cli import REFUSED, AsJson, console, session_of, show
from marrow.client import has_worker_installed
from marrow.errors import BadModel
from marrow.grids import weights_source
from marrow.importing import import_smears
from marrow.records import Augment, TrainingSpec
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.study import Study

_LEAST_PERMUTATIONS, _LEAST_EPOCHS = 20, 30
"""Fewer epochs would hardly tell: heads that have not learned their smears by heart cannot leak."""
_TILES = 4
"""Of a slide, with all of their copies."""

_SYNTHETIC = {"AA": 26, "MDS": 32, "AML": 57}
"""The development patients of Wang et al. 2022, one smear each."""
_SYNTHETIC_SEED = 2022


def register(app: typer.Typer) -> None:
    """Add this subcommand."""
    app.command("audit")(audit)


def audit(
    context: typer.Context,
    permutations: Annotated[
        int, typer.Option(min=_LEAST_PERMUTATIONS, help="Of the patients' labels.")
    ] = _LEAST_PERMUTATIONS,
    epochs: Annotated[int, typer.Option(min=_LEAST_EPOCHS, help="Of the heads.")] = _LEAST_EPOCHS,
    backbone: Annotated[str, typer.Option(help="A torchvision classification network.")] = (
        "mobilenet_v2"
    ),
    weights: Annotated[
        str, typer.Option(help="A state dict or safetensors file, `imagenet`, or `none`.")
    ] = "none",
    augment: Annotated[Augment, typer.Option(help="Of both protocols.")] = "seed8",
    seed: Annotated[int, typer.Option(help="Of permutations, split, copies and heads.")] = 0,
    smear_is_patient: Annotated[
        bool,
        typer.Option("--smear-is-patient", help="A smear without a patient is its own patient."),
    ] = False,
    synthetic: Annotated[
        bool,
        typer.Option("--synthetic", help="Draw 115 synthetic patients instead; needs no study."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train on permuted labels: whatever is learned from them is leakage. Exit code 1 if so.

    Both protocols are tried: honest (split by patient, then augment) and seed2022 (augment,
    then split the images), which is there to leak. Reported too: near-duplicates across the
    split. Without pretrained weights a trunk knows smears apart less well, and leaks show less:
    on the synthetic smears permuted labels reach .96 under seed2022 with ImageNet's weights of
    mobilenet_v2, .71 without, and .78 with a random resnet18.
    """
    if not has_worker_installed():
        raise BadModel('An audit needs torch: pip install "napari-marrow[worker]"')
    from training.audit import audit_study  # torch: not for every `marrow --help`

    path, sha256 = weights_source(weights)
    spec = TrainingSpec(
        backbone=backbone,
        weights=path,
        weights_sha256=sha256,
        epochs=epochs,
        augment=augment,
        seed=seed,
        data_seed=seed,
        tiles_per_slide=_TILES,
        smear_is_patient=smear_is_patient,
    )
    with Progress(console=console(), transient=True) as progress:
        bar = progress.add_task("Drawing synthetic smears", total=None)
        drawn = _synthetic_study(progress, bar) if synthetic else _own_study(context)
        with drawn as study:
            progress.update(bar, description="Training on permuted labels", total=None)
            found = audit_study(study, spec, permutations, lambda: progress.advance(bar))
    text = found.text + ("\nEvery smear of this table is synthetic." if synthetic else "")
    show(as_json, {"synthetic": synthetic, **found.values}, text)
    if found.leaks:
        raise typer.Exit(REFUSED)


@contextmanager
def _own_study(context: typer.Context) -> Iterator[Study]:
    yield session_of(context).study


@contextmanager
def _synthetic_study(progress: Progress, bar: TaskID) -> Iterator[Study]:
    """A study of synthetic smears in a temporary folder, whatever this machine's settings."""
    from marrow.synthetic import cohort, write_cohort  # scikit-image: not for `marrow --help`

    with tempfile.TemporaryDirectory(prefix="marrow-audit-") as name:
        folder = Path(name)
        table = write_cohort(
            folder / "smears",
            cohort(_SYNTHETIC, mode="strict", seed=_SYNTHETIC_SEED),
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
        settings = Settings(home=folder / "home", database=None, broker=None, store=None, roots={})
        study = Study.create(settings, AA_MDS_AML)
        try:
            import_smears(study, [table.parent], table)
            yield study
        finally:
            study.close()
