"""bf16 serves only where its answers are those of float32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from marrow.schemes import AA_MDS_AML, Head, Scheme
from training import precision
from training.network import MultiHeadNetwork, build_network
from training.parity import allows_bf16, measure_parity
from training.precision import bf16_is_native

CPU = torch.device("cpu")


def batches(count: int = 2) -> list[torch.Tensor]:
    made = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, 32, 32, generator=made) for _ in range(count)]


@pytest.fixture(scope="module")
def network() -> MultiHeadNetwork:
    return build_network("resnet18", AA_MDS_AML, 0.2, seed=0)


def test_counts_calls_and_the_largest_difference(network: MultiHeadNetwork) -> None:
    parity = measure_parity(network, batches(), CPU)
    assert parity["n"] == 8
    assert 0 < parity["max_difference"] < 0.2
    assert 0 <= parity["same_calls"] <= 1
    assert not network.training
    images = torch.cat(batches())
    with torch.inference_mode():
        exact = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(images)
    largest = max(
        float((exact[head].softmax(1) - rounded[head].softmax(1)).abs().max()) for head in exact
    )
    # Batches of another size add in another order.
    assert parity["max_difference"] == pytest.approx(largest, abs=1e-3)


def test_a_call_that_changes_is_counted(
    network: MultiHeadNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = network.answer

    def tipped(pooled: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = answer(pooled)
        is_bf16 = torch.is_autocast_enabled("cpu")
        sign = torch.tensor([1.0, -1.0]) * (-1 if is_bf16 else 1)
        return logits | {"mds": sign.expand_as(logits["mds"])}

    monkeypatch.setattr(network, "answer", tipped)
    parity = measure_parity(network, batches(1), CPU)
    # Every call of `mds` changes, none of `diagnosis` need to.
    assert parity["same_calls"] <= 0.5
    assert parity["max_difference"] > 0.5
    assert not allows_bf16(parity)


def test_a_head_counts_where_it_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    subtype = Head(name="subtype", classes=("p", "q", "r"), asked_when={"diagnosis": ("MDS",)})
    scheme = Scheme(
        name="x",
        unit="patient",
        primary="diagnosis",
        heads=(Head(name="diagnosis", classes=("AA", "MDS", "AML")), subtype),
    )
    network = build_network("resnet18", scheme, 0.2, seed=0)
    called = torch.tensor([0, 1, 1, 2])

    def fixed(pooled: torch.Tensor) -> dict[str, torch.Tensor]:
        is_bf16 = torch.is_autocast_enabled("cpu")
        subtypes = torch.tensor([0, 1, 2, 0]) if not is_bf16 else torch.tensor([1, 1, 2, 2])
        one_hot = torch.nn.functional.one_hot
        return {"diagnosis": one_hot(called, 3).float(), "subtype": one_hot(subtypes, 3).float()}

    monkeypatch.setattr(network, "answer", fixed)
    # The subtype changes for the first and the last image, which are called AA and AML.
    assert measure_parity(network, batches(1), CPU) == {
        "n": 4,
        "same_calls": 1,
        "max_difference": 0,
    }


@pytest.mark.parametrize(
    ("same", "difference", "allowed"),
    [(0.995, 0.02, True), (1, 0, True), (0.994, 0.01, False), (1, 0.021, False),
     (float("nan"), 0, False), (1, float("nan"), False)],
)  # fmt: skip
def test_the_rule(same: float, difference: float, allowed: bool) -> None:
    assert allows_bf16({"n": 64, "same_calls": same, "max_difference": difference}) is allowed


def test_what_was_not_measured_is_not_allowed(network: MultiHeadNetwork) -> None:
    assert not allows_bf16(None)
    assert not allows_bf16(measure_parity(network, [], CPU))


@pytest.mark.parametrize(
    ("flags", "native"),
    [("avx2 avx512_bf16", True), ("amx_bf16 amx_tile", True), ("avx2 avx512f", False),
     ("xavx512_bf16x", False)],
)  # fmt: skip
def test_a_cpu_is_native_by_its_flags(
    flags: str, native: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: fpu {flags} sse\n")
    monkeypatch.setattr(precision, "_CPU_INFO", tmp_path / "cpuinfo")
    assert bf16_is_native(CPU) is native


def test_a_cpu_that_tells_nothing_is_not_native(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_CPU_INFO", tmp_path / "none")
    assert not bf16_is_native(CPU)


@pytest.mark.parametrize(
    ("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_a_gpu_is_native_from_ampere_on(
    capability: tuple[int, int], native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert bf16_is_native(torch.device("cuda")) is native
    assert not bf16_is_native(torch.device("mps"))
