"""`marrow validate`: a model on a cohort that it has not seen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marrow.catalogue.sight import hidden_smears
from marrow.cli import REFUSED, AsJson, session_of, show
from marrow.client import has_worker_installed
from marrow.commands.jobs import model_number, wait_for
from marrow.commands.models import ALL_FIGURES, figure_lines
from marrow.errors import BadModel
from marrow.study import Study

if TYPE_CHECKING:
    from training.validate import Validated

_FAILED_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add this subcommand."""
    app.command("validate")(validate)


def validate(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="m17")],
    site: Annotated[str | None, typer.Option(help="The external cohort.")] = None,
    side: Annotated[
        str | None, typer.Option(help="`test`: the study's test patients, for an imported model.")
    ] = None,
    smear_is_patient: Annotated[
        bool,
        typer.Option("--smear-is-patient", help="A smear without a patient is its own patient."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score a model on a cohort that it has not seen; every look is on record."""
    if (site is None) == (side is None) or side not in (None, "test"):
        raise typer.BadParameter("say whom to score: --site NAME, or --side test")
    model_id = model_number(model) or 0
    if not has_worker_installed():
        raise BadModel('Validation needs the worker: pip install "napari-marrow[worker]"')
    from training.validate import validate as score  # torch: not for every `marrow --help`

    client = session_of(context).client
    done = score(
        client,
        model_id,
        site,
        smear_is_patient=smear_is_patient,
        wait=lambda job: wait_for(client, job, as_json),
    )
    show(as_json, _values(client.study, done), "\n".join(_lines(done)))
    if done.failed:
        raise typer.Exit(REFUSED)


def _shown_flags(study: Study, flags: dict[str, list[str]]) -> dict[str, list[str]]:
    """The flags by smear id, without those that blind reading hides."""
    with study.database.read() as connection:
        hidden = hidden_smears(connection, study.scheme, [int(one) for one in flags])
    return {one: its for one, its in flags.items() if int(one) not in hidden}


def _values(study: Study, done: Validated) -> dict[str, Any]:
    look = done.look
    return {
        "model": look.made_by.name,
        "model_sha256": look.made_by.sha256,
        "side": look.side,
        "cohort_sha256": look.sha256,
        "lock": None if look.lock is None else look.lock.model_dump(),
        "is_unchanged": look.is_unchanged,
        "opening": None if look.opening is None else look.opening.model_dump(),
        "openings": done.openings,
        "looks": done.looks,
        "patients_left_out": look.left_out,
        "failed": done.failed,
        "job": done.job_id,
        "figures": done.figures | {"flags": _shown_flags(study, done.figures["flags"])},
        "all_labels": done.all_labels,
    }


def _lines(done: Validated) -> list[str]:
    look, name = done.look, done.look.made_by.name
    lines = [
        f"{name} on {look.side}: {done.figures['smears']} smears of "
        f"{done.figures['patients']} patients, labelled blind"
    ]
    lines += figure_lines(done.figures, ALL_FIGURES)
    if done.all_labels is not None:
        lines.append(
            f"By all labels, some given after a prediction was seen: "
            f"{done.all_labels['smears']} smears of {done.all_labels['patients']} patients"
        )
        lines += figure_lines(done.all_labels, ALL_FIGURES)
    if look.left_out:
        patients = "1 patient" if look.left_out == 1 else f"{look.left_out} patients"
        lines.append(f"Left out: {patients} that {name} was trained on")
    if done.failed:
        count = len(done.failed)
        smears = "1 smear was" if count == 1 else f"{count} smears were"
        lines.append(f"{smears} not answered and count in no figure:")
        shown = list(done.failed.items())[:_FAILED_SHOWN]
        lines += [f"  {smear}: {why}" for smear, why in shown]
        if len(done.failed) > len(shown):
            lines.append(f"  ... and {len(done.failed) - len(shown)} more (--json lists all)")
    return lines + _record_lines(done)


def _record_lines(done: Validated) -> list[str]:
    """What was on record before, and how often this was done."""
    look = done.look
    scored = f"scored {_times(done.looks)} in all"
    if look.opening is None:
        return [f"The test side was {scored}"]
    site = look.opening.site
    if look.lock is None:
        state = f"Site {site} is not locked: `marrow lock {site}` hides it from training"
    else:
        since = datetime.fromtimestamp(look.lock.at, UTC).date().isoformat()
        state = f"Site {site} is locked since {since}, "
        state += (
            "and unchanged since"
            if look.is_unchanged
            else f"and has CHANGED since: its labelled smears had hash {look.lock.sha256[:12]} "
            f"and have {look.sha256[:12]}"
        )
    return [state, f"It was opened {_times(done.openings)} and {scored}"]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
