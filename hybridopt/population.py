"""Populations that are not a plain matrix.

A population is usually a dense tensor ``(n, d)``: one candidate a row. Where a matrix of that size would be the cost,
its members can be kept in a smaller form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LowRankPopulation:
    """Members that differ from a common centre by a low-rank matrix in each weight.

    Member i has, for a weight W of shape (a, b), ``W + sigma * left[i] @ right[i].T / sqrt(r)``, and for a parameter
    that is not a matrix ``w + sigma * dense[i]`` (EGGROLL: Sarkar et al. 2025, https://arxiv.org/abs/2511.16652).

    Args:
        center: (d,) the common vector.
        shapes: the shape of each parameter, in the order of ``center``.
        left: name -> (n, a, r).
        right: name -> (n, b, r).
        dense: name -> (n, \\*shape), for the parameters without factors.
        sigma: the standard deviation of the perturbation.
    """

    center: Tensor
    shapes: Mapping[str, torch.Size]
    left: Mapping[str, Tensor]
    right: Mapping[str, Tensor]
    dense: Mapping[str, Tensor]
    sigma: float

    def __len__(self) -> int:
        return len(next(iter([*self.left.values(), *self.dense.values()])))

    def __getitem__(self, members: slice) -> LowRankPopulation:
        """The same population, restricted to a slice of its members."""
        left, right, dense = (
            {name: value[members] for name, value in group.items()} for group in (self.left, self.right, self.dense)
        )
        return LowRankPopulation(self.center, self.shapes, left, right, dense, self.sigma)

    def materialize(self) -> Tensor:
        """The members as a dense matrix (n, d)."""
        noise = torch.cat([self._noise(name, shape) for name, shape in self.shapes.items()], dim=1)
        return self.center + self.sigma * noise

    def _noise(self, name: str, shape: torch.Size) -> Tensor:
        if name in self.dense:
            return self.dense[name].reshape(len(self), -1)
        left, right = self.left[name], self.right[name]
        return (left @ right.mT / left.shape[-1] ** 0.5).reshape(len(self), shape.numel())


Population = Tensor | LowRankPopulation


def materialize(population: Population) -> Tensor:
    """Any population as a dense matrix (n, d)."""
    return population if isinstance(population, Tensor) else population.materialize()
