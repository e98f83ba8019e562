"""What all these strategies share: a library's CMA-ES, asked and told one generation at a time.

The libraries count in float64 on the CPU; a generation is handed out in the type and on the device of the weights.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hybridopt import ConfigError, Search
from hybridopt.toolbox import ranges
from hybridopt.toolbox.fitness import failures_last
from hybridopt.toolbox.frozen import Frozen

SMALLEST = 4  # below this, ranks say too little for the libraries' weights
NARROWEST = 1e-10  # how far failures may shrink the step size, as a share of the first one


class Engine(Protocol):
    """A library's optimiser.

    Attributes:
        popsize: candidates of a generation.
        mean: the centre of the distribution (d,), float64.
        sigma: the step size.
    """

    popsize: int
    mean: np.ndarray
    sigma: float

    def ask(self) -> np.ndarray:
        """Candidates (popsize, d), float64."""

    def tell(self, candidates: np.ndarray, losses: list[float]) -> None:
        """Learn from their losses, which are finite."""

    def freeze(self) -> Frozen:
        """All that the future depends on, as tensors and plain values."""

    def thaw(self, state: Frozen) -> None:
        """Become as another engine was, made from the same settings, when it was frozen."""


class Normals:
    """The libraries' source of normal variates: the search's own generator, and nothing else.

    Args:
        search: whose generator is drawn from; in its vectors' type, which is float64 where they are.
    """

    def __init__(self, search: GaussianSearch):
        self.search = search
        self._draws: Tensor | None = None

    def __call__(self, *shape: int) -> np.ndarray:
        generator = self.search.generator
        draws = torch.randn(shape, generator=generator, device=generator.device, dtype=self.search.x0.dtype)
        return numbers(draws)

    def fill(self, out: np.ndarray) -> None:
        """The same into an array, time and again: the memory for millions of them costs more than the draws."""
        generator = self.search.generator
        if self._draws is None or self._draws.device != generator.device:
            self._draws = torch.empty(out.shape, device=generator.device, dtype=self.search.x0.dtype)
        torch.from_numpy(out).copy_(self._draws.normal_(generator=generator).cpu())


class GaussianSearch(Search):
    """Asks, tells and saves an :class:`Engine`.

    Ranks within a generation are all that moves the distribution, and all its members saw the same batch: minibatches
    are sound. The recommendation is the mean, not the best candidate: where losses are noisy the lowest one is the
    luckiest (Hansen 2016, https://arxiv.org/abs/1604.00772, B.1). A failed candidate ranks behind all others; a
    generation of nothing but failures says that its steps are too long, and halves the step size.

    Args:
        popsize: candidates per generation; 4 + 3 ln d if None.
        sigma: the first standard deviation around the start vector.
    """

    def __init__(self, popsize: int | None, sigma: float):
        super().__init__()
        if popsize is not None and popsize < SMALLEST:
            raise ConfigError(
                f"CMA-ES ranks at least {SMALLEST} candidates per generation: strategy.popsize must be at least "
                f"{SMALLEST}, or null for 4 + 3 ln d, but is {popsize}."
            )
        ranges.positive("strategy", sigma=sigma)
        self.popsize = popsize
        self.sigma = sigma
        self._engine: Engine | None = None

    @abstractmethod
    def build(self, x0: np.ndarray, sigma: float, popsize: int, normals: Normals) -> Engine:
        """The library's optimiser; x0 (d,) has two dimensions or more, and is the engine's to keep."""

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x0", x0.clone())
        self._candidates: np.ndarray | None = None
        self._begin(self.sigma, self.popsize or default_popsize(len(x0)))

    def ask(self) -> Tensor:
        self._candidates = self._engine.ask()
        return self._vectors(self._candidates)

    def tell(self, population: Tensor, losses: Tensor) -> None:
        engine, finite = self._engine, torch.isfinite(losses)
        if not finite.any():
            engine.sigma = max(engine.sigma / 2, NARROWEST * self.sigma)
            return
        engine.tell(self._candidates, failures_last(losses.cpu().double()).tolist())

    def recommend(self) -> Tensor:
        return self._vectors(self._engine.mean)

    def facts(self) -> dict[str, str]:
        return {} if self._engine is None else {"popsize": str(self._engine.popsize)}

    def _begin(self, sigma: float, popsize: int) -> None:
        origin = numbers(self.x0)
        if len(origin) == 1:
            origin = np.append(origin, 0.0)  # the libraries want two dimensions: the second one means nothing
        self._settings = {"sigma": sigma, "popsize": popsize}
        self._engine = self.build(origin, sigma, popsize, Normals(self))

    def _vectors(self, points: np.ndarray) -> Tensor:
        """(..., d) of the library -> the same in the type and on the device of the weights."""
        return torch.from_numpy(points[..., : len(self.x0)]).to(self.x0.dtype, copy=True).to(self.x0.device)

    def get_extra_state(self) -> dict[str, Any] | None:
        return None if self._engine is None else {"settings": self._settings, "engine": self._engine.freeze()}

    def set_extra_state(self, state: dict[str, Any] | None) -> None:
        if state is None:
            self._engine = None
            return
        self._begin(**state["settings"])
        self._engine.thaw(state["engine"])


def numbers(values: Tensor) -> np.ndarray:
    """A tensor as the libraries take it: float64, a copy."""
    return values.cpu().to(torch.float64, copy=True).numpy()  # in this order: not every device has float64


def default_popsize(dimension: int) -> int:
    """4 + 3 ln d (Hansen 2016, equation 48)."""
    return 4 + int(3 * math.log(dimension))
