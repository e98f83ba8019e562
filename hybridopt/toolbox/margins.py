"""By how much a classifier's scores lead those of the other classes."""

from __future__ import annotations

import torch
from torch import Tensor


def right_and_rival(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The score of the right class, and the best of the others.

    Args:
        scores: (B, classes).
        targets: (B,) class numbers.

    Returns:
        Two tensors (B,); with one class only, the rival's score is -inf.
    """
    index = targets.unsqueeze(1)
    right = scores.gather(1, index).squeeze(1)
    return right, scores.scatter(1, index, float("-inf")).amax(dim=1)


def margins(scores: Tensor) -> Tensor:
    """By how much each score leads the best other one of its sample; the score itself where there is one class only.

    Args:
        scores: (..., classes).

    Returns:
        The same shape.
    """
    if scores.shape[-1] == 1:
        return scores
    best = scores.topk(2, dim=-1).values
    rival = torch.where(scores == best[..., :1], best[..., 1:], best[..., :1])
    return scores - rival
