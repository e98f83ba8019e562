"""What one phase of a hybrid makes of what another has learned.

Between widths and second moments: a step of Adam is lr m / sqrt(v), coordinate by coordinate, that of a search its
width. Where a quadratic loss has the curvature h, the widths of an adapted search go as 1 / sqrt(h) (Hansen 2016,
https://arxiv.org/abs/1604.00772), and a slope at that distance from the minimum as h times it, sqrt(h): so sqrt(v) goes
as 1 / sigma. Only ratios of coordinates carry over; the size in the mean is that of the heir's own setting, or of its
own first gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.core.handover import Handover

MOST = 10.0  # times that a coordinate may be above or below the mean: what has no slope would have no bound


def widths(inherited: Handover, sigma: float, x0: Tensor) -> Tensor:
    """The widths (d,) that a search starts with: those handed over, from second moments, or all of the setting's.

    Args:
        inherited: from the phase before; its ``sigma`` is taken as it is, and goes before ``second_moments``.
        sigma: the setting, which is the geometric mean of widths from second moments.
        x0: (d,), where the search starts.
    """
    if inherited.sigma is not None:
        return inherited.sigma.to(x0).clone()
    if inherited.second_moments is not None:
        return sigma * relative(inherited.second_moments.to(x0), -0.5)
    return torch.full_like(x0, sigma)


def second_moments(inherited: Handover, gradient: Tensor) -> Tensor | None:
    """The second moments (d,) that Adam starts with; None where there is nothing to make them of.

    Args:
        inherited: from the phase before; its ``second_moments`` are taken as they are, and go before ``sigma``.
        gradient: (d,), the first one, whose mean square is that of moments from widths.
    """
    if inherited.second_moments is not None:
        return inherited.second_moments.to(gradient).clone()
    if inherited.sigma is not None:
        ratios = relative(inherited.sigma.to(gradient), -2.0)
        return gradient.square().mean() * ratios / ratios.mean()
    return None


def members(inherited: Handover, made: Tensor) -> Tensor:
    """A first population (n, d): members handed over, as many as there is room for, and then newly drawn ones.

    The first of those made is where the search starts, and stays.
    """
    if inherited.population is None:
        return made
    others = inherited.population.to(made)[: len(made) - 1]
    return torch.cat([made[:1], others, made[1 + len(others) :]])


def relative(values: Tensor, power: float) -> Tensor:
    """Positive values (d,) to a power, as ratios to their geometric mean, none beyond ``MOST``."""
    logarithms = power * values.double().clamp(min=1e-300).log()
    known = values > 0
    mean = logarithms[known].mean() if bool(known.any()) else logarithms.mean()
    bound = torch.tensor(MOST).log()
    return (logarithms - mean).clamp(-bound, bound).exp().to(values)
