"""Differential evolution (Storn & Price 1997, https://doi.org/10.1023/A:1008202821328), with settings that adapt.

Current-to-pbest mutation with an archive is that of JADE (Zhang & Sanderson 2009,
https://doi.org/10.1109/TEVC.2009.2014613), the memory of successful settings and the shrinking population are those of
L-SHADE (Tanabe & Fukunaga 2014, https://doi.org/10.1109/CEC.2014.6900380).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.strategy import Search
from hybridopt.engine.randomness import normal, uniform
from hybridopt.toolbox.ranges import at_least, positive, share

SMALLEST = 4  # members that a mutation needs


class DifferentialEvolution(Search):
    """L-SHADE: members move along differences of others, by factors that have worked before.

    Good for rugged losses of up to some hundred parameters whose scales nobody knows: it finds its own.

    On a new batch the members are evaluated again, so that a child is compared with its parent on the same batch.

    Args:
        popsize: members at the start.
        final_popsize: members at the end; the worst are dropped as the budget is spent.
        sigma: the standard deviation of the first members around the start.
        best_share: the share of the members that count as best.
        archive: losers that are remembered, as a multiple of the population.
        memory: how many means of successful settings are remembered.
        moves_per_step: generations on one batch.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.01, 1.0))",
        "best_share": "interval(0.05, 0.3)",
        "popsize": "choice(40, 100, 200)",
    }
    members: Tensor  # (n, d)
    losses: Tensor  # (n,)
    lost: Tensor  # (k, d), the archive
    factors: Tensor  # (memory,), means of F
    rates: Tensor  # (memory,), means of CR
    place: Tensor  # a whole number, where the memory is written next
    unmoved: Tensor  # a boolean, until the members are evaluated for the first time

    def __init__(
        self,
        popsize: int = 100,
        final_popsize: int = 20,
        sigma: float = 0.1,
        best_share: float = 0.11,
        archive: float = 2.6,
        memory: int = 6,
        moves_per_step: int = 5,
    ):
        super().__init__()
        at_least("strategy", SMALLEST, popsize=popsize, final_popsize=final_popsize)
        positive("strategy", sigma=sigma)
        share("strategy", "(0, 1]", best_share=best_share)
        at_least("strategy", 0, archive=archive)
        at_least("strategy", 1, memory=memory, moves_per_step=moves_per_step)
        self.popsize, self.final_popsize, self.sigma = popsize, final_popsize, sigma
        self.best_share, self.archive, self.memory = best_share, archive, memory
        self.moves_per_step = moves_per_step

    def start(self, x0: Tensor) -> None:
        members = x0 + self.sigma * normal((self.popsize, len(x0)), x0, self.generator)
        members[0] = x0
        self.register_buffer("members", members)
        self.register_buffer("losses", x0.new_full((self.popsize,), math.inf))
        self.register_buffer("lost", members[:0])
        self.register_buffer("factors", x0.new_full((self.memory,), 0.5))
        self.register_buffer("rates", x0.new_full((self.memory,), 0.5))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))
        self.register_buffer("unmoved", torch.ones((), dtype=torch.bool))

    def ask(self) -> Tensor:
        if bool(self.unmoved):
            return self.members
        children = self._children()
        return torch.cat([self.members, children]) if self.fresh else children

    def tell(self, population: Tensor, losses: Tensor) -> None:
        losses = losses.to(self.losses)
        if bool(self.unmoved):
            self.losses = losses.clone()
            self.unmoved.fill_(False)
            return
        children = population
        if self.fresh:
            n = len(self.members)
            self.losses, losses, children = losses[:n].clone(), losses[n:], population[n:]
        self._learn(losses)
        self._select(children, losses)
        self._shrink()

    def recommend(self) -> Tensor:
        return self.members[self.losses.argmin()]

    def _children(self) -> Tensor:
        """v = x + F (x_best - x) + F (x_r1 - x_r2), crossed with x coordinate by coordinate at rate CR."""
        n, d = self.members.shape
        self._f, self._cr = self._settings(n)
        best = self.losses.argsort(stable=True)[: max(2, round(self.best_share * n))]
        pool = torch.cat([self.members, self.lost])
        me = torch.arange(n, device=self.members.device)
        r1 = self._others(n, me)
        r2 = self._indices(len(pool), n)
        toward = self.members[best[self._indices(len(best), n)]] - self.members
        difference = self.members[r1] - pool[r2]
        mutants = self.members + self._f[:, None] * (toward + difference)
        taken = uniform((n, d), self.members, self.generator) < self._cr[:, None]
        taken[me, self._indices(d, n)] = True
        return torch.where(taken, mutants, self.members)

    def _settings(self, n: int) -> tuple[Tensor, Tensor]:
        """F of a Cauchy, CR of a normal distribution, around means drawn from the memory; (n,) each."""
        slot = self._indices(self.memory, n)
        quantiles = uniform((n,), self.members, self.generator).clamp(1e-6, 1 - 1e-6)
        f = self.factors[slot] + 0.1 * torch.tan(math.pi * (quantiles - 0.5))
        cr = self.rates[slot] + 0.1 * normal((n,), self.members, self.generator)
        return f.clamp(0.05, 1.0), cr.clamp(0.0, 1.0)

    def _learn(self, losses: Tensor) -> None:
        """The means of what has worked, weighted by what it gained: Lehmer's of F, the arithmetic one of CR."""
        gains = torch.where(losses < self.losses, (self.losses - losses).nan_to_num(0.0, 1.0, 0.0), 0.0)
        if not gains.sum() > 0:
            return
        weights, slot = gains / gains.sum(), int(self.place)
        self.factors[slot] = (weights * self._f**2).sum() / (weights * self._f).sum()
        self.rates[slot] = (weights * self._cr).sum()
        self.place.fill_((slot + 1) % self.memory)

    def _select(self, children: Tensor, losses: Tensor) -> None:
        better, at_least = losses < self.losses, losses <= self.losses
        lost = torch.cat([self.lost, self.members[better]])
        room = round(self.archive * len(self.members))
        order = torch.randperm(len(lost), generator=self.generator, device=self.generator.device).to(lost.device)
        self.lost = lost[order[:room]]
        self.members = torch.where(at_least[:, None], children, self.members)
        self.losses = torch.where(at_least, losses, self.losses)

    def _shrink(self) -> None:
        """Fewer members as the budget is spent; the worst go."""
        wanted = round(self.popsize + (min(self.final_popsize, self.popsize) - self.popsize) * self.progress)
        if wanted < len(self.members):
            kept = self.losses.argsort(stable=True)[:wanted].sort().values
            self.members, self.losses = self.members[kept], self.losses[kept]

    def _others(self, n: int, me: Tensor) -> Tensor:
        """For each member another one, (n,)."""
        return (me + 1 + self._indices(n - 1, n)) % n

    def _indices(self, below: int, count: int) -> Tensor:
        device = self.generator.device
        return torch.randint(below, (count,), generator=self.generator, device=device).to(self.members.device)
