"""Critical points: how many are minima in theory, and how to find those of a function.

Random matrices: Dean and Majumdar 2006, https://doi.org/10.1103/PhysRevLett.97.160201. Searches for critical points,
and places where they fail: Frye et al. 2021, https://arxiv.org/abs/2003.10397.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value, hessian, vmap

Derivatives = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]  # (s, d) -> values (s,), gradients, Hessians (s, d, d)
CRITICAL, STEPS = 1e-6, 150  # length of a gradient that counts as none; of Newton's method
FEATURES = 400  # of a random field
SAMPLES, DECAY = 60, 1e-3  # of a small network's task; coefficient of its squared weights, which are added
TRAJECTORY = (0, 10, 30, 100, 300, 1000)  # steps of descent after which a search for critical points starts
LARGEST = 12  # matrices for which doubles have three right digits


def share_of_minima(n: int) -> float:
    """The probability that a random symmetric matrix of the Gaussian orthogonal ensemble has no negative eigenvalue.

    Exact: the integral of the density of eigenvalues over the positive ones is a Pfaffian (de Bruijn 1955), whose
    elements follow from one another, divided by that over all (Mehta's integral).

    Args:
        n: rows of the matrix, 1 to :data:`LARGEST`.

    Raises:
        ValueError: n is out of range.
    """
    if not 1 <= n <= LARGEST:
        raise ValueError(f"n must be 1 to {LARGEST}, but is {n}.")
    moments = [2 ** ((i - 1) / 2) * math.gamma((i + 1) / 2) for i in range(n)]  # of exp(-x^2 / 2) over x > 0

    @cache
    def ordered(i: int, j: int) -> float:
        """The integral of x^i y^j exp(-(x^2 + y^2) / 2) over 0 < x < y."""
        if j == 0:
            return moments[0] ** 2 / 2 if i == 0 else moments[i] * moments[0] - ordered(0, i)
        if j == 1:
            return math.gamma((i + 1) / 2) / 2
        return math.gamma((i + j) / 2) / 2 + (j - 1) * ordered(i, j - 2)

    size = n + n % 2
    matrix = np.zeros((size, size))
    for i in range(n):
        matrix[i, :n] = [ordered(i, j) - ordered(j, i) for j in range(n)]
    if n % 2:
        matrix[:n, n], matrix[n, :n] = moments, [-moment for moment in moments]
    everything = (2 * math.pi) ** (n / 2) * math.prod(math.gamma(1 + j / 2) / math.gamma(1.5) for j in range(1, n + 1))
    return math.factorial(n) * math.sqrt(abs(float(np.linalg.det(matrix)))) / everything


@dataclass(frozen=True)
class Found:
    """Where searches for critical points have ended.

    Args:
        places: (s, d).
        values: (s,).
        slopes: (s,), lengths of the gradients.
        eigenvalues: (s, d), of the Hessians, ascending.
    """

    places: Tensor
    values: Tensor
    slopes: Tensor
    eigenvalues: Tensor

    def index(self, zero: float = 1e-6) -> Tensor:
        """The share of the eigenvalues that are negative, by more than so much of the greatest; (s,)."""
        greatest = self.eigenvalues.abs().max(dim=1, keepdim=True).values
        return (self.eigenvalues < -zero * greatest).double().mean(dim=1)

    def different(self, slope: float) -> dict[str, Any]:
        """The critical points that differ, as plain values.

        Args:
            slope: length of a gradient from which on a search has failed.

        Returns:
            Of each, up to six digits, its value and its index; the values of minima; the rank correlation of index and
            value, None where one of them is the same everywhere; how many searches there were, and how many failed.
        """
        from scipy.stats import spearmanr

        there = self.slopes < slope
        pairs = zip(self.values[there].tolist(), self.index()[there].tolist(), strict=True)
        points = sorted({(round(value, 6), round(index, 6)) for value, index in pairs})
        values, indices = [value for value, _ in points], [index for _, index in points]
        ranked = min(len(set(values)), len(set(indices))) > 1
        return {
            "values": values,
            "indices": indices,
            "minima": [value for value, index in points if index == 0],
            "correlation": float(cast(Any, spearmanr(values, indices)).statistic) if ranked else None,
            "searches": len(there),
            "failed": int((~there).sum()),
        }


def critical_points(derivatives: Derivatives, starts: Tensor, steps: int, tolerance: float) -> Found:
    """Newton's method on the gradient, damped as by Levenberg and Marquardt, from many starts at once.

    It goes to critical points of any index, as Newton's method does; it may also end where the gradient is short and
    lies in the kernel of the Hessian, which is none: look at the slopes.

    Args:
        derivatives: of the function.
        starts: (s, d), float64.
        steps: at most.
        tolerance: length of a gradient at which all may end.
    """
    x, (values, g, hessians) = starts, derivatives(starts)
    damping = torch.full_like(values, 1e-2)
    for _ in range(steps):
        slopes = g.norm(dim=1)
        if bool((slopes < tolerance).all()):
            break
        eigenvalues, vectors = torch.linalg.eigh(hessians)
        share = eigenvalues / (eigenvalues.square() + damping[:, None])
        step = -(vectors @ (share * (vectors.mT @ g[:, :, None])[:, :, 0])[:, :, None])[:, :, 0]
        tried = derivatives(x + step)
        better = tried[1].norm(dim=1) < slopes
        damping = torch.where(better, damping / 4, damping * 3).clamp(1e-14, 1e8)
        x = torch.where(better[:, None], x + step, x)
        values, g = torch.where(better, tried[0], values), torch.where(better[:, None], tried[1], g)
        hessians = torch.where(better[:, None, None], tried[2], hessians)
    return Found(x, values, g.norm(dim=1), torch.linalg.eigvalsh(hessians))


def random_field(d: int, features: int, generator: torch.Generator) -> Derivatives:
    """A smooth Gaussian field of mean 0 and variance 1, by random Fourier features (Rahimi and Recht 2007).

    Its covariance is exp(-|x - y|^2 / 2), up to the number of features.

    Args:
        d: dimensions.
        features: cosines that it is made of.
        generator: of their directions and phases.
    """
    directions = torch.randn(features, d, generator=generator, dtype=torch.float64)
    phases = 2 * math.pi * torch.rand(features, generator=generator, dtype=torch.float64)
    scale = math.sqrt(2 / features)

    def derivatives(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        angles = x @ directions.T + phases
        cosines = angles.cos()
        hessians = -scale * torch.einsum("sm,mi,mj->sij", cosines, directions, directions)
        return scale * cosines.sum(dim=1), -scale * angles.sin() @ directions, hessians

    return derivatives


def small_network(h: int, generator: torch.Generator) -> tuple[Derivatives, Callable[[Tensor], Tensor]]:
    """The loss of a network of h units of tanh on what one of four has computed, as a function of its 4 h weights.

    Args:
        h: hidden units.
        generator: of the samples and of the other network.

    Returns:
        Its derivatives; and its gradient alone, (s, d) -> (s, d).
    """
    inputs = torch.randn(SAMPLES, 2, generator=generator, dtype=torch.float64)
    first = 1.5 * torch.randn(4, 2, generator=generator, dtype=torch.float64)
    wanted = (inputs @ first.T).tanh() @ torch.randn(4, generator=generator, dtype=torch.float64)
    wanted = (wanted - wanted.mean()) / wanted.std()

    def loss(z: Tensor) -> Tensor:
        hidden = (inputs @ z[: 2 * h].view(h, 2).T + z[2 * h : 3 * h]).tanh()
        return (hidden @ z[3 * h :] - wanted).square().mean() / 2 + DECAY * z.square().sum()

    both, curvature = vmap(grad_and_value(loss)), vmap(hessian(loss))

    def derivatives(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        slopes, values = both(z)
        return values, slopes, curvature(z)

    return derivatives, lambda z: both(z)[0]


def of_field(d: int, seed: int, starts: int) -> dict[str, Any]:
    """Critical points of one Gaussian field, from places in a box of twenty lengths; see :meth:`Found.different`."""
    generator = torch.Generator().manual_seed(seed)
    function = random_field(d, FEATURES, generator)
    places = 20 * torch.rand(starts, d, generator=generator, dtype=torch.float64)
    return critical_points(function, places, STEPS, CRITICAL / 100).different(CRITICAL)


def of_network(h: int, seed: int, starts: int) -> dict[str, Any]:
    """Critical points of a small network, from along descents; see :meth:`Found.different`."""
    generator = torch.Generator().manual_seed(seed)
    derivatives, slope = small_network(h, generator)
    z = torch.randn(max(1, starts // len(TRAJECTORY)), 4 * h, generator=generator, dtype=torch.float64)
    places, done = [], 0
    for steps in TRAJECTORY:
        for _ in range(steps - done):
            z = z - 0.2 * slope(z)
        done = steps
        places.append(z)
    return critical_points(derivatives, torch.cat(places), STEPS, CRITICAL / 100).different(CRITICAL)
