"""Opening and creating a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from napari_marrow.controllers.study import StudyController, StudyView
from napari_marrow.session import Session

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def view() -> Any:
    return create_autospec(StudyView, instance=True)


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def controller(
    session: Session, background: Any, view: Any, client_without_agent: Callable[..., Any]
) -> StudyController:
    return StudyController(session, background, view, Settings.read, client_without_agent)


def test_a_missing_study_is_asked_for_and_is_no_error(
    controller: StudyController, view: Any, background: Any, tmp_path: Path
) -> None:
    controller.start(tmp_path / "home")
    home, words = view.show_start.call_args.args
    assert home == tmp_path / "home"
    assert "no study" in words
    assert background.told == []


def test_creates_and_opens_again(
    controller: StudyController, session: Session, view: Any, tmp_path: Path
) -> None:
    controller.create(tmp_path / "home", None)
    assert session.desk is not None
    assert session.desk.scheme == AA_MDS_AML
    first = session.desk
    session.seen = frozenset({1})
    controller.open(tmp_path / "home")
    assert session.desk is not first
    assert session.seen == frozenset()  # what was seen in one study says nothing of another
    assert view.show_study.call_args.args[0] == tmp_path / "home"


def test_creates_with_a_scheme_file(
    controller: StudyController, session: Session, tmp_path: Path
) -> None:
    controller.create(tmp_path / "home", EXAMPLES / "cells.toml")
    assert session.desk is not None
    assert [head.name for head in session.desk.scheme.heads] == ["eosinophil", "lineage"]


def test_a_refusal_is_told_and_the_open_study_stays(
    controller: StudyController, session: Session, background: Any, tmp_path: Path
) -> None:
    controller.create(tmp_path / "home", None)
    desk = session.desk
    controller.create(tmp_path / "home", None)
    controller.open(tmp_path / "elsewhere")
    assert len(background.told) == 2
    assert "already holds a study" in background.told[0]
    assert session.desk is desk


def test_an_empty_reader_changes_nothing(controller: StudyController, session: Session) -> None:
    controller.set_reader(" B ")
    controller.set_reader("  ")
    controller.set_reader("B\x1b[1m")
    assert session.reader == "B"


def test_one_study_is_made_or_opened_at_a_time(
    held_background: Any,
    session: Session,
    view: Any,
    client_without_agent: Callable[..., Any],
    tmp_path: Path,
) -> None:
    controller = StudyController(
        session, held_background, view, Settings.read, client_without_agent
    )
    controller.create(tmp_path / "home", None)
    controller.create(tmp_path / "home", None)  # the second half of a double click
    controller.create_sample(tmp_path / "home")
    controller.open(tmp_path / "elsewhere")
    view.set_busy.assert_called_once_with(True)
    held_background.let_go()
    assert held_background.told == []
    assert session.desk is not None
    assert session.desk.home == tmp_path / "home"
    view.set_busy.assert_called_with(False)
    controller.open(tmp_path / "elsewhere")
    held_background.let_go()
    assert len(held_background.told) == 1
    view.set_busy.assert_called_with(False)  # after a refusal too
