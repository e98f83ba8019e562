"""A strategy on another objective than that of the run, such as a smooth stand-in for a loss without a gradient."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Parts, Record, Strategy
from hybridopt.errors import ConfigError
from hybridopt.toolbox.wrapper import Wrapper


class Surrogate(Wrapper):
    """Let any strategy train on a stand-in for the run's objective.

    Good for the first phase of a sequence, whose next one searches on the objective itself.

    Validation, test and the other phases know the run's objective only; "loss" is the stand-in's.

    Args:
        inner: any strategy.
        objective: the stand-in, the likelihood of the task unless another one is chosen.

    Raises:
        ConfigError: the strategy needs a gradient, and the stand-in has none.
    """

    def __init__(self, inner: Annotated[Strategy, "adam"], objective: Annotated[Objective, "likelihood"]):
        super().__init__(inner)
        if inner.requires & {"gradient", "jvp", "loss_slope"} and not objective.differentiable:
            raise ConfigError(
                f"{type(inner).__name__} needs a gradient, and the stand-in {type(objective).__name__} has none: "
                "choose another one, such as strategy/objective=cross_entropy."
            )
        self.objective = objective

    @property
    def requires(self) -> frozenset[str]:
        """What the inner strategy requires of the network; a gradient is the stand-in's business."""
        return self.inner.requires - {"gradient", "jvp", "loss_slope"}

    def parts(self, encoding: Encoding) -> Parts:
        """None that are held against the run's objective."""
        return {}

    def attach(self, oracle: Oracle) -> None:
        self._view = oracle.with_objective(self.objective)
        self.inner.attach(self._view)

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self._view = oracle.with_objective(self.objective)
        self.inner.begin(self._view, batch)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        return self.inner.step(self._view, batch)

    def recommend(self) -> Tensor | None:
        return self.inner.recommend()
