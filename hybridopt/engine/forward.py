"""Running many networks of one architecture: vectorised, or one by one where that is better or vmap cannot go."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt.engine import threads, trees
from hybridopt.engine.low_rank import Interception, LowRankWeight
from hybridopt.engine.modes import NOTHING, is_recording, isolated_rng
from hybridopt.engine.parameters import LowRankParameter, Parameters, each
from hybridopt.engine.sharding import as_bytes
from hybridopt.engine.stage import Stage, call_with
from hybridopt.engine.trees import Inputs
from hybridopt.engine.vectors import Vectors, size, some
from hybridopt.engine.workload import Workload, measure
from hybridopt.errors import brief

log = logging.getLogger(__name__)

FEW = 6  # minimum population size for vmap on a small network
SMALL = 5e8  # floating-point operations of a population below which a second thread costs more than it saves


class OfOne:
    """The forward passes of a population of one: the module as it is.

    Args:
        module: the network.
        inputs: (B, ...); what is asked for has their rank, or, as one member's own, (1, B, ...).
    """

    def __init__(self, module: nn.Module, inputs: Inputs):
        self.module, self._rank = module, trees.rank(inputs)

    def __call__(self, inputs: Inputs) -> Tensor:
        """Inputs to outputs (1, B, ...)."""
        shared = trees.rank(inputs) <= self._rank
        return self.module(inputs if shared else trees.rows(inputs, 0))[None]

    def weights(self) -> dict[str, Tensor]:
        """The parameters by name (1, \\*shape)."""
        return {name: value[None] for name, value in self.module.named_parameters()}


def cast_all(parameters: Parameters, cast: Callable[[Any], Any]) -> Parameters:
    """The parameters of all members in another type."""
    return {name: cast(value) for name, value in parameters.items()}


class Evaluating(AbstractContextManager[None]):
    """Inside, populations are run: what a class costs is a third of what a generator does, at each step.

    Args:
        forward: which ones.
        modes: of the network.
    """

    def __init__(self, forward: PopulationForward, modes: dict[str, bool]):
        self.forward, self.modes = forward, modes

    def __enter__(self) -> None:
        self.forward.enter(**self.modes)

    def __exit__(self, *_: object) -> None:
        self.forward.leave()


class PopulationForward:
    """Evaluates one module under many sets of parameters, without touching the module.

    Args:
        module: the network. Buffers stay as they are.
        mode: "vmap", "loop", or "auto": the loop where one network keeps a CPU busy, or where a trial of two members
            shows that vmap cannot run it or gives other outputs; else vmap.
        cast: makes the module's kind of parameters of those that are given, just before they are used; none if None.
    """

    def __init__(self, module: nn.Module, mode: str = "auto", cast: Callable[[Any], Any] | None = None):
        self.module = module
        self.mode = mode
        self.cast = cast
        self._chosen: dict[tuple[Any, ...], str] = {}
        self._workloads: dict[tuple[tuple[int, ...], ...], Workload] = {}
        self._stage: Stage | None = None  # while the module is evaluated
        self._kept: Stage | None = None
        self._divisible: dict[tuple[Any, ...], bool] = {}
        self._twins: list[PopulationForward] = []  # of the module as it is while it is evaluated

    def evaluating(self, **modes: bool) -> AbstractContextManager[None]:
        """As :func:`evaluating`, for as many calls as come inside: entering it again costs nothing."""
        return Evaluating(self, modes) if self._stage is None else NOTHING

    def enter(self, **modes: bool) -> None:
        """Be as :func:`evaluating` says until :meth:`leave`."""
        if self._kept is None or self._kept.module is not self.module or not self._kept.stands:
            self._kept = Stage(self.module)
        self._stage = self._kept
        try:
            self._stage.enter(**modes)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Be as before."""
        stage, self._stage, self._twins = self._stage, None, []
        if stage is not None:
            stage.leave()

    def workload(self, inputs: Inputs) -> Workload:
        """What one network takes for inputs (B, ...) of this shape."""
        shape = trees.shape_key(inputs)
        if shape not in self._workloads:
            self._workloads[shape] = measure(self.module, inputs)
        return self._workloads[shape]

    def __call__(self, parameters: Parameters, inputs: Inputs, shared: bool) -> Tensor:
        """Outputs of every member.

        Args:
            parameters: by name, for all members.
            inputs: (B, ...) if shared, else (n, B, ...); a tensor, or a tree of them.
            shared: whether all members see the same inputs.

        Returns:
            (n, B, ...).
        """
        if not parameters:  # the module as it is
            return (self._stage or Stage(self.module)).run({}, inputs if shared else trees.rows(inputs, 0))[None]
        mode, number = self._mode(parameters, inputs, shared), self._threads(parameters, inputs, shared)
        run = self._run if number == 1 else partial(self._by_threads, number)
        return run(mode, parameters, inputs, shared)

    def _run(self, mode: str, parameters: Parameters, inputs: Inputs, shared: bool) -> Tensor:
        return (self._vmap if mode == "vmap" else self._loop)(parameters, inputs, shared)

    def _mode(self, parameters: Parameters, inputs: Inputs, shared: bool) -> str:
        if self.mode != "auto":
            return self.mode
        if size(parameters) < FEW:
            return "loop"  # so few gain less from vmap than it costs
        vectors = isinstance(parameters, Vectors)
        low_rank = not vectors and any(isinstance(value, LowRankParameter) for value in parameters.values())
        key = (trees.shape_key(inputs), shared, low_rank)
        if key not in self._chosen:
            self._chosen[key] = self._choose(parameters, inputs, shared, low_rank)
        return self._chosen[key]

    def _choose(self, parameters: Parameters, inputs: Inputs, shared: bool, low_rank: bool) -> str:
        if any(part.training for part in self.module.modules()):
            return "loop"  # no trial can tell whether draws, or statistics, are each member's own
        if trees.device(inputs).type == "cpu":
            workload = self.workload(inputs if shared else trees.rows(inputs, 0))
            saves = low_rank and workload.parameters > workload.activations  # the products by the centre are shared
            if workload.busy and not saves:
                return "loop"
        return "vmap" if self._vmap_agrees(parameters, inputs, shared) else "loop"

    def _vmap_agrees(self, parameters: Parameters, inputs: Inputs, shared: bool) -> bool:
        few = {**some(parameters, slice(0, 2))}
        inputs = inputs if shared else trees.rows(inputs, slice(0, 2))
        with isolated_rng(), torch.no_grad():
            reference = self._loop(few, inputs, shared)
        name = type(self.module).__name__
        try:
            with isolated_rng(), torch.no_grad():
                vectorised = self._vmap(few, inputs, shared)
        except Exception as error:  # whatever vmap cannot do, it says in its own many ways
            log.info("%s cannot be vectorised (%s): members run one by one.", name, brief(error))
            return False
        exact = reference.dtype not in (torch.bfloat16, torch.float16)
        tolerance = {"rtol": 1e-3, "atol": 1e-4} if exact else {"rtol": 0.1, "atol": 0.1}
        agrees = torch.allclose(vectorised.float(), reference.float(), **tolerance, equal_nan=True)
        if not agrees:
            log.info("%s gives other outputs under vmap: members run one by one.", name)
        return agrees

    def _vmap(self, parameters: Parameters, inputs: Inputs, shared: bool) -> Tensor:
        with without_advice():
            return self._vectorised(parameters, inputs, shared)

    def _vectorised(self, parameters: Parameters, inputs: Inputs, shared: bool) -> Tensor:
        if self.cast is not None:
            parameters = cast_all(parameters, self.cast)
        low = {name: value for name, value in parameters.items() if isinstance(value, LowRankParameter)}
        dense = {name: value for name, value in parameters.items() if name not in low}
        factors = {name: (value.left, value.right) for name, value in low.items()}

        def member(dense: dict[str, Tensor], factors: dict[str, tuple[Tensor, Tensor]], inputs: Inputs) -> Tensor:
            weights = {name: LowRankWeight(low[name].center, *pair, low[name].scale) for name, pair in factors.items()}
            return call_with(self.module, {**dense, **weights}, inputs)

        vectorised = torch.vmap(member, in_dims=(0, 0, None if shared else 0), randomness="different")
        with Interception(torch.is_autocast_enabled(trees.device(inputs).type)):
            return vectorised(dense, factors, inputs)

    def _loop(self, parameters: Parameters, inputs: Inputs, shared: bool) -> Tensor:
        stage = self._stage or Stage(self.module)
        number = size(parameters)
        rows = [inputs] * number if shared else [trees.rows(inputs, i) for i in range(number)]
        few = parameters if self.cast is None else cast_all(some(parameters, slice(0, 1)), self.cast)
        traced = torch.is_grad_enabled() or is_recording()  # which does not lead through .data
        stands_in = not traced and stage.can_hold(few)
        if stands_in and isinstance(few, Vectors) and few.best_written:
            outputs = stage.run_written(few, rows)
        elif stands_in:
            outputs = stage.run_each(parameters, self._each(parameters), rows)
        else:
            named = (dict(zip(parameters, member, strict=True)) for member in self._each(parameters))
            outputs = [call_with(self.module, one, own) for one, own in zip(named, rows, strict=True)]
        return torch.stack(outputs) if len(outputs) > 1 else outputs[0][None]

    def _each(self, parameters: Parameters) -> Iterator[tuple[Tensor, ...]]:
        """One member's parameters after the other's, cast so that what is made is in the cache when it is used."""
        return each(parameters) if self.cast is None else (tuple(map(self.cast, member)) for member in each(parameters))

    # -- by several threads ------------------------------------------------------------------------------------------

    def _threads(self, parameters: Parameters, inputs: Inputs, shared: bool) -> int:
        """How many threads are to run the members."""
        number = min(size(parameters) // 2, threads.count())
        if number < 2 or trees.device(inputs).type != "cpu" or not self._without_effects():
            return 1
        workload = self.workload(inputs if shared else trees.rows(inputs, 0))
        return number if workload.flops * size(parameters) >= SMALL else 1

    def _without_effects(self) -> bool:
        """Whether nothing is known that a pass does besides its outputs, or that another thread would not know of."""
        if self._stage is None or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            return False
        modes = torch._C._len_torch_dispatch_stack() + torch._C._len_torch_function_stack()
        parts = self._stage.parts
        return not modes and not any(one.training or one._forward_hooks or one._forward_pre_hooks for one in parts)

    def _by_threads(self, number: int, mode: str, parameters: Parameters, inputs: Inputs, shared: bool) -> Tensor:
        """The same outputs, bit for bit; that they are the same is tried at the first population of a form."""
        vectors = isinstance(parameters, Vectors)
        low_rank = () if vectors else tuple(k for k, value in parameters.items() if isinstance(value, LowRankParameter))
        key = (trees.shape_key(inputs), shared, low_rank, size(parameters), number, mode)
        if key in self._divisible:
            run = partial(self._divided, number) if self._divisible[key] else self._run
            return run(mode, parameters, inputs, shared)
        drawn = torch.get_rng_state()
        whole = self._run(mode, parameters, inputs, shared)
        draws = not torch.equal(drawn, torch.get_rng_state())  # in which order threads would, no one knows
        self._divisible[key] = not draws and self._agrees(whole, number, mode, parameters, inputs, shared)
        return whole

    def _agrees(self, whole: Tensor, *population: Any) -> bool:
        name = type(self.module).__name__
        try:
            divided = self._divided(*population)
        except Exception as error:  # whatever a copy of the network cannot do
            log.info("%s is not run by several threads (%s).", name, brief(error))
            return False
        same = divided.stride() == whole.stride() and torch.equal(as_bytes(divided), as_bytes(whole))
        if not same:
            log.info("%s gives other outputs where several threads run copies of it: one runs it.", name)
        return same

    def _divided(self, number: int, mode: str, parameters: Parameters, inputs: Inputs, shared: bool) -> Tensor:
        while len(self._twins) < number - 1:
            other = PopulationForward(threads.twin(self.module), mode, self.cast)
            other._stage = Stage(other.module)
            self._twins.append(other)
        tasks = [
            partial(
                forward._vectorised if mode == "vmap" else forward._loop,
                some(parameters, part),
                inputs if shared else trees.rows(inputs, part),
                shared,
            )
            for forward, part in zip([self, *self._twins], threads.shares(size(parameters), number), strict=False)
        ]
        with without_advice():  # here, since the filters of warnings are those of all threads
            return threads.joined(threads.each(tasks))


@contextmanager
def without_advice() -> Iterator[None]:
    """Inside, torch does not warn of what runs member by member for want of a rule."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        yield
