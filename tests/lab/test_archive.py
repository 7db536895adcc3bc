"""A backup that was damaged or made by hand is refused by name, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import stat
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from marrow.archive import CATALOGUE
from marrow.backup import write_backup
from marrow.errors import BadBackup
from marrow.restore import restore_backup
from marrow.settings import Settings
from marrow.study import Study


@pytest.fixture
def backup(make_study: Callable[..., Study], add_model: Callable[..., Any], tmp_path: Path) -> Path:
    study = make_study(name="old")
    model = add_model(study)
    folder = study.store / model.path
    folder.parent.mkdir(parents=True)
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"w" * 5000)
    write_backup(study, tmp_path / "b.zip")
    return tmp_path / "b.zip"


class Forged:
    """A backup taken apart, to be changed and put together again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with ZipFile(path) as archive:
            self.files = {name: archive.read(name) for name in archive.namelist()}
        self.manifest = json.loads(self.files.pop("manifest.json"))
        self.entries: list[ZipInfo] = []

    def put(self, name: str, content: bytes) -> None:
        """A file whose hash and size the manifest knows."""
        self.files[name] = content
        known = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        self.manifest["files"][name] = known

    def write(self, **how: Any) -> Path:
        with warnings.catch_warnings(), ZipFile(self.path, "w", **how) as archive:
            warnings.simplefilter("ignore")  # of a name that stands twice
            for name, content in self.files.items():
                archive.writestr(name, content)
            for entry in self.entries:
                archive.writestr(entry, b"../../elsewhere")
            archive.writestr("manifest.json", json.dumps(self.manifest))
        return self.path


def entry(name: str, mode: int = 0) -> ZipInfo:
    made = ZipInfo("x")
    made.filename = name  # the constructor would cut it
    made.external_attr = mode << 16
    return made


def assert_refused(path: Path, says: str) -> None:
    home = path.parent / "new"
    with pytest.raises(BadBackup, match=says) as caught:
        restore_backup(Settings.read(home), path)
    assert str(caught.value).startswith(str(path)), "the file is named"
    assert "\n" not in str(caught.value)
    assert not home.exists(), "nothing is left behind"
    assert not (path.parent / "elsewhere").exists()


@pytest.mark.parametrize(
    "name",
    [
        "store/../../elsewhere",
        "../elsewhere",
        "/srv/elsewhere",
        "store//srv/elsewhere",
        "store/./models",
        "store/..",
        "store",
        "store/",
        "elsewhere",
        "catalogue.sqlite-wal",
        "store/a\\..\\..\\elsewhere",
        "store/C:elsewhere",
    ],
)
def test_no_name_leads_out_of_the_study(backup: Path, name: str) -> None:
    forged = Forged(backup)
    forged.put("x", b"")
    forged.files.pop("x")
    forged.manifest["files"][name] = forged.manifest["files"].pop("x")
    forged.entries.append(entry(name))
    assert_refused(forged.write(), "would lead out of the study")


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_links_and_devices_are_refused(backup: Path, mode: int) -> None:
    forged = Forged(backup)
    forged.entries.append(entry("store/models/link", mode))
    assert_refused(forged.write(), "store/models/link is a link or a folder")


def test_a_name_that_stands_twice_is_refused(backup: Path) -> None:
    forged = Forged(backup)
    forged.entries += [entry("store/a"), entry("store/a")]
    assert_refused(forged.write(), "two files in it have one name")


def test_what_is_compressed_is_refused(backup: Path) -> None:
    assert_refused(Forged(backup).write(compression=ZIP_DEFLATED), "is compressed or encrypted")


def test_a_file_that_the_manifest_does_not_know_is_refused(backup: Path) -> None:
    forged = Forged(backup)
    forged.files["store/models/more"] = b"!"
    assert_refused(forged.write(), "store/models/more is not as its manifest says")


def test_a_file_that_only_the_manifest_knows_is_refused(backup: Path) -> None:
    forged = Forged(backup)
    name = next(name for name in forged.files if name != CATALOGUE)
    forged.files.pop(name)
    assert_refused(forged.write(), f"{name} is not as its manifest says")


def test_another_content_is_refused(backup: Path) -> None:
    forged = Forged(backup)
    name = next(name for name in forged.files if name != CATALOGUE)
    forged.files[name] = b"v" * 5000
    assert_refused(forged.write(), rf"{name} is damaged \(another SHA-256\)")


def test_a_flipped_bit_is_refused(backup: Path) -> None:
    content = bytearray(backup.read_bytes())
    content[content.index(b"w" * 5000) + 2500] ^= 1
    backup.write_bytes(bytes(content))
    assert_refused(backup, "weights.safetensors is damaged")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.9999])
def test_a_backup_that_was_cut_off_is_refused(backup: Path, share: float) -> None:
    whole = backup.read_bytes()
    backup.write_bytes(whole[: int(len(whole) * share)])
    assert_refused(backup, "no zip, or one that was cut off")


def test_files_that_overlap_are_refused(backup: Path) -> None:
    """A zip of a few kilobytes could unfold to any size if its entries shared their bytes."""
    forged = Forged(backup)
    for number in range(3):
        forged.put(f"store/bomb{number}", b"w")
    content = bytearray(forged.write().read_bytes())
    for name in (b"store/bomb0", b"store/bomb1", b"store/bomb2"):
        place = content.rindex(name) - 46
        content[place + 20 : place + 28] = struct.pack("<LL", 200_000, 200_000)
    backup.write_bytes(bytes(content))
    assert_refused(backup, "its files would be larger than itself")


def test_a_newer_schema_is_refused_in_one_sentence(backup: Path) -> None:
    forged = Forged(backup)
    forged.manifest["revision"] = "9999"
    assert_refused(forged.write(), r"it has schema 9999, this napari-marrow knows \d{4}: update")


def test_a_newer_form_is_refused_in_one_sentence(backup: Path) -> None:
    forged = Forged(backup)
    forged.manifest |= {"format": 2, "something": "new"}
    assert_refused(forged.write(), "a newer napari-marrow wrote it: update napari-marrow")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"revision": "../1"}, "manifest.json: revision"),
        ({"files": []}, "manifest.json: files"),
        ({"files": {"catalogue.sqlite": {"sha256": "x", "size": 1}}}, "sha256"),
        ({"unknown": 1}, "manifest.json: unknown"),
    ],
)
def test_a_manifest_of_another_form_is_refused(
    backup: Path, change: dict[str, Any], says: str
) -> None:
    forged = Forged(backup)
    forged.manifest |= change
    assert_refused(forged.write(), says)


def test_other_zips_are_refused(backup: Path) -> None:
    with ZipFile(backup, "w"):
        pass
    assert_refused(backup, "no backup of a study")
    with ZipFile(backup, "w") as archive:
        archive.writestr("manifest.json", "{")
    assert_refused(backup, "manifest.json is damaged")


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(5000)])
def test_a_catalogue_that_is_none_is_refused(backup: Path, content: bytes) -> None:
    forged = Forged(backup)
    forged.put(CATALOGUE, content)
    assert_refused(forged.write(), "its catalogue is")


def test_a_backup_without_a_catalogue_is_refused(backup: Path) -> None:
    forged = Forged(backup)
    forged.files.pop(CATALOGUE)
    forged.manifest["files"].pop(CATALOGUE)
    assert_refused(forged.write(), "it holds no catalogue")


def test_a_backup_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "b.zip", "cannot be restored .No such file")
    assert_refused(tmp_path, "cannot be restored .Is a directory")
