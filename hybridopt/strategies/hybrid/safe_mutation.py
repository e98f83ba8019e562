"""Safe mutations by gradients of the outputs (Lehman, Chen, Clune & Stanley 2018), https://arxiv.org/abs/1712.06563.

A search whose steps are divided, weight by weight, by how much the outputs depend on that weight (SM-G): it works with
any search, since it only changes the coordinates. Output gradients are taken, never the loss's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Parts, Record, Strategy
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.toolbox.ranges import at_least, positive

SMALLEST = 0.01  # sensitivity that a step is divided by, as in the authors' code


class SafeMutation(Strategy):
    """Any search, in coordinates in which a step changes the outputs by about its length.

    Good for deep or recurrent networks, in which one step is too long for some weights and too short for others.

    The coordinates are measured again from time to time, at what the search recommends by then; it begins again there.

    Args:
        search: any strategy that works in an encoding; its ``sigma`` is a change of the outputs.
        refreshes: how often over the budget the sensitivities are measured.
        over_samples: "sum" takes the outputs' sum over the batch before the derivative's size, in which opposite
            changes cancel; "abs" the mean of the sizes.
        clip: the most that a parameter may differ from where the sensitivities were measured.

    Raises:
        ConfigError: there is no refresh, or no room.
    """

    measured: Tensor  # a whole number, how often

    def __init__(
        self,
        search: Annotated[Strategy, "genetic_algorithm"],
        refreshes: int = 5,
        over_samples: Literal["sum", "abs"] = "abs",
        clip: float = 10.0,
    ):
        super().__init__()
        at_least("strategy", 1, refreshes=refreshes)
        positive("strategy", clip=clip)
        self.search, self.refreshes, self.over_samples = search, refreshes, over_samples
        self.rescaled = Rescaled(clip)

    @property
    def requires(self) -> frozenset[str]:
        """Jacobians, and what the search requires."""
        return frozenset({"jacobian", "direct"}) | self.search.requires

    def parts(self, encoding: Encoding) -> Parts:
        return {"search": (self.search, self.rescaled)}

    def attach(self, oracle: Oracle) -> None:
        self._oracle, self._view = oracle, oracle.encoded(self.rescaled)
        self.search.attach(self._view)

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("measured", torch.zeros((), dtype=torch.int64))
        self._measure(oracle, batch)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        if int(self.measured) <= self._due(oracle):
            recommended = self.recommend()
            if recommended is not None:
                oracle.assign(recommended)
            self._measure(oracle, batch)
        return self.search.step(self._view, batch)

    def recommend(self) -> Tensor | None:
        z = self.search.recommend()
        return None if z is None else self._oracle.vector_of(self._view, z)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return self.search.optimizers()

    def finished(self) -> bool:
        return self.search.finished()

    def phase_over(self) -> bool:
        return self.search.phase_over()

    def facts(self) -> Mapping[str, str]:
        return self.search.facts()

    def _due(self, oracle: Oracle) -> int:
        """How many measurements there should have been, less one."""
        return min(int(oracle.progress * self.refreshes), self.refreshes - 1)

    def _measure(self, oracle: Oracle, batch: Batch) -> None:
        """New coordinates at the model's parameters, in which the search begins."""
        self.rescaled.scale = sensitivity(oracle.jacobian(batch), self.over_samples)
        self.measured.fill_(self._due(oracle) + 1)
        self._view = oracle.encoded(self.rescaled)
        self.search.attach(self._view)
        self.search.begin(self._view, batch)


class Rescaled(Encoding):
    """Steps divided by a scale for each parameter, and clipped: theta = c + clip((z - s c) / s).

    Args:
        clip: the most that a parameter may differ from its center.
    """

    scale: Tensor  # s (d,), once it is measured
    center: Tensor  # c (d,), the parameters where it was measured

    def __init__(self, clip: float = 10.0):
        super().__init__()
        self.clip = clip
        self.register_buffer("scale", None)
        self.register_buffer("center", None)

    def attach(self, parameters: Mapping[str, Tensor]) -> int:
        self.layout = ParameterLayout.of(parameters)
        return self.layout.dimension

    def begin(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        self.center = self.layout.flatten(parameters)
        return self.center * self.scale

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        step = (z / self.scale - self.center).clamp(-self.clip, self.clip)
        return self.layout.unflatten(self.center + step)


def sensitivity(jacobian: Tensor, over_samples: str) -> Tensor:
    """The size of the outputs' derivative by each parameter, (B, C, d) -> (d,); 1 where nothing depends on one."""
    rows = jacobian.sum(dim=0) if over_samples == "sum" else jacobian.abs().mean(dim=0)
    size = torch.nan_to_num(rows.square().sum(dim=0).sqrt(), 0.0, 0.0, 0.0)
    return torch.where(size == 0, 1.0, size.clamp(min=SMALLEST))
