"""Two workers of one thread each against one: do they stand in each other's way?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from marrow.settings import Settings
from tests.bench.figures import Figure, in_turn, ratio, seconds_of
from tests.bench.machine_room import Lab, wait_for
from tests.bench.material import make_study
from tests.bench.path import BACKBONE, INPUT_PX


def two_workers(folder: Path, fields: Sequence[Path], rounds: int) -> list[Figure]:
    """The same fields by a lab of one worker and by a lab of two, in turn."""
    size = len(fields) // (rounds + 1)
    homes = {"one": folder / "one", "two": folder / "two"}
    studies, ids = {}, {}
    for name, home in homes.items():
        studies[name], requests = make_study(_of_a_lab(home), fields, BACKBONE, INPUT_PX)
        ids[name] = [one.smear_id for one in requests]
    with Lab(studies["one"], 1) as one, Lab(studies["two"], 2) as two:

        def work(lab: Lab, name: str, number: int) -> float:
            part = ids[name][size * number : size * (number + 1)]
            return seconds_of(lambda: wait_for(lab.client, lab.submit(part), size))

        work(one, "one", rounds)  # loads the model
        work(two, "two", rounds)
        took = in_turn(
            {"one": lambda k: work(one, "one", k), "two": lambda k: work(two, "two", k)}, rounds
        )
    for study in studies.values():
        study.close()
    rates = {name: size / statistics.median(values) for name, values in took.items()}
    return [
        Figure(
            "two workers / one, a thread each",
            ratio(took["one"], took["two"]),
            1.8,
            "x",
            True,
            f"{rates['two']:.1f} / {rates['one']:.1f} fields a second "
            f"({rounds} x {size} fields, {BACKBONE})",
        )
    ]


def _of_a_lab(home: Path) -> Settings:
    """Settings that name a database, so that no agent is started for it."""
    url = Settings.read(home).database_url
    home.mkdir(parents=True)
    return Settings(home=home, database=SecretStr(url))
