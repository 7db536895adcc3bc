"""`marrow train`, `marrow sweep` and `marrow models fetch`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from marrow.catalogue import account, models
from marrow.catalogue.sight import Sight
from marrow.cli import REFUSED, AsJson, Session, console, session_of, show
from marrow.client import has_worker_installed
from marrow.cohort_preview import preview_cohort
from marrow.commands.cohort_words import cohort_text
from marrow.commands.job_words import one_line
from marrow.commands.jobs import PIPE_WIDTH, AtTime, TimeZone, UntilTime, night_of, wait_for
from marrow.commands.models import figures_text, group
from marrow.commands.sweep_words import cells_table, cells_values, metric_text, plan_text
from marrow.errors import BadGrid, BadModel
from marrow.grids import augment_of, weights_source
from marrow.records import (
    Augment,
    Job,
    ModelRecord,
    Night,
    Protocol,
    SweepSpec,
    TrainingSpec,
)
from marrow.sweeps import Grid, epochs_of, plan
from training import (
    audit_command,
    augment_command,
    import_command,
    report_command,
    validate_command,
)
from training.options import (
    Augments,
    Backbone,
    BatchSize,
    Copies,
    DryRun,
    Folds,
    HoldOutSites,
    InputPx,
    LeaveOut,
    Protocols,
    SmearIsPatient,
    TrainingPrecision,
    Tuned,
    Weights,
    parse_grid_weights,
    parse_left_out,
    parse_loss_weights,
    parse_numbers,
)


def register(app: typer.Typer) -> None:
    """Add these subcommands."""
    app.command("train")(train)
    app.command("sweep")(sweep)
    group.command("fetch")(fetch)
    audit_command.register(app)
    augment_command.register(app)
    validate_command.register(app)
    report_command.register(app)
    import_command.register()


def train(
    context: typer.Context,
    backbone: Backbone = "resnet50",
    weights: Weights = "none",
    tune: Tuned = "heads",
    epochs: Annotated[int, typer.Option(min=1)] = 30,
    loss_weights: Annotated[
        str | None, typer.Option(help="One number per head, 1:9; default: equal.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the heads, the order and dropout.")] = 0,
    protocol: Protocols = "honest",
    augment: Augments = None,
    copies: Copies = 4,
    folds: Folds = 5,
    hold_out_site: HoldOutSites = None,
    leave_out: LeaveOut = None,
    batch_size: BatchSize = 32,
    input_px: InputPx = 256,
    precision: TrainingPrecision = "auto",
    smear_is_patient: SmearIsPatient = False,
    at: AtTime = None,
    until: UntilTime = None,
    zone: TimeZone = None,
    dry_run: DryRun = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the model.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on the study's labels, as a job of the queue."""
    session = session_of(context)
    base = _base(
        weights,
        protocol,
        augment,
        backbone=backbone,
        tune=tune,
        copies=copies,
        folds=folds,
        hold_out_sites=tuple(hold_out_site or ()),
        left_out=parse_left_out(leave_out),
        batch_size=batch_size,
        input_px=input_px,
        precision=precision,
        smear_is_patient=smear_is_patient,
    )
    own = (parse_loss_weights(loss_weights, session.study.scheme),)
    spec = _planned(Grid(base=base, loss_weights=own, epochs=(epochs,), seeds=(seed,)))
    if dry_run:
        _try_dry(session, spec, as_json)
        return
    job = _queue(session, spec, night_of(at, until, zone), wait, as_json)
    if job is None:
        return
    made = next(iter(_models_of(session, job)), None)
    text = one_line(job)
    if made is not None:
        chosen_by = metric_text(made)
        text += f"\nModel {made.name}, test patients:\n{figures_text(made)}"
        text += f"\nTraining patients, out of fold: {chosen_by}" if chosen_by else ""
    values = {**job.model_dump(), "model": None if made is None else made.model_dump()}
    show(as_json, values, text)
    if job.state != "done":
        raise typer.Exit(REFUSED)


def sweep(
    context: typer.Context,
    loss_weights: Annotated[
        str | None,
        typer.Option(help="One number per head each; default: 5:5,2:8,1:9 if there are two heads."),
    ] = None,
    epochs: Annotated[str, typer.Option(help="Numbers of epochs.")] = "30,50,200",
    seeds: Annotated[str, typer.Option(help="Of the heads, the order and dropout.")] = "0",
    tune: Tuned = "heads",
    protocol: Protocols = "honest",
    augment: Augments = None,
    copies: Copies = 4,
    folds: Folds = 5,
    hold_out_site: HoldOutSites = None,
    leave_out: LeaveOut = None,
    backbone: Backbone = "resnet50",
    weights: Weights = "none",
    batch_size: BatchSize = 32,
    input_px: InputPx = 256,
    precision: TrainingPrecision = "auto",
    smear_is_patient: SmearIsPatient = False,
    at: AtTime = None,
    until: UntilTime = None,
    zone: TimeZone = None,
    dry_run: DryRun = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the models.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train every combination of loss weights and epochs, and choose one by left-out patients."""
    session = session_of(context)
    base = _base(
        weights,
        protocol,
        augment,
        backbone=backbone,
        tune=tune,
        copies=copies,
        folds=folds,
        hold_out_sites=tuple(hold_out_site or ()),
        left_out=parse_left_out(leave_out),
        batch_size=batch_size,
        input_px=input_px,
        precision=precision,
        smear_is_patient=smear_is_patient,
    )
    grid = Grid(
        base=base,
        loss_weights=parse_grid_weights(loss_weights, session.study.scheme),
        epochs=parse_numbers(epochs, "--epochs"),
        seeds=parse_numbers(seeds, "--seeds"),
    )
    spec = _planned(grid)
    if dry_run:
        _try_dry(session, spec, as_json)
        return
    job = _queue(session, spec, night_of(at, until, zone), wait, as_json)
    if job is None:
        return
    made = _models_of(session, job)
    values = {**job.model_dump(), "cells": cells_values(spec, made)}
    show(as_json, values, one_line(job))
    if made and not as_json:
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        Console(width=width).print(cells_table(spec, made))
    if job.state != "done":
        raise typer.Exit(REFUSED)


def _base(weights: str, protocol: Protocol, augment: Augment | None, **others: Any) -> TrainingSpec:
    """What all runs have in common."""
    path, sha256 = weights_source(weights)
    return TrainingSpec(
        weights=path,
        weights_sha256=sha256,
        protocol=protocol,
        augment=augment_of(augment, protocol),
        **others,
    )


def _planned(grid: Grid) -> SweepSpec:
    try:
        return plan(grid)
    except BadGrid as error:
        raise typer.BadParameter(str(error)) from error


def _try_dry(session: Session, spec: SweepSpec, as_json: bool) -> None:
    """Say what would be trained on whom; exit code 1 where it would be refused."""
    study = session.study
    with study.database.read() as connection:
        sight = Sight.of(connection, study.settings.reader)
        found = preview_cohort(connection, study.scheme, spec.runs[0], sight)
    shared, separate = epochs_of(spec)
    values: dict[str, Any] = {"cells": len(spec.cells), "runs": len(spec.runs), "epochs": shared}
    values |= {"separate_epochs": separate, "cohort": found.model_dump()}
    show(as_json, values, f"{plan_text(spec)}\n{cohort_text(found)}")
    if found.trouble is not None:
        raise typer.Exit(REFUSED)


def _queue(
    session: Session, spec: SweepSpec, night: Night | None, wait: bool, as_json: bool
) -> Job | None:
    """Say what will be trained, queue it, and follow it to its end; None without `wait`."""
    if not as_json:
        console().print(plan_text(spec), markup=False, highlight=False)
    job = session.client.sweep(spec, night=night)
    if wait:
        return wait_for(session.client, job, as_json)
    shared, separate = epochs_of(spec)
    values: dict[str, Any] = {**job.model_dump(), "epochs": shared, "separate_epochs": separate}
    show(as_json, values, f"Job {job.id} waits; follow it with `marrow follow {job.id}`")
    return None


def _models_of(session: Session, job: Job) -> list[ModelRecord]:
    """The models that a job has made, the chosen one first."""
    with session.study.database.read() as connection:
        made = account.models_of(connection, job.id)
        return [models.get(connection, one) for one in made]


def fetch(
    backbone: Annotated[str, typer.Argument(help="A torchvision classification network.")],
    as_json: AsJson = False,
) -> None:
    """Download a network's ImageNet weights, once, for `train --weights imagenet`."""
    if not has_worker_installed():
        raise BadModel('Weights need torchvision: pip install "napari-marrow[worker]"')
    from training.weights import fetch_imagenet  # torch: not for every `marrow --help`

    path = fetch_imagenet(backbone, progress=not as_json)
    show(as_json, {"file": str(path)}, f"Downloaded {path}")
