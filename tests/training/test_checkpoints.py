import hashlib
import json
import os
import struct

import numpy as np
import pytest
import safetensors.torch
import torch

from marrow.calibration import Calibration, HeadCalibration
from marrow.errors import BadModel
from marrow.records import Cell, TrainingSpec
from marrow.schemes import AA_MDS_AML
from marrow.statistics.novelty import Reference
from training import checkpoints
from training.checkpoints import (
    ModelCard,
    load_model,
    load_reference,
    load_state,
    save_model,
    save_state,
)
from training.network import build_network
from training.preprocess import Preprocessing


def card(**changes: object) -> ModelCard:
    preprocessing = Preprocessing(input_px=64)
    fields = {
        "scheme": AA_MDS_AML,
        "backbone": "mobilenet_v2",
        "preprocessing": preprocessing,
        "preprocessing_hash": preprocessing.hash,
        "data_sha256": "d" * 64,
        "training": TrainingSpec(backbone="mobilenet_v2", input_px=64),
        "split": {"train": ("p1", "p2"), "test": ("p3",)},
        "versions": {"torch": torch.__version__},
        "figures": {"diagnosis": {"auc": 0.9, "n": 3}},
        "created": "2026-01-01T00:00:00+00:00",
        "notes": ("trunk: random",),
    }
    return ModelCard.model_validate(fields | changes)


@pytest.fixture(scope="module")
def network():
    return build_network("mobilenet_v2", AA_MDS_AML, 0.2, seed=4).eval()


@pytest.fixture
def saved(tmp_path, network):
    save_model(tmp_path / "m1", network, card())
    return tmp_path / "m1"


def rewrite_card(folder, **changes):
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_model_comes_back_as_it_was(saved, network):
    again, loaded = load_model(saved)
    assert loaded == card(weights_sha256=loaded.weights_sha256)
    assert (
        loaded.weights_sha256
        == hashlib.sha256((saved / "weights.safetensors").read_bytes()).hexdigest()
    )
    assert not again.training
    wanted = network.state_dict()
    assert again.state_dict().keys() == wanted.keys()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, wanted[name])
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(again(images), network(images))
    assert sorted(path.name for path in saved.iterdir()) == ["card.json", "weights.safetensors"]


def test_a_loaded_model_can_be_trained(saved):
    again, _ = load_model(saved)
    again(torch.ones(2, 3, 64, 64))["mds"].sum().backward()
    assert again.heads["mds"].weight.grad is not None


def test_the_same_weights_give_the_same_hash(tmp_path, network):
    first = save_model(tmp_path / "a", network, card())
    channels_last = build_network("mobilenet_v2", AA_MDS_AML, 0.2, seed=4)
    second = save_model(
        tmp_path / "b", channels_last.to(memory_format=torch.channels_last), card(notes=("other",))
    )
    assert first.weights_sha256 == second.weights_sha256


def test_load_asks_for_the_hash_that_the_catalogue_knows(saved):
    known = load_model(saved)[1].weights_sha256
    load_model(saved, known)
    with pytest.raises(BadModel, match="wanted 0000"):
        load_model(saved, "0" * 64)


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors"])
def test_refuses_a_folder_with_one_file_missing(saved, name):
    (saved / name).unlink()
    with pytest.raises(BadModel, match=name):
        load_model(saved)


def test_refuses_one_flipped_bit(saved):
    path = saved / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadModel, match="SHA-256"):
        load_model(saved)


@pytest.mark.parametrize("size", [0, 5, 100, 100_000])
def test_refuses_a_file_cut_short(saved, size):
    path = saved / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BadModel, match=r"weights\.safetensors"):
        load_model(saved)


def test_refuses_a_pickle_under_another_name(saved, network):
    torch.save(network.state_dict(), saved / "weights.safetensors")
    with pytest.raises(BadModel, match="no safetensors file"):
        load_model(saved)


def replace_weights(folder, content):
    (folder / "weights.safetensors").write_bytes(content)
    rewrite_card(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def test_refuses_other_tensors_even_when_the_hash_agrees(saved, network):
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    replace_weights(saved, safetensors.torch.save({**tensors, "more": torch.zeros(1)}))
    with pytest.raises(BadModel, match="unexpected more"):
        load_model(saved)
    tensors["heads.mds.weight"] = torch.zeros(3, 1280)
    replace_weights(saved, safetensors.torch.save(tensors))
    with pytest.raises(BadModel, match=r"heads.mds.weight is .*\[3, 1280\].*\[2, 1280\]"):
        load_model(saved)
    del tensors["heads.mds.weight"]
    replace_weights(saved, safetensors.torch.save(tensors))
    with pytest.raises(BadModel, match=r"missing heads\.mds\.weight"):
        load_model(saved)


def test_declared_sizes_are_checked_before_the_file_is_read(saved, monkeypatch):
    header = json.dumps(
        {"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    ).encode()
    (saved / "weights.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    monkeypatch.setattr(checkpoints, "_read_checked", lambda *_: pytest.fail("was read"))
    with pytest.raises(BadModel, match="declares 4398046511104 bytes"):
        load_model(saved)


@pytest.mark.parametrize("length", [2**63, 2**26, 0])
def test_refuses_absurd_headers(saved, length):
    (saved / "weights.safetensors").write_bytes(struct.pack("<Q", length) + b"{" * 64)
    with pytest.raises(BadModel, match="no safetensors file"):
        load_model(saved)


@pytest.mark.parametrize(
    "header", [b"[]", b"[1]", b'{"x": 1}', b'{"x": {}}', b"\xff\xfe", b"[" * 5000]
)
def test_refuses_headers_that_are_no_table_of_tensors(saved, header):
    (saved / "weights.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(BadModel, match="weights"):
        load_model(saved)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"colour": "red"}, "colour"),
        ({"precision": "fp8"}, "precision"),
        ({"weights_sha256": ""}, "without a hash"),
        ({"backbone": "vit_b_16"}, "ends in a feature map"),
        ({"preprocessing_hash": "0" * 64}, "preprocessing"),
    ],
)
def test_refuses_a_card_that_was_edited(saved, changes, reason):
    rewrite_card(saved, **changes)
    with pytest.raises(BadModel, match=reason):
        load_model(saved)


@pytest.mark.parametrize("content", [b"", b"no json", b"\xff" * 10, b"[]"])
def test_refuses_a_card_that_is_no_json_table(saved, content):
    (saved / "card.json").write_bytes(content)
    with pytest.raises(BadModel, match=r"card\.json"):
        load_model(saved)


def test_refuses_a_card_of_gigabytes_unread(saved):
    with (saved / "card.json").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(BadModel, match="larger than"):
        load_model(saved)


class PowerCut(Exception):
    pass


def test_a_crash_between_the_two_files_leaves_nothing_that_loads(saved, monkeypatch):
    other = build_network("mobilenet_v2", AA_MDS_AML, 0.2, seed=5)
    replace = os.replace

    def stop_at_the_card(source, target):
        if str(target).endswith("card.json"):
            raise PowerCut
        replace(source, target)

    monkeypatch.setattr(os, "replace", stop_at_the_card)
    with pytest.raises(PowerCut):
        save_model(saved, other, card())
    with pytest.raises(BadModel, match="SHA-256"):
        load_model(saved)
    assert sorted(path.name for path in saved.iterdir()) == ["card.json", "weights.safetensors"]


def test_a_crash_while_writing_leaves_the_old_model(saved, network, monkeypatch):
    def crash(_):
        raise PowerCut

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(PowerCut):
        save_model(saved, build_network("mobilenet_v2", AA_MDS_AML, 0.2, seed=5), card())
    again, _ = load_model(saved)
    assert torch.equal(again.heads["mds"].weight, network.heads["mds"].weight)


def test_a_state_comes_back_as_it_was(tmp_path):
    shared = torch.arange(6.0)
    tensors = {
        "step": torch.tensor(7.0),
        "moment": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "random": torch.get_rng_state(),
        "counter": torch.tensor([1, 2], dtype=torch.int64),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "view": shared[:3],
        "whole": shared,
        "empty": torch.zeros(0, 4),
    }
    facts = {"epoch": 3, "batch": 17, "losses": [0.5, 0.25], "order": {"seed": 1}, "name": "µm"}
    path = tmp_path / "runs" / "r1-s2-a1.safetensors"
    sha256 = save_state(path, tensors, facts)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    again, same_facts = load_state(path, sha256)
    assert same_facts == facts
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor)
    again["moment"].add_(1)  # a run goes on with them in place
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert save_state(path, tensors, facts) == sha256


def test_refuses_a_state_that_was_altered_or_is_missing(tmp_path):
    path = tmp_path / "s.safetensors"
    sha256 = save_state(path, {"a": torch.ones(3)}, {"epoch": 1})
    with pytest.raises(BadModel, match="wanted 0000"):
        load_state(path, "0" * 64)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadModel, match="declares 12 bytes"):
        load_state(path, sha256)
    path.unlink()
    with pytest.raises(BadModel, match="cannot be read"):
        load_state(path, sha256)


def test_refuses_weights_without_facts_as_a_state(tmp_path):
    content = safetensors.torch.save({"a": torch.ones(3)})
    (tmp_path / "s.safetensors").write_bytes(content)
    with pytest.raises(BadModel, match="no facts"):
        load_state(tmp_path / "s.safetensors", hashlib.sha256(content).hexdigest())


def test_facts_must_be_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        save_state(tmp_path / "s", {}, {"loss": float("nan")})


CALIBRATION = Calibration(
    heads={
        "mds": HeadCalibration(temperature=1.5, conformal=(0.4, 0.6), patients=80),
        "diagnosis": HeadCalibration(
            temperature=0.8, unsure_below=0.55, conformal=(None, 0.5, 0.7), patients=80
        ),
    },
    distances=(1.0, 2.5),
    distance_patients=2,
    source="out-of-fold predictions of 80 patients in 5 folds",
)


@pytest.fixture(scope="module")
def reference():
    """Of 30 patients, in the 1,280 features of a MobileNetV2."""
    return Reference.fit(np.random.default_rng(0).normal(3, 2, (30, 1280)))


@pytest.fixture
def known(tmp_path, network, reference):
    """A model that knows its limits: folder and card."""
    folder = tmp_path / "m2"
    return folder, save_model(folder, network, card(calibration=CALIBRATION), reference)


def test_a_model_that_knows_its_limits_comes_back_as_it_was(known, reference):
    folder, saved = known
    _, loaded = load_model(folder, saved.weights_sha256)
    assert loaded == saved
    assert loaded.calibration == CALIBRATION
    stored = (folder / "reference.safetensors").read_bytes()
    assert loaded.reference_sha256 == hashlib.sha256(stored).hexdigest()
    again = load_reference(folder, loaded)
    features = np.random.default_rng(1).normal(3, 2, (5, 1280))
    # Stored as float32.
    np.testing.assert_allclose(again.distances(features), reference.distances(features), rtol=1e-4)


def test_a_card_of_before_has_no_limits_and_no_reference(saved):
    path = saved / "card.json"
    fields = json.loads(path.read_text())
    for name in ("calibration", "reference_sha256", "selection", "cells"):
        del fields[name]
    path.write_text(json.dumps(fields))
    _, loaded = load_model(saved)
    assert (loaded.calibration, loaded.selection, loaded.cells) == (None, {}, ())
    assert load_reference(saved, loaded) is None


def test_the_card_keeps_how_the_sweep_chose(tmp_path, network):
    cell = Cell(loss_weights=(1, 9), epochs=50, seed=0, run=2, fold_runs=(3, 4))
    chosen = {"chosen": 0, "why": "fewer epochs within one standard error"}
    save_model(tmp_path / "m", network, card(cells=(cell,), selection=chosen))
    _, loaded = load_model(tmp_path / "m")
    assert (loaded.cells, loaded.selection) == ((cell,), chosen)


def test_refuses_a_calibration_of_another_scheme(saved):
    heads = {"diagnosis": CALIBRATION.heads["diagnosis"]}
    other = CALIBRATION.model_copy(update={"heads": heads})
    rewrite_card(saved, calibration=other.model_dump(mode="json"))
    with pytest.raises(BadModel, match="calibration has heads"):
        load_model(saved)


def test_a_model_written_anew_without_reference_leaves_none(known, network):
    folder, _ = known
    saved = save_model(folder, network, card())
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "weights.safetensors"]
    assert load_reference(folder, saved) is None


def altered(folder, saved, **changes):
    """The reference with other arrays, and a card that has their hash."""
    path = folder / "reference.safetensors"
    arrays = safetensors.torch.load(path.read_bytes()) | changes
    content = safetensors.torch.save({k: own for k, own in arrays.items() if own is not None})
    path.write_bytes(content)
    return saved.model_copy(update={"reference_sha256": hashlib.sha256(content).hexdigest()})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mean": None}, "lacks mean"),
        ({"mean": torch.zeros(7)}, "do not fit"),
        ({"rest": torch.zeros(2)}, "do not fit"),
        ({"mean": torch.full((1280,), torch.nan)}, "finite"),
        ({"rest": torch.zeros(1)}, "finite"),
        ({"variances": torch.zeros(29)}, "finite"),
        ({"rest": torch.ones(1, dtype=torch.float64)}, "float32"),
        (
            {"mean": torch.zeros(9), "components": torch.zeros(2, 9), "variances": torch.ones(2)},
            "of 9 features",
        ),
    ],
)
def test_refuses_a_reference_that_gives_no_distances(known, changes, reason):
    folder, saved = known
    with pytest.raises(BadModel, match=rf"reference\.safetensors.*{reason}"):
        load_reference(folder, altered(folder, saved, **changes))


def test_refuses_a_reference_that_is_missing_altered_or_a_pickle(known, tmp_path):
    folder, saved = known
    path = folder / "reference.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadModel, match="SHA-256"):
        load_reference(folder, saved)
    torch.save({"mean": torch.zeros(3)}, path)
    with pytest.raises(BadModel, match="no safetensors file"):
        load_reference(folder, saved)
    path.unlink()
    with pytest.raises(BadModel, match="cannot be read"):
        load_reference(folder, saved)
