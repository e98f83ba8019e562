"""Parameters as one vector, and back; those of many members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class ParameterLayout:
    """Where each named parameter lies in a flat vector.

    Args:
        shapes: the shape of each parameter, in the vector's order.
        types: the type of each, where there are several: a vector then has the widest, and gives each its own back.
    """

    def __init__(self, shapes: Mapping[str, torch.Size], types: Mapping[str, torch.dtype] | None = None):
        self.shapes = dict(shapes)
        self.types = dict(types) if types is not None and len({*types.values()}) > 1 else {}
        self.sizes = [shape.numel() for shape in self.shapes.values()]
        self._forms = [None if len(shape) == 1 else (-1, *shape) for shape in self.shapes.values()]  # a row is one
        self.dimension = sum(self.sizes)

    @classmethod
    def of(cls, parameters: Mapping[str, Tensor]) -> ParameterLayout:
        """The layout of these parameters, in their order."""
        types = {name: value.dtype for name, value in parameters.items()}
        return cls({name: value.shape for name, value in parameters.items()}, types)

    def flatten(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Name -> (\\*shape), concatenated to a new vector (d,)."""
        return torch.cat([parameters[name].detach().reshape(-1) for name in self.shapes])

    def unflatten(self, vectors: Tensor) -> dict[str, Tensor]:
        """Vectors (n, d) -> name -> (n, \\*shape); views, nothing is copied unless parameters differ in their types."""
        pieces = zip(self.shapes, self._forms, vectors.split_with_sizes(self.sizes, dim=1), strict=True)
        named = {name: piece if form is None else piece.reshape(form) for name, form, piece in pieces}
        if not self.types or not vectors.is_floating_point():
            return named
        return {name: value.to(self.types[name]) for name, value in named.items()}

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """Vector (d,) -> name -> (\\*shape); views, nothing is copied."""
        return {name: value[0] for name, value in self.unflatten(vector[None]).items()}


class FlatParameters:
    """Parameters that are written piece by piece, as if they were one vector.

    Args:
        parameters: by name, in the vector's order; they are written to.
    """

    def __init__(self, parameters: Mapping[str, Tensor]):
        self.parameters = [parameter.detach() for parameter in parameters.values()]

    def write(self, part: slice, values: Tensor) -> None:
        """Make ``vector[part]`` these values."""
        first = 0
        for parameter in self.parameters:
            start, stop = max(part.start, first), min(part.stop, first + parameter.numel())
            if start < stop:
                flat = parameter.reshape(-1)  # a view, unless memory is in another order, such as channels_last
                flat[start - first : stop - first] = values[start - part.start : stop - part.start]
                if not parameter.is_contiguous():
                    parameter.copy_(flat.view(parameter.shape))
            first += parameter.numel()


# -- of a population ---------------------------------------------------------------------------------------------------

Parameters = Mapping[str, Any]  # name -> (n, *shape), or a LowRankParameter


@dataclass(frozen=True)
class LowRankParameter:
    """One weight of all members: ``center + scale * left[i] @ right[i].T``.

    Args:
        center: (a, *rest).
        left: (n, a, r).
        right: (n, b, r), b being the product of the rest.
        scale: a factor.
    """

    center: Tensor
    left: Tensor
    right: Tensor
    scale: float

    def __len__(self) -> int:
        return len(self.left)


def count(parameters: Parameters) -> int:
    """The number of members."""
    return len(next(iter(parameters.values())))


def members(value: Tensor | LowRankParameter, part: slice) -> Tensor | LowRankParameter:
    """One parameter of some of the members."""
    if isinstance(value, LowRankParameter):
        return LowRankParameter(value.center, value.left[part], value.right[part], value.scale)
    return value[part]


def each(parameters: Parameters) -> Iterator[tuple[Tensor, ...]]:
    """The parameters of one member after the other, in the order of their names; low-rank ones are made one by one."""
    values = (value.unbind() if isinstance(value, Tensor) else made(value) for value in parameters.values())
    return zip(*values, strict=True)


def made(value: LowRankParameter) -> Iterator[Tensor]:
    """One parameter of one member after the other."""
    center = value.center.flatten(1)
    for left, right in zip(value.left, value.right, strict=True):
        yield torch.addmm(center, left, right.mT, alpha=value.scale).view_as(value.center)
