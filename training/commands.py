"""`marrow train` and `marrow models fetch`."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Annotated

import typer

from marrow.catalogue import models
from marrow.cli import REFUSED, AsJson, session_of, show
from marrow.client import has_worker_installed
from marrow.commands.job_words import one_line
from marrow.commands.jobs import wait_for
from marrow.commands.models import figures_text, group
from marrow.errors import BadModel
from marrow.records import ModelRecord, TrainingSpec, Tune
from marrow.schemes import Scheme
from marrow.study import Study


def register(app: typer.Typer) -> None:
    """Add these subcommands."""
    app.command("train")(train)
    group.command("fetch")(fetch)


def train(
    context: typer.Context,
    backbone: Annotated[str, typer.Option(help="A torchvision classification network.")] = (
        "resnet50"
    ),
    weights: Annotated[
        str, typer.Option(help="A state dict or safetensors file, `imagenet`, or `none`.")
    ] = "none",
    tune: Annotated[Tune, typer.Option(help="What of the network is trained.")] = "heads",
    epochs: Annotated[int, typer.Option(min=1)] = 30,
    loss_weights: Annotated[
        str | None, typer.Option(help="One number per head, 1:9; default: equal.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the test draw, the heads and the order.")] = 0,
    batch_size: Annotated[int, typer.Option(min=2)] = 32,
    input_px: Annotated[int, typer.Option(min=32, help="Edge of the network's input.")] = 256,
    smear_is_patient: Annotated[
        bool,
        typer.Option("--smear-is-patient", help="A smear without a patient is its own patient."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the model.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on the study's labels, as a job of the queue."""
    session = session_of(context)
    path, sha256 = weights_source(weights)
    spec = TrainingSpec(
        backbone=backbone,
        weights=path,
        weights_sha256=sha256,
        tune=tune,
        epochs=epochs,
        loss_weights=parse_loss_weights(loss_weights, session.study.scheme),
        seed=seed,
        batch_size=batch_size,
        input_px=input_px,
        smear_is_patient=smear_is_patient,
    )
    job = session.client.train(spec)
    if not wait:
        text = f"Job {job.id} waits; follow it with `marrow follow {job.id}`"
        show(as_json, job.model_dump(), text)
        return
    job = wait_for(session.client, job, as_json)
    made = model_of_job(session.study, job.id)
    text = one_line(job)
    if made is not None:
        text += f"\nModel {made.name}, test patients:\n{figures_text(made)}"
    values = {**job.model_dump(), "model": None if made is None else made.model_dump()}
    show(as_json, values, text)
    if job.state != "done":
        raise typer.Exit(REFUSED)


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


def model_of_job(study: Study, job_id: int) -> ModelRecord | None:
    """The newest model that a training job has made, None if it made none."""
    with study.database.read() as connection:
        made = [one for one in models.all_models(connection) if one.job_id == job_id]
    return made[0] if made else None
