"""EvoTorch's searchers in two halves: what they sample, and what they learn from it.

EvoTorch's own ``step`` does both, and evaluates in between. The halves are made of the searchers' own parts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from hybridopt_evotorch.library import untouched

NARROWEST = 1e-4  # how far failures may shrink the distribution, as a share of the first one: float32 can tell it still


class Driver(ABC):
    """A searcher, asked and told.

    Args:
        searcher: EvoTorch's object.
    """

    def __init__(self, searcher: Any):
        self.searcher = searcher
        self.shrunk = 1.0

    @property
    @abstractmethod
    def center(self) -> Tensor:
        """The mean of the distribution (d,)."""

    @abstractmethod
    def ask(self) -> Tensor:
        """Candidates (n, d)."""

    @abstractmethod
    def tell(self, losses: Tensor) -> None:
        """Learn from the losses (n,) of the candidates just asked for; all are finite."""

    @abstractmethod
    def narrow(self, factor: float) -> None:
        """Multiply the standard deviations by a factor."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that the future depends on: tensors and plain values."""

    @abstractmethod
    def load(self, state: dict[str, Any]) -> None:
        """Become as another driver was, made from the same settings."""

    def fail(self) -> None:
        """All candidates failed: the steps are too long."""
        if self.shrunk > NARROWEST:
            self.shrunk /= 2
            self.narrow(0.5)


class GaussianDriver(Driver):
    """PGPE, SNES, XNES and CEM: a distribution, that follows gradients estimated from its samples."""

    samples: Tensor | None = None

    @property
    def center(self) -> Tensor:
        return self._distribution.parameters["mu"]

    @property
    def _distribution(self) -> Any:
        return self.searcher._distribution

    def ask(self) -> Tensor:
        if self.samples is None:  # memory that is new costs more than the noise in it
            self.samples = self.center.new_empty(self.searcher._popsize, len(self.center))
        self._distribution.sample(out=self.samples, generator=self.searcher.problem)
        return self.samples

    def tell(self, losses: Tensor) -> None:
        gradients = self._distribution.compute_gradients(
            self.samples, losses, objective_sense="min", ranking_method=self.searcher._ranking_method
        )
        self.searcher._update_distribution(gradients)

    def narrow(self, factor: float) -> None:
        known = self._distribution.parameters
        inverse = {"sigma_inv": known["sigma_inv"] / factor} if "sigma_inv" in known else {}
        self._replace(sigma=known["sigma"] * factor, **inverse)

    def _replace(self, **parameters: Tensor) -> None:
        self.searcher._distribution = self._distribution.modified_copy(**parameters)

    def state(self) -> dict[str, Any]:
        parameters = self._distribution.parameters
        tensors = {name: value.clone() for name, value in parameters.items() if isinstance(value, Tensor)}
        return {"shrunk": self.shrunk, "distribution": tensors, "optimizer": self._optimizer_state()}

    def load(self, state: dict[str, Any]) -> None:
        self.shrunk = state["shrunk"]
        self._replace(**{name: value.to(self.center.device).clone() for name, value in state["distribution"].items()})
        self._load_optimizer(state["optimizer"])

    def _optimizer_state(self) -> Any:
        optimizer = self.searcher._optimizer
        if optimizer is None:
            return None
        if hasattr(optimizer, "_velocity"):  # ClipUp, which is no torch optimiser
            return optimizer._velocity.clone()
        return copied(optimizer.contained_optimizer.state_dict())

    def _load_optimizer(self, state: Any) -> None:
        optimizer = self.searcher._optimizer
        if isinstance(state, Tensor):
            optimizer._velocity = state.to(self.center.device).clone()
        elif state is not None:
            optimizer.contained_optimizer.load_state_dict(copied(state))


class CmaDriver(Driver):
    """CMAES: its step is run as a whole when the losses are there, with the samples that were drawn before."""

    MOVING = ("m", "sigma", "C", "A", "p_sigma", "p_c")

    @property
    def center(self) -> Tensor:
        return self.searcher.m

    def ask(self) -> Tensor:
        with untouched(self.center.device):
            self.drawn = type(self.searcher).sample_distribution(self.searcher)
        return self.drawn[-1]

    def tell(self, losses: Tensor) -> None:
        self.searcher.sample_distribution = lambda: self.drawn
        self.searcher.problem.told = losses
        self.searcher.step()

    def narrow(self, factor: float) -> None:
        self.searcher.sigma = self.searcher.sigma * factor

    def state(self) -> dict[str, Any]:
        moving = {name: getattr(self.searcher, name) for name in self.MOVING}
        return {"shrunk": self.shrunk, "steps": self.searcher.step_count, "moving": copied(moving)}

    def load(self, state: dict[str, Any]) -> None:
        self.shrunk, self.searcher._steps_count = state["shrunk"], state["steps"]
        device = self.center.device
        for name, value in copied(state["moving"]).items():
            setattr(self.searcher, name, value.to(device) if isinstance(value, Tensor) else value)


def copied(value: Any) -> Any:
    """Copies of the tensors in nested dictionaries and lists."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value
