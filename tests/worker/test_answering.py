"""What a classification piece may open."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from marrow.catalogue import jobs
from marrow.catalogue.schema import model as model_table
from marrow.client import Client
from marrow.records import ModelRecord
from marrow.study import Study
from worker.equipment import equip
from worker.owner import Owner
from worker.work import Bench


@pytest.mark.parametrize("path", ["../models/tiny", "/etc", "models/../../tiny"])
def test_a_model_outside_of_the_store_is_never_opened(
    path: str,
    make_study: Callable[..., Study],
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
    tmp_path: Path,
) -> None:
    study = make_study()
    tiny_model(study)
    with study.database.write() as connection:
        connection.execute(update(model_table).values(path=path))
    client = Client(study, start_agent=lambda _: None)
    job = client.submit(small_smears(study, tmp_path / "smears", 2))
    stopping = threading.Event()
    bench = Bench(study, Owner("here", 1, 1.0), equip(study, stopping, "cpu"), stopping)
    assert bench.try_any()
    with study.database.read() as connection:
        reasons = set(dict(jobs.errors(connection, job.id)).values())
    assert reasons == {"m1 names a folder outside of the store: import it again"}
