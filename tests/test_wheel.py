"""The wheel holds all four packages, the manifest and the migrations."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_module_of_the_packages_is_in_the_wheel(names: set[str]) -> None:
    for package in ("marrow", "training", "worker", "napari_marrow"):
        modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}
        assert modules <= names


def test_the_manifest_and_the_templates_of_migrations_are_in_the_wheel(names: set[str]) -> None:
    assert {"napari_marrow/napari.yaml", "marrow/catalogue/migrations/script.py.mako"} <= names


def test_nothing_else_is(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    info = {top for top in tops if top.endswith(".dist-info")}
    assert tops - info == {"marrow", "training", "worker", "napari_marrow"}
