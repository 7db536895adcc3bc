"""`marrow view` without a window."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from marrow.cli import build
from marrow.errors import BadSettings, NoStudy


def test_a_picture_of_no_study_is_refused_before_a_window_opens(tmp_path: Path) -> None:
    pytest.importorskip("qtpy")
    arguments = ["--home", str(tmp_path / "none"), "view", "--screenshot", str(tmp_path / "a.png")]
    result = CliRunner().invoke(build(), arguments)
    assert isinstance(result.exception, NoStudy)
    assert not (tmp_path / "a.png").exists()


def test_without_a_qt_binding_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "napari_marrow._qt.program", None)
    monkeypatch.delattr("napari_marrow._qt.program", raising=False)
    result = CliRunner().invoke(build(), ["--home", str(tmp_path), "view"])
    assert isinstance(result.exception, BadSettings)
    assert "napari-marrow[all]" in str(result.exception)
