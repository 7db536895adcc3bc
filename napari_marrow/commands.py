"""The viewer's subcommand of `marrow`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marrow.cli import session_of
from marrow.errors import BadSettings


def register(app: typer.Typer) -> None:
    """Add `marrow view` to the command line."""
    app.command()(view)


def view(
    context: typer.Context,
    screenshot: Annotated[
        Path | None,
        typer.Option(
            help="Save a picture (PNG) of the viewer with the first predicted smear and the "
            "results, and leave."
        ),
    ] = None,
) -> None:
    """Open napari with this study's cases and the workbench."""
    settings = session_of(context).settings
    try:
        from napari_marrow._qt import program
    except ImportError as error:  # qtpy's own error for a missing binding is one, too
        raise BadSettings(
            f'The viewer needs napari and a Qt binding: pip install "napari-marrow[all]" ({error})'
        ) from error
    if screenshot is None:
        program.run(settings.home)
    else:
        session_of(context).study.close()  # says at once if there is no study
        program.take_picture(settings.home, screenshot)
