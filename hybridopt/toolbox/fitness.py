"""What stands for losses where only their order counts, or where a method cannot take infinite ones.

The oracle gives a failed candidate the loss +inf. Two rules are common: a failure counts as the worst of those that
have not failed (:func:`bounded`), or as worse than the worst (:func:`failures_last`), which matters where ranks are all
that a method sees. Methods that compare losses of different generations need one number for all failures,
:data:`FAILURE`.
"""

from __future__ import annotations

import torch
from torch import Tensor

FAILURE = 1e20
"""A loss that no candidate has that has not failed, for methods that take finite losses only."""


def bounded(losses: Tensor, all_failed: float = 0.0) -> Tensor:
    """Losses (n,) where failures count as the worst of the finite ones.

    Args:
        losses: of the members; NaN and infinity are failures.
        all_failed: the loss of all where all have failed.
    """
    finite = torch.isfinite(losses)
    return torch.where(finite, losses, losses[finite].max() if finite.any() else all_failed)


def failures_last(losses: Tensor, all_failed: float = 0.0) -> Tensor:
    """Losses (n,) where failures are worse than the worst of the finite ones: by its size, and by 1 at least.

    Args:
        losses: of the members; NaN and infinity are failures.
        all_failed: the loss of all where all have failed.
    """
    finite = torch.isfinite(losses)
    if not finite.any():
        return torch.full_like(losses, all_failed)
    worst = losses[finite].max()
    return torch.where(finite, losses, worst + worst.abs().clamp(min=1.0))


def averaged(former: Tensor, losses: Tensor, weight: float) -> Tensor:
    """Losses (n,) averaged over batches, f <- (1 - w) f + w L; a failure stays one, until there is another loss.

    Args:
        former: what they were averaged to (n,); NaN or infinity where nothing is known.
        losses: on a new batch.
        weight: w, what the new one counts; 1 counts it alone.
    """
    return torch.where(torch.isfinite(former), (1 - weight) * former + weight * losses, losses)


def mean_ranks(values: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Ranks from 0, ascending, along the last dimension; equal values share their mean rank. (..., n) -> (..., n).

    Args:
        values: without NaN.
        dtype: of the ranks, which may be halves.
    """
    values = values.contiguous()
    ordered = values.sort(dim=-1).values
    below = torch.searchsorted(ordered, values)
    up_to = torch.searchsorted(ordered, values, right=True)
    return (below + up_to - 1).to(dtype) / 2
