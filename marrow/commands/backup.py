"""`marrow backup` and `restore`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from marrow.archive import OnProgress
from marrow.backup import write_backup
from marrow.cli import REFUSED, AsJson, console, session_of, show
from marrow.restore import restore_backup

_SHOWN = 20
"""Missing files that are listed one by one; `--json` lists all."""


def register(app: typer.Typer) -> None:
    """Add these subcommands."""
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.zip")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the study into one file, also while jobs run; exit code 1 if a file was missing."""
    study = session_of(context).study
    with _progress("Backing up") as on_progress:
        done = write_backup(study, file.expanduser(), force=force, on_progress=on_progress)
    lines = [f"{done.file}: the catalogue and {done.files - 1} files, {done.size / 1e6:.1f} MB"]
    if done.missing:
        lines.append(f"{len(done.missing)} files are missing in the store:")
        lines += [f"  {name}" for name in done.missing[:_SHOWN]]
        if len(done.missing) > _SHOWN:
            lines.append(f"  ... and {len(done.missing) - _SHOWN} more (--json lists all)")
    show(as_json, done._asdict(), "\n".join(lines))
    if done.missing:
        raise typer.Exit(REFUSED)


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.zip")],
    as_json: AsJson = False,
) -> None:
    """Make a backup the study of this home, or of the empty database in MARROW_DATABASE."""
    settings = session_of(context).settings
    with _progress("Restoring") as on_progress:
        done = restore_backup(settings, file.expanduser(), on_progress)
    text = f"The study of {file.name}: the catalogue and {done.files - 1} files"
    if done.unfinished:
        text += f"; {done.unfinished} unfinished jobs go on with the next worker"
    show(as_json, {"home": str(settings.home), **done._asdict()}, text)


@contextmanager
def _progress(what: str) -> Iterator[OnProgress]:
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    where = console()
    with Progress(*columns, console=where, disable=not where.is_terminal) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
