"""One training step and what it depends on: nothing but the seed, the epoch and the batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from marrow.errors import BadModel
from marrow.records import TrainingSpec
from training.losses import head_losses
from training.network import MultiHeadNetwork
from training.tally import Tally


def batch_order(seed: int, epoch: int, count: int, batch_size: int) -> list[list[int]]:
    """The batches of one epoch, as indices below `count`, shuffled by (seed, epoch) alone.

    A last batch of one joins the one before: batch norm has no statistics of a single view.
    """
    generator = torch.Generator().manual_seed(_number(seed, epoch))
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    batches = [order[at : at + batch_size] for at in range(0, count, batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        last = batches.pop()
        batches[-1] += last
    return batches


@contextmanager
def seeded(seed: int, epoch: int, batch: int, device: torch.device) -> Iterator[None]:
    """Inside, torch draws (dropout, stochastic depth) from (seed, epoch, batch) alone.

    A generator that runs on would have to be stored in each checkpoint; a counter has not.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(_number(seed, epoch, batch))
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes on the calling thread alone: right for heads on features.

    A step of them takes a millisecond; handing half of it to another thread and waiting for
    it takes longer, and on a busy machine five times as long (measured).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _number(*counters: int) -> int:
    text = ":".join(str(counter) for counter in counters)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def build_optimizer(
    network: MultiHeadNetwork, spec: TrainingSpec, *, heads_alone: bool = False
) -> torch.optim.Adam:
    """Adam over what is trainable; trunk and heads each at their own constant rate."""
    trunk = [p for p in network.trunk.parameters() if p.requires_grad and not heads_alone]
    groups: list[dict[str, Any]] = [
        {"params": list(network.heads.parameters()), "lr": spec.head_learning_rate}
    ]
    if trunk:
        groups.append({"params": trunk, "lr": spec.trunk_learning_rate})
    return torch.optim.Adam(groups)


def optimizer_tensors(
    network: MultiHeadNetwork, optimizer: torch.optim.Adam
) -> dict[str, torch.Tensor]:
    """Adam's moments and counters, named `<parameter>/<what>`; empty before the first step."""
    return {
        f"{name}/{what}": tensor
        for name, parameter in network.named_parameters()
        for what, tensor in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    network: MultiHeadNetwork, optimizer: torch.optim.Adam, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Give Adam the moments that `optimizer_tensors` named."""
    parameters = dict(network.named_parameters())
    for key, tensor in tensors.items():
        name, what = key.rsplit("/", 1)
        parameter = parameters[name]
        # Adam counts its steps on the CPU (torch.optim.adam, _init_group); its moments have
        # the parameter's memory format.
        like = tensor if what == "step" else parameter.detach()
        optimizer.state[parameter][what] = torch.empty_like(like).copy_(tensor)


def train_step(
    optimizer: torch.optim.Adam,
    logits: Mapping[str, torch.Tensor],
    classes: torch.Tensor,
    balance: torch.Tensor,
    weights: Mapping[str, float],
    tally: Tally,
) -> None:
    """One step of Adam on the weighted sum of the heads' losses.

    Parameters
    ----------
    logits : by head, float32 (B, classes)
        Of the network in training mode.
    classes, balance : (B, heads)
        As in `losses.head_losses`.
    weights : dict of float
        Share of each head; a head that nobody in the batch has answered does not move.

    Raises
    ------
    BadModel
        If the loss has become NaN or infinite.
    """
    losses = head_losses(logits, classes, balance)
    if losses:
        optimizer.zero_grad(set_to_none=True)
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        if not total.isfinite():
            raise BadModel("the loss is no longer a number; train with a lower learning rate")
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    tally.add(logits, classes, losses)


@dataclass(frozen=True)
class Standardiser:
    """Centre and scale of features, fitted on the training side.

    Attributes
    ----------
    mean, std : float32 (C,)
        A feature that never changes has std 1.
    """

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def fit(cls, features: torch.Tensor) -> Standardiser:
        """Of features float32 (n, C), all rows alike; computed in float64."""
        exact = features.double()
        std = exact.std(dim=0, correction=0)
        std = torch.where(std > 1e-6, std, torch.ones_like(std))
        return cls(exact.mean(dim=0).float(), std.float())

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Features (n, C) with mean 0 and standard deviation 1 over the fitted rows."""
        return (features - self.mean) / self.std

    @torch.no_grad()
    def fold_into(self, layer: nn.Linear) -> None:
        """Let a layer trained on standardised features take plain ones: the same logits.

        W ((f - m) / s) + b = (W / s) f + (b - W (m / s)).
        """
        weight, bias = layer.weight.double(), layer.bias.double()
        scaled = weight / self.std.to(weight.device).double()
        layer.bias.copy_(bias - scaled @ self.mean.to(weight.device).double())
        layer.weight.copy_(scaled)
