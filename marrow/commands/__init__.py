"""The floor's subcommands of `marrow`."""

import typer

from marrow.commands import (
    backup,
    cells,
    cohorts,
    jobs,
    models,
    readers,
    regions,
    results,
    studies,
    system,
    upkeep,
)


def register(app: typer.Typer) -> None:
    """Add the floor's subcommands to the command line."""
    for group in (
        studies,
        cohorts,
        jobs,
        cells,
        models,
        readers,
        regions,
        results,
        backup,
        system,
        upkeep,
    ):
        group.register(app)
