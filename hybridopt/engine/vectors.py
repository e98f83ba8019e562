"""Members that are vectors of parameters, taken apart only where somebody asks for a parameter by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from torch import Tensor

from hybridopt.engine.parameters import ParameterLayout, Parameters, count, members
from hybridopt.engine.population import SeededPopulation, materialize

SHORT = 2**16  # values of a vector that is cheaper copied than taken apart into views


class Vectors(Mapping[str, Tensor]):
    """The parameters of n members by name (n, \\*shape), made when they are asked for; or one member after the other.

    Args:
        population: (n, d), or a seeded one.
        layout: where each parameter lies in a vector.
    """

    def __init__(self, population: Tensor | SeededPopulation, layout: ParameterLayout):
        self.population, self.layout = population, layout
        self.members = len(population)

    def __getitem__(self, name: str) -> Tensor:
        return self._named[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.shapes)

    def __len__(self) -> int:
        return len(self.layout.shapes)

    @property
    def like(self) -> Tensor:
        """A tensor of their type, where they are."""
        return self.population if isinstance(self.population, Tensor) else self.population.center

    @property
    def best_written(self) -> bool:
        """Whether one vector, written for one member after the other, costs less than views of each one's parameters.

        A seeded member is then never in memory together with another one.
        """
        seeded = isinstance(self.population, SeededPopulation)
        return not self.layout.types and (seeded or self.layout.dimension <= SHORT)

    def written(self, vector: Tensor) -> Iterator[None]:
        """Write one member after the other into a vector (d,)."""
        if isinstance(self.population, Tensor):
            for row in self.population.unbind():
                vector.copy_(row)
                yield
        else:
            yield from self.population.written(vector)

    @cached_property
    def _named(self) -> dict[str, Tensor]:
        return self.layout.unflatten(materialize(self.population))


def size(parameters: Parameters) -> int:
    """How many members there are; vectors are not taken apart for it."""
    return parameters.members if isinstance(parameters, Vectors) else count(parameters)


def some(parameters: Parameters, part: slice) -> Parameters:
    """The parameters of some members."""
    if isinstance(parameters, Vectors):
        return Vectors(parameters.population[part], parameters.layout)
    return {name: members(value, part) for name, value in parameters.items()}
