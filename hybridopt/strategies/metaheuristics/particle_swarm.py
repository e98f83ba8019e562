"""Particle swarm optimisation (Kennedy & Eberhart 1995), https://doi.org/10.1109/ICNN.1995.488968.

With inertia (Shi & Eberhart 1998, https://doi.org/10.1109/ICEC.1998.699146), the pulls of standard PSO 2006/07
(discussed by Bratton & Kennedy 2007, https://doi.org/10.1109/SIS.2007.368035), and the ring as the other topology. The
inertia is larger than theirs, 0.721, with which swarms come to rest too early on networks.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.search import Search
from hybridopt.engine.randomness import normal, uniform
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.ranges import at_least, positive, share
from hybridopt.toolbox.selection import select


class ParticleSwarm(Search):
    """Particle swarm: each particle is drawn to its own best place and to that of its neighbours.

    Good for a few dozen parameters; it falls behind as their number grows. On smooth functions of 50 variables the ring
    ends many orders of magnitude lower than ``topology=gbest``, which comes to rest too early; on networks and
    minibatches, where nothing is solved to the last digit, gbest is better, and the default.

    On a new batch the best places are evaluated again, and charged: a place is not best because its batch was easy.

    Args:
        popsize: particles.
        inertia: what remains of a velocity.
        cognitive: the pull of a particle's own best place.
        social: the pull of its neighbours' best place.
        topology: whose places count: "gbest" all particles', "lbest" those of a ring's two neighbours.
        sigma: the standard deviation of the first places around the start, and the most that a velocity has in a
            coordinate is ten times that.
        moves_per_step: moves of the swarm on one batch.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.01, 1.0))",
        "inertia": "interval(0.4, 0.9)",
        "popsize": "choice(20, 40, 100)",
    }
    hands_over: ClassVar[frozenset[str]] = frozenset({"population"})
    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    learns_from_points: ClassVar[bool] = True
    places: Tensor  # (popsize, d)
    velocities: Tensor  # (popsize, d)
    best_places: Tensor  # (popsize, d), each particle's own
    best_losses: Tensor  # (popsize,)

    def __init__(
        self,
        popsize: int = 100,
        inertia: float = 0.8,
        cognitive: float = 1.1931471805599454,  # 0.5 + log 2, written out: help reads it without importing torch
        social: float = 1.1931471805599454,
        topology: Literal["gbest", "lbest"] = "gbest",
        sigma: float = 0.01,
        moves_per_step: int = 5,
    ):
        super().__init__()
        at_least("strategy", 1, popsize=popsize, moves_per_step=moves_per_step)
        positive("strategy", sigma=sigma)
        share("strategy", "[0, 1]", inertia=inertia)
        at_least("strategy", 0, cognitive=cognitive, social=social)
        self.popsize, self.topology, self.sigma = popsize, topology, sigma
        self.inertia, self.cognitive, self.social = inertia, cognitive, social
        self.moves_per_step = moves_per_step

    def start(self, x0: Tensor) -> None:
        size = (self.popsize, len(x0))
        places = x0 + self.sigma * normal(size, x0, self.generator)
        places[0] = x0
        places = inheritance.members(self.context.inherited, places)
        self.register_buffer("places", places)
        self.register_buffer("velocities", self.sigma * normal(size, x0, self.generator))
        self.register_buffer("best_places", places.clone())
        self.register_buffer("best_losses", x0.new_full((self.popsize,), math.inf))

    def ask(self) -> Tensor:
        return torch.cat([self.best_places, self.places]) if self._again else self.places

    def tell(self, population: Tensor, losses: Tensor) -> None:
        losses = losses.to(self.best_losses)
        if self._again:
            self.best_places = population[: self.popsize].clone()
            self.best_losses, losses = losses[: self.popsize].clone(), losses[self.popsize :]
        self.places = population[-self.popsize :]
        better = losses < self.best_losses
        self.best_losses = torch.where(better, losses, self.best_losses)
        self.best_places = select(better[:, None], self.places, self.best_places)
        self._fly()

    @property
    def _again(self) -> bool:
        """Whether the best places must be evaluated: at first they are the places themselves."""
        return self.fresh and bool(self.best_losses.isfinite().any())

    def recommend(self) -> Tensor:
        return self.best_places[self.best_losses.argmin()]

    def handover(self) -> Handover:
        return Handover(population=self.best_places)

    def _fly(self) -> None:
        own, others = (uniform(self.places.shape, self.places, self.generator) for _ in range(2))
        own.mul_(self.cognitive).mul_(self.best_places - self.places)
        others.mul_(self.social).mul_(self._leaders() - self.places)
        self.velocities.mul_(self.inertia).add_(own).add_(others).clamp_(-10 * self.sigma, 10 * self.sigma)
        self.places = self.places + self.velocities

    def _leaders(self) -> Tensor:
        """The best place that each particle knows of, (n, d) or (1, d)."""
        if self.topology == "gbest":
            return self.best_places[self.best_losses.argmin()][None]
        ring = torch.stack([self.best_losses.roll(1), self.best_losses, self.best_losses.roll(-1)])
        offset = ring.argmin(dim=0) - 1  # -1 the particle before, 0 itself, 1 the one after
        own = torch.arange(self.popsize, device=offset.device)
        return self.best_places[(own + offset) % self.popsize]
