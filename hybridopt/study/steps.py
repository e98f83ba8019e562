"""Single steps of a network, each of the length that is best for its kind, and how far they descend."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from hybridopt.study.network import Batch, Network

ROWS = 32  # samples whose Jacobians are computed at a time
POWERS = range(-4, 9)  # of 4
DISTANCE = 1e-3  # of a difference, as a share of the weights' length


def best_descent(network: Network, directions: Tensor, expected: float, ends: Batch) -> float:
    """The mean descent of the loss by steps against directions, of the size that is best for all of them.

    Sizes are tried from 1/256 to 65,536 times the expected one, by powers of 4, then twice and half of the best.

    Args:
        network: it stays where it is.
        directions: (draws, d), such as estimates of a gradient.
        expected: a size of steps.
        ends: samples on which the loss is measured.

    Returns:
        Below 0 where each size ascends.
    """
    sizes = [expected * 4.0**power for power in POWERS]
    coarse = mean_losses(network, directions, sizes, ends)
    best = sizes[int(torch.tensor(coarse).argmin())]
    lowest = min(*coarse, *mean_losses(network, directions, [best / 2, best * 2], ends))
    return float(network.losses(network.weights[None], ends)) - lowest


def mean_losses(network: Network, directions: Tensor, sizes: Sequence[float], ends: Batch) -> list[float]:
    """The mean loss over directions after a step of each size; infinite where one has none."""
    weights = network.weights
    found = []
    for size in sizes:
        losses = network.losses(weights - size * directions, ends)
        found.append(float(losses.mean().nan_to_num(math.inf)))
    return found


def differences(network: Network, noise: Tensor, batch: Batch) -> Tensor:
    """An estimate of the gradient (d,) by central differences of losses along directions (n, d), their mean.

    Losses are asked for at a distance of a thousandth of the weights' length.
    """
    weights = network.weights
    distance = DISTANCE * weights.norm() / math.sqrt(len(weights))
    up, down = (network.losses(weights + side * distance * noise, batch) for side in (1, -1))
    return (up - down) @ noise / (2 * distance * len(noise))


def damped_steps(network: Network, batch: Batch, damping: Sequence[float]) -> Iterator[Tensor]:
    """Gauss-Newton steps of the cross-entropy with Levenberg's damping, each to be subtracted from the weights.

    Args:
        network: where it is.
        batch: B samples, from whose outputs' Jacobian the equations are made.
        damping: what is added to the diagonal.

    Yields:
        (d,), for each damping.
    """
    weights, gradient = network.weights, network.gradient(batch)

    def slopes_of(row: Tensor) -> Tensor:
        return jacrev(lambda z: network.outputs(z, row[None])[0])(weights)

    with torch.no_grad():
        slopes = vmap(slopes_of, chunk_size=ROWS)(batch[0])  # (B, C, d)
        shares = network.outputs(weights, batch[0]).softmax(1)
        spread = torch.diag_embed(shares) - shares[:, :, None] * shares[:, None, :]
        curvature = slopes.flatten(0, 1).T @ (spread @ slopes).flatten(0, 1) / len(slopes)
        for added in damping:
            yield torch.linalg.solve(curvature + added * torch.eye(len(weights), dtype=weights.dtype), gradient)
