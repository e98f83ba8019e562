"""The shortest vector of the convex hull of gradients, by their products alone."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 1000
CLOSE = 1e-12  # as a share of the longest gradient's square


def min_norm_weights(products: Tensor) -> Tensor:
    """The weights of the shortest convex combination of vectors.

    Of two in closed form, of more by Frank-Wolfe with pairwise steps (Lacoste-Julien & Jaggi 2015,
    https://arxiv.org/abs/1511.05932), which converge geometrically, where the plain ones of Sener & Koltun 2018 do not.

    Args:
        products: (n, k, k), the inner products of k vectors, of n such sets.

    Returns:
        (n, k) in float64, at least 0, of which each row adds up to 1.
    """
    exact = products.double()
    count = exact.shape[1]
    if count == 1:
        return exact.new_ones(exact.shape[:2])
    return _of_two(exact) if count == 2 else _of_more(exact)


def _of_two(products: Tensor) -> Tensor:
    first, both, second = products[:, 0, 0], products[:, 0, 1], products[:, 1, 1]
    apart = first + second - 2 * both
    share = torch.where(apart > 0, (second - both) / torch.where(apart > 0, apart, 1.0), 0.5).clamp(0, 1)
    return torch.stack([share, 1 - share], dim=1)


def _of_more(products: Tensor) -> Tensor:
    rows = torch.arange(len(products), device=products.device)
    longest = products.diagonal(dim1=1, dim2=2).amax(dim=1)
    weights = torch.full_like(products[:, 0], 1 / products.shape[1])
    for _ in range(STEPS):
        slopes = (products @ weights[:, :, None])[:, :, 0]
        towards, away = slopes.argmin(dim=1), slopes.masked_fill(weights <= 0, -torch.inf).argmax(dim=1)
        gap = slopes[rows, away] - slopes[rows, towards]
        if bool((gap <= CLOSE * longest).all()):
            break
        apart = products[rows, towards, towards] + products[rows, away, away] - 2 * products[rows, towards, away]
        step = torch.where(apart > 0, gap / torch.where(apart > 0, apart, 1.0), 0.0)
        step = torch.minimum(step, weights[rows, away])
        weights = weights.index_put((rows, towards), step, accumulate=True)
        weights = weights.index_put((rows, away), -step, accumulate=True).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
