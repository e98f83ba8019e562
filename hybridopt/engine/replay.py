"""Evaluations of populations that are recorded once, and replayed with other weights and other batches.

On a GPU a population of a small network is some dozens of operations of a few microseconds each, and Python needs
longer to launch them than the GPU to run them. A CUDA graph launches all of them at once
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). What is recorded has fixed shapes and places in
memory, and nothing of Python in it: a network that reads a number from the device (``.item()``), or makes shapes that
depend on data, cannot be recorded, and is run as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hybridopt.engine.memory import out_of_memory
from hybridopt.engine.modes import isolated_rng, recording
from hybridopt.errors import ConfigError, brief

log = logging.getLogger(__name__)

GRAPHS = ("none", "auto")
MOST = 32  # recordings, of which each keeps the memory of its activations; where more are wanted, nothing is gained
WARM_UP = 3  # runs before a CUDA graph is captured, in which libraries choose their kernels

Function = Callable[..., tuple[Tensor, int]]  # tensors to an answer, and what it costs in forwards
Replay = Callable[[], Tensor]  # the answer for what is in the places of the arguments now; overwritten by the next one
Recorder = Callable[[Callable[..., Tensor], Sequence[Tensor]], Replay]


def on_cuda(function: Callable[..., Tensor], arguments: Sequence[Tensor]) -> Replay:
    """Capture a CUDA graph of a function of these arguments, in whose places others are put before each replay."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            function(*arguments)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answer = function(*arguments)

    def replay() -> Tensor:
        graph.replay()
        return answer

    return replay


RECORDERS: dict[str, Recorder] = {"cuda": on_cuda}  # by the type of device; on others nothing is recorded


class Subject(NamedTuple):
    """What is recorded.

    Args:
        key: tells it from others.
        tensors: that it uses besides its arguments; once one of them is another tensor, it is recorded again.
    """

    key: Hashable
    tensors: Sequence[Tensor]


@dataclass
class Recording:
    """A replay, the places of its arguments, what it costs in forwards, and the tensors that it uses besides."""

    replay: Replay
    arguments: list[Tensor]
    cost: int
    tensors: Sequence[Tensor]

    def __call__(self, arguments: Sequence[Tensor]) -> tuple[Tensor, int]:
        for place, value in zip(self.arguments, arguments, strict=True):
            place.copy_(value)
        return self.replay().clone(), self.cost


class Replays:
    """Functions of tensors, run as they are at the first call of a form, and replayed from then on.

    Args:
        recorder: makes a replay of a function.
    """

    def __init__(self, recorder: Recorder):
        self._recorder: Recorder | None = recorder
        self._recordings: dict[Hashable, Recording | None] = {}

    def __call__(self, subject: Subject, function: Function, arguments: Sequence[Tensor]) -> tuple[Tensor, int]:
        """The answer of a function of these arguments, and its cost in forwards.

        Args:
            subject: what the function is.
            function: draws nothing, and depends on nothing but its arguments and the subject's tensors.
            arguments: with the same shapes and types as others before, it is replayed.
        """
        if self._recorder is None or torch.is_autocast_enabled(arguments[0].device.type):
            return function(*arguments)
        form = (subject.key, tuple(map(kind_of, arguments)), tuple(value.data_ptr() for value in subject.tensors))
        if form not in self._recordings:
            return self._first(self._recorder, form, subject, function, arguments)
        recording = self._recordings[form]
        return function(*arguments) if recording is None else recording(arguments)

    def _first(
        self, recorder: Recorder, form: Hashable, subject: Subject, function: Function, arguments: Sequence[Tensor]
    ) -> tuple[Tensor, int]:
        if len(self._recordings) == MOST:
            log.info("Evaluations are no longer recorded: after %d of them, others are asked for.", MOST)
            self._recorder, self._recordings = None, {}
            return function(*arguments)
        drawn = streams(arguments[0].device)
        answer, cost = function(*arguments)
        draws = not all(map(torch.equal, drawn, streams(arguments[0].device)))
        self._recordings[form] = None if draws else self._recorded(recorder, subject, function, arguments, cost)
        return answer, cost

    def _recorded(
        self, recorder: Recorder, subject: Subject, function: Function, arguments: Sequence[Tensor], cost: int
    ) -> Recording | None:
        places = [value.clone() for value in arguments]
        try:
            with isolated_rng(), recording():
                replay = recorder(lambda *values: function(*values)[0], places)
        except Exception as error:  # whatever cannot be recorded, each library says in its own way
            if out_of_memory(error):
                raise
            log.info("An evaluation cannot be recorded (%s): it is run as ever.", brief(error))
            return None
        return Recording(replay, places, cost, [value.detach() for value in subject.tensors])


def streams(device: torch.device) -> list[Tensor]:
    """The states of torch's global generators."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def kind_of(value: Tensor) -> Hashable:
    """What a recording is bound to."""
    return value.shape, value.dtype, value.device, value.stride()


def replays_for(graph: str, device: torch.device) -> Replays | None:
    """Where evaluations are recorded; None where they are not.

    Args:
        graph: one of :data:`GRAPHS`.
        device: of the network.

    Raises:
        ConfigError: there is no such setting.
    """
    if graph not in GRAPHS:
        raise ConfigError(f"oracle.graph must be {' or '.join(GRAPHS)}, but is {graph!r}.")
    recorder = RECORDERS.get(device.type) if graph == "auto" else None
    return None if recorder is None else Replays(recorder)
