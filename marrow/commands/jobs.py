"""`marrow classify`, `jobs`, `follow`, `cancel` and `retry`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from marrow.cli import REFUSED, AsJson, console, session_of, show
from marrow.client import Client, has_worker_installed
from marrow.errors import MarrowError, NotFound
from marrow.exporting import require_writable, write_job_csv
from marrow.records import Event, Job, Night

LARGEST_ID = 2**31 - 1
"""Of an INTEGER in PostgreSQL; SQLite's is larger."""
JobId = Annotated[int, typer.Argument(metavar="ID", max=LARGEST_ID)]
ModelId = Annotated[str | None, typer.Option(help="m17; default: the champion.")]


def register(app: typer.Typer) -> None:
    """Add these subcommands."""
    app.command("classify")(classify)
    app.command("jobs")(list_jobs)
    app.command("follow")(follow)
    app.command("cancel")(cancel)
    app.command("retry")(retry)


def classify(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Smears or folders; default: the whole study.")
    ] = None,
    model: ModelId = None,
    at: Annotated[str | None, typer.Option(help="Begin at this local time: 22:00.")] = None,
    until: Annotated[str | None, typer.Option(help="Pause at this local time: 06:00.")] = None,
    zone: Annotated[str | None, typer.Option(help="IANA time zone of both times.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answers.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write results.csv here (--wait).")] = None,
    as_json: AsJson = False,
) -> None:
    """Queue smears for a model; with --wait, follow them to their answers."""
    client = session_of(context).client
    if out is not None and not wait:
        raise typer.BadParameter("--out needs --wait: the answers are not there yet")
    model_id = model_number(model)
    if out is not None:
        require_writable(out)
    if until is not None and at is None:
        raise typer.BadParameter("--until needs --at: when may it begin?")
    night = None if at is None else Night(at=at, until=until, zone=zone or local_zone())
    refused: tuple[MarrowError, ...] = ()
    copies: tuple[tuple[Path, int], ...] = ()
    if paths:
        report = client.import_smears(paths)
        ids, refused, copies = list(report.smear_ids), report.refused, report.copies
    else:
        ids = client.smear_ids()
    if not ids and not refused:
        raise NotFound("There is no smear to classify: name files or folders, or import some")
    job = client.submit(
        ids, model_id, priority="interactive" if at is None else "overnight", night=night
    )
    if wait:
        job = wait_for(client, job, as_json)
    if out is not None:
        write_job_csv(client.study, job.id, out, refused, copies)
    text = summary(job) + (f"\n{len(refused)} files refused" if refused else "")
    text += f"\nresults: {out}" if out is not None else ""
    if not wait:
        text += f"\nfollow it with `marrow follow {job.id}`"
    values = job.model_dump() | {"refused": [str(error) for error in refused]}
    show(as_json, values, text)
    if refused or job.failed or job.state in {"failed", "cancelled"}:
        raise typer.Exit(REFUSED)


def list_jobs(context: typer.Context, as_json: AsJson = False) -> None:
    """The newest jobs and how far they are."""
    found = session_of(context).client.jobs()
    if as_json:
        show(True, [job.model_dump() for job in found], "")
        return
    table = Table("job", "kind", "state", "done", "failed", "of", "started")
    for job in found:
        started = _clock(job.started_at or job.opens_at)
        numbers = (str(job.done), str(job.failed), str(job.total))
        table.add_row(str(job.id), job.kind, job.state, *numbers, started)
    Console().print(table if found else "No jobs yet")


def follow(
    context: typer.Context,
    job_id: JobId,
    as_json: AsJson = False,
) -> None:
    """Follow a job to its end; exit code 1 if anything in it failed."""
    client = session_of(context).client
    client.wake_if_waiting()
    job = wait_for(client, client.job(job_id), as_json)
    show(as_json, job.model_dump(), summary(job))
    if job.failed or job.state in {"failed", "cancelled"}:
        raise typer.Exit(REFUSED)


def cancel(
    context: typer.Context,
    job_id: JobId,
    as_json: AsJson = False,
) -> None:
    """Ask for a job to stop."""
    job = session_of(context).client.cancel(job_id)
    show(as_json, job.model_dump(), f"Job {job.id} is {job.state}")


def retry(
    context: typer.Context,
    job_id: JobId,
    as_json: AsJson = False,
) -> None:
    """Queue again what failed in a job."""
    job = session_of(context).client.retry(job_id)
    show(as_json, job.model_dump(), f"Job {job.id} is {job.state}")


def wait_for(client: Client, job: Job, is_quiet: bool) -> Job:
    """Follow a job to its end behind a progress bar; an interrupt leaves it running."""
    if job.is_finished:
        return job
    if client.study.settings.is_single_machine and not has_worker_installed():
        raise NotFound(
            f"Job {job.id} waits, but no worker is installed here: "
            'pip install "napari-marrow[worker]", then `marrow follow`'
        )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(), disable=is_quiet) as progress:
        bar = progress.add_task(f"job {job.id}: {job.state}", total=job.total, completed=job.done)
        for event in client.follow(job.id):
            progress.update(bar, **_progress_of(event, job.id))  # type: ignore[arg-type]
    return client.job(job.id)


def _progress_of(event: Event, job_id: int) -> dict[str, object]:
    payload = event.payload
    if event.kind == "piece":
        return {"completed": payload["done"] + payload["failed"]}
    if event.kind == "epoch":
        figures = f"loss {payload['loss']:.3f}" if "loss" in payload else ""
        return {
            "completed": payload["done"],
            "description": f"job {job_id}: epoch {payload['epoch']} {figures}",
        }
    if event.kind == "state":
        return {"description": f"job {job_id}: {payload['state']}"}
    return {}


def summary(job: Job) -> str:
    """One line for a person: what the job is, and what came of it."""
    unit = "smears" if job.kind == "classify" else "epochs"
    text = f"Job {job.id} is {job.state}: {job.done} of {job.total} {unit}"
    if job.failed:
        text += f", {job.failed} failed"
    if job.opens_at is not None and not job.is_finished:
        text += f", opens {_clock(job.opens_at)}"
    if job.error:
        text += f" ({job.error})"
    return text


def model_number(text: str | None) -> int | None:
    """17 for `m17` or `17`, None for None."""
    if text is None:
        return None
    digits = text.removeprefix("m")
    if not digits.isdecimal() or int(digits) > LARGEST_ID:
        raise typer.BadParameter(f"{text!r} is no model; models are named m17")
    return int(digits)


def local_zone() -> str:
    """IANA name of this machine's time zone."""
    name = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    if not name:
        raise typer.BadParameter("this machine's time zone is not known: give --zone Europe/Berlin")
    return name


def _clock(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at).strftime("%d %b %H:%M")
