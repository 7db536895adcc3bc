"""`marrow readers`, `consensus`, `adjudicate` and `history`."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import Connection

from marrow.agreement import agreements
from marrow.catalogue import labels, predictions, smears
from marrow.catalogue.sight import Sight, count_hidden, set_blind_readers
from marrow.catalogue.text_search import smear_number
from marrow.cli import AsJson, session_of, show
from marrow.commands.reading_words import agreement_text, history_text, readers_text
from marrow.errors import NotFound

group = typer.Typer(invoke_without_command=True)
SmearName = Annotated[str, typer.Argument(metavar="SMEAR", help="S000148")]


def register(app: typer.Typer) -> None:
    """Add these subcommands."""
    app.add_typer(group, name="readers")
    app.command("consensus")(consensus)
    app.command("adjudicate")(adjudicate)
    app.command("history")(history)


@group.callback()
def readers(context: typer.Context, as_json: AsJson = False) -> None:
    """The readers, how far each has come, and how much blind reading still hides."""
    if context.invoked_subcommand is not None:
        return
    study = session_of(context).study
    with study.database.read() as connection:
        sight = Sight.of(connection, study.settings.reader)
        progress = labels.progress_by_reader(connection, study.scheme, sight)
        hidden = count_hidden(connection, study.scheme)
    values = {
        "reader": sight.reader,
        "blind": list(sight.blind),
        "progress": [one.model_dump() for one in progress],
        "hidden": hidden,
    }
    show(as_json, values, readers_text(sight, progress, hidden))


@group.command("blind")
def blind(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Two readers or more.")],
    as_json: AsJson = False,
) -> None:
    """Hide labels and predictions of a smear until all these readers have read it."""
    _set_readers(context, names, as_json)


@group.command("open")
def open_study(context: typer.Context, as_json: AsJson = False) -> None:
    """End blind reading: everybody sees everything."""
    _set_readers(context, [], as_json)


def _set_readers(context: typer.Context, names: list[str], as_json: bool) -> None:
    study = session_of(context).study
    with study.database.write() as connection:
        stored = set_blind_readers(connection, names)
        hidden = count_hidden(connection, study.scheme)
    text = f"Blind readers: {', '.join(stored)}; {hidden} smears are hidden until all have read"
    show(as_json, {"blind": list(stored), "hidden": hidden}, text if stored else "All is open")


def consensus(
    context: typer.Context,
    reader: Annotated[
        list[str] | None,
        typer.Option(help="Compare these readers; default: the blind ones, or all."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Where the readers differ, and how far they agree beyond chance (kappa)."""
    study = session_of(context).study
    with study.database.read() as connection:
        found = agreements(connection, study.scheme, reader or ())
        hidden = count_hidden(connection, study.scheme)
    values = {"heads": [one.model_dump(mode="json") for one in found], "hidden": hidden}
    show(as_json, values, agreement_text(found, hidden))


def adjudicate(
    context: typer.Context,
    smear: SmearName,
    answers: Annotated[
        list[str], typer.Argument(metavar="ANSWER...", help="A class, unsure, or '' to take back.")
    ],
    head: Annotated[
        list[str] | None,
        typer.Option(help="The head of each answer; default: the asked heads in their order."),
    ] = None,
    is_blind: Annotated[
        bool, typer.Option("--blind", help="Nobody has looked at a prediction of it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give the answer that counts for a smear; what its readers said stays beside it."""
    study = session_of(context).study
    heads = head or [one.name for one in study.scheme.asked][: len(answers)]
    if len(heads) != len(answers):
        raise typer.BadParameter(f"{len(answers)} answers for {len(heads)} heads; give one a head")
    given = dict(zip(heads, answers, strict=True))
    with study.database.write() as connection:
        at, smear_id = study.database.now(connection), _smear_id(connection, smear)
        sight = Sight.of(connection, study.settings.reader)
        is_told = predictions.shown_to(connection, study.scheme, [smear_id], sight)
        seen = not is_blind and bool(is_told)
        labels.adjudicate(
            connection, at, study.scheme, smear_id, given, study.settings.reader, seen
        )
        counts = labels.consensus(connection, [smear_id]).get(smear_id, labels.NOTHING_GIVEN)
    said = ", ".join(f"{name} {answer or 'taken back'}" for name, answer in given.items())
    values = {"smear": f"S{smear_id:06d}", "adjudicated": given, "counts": counts.answers}
    show(as_json, values | {"seen_prediction": seen}, f"S{smear_id:06d}: {said}")


def history(context: typer.Context, smear: SmearName, as_json: AsJson = False) -> None:
    """All labels that a smear ever had, oldest first; of a hidden one, your own."""
    study = session_of(context).study
    with study.database.read() as connection:
        smear_id = _smear_id(connection, smear)
        sight = Sight.of(connection, study.settings.reader)
        found = labels.history(connection, smear_id, sight)
        is_hidden = smear_id in sight.hidden(connection, study.scheme, [smear_id])
    values = {
        "smear": f"S{smear_id:06d}",
        "hidden": is_hidden,
        "labels": [one.model_dump() for one in found],
    }
    show(as_json, values, history_text(smear_id, found, is_hidden))


def _smear_id(connection: Connection, name: str) -> int:
    """The id of S000148 or 148.

    Raises
    ------
    NotFound
        If there is no such smear.
    """
    number = smear_number(name)
    if number is None or not smears.get(connection, [number]):
        raise NotFound(f"There is no smear {name!r} in this study; smears are named S000148")
    return number
