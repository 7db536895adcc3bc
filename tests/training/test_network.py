import hashlib
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from pydantic import ValidationError
from torch import nn

from marrow.backbones import BACKBONES
from marrow.errors import BadModel
from marrow.records import TrainingSpec
from marrow.schemes import AA_MDS_AML, Head, Scheme
from training.network import (
    adapt_batch_norm,
    build_network,
    fetch_imagenet,
    load_trunk,
    set_trainable,
)

pytestmark = pytest.mark.slow
HEADS = ("mds", "diagnosis")


def images(count: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def adapted():
    """A tiny network whose features differ between images."""
    network = build_network("mobilenet_v2", AA_MDS_AML, dropout=0.5, seed=3)
    adapt_batch_norm(network, [images(8, seed) for seed in range(2)])
    return network


def test_gives_one_row_of_logits_per_head_and_image(adapted):
    answers = adapted(images())
    assert list(answers) == ["mds", "diagnosis"]
    assert answers["mds"].shape == (4, 2)
    assert answers["diagnosis"].shape == (4, 3)
    maps = adapted.feature_maps(images())
    assert maps.shape == (4, adapted.channels, 2, 2)
    assert adapted.pool(maps).shape == (4, adapted.channels)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_small", "densenet121"])
def test_pooled_features_are_torchvisions(backbone):
    network = build_network(backbone, AA_MDS_AML, dropout=0, seed=0).eval()
    reference = torchvision.models.get_model(backbone).eval()
    reference.load_state_dict(network.trunk.state_dict(), strict=False)
    seen = []
    last = list(reference.children())[-1]
    linear = next(layer for layer in last.modules() if isinstance(layer, nn.Linear))
    linear.register_forward_hook(lambda _, entered, __: seen.append(entered[0]))
    with torch.no_grad():
        reference(images())
        ours = network.pool(network.feature_maps(images()))
    torch.testing.assert_close(ours, seen[0])


@pytest.mark.parametrize(
    "backbone", ["convnext_tiny", "efficientnet_b0", "regnet_y_400mf", "shufflenet_v2_x0_5"]
)
def test_other_families_end_in_a_map_with_the_channels_they_claim(backbone):
    network = build_network(backbone, AA_MDS_AML, dropout=0, seed=0).eval()
    with torch.no_grad():
        assert network.feature_maps(images(1)).shape == (1, network.channels, 2, 2)
    set_trainable(network, "last-block")
    trained = [p.requires_grad for p in network.trunk.parameters()]
    assert not trained[0]
    assert trained[-1]


def test_same_seed_same_numbers_and_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_network("mobilenet_v2", AA_MDS_AML, 0.1, seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again = build_network("mobilenet_v2", AA_MDS_AML, 0.1, seed=1).state_dict()
    other = build_network("mobilenet_v2", AA_MDS_AML, 0.1, seed=2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["heads.mds.weight"], other["heads.mds.weight"])
    assert not torch.equal(first["trunk.features.0.0.weight"], other["trunk.features.0.0.weight"])


@pytest.mark.parametrize(
    ("backbone", "nearest"),
    [
        ("vit_b_16", "resnet50, mobilenet_v2 or convnext_tiny"),
        ("inception_v3", "resnet50, mobilenet_v2 or convnext_tiny"),
        ("ResNet50", "as resnet50 does"),
        ("resnet51", "resnet50, resnet18 or resnet152"),
        ("", "such as resnet50"),
    ],
)
def test_refuses_backbones_without_a_map_and_says_which_is_near(backbone, nearest):
    with pytest.raises(BadModel, match=nearest):
        build_network(backbone, AA_MDS_AML, 0, 0)
    with pytest.raises(ValidationError, match=nearest):
        TrainingSpec(backbone=backbone)


def test_the_names_on_offer_are_torchvision_s_networks_that_end_in_a_map():
    # What torchvision has beside them is named in marrow/backbones.py, with the reason.
    others = ("alexnet", "googlenet", "inception", "maxvit", "squeezenet", "swin", "vgg", "vit")
    known = torchvision.models.list_models(module=torchvision.models)
    assert [name for name in known if not name.startswith(others)] == list(BACKBONES)


def test_heads_may_have_the_names_of_methods():
    scheme = Scheme(
        name="odd",
        unit="image",
        primary="type",
        heads=(
            Head(name="type", classes=("a", "b", "c")),
            Head(name="keys", classes=("no", "yes"), positive="yes"),
        ),
    )
    network = build_network("mobilenet_v2", scheme, 0, 0).eval()
    assert {name: tuple(t.shape) for name, t in network(images(2)).items()} == {
        "type": (2, 3),
        "keys": (2, 2),
    }
    assert "heads.type.weight" in network.state_dict()


def test_activation_maps_add_up_to_the_logits(adapted):
    with torch.no_grad():
        maps = adapted.feature_maps(images())
        logits = adapted.answer(adapted.pool(maps))
        evidence = adapted.activation_maps(maps)
    assert evidence.shape == (4, 5, 2, 2)
    centred = torch.cat([logits[h] - logits[h].mean(1, keepdim=True) for h in HEADS], dim=1)
    # Float32 sums over 1280 channels in another order.
    torch.testing.assert_close(evidence.mean(dim=(2, 3)), centred, rtol=0, atol=1e-5)
    assert centred.abs().max() > 0.05  # else the line above would compare zeros


def test_dropout_acts_on_pooled_features_in_training_alone(adapted):
    pooled = torch.ones(1, adapted.channels)
    with torch.no_grad():
        assert torch.equal(adapted.answer(pooled)["mds"], adapted.answer(pooled)["mds"])
        adapted.train()
        assert not torch.equal(adapted.answer(pooled)["mds"], adapted.answer(pooled)["mds"])
    adapted.eval()


def test_heads_compute_in_float32_under_autocast(adapted):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        maps = adapted.feature_maps(images())
        pooled = adapted.pool(maps)
        answers = adapted.answer(pooled)
        evidence = adapted.activation_maps(maps)
    assert maps.dtype == torch.bfloat16
    assert {pooled.dtype, answers["mds"].dtype, evidence.dtype} == {torch.float32}
    with torch.no_grad():
        torch.testing.assert_close(answers, adapted.answer(pooled))


@pytest.mark.parametrize(
    ("tune", "trained"),
    [("heads", ()), ("last-block", ("layer4",)), ("full", ("conv1", "bn1", "layer1", "layer4"))],
)
def test_tune_decides_what_a_training_step_changes(tune, trained):
    network = build_network("resnet18", AA_MDS_AML, 0, 0)
    set_trainable(network, tune)
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 1e-2)
    sum(logits.square().sum() for logits in network(images()).values()).backward()
    optimizer.step()
    changed = {n for n, t in network.state_dict().items() if not torch.equal(t, before[n])}
    assert {"heads.mds.weight", "heads.diagnosis.weight"} <= changed
    parts = {name.split(".")[1] for name in changed if name.startswith("trunk.")}
    assert parts >= set(trained)
    if tune != "full":
        # Running statistics included: a frozen batch norm neither uses nor sees the batch.
        assert parts == set(trained)


def test_full_after_heads_trains_all_again():
    network = build_network("resnet18", AA_MDS_AML, 0, 0)
    set_trainable(network, "heads")
    set_trainable(network, "full")
    network.train()
    assert all(p.requires_grad for p in network.parameters())
    assert all(module.training for module in network.modules())


def test_adapted_batch_norm_whitens_the_training_images():
    network = build_network("resnet18", AA_MDS_AML, 0, 0)
    batches = [3 * images(8, seed) + 1 for seed in range(3)]
    adapt_batch_norm(network, batches)
    assert not any(module.training for module in network.modules())
    norms = [m for m in network.trunk.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    with torch.no_grad():
        entered = torch.cat([network.trunk.conv1(batch) for batch in batches])
    # The first norm sees the images alone: its mean must be theirs, each batch alike.
    torch.testing.assert_close(
        norms[0].running_mean, entered.mean(dim=(0, 2, 3)), atol=1e-4, rtol=0
    )
    first = norms[0].running_mean.clone()
    adapt_batch_norm(network, batches)
    torch.testing.assert_close(norms[0].running_mean, first)


# Weights from files.


@pytest.fixture(scope="module")
def imagenet_like():
    """A state dict as torchvision saves it, with a classifier of 1000 classes."""
    torch.manual_seed(11)
    return torchvision.models.mobilenet_v2().state_dict()


def fresh():
    return build_network("mobilenet_v2", AA_MDS_AML, 0.1, seed=0)


def stored(folder: Path, tensors: object, name: str = "trunk.pth") -> str:
    torch.save(tensors, folder / name)
    return str(folder / name)


@pytest.mark.parametrize("name", ["trunk.pth", "trunk.safetensors"])
def test_loads_the_trunk_and_says_that_the_classifier_was_dropped(tmp_path, imagenet_like, name):
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save(imagenet_like, path)
    else:
        safetensors.torch.save_file(imagenet_like, path)
    network = fresh()
    heads = network.heads["mds"].weight.clone()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    line = load_trunk(network, str(path), sha256)
    assert name in line
    assert sha256[:16] in line
    assert "dropped" in line
    assert "classifier.1.weight (1000, 1280)" in line
    for key, tensor in network.trunk.state_dict().items():
        assert torch.equal(tensor, imagenet_like[key])
    assert torch.equal(network.heads["mds"].weight, heads)


def test_loads_the_trunk_of_one_of_our_own_models(tmp_path, adapted):
    line = load_trunk(network := fresh(), stored(tmp_path, adapted.state_dict()))
    assert "heads.mds.weight" in line
    ours = network.trunk.state_dict()
    assert all(torch.equal(ours[name], t) for name, t in adapted.trunk.state_dict().items())


def test_none_leaves_the_trunk_as_it_was():
    network = fresh()
    before = network.trunk.features[0][0].weight.clone()
    assert "no weights" in load_trunk(network, "none")
    assert torch.equal(network.trunk.features[0][0].weight, before)


def test_reads_densenet_files_of_old(tmp_path):
    modern = torchvision.models.densenet121().state_dict()
    old = {}
    for name, tensor in modern.items():
        if "num_batches_tracked" in name:
            continue
        for number in "12":
            name = name.replace(f".norm{number}.", f".norm.{number}.")
            name = name.replace(f".conv{number}.", f".conv.{number}.")
        old[name] = tensor
    assert old.keys() != modern.keys()
    network = build_network("densenet121", AA_MDS_AML, 0, 0)
    load_trunk(network, stored(tmp_path, old))
    name = "features.denseblock1.denselayer1.conv1.weight"
    assert torch.equal(network.trunk.state_dict()[name], modern[name])


def test_refuses_an_altered_file(tmp_path, imagenet_like):
    path = stored(tmp_path, imagenet_like)
    with pytest.raises(BadModel, match=r"SHA-256 is .*, wanted 0000"):
        load_trunk(fresh(), path, "0" * 64)


def test_refuses_a_file_of_another_backbone_and_names_what_differs(tmp_path):
    path = stored(tmp_path, torchvision.models.resnet18().state_dict())
    with pytest.raises(BadModel, match=r"unexpected conv1.weight.* and \d+ more"):
        load_trunk(fresh(), path)


def test_refuses_missing_tensors_wrong_shapes_and_nan(tmp_path, imagenet_like):
    name = "features.0.0.weight"
    without = {key: tensor for key, tensor in imagenet_like.items() if key != name}
    for tensors, wanted in (
        (without, f"missing {name}"),
        ({**without, name: torch.zeros(1)}, rf"{name} is \(1,\), wanted \(32, 3, 3, 3\)"),
        ({**without, name: torch.full((32, 3, 3, 3), float("nan"))}, f"{name} holds NaN"),
    ):
        network = fresh()
        before = network.trunk.state_dict()["features.18.0.weight"].clone()
        with pytest.raises(BadModel, match=wanted):
            load_trunk(network, stored(tmp_path, tensors))
        assert torch.equal(network.trunk.state_dict()["features.18.0.weight"], before)


class Bomb:
    def __reduce__(self):
        return (os.system, ("echo must never run",))


def test_refuses_a_pickle_that_needs_more_than_tensors(tmp_path, imagenet_like, capfd):
    path = stored(tmp_path, {**imagenet_like, "extra": Bomb()})
    with pytest.raises(BadModel, match="no plain state dict"):
        load_trunk(fresh(), path)
    assert "must never run" not in capfd.readouterr().out


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(60), b"\x80\x02]q\x00."])
def test_refuses_files_of_another_kind(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadModel, match=name):
        load_trunk(fresh(), str(tmp_path / name))


def test_says_which_file_is_missing():
    with pytest.raises(BadModel, match="no such file"):
        load_trunk(fresh(), "/nowhere/weights.pth")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints"


def test_imagenet_is_never_downloaded_in_passing(hub, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("network"))
    with pytest.raises(BadModel, match="marrow models fetch mobilenet_v2"):
        load_trunk(fresh(), "imagenet")


def test_a_damaged_file_in_the_cache_is_refused(hub):
    hub.mkdir()
    (hub / "mobilenet_v2-b0353104.pth").write_bytes(b"cut short")
    with pytest.raises(BadModel, match="damaged"):
        load_trunk(fresh(), "imagenet")


def test_fetch_asks_for_the_v1_weights_with_their_checksum(hub, monkeypatch):
    asked = []

    def download(url, destination, hash_prefix, progress):
        asked.append((url, hash_prefix))
        Path(destination).write_bytes(b"weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    path = fetch_imagenet("mobilenet_v2")
    assert path == hub / "mobilenet_v2-b0353104.pth"
    assert asked == [("https://download.pytorch.org/models/mobilenet_v2-b0353104.pth", "b0353104")]


def test_a_failed_download_is_one_sentence(hub, monkeypatch):
    def download(*_, **__):
        raise RuntimeError("invalid hash value")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(BadModel, match="invalid hash value"):
        fetch_imagenet("resnet50")


def test_the_real_imagenet_mobilenet_loads():
    folder = os.environ.get("MARROW_TEST_DATA")
    if not folder:
        pytest.skip("MARROW_TEST_DATA is not set")
    path = Path(folder) / "weights" / "mobilenet_v2-b0353104.pth"
    network = fresh()
    assert "classifier.1.weight" in load_trunk(network, str(path))
    with torch.no_grad():
        pooled = network.eval().pool(network.feature_maps(images()))
    assert pooled.std(dim=0).max() > 0.1
