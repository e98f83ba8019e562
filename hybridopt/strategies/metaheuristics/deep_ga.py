"""Deep GA (Such, Madhavan, Conti, Lehman, Stanley & Clune 2017), https://arxiv.org/abs/1712.06567.

No crossover: children are mutated copies of the best. A genome is the list of the seeds of its mutations, so that a
network of any size travels as a few integers, and is made again, to the last bit, wherever it is needed.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.search import Search
from hybridopt.engine.population import noise_blocks
from hybridopt.toolbox.ranges import at_least, positive
from hybridopt.toolbox.schedule import Decay, Schedule

NONE = -1  # where a genome is shorter than the longest


class DeepGA(Search):
    """Truncation selection and Gaussian mutations, with genomes that are lists of seeds.

    Good for large networks in many processes or in an archive, since a member is a few integers; slower to learn than
    with crossover.

    The elite is evaluated again on every batch, with everybody else. What a checkpoint holds are the genomes.

    Args:
        popsize: members of a generation.
        parents: how many of the best have children.
        sigma: the standard deviation of a mutation at the start.
        first_sigma: that of the first generation around the start.
        schedule: how a mutation's standard deviation goes to ``final_sigma`` times itself over the budget.
        final_sigma: the last standard deviation as a share of the first.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.002, 0.2))",
        "final_sigma": "tag(log, interval(0.02, 1.0))",
    }
    x0: Tensor  # (d,)
    seeds: Tensor  # (parents, generations), of their mutations
    sigmas: Tensor  # (parents, generations), of the same mutations

    def __init__(
        self,
        popsize: int = 100,
        parents: int = 10,
        sigma: float = 0.03,
        first_sigma: float = 0.05,
        schedule: Schedule = "exponential",
        final_sigma: float = 0.2,
    ):
        super().__init__()
        at_least("strategy", 1, popsize=popsize, parents=parents)
        positive("strategy", sigma=sigma, first_sigma=first_sigma)
        self.popsize, self.parents, self.sigma, self.first_sigma = popsize, min(parents, popsize), sigma, first_sigma
        self.schedule = Decay(schedule, final_sigma, "final_sigma")
        self._decoded: Tensor | None = None  # the parents (parents, d), which the genomes say as well

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x0", x0)
        self.register_buffer("seeds", torch.empty((1, 0), dtype=torch.int64))
        self.register_buffer("sigmas", torch.empty((1, 0), dtype=torch.float64))
        self._decoded = None

    def ask(self) -> Tensor:
        parents = self._parents()
        count = self.popsize - 1  # the elite is the first
        device = self.generator.device
        chosen = torch.randint(len(parents), (count,), generator=self.generator, device=device).cpu()
        seeds = torch.randint(2**32, (count,), generator=self.generator, device=device).cpu()
        sigma = self._sigma()
        self._chosen = torch.cat([torch.zeros(1, dtype=torch.int64), chosen])
        self._seeds = torch.cat([torch.full((1,), NONE), seeds])
        self._sigmas = torch.full((self.popsize,), sigma, dtype=torch.float64)
        children = [mutated(parents[parent], int(seed), sigma) for parent, seed in zip(chosen, seeds, strict=True)]
        return torch.stack([parents[0], *children])

    def tell(self, population: Tensor, losses: Tensor) -> None:
        best = losses.argsort(stable=True)[: self.parents].cpu()
        genomes = self.seeds.cpu()[self._chosen[best]]
        sigmas = self.sigmas.cpu()[self._chosen[best]]
        self.seeds = torch.cat([genomes, self._seeds[best, None]], dim=1).to(self.x0.device)
        self.sigmas = torch.cat([sigmas, self._sigmas[best, None]], dim=1).to(self.x0.device)
        self._decoded = population[best.to(population.device)].clone()

    def recommend(self) -> Tensor:
        return self._parents()[0]

    def _sigma(self) -> float:
        if self.seeds.shape[1] == 0:
            return self.first_sigma
        return self.sigma * self.schedule(self.progress)

    def _parents(self) -> Tensor:
        if self._decoded is None:  # a checkpoint was loaded
            pairs = zip(self.seeds.tolist(), self.sigmas.tolist(), strict=True)
            self._decoded = torch.stack([decode(self.x0, seeds, sigmas) for seeds, sigmas in pairs])
        return self._decoded


def decode(x0: Tensor, seeds: list[int], sigmas: list[float]) -> Tensor:
    """The vector (d,) of a genome: x0, and one mutation after the other. The same to the last bit in any process."""
    x = x0.clone()
    for seed, sigma in zip(seeds, sigmas, strict=True):
        if seed != NONE:
            x = mutated(x, seed, sigma)
    return x


def mutated(x: Tensor, seed: int, sigma: float) -> Tensor:
    """x plus the noise of a seed, (d,)."""
    child = torch.empty_like(x)
    for part, noise in noise_blocks(seed, x):
        child[part] = torch.add(x[part], noise, alpha=sigma)
    return child
