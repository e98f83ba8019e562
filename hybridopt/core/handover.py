"""What one phase of a hybrid may hand over to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Handover:
    """What a strategy has learned besides its recommendation; every field is optional.

    All are in the coordinates of the oracle that the strategy worked with.

    Args:
        sigma: the standard deviation of each coordinate, (d,).
        second_moments: decayed means of the squared gradient, (d,), as Adam keeps them.
        covariance_factor: A, (d, r), of a search distribution whose covariance is A A'.
        population: members (n, d).
        mask: which parameters are used, name -> boolean (\\*shape).
        step_length: the length of a step of late, as the root of a mean over the last ten or so; the hybrid measures
            it, where somebody takes it.
    """

    sigma: Tensor | None = None
    second_moments: Tensor | None = None
    covariance_factor: Tensor | None = None
    population: Tensor | None = None
    mask: Mapping[str, Tensor] | None = None
    step_length: float | None = None
