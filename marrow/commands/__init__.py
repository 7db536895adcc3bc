"""The floor's subcommands of `marrow`."""

import typer

from marrow.commands import jobs, models, results, studies, system


def register(app: typer.Typer) -> None:
    """Add the floor's subcommands to the command line."""
    for group in (studies, jobs, models, results, system):
        group.register(app)
