"""`marrow worker` with the stub's craft: python -m tests.chaos.stub_worker --home DIR ..."""

from __future__ import annotations

import time
from pathlib import Path

from marrow.settings import Settings
from marrow.study import Study
from tests.chaos import stub_options
from tests.chaos.stub import equip
from worker.app import run_worker


def main() -> None:
    """Work until told to stop."""
    parser = stub_options.parser()
    parser.add_argument("--parent", type=int)
    parser.add_argument("--seat", type=Path)
    parser.add_argument("--poll", action="store_true")
    parser.add_argument("--clock-ahead-s", type=float, default=0.0)
    arguments = parser.parse_args()
    options = stub_options.options_in(arguments)
    stub_options.apply(options)
    study = Study.open(
        Settings.read(arguments.home), clock=lambda: time.time() + arguments.clock_ahead_s
    )
    run_worker(study, equip(options.smear_s), arguments.parent, arguments.poll, arguments.seat)


if __name__ == "__main__":
    main()
