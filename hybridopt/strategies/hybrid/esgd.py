"""Evolutionary stochastic gradient descent (Cui, Zhang, Tueske & Picheny 2018), https://arxiv.org/abs/1810.06773.

A population is trained by gradient, each member with an optimiser of its own, and evolved, in turn. Back-off in the
one and an elite in the other see to it that the mean loss of the m best never rises, where batches are all the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.randomness import normal
from hybridopt.errors import ConfigError
from hybridopt.toolbox.descent import MomentumDescent
from hybridopt.toolbox.fitness import mean_ranks
from hybridopt.toolbox.ranges import at_least, between, one_of, positive, share
from hybridopt.toolbox.schedule import Decay, Schedule
from hybridopt.toolbox.starts import population_of_starts


class ESGD(Strategy):
    """Descent of a population with hyperparameters drawn from a pool, and evolution of its weights, in turn.

    Good for descent whose hyperparameters are not known, and that must never lose what it has reached.

    In each generation every member draws a learning rate, a momentum and whether it is Nesterov's, and takes
    ``sgd_steps`` steps, one a batch. The next batch, on which none of them was taken, judges: a member that has become
    worse gets its former weights back; offspring are the mean of a few parents and normal noise of standard deviation
    sigma / generation; the best of all live on, and others at random. Parents are drawn by rank, so that the scale of
    the loss does not matter. The best of the last judgement is recommended, so that it is judged afresh in each
    generation. Gradients are those of populations: networks in evaluation mode, unless ``oracle.dropout`` or
    ``oracle.batch_statistics`` say otherwise.

    Args:
        popsize: mu, members.
        sgd_steps: K_s, steps of descent in a generation; 0 for none.
        evolutions: K_v, turns of evolution in a generation; 0 for none.
        offspring: lambda, in each turn.
        parents: rho, whose mean an offspring is.
        elite: m / mu, the share of the members that are the best; the others are drawn from what is left.
        sigma: of the noise in the first generation.
        lr: the learning rates in the pool.
        momentum: the momenta in the pool.
        nesterov: whether momentum may be Nesterov's: the pool.
        weight_decay: coefficient of the L2 penalty whose slope is added to that of the loss; a judgement leaves
            it out.
        schedule: how learning rates go to ``final_lr`` times themselves over the budget.
        final_lr: the last learning rate as a share of the first.
        back_off: whether former weights come back where descent has made a member worse.
        starts: "same" lets all members start where the network stands, "drawn" all but one from first weights of their
            own (:func:`hybridopt.toolbox.starts.redrawn`); members that the phase before hands over come first.

    Raises:
        ConfigError: there is one member only, a pool is empty, or a number is out of range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"gradient", "losses"})
    hands_over: ClassVar[frozenset[str]] = frozenset({"population"})
    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    search_space: ClassVar[dict[str, str]] = {
        "sgd_steps": "tag(log, int(interval(4, 200)))",
        "sigma": "tag(log, interval(1e-3, 0.1))",
        "elite": "interval(0.2, 1.0)",
    }
    members: Tensor  # (mu, d)
    former: Tensor  # (mu, d), as they were at the last judgement
    learning_rates: Tensor  # (mu, 1)
    momenta: Tensor  # (mu, 1)
    ahead: Tensor  # (mu, 1), whether Nesterov's
    best: Tensor  # (d,)
    generation: Tensor  # a whole number, from 1
    taken: Tensor  # a whole number, steps of descent in this generation

    def __init__(
        self,
        popsize: int = 5,
        sgd_steps: int = 20,
        evolutions: int = 1,
        offspring: int = 15,
        parents: int = 3,
        elite: float = 0.6,
        sigma: float = 0.01,
        lr: list[float] = [0.01, 0.05, 0.1],
        momentum: list[float] = [0.8, 0.9, 0.99],
        nesterov: list[bool] = [False, True],
        weight_decay: float = 3e-3,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
        back_off: bool = True,
        starts: Literal["same", "drawn"] = "same",
    ):
        super().__init__()
        at_least("strategy", 2, popsize=popsize)
        at_least("strategy", 0, sgd_steps=sgd_steps, evolutions=evolutions)
        at_least("strategy", 1, offspring=offspring)
        between("strategy", 1, popsize, parents=parents)
        share("strategy", "(0, 1]", elite=elite)
        positive("strategy", sigma=sigma)
        at_least("strategy", 0, weight_decay=weight_decay)
        check_pools(lr=lr, momentum=momentum, nesterov=nesterov)
        one_of("strategy", ("same", "drawn"), starts=starts)
        if not sgd_steps and not evolutions:
            raise ConfigError("strategy.sgd_steps and strategy.evolutions are both 0: set one of them to 1 or more.")
        self.popsize, self.sgd_steps, self.evolutions, self.offspring = popsize, sgd_steps, evolutions, offspring
        self.parents, self.sigma, self.back_off, self.starts = parents, sigma, back_off, starts
        self.elite = max(1, round(elite * popsize))
        self.pools = {"lr": list(lr), "momentum": list(momentum), "nesterov": list(nesterov)}
        self.weight_decay, self.schedule = weight_decay, Decay(schedule, final_lr)
        self.descent = MomentumDescent()

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {
            "without the evolution": ("strategy.evolutions=0",),
            "without the descent": ("strategy.sgd_steps=0",),
            "without the back-off": ("strategy.back_off=false",),
        }

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        members = population_of_starts(oracle, self.popsize, drawn=self.starts == "drawn")
        self.register_buffer("members", members)
        self.register_buffer("best", members[0].clone())
        self.register_buffer("generation", torch.zeros((), dtype=torch.int64))
        self._next_generation(oracle.generator)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        descends = int(self.taken) < self.sgd_steps
        return self._descend(oracle, batch) if descends else self._judge(oracle, batch)

    def recommend(self) -> Tensor:
        return self.best

    def handover(self) -> Handover:
        return Handover(population=self.former.clone())

    # -- descent -----------------------------------------------------------------------------------------------------

    def _next_generation(self, generator: torch.Generator) -> None:
        self.generation += 1
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))
        self.register_buffer("former", self.members)
        self.register_buffer("learning_rates", self._drawn("lr", generator))
        self.register_buffer("momenta", self._drawn("momentum", generator))
        self.register_buffer("ahead", self._drawn("nesterov", generator).bool())
        self.descent.start(self.members)

    def _drawn(self, name: str, generator: torch.Generator) -> Tensor:
        """One of a pool for each member (mu, 1)."""
        pool = self.members.new_tensor(self.pools[name])
        chosen = torch.randint(len(pool), (self.popsize, 1), generator=generator, device=generator.device)
        return pool[chosen.to(pool.device)]

    def _descend(self, oracle: Oracle, batch: Batch) -> Record:
        rates = self.learning_rates * self.schedule(oracle.progress)
        losses, slopes = oracle.gradients(self.members, batch)
        slopes = slopes.add(self.members, alpha=self.weight_decay)
        self.members = self.members + self.descent.step(slopes, rates, self.momenta, self.ahead)
        self.taken += 1
        return {"loss": losses.min()}

    # -- judgement ---------------------------------------------------------------------------------------------------

    def _judge(self, oracle: Oracle, batch: Batch) -> Record:
        """Back-off and evolution, all by losses on one batch."""
        losses = self._backed_off(oracle, batch)
        for _ in range(self.evolutions):
            if oracle.exhausted:
                break
            losses = self._evolved(oracle, batch, losses)
        order = losses.argsort(stable=True)
        self.best = self.members[order[0]].clone()
        self._next_generation(oracle.generator)
        return {"loss": losses[order[0]], "elite": losses[order[: self.elite]].mean()}

    def _backed_off(self, oracle: Oracle, batch: Batch) -> Tensor:
        """The members' losses (mu,), after those that have become worse, or failed, are what they were."""
        if not self.back_off or int(self.taken) == 0:
            return oracle.losses(self.members, batch)
        after, before = oracle.losses(torch.cat([self.members, self.former]), batch).chunk(2)
        better = (after <= before) & after.isfinite()
        self.members = torch.where(better[:, None], self.members, self.former)
        return torch.where(better, after, before)

    def _evolved(self, oracle: Oracle, batch: Batch, losses: Tensor) -> Tensor:
        """One turn of evolution: the m best of members and offspring, and others at random; their losses (mu,)."""
        children = self._children(losses, oracle.generator)
        everybody, theirs = torch.cat([self.members, children]), torch.cat([losses, oracle.losses(children, batch)])
        order = theirs.argsort(stable=True)
        elite, rest = order[: self.elite], order[self.elite :]
        shuffled = torch.randperm(len(rest), generator=oracle.generator, device=oracle.generator.device)
        chosen = torch.cat([elite, rest[shuffled[: self.popsize - self.elite].to(rest.device)]])
        self.members = everybody[chosen]
        return theirs[chosen]

    def _children(self, losses: Tensor, generator: torch.Generator) -> Tensor:
        """Offspring (lambda, d): means of rho parents, the better ones drawn more often, and noise."""
        weights = (self.popsize - mean_ranks(losses)).to(generator.device)
        families = torch.multinomial(weights.expand(self.offspring, -1), self.parents, generator=generator)
        means = self.members[families.to(losses.device)].mean(dim=1)
        return means + self.sigma / int(self.generation) * normal(means.shape, means, generator)


def check_pools(**pools: list[Any]) -> None:
    """Refuse pools that are empty, or hold what is out of range."""
    for name, pool in pools.items():
        if not pool:
            raise ConfigError(f"strategy.{name} must list at least one value, but is []: write for example [0.1].")
    for rate in pools["lr"]:
        positive("strategy", lr=rate)
    for momentum in pools["momentum"]:
        share("strategy", "[0, 1)", momentum=momentum)
