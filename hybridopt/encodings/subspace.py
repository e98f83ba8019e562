"""Random subspaces (Li, Farkhoor, Liu & Yosinski 2018), https://arxiv.org/abs/1804.08838."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.errors import ConfigError
from hybridopt.toolbox.ranges import at_least


class Subspace(Encoding):
    """The start plus a random projection of a short vector: theta0 + z P.

    P is Gaussian with variance 1/k, so that a step of scale s in z is a step of scale s in each parameter, and a
    search's ``sigma`` means the same as without the encoding. P takes k·d floats of memory.

    Args:
        dimension: the length k of the search vector.

    Raises:
        ConfigError: k is not positive, or larger than the number of parameters.
    """

    origin: Tensor  # (d,)
    projection: Tensor  # (k, d)

    def __init__(self, dimension: int = 100):
        super().__init__()
        at_least("encoding", 1, dimension=dimension)
        self.dimension = dimension

    def attach(self, parameters: Mapping[str, Tensor]) -> int:
        self.layout = ParameterLayout.of(parameters)
        k, d = self.dimension, self.layout.dimension
        if k > d:
            raise ConfigError(f"encoding.dimension is {k}, but the model has only {d} parameters: choose less.")
        return k

    def begin(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        origin, k = self.layout.flatten(parameters), self.dimension
        projection = torch.randn(k, len(origin), generator=generator, device=origin.device) / k**0.5
        self.register_buffer("origin", origin)
        self.register_buffer("projection", projection.to(origin))
        return torch.zeros(k, device=origin.device, dtype=origin.dtype)

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        return self.layout.unflatten(self.origin + z @ self.projection)
