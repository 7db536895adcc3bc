"""Files that only look like weights: refused in a sentence, run never, held in memory never."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from marrow.errors import BadModel
from marrow.records import ModelRecord
from marrow.schemes import AA_MDS_AML
from marrow.study import Study
from training import checkpoints
from training.checkpoints import load_model, load_state, save_state
from training.network import MultiHeadNetwork, build_network
from training.weights import load_trunk

if sys.platform != "win32":
    import resource

HUGE_BYTES = 3_000_000_000
"""What a file declares or would unfold to; far more than these tests have used before."""
MOST_MB = 300
"""What a refusal may cost: reading blocks of a file, and a network on no device."""


class Touch:
    """A pickle of this makes a folder where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def peak_mb() -> float:
    if sys.platform == "win32":
        return 0.0
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def assert_refused(call: Callable[[], object], *words: str) -> None:
    """The call is refused in one sentence with these words, at little cost."""
    before = peak_mb()
    with pytest.raises(BadModel) as refusal:
        call()
    assert peak_mb() - before < MOST_MB
    said = str(refusal.value)
    assert "\n" not in said
    assert len(said) < 1000
    for word in words:
        assert word in said


def header_of(tensors: dict[str, object], length: int | None = None) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


def entry(shape: list[object], begin: object, end: object, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.fixture(scope="module")
def network() -> MultiHeadNetwork:
    return build_network("resnet18", AA_MDS_AML, 0.0, seed=0)


@pytest.fixture
def model(
    make_study: Callable[..., Study], tiny_model: Callable[[Study], ModelRecord]
) -> tuple[Path, str]:
    """A good model's folder, and the hash of its weights."""
    study = make_study()
    record = tiny_model(study)
    return study.store / record.path, record.sha256


HEADERS: dict[str, bytes] = {
    "10 GB of header": header_of({}, 10**10),
    "ten times its size": header_of({"a": entry([1000], 0, 4000)}) + bytes(400),
    "a tensor of exabytes": header_of({"a": entry([2**31, 2**31], 0, 2**64)}) + bytes(8),
    "a shape that its offsets do not have": header_of({"a": entry([2**31, 2**31], 0, 8)})
    + bytes(8),
    "overlapping tensors": header_of({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}) + bytes(16),
    "a hole": header_of({"a": entry([2], 0, 8), "b": entry([2], 16, 24)}) + bytes(16),
    "a negative offset": header_of({"a": entry([2], -8, 0)}) + bytes(8),
    "a negative shape": header_of({"a": entry([-1, -2], 0, 8)}) + bytes(8),
    "offsets of two kinds": header_of({"a": entry([2], 0, "8"), "b": entry([2], 0, 8)}) + bytes(8),
    "a shape of words": header_of({"a": entry(["2"], 0, 8)}) + bytes(8),
    "an unknown type": header_of({"a": entry([2], 0, 8, "PICKLE")}) + bytes(8),
    "nothing but lists": header_of({"a": [1, 2, 3]}) + bytes(8),  # type: ignore[dict-item]
    "deep": struct.pack("<Q", 100_000) + b"[" * 100_000,
    "a pickle": pickle.dumps(Touch(Path("/nowhere"))) * 10,
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_lying_safetensors_file_is_refused_everywhere(
    name: str, model: tuple[Path, str], network: MultiHeadNetwork, tmp_path: Path
) -> None:
    content = HEADERS[name]
    right = hashlib.sha256(content).hexdigest()
    folder, sha256 = model
    weights = folder / "weights.safetensors"
    weights.write_bytes(content)
    assert_refused(lambda: load_model(folder, sha256), str(weights))
    state = tmp_path / "state.safetensors"
    state.write_bytes(content)
    # With the right hash too: a checkpoint may have been written by a stranger.
    assert_refused(lambda: load_state(state, right), str(state))
    assert_refused(lambda: load_trunk(network, str(state), right), state.name)


def test_a_file_of_gigabytes_with_a_fitting_header_is_hashed_and_not_held(
    model: tuple[Path, str], tmp_path: Path
) -> None:
    length = HUGE_BYTES // 4
    head = header_of({"a": entry([length], 0, 4 * length)})
    state = tmp_path / "state.safetensors"
    with state.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + 4 * length)  # sparse: no disk is used
    assert_refused(lambda: load_state(state, "0" * 64), "SHA-256", state.name)
    folder, sha256 = model
    state.replace(folder / "weights.safetensors")
    assert_refused(lambda: load_model(folder, sha256), "does not fit its card")


def test_the_right_shapes_with_inflated_offsets_are_refused(model: tuple[Path, str]) -> None:
    folder, sha256 = model
    weights = folder / "weights.safetensors"
    stored = weights.read_bytes()
    length = int.from_bytes(stored[:8], "little")
    declared = json.loads(stored[8 : 8 + length])
    last = max(declared, key=lambda name: declared[name].get("data_offsets", (0, 0))[1])
    declared[last]["data_offsets"][1] += HUGE_BYTES
    head = header_of(declared)
    with weights.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + declared[last]["data_offsets"][1])
    assert_refused(lambda: load_model(folder, sha256), "header")


def test_another_hash_is_refused_though_the_card_was_changed_with_it(
    model: tuple[Path, str],
) -> None:
    folder, sha256 = model
    weights = folder / "weights.safetensors"
    tensors = safetensors.torch.load(weights.read_bytes())
    name = next(iter(tensors))
    tensors[name] = tensors[name] + 1
    content = safetensors.torch.save(tensors)
    weights.write_bytes(content)
    assert_refused(lambda: load_model(folder, sha256), "SHA-256", "altered")
    card = json.loads((folder / "card.json").read_text())
    card["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    assert_refused(lambda: load_model(folder, sha256), "wanted " + sha256)


def test_weights_that_are_not_finite_are_refused(
    model: tuple[Path, str], network: MultiHeadNetwork, tmp_path: Path
) -> None:
    folder, _ = model
    weights = folder / "weights.safetensors"
    tensors = safetensors.torch.load(weights.read_bytes())
    tensors["heads.mds.weight"][0, 0] = float("nan")
    tensors["trunk.conv1.weight"][0, 0, 0, 0] = float("inf")
    content = safetensors.torch.save(tensors)
    weights.write_bytes(content)
    card = json.loads((folder / "card.json").read_text())
    right = hashlib.sha256(content).hexdigest()
    (folder / "card.json").write_text(json.dumps(card | {"weights_sha256": right}))
    assert_refused(lambda: load_model(folder, right), str(weights), "NaN", "again")
    trunk = tmp_path / "trunk.pt"
    torch.save({name: one for name, one in tensors.items() if name[:5] == "trunk"}, trunk)
    assert_refused(lambda: load_trunk(network, str(trunk)), "trunk.pt", "NaN")


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.safetensors", "weights"])
@pytest.mark.parametrize("form", ["plain", "zip", "legacy", "beside tensors"])
def test_a_pickle_is_never_run(
    name: str, form: str, network: MultiHeadNetwork, tmp_path: Path
) -> None:
    trap, file = tmp_path / "trap", tmp_path / name
    touch = Touch(trap)
    if form == "plain":
        file.write_bytes(pickle.dumps(touch, protocol=2))
    elif form == "beside tensors":
        torch.save({**network.trunk.state_dict(), "extra": touch}, file)
    else:
        torch.save(touch, file, _use_new_zipfile_serialization=form == "zip")
    assert_refused(lambda: load_trunk(network, str(file)), name)
    assert not trap.exists()
    pickle.loads(pickle.dumps(touch))  # noqa: S301 -- the trap works
    assert trap.exists()


def test_the_refusal_of_a_pickle_does_not_tell_how_to_run_it(
    network: MultiHeadNetwork, tmp_path: Path
) -> None:
    file = tmp_path / "weights.pt"
    torch.save(Touch(tmp_path / "trap"), file)
    with pytest.raises(BadModel) as refusal:
        load_trunk(network, str(file))
    assert "weights_only" not in str(refusal.value)
    assert "state_dict()" in str(refusal.value)


def test_an_archive_that_unfolds_is_refused(network: MultiHeadNetwork, tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.pt", tmp_path / "packed.pt"
    torch.save({"a": torch.zeros(1)}, plain)
    with (
        zipfile.ZipFile(plain) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            if name.endswith("data/0"):
                with target.open(name, "w", force_zip64=True) as record:
                    for _ in range(1000):
                        record.write(bytes(1_000_000))
            else:
                target.writestr(name, source.read(name))
    assert packed.stat().st_size < 2_000_000
    assert_refused(lambda: load_trunk(network, str(packed)), "packed.pt", "unfolds")


CARDS = {
    "100 MB": b" " * 100_000_000,
    "deep": b'{"figures": ' + b'{"a": ' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "deep lists": b"[" * 1_000_000,
    "a huge number": b'{"figures": {"a": 1' + b"0" * 1_000_000 + b"}}",
    "a pickle": pickle.dumps(Touch(Path("/nowhere"))),
}


@pytest.mark.parametrize("name", CARDS)
def test_a_monstrous_card_is_refused(name: str, model: tuple[Path, str]) -> None:
    folder, sha256 = model
    (folder / "card.json").write_bytes(CARDS[name])
    assert_refused(lambda: load_model(folder, sha256), "card.json")


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in the file system")
@pytest.mark.parametrize("name", ["card.json", "weights.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_does_not_block(name: str, kind: str, model: tuple[Path, str]) -> None:
    folder, sha256 = model
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    else:
        (folder / name).mkdir()
    assert_refused(lambda: load_model(folder, sha256), name)


def test_facts_of_a_state_are_a_table(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, {"a": torch.ones(2)}, {"epoch": 1})
    for facts in ("[1]", "[" * 100_000, "no json"):
        content = safetensors.torch.save({"a": torch.ones(2)}, {checkpoints._FACTS: facts})
        path.write_bytes(content)
        right = hashlib.sha256(content).hexdigest()
        assert_refused(lambda right=right: load_state(path, right), str(path))  # type: ignore[misc]
