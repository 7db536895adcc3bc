"""The manifest, and what importing the plugin pulls in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from napari._app_model.constants import MenuId
from npe2 import PluginManager, PluginManifest

import napari_marrow
from napari_marrow.reader import SUFFIXES

PACKAGE = Path(napari_marrow.__file__).parent


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(PACKAGE / "napari.yaml")


def test_the_manifest_at_the_root_is_the_packages_file() -> None:
    root = PACKAGE.parent / "napari.yaml"
    if not root.exists():
        pytest.skip("not a checkout")
    assert root.samefile(PACKAGE / "napari.yaml")


def test_npe2_discovers_the_plugin() -> None:
    manager = PluginManager()
    manager.discover()
    assert manager.get_manifest("napari-marrow").display_name == "Marrow"


def test_every_command_that_is_used_is_declared_and_every_menu_takes_plugins(
    manifest: PluginManifest,
) -> None:
    given = manifest.contributions
    declared = {command.id for command in given.commands or ()}
    named = (*given.readers, *given.writers, *given.widgets, *given.sample_data)
    used = {one.command for one in named}
    for menu, entries in given.menus.items():
        assert MenuId(menu) in MenuId.contributables(), menu
        used |= {entry.command for entry in entries}
    assert used == declared


def test_every_command_has_a_title_for_the_palette_and_can_be_imported(
    manifest: PluginManifest,
) -> None:
    manifest.validate_imports()
    for command in manifest.contributions.commands or ():
        assert command.title.startswith("Marrow: ")


def test_the_manifest_offers_the_readers_suffixes(manifest: PluginManifest) -> None:
    reader, regions = manifest.contributions.readers or ()
    assert regions.filename_patterns == ["*.geojson"]
    assert reader.filename_patterns == [f"*{suffix}" for suffix in SUFFIXES]


def test_no_sample_can_be_taken_for_a_patient(manifest: PluginManifest) -> None:
    for sample in manifest.contributions.sample_data or ():
        assert "ynthetic" in sample.display_name
        assert "no patient" in sample.display_name


def test_modules_without_qt_load_neither_qt_nor_torch() -> None:
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in sorted(PACKAGE.rglob("*.py"))
        if "_qt" not in path.parts and path.stem != "__init__"
    ]
    program = (
        f"import sys, {', '.join(modules)}\n"
        "heavy = {'qtpy', 'PyQt5', 'PyQt6', 'PySide6', 'torch', 'worker', 'training'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert run.stdout.strip() == "[]"
