"""What the panels ask of a real catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from marrow.catalogue import regions
from marrow.catalogue.regions import NewRegion
from marrow.catalogue.smears import SmearFilter
from marrow.errors import BadLabels, NotFound
from marrow.study import Study
from napari_marrow.desk import Desk
from napari_marrow.desks.smears import SmearPixels


def nothing(_done: int, _total: int) -> None:
    """No progress is shown."""


def test_adds_a_folder_with_its_labels_and_files_without(desk: Desk, fields: Path) -> None:
    steps: list[tuple[int, int]] = []
    added = desk.cases.add([fields], lambda done, total: steps.append((done, total)))
    assert (added.added, added.known, added.labels, added.refused) == (20, 0, 16, ())
    assert steps[-1] == (20, 20)
    again = desk.cases.add([fields / "field_03.png"], nothing)
    assert (again.added, again.known) == (0, 1)
    page = desk.cases.page(SmearFilter(), "A", 0, 100)
    assert (len(page.lines), page.left) == (20, 0)
    assert desk.cases.page(SmearFilter(), "A", 5, 3).left == 12
    assert page.lines[1].cells == ("S000002", "MDS", "", "", "P00", "north")
    counts = desk.cases.counts("A")
    assert (counts.smears, counts.without_patient) == (20, 4)
    assert sorted(one.read for one in counts.progress) == [0, 16]


def test_a_dropped_table_holds_the_labels_of_who_drops_it(desk: Desk, fields: Path) -> None:
    desk.cases.add([fields], nothing, "Dr B")
    progress = {one.reader: one.read for one in desk.cases.counts("Dr B").progress}
    assert progress == {"Dr B": 16}


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
    assert desk.cases.counts("A").smears == 0


def test_describes_several_smears_at_once(desk: Desk, add_smears: Any, study: Any) -> None:
    ids = add_smears(study, 4)
    desk.cases.describe(ids[:3], "patient", "P9")
    desk.cases.describe(ids[:2], "site", "north")
    lines = desk.cases.page(SmearFilter(), "A", 0, 10).lines
    assert [line.cells[4:] for line in lines] == [
        ("P9", "north"),
        ("P9", "north"),
        ("P9", ""),
        ("P1", ""),
    ]


def test_without_a_model_nothing_is_queued(desk: Desk, add_smears: Any, study: Any) -> None:
    ids = add_smears(study, 2)
    with pytest.raises(NotFound, match="no model"):
        desk.queue.submit(ids)
    assert desk.queue.state().lines == ()


def test_a_picture_has_the_pixels_the_regions_and_the_asked_for_answer(
    desk: Desk, study: Study, worker: Any, fields: Path, pretend_answer: Any
) -> None:
    desk.cases.add([fields], nothing)
    desk.queue.submit([1, 2])
    worker.work_off()
    square = NewRegion(role="exclude", polygon=((0, 0), (0, 5), (5, 5)))
    with study.database.write() as connection:
        regions.replace(connection, 5.0, 1, [square], "A")
    facts, pixels = desk.smears.facts(1, "newest", "A"), desk.smears.pixels(1)
    assert isinstance(pixels, SmearPixels)
    with pixels.image:
        assert pixels.levels[0].shape == (128, 128, 3)
        assert pixels.overview.shape == (128, 128, 3)
    assert facts.prediction is not None
    assert facts.prediction.answer.calls == pretend_answer(desk.scheme, 1)[0].calls
    assert facts.answer_map is not None
    assert [region.role for region in facts.regions] == ["exclude"]
    asked = desk.smears.facts(1, facts.prediction.id, "A")
    assert (asked.prediction, asked.answer_words) == (facts.prediction, facts.answer_words)
    other = desk.smears.facts(2, facts.prediction.id, "A")
    assert (other.prediction, other.answer_map) == (None, None)
    plain = desk.smears.facts(1, None, "A")
    assert (plain.prediction, plain.answer_map, plain.answer_words) == (None, None, "")
    for ask in (lambda: desk.smears.facts(99, None, "A"), lambda: desk.smears.pixels(99)):
        with pytest.raises(NotFound):
            ask()
