"""`marrow init`, `import`, `label` and `upgrade`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from marrow.catalogue import smears
from marrow.catalogue.database import Database
from marrow.catalogue.migrate import HEAD, migrate
from marrow.catalogue.smears import SmearFilter
from marrow.cli import REFUSED, AsJson, console, session_of, show
from marrow.client import Client
from marrow.errors import NotFound
from marrow.importing import ImportReport, label_known_smears
from marrow.schemes import AA_MDS_AML, Scheme
from marrow.settings import Settings
from marrow.study import Study

IsBlind = Annotated[
    bool, typer.Option("--blind", help="Who labelled had seen no prediction of these smears.")
]
_SHOWN = 20
"""Refused files that are listed one by one; `--json` lists all."""


def register(app: typer.Typer) -> None:
    """Add these subcommands."""
    app.command("init")(init)
    app.command("import")(import_)
    app.command("label")(label)
    app.command("upgrade")(upgrade)


def init(
    context: typer.Context,
    scheme: Annotated[
        Path | None, typer.Option(help="TOML file with the questions; default: AA / MDS / AML.")
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="With synthetic smears, for a first look.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a new study in this home."""
    if sample and scheme is not None:
        raise typer.BadParameter("the sample smears have their own questions: leave --scheme out")
    settings = session_of(context).settings
    if sample:
        study = _draw_sample(settings)
    else:
        study = Study.create(settings, AA_MDS_AML if scheme is None else Scheme.from_toml(scheme))
    with study.database.read() as connection:
        drawn = smears.count(connection, SmearFilter())
    chosen = study.scheme
    heads = {head.name: list(head.classes) for head in chosen.heads}
    lines = [f"New study in {settings.home}"]
    lines += [f"  {name}: {', '.join(classes)}" for name, classes in heads.items()]
    lines += [f"  {drawn} synthetic smears, drawn by a program"] * sample
    values = {"home": str(settings.home), "scheme": chosen.name, "heads": heads, "smears": drawn}
    show(as_json, values, "\n".join(lines))
    study.close()


def _draw_sample(settings: Settings) -> Study:
    from marrow.sample_study import make_sample_study  # scipy: not for every `marrow --help`

    with Progress(console=console(), transient=True) as progress:
        bar = progress.add_task("Drawing smears", total=None)
        study, _client = make_sample_study(
            settings,
            Client,
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    return study


def import_(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Smears, or folders of smears.")],
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV: file, patient, [slide, site, mpp,] and a column per head."),
    ] = None,
    site: Annotated[str | None, typer.Option(help="Site of all these smears.")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the files into the store.")] = False,
    is_blind: IsBlind = False,
    as_json: AsJson = False,
) -> None:
    """Register smears. Bad files are listed, the others are registered; exit code 1 if any."""
    client = session_of(context).client
    with Progress(console=console(), transient=True) as progress:
        bar = progress.add_task("Reading smears", total=None)
        report = client.import_smears(
            paths,
            labels,
            site,
            copy=copy,
            is_blind=is_blind,
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    if not report.smear_ids and not report.refused:
        raise NotFound(f"There is no smear in {', '.join(map(str, paths))}")
    show_import(report, as_json)
    if report.refused:
        raise typer.Exit(REFUSED)


def show_import(report: ImportReport, as_json: bool) -> None:
    """Print what an import did: the counts, and each refused file with its reason."""
    counts = {"added": report.added, "known": report.known, "labels": report.labels}
    refused = [str(error) for error in report.refused]
    known = f", {report.known} known before" if report.known else ""
    lines = [f"{report.added} smears registered{known}, {report.labels} labels"]
    lines += _grouped(report.warnings)
    if refused:
        lines.append(f"{len(refused)} files refused:")
        lines += [f"  {text}" for text in refused[:_SHOWN]]
        if len(refused) > _SHOWN:
            lines.append(f"  ... and {len(refused) - _SHOWN} more (--json lists all)")
    values = {**counts, "refused": refused, "warnings": [list(one) for one in report.warnings]}
    show(as_json, values, "\n".join(lines))


def _grouped(warnings: tuple[tuple[str, str], ...]) -> list[str]:
    """One line a warning, however many files share it."""
    files: dict[str, list[str]] = {}
    for name, text in warnings:
        files.setdefault(text, []).append(name)
    return [
        f"warning: {names[0] if len(names) == 1 else f'{len(names)} files'}: {text}"
        for text, names in files.items()
    ]


def label(
    context: typer.Context,
    table: Annotated[Path, typer.Argument(help="CSV: file, and a column per head.")],
    reader: Annotated[
        str | None, typer.Option(help="Whose labels these are (default: MARROW_READER).")
    ] = None,
    is_blind: IsBlind = False,
    as_json: AsJson = False,
) -> None:
    """Give labels, patients and sites to smears that are registered already."""
    study = session_of(context).study
    given, seen, unknown = label_known_smears(study, table, reader, is_blind=is_blind)
    text = f"{given} smears labelled"
    if seen:
        text += f"; {seen} have a prediction, so that their labels do not count as blind (--blind)"
    if unknown:
        text += f"; {len(unknown)} files are not registered: {', '.join(unknown[:5])}"
    show(as_json, {"labelled": given, "not_blind": seen, "unknown": unknown}, text)
    if unknown:
        raise typer.Exit(REFUSED)


def upgrade(context: typer.Context, as_json: AsJson = False) -> None:
    """Bring the study's database to this version's schema."""
    settings = session_of(context).settings
    database = Database(settings.database_url)
    migrate(database)
    database.close()
    show(as_json, {"schema": HEAD}, f"The study has schema {HEAD}")
