"""The Cases list without a window, on a real catalogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from napari_marrow.controllers import cases
from napari_marrow.controllers.cases import CasesController, CasesView
from napari_marrow.desk import Desk
from napari_marrow.session import Session


@pytest.fixture
def view() -> Any:
    return create_autospec(CasesView, instance=True)


@pytest.fixture
def controller(background: Any, view: Any, desk: Desk) -> CasesController:
    session = Session(reader="A")
    made = CasesController(session, background, view)
    made.session = session  # type: ignore[attr-defined]
    session.desk = desk
    return made


def cells(view: Any) -> list[tuple[str, ...]]:
    return [line.cells for line in view.set_lines.call_args.args[0]]


def test_lists_a_study_when_it_is_opened(controller: CasesController, view: Any) -> None:
    columns, asked = view.set_scheme.call_args.args
    assert [column.title for column in columns] == ["smear", "patient", "site", "label"]
    assert [head.name for head in asked] == ["diagnosis"]
    view.set_counts.assert_called_with(0, 0, 0)


def test_adding_tells_what_came_of_it_and_lists_it(
    controller: CasesController, view: Any, fields: Path
) -> None:
    controller.add_smears([fields])
    view.tell.assert_called_once_with("20 smears added, 16 labels read.", False)
    view.set_counts.assert_called_with(20, 16, 4)
    assert len(cells(view)) == 20


def test_refused_files_are_named_and_only_some_of_many(
    controller: CasesController, view: Any, tmp_path: Path
) -> None:
    for number in range(5):
        (tmp_path / f"bad{number}.png").write_bytes(b"no picture %d" % number)
    controller.add_smears(sorted(tmp_path.glob("bad*.png")))
    words, is_warning = view.tell.call_args.args
    assert is_warning
    assert "5 refused" in words
    assert "bad0.png" in words
    assert "bad4.png" not in words
    assert words.endswith("and 2 more")


def test_progress_is_shown_by_the_tick_and_never_from_the_thread(
    controller: CasesController, view: Any, fields: Path, background: Any
) -> None:
    held: list[Callable[[], Any]] = []
    background.tell = lambda errand, then, **_options: held.append(errand)
    controller.add_smears([fields])
    held[0]()  # the thread's work; its answer is still on the way
    view.set_progress.assert_not_called()
    controller.tick()
    view.set_progress.assert_called_once_with(20, 20)
    controller.tick()
    view.set_progress.assert_called_once()


def test_describes_and_labels_several_smears(
    controller: CasesController, view: Any, add_smears: Any, study: Any
) -> None:
    ids = add_smears(study, 3)
    controller.describe(ids, "site", " north ")
    controller.give_label(ids[:2], "diagnosis", "AML")
    assert [row[2:] for row in cells(view)] == [("north", "AML"), ("north", "AML"), ("north", "")]
    controller.give_label(ids[:1], "diagnosis", "")
    assert [row[3] for row in cells(view)] == ["", "AML", ""]


def test_a_filter_shows_what_it_says(
    controller: CasesController, view: Any, add_smears: Any, study: Any
) -> None:
    ids = add_smears(study, 4)
    controller.give_label(ids[:1], "diagnosis", "AA")
    controller.set_filter("", False)
    assert len(cells(view)) == 3
    controller.set_filter("S000002", None)
    assert [row[0] for row in cells(view)] == ["S000002"]
    assert controller.shown.text == "S000002"


def test_the_same_filter_asks_nothing(controller: CasesController, background: Any) -> None:
    before = len(background.asked)
    controller.set_filter("  ", None)
    assert len(background.asked) == before


def test_a_long_list_is_read_page_by_page(
    controller: CasesController,
    view: Any,
    add_smears: Any,
    study: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cases, "PAGE", 4)
    add_smears(study, 10)
    controller.reload()
    assert [row[0] for row in cells(view)] == ["S000001", "S000002", "S000003", "S000004"]
    controller.more()
    assert [line.cells[0] for line in view.append_lines.call_args.args[0]][-1] == "S000008"
    controller.more()
    assert len(view.append_lines.call_args.args[0]) == 2
    view.append_lines.reset_mock()
    controller.more()
    view.append_lines.assert_not_called()
    controller.reload()  # after a change: as many as were read before
    assert len(cells(view)) == 10
