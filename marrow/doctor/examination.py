"""The whole examination: the installation, the home, the study, and what other packages know.

A package above the floor that has something to look at registers a function in the entry-point
group `marrow.doctor`: it takes the settings and gives back findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from marrow.catalogue.database import first_line
from marrow.doctor import catalogue, home, installation, models, services, work
from marrow.doctor.finding import Finding, ill, well
from marrow.errors import MarrowError
from marrow.settings import Settings
from marrow.study import Study

GROUP = "marrow.doctor"
_OF_A_STUDY: tuple[Callable[[Study], Iterator[Finding]], ...] = (
    catalogue.examine,
    work.examine,
    models.examine,
)


def examine(read_settings: Callable[[], Settings]) -> list[Finding]:
    """Look at everything there is; a broken part leaves the others to be looked at."""
    findings = list(installation.examine())
    try:
        settings = read_settings()
    except MarrowError as error:
        return [*findings, ill("settings", str(error), "correct the setting that it names")]
    findings += home.examine(settings)
    findings += _study(settings)
    findings += services.examine(settings)
    for point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        findings += _of_package(point.name, point.load, settings)
    return findings


def _study(settings: Settings) -> list[Finding]:
    is_new = settings.database is None and not (settings.home / "catalogue.sqlite").exists()
    if is_new:
        found = f"none in {settings.home}"
        return [well("study", found, "`marrow init` makes one")]
    try:
        study = Study.open(settings)
    except (MarrowError, ValidationError) as error:
        remedy = (
            "do what the sentence says, or restore a backup: `marrow restore FILE`"
            if settings.database is None
            else "is the server running, does MARROW_DATABASE name it, was `marrow init` run?"
        )
        return [ill("study", str(error).partition("\n")[0], remedy)]
    except DBAPIError as error:
        return [_of_failure("study", error)]
    findings = [well("study", f"{study.scheme.name} in {settings.home}")]
    for look in _OF_A_STUDY:
        try:
            findings += look(study)
        except DBAPIError as error:
            findings.append(_of_failure(look.__module__.rpartition(".")[2], error))
    study.close()
    return findings


def _of_failure(what: str, error: DBAPIError) -> Finding:
    remedy = "is the disk full or the file damaged? else restore a backup: `marrow restore FILE`"
    return ill(what, f"the database failed: {first_line(error)}", remedy)


def _of_package(
    name: str, load: Callable[[], Callable[[Settings], Iterator[Finding]]], settings: Settings
) -> list[Finding]:
    try:
        return list(load()(settings))
    except ImportError as error:
        remedy = "install napari-marrow again"
        return [ill(name, f"does not load ({type(error).__name__})", remedy)]
