"""`marrow lock`: an external cohort."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from marrow.catalogue import cohorts
from marrow.cli import AsJson, session_of, show


def register(app: typer.Typer) -> None:
    """Add this subcommand."""
    app.command("lock")(lock)


def lock(
    context: typer.Context,
    site: Annotated[str, typer.Argument(help="Whose smears training must never see.")],
    as_json: AsJson = False,
) -> None:
    """Hide a site from training for good, and record what it holds."""
    study = session_of(context).study
    with study.database.write() as connection:
        before = cohorts.locked_sites(connection).get(site)
        made = cohorts.lock_site(connection, study.database.now(connection), study.scheme, site)
        trained = cohorts.seen_by(connection, study.scheme, site)
    what = (
        f"{made.smears} labelled smear{'s' * (made.smears != 1)} of "
        f"{made.patients} patient{'s' * (made.patients != 1)}, SHA-256 {made.sha256[:12]}"
    )
    since = datetime.fromtimestamp(made.at, UTC).date().isoformat()
    text = f"Site {site} is locked: {what}"
    if before is not None:
        text = f"Site {site} is locked since {since}: {what}"
    if trained:
        text += (
            f"\nIts patients have trained {', '.join(trained)} already: for these models it is "
            "no external cohort"
        )
    values = made.model_dump() | {"was_locked": before is not None, "trained": trained}
    show(as_json, values, text)
