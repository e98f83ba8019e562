"""Novelty search with evolution strategies (Conti, Madhavan, Petroski Such, Lehman, Stanley & Clune 2018).

https://arxiv.org/abs/1712.06560. NS-ES climbs towards behaviours that nobody had, NSR-ES towards those and low losses,
NSRA-ES weighs the two by how long it has been stuck. Novelty: Lehman & Stanley 2011,
https://doi.org/10.1162/EVCO_a_00025.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine import trees
from hybridopt.engine.randomness import normal
from hybridopt.engine.trees import Inputs
from hybridopt.toolbox.descent import AdamDescent, centered_ranks
from hybridopt.toolbox.ranges import at_least, even, positive

PATIENCE = 50  # generations without a new best after which NSRA-ES turns to novelty
CHANGE = 0.05  # of the weight


class NoveltyES(Strategy):
    """Several agents, each moved along the estimated gradient of novelty, of the loss, or of both.

    A behaviour is what the objective makes of a network: its outputs, or what a rollout ends in. It is compared on the
    same inputs throughout, the first of the first batch.

    Args:
        reward: the weight of the loss at the start; novelty has the rest.
        adaptive: whether the weight changes: more of the loss after each new best, less when there is none for long.
        agents: M, of which one moves at a time, the likelier the newer its behaviour.
        popsize: losses per generation; even, since samples come in mirrored pairs.
        sigma: the standard deviation of the perturbations.
        lr: Adam's step size.
        neighbours: k, by whose distance in the archive novelty is measured.
        archive: behaviours that are remembered; the oldest go.
        probe: inputs that a behaviour is compared on.

    Raises:
        ConfigError: a number is out of range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"outputs"})
    thetas: Tensor  # (M, d), the agents
    best: Tensor  # (d,), that with the lowest loss
    weight: Tensor  # a scalar, of the loss
    stale: Tensor  # a whole number, generations without a new best
    targets: Tensor  # (probe, ...); of the inputs each tensor (probe, ...) is a buffer inputs_<i>
    own: Tensor  # (M, b), behaviours of the agents
    seen: Tensor  # (k, b), behaviours in the archive

    def __init__(
        self,
        reward: float,
        adaptive: bool,
        agents: int,
        popsize: int,
        sigma: float,
        lr: float,
        neighbours: int,
        archive: int,
        probe: int,
    ):
        super().__init__()
        even("strategy", "samples come in mirrored pairs", popsize=popsize)
        at_least("strategy", 1, agents=agents, neighbours=neighbours, archive=archive, probe=probe)
        positive("strategy", sigma=sigma, lr=lr)
        self.reward, self.adaptive, self.agents, self.popsize = reward, adaptive, agents, popsize
        self.sigma, self.lr, self.neighbours = sigma, lr, neighbours
        self.archive, self.probe = archive, probe
        self.adams = cast(Sequence[AdamDescent], nn.ModuleList(AdamDescent() for _ in range(agents)))

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        x0 = oracle.start
        thetas = x0 + self.sigma * normal((self.agents, len(x0)), x0, oracle.generator)
        thetas[0] = x0
        self.register_buffer("thetas", thetas)
        self.register_buffer("best", x0.clone())
        self.register_buffer("weight", torch.tensor(self.reward, dtype=torch.float64))
        self.register_buffer("stale", torch.zeros((), dtype=torch.int64))
        for adam in self.adams:
            adam.start(x0)
        self.register_buffer("targets", batch[1][: self.probe].clone())
        for i, part in enumerate(trees.leaves(batch[0])):
            self.register_buffer(f"inputs_{i}", part[: self.probe].clone())
        self.register_buffer("own", self._behaviours(oracle, self.thetas, batch))
        self.register_buffer("seen", self.own.clone())

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        agent = self._choose(oracle)
        noise = normal((self.popsize // 2, len(self.best)), self.best, oracle.generator)
        steps = self.sigma * torch.cat([noise, -noise])
        losses, behaviours = self._evaluate(oracle, self.thetas[agent] + steps, batch)
        fitness = self._fitness(losses, behaviours)
        half = len(noise)
        gradient = (fitness[:half] - fitness[half:]).to(noise) @ noise / (2 * half)
        self.thetas[agent] += self.adams[agent].step(gradient, self.lr)
        self._update_best(oracle, agent, batch)
        return {"loss": losses.min(), "weight": float(self.weight)}

    def recommend(self) -> Tensor:
        return self.best

    def novelty(self, behaviours: Tensor) -> Tensor:
        """The mean distance to the nearest in the archive, (n, b) -> (n,)."""
        distances = torch.cdist(behaviours, self.seen)
        nearest = distances.topk(min(self.neighbours, len(self.seen)), dim=1, largest=False).values
        return nearest.mean(dim=1)

    def _choose(self, oracle: Oracle) -> int:
        """An agent, by chance, in proportion to how novel its behaviour is."""
        shares = self.novelty(self.own).double() + 1e-12
        return int(torch.multinomial(shares.to(oracle.generator.device), 1, generator=oracle.generator))

    def _fitness(self, losses: Tensor, behaviours: Tensor) -> Tensor:
        """Ranks of what is to be lowered: the loss, the lack of novelty, or a mean of both."""
        weight = float(self.weight)
        return weight * centered_ranks(losses) + (1 - weight) * centered_ranks(-self.novelty(behaviours))

    def _update_best(self, oracle: Oracle, agent: int, batch: Batch) -> None:
        """What the agent has become enters the archive, and is compared with the best one on the same batch."""
        losses, behaviours = self._evaluate(oracle, torch.stack([self.thetas[agent], self.best]), batch)
        self.own[agent] = behaviours[0]
        self.seen = torch.cat([self.seen, behaviours[:1]])[-self.archive :]
        if losses[0] < losses[1]:
            self.best = self.thetas[agent].clone()
            self.stale.zero_()
            self._adapt_weight(CHANGE)
        else:
            self.stale += 1
            if int(self.stale) % PATIENCE == 0:
                self._adapt_weight(-CHANGE)

    def _adapt_weight(self, change: float) -> None:
        if self.adaptive:
            self.weight = (self.weight + change).clamp(0.0, 1.0)

    def _evaluate(self, oracle: Oracle, population: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Losses (n,) on the batch, and behaviours (n, b) on the probe."""
        outputs = oracle.outputs(population, batch)
        losses = oracle.objective.losses(outputs, batch[1]).nan_to_num(torch.inf, torch.inf, torch.inf)
        count = len(self.targets)
        if trees.equal(trees.rows(batch[0], slice(count)), self._inputs(batch)):  # as where there is but one batch
            return losses, flat(outputs[:, :count])
        return losses, self._behaviours(oracle, population, batch)

    def _behaviours(self, oracle: Oracle, population: Tensor, batch: Batch) -> Tensor:
        return flat(oracle.outputs(population, (self._inputs(batch), self.targets)))

    def _inputs(self, batch: Batch) -> Inputs:
        """The probe's inputs, in the form of those of any batch."""
        kept = [cast(Tensor, self._buffers[f"inputs_{i}"]) for i in range(len(trees.leaves(batch[0])))]
        return trees.rebuilt(batch[0], kept)


def flat(outputs: Tensor) -> Tensor:
    """(n, B, ...) -> (n, b), failures as zeros."""
    return torch.nan_to_num(outputs.flatten(1).float(), 0.0, 0.0, 0.0)


def ns_es(
    agents: int = 3,
    popsize: int = 100,
    sigma: float = 0.05,
    lr: float = 0.02,
    neighbours: int = 10,
    archive: int = 1000,
    probe: int = 16,
) -> NoveltyES:
    """NS-ES (Conti et al. 2018): an evolution strategy that seeks new behaviours, whatever their loss.

    Good for deceptive rewards, where the way to the goal first leads away from it, and the goal is anything new.
    """
    return NoveltyES(0.0, False, agents, popsize, sigma, lr, neighbours, archive, probe)


def nsr_es(
    agents: int = 3,
    popsize: int = 100,
    sigma: float = 0.05,
    lr: float = 0.02,
    neighbours: int = 10,
    archive: int = 1000,
    probe: int = 16,
) -> NoveltyES:
    """NSR-ES (Conti et al. 2018): an evolution strategy that seeks new behaviours and low losses, half each.

    Good for deceptive rewards, where the way to the goal first leads away from it.
    """
    return NoveltyES(0.5, False, agents, popsize, sigma, lr, neighbours, archive, probe)


def nsra_es(
    agents: int = 3,
    popsize: int = 100,
    sigma: float = 0.05,
    lr: float = 0.02,
    neighbours: int = 10,
    archive: int = 1000,
    probe: int = 16,
) -> NoveltyES:
    """NSRA-ES (Conti et al. 2018): an evolution strategy that turns to new behaviours when it is stuck.

    Good for rewards that may be deceptive or not: it starts as a plain evolution strategy.
    """
    return NoveltyES(1.0, True, agents, popsize, sigma, lr, neighbours, archive, probe)


for plugin in (ns_es, nsr_es, nsra_es):
    plugin.search_space = {"sigma": "tag(log, interval(0.005, 0.5))", "lr": "tag(log, interval(0.002, 0.2))"}
ns_es.conformance = {
    "expected_failures": {"improves_on_network": "Novelty is all it seeks; the loss falls by the way, or does not."}
}
