"""`marrow regions`: polygons as GeoJSON, to QuPath and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marrow.catalogue.text_search import smear_number
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
    files: Annotated[list[Path], typer.Argument(metavar="FILE.geojson...")],
    smear: Smear = None,
    as_json: AsJson = False,
) -> None:
    """Store files' regions in place of those that stand.

    A file says of which smear it is, by what was exported with it or by its name; --smear says it
    of all that do not.
    """
    study = session_of(context).study
    number = None if smear is None else _id_of(smear)
    done = [import_regions(study, one, study.settings.reader, number) for one in files]
    smears, drawn, skipped = (sum(part) for part in zip(*done, strict=True))
    text = f"{drawn} regions of {smears} smears"
    if skipped:
        text += f"; {skipped} points, lines, tiles or cells are no regions and were left out"
    show(as_json, {"smears": smears, "regions": drawn, "skipped": skipped}, text)


def _id_of(name: str) -> int:
    number = smear_number(name)
    if number is None:
        raise NotFound(f"{name!r} is no smear's name; write it like S000148")
    return number
