"""How a search vector (genotype) becomes parameters (phenotype)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from hybridopt.engine.buffers import LateBuffers
from hybridopt.engine.parameters import ParameterLayout


class Encoding(LateBuffers, ABC):
    """A map from a vector z (d,) to named parameters.

    What it keeps of the parameters that it began at must be in buffers, so that checkpoints hold it.
    """

    @abstractmethod
    def attach(self, parameters: Mapping[str, Tensor]) -> int:
        """Bind to a model: layouts, shapes. Called in each process, and again after each load; keeps no state.

        Args:
            parameters: the trainable parameters of the model by name.

        Returns:
            The length d of a search vector.

        Raises:
            ConfigError: the encoding does not fit the model.
        """

    @abstractmethod
    def begin(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """Make the state, once, in buffers; :meth:`attach` has been called with the same parameters.

        Args:
            parameters: the parameters of the model as they are now; copy what must not change with them.
            generator: the source of any randomness, on the device of the parameters.

        Returns:
            The start vector z0 (d,).
        """

    @abstractmethod
    def decode(self, z: Tensor) -> dict[str, Tensor]:
        """Vectors (population, d) -> name -> (population, \\*shape)."""


class SparseEncoding(Encoding):
    """An encoding that leaves parameters out."""

    @abstractmethod
    def mask(self, z: Tensor) -> dict[str, Tensor]:
        """Vector (d,) -> name -> boolean (\\*shape), False where a parameter is zero; what is not named is free."""


class Direct(Encoding):
    """The parameters themselves, one after the other."""

    def attach(self, parameters: Mapping[str, Tensor]) -> int:
        self.layout = ParameterLayout.of(parameters)
        return self.layout.dimension

    def begin(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        return self.layout.flatten(parameters)

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        return self.layout.unflatten(z)
