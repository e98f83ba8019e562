"""The losses on the straight line between two networks of one hidden layer, as they are and with matched units."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hybridopt.composition.building import build

Weights = Sequence[Tensor]  # (w, i), (w,), (o, w), (o,)
POINTS = 11  # on the line
OTHER = 5000  # seed of the second network of a pair, less that of the first


def trained(inputs: Tensor, targets: Tensor, width: int, seed: int, steps: int) -> Weights:
    """A classifier of one hidden layer of ReLU, after so many steps of Adam on batches of 64.

    Args:
        inputs: (n, i).
        targets: (n,), classes.
        width: hidden units.
        seed: of weights and batches.
        steps: of Adam, at a rate of 0.003 that falls to 0.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = (inputs.shape[1], width, int(targets.max()) + 1)
    weights = []
    for wide, high in itertools.pairwise(sizes):
        weights += [torch.randn(high, wide, generator=generator) * (2 / wide) ** 0.5, torch.zeros(high)]
    parameters = [nn.Parameter(weight) for weight in weights]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-3, steps)
    for _ in range(steps):
        rows = torch.randint(len(inputs), (64,), generator=generator)
        optimizer.zero_grad()
        loss(parameters, inputs[rows], targets[rows]).backward()
        optimizer.step()
        schedule.step()
    return [parameter.detach() for parameter in parameters]


def loss(weights: Weights, inputs: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy."""
    hidden = (inputs @ weights[0].T + weights[1]).relu()
    return cross_entropy(hidden @ weights[2].T + weights[3], targets)


def matched(a: Weights, b: Weights) -> Weights:
    """b with its hidden units in the order that is most like a's, which computes the same.

    By the inner product of the weights of paired units (Ainsworth et al. 2023, https://arxiv.org/abs/2209.04836); for
    one hidden layer this is a linear assignment.
    """
    from scipy.optimize import linear_sum_assignment

    likeness = a[0] @ b[0].T + a[1][:, None] * b[1] + a[2].T @ b[2]
    order = torch.as_tensor(linear_sum_assignment(likeness.numpy(), maximize=True)[1])
    return [b[0][order], b[1][order], b[2][:, order], b[3]]


def barrier(a: Weights, b: Weights, inputs: Tensor, targets: Tensor) -> float:
    """By how much the loss on the straight line is at most above the line between the losses at its ends."""
    shares = torch.linspace(0, 1, POINTS)
    losses = torch.stack([
        loss([torch.lerp(one, other, float(share)) for one, other in zip(a, b, strict=True)], inputs, targets)
        for share in shares
    ])  # fmt: skip
    return float((losses - torch.lerp(losses[0], losses[-1], shares)).max())


def of_digits(w: int, seed: int, steps: int) -> dict[str, float]:
    """The barrier of the training loss between two networks that have learnt digits from other weights and batches.

    Args:
        w: hidden units.
        seed: of the first; the other's is :data:`OTHER` more.
        steps: of training.

    Returns:
        As the two are, "raw", and with "matched" units.
    """
    images, targets = build("dataset", {"name": "digits"}).sets["train"]
    inputs = images.flatten(1)
    a, b = (trained(inputs, targets, w, seed + other, steps) for other in (0, OTHER))
    return {"raw": barrier(a, b, inputs, targets), "matched": barrier(a, matched(a, b), inputs, targets)}
