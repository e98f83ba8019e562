"""The coordinates in which a strategy sees the model's parameters: an encoding, and a mask behind it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from hybridopt.core.encoding import Direct, Encoding
from hybridopt.engine.in_place import SharedParameters, is_large
from hybridopt.engine.modes import casts_not_remembered
from hybridopt.engine.parameters import FlatParameters, LowRankParameter, Parameters
from hybridopt.engine.population import LowRankPopulation, Population, SeededPopulation, materialize
from hybridopt.engine.vectors import Vectors

Mask = Mapping[str, Tensor]  # name -> boolean (*shape), False where a parameter is zero; what is not named is free


class Coordinates:
    """Vectors (d,) that stand for the parameters of a model.

    Attributes:
        dimension: d.
        shapes: the shape of each parameter, in the order of a vector; None where an encoding stands between.
        large: whether a copy of the parameters counts.
        direct: whether vectors are the parameters themselves; a mask may set some to zero.

    Args:
        own: the model's trainable parameters by name: the tensors themselves.
        encoding: how vectors become parameters.
        mask: which parameters are zero, and stay so; none if None.
        start: where a strategy starts; the encoding's own start if None.
        offset: (d,), added to each vector before it is decoded; none if None.
    """

    def __init__(
        self,
        own: Mapping[str, nn.Parameter],
        encoding: Encoding,
        mask: Mask | None = None,
        start: Tensor | None = None,
        offset: Tensor | None = None,
    ):
        self.own, self.encoding, self.mask, self._start, self.offset = own, encoding, mask, start, offset
        self.dimension = encoding.attach(own)
        self.direct = isinstance(encoding, Direct)
        self.shapes = encoding.layout.shapes if isinstance(encoding, Direct) else None
        self.large = is_large(own.values())
        self._shared: SharedParameters | None = None  # once the parameters are in the memory of a search's vector
        self._pruned = [(own[name], ~kept) for name, kept in (mask or {}).items() if name in own and not kept.all()]

    def masked(self, mask: Mask) -> Coordinates:
        """The same with more parameters masked; they are set to zero now."""
        kept = {name: value.to(self.own[name].device) for name, value in mask.items() if name in self.own}
        former = self.mask or {}
        both = {name: value & kept.get(name, value) for name, value in {**kept, **former}.items()}
        made = Coordinates(self.own, self.encoding, both, self._start, self.offset)
        made.apply_mask()
        return made

    def encoded(self, encoding: Encoding) -> Coordinates:
        """The same in another encoding."""
        return Coordinates(self.own, encoding, self.mask)

    def starting_at(self, z: Tensor) -> Coordinates:
        """The same, with z (d,) as the start."""
        made = copy.copy(self)
        made._start = z.detach().clone()
        return made

    def displaced(self, offset: Tensor) -> Coordinates:
        """The same, in which z (d,) stands for what z + offset does here."""
        made = copy.copy(self)
        made.offset = offset if self.offset is None else self.offset + offset
        if made._start is not None:
            made._start = made._start - offset
        return made

    def start(self, generator: torch.Generator) -> Tensor:
        """The start vector (d,), a copy; a direct one is the parameters as they are now.

        An encoding makes its state when it is first asked for its start.
        """
        if self._start is not None:
            return self._start.clone()
        start = self._back(self.encoding.begin(self.own, generator))
        if not self.direct:
            self._start = start.clone()
        return start

    def own_start(self, model: nn.Module, generator: torch.Generator) -> Tensor:
        """The start vector (d,), in whose memory the parameters of a large network are from now on; else a copy."""
        shared = self._shared_in(model)
        return shared.gather() if shared is not None else self.start(generator)

    def keep_in(self, model: nn.Module, z: Tensor) -> None:
        """Make the parameters of a large network those of z (d,), in its memory, if they are not yet."""
        if self._shared is not None and self._shared.is_in(z):
            return
        self._shared = None  # they may have been replaced
        shared = self._shared_in(model)
        if shared is not None:
            shared.move_into(z)

    def _shared_in(self, model: nn.Module) -> SharedParameters | None:
        plain = self.direct and self.mask is None and self.offset is None and self._start is None
        shared = SharedParameters(model, self.own) if plain and self.large else None
        self._shared = shared if shared is not None and shared.fits else None
        return self._shared

    def point(self) -> Tensor:
        """The model's parameters as they stand (d,), a copy.

        Raises:
            ValueError: an encoding stands between, which cannot be inverted.
        """
        if not isinstance(self.encoding, Direct):
            raise ValueError("A model's parameters are a vector in direct coordinates only.")
        return self._back(self.encoding.layout.flatten(self.own))

    def _back(self, z: Tensor) -> Tensor:
        """A vector of the encoding in these coordinates."""
        return z if self.offset is None else z - self.offset

    # -- from vectors to parameters ----------------------------------------------------------------------------------

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        """Vectors (n, d) -> name -> (n, \\*shape), masked."""
        return self._decoded(z if self.offset is None else z + self.offset)

    def _decoded(self, z: Tensor) -> dict[str, Tensor]:
        """Of the encoding's own vectors (n, d)."""
        return self.apply_to(self.encoding.decode(z))

    def named(self, z: Tensor) -> dict[str, Tensor]:
        """A vector (d,) -> name -> (\\*shape), masked; views of z where nothing changes."""
        return {name: value[0] for name, value in self.decode(z[None]).items()}

    def vector_of(self, other: Coordinates, z: Tensor) -> Tensor:
        """A vector of other coordinates of the same model in these, which are direct or have the same encoding."""
        if other.encoding is self.encoding and other.mask is self.mask:
            return self._back(z if other.offset is None else z + other.offset)
        if not isinstance(self.encoding, Direct):
            raise ValueError("Only direct coordinates can express a point of other ones.")
        return self._back(self.encoding.layout.flatten({**self.own, **other.named(z.detach())}))

    def prepare(self, population: Population) -> AbstractContextManager[Parameters]:
        """The parameters of members by name, low-rank where that can be told apart.

        A seeded population of one is written into the model's own parameters, block by block, so that there is no
        second copy of it; these are its centre afterwards. Where they are in the memory of a search's vector, they
        stay what they are: each operation of the network is given what it takes, perturbed, of low rank or not.
        """
        plain = self.direct and self.mask is None
        if isinstance(population, Tensor):
            return nullcontext(self._members(population if self.offset is None else population + self.offset))
        if self.offset is not None:
            population = replace(population, center=population.center + self.offset)
        if plain and self._shared is not None and len(population) == 1:
            return self._perturbed(self._shared, population)
        if plain and isinstance(population, SeededPopulation) and len(population) == 1:
            return self._written(population)
        if plain and isinstance(population, LowRankPopulation):
            return nullcontext(self._low_rank(population))
        return nullcontext(
            self._members(population if isinstance(population, SeededPopulation) else materialize(population))
        )

    def _members(self, population: Tensor | SeededPopulation) -> Parameters:
        """The parameters of the encoding's own vectors (n, d), or of a seeded population of them."""
        if isinstance(self.encoding, Direct) and self.mask is None:
            return Vectors(population, self.encoding.layout)
        return self._decoded(materialize(population))

    def assign(self, z: Tensor) -> None:
        """Make the model's parameters those of z (d,)."""
        self._put(self.named(z))

    def _put(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in values.items():
                self.own[name].copy_(value)

    @contextmanager
    def standing_in(self, z: Tensor | None) -> Iterator[None]:
        """Inside, the model's parameters are those of z (d,), without a copy; afterwards they are what they were."""
        values = {} if z is None else self.named(z.detach())
        former = {name: self.own[name].data for name in values}
        try:
            for name, value in values.items():
                self.own[name].data = value.to(former[name].dtype)
            yield
        finally:
            for name, data in former.items():
                self.own[name].data = data

    @contextmanager
    def _perturbed(
        self, shared: SharedParameters, population: SeededPopulation | LowRankPopulation
    ) -> Iterator[Parameters]:
        with shared.perturbed(population):
            yield {}

    @contextmanager
    def _written(self, population: SeededPopulation) -> Iterator[Parameters]:
        flat = FlatParameters(self.own)
        with torch.no_grad():
            for part, values in population.member(0):
                flat.write(part, values)
        try:
            with casts_not_remembered():
                yield {}
        finally:
            self._put({name: value[0] for name, value in self._decoded(population.center[None]).items()})

    def _low_rank(self, population: LowRankPopulation) -> Parameters:
        return {
            name: LowRankParameter(
                center, population.left[name].to(center), population.right[name].to(center), population.scale_of(name)
            )
            if name in population.left
            else center + population.sigma * population.dense[name].to(center)
            for name, (center,) in self.encoding.decode(population.center[None]).items()
        }

    # -- masks -------------------------------------------------------------------------------------------------------

    def apply_mask(self) -> None:
        """Set the model's masked parameters to exactly zero."""
        if self._pruned:
            with torch.no_grad():
                for parameter, gone in self._pruned:
                    parameter.masked_fill_(gone, 0.0)

    def mask_gradients(self) -> None:
        """Set what is in ``.grad`` of masked parameters to zero."""
        for parameter, gone in self._pruned:
            if parameter.grad is not None:
                parameter.grad.masked_fill_(gone, 0.0)

    def apply_to(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named values (..., \\*shape) with zeros where parameters are masked."""
        if self.mask is None:
            return values
        return {
            name: torch.where(self.mask[name], value, 0.0) if name in self.mask else value
            for name, value in values.items()
        }
