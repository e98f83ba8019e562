"""Textbook methods from many starts at once, each start a row of a tensor, as studies need them to count successes.

A method takes a :class:`Landscape`, settings (s, k) of each start, a budget of evaluations, and a generator. It yields
what each start has spent, and where it would stop, (s, d).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GRADIENT = 3  # evaluations that a gradient costs
PARENTS, CHILDREN = 5, 20
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


def gradient(loss: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Of each start's own loss."""
    place = x.detach().requires_grad_()
    return torch.autograd.grad(loss(place).sum(), place)[0]


def evolution(elitist: bool) -> Callable[[Landscape, Tensor, float, torch.Generator], Run]:
    """Five parents, twenty children; lengths of mutations are spread over two decades below the setting."""

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


def marks(budget: float, count: int) -> list[float]:
    """So many numbers of evaluations, at equal ratios from a hundredth of the budget to its end."""
    return [budget * 100 ** (k / (count - 1) - 1) for k in range(count)]


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
