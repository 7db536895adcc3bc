"""`marrow regions`: polygons as GeoJSON, to QuPath and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marrow.catalogue.smear_filter import smear_number
from marrow.cli import AsJson, session_of, show
from marrow.errors import NotFound
from marrow.regions_file import export_regions, import_regions

Smear = Annotated[str | None, typer.Option("--smear", help="S000148")]


def register(app: typer.Typer) -> None:
    """Add this subcommand."""
    group = typer.Typer(help="Regions as GeoJSON, to QuPath and back.", no_args_is_help=True)
    group.command("export")(export)
    group.command("import")(import_)
    app.add_typer(group, name="regions")


def export(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="FILE.geojson")],
    smear: Smear = None,
    as_json: AsJson = False,
) -> None:
    """Write the regions of one smear, or of all, as QuPath's annotations."""
    ids = None if smear is None else [_id_of(smear)]
    written = export_regions(session_of(context).study, target, ids)
    show(as_json, {"regions": written, "file": str(target)}, f"{written} regions in {target}")


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.geojson")],
    smear: Smear = None,
    as_json: AsJson = False,
) -> None:
    """Store a file's regions in place of those that stand; --smear: where it does not say whose
    they are."""
    study = session_of(context).study
    number = None if smear is None else _id_of(smear)
    done = import_regions(study, file, study.settings.reader, number)
    text = f"{done.regions} regions of {done.smears} smears"
    if done.skipped:
        text += f"; {done.skipped} points or lines have no area and were left out"
    show(as_json, done._asdict(), text)


def _id_of(name: str) -> int:
    number = smear_number(name)
    if number is None:
        raise NotFound(f"{name!r} is no smear's name; write it like S000148")
    return number
