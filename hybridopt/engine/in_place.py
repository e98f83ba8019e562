"""Large networks whose weights are in memory once: they share it with a vector, and are perturbed where they are used.

MeZO (Malladi et al. 2023, https://arxiv.org/abs/2305.17333) perturbs all weights in place and subtracts the
perturbation again, which leaves rounding errors. Here the weights stay as they are. Each operation that takes one is
given a perturbed copy, which is dropped after it: there is never more than what one operation takes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate, pairwise
from mmap import mmap
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten

from hybridopt.engine.memory import MEMORY, return_freed_memory
from hybridopt.engine.modes import casts_not_remembered
from hybridopt.engine.population import LowRankPopulation, MemberReader, SeededPopulation

LARGE = MEMORY // 2  # bytes of parameters from which on members are run one by one, and a copy of them counts
SLACK = 128  # the share of the parameters, one in so many, that is kept made besides what one operation takes
TRIM = 64  # the share that is made or freed, one in so many, before the allocator is to return what it keeps
EMBEDDING = torch.ops.aten.embedding.default


def unpooled(like: Tensor) -> Tensor:
    """An empty tensor on the CPU whose memory goes back to the system when it is dropped.

    In glibc's heap, where the network's parameters have been, tensors that come and go would not meet the gaps that
    those before them have left, since aligned blocks need larger ones, and would touch all that was free.
    """
    if not like.numel():
        return torch.empty(like.shape, dtype=like.dtype)
    return torch.frombuffer(mmap(-1, like.nbytes), dtype=like.dtype, count=like.numel()).view(like.shape)


class Missed(Exception):
    """Parameters were used past the dispatcher, or not at all: they must be swapped as wholes."""


def is_large(parameters: Iterable[Tensor]) -> bool:
    """Whether a copy of these parameters counts."""
    return sum(value.nbytes for value in parameters) >= LARGE


class SharedParameters:
    """Parameters of a network that lie one after the other in one vector (d,), or can be moved there.

    Args:
        module: the network.
        parameters: those that the vector stands for, by name, in its order: the tensors themselves.
    """

    def __init__(self, module: nn.Module, parameters: Mapping[str, Tensor]):
        self.module, self.parameters = module, dict(parameters)
        self.shapes = {name: value.shape for name, value in self.parameters.items()}
        ends = [*accumulate(value.numel() for value in self.parameters.values())]
        self.firsts, self.dimension = [0, *ends[:-1]], ends[-1]
        self.itemsize, self.begin = next(iter(self.parameters.values())).element_size(), 0
        self.swapped: set[str] = set()  # parameters that are swapped as wholes during a pass

    @property
    def fits(self) -> bool:
        """Whether a vector can hold the parameters as they are: of one kind, contiguous, and no two in one memory."""
        values = list(self.parameters.values())
        like = values[0]
        alike = all((value.dtype, value.device) == (like.dtype, like.device) for value in values)
        packed = like.device.type != "cpu" and any(isinstance(part, nn.RNNBase) for part in self.module.modules())
        return alike and not packed and all(value.is_contiguous() for value in values) and self._apart(values)

    @staticmethod
    def _apart(values: list[Tensor]) -> bool:
        """Whether no two share memory."""
        places = sorted((value.data_ptr(), value.data_ptr() + value.nbytes) for value in values)
        return all(end <= start for (_, end), (start, _) in pairwise(places))

    def is_in(self, vector: Tensor) -> bool:
        """Whether the parameters are in the memory of this vector."""
        base, places = vector.data_ptr(), zip(self.parameters.values(), self.firsts, strict=True)
        alike = vector.numel() == self.dimension and vector.element_size() == self.itemsize
        return alike and all(value.data_ptr() == base + self.itemsize * at for value, at in places)

    def gather(self) -> Tensor:
        """Move the parameters into a new vector (d,), which is returned, and free where they were, one by one.

        On a GPU, where memory is taken as soon as it is asked for, they go by way of the host's. A vector in which they
        are already, such as that of a search that has finished, is taken over.
        """
        like = next(iter(self.parameters.values()))
        if self._in_one_block(like):
            vector = like.detach().as_strided((self.dimension,), (1,), like.storage_offset())
            self.begin = vector.data_ptr()
            return vector
        vector, freed = torch.empty(self.dimension, dtype=like.dtype), 0
        for value, at in zip(self.parameters.values(), self.firsts, strict=True):
            part = vector[at : at + value.numel()].copy_(value.detach().view(-1))
            shape, freed = value.shape, freed + value.nbytes
            value.data = part.view(shape) if like.device.type == "cpu" else like.data.new_empty(0)
            if freed > self.dimension * self.itemsize // TRIM:
                return_freed_memory()
                freed = 0
        return_freed_memory()
        if like.device.type != "cpu":
            vector = vector.to(like.device)
        self._point(vector)
        return vector

    def move_into(self, vector: Tensor) -> None:
        """Make the parameters the values of a vector (d,), in its memory."""
        self._point(vector)
        return_freed_memory()

    def _in_one_block(self, first: Tensor) -> bool:
        home = first.untyped_storage().data_ptr()
        together = all(value.untyped_storage().data_ptr() == home for value in self.parameters.values())
        places = zip(self.parameters.values(), self.firsts, strict=True)
        return together and all(value.storage_offset() == first.storage_offset() + at for value, at in places)

    def _point(self, vector: Tensor) -> None:
        self.begin = vector.data_ptr()
        for (name, value), at in zip(self.parameters.items(), self.firsts, strict=True):
            shape = self.shapes[name]
            value.data = vector[at : at + shape.numel()].view(shape)

    @contextmanager
    def perturbed(self, population: SeededPopulation | LowRankPopulation) -> Iterator[None]:
        """Inside, the network is the first member of a population, while its parameters stay what they are.

        Raises:
            Missed: some parameters were not met; what was computed is void, and the next pass swaps them as wholes.
        """
        reader = MemberReader(population, 0) if isinstance(population, SeededPopulation) else LowRankReader(population)
        former = {name: self.parameters[name].data for name in self.swapped}
        mode = PerturbedWhereUsed(self, reader)
        try:
            for name in former:
                self.parameters[name].data = mode.made(name)
            with casts_not_remembered(), mode:
                yield
        finally:
            for name, data in former.items():
                self.parameters[name].data = data
        missed = (self.parameters.keys() - mode.met - self.swapped) | mode.past
        if missed - self.swapped:
            self.swapped |= missed
            raise Missed


class LowRankReader:
    """The first member of a low-rank population, read parameter by parameter: the bits of one that is made."""

    def __init__(self, population: LowRankPopulation):
        self.population = population

    def read(self, name: str, first: int, into: Tensor) -> None:
        """Fill a tensor with the values of a parameter, which is at place ``first`` of the centre."""
        population = self.population
        center = population.center[first : first + into.numel()].view(into.shape)
        if name in population.left:
            left, right = population.left[name][0].to(center), population.right[name][0].to(center)
            flat = center.flatten(1)
            torch.addmm(flat, left, right.mT, alpha=population.scale_of(name), out=into.view(flat.shape))
        else:
            torch.add(center, population.sigma * population.dense[name][0].to(center), out=into)


class PerturbedWhereUsed(TorchDispatchMode):
    """Gives operations perturbed copies of the parameters that they take.

    Attributes:
        met: the names of parameters that operations have taken.
        past: those whose memory was taken by other tensors than themselves.

    Args:
        shared: the parameters of the network.
        reader: reads the values of its parameters.
    """

    def __init__(self, shared: SharedParameters, reader: MemberReader | LowRankReader):
        super().__init__()
        self.shared, self.reader = shared, reader
        self.names = {id(value): name for name, value in shared.parameters.items() if name not in shared.swapped}
        self.places = dict(zip(shared.parameters, shared.firsts, strict=True))
        self.order = list(shared.parameters)
        first, size = next(iter(shared.parameters.values())), shared.dimension * shared.itemsize
        self.device, self.begin, self.end = first.device, shared.begin, shared.begin + size
        self.met: set[str] = set()
        self.past: set[str] = set()
        self.kept: OrderedDict[str, Tensor] = OrderedDict()  # what was made last, the oldest first
        self.slack, self.most = size // SLACK, 0
        self.step, self.since = size // TRIM, 0  # bytes made since the allocator was asked last

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        leaves, form = tree_flatten((args, kwargs or {}))
        taken = {i: self.names[id(leaf)] for i, leaf in enumerate(leaves) if id(leaf) in self.names}
        for i, leaf in enumerate(leaves):
            if i not in taken and isinstance(leaf, Tensor):
                self._note(leaf)
        if not taken:
            return func(*args, **(kwargs or {}))
        self.met |= {*taken.values()}
        seeded = self.reader if isinstance(self.reader, MemberReader) else None
        if func is EMBEDDING and seeded is not None and len(taken) == 1 and self._few(args[0], args[1]):
            rows, index = args[1].unique(return_inverse=True)
            return func(self._rows(seeded, taken[0], rows), index, *args[2:], **(kwargs or {}))
        self._make_room({*taken.values()})
        for i, name in taken.items():
            leaves[i] = self._value(name)
        args, more = cast("tuple[tuple, dict[str, Any]]", tree_unflatten(leaves, form))
        return func(*args, **more)

    def made(self, name: str) -> Tensor:
        """A parameter's values, in a tensor of their own."""
        like = self.shared.parameters[name]
        self.since += like.nbytes
        if self.since > self.step and self.device.type == "cpu":
            return_freed_memory()  # activations, too, would touch all the heap that the parameters have left
            self.since = 0
        values = unpooled(like) if self.device.type == "cpu" else torch.empty_like(like, requires_grad=False)
        if isinstance(self.reader, MemberReader):
            self.reader.read(self.places[name], values)
        else:
            self.reader.read(name, self.places[name], values)
        return values

    def _value(self, name: str) -> Tensor:
        if name not in self.kept:
            self.kept[name] = self.made(name)
        self.kept.move_to_end(name)
        return self.kept[name]

    def _make_room(self, names: set[str]) -> None:
        """Drop what was made longest ago, until what an operation takes fits in."""
        needed = sum(self.shared.parameters[name].nbytes for name in names)
        self.most = max(self.most, needed)
        others = [name for name in self.kept if name not in names]
        held = sum(self.kept[name].nbytes for name in others)
        for name in others:
            if needed + held <= self.most + self.slack:
                break
            held -= self.kept.pop(name).nbytes

    def _note(self, tensor: Tensor) -> None:
        """Learn of tensors in the vector's memory that are no parameters, such as views made before."""
        if tensor.layout is not torch.strided or tensor.device != self.device:
            return
        if self.begin <= (place := tensor.data_ptr()) < self.end:
            self.past.add(
                self.order[bisect_right(self.shared.firsts, (place - self.begin) // self.shared.itemsize) - 1]
            )

    @staticmethod
    def _few(weight: Tensor, indices: Tensor) -> bool:
        """Whether few rows are wanted, all of which there are; where one is not, the operation itself says so."""
        few = 0 < 2 * indices.numel() < len(weight)
        return few and int(indices.min()) >= 0 and int(indices.max()) < len(weight)

    def _rows(self, reader: MemberReader, name: str, rows: Tensor) -> Tensor:
        """Some rows of a matrix (k, n), rows (k,) being in order: noise is drawn for all, and kept for these."""
        weight = self.shared.parameters[name]
        width, first = weight.shape[1], self.places[name]
        values = weight.new_empty(len(rows), width, requires_grad=False)
        starts = (first + width * rows).tolist()
        columns = torch.arange(width, device=rows.device)
        low = 0
        for k in reader.blocks(first, first + weight.numel()):
            part = reader.parts[k]
            low = bisect_right(starts, part.start - width, low)
            high = bisect_right(starts, part.stop - 1, low)
            if low < high:
                places = first + width * rows[low:high, None] + columns - part.start
                inside = (places >= 0) & (places < part.stop - part.start)
                values[low:high][inside] = reader.block(k)[places[inside]]
        return values
