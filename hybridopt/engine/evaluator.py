"""Answers of all members of a population: in chunks that fit into memory, shared out over processes, and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from hybridopt.engine import trees
from hybridopt.engine.forward import PopulationForward
from hybridopt.engine.in_place import Missed
from hybridopt.engine.memory import out_of_memory
from hybridopt.engine.modes import NOTHING
from hybridopt.engine.normalisation import by_running_statistics
from hybridopt.engine.parameters import Parameters
from hybridopt.engine.population import LowRankPopulation, Population, SeededPopulation, materialize
from hybridopt.engine.precision import population_forward
from hybridopt.engine.replay import Replays, Subject, replays_for
from hybridopt.engine.sharding import Sharding, SingleProcess, sharing
from hybridopt.engine.trees import Inputs

log = logging.getLogger(__name__)

LARGEST = 2**24  # numbers of a chunk's members that a recording keeps a place for; larger ones are no small operations

Batch = tuple[Inputs, Tensor]
Ask = Callable[["Passes", Batch], Tensor]  # what is made of the forward passes: (members of the chunk, ...)
Run = Callable[[Any, Batch], tuple[Tensor, int]]  # a chunk and a batch to answers, and their cost in forwards
Prepare = Callable[[Population], AbstractContextManager[Parameters]]  # a chunk's parameters by name


class Evaluator:
    """Runs one network under the parameters of many members.

    Args:
        module: the network.
        mode: how a population is run: "auto", "vmap" or "loop".
        chunk: how many members are run at a time: "auto" or a number.
        dropout: whether dropout is on, each member with draws of its own.
        batch_statistics: whether batches are normalised by their own statistics.
        sharding: how a population is shared out over processes; one process evaluates all if None.
        precision: of the network's passes, "float32" or "bf16".
        graph: "auto" records evaluations and replays them, where the device can (:mod:`hybridopt.engine.replay`).
    """

    def __init__(
        self,
        module: nn.Module,
        mode: str = "auto",
        chunk: Literal["auto"] | int = "auto",
        dropout: bool = False,
        batch_statistics: bool = False,
        sharding: Sharding | None = None,
        precision: str = "float32",
        graph: str = "none",
    ):
        self.forward = population_forward(module, mode, precision)
        self.sharding = sharding or SingleProcess()
        self._chunk = chunk
        self._chunks: dict[tuple[tuple[int, ...], ...], int] = {}
        replays = replays_for(graph, next(module.parameters()).device)
        self._replays = replays if precision == "float32" and not dropout else None
        self._modes = {"dropout": dropout, "batch_statistics": batch_statistics}

    def evaluating(self) -> AbstractContextManager[None]:
        """Inside, the network is as populations are evaluated, and its processes share long sums; entering it again
        inside costs nothing.
        """
        ready = self.forward.evaluating(**self._modes)
        return ready if isinstance(self.sharding, SingleProcess) else self._sharing(ready)

    @contextmanager
    def _sharing(self, ready: AbstractContextManager[None]) -> Iterator[None]:
        with sharing(self.sharding), ready:
            yield

    def __call__(
        self,
        population: Population,
        batch: Batch,
        ask: Ask,
        prepare: Prepare,
        graph: bool = False,
        subject: Subject | None = None,
    ) -> tuple[Tensor, int]:
        """Every member's answer: this process evaluates its part, and receives the others'.

        Args:
            population: n members.
            batch: inputs (B, ...), or a tree of such tensors, that all members share, and targets.
            ask: called for each chunk with a function that runs its members, and with the batch.
            prepare: gives the parameters of a chunk, for as long as it is run.
            graph: whether ``ask`` differentiates.
            subject: what ``ask`` and ``prepare`` are, if the evaluation may be recorded; else None.

        Returns:
            (n, ...), and what it cost in forwards, on all processes together.
        """
        members = len(population)
        part = sliced(population, self.sharding.part(members), members)
        apart = self.sharding.per_rank_rng() if self._modes["dropout"] else NOTHING
        alone = by_running_statistics(self.forward.module) if trees.samples(batch[0]) == 1 else NOTHING
        with apart, self.evaluating(), alone, grad_enabled(graph):
            answers, cost = self._in_chunks(part, batch, self._runner(ask, prepare, subject))
        return self.sharding.gather(answers, members, cost)

    def chunk_size(self, inputs: Inputs) -> int:
        """How many members are run at a time on inputs (B, ...)."""
        shape = trees.shape_key(inputs)
        if shape not in self._chunks:
            self._chunks[shape] = self.forward.workload(inputs).chunk if self._chunk == "auto" else int(self._chunk)
        return self._chunks[shape]

    def _runner(self, ask: Ask, prepare: Prepare, subject: Subject | None) -> Run:
        """What evaluates a chunk on a batch."""

        run = partial(self._one_chunk, ask, prepare)
        if subject is None or self._replays is None:
            return run
        return partial(self._replayed, self._replays, subject, run)

    def _replayed(
        self,
        replays: Replays,
        subject: Subject,
        run: Run,
        chunk: Population,
        batch: Batch,
    ) -> tuple[Tensor, int]:
        if isinstance(chunk, LowRankPopulation) or len(chunk) * chunk_width(chunk) > LARGEST:
            return run(chunk, batch)
        inputs, targets = batch

        def function(vectors: Tensor, targets: Tensor, *leaves: Tensor) -> tuple[Tensor, int]:
            return run(vectors, (trees.rebuilt(inputs, leaves), targets))

        own = [*self.forward.module.parameters(), *self.forward.module.buffers()]
        what = Subject(subject.key, [*subject.tensors, *own])
        return replays(what, function, [materialize(chunk), targets, *trees.leaves(inputs)])

    def _in_chunks(self, population: Population, batch: Batch, run: Run) -> tuple[Tensor, int]:
        members, inputs = len(population), batch[0]
        size = min(self.chunk_size(inputs), members)
        parts, cost, first = [], 0, 0
        while first < members:
            try:
                chunk = population if size == members else sliced(population, slice(first, first + size), members)
                part, spent = run(chunk, batch)
            except Missed:
                continue  # once: it is known now which parameters
            except Exception as error:
                if size == 1 or not out_of_memory(error):
                    raise
                size = self._halve_chunk(size, inputs)
                continue
            parts.append(part)
            cost += spent  # after the work: a chunk that ran out of memory counts once, when it is done
            first += size
        return torch.cat(parts) if len(parts) > 1 else parts[0], cost

    def _one_chunk(self, ask: Ask, prepare: Prepare, population: Population, batch: Batch) -> tuple[Tensor, int]:
        with prepare(population) as parameters:
            passes = Passes(self.forward, parameters, batch[0], len(population))
            return ask(passes, batch), passes.cost

    def _halve_chunk(self, size: int, inputs: Inputs) -> int:
        self._chunks[trees.shape_key(inputs)] = size = size // 2
        log.warning("Memory ran out: the population is run in chunks of %d from here on.", size)
        return size


class Passes:
    """The networks of a chunk's members, as an objective sees them; what is asked of them is counted.

    Attributes:
        module: the network.
        cost: of the passes so far, in forwards.

    Args:
        run: runs the network.
        parameters: of the members, by name.
        inputs: of the batch, which all members share.
        members: how many they are.
    """

    def __init__(self, run: PopulationForward, parameters: Parameters, inputs: Inputs, members: int):
        self.module, self.cost = run.module, 0
        self._run, self._parameters, self._inputs, self._members = run, parameters, inputs, members

    def __call__(self, inputs: Inputs) -> Tensor:
        """One pass: inputs (B, ...) for all members, or (n, B, ...), to (n, B, ...)."""
        shared = inputs is self._inputs or trees.rank(inputs) <= trees.rank(self._inputs)
        outputs = self._run(self._parameters, inputs, shared)
        self.cost += outputs.shape[0] * (trees.samples(inputs) if shared else trees.leaves(inputs)[0].shape[1])
        return outputs

    def weights(self) -> dict[str, Tensor]:
        """The parameters by name (n, \\*shape); of those that no member replaces, the network's own."""
        return {
            name: cast(Tensor, self._parameters[name])
            if name in self._parameters
            else value.detach().expand(self._members, *value.shape)
            for name, value in self.module.named_parameters()
        }


def chunk_width(chunk: Tensor | SeededPopulation) -> int:
    """d, how many numbers a member has."""
    return chunk.shape[1] if isinstance(chunk, Tensor) else len(chunk.center)


def grad_enabled(wanted: bool) -> AbstractContextManager[Any]:
    """Inside, torch differentiates or does not; where it is so already there is nothing to enter."""
    return NOTHING if torch.is_grad_enabled() == wanted else torch.set_grad_enabled(wanted)


def sliced(population: Population, part: slice, members: int) -> Population:
    """A population of so many members restricted to a slice of them; the population itself if these are all."""
    whole = part.start == 0 and part.stop >= members
    return population if whole else population[part.start : min(part.stop, members)]
