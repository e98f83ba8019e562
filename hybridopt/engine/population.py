"""Populations that are not a plain matrix.

A population is usually a dense tensor ``(n, d)``: one candidate a row. Where a matrix of that size would be the cost,
its members can be kept in a smaller form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from hybridopt.engine.sharding import SingleProcess, shared

BLOCK = 2**18  # values of noise that are made at a time
SHORT = 2**15  # values of a window that is cheaper copied than met by a call of its own
REUSE = 8  # windows that a value of a noise table is in, on average
LONGEST = 2**24  # values of a noise table, 64 MB


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
    """Members that stand for a common centre, a seed and a scale: ``center + scales[i] * widths * noise(seeds[i])``.

    They are made when they are evaluated, a chunk at a time: memory does not grow with their number, and a member is
    the same in any chunk and in any process. Mirrored members share a seed.

    Args:
        center: (d,) the common vector.
        seeds: (n,) integers below 2**32, on the CPU.
        scales: (n,) floats, on the CPU.
        table: (T,) standard normal values of which a seed's noise is a window of length d, as in Salimans et al. 2017
            (https://arxiv.org/abs/1703.03864); None to draw each seed's noise by itself, which takes ten times longer.
        widths: (d,) standard deviations of the noise in each coordinate; ones if None.
    """

    center: Tensor
    seeds: Tensor
    scales: Tensor
    table: Tensor | None = None
    widths: Tensor | None = None

    def __len__(self) -> int:
        return self.seeds.shape[0]  # which is quicker than len()

    def __getitem__(self, members: slice) -> SeededPopulation:
        """The same population, restricted to a slice of its members."""
        return replace(self, seeds=self.seeds[members], scales=self.scales[members])

    def materialize(self) -> Tensor:
        """The members as a dense matrix (n, d)."""
        if self._gathers:
            scales = self.scales.to(self.center)[:, None] * (1.0 if self.widths is None else self.widths)
            return torch.addcmul(self.center, self._windows(slice(None)), scales)
        dense = self.center.new_empty(len(self), len(self.center))
        for i, row in enumerate(dense.unbind()):
            self._write(i, row)
        return dense

    def written(self, vector: Tensor) -> Iterator[None]:
        """Write one member after the other into a vector (d,)."""
        if self._gathers:
            for row in self.materialize().unbind():
                vector.copy_(row)
                yield
        else:
            for i in range(len(self)):
                self._write(i, vector)
                yield

    def _write(self, i: int, vector: Tensor) -> None:
        center, scale = self.center, self._members[i][1]
        for part, noise in self._widened(i):
            whole = len(noise) == len(center)  # a slice costs as much as the sum of a short vector
            base, into = (center, vector) if whole else (center[part], vector[part])
            torch.add(base, noise, alpha=scale, out=into)

    def member(self, i: int) -> Iterator[tuple[slice, Tensor]]:
        """Member i block by block: (where, values)."""
        scale = self._members[i][1]
        for part, noise in self._widened(i):
            yield part, torch.add(self.center[part], noise, alpha=scale)

    def weighted_noise(self, weights: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """sum_i weights_i noise(seeds_i) over the first len(weights) members, block by block: (where, values).

        The noise is standard normal, whatever the ``widths``."""
        if self._gathers:
            rows = max(1, BLOCK // len(self.center))
            parts = zip(weights.split(rows), range(0, len(weights), rows), strict=True)
            sums = (few @ self._windows(slice(first, first + len(few))) for few, first in parts)
            yield slice(None), cast(Tensor, sum(sums))
            return
        if len(self.center) <= BLOCK:
            yield slice(None), self._short_sum(weights.tolist())
            return
        streams = [(iter(self._noise(i)), weight) for i, weight in enumerate(weights.tolist())]

        def add(members: slice, total: Tensor) -> None:
            for stream, weight in streams[members]:
                total.add_(next(stream)[1], alpha=weight)

        parts = [*blocks(len(self.center))]
        group = shared() if self.table is None else SingleProcess()  # a window costs less than its way to another
        yield from zip(parts, group.in_turn(len(weights), [self.center[part] for part in parts], add), strict=True)

    def _short_sum(self, weights: list[float]) -> Tensor:
        """The sum of noise that is made in one block."""
        total: Tensor | None = None
        for i, weight in enumerate(weights):
            ((_, noise),) = self._noise(i)
            total = noise * weight if total is None else total.add_(noise, alpha=weight)
        return torch.zeros_like(self.center) if total is None else total

    @property
    def _gathers(self) -> bool:
        """Whether windows are so short that they are best copied from the table all at once."""
        return self.table is not None and len(self.center) <= SHORT

    def _windows(self, members: slice) -> Tensor:
        """Noise (k, d) of some members, from the table."""
        table = cast(Tensor, self.table)
        places = self.seeds[members] % (len(table) - len(self.center) + 1)
        return torch.index_select(table.unfold(0, len(self.center), 1), 0, places.to(table.device))

    def _widened(self, i: int) -> Iterable[tuple[slice, Tensor]]:
        """Member i's noise times ``widths``, block by block; not to be written to."""
        if self.widths is None:
            return self._noise(i)
        return ((part, self.widths[part] * noise) for part, noise in self._noise(i))

    def _noise(self, i: int) -> Iterable[tuple[slice, Tensor]]:
        """Member i's noise block by block; not to be written to."""
        seed, d, table = self._members[i][0], len(self.center), self.table
        if table is not None:
            place = seed % (len(table) - d + 1)
            return ((part, table[place + part.start : place + part.stop]) for part in blocks(d))
        if len(self._members) * d > BLOCK:
            return noise_blocks(seed, self.center)
        if seed not in self._drawn:
            self._drawn[seed] = [*noise_blocks(seed, self.center)]
        return self._drawn[seed]

    @cached_property
    def _members(self) -> list[tuple[int, float]]:
        """The seed and the scale of each."""
        return [*zip(self.seeds.tolist(), self.scales.tolist(), strict=True)]

    @cached_property
    def _drawn(self) -> dict[int, list[tuple[slice, Tensor]]]:
        """Each seed's noise, where all of it is less than a block: mirrored members share it, and the update."""
        return {}


def table_size(noises: int, d: int) -> int | None:
    """How long a table for so many noise vectors of length d should be; None where drawing them one by one is better.

    Windows overlap, each at an offset of its own, where their values are as good as independent: estimates of a
    gradient stay unbiased, for a table that is new in each generation, and their variance stays what it was.
    """
    size = max(4 * d, min(noises * d // REUSE, LONGEST))
    return size if 2 * size <= noises * d and size <= LONGEST else None


def blocks(d: int) -> Iterator[slice]:
    """The parts of a vector of length d."""
    for first in range(0, d, BLOCK):
        yield slice(first, min(first + BLOCK, d))


def noise_blocks(seed: int, like: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The standard normal vector of a seed, in the shape of ``like`` (d,), as (where, values) block by block."""
    generator = torch.Generator(like.device).manual_seed(seed)
    for part in blocks(len(like)):
        size = part.stop - part.start
        yield part, torch.randn(size, generator=generator, device=like.device, dtype=like.dtype)


class MemberReader:
    """One member of a seeded population, read part by part and in any order, without making the whole of it.

    What is read has the bits that :meth:`SeededPopulation.member` gives: values are made in the same blocks. The state
    of the generator before each block is kept, which is a two-hundredth of a block.

    Args:
        population: of whose members one is read.
        i: which.
    """

    def __init__(self, population: SeededPopulation, i: int):
        self.population, self.scale, self.seed = population, float(population.scales[i]), int(population.seeds[i])
        self.parts = list(blocks(len(population.center)))
        self._generator = torch.Generator(population.center.device).manual_seed(self.seed)
        self._states = [self._generator.get_state()]
        self._next = 0  # the block that the generator draws next
        self._made, self._size = -1, self.parts[0].stop
        self._values, self._drawn = (population.center.new_empty(self._size) for _ in range(2))

    def read(self, first: int, into: Tensor) -> None:
        """Fill a contiguous tensor with the values from place ``first`` on."""
        flat = into.view(-1)
        last = first + len(flat)
        for k in self.blocks(first, last):
            begin = self.parts[k].start
            start, stop = max(first, begin), min(last, self.parts[k].stop)
            flat[start - first : stop - first] = self.block(k)[start - begin : stop - begin]

    def blocks(self, first: int, last: int) -> range:
        """The blocks in which the places from ``first`` to before ``last`` are."""
        return range(first // self._size, -(-last // self._size))

    def block(self, k: int) -> Tensor:
        """The values of block k; not to be written to, and there until another block is asked for."""
        part, center, widths = self.parts[k], self.population.center, self.population.widths
        values = self._values[: part.stop - part.start]
        if self._made != k:
            noise = self._noise(k)
            noise = noise if widths is None else widths[part] * noise
            self._made, _ = k, torch.add(center[part], noise, alpha=self.scale, out=values)
        return values

    def _noise(self, k: int) -> Tensor:
        part, like, table = self.parts[k], self.population.center, self.population.table
        if table is not None:
            place = self.seed % (len(table) - len(like) + 1)
            return table[place + part.start : place + part.stop]
        if k != self._next:
            self._next = min(k, len(self._states) - 1)
            self._generator.set_state(self._states[self._next])
        while self._next < k:
            self._draw(self.parts[self._next])
        return self._draw(part)

    def _draw(self, part: slice) -> Tensor:
        noise = self._drawn[: part.stop - part.start].normal_(generator=self._generator)  # as torch.randn makes it
        self._next += 1
        if self._next == len(self._states):
            self._states.append(self._generator.get_state())
        return noise


Population = Tensor | LowRankPopulation | SeededPopulation


def materialize(population: Population) -> Tensor:
    """Any population as a dense matrix (n, d)."""
    return population if isinstance(population, Tensor) else population.materialize()
