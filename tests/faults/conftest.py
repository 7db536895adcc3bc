"""Wards: studies under a fault, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from marrow.study import Study
from tests.faults.wards import Ward, marrow, processes_of

MakeWard = Callable[..., Ward]


@pytest.fixture
def make_ward(
    make_study: Callable[..., Study], tmp_path: Path, small_smears: Any, tiny_model: Any
) -> MakeWard:
    def make(name: str = "home", **options: Any) -> Ward:
        return Ward(make_study(name=name, **options), tmp_path / name, small_smears, tiny_model)

    return make


@pytest.fixture
def ward(make_ward: MakeWard) -> Ward:
    return make_ward()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_ward(request: pytest.FixtureRequest, make_ward: MakeWard) -> Ward:
    """A ward on each kind of database."""
    if request.param == "sqlite":
        return make_ward()
    return make_ward(database=request.getfixturevalue("postgres_url"))


@pytest.fixture
def agents() -> Iterator[list[Study]]:
    """Studies in this list have their agent stopped after the test, hanging brokers included."""
    studies: list[Study] = []
    yield studies
    for study in studies:
        for process in processes_of(study).values():
            os.kill(process.pid, signal.SIGCONT)
        marrow(study, "agent", "stop")
