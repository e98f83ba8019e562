"""How children are made of parents: real numbers in a box, or bits.

Simulated binary crossover (SBX): Deb & Agrawal 1995. Polynomial mutation: Deb & Goyal 1996. Uniform crossover: Syswerda
1989.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.operators.mutation.pm import PM
from torch import Tensor

from hybridopt.toolbox import ranges

Kind = Literal["real", "binary"]


@dataclass(frozen=True)
class Settings:
    """What the strategies of this package have in common about variation; their docstrings say what each one means."""

    variation: Kind
    sigma: float | None
    width: float
    crossover: float
    eta_crossover: float
    eta_mutation: float
    mutation: float | None

    def built(self) -> Variation:
        """What makes children.

        Raises:
            ConfigError: a number is out of range, or there is no such variation.
        """
        ranges.one_of("strategy", ("real", "binary"), variation=self.variation)
        ranges.positive("strategy", sigma=self.sigma, width=self.width)
        ranges.positive("strategy", eta_crossover=self.eta_crossover, eta_mutation=self.eta_mutation)
        ranges.share("strategy", "[0, 1]", crossover=self.crossover)
        ranges.share("strategy", "(0, 1]", mutation=self.mutation)
        return Bits(self) if self.variation == "binary" else Reals(self)


class Variation(ABC):
    """Between vectors and what pymoo's operators take.

    Args:
        settings: of the strategy.
    """

    crossover: Crossover
    mutation: Mutation

    @abstractmethod
    def first(self, count: int, x0: Tensor, generator: torch.Generator) -> Tensor:
        """A first population (count, d), whose first member is the start vector x0 (d,), or what it says as bits."""

    @abstractmethod
    def nearer(self, members: Tensor, x0: Tensor) -> Tensor:
        """Another first population, after one in which all members failed."""

    @abstractmethod
    def points(self, members: Tensor) -> np.ndarray:
        """Members (n, d) as pymoo takes them."""

    @abstractmethod
    def vectors(self, points: np.ndarray, like: Tensor) -> Tensor:
        """The other way, in the type and on the device of ``like``."""

    @abstractmethod
    def problem(self, points: np.ndarray, x0: Tensor, objectives: int) -> Problem:
        """What the operators ask of a problem: its size and bounds."""


class Reals(Variation):
    """SBX and polynomial mutation in a box around the start.

    Pymoo's operators want bounds. They are ``width`` away from the start vector in each coordinate, or as far as a
    member has got that came from elsewhere: handed over by a phase before, or moved by descent.
    """

    def __init__(self, settings: Settings):
        self.sigma, self.width = settings.sigma, settings.width
        self.crossover = SBX(eta=settings.eta_crossover, prob=settings.crossover)
        self.mutation = PM(eta=settings.eta_mutation, prob_var=settings.mutation)

    def first(self, count: int, x0: Tensor, generator: torch.Generator) -> Tensor:
        size = (count, len(x0))
        if self.sigma is None:
            steps = self.width * (2 * torch.rand(size, generator=generator, device=generator.device).to(x0) - 1)
        else:
            steps = self.sigma * torch.randn(size, generator=generator, device=generator.device).to(x0)
        steps[0] = 0
        return x0 + steps.clamp(-self.width, self.width)

    def nearer(self, members: Tensor, x0: Tensor) -> Tensor:
        return x0 + (members - x0) / 2

    def points(self, members: Tensor) -> np.ndarray:
        return members.detach().cpu().double().numpy()

    def vectors(self, points: np.ndarray, like: Tensor) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(points, dtype=np.float64)).to(like)

    def problem(self, points: np.ndarray, x0: Tensor, objectives: int) -> Problem:
        lower, upper = self.points(x0 - self.width), self.points(x0 + self.width)
        lower, upper = np.minimum(lower, points.min(axis=0)), np.maximum(upper, points.max(axis=0))
        return Problem(n_var=len(x0), n_obj=objectives, xl=lower, xu=upper)


class Bits(Variation):
    """Uniform crossover and bit flips: a coordinate that is not negative is a one, and stands as 1, others as -1.

    The members of the first generation have different shares of ones, evenly from none to all, so that it is spread
    over all degrees of sparsity where the bits are a mask.
    """

    def __init__(self, settings: Settings):
        self.crossover = UX(prob=settings.crossover)
        self.mutation = BitflipMutation(prob_var=settings.mutation)

    def first(self, count: int, x0: Tensor, generator: torch.Generator) -> Tensor:
        drawn = torch.rand((count, len(x0)), generator=generator, device=generator.device).to(x0)
        shares = torch.linspace(1, 0, count, device=x0.device, dtype=x0.dtype)
        made = signs(drawn < shares[:, None], x0)
        made[0] = signs(x0 >= 0, x0)
        return made

    def nearer(self, members: Tensor, x0: Tensor) -> Tensor:
        return members

    def points(self, members: Tensor) -> np.ndarray:
        return (members >= 0).cpu().numpy()

    def vectors(self, points: np.ndarray, like: Tensor) -> Tensor:
        return signs(torch.from_numpy(np.ascontiguousarray(points, dtype=bool)), like)

    def problem(self, points: np.ndarray, x0: Tensor, objectives: int) -> Problem:
        return Problem(n_var=len(x0), n_obj=objectives, xl=0, xu=1, vtype=bool)


def signs(ones: Tensor, like: Tensor) -> Tensor:
    """1 where a bit is set and -1 elsewhere."""
    return 2 * ones.to(like.device, like.dtype) - 1


def population(points: np.ndarray, readings: np.ndarray, **notes: np.ndarray) -> Population:
    """Pymoo's population of these points (n, ...), readings (n, k) and further attributes (n,) by name."""
    return Population.new(X=points, F=readings, **notes)
