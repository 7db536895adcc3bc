"""`marrow agent run` whose workers are stubs: python -m tests.chaos.stub_agent --home DIR ..."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from marrow.settings import Settings
from tests.chaos import stub_options
from tests.chaos.stub_options import StubOptions, module
from worker import supervisor
from worker.agent import run_agent
from worker.children import Role, roles_of

ROOT = Path(__file__).parents[2]
_LAUNCHER = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"


def command(home: Path, options: StubOptions) -> list[str]:
    """Starts this program."""
    arguments = module("stub_agent", "--home", str(home), *options.arguments())
    return [sys.executable, *arguments]


def starter(options: StubOptions) -> Callable[[Path], None]:
    """For `Client(start_agent=...)`: starts this program as nobody's child, as the real one is."""

    def start(home: Path) -> None:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command(home, options)]
        with (home / "agent.err").open("ab") as said:
            subprocess.run(launcher, check=True, cwd=ROOT, stdout=said, stderr=said)

    return start


def _with_stubs(role: Role, home: Path, options: StubOptions) -> Role:
    """The same child, if it is a worker with the stub's craft, and at once."""
    if not role.holds_leases:
        return role
    own = role.command[role.command.index("worker") + 1 :]
    stub = module("stub_worker", "--home", str(home), *options.arguments(), *own)
    return replace(role, command=(sys.executable, *stub), after_s=0.0)


def main() -> int:
    """Be the agent until stopped."""
    arguments = stub_options.parser().parse_args()
    options = stub_options.options_in(arguments)

    def stub_roles(
        home: Path, folder: Path, parent_pid: int, environment: Mapping[str, str]
    ) -> list[Role]:
        real = roles_of(home, folder, parent_pid, environment)
        return [_with_stubs(role, home, options) for role in real]

    supervisor.roles_of = stub_roles
    return run_agent(Settings.read(arguments.home))


if __name__ == "__main__":
    sys.exit(main())
