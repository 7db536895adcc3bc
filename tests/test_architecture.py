"""Arrows between packages point down only; only `napari_marrow/_qt/` knows a Qt binding."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("marrow", "training", "worker", "napari_marrow")
QT = ("qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "superqt", "magicgui", "pyqtgraph")
TORCH = ("torch", "torchvision", "safetensors")
FORBIDDEN = {
    "marrow": ("training", "worker", "napari_marrow", "napari", "sklearn", *TORCH, *QT),
    "training": ("worker", "napari_marrow", "napari", "celery", *QT),
    "worker": ("napari_marrow", "napari", *QT),
    "napari_marrow": ("training", "worker", "celery", *TORCH),
}
"""What a package must never import, at any depth of its code."""


def modules_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Top-level names that a module imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_down_only(package: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): sorted(imports_of(path) & set(FORBIDDEN[package]))
        for path in modules_of(package)
        if imports_of(path) & set(FORBIDDEN[package])
    }
    assert wrong == {}


def test_only_the_qt_folder_imports_qt() -> None:
    folder = ROOT / "napari_marrow" / "_qt"
    outside = [path for path in modules_of("napari_marrow") if folder not in path.parents]
    assert [str(path) for path in outside if imports_of(path) & set(QT)] == []


def test_tests_shadow_no_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils.py", "helpers.py", "common.py", "misc.py"}
    names = [path for package in PACKAGES for path in modules_of(package) if path.name in drawers]
    assert names == []


def test_no_module_outgrows_a_reader() -> None:
    """500 lines; the generated first migration is a table, not a text."""
    long = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in modules_of(package)
        if "migrations" not in path.parts and len(path.read_text().splitlines()) > 500
    ]
    assert long == []


def loaded_by(statement: str) -> set[str]:
    names = "{name.partition('.')[0] for name in sys.modules}"
    code = f"{statement}; import sys; print(' '.join({names}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_the_viewer_without_qt_loads_no_torch_and_no_qt() -> None:
    folder = ROOT / "napari_marrow"
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in modules_of("napari_marrow")
        if folder / "_qt" not in path.parents and path.name != "__init__.py"
    ]
    loaded = loaded_by("import " + ", ".join(names))
    assert loaded & {"torch", "torchvision", "training", "worker"} == set()
    assert loaded & {"qtpy", "PyQt6", "PySide6"} == set()


def test_the_worker_loads_no_viewer() -> None:
    loaded = loaded_by("import worker.tasks, worker.app")
    assert loaded & {"napari", "napari_marrow", "qtpy", "PyQt6", "PySide6"} == set()


def test_the_manifest_is_one_file() -> None:
    root, packaged = ROOT / "napari.yaml", ROOT / "napari_marrow" / "napari.yaml"
    assert root.read_bytes() == packaged.read_bytes()
    assert not packaged.is_symlink()
