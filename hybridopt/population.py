"""Populations that are not a plain matrix.

A population is usually a dense tensor ``(n, d)``: one candidate a row. Where a matrix of that size would be the cost,
its members can be kept in a smaller form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 2**18  # values of noise that are made at a time


@dataclass(frozen=True)
class LowRankPopulation:
    """Members that differ from a common centre by a low-rank matrix in each weight.

    Member i has, for a weight W of shape (a, *rest), ``W + sigma * left[i] @ right[i].T / sqrt(r)``, and for a
    parameter without factors ``w + sigma * dense[i]`` (EGGROLL: Sarkar et al. 2025, https://arxiv.org/abs/2511.16652).

    Args:
        center: (d,) the common vector.
        shapes: the shape of each parameter, in the order of ``center``.
        left: name -> (n, a, r).
        right: name -> (n, b, r), b being the product of the rest.
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

    def scale_of(self, name: str) -> float:
        """What the product of the factors of a parameter is multiplied with."""
        return self.sigma / self.left[name].shape[-1] ** 0.5

    def _noise(self, name: str, shape: torch.Size) -> Tensor:
        if name in self.dense:
            return self.dense[name].reshape(len(self), -1)
        left, right = self.left[name], self.right[name]
        return (left @ right.mT / left.shape[-1] ** 0.5).reshape(len(self), shape.numel())


@dataclass(frozen=True)
class SeededPopulation:
    """Members that stand for a common centre, a seed and a scale: ``center + scales[i] * noise(seeds[i])``.

    They are made when they are evaluated, a chunk at a time: memory does not grow with their number, and a member is
    the same in any chunk and in any process. Mirrored members share a seed.

    Args:
        center: (d,) the common vector.
        seeds: (n,) integers below 2**32, on the CPU.
        scales: (n,) floats, on the CPU.
    """

    center: Tensor
    seeds: Tensor
    scales: Tensor

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, members: slice) -> SeededPopulation:
        """The same population, restricted to a slice of its members."""
        return SeededPopulation(self.center, self.seeds[members], self.scales[members])

    def materialize(self) -> Tensor:
        """The members as a dense matrix (n, d)."""
        dense = torch.empty(len(self), len(self.center), device=self.center.device, dtype=self.center.dtype)
        for member, seed, scale in zip(dense, self.seeds.tolist(), self.scales.tolist(), strict=True):
            for part, noise in noise_blocks(seed, self.center):
                torch.add(self.center[part], noise, alpha=scale, out=member[part])
        return dense


def noise_blocks(seed: int, like: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The standard normal vector of a seed, in the shape of ``like`` (d,), as (where, values) block by block."""
    generator = torch.Generator(like.device).manual_seed(seed)
    for first in range(0, len(like), BLOCK):
        part = slice(first, min(first + BLOCK, len(like)))
        size = part.stop - part.start
        yield part, torch.randn(size, generator=generator, device=like.device, dtype=like.dtype)


Population = Tensor | LowRankPopulation | SeededPopulation


def materialize(population: Population) -> Tensor:
    """Any population as a dense matrix (n, d)."""
    return population if isinstance(population, Tensor) else population.materialize()
