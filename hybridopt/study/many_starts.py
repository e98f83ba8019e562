"""Textbook methods from many starts at once, each start a row of a tensor, as studies need them to count successes.

A method takes a :class:`Landscape`, settings (s, k) of each start, a budget of evaluations, and a generator. It yields
what each start has spent, and where it would stop, (s, d).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GRADIENT = 3  # evaluations that a gradient costs
PARENTS, CHILDREN = 5, 20
TUNING = 40  # starts from which a setting is tried
Run = Iterator[tuple[float, Tensor]]


@dataclass(frozen=True)
class Landscape:
    """A problem, from many starts at once.

    Args:
        starts: (s, d).
        value: (s, m, d) -> (s, m), the losses of m places for each start.
        noisy: (s, 1, d) -> (s, 1), a loss whose gradient is that of stochastic gradient descent.
        noisy_cost: of such a gradient, in evaluations.
        draw: other starts, (s, m, d).
        target: the loss below which a place counts as the global optimum.
    """

    starts: Tensor
    value: Callable[[Tensor], Tensor]
    noisy: Callable[[Tensor, torch.Generator], Tensor]
    noisy_cost: float
    draw: Callable[[int, torch.Generator], Tensor]
    target: float


Method = Callable[[Landscape, Tensor, float, torch.Generator], Run]


def descent(landscape: Landscape, setting: Tensor, budget: float, generator: torch.Generator) -> Run:
    """By exact gradients and a constant rate."""
    x = landscape.starts[:, None]
    for step in range(1, int(budget / GRADIENT) + 1):
        x = x - setting[:, :, None] * gradient(landscape.value, x)
        yield step * GRADIENT, x[:, 0]


def stochastic(landscape: Landscape, setting: Tensor, budget: float, generator: torch.Generator) -> Run:
    """By noisy gradients and a rate that falls to 0; with a temperature, Langevin dynamics that are cooled to 0."""
    rate, spread = setting[:, :1, None], (2 * setting[:, :1] * setting[:, 1:]).sqrt()[:, :, None]
    x, steps = landscape.starts[:, None], int(budget / landscape.noisy_cost)
    for step in range(1, steps + 1):
        left = 1 - (step - 1) / steps
        x = x - left * rate * gradient(lambda place: landscape.noisy(place, generator), x)
        if spread.numel():
            x = x + left * spread * torch.randn(x.shape, generator=generator)
        yield step * landscape.noisy_cost, x[:, 0]


def adam(landscape: Landscape, setting: Tensor, budget: float, generator: torch.Generator) -> Run:
    """By exact gradients and a constant rate (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980)."""
    x, moments = landscape.starts[:, None], Moments()
    for step in range(1, int(budget / GRADIENT) + 1):
        x = x - setting[:, :, None] * moments.direction(gradient(landscape.value, x))
        yield step * GRADIENT, x[:, 0]


def evolution_strategy(landscape: Landscape, setting: Tensor, budget: float, generator: torch.Generator) -> Run:
    """Ten mirrored pairs, centred ranks, and Adam; a setting is its rate and the deviation of its samples.

    Salimans et al. 2017, https://arxiv.org/abs/1703.03864.
    """
    x, moments = landscape.starts[:, None], Moments()
    rate, deviation = setting[:, :1, None], setting[:, 1:, None]
    for step in range(1, int(budget / CHILDREN) + 1):
        noise = torch.randn(len(x), CHILDREN // 2, x.shape[2], generator=generator, dtype=x.dtype)
        noise = torch.cat([noise, -noise], dim=1)
        ranks = landscape.value(x + deviation * noise).argsort(dim=1).argsort(dim=1) / (CHILDREN - 1) - 0.5
        x = x - rate * moments.direction((ranks[:, :, None] * noise).mean(dim=1, keepdim=True) / deviation)
        yield step * CHILDREN, x[:, 0]


class Moments:
    """Adam's averages of gradients and of their squares."""

    def __init__(self) -> None:
        self.first, self.second, self.steps = torch.zeros(()), torch.zeros(()), 0

    def direction(self, gradient: Tensor) -> Tensor:
        """Against which to step, after one more gradient."""
        self.steps += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient.square()
        mean, square = self.first / (1 - 0.9**self.steps), self.second / (1 - 0.999**self.steps)
        return mean / (square.sqrt() + 1e-8)


def gradient(loss: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Of each start's own loss."""
    place = x.detach().requires_grad_()
    return torch.autograd.grad(loss(place).sum(), place)[0]


def evolution(elitist: bool) -> Method:
    """Five parents, twenty children; the lengths of mutations are spread over two decades below the setting.

    Args:
        elitist: whether parents live on while they are better than all children.
    """

    def run(landscape: Landscape, setting: Tensor, budget: float, generator: torch.Generator) -> Run:
        parents = landscape.starts[:, None].expand(-1, PARENTS, -1)
        losses = landscape.value(parents)
        s, _, d = parents.shape
        rows = torch.arange(s)[:, None]
        for generation in range(1, int((budget - 1) / CHILDREN) + 1):
            chosen = parents[rows, torch.randint(PARENTS, (s, CHILDREN), generator=generator)]
            lengths = setting[:, :, None] * 100 ** -torch.rand(s, CHILDREN, 1, generator=generator)
            children = chosen + lengths * torch.randn(s, CHILDREN, d, generator=generator)
            found = landscape.value(children)
            if elitist:
                children, found = torch.cat([parents, children], dim=1), torch.cat([losses, found], dim=1)
            order = found.argsort(dim=1)[:, :PARENTS]
            parents, losses = children[rows, order], found[rows, order]
            yield 1 + generation * CHILDREN, parents[:, 0]

    return run


def random_search(landscape: Landscape, setting: Tensor, budget: float, generator: torch.Generator) -> Run:
    """The best of independent starts, which are longer or shorter by a factor."""
    best, rows = landscape.starts[:, None], torch.arange(len(landscape.starts))
    for turn in range(1, int((budget - 1) / CHILDREN) + 1):
        tried = torch.cat([best, setting[:, :, None] * landscape.draw(CHILDREN, generator)], dim=1)
        best = tried[rows, landscape.value(tried).argmin(dim=1)][:, None]
        yield 1 + turn * CHILDREN, best[:, 0]


def saddle(dimensions: int, k: int, starts: int, generator: torch.Generator) -> Landscape:
    """A strict saddle, from starts at a distance of about a thousandth; who is below -0.1 has got away.

    Args:
        dimensions: of the space.
        k: directions of curvature -1, which end in walls; the others have a curvature of 10.
        starts: how many.
        generator: of starts and of the noise of a gradient, whose deviation is 0.1.
    """
    curvature = torch.full((dimensions,), 10.0)
    curvature[:k] = -1.0

    def value(x: Tensor) -> Tensor:
        return (curvature * x.square() / 2 + x**4 / 4).sum(dim=-1)

    def noisy(x: Tensor, generator: torch.Generator) -> Tensor:
        return value(x) + 0.1 * (x * torch.randn(x.shape, generator=generator)).sum(dim=-1)

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return 1e-3 * torch.randn(starts, count, dimensions, generator=generator) / math.sqrt(dimensions)

    return Landscape(draw(1, generator)[:, 0], value, noisy, GRADIENT, draw, -0.1)


def marks(budget: float, count: int, ratio: float = 100.0) -> list[float]:
    """So many numbers of evaluations, at equal ratios; the last is the budget, and ``ratio`` times the first."""
    return [budget * ratio ** (k / (count - 1) - 1) for k in range(count)]


def arrivals(landscape: Landscape, run: Run, due: Sequence[float]) -> Tensor:
    """Whether each start is as low as the target, by what a run recommended last before each mark.

    Args:
        landscape: the problem.
        run: on it.
        due: marks, in evaluations, that rise.

    Returns:
        (marks, s), of truth values.
    """
    found, last = [], landscape.starts

    def arrived(place: Tensor) -> Tensor:
        return landscape.value(place[:, None])[:, 0] <= landscape.target

    for spent, place in run:
        while len(found) < len(due) and spent > due[len(found)] * (1 + 1e-9):
            found.append(arrived(last))
        last = place
    return torch.stack([*found, *[arrived(last)] * (len(due) - len(found))])


def tuned(
    method: Method,
    settings: Sequence[list[float]],
    problem: Callable[[int, torch.Generator], Landscape],
    due: Sequence[float],
    starts: int,
    seed: int,
) -> tuple[list[float], Tensor]:
    """Who arrives when by the best of a method's settings, each of which is tried from 40 other starts.

    The best is the setting with which most starts arrive; of equal ones, that with which they do at earlier marks.

    Args:
        method: one of this module.
        settings: that are tried.
        problem: makes the landscape for a number of starts.
        due: marks, in evaluations, that rise; the last is the budget.
        starts: of the best setting.
        seed: of all draws.

    Returns:
        The setting, and whether each start has arrived at each mark, (marks, starts).
    """

    def arrived(setting: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        landscape = problem(len(setting), generator)
        return arrivals(landscape, method(landscape, setting, due[-1], generator), due)

    trials = arrived(torch.tensor(settings).repeat_interleave(TUNING, 0), seed + 1000).double()
    scores = trials[-1] + trials.mean(dim=0) / len(due)
    best = settings[int(scores.view(len(settings), TUNING).sum(dim=1).argmax())]
    return best, arrived(torch.tensor([best]).expand(starts, -1), seed)
