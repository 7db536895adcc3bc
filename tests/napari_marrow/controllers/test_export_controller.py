"""Writing what is listed, and taking regions back in, without a window."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from pyarrow import parquet

from marrow.catalogue import regions, sight
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.regions import NewRegion
from marrow.study import Study
from napari_marrow.controllers.exporting import ExportController
from napari_marrow.controllers.results import ResultsController
from napari_marrow.controllers.results_view import ResultsView
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.session import Session

SQUARE = ((1.0, 1.0), (1.0, 9.0), (9.0, 9.0), (9.0, 1.0))


class Words:
    """An `ExportView` that keeps what it shows."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.progress: list[tuple[int, int]] = []

    def set_export(self, done: int, total: int) -> None:
        self.progress.append((done, total))

    def tell(self, words: str, is_warning: bool) -> None:
        self.told.append(words)


@pytest.fixture
def session() -> Session:
    return Session(reader="A")


@pytest.fixture
def view() -> Words:
    return Words()


@pytest.fixture
def smear() -> Any:
    return create_autospec(SmearController, instance=True)


@pytest.fixture
def results(session: Session, background: Any, worker: Any) -> ResultsController:
    follower = create_autospec(object, instance=True)
    follower.watch, follower.take = lambda *_what: None, list
    shown = create_autospec(ResultsView, instance=True)
    shown.current_row.return_value = None
    return ResultsController(session, background, shown, lambda _desk: follower)


@pytest.fixture
def exports(
    session: Session, background: Any, view: Words, results: ResultsController, smear: Any
) -> ExportController:
    return ExportController(session, background, view, results, smear)


@pytest.fixture
def opened(
    exports: ExportController,
    session: Session,
    desk: Desk,
    worker: Any,
    study: Study,
    add_smears: Callable[..., list[int]],
) -> Desk:
    desk.queue.submit(add_smears(study, 12))
    worker.work_off()
    session.desk = desk
    return desk


def smears_of(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row["smear"] for row in csv.DictReader(file)]


def test_a_table_is_written_as_it_is_listed(
    exports: ExportController, results: ResultsController, opened: Desk, view: Words, tmp_path: Path
) -> None:
    results.set_sort(Sort(column="p:diagnosis:AML", descending=True))
    results.set_filter(ResultFilter(head="diagnosis", call="AML"))
    listed = [line.cells[0] for _row, line in results.pages.known()]
    exports.export("csv", tmp_path / "a.csv")
    assert smears_of(tmp_path / "a.csv") == listed
    assert view.told == [f"{len(listed)} rows written to {tmp_path / 'a.csv'}; research use only."]
    exports.export("parquet", tmp_path / "a.parquet")
    assert parquet.read_table(tmp_path / "a.parquet")["smear"].to_pylist() == listed


def test_a_sheet_per_patient_and_the_regions_of_the_listed_smears(
    exports: ExportController, opened: Desk, study: Study, view: Words, tmp_path: Path
) -> None:
    exports.export("sheets", tmp_path / "a.html")
    assert view.told[-1].startswith("6 patients written to ")
    assert "research use only" in (tmp_path / "a.html").read_text(encoding="utf-8").lower()
    with study.database.write() as connection:
        for smear_id in (2, 5):
            drawn = [NewRegion(role="use", polygon=SQUARE)]
            regions.replace(connection, 5.0, smear_id, drawn, "A")
    exports.export("geojson", tmp_path / "a.geojson")
    assert view.told[-1] == (
        f"2 features written to {tmp_path / 'a'} in 2 files; research use only."
    )
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "S000002.geojson",
        "S000005.geojson",
    ]


def test_regions_come_back_in_and_the_smear_on_the_canvas_is_drawn_anew(
    exports: ExportController,
    opened: Desk,
    study: Study,
    session: Session,
    smear: Any,
    view: Words,
    tmp_path: Path,
) -> None:
    with study.database.write() as connection:
        drawn = [NewRegion(role="use", polygon=SQUARE)]
        regions.replace(connection, 5.0, 2, drawn, "A")
    exports.export("geojson", tmp_path / "a.geojson")
    with study.database.write() as connection:
        regions.replace(connection, 6.0, 2, [], "A")
    session.smear_id = 2
    exports.import_regions([tmp_path / "a.geojson"])
    with study.database.read() as connection:
        (back,) = regions.of(connection, 2)
    assert back.role == "use"
    assert view.told[-1] == "a.geojson: 1 region of 1 smear came in."
    smear.open.assert_called_once_with(2, None)


def test_what_cannot_be_written_is_one_sentence_and_the_next_export_works(
    exports: ExportController, opened: Desk, background: Any, view: Words, tmp_path: Path
) -> None:
    exports.export("csv", tmp_path / "nowhere" / "a.csv")
    assert len(background.told) == 1
    assert "cannot be written" in background.told[0]
    exports.export("geojson", tmp_path / "a.geojson")
    assert "Nothing is drawn" in background.told[1]
    exports.export("csv", tmp_path / "a.csv")
    assert len(smears_of(tmp_path / "a.csv")) == 12


def test_a_stopped_export_leaves_no_file(
    exports: ExportController,
    opened: Desk,
    background: Any,
    view: Words,
    tmp_path: Path,
) -> None:
    held: list[Any] = []
    background.tell = lambda errand, then, **_options: held.append((errand, then))
    exports.export("csv", tmp_path / "a.csv")
    exports.tick()
    assert view.progress == [(0, 12)]
    exports.export("csv", tmp_path / "b.csv")
    assert view.told == ["An export is under way: wait for its end, or stop it with Export > Stop."]
    exports.stop()
    errand, then = held[0]
    then(errand())
    assert view.told[-1] == "The export was stopped; no file was written."
    assert list(tmp_path.glob("*.csv")) == []
    assert view.progress[-1] == (0, 0)
    exports.export("csv", tmp_path / "c.csv")
    errand, then = held[1]
    then(errand())
    assert len(smears_of(tmp_path / "c.csv")) == 12


def test_a_blind_reader_exports_what_he_sees(
    exports: ExportController, opened: Desk, study: Study, session: Session, tmp_path: Path
) -> None:
    with study.database.write() as connection:
        sight.set_blind_readers(connection, ["A", "B"])
    exports.export("csv", tmp_path / "a.csv")
    assert smears_of(tmp_path / "a.csv") == []
    exports.export("sheets", tmp_path / "a.html")
    assert "S0000" not in (tmp_path / "a.html").read_text(encoding="utf-8")
