"""`marrow models import`: it needs the network, to see that weights fit their card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marrow.cli import AsJson, session_of, show
from marrow.client import has_worker_installed
from marrow.commands.models import group, promoted_text, promoted_values
from marrow.errors import BadModel, NotBetter
from marrow.model_files import Loaded, import_model
from marrow.promotion import champion_id, promote


def register() -> None:
    """Add this subcommand to `marrow models`."""
    group.command("import")(import_)


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.zip")],
    promoted: Annotated[
        bool, typer.Option("--promote", help="And make it the champion, by the rules of promote.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why (--promote); it is stored.")] = "",
    as_json: AsJson = False,
) -> None:
    """Take in a model that `marrow models export` wrote; pickles are refused."""
    if promoted and not reason.strip():
        raise typer.BadParameter("--promote needs --reason 'why'")
    if not has_worker_installed():
        raise BadModel('A model is checked by the worker: pip install "napari-marrow[worker]"')
    study = session_of(context).study
    made, is_new = import_model(study, file, _load)
    state = "imported" if is_new else "was here already"
    text = f"{made.name} {state} (SHA-256 of its weights {made.sha256[:12]})"
    values = {"model": made.name, "sha256": made.sha256, "is_new": is_new}
    if promoted:
        try:
            done = promote(study, made.id, champion_id(study), reason)
        except NotBetter as error:
            raise NotBetter(f"{text}; not promoted: {error}") from error
        text += f"\n{promoted_text(done, study.scheme)}"
        values |= promoted_values(done)
    else:
        text += f"\nTry it on your test patients: `marrow validate {made.name} --side test`"
    show(as_json, values, text)


def _load(folder: Path) -> Loaded:
    from training.checkpoints import load_model, load_reference  # torch: not for every --help

    _, card = load_model(folder)
    load_reference(folder, card)
    return Loaded(
        sha256=card.weights_sha256,
        preprocessing=card.preprocessing_hash,
        precision=card.precision,
        scheme=card.scheme,
        card=card.model_dump(mode="json"),
    )
