"""Of each number the one or the other, where chance decides."""

from __future__ import annotations

import torch
from torch import Tensor

INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def select(condition: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """``torch.where(condition, first, second)``, to the bit, without a branch for each number.

    Where the conditions are random, a processor guesses half of these branches wrongly: this is several times faster.

    Args:
        condition: zeros and ones of any type; its shape fits that of the others.
        first: what is taken where the condition is 1; floating point.
        second: of the same shape and type, what is taken where it is 0.
    """
    integer = INTEGERS[first.element_size()]
    mask, other = condition.to(integer, copy=True).neg_(), second.view(integer)
    return (first.view(integer) ^ other).bitwise_and_(mask).bitwise_xor_(other).view(first.dtype)
