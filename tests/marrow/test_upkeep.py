"""Tidying up removes what nobody needs, says so before, and leaves all else alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update

from marrow import leftovers
from marrow.catalogue import jobs, predictions, upkeep
from marrow.catalogue.schema import job as job_table
from marrow.catalogue.schema import piece, prediction, prediction_map, smear
from marrow.cli import build
from marrow.records import (
    Answer,
    AnswerMap,
    CheckpointRef,
    ConclusionPayload,
    HarvestRef,
    HeadAnswer,
    Job,
    ModelRecord,
    Provenance,
    SegmentPayload,
    SweepSpec,
    TrainingSpec,
)
from marrow.study import Study

DAY_S = 86_400.0
ANSWER = Answer(
    heads=(
        HeadAnswer(head="mds", call="MDS", probabilities=(0.1, 0.9)),
        HeadAnswer(head="diagnosis", call="MDS", probabilities=(0.1, 0.8, 0.1)),
    )
)
MAP = AnswerMap("activation", bytes(640), (5, 8, 8), (128.0, 128.0))


@pytest.fixture
def study(
    any_study: Study, add_smears: Callable[..., list[int]], add_model: Callable[..., ModelRecord]
) -> Study:
    """Four answered smears, with maps: 1 and 2 from 40 days ago, 3 has other regions by now."""
    ids, model = add_smears(any_study, 4), add_model(any_study)
    with any_study.database.write() as connection:
        now = any_study.database.now(connection)
        made_by = Provenance(code_version="0", torch_version="0", device="cpu", host="h")
        by = predictions.provenance_id(connection, made_by)
        for at, chosen in ((now - 40 * DAY_S, ids[:2]), (now, ids[2:])):
            predictions.store(
                connection, at, any_study.scheme, model, by,
                dict.fromkeys(chosen, 0), dict.fromkeys(chosen, (ANSWER, MAP)),
            )  # fmt: skip
        connection.execute(update(smear).where(smear.c.id == ids[2]).values(regions_revision=1))
    return any_study


def _count(study: Study, table: object) -> int:
    with study.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_only_maps_of_other_regions_go_unasked(study: Study) -> None:
    assert upkeep.count_old_maps(study.database, None) == (1, 640)
    assert upkeep.remove_old_maps(study.database, None) == 1
    with study.database.read() as connection:
        has_map = [predictions.map_of(connection, one) is not None for one in (1, 2, 3, 4)]
    assert has_map == [True, True, False, True]


def test_old_maps_go_and_their_predictions_stay(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 1)
    assert upkeep.count_old_maps(study.database, 39) == (3, 1920)
    assert upkeep.remove_old_maps(study.database, 39) == 3
    assert _count(study, prediction_map) == 1
    assert _count(study, prediction) == 4
    assert upkeep.count_old_maps(study.database, 39) == (0, 0)


def _sweep(study: Study, state: str, days_ago: float) -> Job:
    with study.database.write() as connection:
        now = study.database.now(connection)
        job = jobs.submit_sweep(connection, now, SweepSpec(runs=(TrainingSpec(epochs=2),)))
        ended = now - days_ago * DAY_S if state in {"done", "failed", "cancelled"} else None
        chosen = update(job_table).where(job_table.c.id == job.id)
        connection.execute(chosen.values(state=state, finished_at=ended))
        return jobs.get(connection, job.id)


def _file(path: Path, size: int = 10, days_ago: float = 0, now: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    changed = now - days_ago * DAY_S
    os.utime(path, (changed, changed))
    return path


def _checkpoint(study: Study, job_id: int) -> Path:
    return _file(study.store / f"runs/j{job_id}-r0/segment-00001-attempt-1.safetensors")


def _found(study: Study, now: float = 1e9) -> set[str]:
    store = study.store
    return {one.path.relative_to(store).as_posix() for one in leftovers.find(study, 30, now)}


def test_checkpoints_of_what_may_go_on_stay(study: Study) -> None:
    states = [("done", 0), ("failed", 40), ("failed", 1), ("cancelled", 40), ("running", 0)]
    made = [_sweep(study, state, days) for state, days in states]
    for job in made:
        _checkpoint(study, job.id)
    _checkpoint(study, 999)  # of another study that shares the store
    gone = {f"runs/j{made[index].id}-r0" for index in (0, 1, 3)}
    assert _found(study) == gone
    for one in leftovers.find(study, 30, 1e9):
        assert leftovers.remove(study, one, 30)
    left = {path.name for path in (study.store / "runs").iterdir()}
    assert left == {f"j{made[2].id}-r0", f"j{made[4].id}-r0", "j999-r0"}


def test_a_job_that_is_retried_meanwhile_keeps_its_checkpoints(study: Study) -> None:
    job = _sweep(study, "failed", 40)
    checkpoint = _checkpoint(study, job.id)
    (found,) = leftovers.find(study, 30, 1e9)
    with study.database.write() as connection:
        chosen = update(job_table).where(job_table.c.id == job.id)
        connection.execute(chosen.values(state="waiting", finished_at=None))
    assert not leftovers.remove(study, found, 30)
    assert checkpoint.exists()


def test_a_run_whose_checkpoints_are_gone_begins_anew_when_it_is_retried(study: Study) -> None:
    job = _sweep(study, "failed", 40)
    reference = CheckpointRef(path=f"runs/j{job.id}-r0/c", sha256="c" * 64, epoch=1, batch=0)
    broken_off = SegmentPayload(run=0, segment=7, checkpoint=reference).model_dump(mode="json")
    with study.database.write() as connection:
        chosen = update(piece).where(piece.c.job_id == job.id)
        connection.execute(chosen.values(state="failed", payload=broken_off))
    _checkpoint(study, job.id)
    (found,) = leftovers.find(study, 30, 1e9)
    assert leftovers.remove(study, found, 30)
    with study.database.read() as connection:
        asked = select(piece.c.payload).where(piece.c.job_id == job.id)
        kept = connection.execute(asked).scalar_one()
    assert SegmentPayload.model_validate(kept) == SegmentPayload(run=0, segment=0)


def _two_runs(study: Study, states: tuple[str, str, str]) -> Job:
    """A cancelled sweep of 40 days ago: two runs that are done or not, and perhaps its end."""
    ref = [HarvestRef(path=f"runs/j1-r{run}/h", sha256="c" * 64, epoch=2) for run in (0, 1)]
    with study.database.write() as connection:
        now = study.database.now(connection)
        runs = (TrainingSpec(epochs=2), TrainingSpec(epochs=2, seed=1))
        job = jobs.submit_sweep(connection, now, SweepSpec(runs=runs))
        if states[2]:
            end = ConclusionPayload(harvests=tuple((one,) for one in ref))
            jobs.add_training(connection, job.id, end)
        for run, state in enumerate(states[:2]):
            left = (ref[run],) if state == "done" else ()
            payload = SegmentPayload(run=run, segment=0, harvests=left).model_dump(mode="json")
            chosen = update(piece).where(piece.c.job_id == job.id, piece.c.number == run)
            connection.execute(chosen.values(state=state, payload=payload))
        chosen = update(piece).where(piece.c.job_id == job.id, piece.c.number == 2)
        connection.execute(chosen.values(state=states[2]))
        chosen = update(job_table).where(job_table.c.id == job.id)
        connection.execute(chosen.values(state="cancelled", finished_at=now - 40 * DAY_S))
    for run in (0, 1):
        _file(study.store / f"runs/j{job.id}-r{run}/harvest.safetensors")
    return job


@pytest.mark.parametrize("states", [("done", "cancelled", ""), ("done", "done", "failed")])
def test_a_run_whose_harvest_is_gone_is_trained_again(
    study: Study, states: tuple[str, str, str]
) -> None:
    """Otherwise a retry would come to a conclusion that finds nothing."""
    job = _two_runs(study, states)
    for found in leftovers.find(study, 30, 1e9):
        assert leftovers.remove(study, found, 30)
    with study.database.write() as connection:
        jobs.retry(connection, study.database.now(connection), job.id)
        asked = select(piece.c.state, piece.c.payload).where(piece.c.job_id == job.id)
        kept = connection.execute(asked.order_by(piece.c.number)).all()
    assert [row.state for row in kept] == ["new", "new"]
    again = [SegmentPayload.model_validate(row.payload) for row in kept]
    assert again == [SegmentPayload(run=run, segment=0) for run in (0, 1)]


def test_what_a_sweep_has_done_stays_done_when_its_folders_go(study: Study) -> None:
    job = _two_runs(study, ("done", "done", "done"))
    with study.database.write() as connection:
        chosen = update(job_table).where(job_table.c.id == job.id)
        connection.execute(chosen.values(state="done"))
    for found in leftovers.find(study, 30, 1e9):
        assert leftovers.remove(study, found, 30)
    with study.database.read() as connection:
        states = select(piece.c.state).where(piece.c.job_id == job.id)
        assert list(connection.execute(states).scalars()) == ["done"] * 3


def test_old_caches_and_broken_off_files_go(study: Study) -> None:
    now = 1e9
    for name, days in (
        ("features/old.safetensors", 31),
        ("features/new.safetensors", 29),
        ("features/old.maps", 31),
        ("features/old.json", 31),
        ("features/new.maps", 29),
        ("models/.aa.part/weights.safetensors", 2),
        ("models/.bb.part/weights.safetensors", 0.5),
        ("models/cc/weights.safetensors", 99),
        ("smears/ab/image.png", 99),
        ("smears/ab/.image.png.12.part", 3),
    ):
        _file(study.store / name, 10, days, now)
    os.utime(study.store / "models/.aa.part", (now - 2 * DAY_S,) * 2)
    os.utime(study.store / "models/.bb.part", (now - 2 * DAY_S,) * 2)
    caches = {f"features/old.{form}" for form in ("safetensors", "maps", "json")}
    wanted = caches | {"models/.aa.part", "smears/ab/.image.png.12.part"}
    assert _found(study, now) == wanted


def test_a_link_is_never_followed(study: Study, tmp_path: Path) -> None:
    outside = _file(tmp_path / "elsewhere" / ".precious.part")
    study.store.mkdir(exist_ok=True)
    (study.store / "runs").symlink_to(outside.parent)
    (study.store / ".link.part").symlink_to(outside)
    assert _found(study, 4e9) == set()


def _waste(study: Study) -> None:
    """Leave some ten million free bytes in the database."""
    with study.database.write() as connection:
        connection.execute(text("CREATE TABLE waste (filling TEXT)"))
        rows = [{"x": "w" * 100_000} for _ in range(100)]
        connection.execute(text("INSERT INTO waste VALUES (:x)"), rows)
    with study.database.write() as connection:
        connection.execute(text("DROP TABLE waste"))


def test_free_space_is_given_back_when_no_job_is_unfinished(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "WORTH_BYTES", 1_000_000)
    _waste(study)
    job = _sweep(study, "running", 0)
    home = study.settings.home
    if not study.database.is_sqlite:
        assert "again" in upkeep.give_back_space(study.database, home)
        return
    assert "unfinished" in upkeep.give_back_space(study.database, home)
    assert (upkeep.free_bytes(study.database) or 0) > 9_000_000
    with study.database.write() as connection:
        jobs.set_state(connection, 1.0, job.id, "done")
    assert "MB smaller" in upkeep.give_back_space(study.database, home)
    assert (home / "catalogue.sqlite").stat().st_size < 2_000_000
    assert "keeps its size" in upkeep.give_back_space(study.database, home)
    assert _count(study, prediction) == 4


def test_the_command_says_what_would_go_and_then_does_it(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    if not study.database.is_sqlite:
        pytest.skip("the command is the same; its settings name a file here")
    job = _sweep(study, "done", 0)
    checkpoint = _checkpoint(study, job.id)
    command = ["--home", str(study.settings.home), "tidy", "--maps-older-than", "39", "--json"]
    said = _run(capsys, [*command, "--dry-run"])
    assert (said["maps"], said["map_bytes"], said["bytes"]) == (3, 1920, 1930)
    assert checkpoint.exists()
    assert _count(study, prediction_map) == 4
    done = _run(capsys, command)
    assert done["files"] == said["files"]
    assert not checkpoint.exists()
    assert _count(study, prediction_map) == 1
    assert _run(capsys, command)["bytes"] == 0


def _run(capsys: pytest.CaptureFixture[str], words: list[str]) -> dict[str, object]:
    build()(words, standalone_mode=False)
    said: dict[str, object] = json.loads(capsys.readouterr().out)
    return said
