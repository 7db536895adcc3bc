"""`marrow tidy`: old maps, old checkpoints and free pages go."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from marrow.catalogue import upkeep
from marrow.cli import AsJson, session_of, show
from marrow.leftovers import find, remove

_SHOWN = 20
"""Files that are listed one by one; `--json` lists all."""


def register(app: typer.Typer) -> None:
    """Add this subcommand."""
    app.command("tidy")(tidy)


def tidy(
    context: typer.Context,
    maps_older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Heatmaps of older predictions; default: none."),
    ] = None,
    older_than: Annotated[
        float,
        typer.Option(
            metavar="DAYS", min=0, help="Feature caches and checkpoints of stopped trainings."
        ),
    ] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make room: what nobody needs any more goes. Predictions, labels and models stay.

    A heatmap that is gone is not made again, since the prediction is known.
    """
    study = session_of(context).study
    maps = upkeep.count_old_maps(study.database, maps_older_than)
    found = find(study, older_than, time.time())
    if dry_run:
        space = ""
    else:
        upkeep.remove_old_maps(study.database, maps_older_than)
        found = [one for one in found if remove(study, one, older_than)]
        space = upkeep.give_back_space(study.database, study.settings.home)
    size = maps.size + sum(one.size for one in found)
    verb = "would go" if dry_run else "are gone"
    lines = [f"{maps.maps} heatmaps ({_mb(maps.size)}) and {len(found)} files or folders {verb}"]
    lines += [f"  {one.path} ({_mb(one.size)}): {one.why}" for one in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"  ... and {len(found) - _SHOWN} more (--json lists all)")
    lines.append(f"{_mb(size)} in all" + (f"; {space}" if space else ""))
    values = {
        "dry_run": dry_run,
        "maps": maps.maps,
        "map_bytes": maps.size,
        "files": [{"path": str(one.path), "bytes": one.size, "why": one.why} for one in found],
        "bytes": size,
        "space": space,
    }
    show(as_json, values, "\n".join(lines))


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
