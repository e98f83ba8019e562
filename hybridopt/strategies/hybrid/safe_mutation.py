"""Safe mutations by gradients of the outputs (Lehman, Chen, Clune & Stanley 2018), https://arxiv.org/abs/1712.06563.

A search whose steps are divided, weight by weight, by how much the outputs depend on that weight (SM-G): it works with
any search, since it only changes the coordinates. Output gradients are taken, never the loss's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.core.hybrid import check_search, enter_as_loaded
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.errors import ConfigError

SMALLEST = 0.01  # sensitivity that a step is divided by, as in the authors' code


class SafeMutation(Strategy):
    """Any search, in coordinates in which a step changes the outputs by about its length.

    Good for deep or recurrent networks, in which one step is too long for some weights and too short for others.

    The coordinates are measured again from time to time, at what the search recommends by then; it begins anew there.

    Args:
        search: the search; its ``sigma`` is a change of the outputs.
        refreshes: how often over the budget the sensitivities are measured.
        over_samples: "sum" takes the outputs' mean over the batch before the derivative's size, in which opposite
            changes cancel; "abs" the mean of the sizes.

    Raises:
        ConfigError: there is no refresh, or the part is no search.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses", "jacobian"})

    def __init__(
        self,
        search: Annotated[Strategy, "genetic_algorithm"],
        refreshes: int = 5,
        over_samples: Literal["sum", "abs"] = "abs",
    ):
        super().__init__()
        if refreshes < 1:
            raise ConfigError(f"strategy.refreshes must be at least 1, but is {refreshes}.")
        check_search(search, "Mutations are those of a search", "genetic_algorithm")
        self.search, self.refreshes, self.over_samples = search, refreshes, over_samples

    def setup(self, oracle: Oracle) -> None:
        if oracle.shapes is None:
            raise ConfigError("safe_mutation is about the parameters themselves: leave it at encoding=direct.")
        self._view: Oracle | None = None
        self.register_buffer("scale", None)
        self.register_buffer("measured", torch.zeros((), dtype=torch.int64))

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        if int(self.measured) <= min(int(oracle.progress * self.refreshes), self.refreshes - 1):
            self._measure(oracle, batch)
        self._reenter_if_loaded(oracle)
        return self.search.step(self._view, batch)

    def deploy(self, oracle: Oracle) -> None:
        if self.scale is not None:
            self._reenter_if_loaded(oracle)
            self.search.deploy(self._view)

    def _measure(self, oracle: Oracle, batch: Batch) -> None:
        self.deploy(oracle)
        self.scale = sensitivity(oracle.jacobian(batch), self.over_samples)
        self.measured.fill_(min(int(oracle.progress * self.refreshes), self.refreshes - 1) + 1)
        self._enter(oracle)

    def _enter(self, oracle: Oracle) -> None:
        self._view = oracle.encoded(Rescaled(self.scale))
        self.search.setup(self._view)

    def _reenter_if_loaded(self, oracle: Oracle) -> None:
        if self._view is None:
            enter_as_loaded(self, oracle, self._enter)


class Rescaled(Encoding):
    """Parameters divided by a scale of their own: theta = z / s.

    Args:
        scale: s (d,).
    """

    def __init__(self, scale: Tensor):
        super().__init__()
        self.register_buffer("scale", scale)

    def attach(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        self.layout = ParameterLayout.of(parameters)
        return self.layout.flatten(parameters) * self.scale

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        return self.layout.unflatten(z / self.scale)


def sensitivity(jacobian: Tensor, over_samples: str) -> Tensor:
    """The size of the outputs' derivative by each parameter, (B, C, d) -> (d,); 1 where nothing depends on one."""
    rows = jacobian.mean(dim=0) if over_samples == "sum" else jacobian.abs().mean(dim=0)
    size = torch.nan_to_num(rows.square().sum(dim=0).sqrt(), 0.0, 0.0, 0.0)
    return torch.where(size == 0, 1.0, size.clamp(min=SMALLEST))
