"""The contact sheet, on a real catalogue and a view that only records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest
from psygnal import Signal

from marrow.catalogue import labels
from marrow.catalogue.sight import set_blind_readers
from marrow.catalogue.smears import SmearFilter
from napari_marrow.controllers import sheet
from napari_marrow.controllers.sheet import SheetController, SheetView
from napari_marrow.desk import Desk
from napari_marrow.desks.smears import SmearsDesk
from napari_marrow.session import Session
from napari_marrow.thumbnails import ThumbnailCache


class Cases:
    """What the sheet asks of the Cases list."""

    filtered = Signal()

    def __init__(self) -> None:
        self.shown = SmearFilter()
        self.total = 20


class Labels:
    """What the sheet asks of the labels."""

    given = Signal(object)
    sent = Signal()

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.words: dict[int, dict[str, str]] = {}
        self.flagged: dict[int, bool] = {}

    def note_newest(self, newest: dict[int, float]) -> None:
        pass

    def said(self, smear_id: int) -> dict[str, str]:
        return self.words.get(smear_id, {})

    def is_flagged(self, smear_id: int) -> bool | None:
        return self.flagged.get(smear_id)

    def give(self, ids: list[int], answers: dict[str, str]) -> None:
        self.calls.append(("give", ids, answers))

    def flag(self, ids: list[int], is_flagged: bool) -> None:
        self.calls.append(("flag", ids, is_flagged))

    def undo(self) -> None:
        self.calls.append(("undo",))


@pytest.fixture
def view() -> Any:
    made = create_autospec(SheetView, instance=True)
    made.is_shown.return_value = True
    return made


@pytest.fixture
def cases() -> Cases:
    return Cases()


@pytest.fixture
def given() -> Labels:
    return Labels()


@pytest.fixture
def session(desk: Desk, fields: Path, study: Any, tmp_path: Path) -> Session:
    desk.cases.add([fields], lambda _done, _total: None)
    desk.smears = SmearsDesk(study, ThumbnailCache(tmp_path / "thumbnails"))
    return Session(desk=desk, reader="A")


@pytest.fixture
def controller(
    session: Session, background: Any, view: Any, cases: Cases, given: Labels
) -> SheetController:
    return SheetController(session, background, view, cases, given)  # type: ignore[arg-type]


def lines(view: Any) -> list[Any]:
    return list(view.set_lines.call_args.args[0])


def test_the_sheet_shows_what_the_list_shows_once_it_is_seen(
    controller: SheetController, view: Any, cases: Cases, background: Any
) -> None:
    view.is_shown.return_value = False
    controller.tick()
    assert background.asked == []
    view.is_shown.return_value = True
    controller.tick()
    assert [line.name for line in lines(view)] == [f"S{k:06d}" for k in range(1, 21)]
    assert [line.label for line in lines(view)][:3] == ["AA", "MDS", "AML"]
    assert lines(view)[16].label == ""
    assert "field_00.png" in lines(view)[0].hint.replace("<br>", "")
    controller.tick()
    assert background.asked == ["sheet"]  # nothing has changed
    cases.shown = SmearFilter(text="field_03")
    cases.filtered.emit()
    controller.tick()
    assert [line.smear_id for line in lines(view)] == [4]


def test_the_next_page_is_read_at_the_end(
    controller: SheetController, view: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "PAGE", 8)
    controller.tick()
    assert len(lines(view)) == 8
    for count in (8, 4):
        controller.more()
        added, total = view.append_lines.call_args.args
        assert (len(added), total) == (count, 20)
    view.append_lines.reset_mock()
    controller.more()
    view.append_lines.assert_not_called()


def test_pictures_are_made_a_few_at_a_time_the_wanted_first(
    controller: SheetController, view: Any, session: Session, tmp_path: Path, fields: Path
) -> None:
    (fields / "field_02.png").unlink()
    asked: list[list[int]] = []
    desk = session.desk
    assert desk is not None
    make = desk.smears.thumbnails
    desk.smears.thumbnails = lambda ids, limit_s: asked.append([*ids]) or make(ids, 30.0)
    controller.want([5, 3, *range(10, 20)])
    assert asked == [[5, 3, 10, 11, 12, 13, 14, 15], [16, 17, 18, 19]]
    made = {k: v for call in view.set_thumbnails.call_args_list for k, v in call.args[0].items()}
    assert made[3] is None  # its file is gone
    assert made[5].shape == (128, 128, 3)
    assert len([*(tmp_path / "thumbnails").rglob("*.png")]) == 11
    (fields / "field_04.png").unlink()
    controller.want([5])  # it is kept by its content
    assert view.set_thumbnails.call_args.args[0][5].shape == (128, 128, 3)


def test_an_errand_ends_in_time_with_one_picture_at_least(session: Session) -> None:
    assert session.desk is not None
    assert [*session.desk.smears.thumbnails([4, 5, 6], 0.0)] == [4]
    assert session.desk.smears.thumbnails([99], 0.0) == {99: None}


def test_what_is_scrolled_past_is_not_made(
    session: Session, view: Any, cases: Cases, given: Labels
) -> None:
    held: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
    background = SimpleNamespace(tell=lambda errand, then, **_options: held.append((errand, then)))
    controller = SheetController(session, background, view, cases, given)  # type: ignore[arg-type]
    controller.want(range(1, 11))
    controller.want([15, 16])
    assert len(held) == 1  # one errand at a time
    errand, then = held.pop()
    then(errand())
    errand, then = held.pop()
    assert [*errand()] == [15, 16]


def test_a_label_shows_before_the_catalogue_has_it(
    controller: SheetController, view: Any, given: Labels
) -> None:
    controller.tick()
    given.words[18], given.flagged[18] = {"diagnosis": "AML"}, True
    given.given.emit([18])
    assert (lines(view)[17].label, lines(view)[17].is_flagged) == ("AML", True)
    assert lines(view)[16].label == ""
    given.sent.emit()
    controller.tick()
    assert lines(view)[17].label == "AML"


def test_keys_answer_for_all_that_is_selected(
    controller: SheetController, given: Labels, session: Session
) -> None:
    assert session.desk is not None
    head = session.desk.scheme.head("diagnosis")
    controller.tick()
    for key in ("2", "0", "flag", "undo", "7", "rectangle"):
        controller.press(key, [3, 4], head)
    assert given.calls == [
        ("give", [3, 4], {"diagnosis": "MDS"}),
        ("give", [3, 4], {"diagnosis": "unsure"}),
        ("flag", [3, 4], True),
        ("undo",),
    ]
    given.flagged = {3: True, 4: True}
    given.given.emit([3, 4])
    controller.press("flag", [3, 4], head)
    assert given.calls[-1] == ("flag", [3, 4], False)
    given.calls.clear()
    controller.press("1", [], head)
    assert given.calls == []


def test_of_a_smear_that_is_read_blind_only_ones_own_label_is_shown(
    controller: SheetController, view: Any, study: Any, session: Session
) -> None:
    with study.database.write() as connection:
        set_blind_readers(connection, ["A", "B"])
        at = study.database.now(connection)
        for smear_id, reader in ((17, "A"), (18, "B")):
            answers = {"diagnosis": "AA"}
            labels.give(connection, at, study.scheme, smear_id, answers, reader, False)
    controller.tick()
    assert [lines(view)[row].label for row in (16, 17)] == ["AA", ""]
    session.reader = "B"
    assert lines(view) == []  # at once
    controller.tick()
    assert [lines(view)[row].label for row in (16, 17)] == ["", "AA"]


def test_another_study_leaves_no_picture(
    controller: SheetController, view: Any, session: Session
) -> None:
    controller.tick()
    session.desk = None
    view.forget_thumbnails.assert_called_once()
    assert lines(view) == []
    view.set_thumbnails.reset_mock()
    controller.want([1])
    view.set_thumbnails.assert_not_called()
