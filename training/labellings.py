"""One head trained on many labellings of the same smears at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from marrow.records import TrainingSpec
from training.steps import batch_order, one_thread, seeded


def train_heads(
    layer: nn.Linear,
    inputs: torch.Tensor,
    classes: torch.Tensor,
    balance: torch.Tensor,
    spec: TrainingSpec,
    asked: torch.Tensor,
) -> npt.NDArray[np.float64]:
    """Train one head on many labellings at once; what each then says of other rows.

    The heads stand beside each other in one layer. None of their losses depends on another's
    weights and Adam works on each weight by itself, so that each is trained as if alone, on
    the batches and under the dropout of a run with this seed.

    Parameters
    ----------
    layer : Linear, C to K
        Where every head begins; not changed.
    inputs : float32 (n, C)
        Standardised features.
    classes : int64 (P, n)
        Of each labelling; known throughout.
    balance : float32 (P, n)
        Weight of each row in the loss.
    asked : float32 (m, C)

    Returns
    -------
    float64 (P, m, K)
        Probabilities.
    """
    count, size = len(classes), layer.out_features
    device = inputs.device
    heads = nn.Linear(layer.in_features, count * size, device=device)
    with torch.no_grad():
        heads.weight.copy_(layer.weight.repeat(count, 1))
        heads.bias.copy_(layer.bias.repeat(count))
    optimizer = torch.optim.Adam(heads.parameters(), lr=spec.head_learning_rate)
    labels, weights = classes.T.to(device), balance.T.to(device)  # n, P
    with one_thread():
        for epoch in range(spec.epochs):
            order = batch_order(spec.seed, epoch, len(inputs), spec.batch_size)
            for number, batch in enumerate(order):
                with seeded(spec.seed, epoch, number, device):
                    features = functional.dropout(inputs[batch], spec.dropout)
                logits = heads(features).view(-1, size)  # B x P, K
                each = functional.cross_entropy(logits, labels[batch].flatten(), reduction="none")
                loss = (each.view(len(batch), count) * weights[batch]).mean(dim=0).sum()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    with torch.no_grad():
        logits = heads(asked).view(len(asked), count, size).double()
        said: npt.NDArray[np.float64] = logits.softmax(dim=2).permute(1, 0, 2).cpu().numpy()
    return said
