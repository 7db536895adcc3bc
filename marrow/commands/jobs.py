"""`marrow classify`, `jobs`, `follow`, `cancel` and `retry`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from marrow.cli import REFUSED, AsJson, console, session_of, show
from marrow.client import Client, has_worker_installed
from marrow.commands.job_words import (
    expected_text,
    hidden_text,
    jobs_table,
    one_line,
    reason_lines,
    summary_text,
)
from marrow.errors import MarrowError, NotFound
from marrow.exporting import require_writable, write_job_csv
from marrow.outlook import Outlook, outlook_of, outlooks
from marrow.records import Event, Job, Night
from marrow.summary import failures_of, summarise, throughput_of
from marrow.windows import local_zone

LARGEST_ID = 2**31 - 1
"""Of an INTEGER in PostgreSQL; SQLite's is larger."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""
PACE_PIECES = 50
"""The table shows how fast a job's newest pieces went; its summary, all of them."""
FAILING_SHOWN = 5
PIPE_WIDTH = 160
"""Characters of a table that goes to a file, where nobody can widen the window."""
DESCRIBE_EVERY_S = 2.0
JobId = Annotated[int, typer.Argument(metavar="ID", max=LARGEST_ID)]
ModelId = Annotated[str | None, typer.Option(help="m17; default: the champion.")]
AtTime = Annotated[str | None, typer.Option(help="Begin at this local time: 22:00.")]
UntilTime = Annotated[str | None, typer.Option(help="Pause at this local time: 06:00.")]
TimeZone = Annotated[str | None, typer.Option(help="IANA time zone of both times.")]


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
    at: AtTime = None,
    until: UntilTime = None,
    zone: TimeZone = None,
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
    night = night_of(at, until, zone)
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
    hidden = 0
    if out is not None:
        hidden = write_job_csv(client.study, job.id, out, refused, copies)
    text = one_line(job) + (f"\n{len(refused)} files refused" if refused else "")
    text += f"\nresults: {out}" if out is not None else ""
    text += f"\n{hidden_text(hidden)}" if hidden else ""
    values = job.model_dump() | {"refused": [str(error) for error in refused], "hidden": hidden}
    if not wait:
        outlook = outlook_of(client.study, job, is_waking=True)
        values |= {"outlook": outlook.model_dump()}
        text += "".join(f"\n{line}" for line in _prospect(job, outlook))
    show(as_json, values, text)
    if refused or job.failed or job.state in {"failed", "cancelled"}:
        raise typer.Exit(REFUSED)


def _prospect(job: Job, outlook: Outlook) -> list[str]:
    """What a person wants to know who has just submitted a job and goes home."""
    if job.is_finished:
        return []
    expected = expected_text(outlook, time.time())
    return [
        outlook.words,
        *([expected] if expected else []),
        f"follow it with `marrow follow {job.id}`",
    ]


def list_jobs(
    context: typer.Context,
    job_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", max=LARGEST_ID, help="A job's summary.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The newest jobs and how they stand; with an ID, the summary of one."""
    client = session_of(context).client
    if job_id is not None:
        one = summarise(client.study, job_id)
        show(as_json, one.model_dump(), summary_text(one))
        return
    found = client.jobs()
    stands = outlooks(client.study, found)
    if as_json:
        rows = [one.model_dump() | {"outlook": stands[one.id].model_dump()} for one in found]
        show(True, rows, "")
        return
    if not found:
        show(False, None, "No jobs yet")
        return
    with client.study.database.read() as connection:
        paces = {one.id: throughput_of(connection, one, PACE_PIECES) for one in found}
        failing = [one for one in found if one.failed][:FAILING_SHOWN]
        reasons = {one.id: failures_of(connection, one) for one in failing}
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(width=width).print(jobs_table(found, stands, paces, time.time()))
    for number, its in reasons.items():
        show(False, None, "\n".join([f"Job {number}, failed:", *reason_lines(its)]))


def follow(
    context: typer.Context,
    job_id: JobId,
    as_json: AsJson = False,
) -> None:
    """Follow a job to its end and show what came of it; exit code 1 if anything in it failed."""
    client = session_of(context).client
    client.wake_if_waiting()
    job = wait_for(client, client.job(job_id), as_json)
    one = summarise(client.study, job.id)
    show(as_json, job.model_dump() | {"summary": one.model_dump()}, summary_text(one))
    if job.failed or job.state in {"failed", "cancelled"}:
        raise typer.Exit(REFUSED)


def cancel(
    context: typer.Context,
    job_id: JobId,
    as_json: AsJson = False,
) -> None:
    """Ask for a job to stop."""
    client = session_of(context).client
    was_over = client.job(job_id).is_finished
    job = client.cancel(job_id)
    # It may also have ended just before it was asked to stop.
    is_too_late = was_over or job.state in {"done", "failed"}
    text = f"Job {job.id} is {job.state}"
    if is_too_late:
        text = f"Nothing was cancelled: job {job.id} was over already ({job.state})"
    show(as_json, job.model_dump() | {"was_over": is_too_late}, text)


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
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(*columns, console=console(), disable=is_quiet) as progress:
            bar = progress.add_task(
                _line(client, job), total=job.total, completed=job.done + job.failed
            )
            described = time.monotonic()
            for event in client.follow(job.id, after=job.last_seq):
                progress.update(bar, completed=_counted(event))
                is_due = time.monotonic() - described > DESCRIBE_EVERY_S
                if not is_quiet and (event.kind not in {"piece", "epoch"} or is_due):
                    progress.update(bar, description=_line(client, client.job(job.id), event))
                    described = time.monotonic()
    except KeyboardInterrupt:
        print(  # noqa: T201
            f"Job {job.id} goes on; follow it with `marrow follow {job.id}`", file=sys.stderr
        )
        raise typer.Exit(INTERRUPTED) from None
    return client.job(job.id)


def _counted(event: Event) -> int | None:
    """Smears or epochs that are over by this event; None if it does not say."""
    if event.kind == "piece":
        return int(event.payload["done"] + event.payload["failed"])
    return int(event.payload["done"]) if event.kind == "epoch" else None


def _line(client: Client, job: Job, event: Event | None = None) -> str:
    """How a job stands and when it is expected to be over, in one line."""
    outlook = outlook_of(client.study, job, is_waking=True)
    parts = [f"job {job.id}: {outlook.words}"]
    if event is not None and event.kind == "epoch":
        loss = event.payload.get("loss")
        runs = len(job.spec["runs"])
        which = f"run {event.payload['run'] + 1} of {runs}, " if runs > 1 else ""
        told = f", loss {loss:.3f}" if loss is not None else ""
        parts.append(f"{which}epoch {event.payload['epoch']}{told}")
    if outlook.ends_at is not None:
        parts.append(expected_text(outlook, time.time()))
    return "; ".join(parts)


def night_of(at: str | None, until: str | None, zone: str | None) -> Night | None:
    """The window of these options; None without any."""
    if until is not None and at is None:
        raise typer.BadParameter("--until needs --at: when may it begin?")
    return None if at is None else Night(at=at, until=until, zone=zone or local_zone())


def model_number(text: str | None) -> int | None:
    """17 for `m17` or `17`, None for None."""
    if text is None:
        return None
    digits = text.removeprefix("m")
    if not digits.isdecimal() or int(digits) > LARGEST_ID:
        raise typer.BadParameter(f"{text!r} is no model; models are named m17")
    return int(digits)
