"""Steps that depend on seed, epoch and batch alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.steps import Standardiser, batch_order, seeded


@pytest.mark.parametrize(("count", "size"), [(13, 4), (12, 4), (5, 8), (1, 4), (9, 2)])
def test_an_epoch_sees_every_view_once(count, size):
    batches = batch_order(0, 3, count, size)
    assert sorted(view for batch in batches for view in batch) == list(range(count))
    assert all(len(batch) > 1 for batch in batches) or count == 1
    assert max(map(len, batches)) <= size + 1


def test_order_is_a_function_of_seed_and_epoch():
    assert batch_order(1, 2, 50, 8) == batch_order(1, 2, 50, 8)
    orders = {str(batch_order(seed, epoch, 50, 8)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_draws_are_a_function_of_seed_epoch_and_batch_and_leave_no_trace():
    device = torch.device("cpu")

    def draw(*counters: int) -> list[float]:
        with seeded(*counters, device):
            return torch.rand(3).tolist()

    before = torch.random.get_rng_state()
    assert draw(0, 1, 2) == draw(0, 1, 2)
    assert len({tuple(draw(s, e, b)) for s in range(3) for e in range(3) for b in range(3)}) == 27
    assert torch.equal(before, torch.random.get_rng_state())


def test_folded_heads_give_the_same_logits_on_plain_features():
    generator = torch.Generator().manual_seed(0)
    features = 3 + 2 * torch.rand(40, 16, generator=generator)
    features[:, 5] = 7.0  # never changes
    standardise = Standardiser.fit(features)
    scaled = standardise(features)
    assert scaled.mean(0).abs().max() < 1e-5
    varying = [column for column in range(16) if column != 5]
    assert (scaled.std(0, correction=0)[varying] - 1).abs().max() < 1e-4
    layer = nn.Linear(16, 3)
    expected = layer(scaled)
    standardise.fold_into(layer)
    # float32 after a division by standard deviations near 0.6
    torch.testing.assert_close(layer(features), expected, atol=2e-5, rtol=1e-5)
