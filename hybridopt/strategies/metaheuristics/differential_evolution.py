"""Differential evolution (Storn & Price 1997, https://doi.org/10.1023/A:1008202821328), with settings that adapt.

Current-to-pbest mutation with an archive is that of JADE (Zhang & Sanderson 2009,
https://doi.org/10.1109/TEVC.2009.2014613), the memory of successful settings and the shrinking population are those of
L-SHADE (Tanabe & Fukunaga 2014, https://doi.org/10.1109/CEC.2014.6900380). The variant is jSO (Brest, Maucec & Boskovic
2017, https://doi.org/10.1109/CEC.2017.7969456), which holds factors down and rates up while the budget is young.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.search import Search
from hybridopt.engine.randomness import normal, uniform
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.ranges import at_least, positive, share
from hybridopt.toolbox.selection import select

SMALLEST = 4  # members that a mutation needs
SPREAD = 0.1  # of the distributions of F and CR


@dataclass(frozen=True)
class Rules:
    """What the variants differ in.

    Args:
        best_share, archive, memory: as the strategy's settings, of the same names.
        best_share_decay: by which share of itself the share of the best falls until the end.
        factor, rate: what the memory holds at first.
        fixed_slots: memories that stay as they are.
        averages: whether a memory becomes the mean of what it was and what has worked.
        pull: of the progress, what F is multiplied with in the pull to the best.
        most_factor, least_rate: of the progress, bounds of F and CR.
    """

    best_share: float
    archive: float
    memory: int
    best_share_decay: float
    factor: float
    rate: float
    fixed_slots: int
    averages: bool
    pull: Callable[[float], float]
    most_factor: Callable[[float], float]
    least_rate: Callable[[float], float]


RULES = {
    "lshade": Rules(0.11, 2.6, 6, 0.0, 0.5, 0.5, 0, False, lambda _: 1.0, lambda _: 1.0, lambda _: 0.0),
    "jso": Rules(
        *(0.25, 1.0, 5, 0.5, 0.3, 0.8, 1, True),
        pull=lambda progress: 0.7 if progress < 0.2 else 0.8 if progress < 0.4 else 1.2,
        most_factor=lambda progress: 0.7 if progress < 0.6 else 1.0,
        least_rate=lambda progress: 0.7 if progress < 0.25 else 0.6 if progress < 0.5 else 0.0,
    ),
}


class DifferentialEvolution(Search):
    """L-SHADE: members move along differences of others, by factors that have worked before.

    Good for rugged losses of up to a few hundred parameters whose scales nobody knows: it finds its own.

    On a new batch the members are evaluated again, so that a child is compared with its parent on the same batch.

    Args:
        popsize: members at the start.
        final_popsize: members at the end; the worst are dropped as the budget is spent.
        sigma: the standard deviation of the first members around the start.
        rules: "lshade" or "jso".
        best_share: the share of the members that count as best, by jso at the start, when it is twice that of the end;
            None is 0.11 by lshade and 0.25 by jso.
        archive: losers that are remembered, as a multiple of the population; None is 2.6 by lshade and 1 by jso.
        memory: how many means of successful settings are remembered; None is 6 by lshade and 5 by jso.
        moves_per_step: generations on one batch.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.01, 1.0))",
        "best_share": "interval(0.05, 0.3)",
        "popsize": "choice(40, 100, 200)",
    }
    hands_over: ClassVar[frozenset[str]] = frozenset({"population"})
    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    learns_from_points: ClassVar[bool] = True
    pool: Tensor  # (n + k, d), the members, and then the archive of those that have lost
    losses: Tensor  # (n,), of the members
    factors: Tensor  # (memory,), means of F
    rates: Tensor  # (memory,), means of CR
    place: Tensor  # a whole number, where the memory is written next
    unmoved: Tensor  # a boolean, until the members are evaluated for the first time

    def __init__(
        self,
        popsize: int = 100,
        final_popsize: int = 20,
        sigma: float = 0.1,
        rules: Literal["lshade", "jso"] = "lshade",
        best_share: float | None = None,
        archive: float | None = None,
        memory: int | None = None,
        moves_per_step: int = 5,
    ):
        super().__init__()
        at_least("strategy", SMALLEST, popsize=popsize, final_popsize=final_popsize)
        positive("strategy", sigma=sigma)
        share("strategy", "(0, 1]", best_share=best_share)
        at_least("strategy", 0, archive=archive)
        at_least("strategy", 1, memory=memory, moves_per_step=moves_per_step)
        self.popsize, self.final_popsize, self.sigma = popsize, final_popsize, sigma
        self.variant, usual = rules, RULES[rules]
        self.best_share = usual.best_share if best_share is None else best_share
        self.archive = usual.archive if archive is None else archive
        self.memory = usual.memory if memory is None else memory
        self.moves_per_step = moves_per_step

    @property
    def rules(self) -> Rules:
        """Those of the variant."""
        return RULES[self.variant]

    @property
    def members(self) -> Tensor:
        """(n, d)."""
        return self.pool[: len(self.losses)]

    @property
    def lost(self) -> Tensor:
        """The archive, (k, d)."""
        return self.pool[len(self.losses) :]

    def start(self, x0: Tensor) -> None:
        members = x0 + self.sigma * normal((self.popsize, len(x0)), x0, self.generator)
        members[0] = x0
        self.register_buffer("pool", inheritance.members(self.context.inherited, members))
        self.register_buffer("losses", x0.new_full((self.popsize,), math.inf))
        self.register_buffer("factors", x0.new_full((self.memory,), self.rules.factor))
        self.register_buffer("rates", x0.new_full((self.memory,), self.rules.rate))
        fixed = slice(self.memory - self.rules.fixed_slots, None)
        self.factors[fixed], self.rates[fixed] = 0.9, 0.9
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
            self.pool, self.losses = population, losses.clone()
            self.unmoved.fill_(False)
            return
        children = population
        if self.fresh:
            n = len(self.losses)
            self.pool, children = torch.cat([population[:n], self.lost]), population[n:]
            self.losses, losses = losses[:n].clone(), losses[n:]
        self._learn(losses)
        self._select(children, losses)

    def recommend(self) -> Tensor:
        return self.members[self.losses.argmin()].clone()

    def handover(self) -> Handover:
        return Handover(population=self.members)

    def _children(self) -> Tensor:
        """v = x + F' (x_best - x) + F (x_r1 - x_r2), crossed with x coordinate by coordinate at rate CR."""
        n, d = self.members.shape
        self._f, self._cr = self._settings(n)
        share = self.best_share * (1 - self.rules.best_share_decay * self.progress)
        best = self.losses.argsort(stable=True)[: max(2, round(share * n))]
        me = torch.arange(n, device=self.members.device)
        r1 = self._others(n, me)
        r2 = self._other_than(len(self.pool), torch.stack([me, r1]))
        toward = self.members.index_select(0, best[self._indices(len(best), n)]).sub_(self.members)
        difference = self.members.index_select(0, r1).sub_(self.pool.index_select(0, r2))
        pulled = self._f * self.rules.pull(self.progress)
        mutants = toward.mul_(pulled[:, None]).add_(self.members).add_(difference.mul_(self._f[:, None]))
        taken = uniform((n, d), self.members, self.generator).lt_(self._cr[:, None])
        taken.scatter_(1, self._indices(d, n)[:, None], 1)
        return select(taken, mutants, self.members)

    def _settings(self, n: int) -> tuple[Tensor, Tensor]:
        """F of a Cauchy, drawn again where it is not positive, CR of a normal distribution; (n,) each.

        Around means drawn from the memory, in which a NaN stands for rates that are to stay 0.
        """
        slot = self._indices(self.memory, n)
        means = self.factors[slot]
        below = 0.5 - torch.atan(means / SPREAD) / math.pi  # the share of the Cauchy distribution below 0
        quantiles = below + (1 - below) * uniform((n,), self.members, self.generator).clamp(1e-6, 1 - 1e-6)
        f = (means + SPREAD * torch.tan(math.pi * (quantiles - 0.5))).clamp(max=1.0)
        cr = (self.rates[slot] + SPREAD * normal((n,), self.members, self.generator)).clamp(0.0, 1.0).nan_to_num(0.0)
        return f.clamp(max=self.rules.most_factor(self.progress)), cr.clamp(min=self.rules.least_rate(self.progress))

    def _learn(self, losses: Tensor) -> None:
        """Lehmer's means of what has worked, weighted by what it gained."""
        gains = torch.where(losses < self.losses, (self.losses - losses).nan_to_num(0.0, 1.0, 0.0), 0.0)
        if not gains.sum() > 0:
            return
        weights, slot = gains / gains.sum(), int(self.place)
        factor, rate = lehmer(self._f, weights), lehmer(self._cr, weights)
        if bool(self.rates[slot].isnan()) or not (self._cr * (gains > 0)).any():
            rate = rate.new_tensor(torch.nan)
        if self.rules.averages:
            factor, rate = (factor + self.factors[slot]) / 2, (rate + self.rates[slot]) / 2
        self.factors[slot], self.rates[slot] = factor, rate
        self.place.fill_((slot + 1) % max(1, self.memory - self.rules.fixed_slots))

    def _select(self, children: Tensor, losses: Tensor) -> None:
        """Children that are no worse take their parents' places; fewer members as the budget is spent: the worst go."""
        lost = self._archived(losses < self.losses)
        at_least = losses <= self.losses
        members, losses = select(at_least[:, None], children, self.members), torch.where(at_least, losses, self.losses)
        wanted = round(self.popsize + (min(self.final_popsize, self.popsize) - self.popsize) * self.progress)
        if wanted < len(losses):
            kept = losses.argsort(stable=True)[:wanted].sort().values
            members, losses = members.index_select(0, kept), losses[kept]
        self.pool, self.losses = torch.cat([members, lost]), losses

    def _archived(self, beaten: Tensor) -> Tensor:
        """The archive with the members that are beaten, (n,) booleans; as many as there is room for, at random."""
        n, device = len(self.losses), self.generator.device
        rows = torch.cat([torch.arange(n, len(self.pool), device=beaten.device), beaten.nonzero()[:, 0]])
        order = torch.randperm(len(rows), generator=self.generator, device=device).to(rows.device)
        return self.pool.index_select(0, rows[order[: round(self.archive * n)]])

    def _others(self, n: int, me: Tensor) -> Tensor:
        """For each member another one, (n,)."""
        return (me + 1 + self._indices(n - 1, n)) % n

    def _other_than(self, below: int, taken: Tensor) -> Tensor:
        """Whole numbers (n,) below this one, none of which is among those taken (2, n); uniform."""
        low, high = taken.sort(dim=0).values
        drawn = self._indices(below - 2, taken.shape[1])
        drawn = drawn + (drawn >= low)
        return drawn + (drawn >= high)

    def _indices(self, below: int, count: int) -> Tensor:
        device = self.generator.device
        return torch.randint(below, (count,), generator=self.generator, device=device).to(self.members.device)


def lehmer(values: Tensor, weights: Tensor) -> Tensor:
    """The weighted Lehmer mean, sum w v^2 / sum w v; 0 where all values are."""
    return (weights * values.square()).sum() / (weights * values).sum().clamp(min=1e-12)
