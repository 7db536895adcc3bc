"""The `marrow` command: collects the subcommands that each package registers."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from marrow.catalogue.database import first_line
from marrow.client import Client
from marrow.errors import MarrowError, printable
from marrow.schemes import first_fault
from marrow.settings import Settings
from marrow.study import Study

REFUSED = 1
"""Exit code of refused input and of work that failed."""
WRONG_USAGE = 2
"""As typer's own: an option with a value that it cannot have."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@dataclass
class Session:
    """What the subcommands share: the home, opened when it is first needed."""

    home: Path | None

    @cached_property
    def settings(self) -> Settings:
        return Settings.read(self.home)

    @cached_property
    def study(self) -> Study:
        return Study.open(self.settings)

    @cached_property
    def client(self) -> Client:
        return Client(self.study)


def session_of(context: typer.Context) -> Session:
    """The session of a running command."""
    session = context.obj
    assert isinstance(session, Session)  # noqa: S101 -- set by the callback below
    return session


def show(as_json: bool, value: Any, text: str) -> None:
    """Print `value` as JSON, or `text` for a person.

    Names of files come from outside: what would steer the terminal is written out, and a name
    that is no Unicode is printed by its escapes, which JSON has too.
    """
    if as_json:
        text = json.dumps(value, ensure_ascii=False, default=str)
        text = text.encode("utf-8", "backslashreplace").decode()
    else:
        text = "\n".join(printable(line) for line in text.split("\n"))
    print(text)  # noqa: T201


def console() -> Console:
    """Where progress and tables go; never into a pipe's data."""
    return Console(stderr=True)


def build() -> typer.Typer:
    """The whole command, with the subcommands of every installed package."""
    app = typer.Typer(
        name="marrow",
        help="Bone-marrow smears: import, train, classify, and look at the answers. "
        "Research use only.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )

    @app.callback()
    def _main(
        context: typer.Context,
        home: Annotated[
            Path | None, typer.Option(help="Folder of the study (default: MARROW_HOME).")
        ] = None,
    ) -> None:
        context.obj = Session(home)

    for point in sorted(entry_points(group="marrow.commands"), key=lambda one: one.name):
        point.load()(app)
    return app


def main() -> None:
    """Run the command: errors are one line on stderr, exit code 1, never a traceback."""
    try:
        build()()
    except MarrowError as error:
        print(f"marrow: {printable(str(error))}", file=sys.stderr)  # noqa: T201
        raise SystemExit(REFUSED) from None
    except ValidationError as error:
        print(f"marrow: {printable(first_fault(error))}", file=sys.stderr)  # noqa: T201
        raise SystemExit(WRONG_USAGE) from None
    except DBAPIError as error:
        said = printable(first_line(error))
        print(f"marrow: the study's database failed: {said}", file=sys.stderr)  # noqa: T201
        raise SystemExit(REFUSED) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
