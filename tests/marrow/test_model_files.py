"""A model as one file: the same again, or refused by name with nothing left behind."""

from __future__ import annotations

import hashlib
import json
import pickle
import stat
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from marrow import model_files
from marrow.catalogue import models
from marrow.errors import BadModel
from marrow.model_files import CARD, REFERENCE, WEIGHTS, Loaded, export_model, import_model
from marrow.records import ModelRecord
from marrow.schemes import Head, Scheme
from marrow.study import Study

HEADER = json.dumps({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
CONTENT = struct.pack("<Q", len(HEADER)) + HEADER + b"1234"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = Scheme(
    name="cells",
    unit="image",
    primary="lineage",
    heads=(Head(name="lineage", classes=("GRAN", "LYM", "MON")),),
)


def load(folder: Path) -> Loaded:
    """What the network's floor does, without a network."""
    card = json.loads((folder / CARD).read_bytes())
    return Loaded(
        sha256=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
        preprocessing="b" * 64,
        precision="fp32",
        scheme=Scheme.model_validate(card["scheme"]),
        card=card,
    )


def store(study: Study, *, reference: bytes | None = None) -> ModelRecord:
    """A registered model of a few bytes."""
    folder = study.store / "models" / "small"
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(CONTENT)
    card = {"scheme": study.scheme.model_dump(mode="json"), "backbone": "resnet18"}
    (folder / CARD).write_text(json.dumps(card))
    if reference is not None:
        (folder / REFERENCE).write_bytes(reference)
    with study.database.write() as connection:
        return models.register(
            connection,
            1.0,
            sha256=SHA256,
            path="models/small",
            preprocessing="b" * 64,
            precision="fp32",
            card=card,
            job_id=None,
        )


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study(name="giver")


@pytest.fixture
def taker(make_study: Callable[..., Study]) -> Study:
    return make_study(name="taker")


@pytest.fixture
def exported(study: Study, tmp_path: Path) -> Path:
    file = tmp_path / "m1.zip"
    export_model(study, store(study).id, file)
    return file


def assert_refused(taker: Study, file: Path, *words: str) -> None:
    """Refused in one sentence that names the file; neither a row nor a file is left."""
    with pytest.raises(BadModel) as refusal:
        import_model(taker, file, load)
    said = str(refusal.value)
    assert "\n" not in said
    assert str(file) in said
    for word in words:
        assert word in said, said
    with taker.database.read() as connection:
        assert models.all_models(connection) == []
    assert [path for path in taker.store.rglob("*") if path.is_file()] == []
    assert not (file.parent / "elsewhere").exists()


def test_a_round_trip_gives_the_same_files(study: Study, taker: Study, tmp_path: Path) -> None:
    made = store(study, reference=b"r" * 100)
    file = tmp_path / "m.zip"
    assert export_model(study, made.id, file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    taken, is_new = import_model(taker, file, load)
    assert (taken.sha256, taken.card, taken.job_id, is_new) == (SHA256, made.card, None, True)
    assert not taken.is_champion
    for name in (WEIGHTS, CARD, REFERENCE):
        ours, theirs = study.store / made.path / name, taker.store / taken.path / name
        assert ours.read_bytes() == theirs.read_bytes()
    again = tmp_path / "again.zip"
    export_model(taker, taken.id, again)
    hashes = []
    for one in (file, again):
        with ZipFile(one) as archive:
            manifest = json.loads(archive.read("manifest.json"))
        hashes.append({name: its["sha256"] for name, its in manifest["files"].items()})
        assert manifest["scheme"]["name"] == study.scheme.name
    assert hashes[0] == hashes[1]
    assert hashes[0][WEIGHTS] == SHA256


def test_importing_twice_is_importing_once(exported: Path, taker: Study) -> None:
    first = import_model(taker, exported, load)
    second = import_model(taker, exported, load)
    assert second == (first[0], False)
    assert [one.name for one in (taker.store / "models").iterdir()] == [SHA256[:16]]


def test_a_model_that_is_registered_gets_its_lost_files_back(exported: Path, study: Study) -> None:
    for path in (study.store / "models" / "small").iterdir():
        path.unlink()
    (study.store / "models" / "small").rmdir()
    made, is_new = import_model(study, exported, load)
    assert (made.id, is_new) == (1, False)
    assert (study.store / made.path / WEIGHTS).read_bytes() == CONTENT


def test_a_file_is_not_overwritten_unasked(exported: Path, study: Study) -> None:
    with pytest.raises(BadModel, match="is there already"):
        export_model(study, 1, exported)
    assert export_model(study, 1, exported, force=True).id == 1


def test_altered_weights_are_not_exported(study: Study, tmp_path: Path) -> None:
    made = store(study)
    (study.store / made.path / WEIGHTS).write_bytes(b"altered")
    with pytest.raises(BadModel, match=r"was altered: SHA-256 .* registered as"):
        export_model(study, made.id, tmp_path / "m.zip")
    (study.store / made.path / WEIGHTS).unlink()
    with pytest.raises(BadModel, match=r"m1 has no weights\.safetensors in "):
        export_model(study, made.id, tmp_path / "m.zip")
    (study.store / made.path / CARD).unlink()
    with pytest.raises(BadModel, match="m1 has no card"):
        export_model(study, made.id, tmp_path / "m.zip")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_full_disk_leaves_nothing_half_written(
    exported: Path, study: Study, taker: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("marrow.archive.os.fsync", full)
    assert_refused(taker, exported, "No space left on device")
    with pytest.raises(BadModel, match="No space left"):
        export_model(study, 1, tmp_path / "m2.zip")
    assert not (tmp_path / "m2.zip").exists()
    assert list(tmp_path.glob(".*.part")) == []


class Forged:
    """An exported model taken apart, to be changed and put together again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with ZipFile(path) as archive:
            self.files = {name: archive.read(name) for name in archive.namelist()}
        self.manifest = json.loads(self.files.pop("manifest.json"))
        self.entries: list[ZipInfo] = []

    def put(self, name: str, content: bytes) -> None:
        self.files[name] = content
        known = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        self.manifest["files"][name] = known
        if name == WEIGHTS:
            self.manifest["weights_sha256"] = known["sha256"]

    def write(self, **how: Any) -> Path:
        with warnings.catch_warnings(), ZipFile(self.path, "w", **how) as archive:
            warnings.simplefilter("ignore")
            for name, content in self.files.items():
                archive.writestr(name, content)
            for entry in self.entries:
                archive.writestr(entry, b"../../elsewhere")
            archive.writestr("manifest.json", json.dumps(self.manifest))
        return self.path


def test_other_content_than_the_manifest_says_is_refused(exported: Path, taker: Study) -> None:
    forged = Forged(exported)
    forged.files[WEIGHTS] = CONTENT[:-1] + b"5"
    assert_refused(taker, forged.write(), WEIGHTS, "another SHA-256")


def test_another_hash_than_the_weights_have_is_refused(exported: Path, taker: Study) -> None:
    forged = Forged(exported)
    forged.manifest["weights_sha256"] = "0" * 64
    assert_refused(taker, forged.write(), "names weights 000000000000 and holds", SHA256[:12])


def test_another_scheme_is_refused_by_name(
    exported: Path, make_study: Callable[..., Study]
) -> None:
    words = ("scheme 'aa-mds-aml'", "the study asks 'cells' (lineage: GRAN, LYM, MON)")
    assert_refused(make_study(name="cells", scheme=OTHER), exported, *words)


def test_a_card_of_another_scheme_than_the_manifest_is_refused(
    exported: Path, taker: Study
) -> None:
    forged = Forged(exported)
    card = {"scheme": OTHER.model_dump(mode="json")}
    forged.put(CARD, json.dumps(card).encode())
    assert_refused(taker, forged.write(), "it answers scheme 'cells'")


@pytest.mark.parametrize("name", ["m.pt", "m.pth", "m.PKL", "m.ckpt"])
def test_a_pickle_is_refused_by_its_name(taker: Study, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"anything")
    assert_refused(taker, file, "a pickle, which could run any program")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_refused_by_its_bytes(taker: Study, tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "m.zip"
    file.write_bytes(pickle.dumps({"weights": [1.0]}, protocol=protocol))
    assert_refused(taker, file, "a pickle, which could run any program")


def test_the_zip_of_torch_save_is_refused_as_a_pickle(taker: Study, tmp_path: Path) -> None:
    file = tmp_path / "m.zip"
    with ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/version", "3")
    assert_refused(taker, file, "holds a pickle (archive/data.pkl)")


@pytest.mark.parametrize("content", [pickle.dumps([1.0] * 50, protocol=4), b"PK\x03\x04" * 9])
@pytest.mark.parametrize("name", [WEIGHTS, REFERENCE])
def test_a_pickle_under_another_name_is_refused(
    exported: Path, taker: Study, name: str, content: bytes
) -> None:
    forged = Forged(exported)
    forged.put(name, content)
    assert_refused(taker, forged.write(), f"{name} is a pickle under another name")


def test_weights_whose_header_begins_like_a_pickle_are_none(exported: Path, taker: Study) -> None:
    header = HEADER.ljust(0x0480)
    assert struct.pack("<Q", len(header))[:2] == b"\x80\x04"
    forged = Forged(exported)
    forged.put(WEIGHTS, struct.pack("<Q", len(header)) + header + b"1234")
    assert import_model(taker, forged.write(), load)[1]


@pytest.mark.parametrize(
    "name", ["../elsewhere", "/srv/elsewhere", "a\\..\\elsewhere", "weights.pt2"]
)
def test_other_names_are_refused(exported: Path, taker: Study, name: str) -> None:
    forged = Forged(exported)
    entry = ZipInfo("x")
    entry.filename = name
    forged.entries.append(entry)
    assert_refused(taker, forged.write(), "is none that an exported model has")


def test_what_is_compressed_is_refused(exported: Path, taker: Study) -> None:
    """A zip of a few kilobytes could unfold to any size."""
    file = Forged(exported).write(compression=ZIP_DEFLATED)
    assert_refused(taker, file, "is compressed or encrypted, which no exported model is")


def test_what_is_too_large_is_refused(
    exported: Path, taker: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(model_files, "MAX_FILE_BYTES", 100)
        assert_refused(taker, exported, "larger than 100 bytes, which no model is")
    monkeypatch.setattr(model_files, "MAX_CARD_BYTES", 10)
    assert_refused(taker, exported, "its card has")


@pytest.mark.parametrize("name", [WEIGHTS, CARD])
def test_a_missing_file_is_refused(exported: Path, taker: Study, name: str) -> None:
    forged = Forged(exported)
    forged.files.pop(name)
    forged.manifest["files"].pop(name)
    assert_refused(taker, forged.write(), f"it holds no {name}")


def test_what_is_no_zip_is_refused(exported: Path, taker: Study, tmp_path: Path) -> None:
    file = tmp_path / "m.txt"
    file.write_bytes(b"no zip")
    assert_refused(taker, file, "no zip, or one that was cut off")
    file.write_bytes(exported.read_bytes()[:200])
    assert_refused(taker, file, "no zip, or one that was cut off")
    assert_refused(taker, tmp_path / "nothing.zip", "cannot be imported (No such file")


def test_a_backup_is_no_model(taker: Study, tmp_path: Path) -> None:
    file = tmp_path / "b.zip"
    with ZipFile(file, "w") as archive:
        archive.writestr("catalogue.sqlite", b"x")
    assert_refused(taker, file, "'catalogue.sqlite' is none that an exported model has")


def test_weights_that_do_not_fit_their_card_leave_nothing(exported: Path, taker: Study) -> None:
    def misfit(folder: Path) -> Loaded:
        raise BadModel(f"{exported}: does not fit its card")

    with pytest.raises(BadModel, match="does not fit its card"):
        import_model(taker, exported, misfit)
    assert [path for path in taker.store.rglob("*") if path.is_file()] == []
