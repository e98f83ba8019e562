"""Minimising a black box in few calls: by a network or a Gaussian process that learns it, or directly.

A black box maps (n, d) in the unit cube to (n,), float64. A method asks a :class:`~hybridopt.study.functions.Recorded`
one so many times, and nothing else of it.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from hybridopt.study.functions import Function, Recorded, ackley, branin, searched

FIRST, BATCH = 10, 5  # random calls at the start; calls between two fits of a network
HIDDEN, FIT, RATE = 64, 300, 1e-2  # units of each of two layers; steps of Adam on all samples; its rate
POINTS, STEPS = 64, 60  # places that are moved on the network; steps by the gradient, each of three evaluations
REFITS = (10, 15, 20, 30, 40, 60, 80, 120, 160)  # calls at which the process's lengths are fitted again
CANDIDATES = 1000  # among which the process chooses, half of them around the best
Model = Callable[[Tensor], Tensor]  # (n, d) -> (n,)
Mover = Callable[[Model, Tensor, torch.Generator], Tensor]  # where places (n, d) get to, (n, d)


@dataclass(frozen=True)
class BlackBox:
    """A function of the unit cube.

    Args:
        d: dimensions.
        function: (n, d) -> (n,).
        lowest: its least value.
        smooth: whether it has a derivative in all dimensions.
    """

    d: int
    function: Function
    lowest: float
    smooth: bool = True


def black_box(name: str, seed: int) -> BlackBox:
    """One of "branin", "ackley 5", "ackley 10" and "process".

    Optima lie at a place that the seed draws, but for Branin. The process has three knobs of ten whole numbers, which
    work in steps and on each other, and three real ones, of which one ripples.
    """
    if name == "branin":
        sides, corner = torch.tensor([15.0, 15.0], dtype=torch.float64), torch.tensor([-5.0, 0.0], dtype=torch.float64)
        return BlackBox(2, lambda x: branin(corner + sides * x), 0.39788735772973816)
    d = 6 if name == "process" else int(name.split()[1])
    generator = torch.Generator().manual_seed(seed)
    place = 0.15 + 0.7 * torch.rand(d, generator=generator, dtype=torch.float64)
    if name == "process":
        return BlackBox(d, lambda x: process(x, place), 0.0, smooth=False)
    return BlackBox(d, lambda x: ackley(10 * (x - place)), 0.0)


def process(x: Tensor, place: Tensor) -> Tensor:
    """0 where the whole knobs x[:, :3], in ninths, and the others are those of the place."""
    whole = (9 * x[:, :3]).round() / 9 - (9 * place[:3]).round() / 9
    real = x[:, 3:] - place[3:]
    together = whole.square().sum(dim=1) + (whole[:, 0] * whole[:, 1]).abs() + real.square().sum(dim=1)
    return together + 0.05 * (1 - torch.cos(8 * math.pi * real[:, 0])) + 0.5 * (whole[:, 2] * real[:, 1]).abs()


# -- a network --------------------------------------------------------------------------------------------------------


def fitted(x: Tensor, y: Tensor, generator: torch.Generator) -> Model:
    """A network d-64-64-1 of tanh, fitted by Adam to standardised values.

    Args:
        x: (n, d), in the unit cube.
        y: (n,).
        generator: of its first weights.
    """
    wanted = ((y - y.mean()) / y.std().clamp(min=1e-12))[:, None].float()
    inputs, sizes = 2 * x.float() - 1, (x.shape[1], HIDDEN, HIDDEN, 1)
    weights = [
        nn.Parameter(torch.randn(wide, high, generator=generator) / math.sqrt(wide))
        for wide, high in itertools.pairwise(sizes)
    ]
    biases = [nn.Parameter(torch.zeros(high)) for high in sizes[1:]]

    def outputs(places: Tensor) -> Tensor:
        hidden = (places @ weights[0] + biases[0]).tanh()
        return (hidden @ weights[1] + biases[1]).tanh() @ weights[2] + biases[2]

    optimizer = torch.optim.AdamW([*weights, *biases], lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, FIT)
    for _ in range(FIT):
        optimizer.zero_grad()
        (outputs(inputs) - wanted).square().mean().backward()
        optimizer.step()
        schedule.step()
    for parameter in (*weights, *biases):
        parameter.requires_grad_(False)
    return lambda places: outputs(2 * places.float() - 1)[:, 0].to(places)


def slope(function: Function, x: Tensor) -> Tensor:
    """The gradient of each value, (n, d)."""
    place = x.detach().requires_grad_()
    return torch.autograd.grad(function(place).sum(), place)[0]


def by_gradient(model: Model, places: Tensor, generator: torch.Generator) -> Tensor:
    """Adam on the input, in the cube."""
    x = places.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.03)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 0.03 * (1 - step / STEPS)
        x.grad = slope(model, x)
        optimizer.step()
        x.data.clamp_(0, 1)
    return x.detach()


def by_search(model: Model, places: Tensor, generator: torch.Generator) -> Tensor:
    """Each place moves where a random step lowers the output; as many evaluations as by the gradient."""
    x, values = places, model(places)
    for _ in range(3 * STEPS):
        lengths = 0.3 * 1000 ** -torch.rand(len(x), 1, generator=generator, dtype=x.dtype)
        tried = (x + lengths * torch.randn(x.shape, generator=generator, dtype=x.dtype)).clamp(0, 1)
        found = model(tried)
        better = found < values
        x, values = torch.where(better[:, None], tried, x), torch.where(better, found, values)
    return x


def network(function: Recorded, d: int, calls: int, generator: torch.Generator, mover: Mover) -> None:
    """Fit a network, move places on it, ask where it says that it is lowest and nearby the best; again and again.

    A new network is fitted each time, to the normal scores of the values.

    Args:
        function: the black box.
        d: its dimensions.
        calls: of it.
        generator: of all draws.
        mover: :func:`by_gradient` or :func:`by_search`.
    """
    x = torch.rand(FIRST, d, generator=generator, dtype=torch.float64)[:calls]
    y = function(x)
    while len(y) < calls:
        model, best = fitted(x, normal_scores(y), generator), x[y.argmin()]
        near = best + 0.1 * torch.randn(POINTS // 2, d, generator=generator, dtype=x.dtype)
        far = torch.rand(POINTS // 2, d, generator=generator, dtype=x.dtype)
        moved = mover(model, torch.cat([near.clamp(0, 1), far]), generator)
        beside = (best + 0.05 * torch.randn(1, d, generator=generator, dtype=x.dtype)).clamp(0, 1)
        order = moved[model(moved).argsort()]
        asked = torch.cat([apart(order, x, BATCH - 1), beside])[: calls - len(y)]
        x, y = torch.cat([x, asked]), torch.cat([y, function(asked)])


def normal_scores(values: Tensor) -> Tensor:
    """What a normal distribution has at the ranks of values (n,): a few high ones do not hide what is low."""
    ranks = values.argsort().argsort().double()
    return torch.special.ndtri((ranks + 0.5) / len(values))


def apart(places: Tensor, known: Tensor, count: int) -> Tensor:
    """The first so many places that are no nearer than 0.2 % of the cube's diagonal to others or to known ones."""
    least, chosen = 0.002 * math.sqrt(places.shape[1]), known
    for place in places:
        if float((chosen - place).norm(dim=1).min()) > least:
            chosen = torch.cat([chosen, place[None]])
        if len(chosen) == len(known) + count:
            break
    return chosen[len(known) :]


# -- without one ------------------------------------------------------------------------------------------------------


def gaussian_process(function: Recorded, d: int, calls: int, generator: torch.Generator) -> None:
    """Bayesian optimisation: a Matern process, and the candidate of the greatest expected improvement.

    Jones et al. 1998, https://doi.org/10.1023/A:1008306431147; by scikit-learn.
    """
    from scipy.stats import norm
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(cast(Any, [0.5] * d), (0.02, 20.0), nu=2.5)
    kernel += WhiteKernel(1e-5, (1e-8, 1e-1))
    x = torch.rand(FIRST, d, generator=generator, dtype=torch.float64)[:calls]
    y = function(x)
    while len(y) < calls:
        fit = "fmin_l_bfgs_b" if len(y) in REFITS else None
        model: Any = GaussianProcessRegressor(kernel, optimizer=cast(Any, fit), normalize_y=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of lengths at their bounds
            model.fit(x.numpy(), y.numpy())
        kernel, best = model.kernel_, x[y.argmin()]
        near = best + 0.1 * 10 ** -torch.rand(CANDIDATES // 2, 1, generator=generator, dtype=x.dtype) * torch.randn(
            CANDIDATES // 2, d, generator=generator, dtype=x.dtype
        )
        far = torch.rand(CANDIDATES // 2, d, generator=generator, dtype=x.dtype)
        places = torch.cat([near.clamp(0, 1), far])
        mean, deviation = model.predict(places.numpy(), return_std=True)
        ahead = (float(y.min()) - mean) / np.maximum(deviation, 1e-12)
        asked = places[int((deviation * (ahead * norm.cdf(ahead) + norm.pdf(ahead))).argmax())][None]
        x, y = torch.cat([x, asked]), torch.cat([y, function(asked)])


def uniform(function: Recorded, d: int, calls: int, generator: torch.Generator) -> None:
    """Random search."""
    function(torch.rand(calls, d, generator=generator, dtype=torch.float64))


def nevergrad(function: Recorded, d: int, calls: int, generator: torch.Generator) -> None:
    """Nevergrad's NGOpt, which chooses a method by dimensions and budget; what is outside of the cube is reflected."""
    settings = {"name": "nevergrad", "optimizer": "NGOpt", "popsize": 1, "moves_per_step": calls, "sigma": 0.3}
    x0 = torch.rand(d, generator=generator, dtype=torch.float64)
    seed = int(torch.randint(2**31, (), generator=generator))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nevergrad's own
        searched({**settings, "allow_recast": True}, lambda x: function(reflected(x)), x0, calls, seed)


def reflected(x: Tensor) -> Tensor:
    """Into the unit cube."""
    return 1 - (x.remainder(2) - 1).abs()
