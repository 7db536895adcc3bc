"""Thumbnails on the disk."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from marrow.images.colour import Pixels
from napari_marrow.thumbnails import ThumbnailCache

FIRST, SECOND = "a" * 64, "b" * 64


def picture(seed: int, edge: int = 128) -> Pixels:
    return np.random.default_rng(seed).integers(0, 255, (edge, 96, 3), np.uint8)


def files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.is_file())


def test_what_was_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = ThumbnailCache(tmp_path / "new")
    assert cache.get(FIRST) is None
    cache.put(FIRST, picture(1))
    kept = ThumbnailCache(tmp_path / "new").get(FIRST)
    assert kept is not None
    assert np.array_equal(kept, picture(1))
    assert cache.get(SECOND) is None
    assert [one.relative_to(tmp_path) for one in files(tmp_path)] == [
        Path("new") / "aa" / f"{FIRST}.png"
    ]


@pytest.mark.parametrize("damage", [b"", b"no png", None])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    cache = ThumbnailCache(tmp_path)
    cache.put(FIRST, picture(1))
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:-600] if damage is None else damage)
    assert cache.get(FIRST) is None
    cache.put(FIRST, picture(2))
    kept = cache.get(FIRST)
    assert kept is not None
    assert np.array_equal(kept, picture(2))


def test_a_picture_that_is_too_large_for_a_thumbnail_is_not_taken(tmp_path: Path) -> None:
    cache = ThumbnailCache(tmp_path)
    cache.put(FIRST, picture(1, edge=2000))
    assert cache.get(FIRST) is None


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    size = 37_000  # noise of 128 x 96 px hardly shrinks
    cache = ThumbnailCache(tmp_path, limit_bytes=4 * size)
    for number in range(10):
        identity = f"{number:064x}"
        cache.put(identity, picture(number))
        os.utime(tmp_path / identity[:2] / f"{identity}.png", (number, number))
    kept = files(tmp_path)
    assert sum(one.stat().st_size for one in kept) <= 5 * size  # the last one comes on top
    assert [int(one.stem, 16) for one in kept] == list(range(10 - len(kept), 10))


def test_what_is_no_content_hash_makes_no_file(tmp_path: Path) -> None:
    cache = ThumbnailCache(tmp_path / "cache")
    for name in ("../" * 21 + "x", "A" * 64, ""):
        cache.put(name, picture(1))
        assert cache.get(name) is None
    assert files(tmp_path) == []


def test_a_folder_that_must_not_be_entered_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ThumbnailCache(tmp_path)
    cache.put(FIRST, picture(1))

    def refuse(*_place: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for call in ("builtins.open", "pathlib.Path.is_file", "pathlib.Path.mkdir"):
        monkeypatch.setattr(call, refuse)
    assert cache.get(FIRST) is None
    cache.put(SECOND, picture(2))
    monkeypatch.undo()
    assert [one.stem for one in files(tmp_path)] == [FIRST]


@pytest.mark.skipif(sys.platform == "win32", reason="a folder cannot be closed by its mode")
def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ThumbnailCache(tmp_path / "file" / "below")
    cache.put(FIRST, picture(1))
    assert cache.get(FIRST) is None
