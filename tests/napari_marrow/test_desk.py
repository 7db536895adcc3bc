"""What the panels ask of a real catalogue."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from marrow.catalogue import labels
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.regions import NewRegion
from marrow.catalogue.smears import SmearFilter
from marrow.errors import BadLabels, NotFound
from napari_marrow.desk import Desk
from napari_marrow.follower import Arrived, Follower, JobEnded


def nothing(_done: int, _total: int) -> None:
    """No progress is shown."""


def test_adds_a_folder_with_its_labels_and_files_without(desk: Desk, fields: Path) -> None:
    steps: list[tuple[int, int]] = []
    added = desk.cases.add([fields], lambda done, total: steps.append((done, total)))
    assert (added.added, added.known, added.labels, added.refused) == (20, 0, 16, ())
    assert steps[-1] == (20, 20)
    again = desk.cases.add([fields / "field_03.png"], nothing)
    assert (again.added, again.known) == (0, 1)
    page = desk.cases.page(SmearFilter(), 0, 100)
    assert (page.total, page.smears, page.labelled, page.without_patient) == (20, 20, 16, 4)
    assert page.lines[1].cells == ("S000002", "P00", "north", "MDS")


def test_a_bad_file_is_named_and_the_good_ones_are_added(
    desk: Desk, tmp_path: Path, fields: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    added = desk.cases.add([fields / "field_00.png", broken], nothing)
    assert added.added == 1
    assert len(added.refused) == 1
    assert "broken.png" in added.refused[0]


def test_a_wrong_labels_table_is_refused_whole(desk: Desk, fields: Path) -> None:
    (fields / "labels.csv").write_text("file,diagnosis\nfield_00.png,CML\n", encoding="utf-8")
    with pytest.raises(BadLabels, match="CML"):
        desk.cases.add([fields], nothing)
    assert desk.cases.page(SmearFilter(), 0, 10).smears == 0


def test_describes_several_smears_at_once(desk: Desk, add_smears: Any, study: Any) -> None:
    ids = add_smears(study, 4)
    desk.cases.describe(ids[:3], "patient", "P9")
    desk.cases.describe(ids[:2], "site", "north")
    lines = desk.cases.page(SmearFilter(), 0, 10).lines
    assert [line.cells[1:3] for line in lines] == [
        ("P9", "north"),
        ("P9", "north"),
        ("P9", ""),
        ("P1", ""),
    ]


def test_a_label_after_a_seen_prediction_is_stored_as_not_blind(
    desk: Desk, add_smears: Any, study: Any
) -> None:
    ids = add_smears(study, 2)
    desk.labels.give(ids, {"diagnosis": "AA"}, "A", frozenset({ids[1]}))
    with study.database.read() as connection:
        seen = [labels.history(connection, one)[0].seen_prediction for one in ids]
    assert seen == [False, True]


def test_without_a_model_nothing_is_queued(desk: Desk, add_smears: Any, study: Any) -> None:
    ids = add_smears(study, 2)
    with pytest.raises(NotFound, match="no model"):
        desk.queue.submit(ids)
    assert desk.queue.state().lines == ()


def test_a_follower_hands_over_each_result_once_and_then_the_end(
    desk: Desk, worker: Any, add_smears: Any, study: Any
) -> None:
    ids = add_smears(study, 40)
    worker.unreadable = {ids[5]}
    job = desk.queue.submit(ids)
    worker.work_off(1)  # what is done before the viewer opens comes too
    follower = Follower(desk)
    follower.follow(job.id)
    follower.follow(job.id)
    assert follower.followed == {job.id}
    worker.work_off()
    for thread in list(follower._threads.values()):
        thread.join(10)
    news = follower.take(1000)
    assert news[-1] == JobEnded(job.id)
    arrived = [one.line for one in news if isinstance(one, Arrived)]
    assert [line.smear_id for line in arrived] == ids
    failed = [line for line in arrived if line.error is not None]
    assert [line.smear_id for line in failed] == [ids[5]]
    assert follower.take(10) == []


def test_a_stopped_follower_ends_before_the_job(
    desk: Desk, worker: Any, add_smears: Any, study: Any
) -> None:
    job = desk.queue.submit(add_smears(study, 3))
    follower = Follower(desk)
    follower.follow(job.id)
    follower.stop()
    for thread in list(follower._threads.values()):
        thread.join(10)
    assert follower.followed == frozenset()
    assert follower.take(10) == []
    follower.follow(job.id)
    assert follower.followed == frozenset()


def test_results_of_a_job_leave_out_what_has_not_ended(
    desk: Desk, worker: Any, add_smears: Any, study: Any
) -> None:
    ids = add_smears(study, 20)
    job = desk.queue.submit(ids)
    worker.work_off(1)  # sixteen of twenty
    shown = ResultFilter(job_id=job.id)
    page = desk.results.page(shown, Sort(column="at", descending=True), 0, 100)
    assert len(page.lines) == page.total == 16
    state = desk.queue.state()
    assert state.followed == (job.id,)
    assert "16 of 20" in state.lines[0].cells
    worker.work_off()
    assert desk.results.page(shown, Sort(), 0, 100).total == 20
    assert desk.queue.state().followed == ()


def test_a_picture_has_the_pixels_the_regions_and_the_asked_for_answer(
    desk: Desk, worker: Any, fields: Path
) -> None:
    desk.cases.add([fields], nothing)
    desk.queue.submit([1, 2])
    worker.work_off()
    desk.smears.save_regions(1, [NewRegion(role="exclude", polygon=((0, 0), (0, 5), (5, 5)))], "A")
    line = desk.results.page(ResultFilter(), Sort(), 0, 1).lines[0]
    picture = desk.smears.picture(1, line.prediction_id)
    with picture.image:
        assert picture.levels[0].shape == (128, 128, 3)
        assert picture.prediction is not None
        assert picture.prediction.answer.calls == line.calls
        assert picture.answer_map is not None
        assert [region.role for region in picture.regions] == ["exclude"]
    plain = desk.smears.picture(1, None)
    with plain.image:
        assert plain.prediction is None
        assert plain.answer_map is None
    with pytest.raises(NotFound):
        desk.smears.picture(99, None)


def test_a_stop_event_ends_following_at_once(
    desk: Desk, worker: Any, add_smears: Any, study: Any
) -> None:
    job = desk.queue.submit(add_smears(study, 3))
    stop = threading.Event()
    stop.set()
    assert all(event.kind == "state" for event in desk.results.follow(job.id, stop))
