"""The Results table's questions to the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from marrow.catalogue import labels, sight
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.schema import prediction
from marrow.errors import NotFound
from marrow.study import Study
from napari_marrow.desk import Desk
from napari_marrow.desks import results
from napari_marrow.desks.results import Mark, View

ALL = View()


def of_job(job_id: int, **sort: Any) -> View:
    return View(ResultFilter(job_id=job_id), **sort)


def ids(lines: Any) -> list[int]:
    return [line.smear_id for line in lines]


def test_a_look_brings_what_came_since_a_mark_and_nothing_twice(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]]
) -> None:
    first, second = desk.queue.submit(add_smears(study, 20)), desk.queue.submit([3, 4, 5])
    mark = desk.results.look(ALL, Mark(), 50).mark
    seen: list[int] = []
    while worker.work_off(1):
        look = desk.results.look(ALL, mark, 50)
        seen += ids(look.lines)
        assert look.count == len(look.lines)
        mark = look.mark
    assert sorted(seen) == list(range(1, 21))  # the second job's are the same predictions
    assert desk.results.look(ALL, mark, 50).count == 0
    assert desk.results.look(ALL, mark, 50).running == frozenset()
    assert {first.id, second.id} == {1, 2}


def test_one_look_is_for_all_jobs_and_makes_few_lines(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]]
) -> None:
    add_smears(study, 40)
    desk.queue.submit(range(1, 21))
    desk.queue.submit(range(21, 41))
    before = desk.results.look(ALL, Mark(), 50)
    assert before.running == frozenset({1, 2})
    worker.work_off()
    look = desk.results.look(ALL, before.mark, 15)
    assert look.count == 40
    assert ids(look.lines) == ids(desk.results.page(ALL, 0, 15).lines)


def test_the_count_moves_along_and_stays_exact(
    desk: Desk,
    study: Study,
    worker: Any,
    add_smears: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(results, "IN_FLIGHT", 10)
    desk.queue.submit(add_smears(study, 200))
    mark, came = desk.results.page(ALL, 0, 1).mark, 0
    while worker.work_off(1):
        look = desk.results.look(ALL, mark, 0)
        came, mark = came + look.count, look.mark
    assert came == 200
    assert desk.results._counted_from[0] >= 180  # no million is counted five times a second


def test_smears_that_were_known_before_a_job_are_no_new_rows(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]]
) -> None:
    add_smears(study, 6)
    desk.queue.submit([1, 2, 3])
    worker.work_off()
    mark = desk.results.page(ALL, 0, 10).mark
    job = desk.queue.submit(range(1, 7))
    worker.work_off()
    assert desk.results.look(ALL, mark, 50).count == 3
    assert desk.results.page(of_job(job.id), 0, 10).mark == Mark(answered=6)


def test_failed_smears_change_the_mark_of_their_job(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]]
) -> None:
    worker.unreadable = {2}
    job = desk.queue.submit(add_smears(study, 3))
    mark = desk.results.page(of_job(job.id), 0, 10).mark
    worker.work_off()
    look = desk.results.look(of_job(job.id), mark, 50)
    assert look.mark == Mark(answered=2, failed=1)
    assert sorted(ids(look.lines)) == [1, 3]
    page = desk.results.page(of_job(job.id), 0, 10)
    assert ids(page.lines)[-1] == 2  # newest first; what has no time comes last
    assert page.lines[-1].error == "field.png: the file is damaged"
    assert desk.results.count(of_job(job.id)).total == 3
    assert desk.results.count(ALL).total == 2


def test_a_job_lists_what_has_ended_and_counts_nothing_else(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]]
) -> None:
    job = desk.queue.submit(add_smears(study, 40))
    worker.work_off(1)
    assert len(desk.results.page(of_job(job.id), 0, 100).lines) == 16
    assert desk.results.count(of_job(job.id)).total == 16


def test_a_page_further_down_is_not_moved_by_what_came_on_top(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]]
) -> None:
    desk.queue.submit(add_smears(study, 48))
    worker.work_off(1)
    first = desk.results.page(ALL, 0, 8)
    worker.work_off()
    second = desk.results.page(ALL, 8, 8, since=first.mark)
    assert sorted(ids([*first.lines, *second.lines])) == list(range(1, 17))
    by_smear = View(sort=Sort(column="smear"))
    assert ids(desk.results.page(by_smear, 8, 4, since=first.mark).lines) == [9, 10, 11, 12]


def test_the_worklist_begins_with_what_failed(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]]
) -> None:
    worker.unreadable = {5}
    job = desk.queue.submit(add_smears(study, 12))
    worker.work_off()
    with study.database.write() as connection:
        connection.execute(
            update(prediction)
            .where(prediction.c.smear_id == 9)
            .values(flags="unsure", worklist=1.4)
        )
    lines = desk.results.page(of_job(job.id, sort=Sort(column="worklist")), 0, 20).lines
    assert ids(lines)[0] == 5
    assert 9 in ids(lines)[:4]
    assert len(lines) == 12


def test_blind_reading_hides_rows_and_details_until_all_have_read(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]]
) -> None:
    desk.queue.submit(add_smears(study, 3))
    before = desk.results.page(ALL, 0, 10)
    worker.work_off()
    line = desk.results.page(ALL, 0, 10).lines[0]
    with study.database.write() as connection:
        sight.set_blind_readers(connection, ["A", "B"])
        for reader in ("A", "B"):
            labels.give(connection, 5.0, study.scheme, 2, {"diagnosis": "AA"}, reader, False)
    mine = View(reader="A")
    page = desk.results.page(mine, 0, 10)
    assert ids(page.lines) == [2]
    assert page.is_hidden
    assert desk.results.count(mine).total == 1
    look = desk.results.look(mine, before.mark, 10)
    assert look.lines == ()  # the number alone tells nothing of a smear
    assert desk.results.detail(page.lines[0], "A").heads
    hidden = next(one for one in (line, *before.lines) if one.smear_id != 2)
    with pytest.raises(NotFound, match="another reader must read it first"):
        desk.results.detail(hidden, "A")


def test_the_detail_says_all_of_a_row(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]]
) -> None:
    job = desk.queue.submit(add_smears(study, 2))
    worker.work_off()
    with study.database.write() as connection:
        connection.execute(update(prediction).values(flags="unsure a-new-one"))
        labels.give(connection, 5.0, study.scheme, 1, {"diagnosis": "AML"}, "B", True)
        labels.give(connection, 6.0, study.scheme, 1, {"diagnosis": "MDS"}, "B", True)
    line = next(one for one in desk.results.page(ALL, 0, 2).lines if one.smear_id == 1)
    detail = desk.results.detail(line, "A")
    assert detail.title.startswith("S000001 · P0")
    assert [one.head for one in detail.heads] == ["mds", "diagnosis"]
    diagnosis = detail.heads[1]
    assert [bar.class_name for bar in diagnosis.bars] == ["AA", "MDS", "AML"]
    assert sum(bar.p for bar in diagnosis.bars) == pytest.approx(1)
    assert [bar.class_name for bar in diagnosis.bars if bar.is_called] == [line.calls["diagnosis"]]
    assert detail.calls == {"diagnosis": line.calls["diagnosis"]}  # MDS? follows from it
    assert detail.flags[0].startswith("unsure: the probability")
    assert detail.flags[1] == "a-new-one"
    (label,) = detail.labels
    assert label.startswith("diagnosis: MDS (B, ")
    assert label.endswith("prediction seen)")
    assert detail.made.startswith("m1 (champion) · fp32 · ")
    assert job.id == 1


def test_the_choices_are_the_newest_classifications_and_models(
    desk: Desk, study: Study, worker: Any, add_smears: Callable[..., list[int]]
) -> None:
    desk.queue.submit(add_smears(study, 2))
    desk.queue.submit([1])
    choices = desk.results.choices()
    assert [one.id for one in choices.jobs] == [2, 1]
    assert choices.jobs[1].words.startswith("job 1 · 2 smears · ")
    assert [one.words for one in choices.models] == ["m1 (champion)"]
