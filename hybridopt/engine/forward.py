"""Running many networks of one architecture: vectorised, or one by one where that is better or vmap cannot go."""

from __future__ import annotations

import ctypes
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from hybridopt.engine.low_rank import Interception, LowRankWeight
from hybridopt.errors import brief

log = logging.getLogger(__name__)

MEMORY = 128 * 2**20  # bytes of activations and parameters that a chunk of members may take
BUSY = 2e6  # floating-point operations a call from which on one network keeps a CPU busy, and vmap gains nothing
FEW = 6  # members from which vmap pays on a small network

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


@dataclass(frozen=True)
class Workload:
    """What one pass of a network over a batch takes.

    It decides how populations are run. It is counted, not timed: a choice that depends on the clock would differ from
    run to run, and with it the last digits of every loss.

    Args:
        flops: floating-point operations of matrix products and convolutions.
        calls: kernels launched.
        activations: values that they write.
        parameters: values in the network.
    """

    flops: int
    calls: int
    activations: int
    parameters: int

    @property
    def busy(self) -> bool:
        """Whether one network alone keeps a CPU busy."""
        return self.flops > BUSY * self.calls

    @property
    def chunk(self) -> int:
        """How many members fit into :data:`MEMORY`."""
        return max(1, MEMORY // (4 * (self.activations + self.parameters)))


def measure(module: nn.Module, inputs: Tensor) -> Workload:
    """Run the network once and count; inputs (B, ...)."""
    fused, kernels = torch.backends.mha.get_fastpath_enabled(), Kernels()
    torch.backends.mha.set_fastpath_enabled(False)  # fused kernels hide their operations
    try:
        with evaluating(module), isolated_rng(), FlopCounterMode(display=False) as counter, kernels:
            call_with(module, {}, inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Workload(counter.get_total_flops(), max(1, kernels.calls), kernels.values, parameters)


class Kernels(TorchDispatchMode):
    """Counts calls, and the values that they write."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if isinstance(answer, Tensor) and not func.is_view:
            self.calls += 1
            self.values += answer.numel()
        return answer


class PopulationForward:
    """Evaluates one module under many sets of parameters, without touching the module.

    Args:
        module: the network. Buffers stay as they are.
        mode: "vmap", "loop", or "auto": the loop where one network keeps a CPU busy, or where a trial of two members
            shows that vmap cannot run it or gives other outputs; else vmap.
    """

    def __init__(self, module: nn.Module, mode: str = "auto"):
        self.module = module
        self.mode = mode
        self._chosen: dict[tuple[Any, ...], str] = {}
        self._workloads: dict[tuple[int, ...], Workload] = {}
        self._stage: Stage | None = None
        keep_freed_memory()

    @contextmanager
    def evaluating(self, **modes: bool) -> Iterator[None]:
        """As :func:`evaluating`, for as many calls as come inside: entering it again costs nothing."""
        if self._stage is not None:
            yield
            return
        with evaluating(self.module, **modes):
            self._stage = Stage(self.module)
            try:
                yield
            finally:
                self._stage = None

    def workload(self, inputs: Tensor) -> Workload:
        """What one network takes for inputs (B, ...) of this shape."""
        shape = tuple(inputs.shape)
        if shape not in self._workloads:
            self._workloads[shape] = measure(self.module, inputs)
        return self._workloads[shape]

    def __call__(self, parameters: Parameters, inputs: Tensor, shared: bool) -> Tensor:
        """Outputs of every member.

        Args:
            parameters: by name, for all members.
            inputs: (B, ...) if shared, else (n, B, ...).
            shared: whether all members see the same inputs.

        Returns:
            (n, B, ...).
        """
        if not parameters:  # the module as it is
            return (self._stage or Stage(self.module)).run({}, inputs if shared else inputs[0])[None]
        mode = self._mode(parameters, inputs, shared)
        run = self._vmap if mode == "vmap" else self._loop
        return run(parameters, inputs, shared)

    def _mode(self, parameters: Parameters, inputs: Tensor, shared: bool) -> str:
        if self.mode != "auto":
            return self.mode
        if count(parameters) < FEW:
            return "loop"  # so few gain less from vmap than it costs
        low_rank = any(isinstance(value, LowRankParameter) for value in parameters.values())
        key = (tuple(inputs.shape), shared, low_rank)
        if key not in self._chosen:
            self._chosen[key] = self._choose(parameters, inputs, shared, low_rank)
        return self._chosen[key]

    def _choose(self, parameters: Parameters, inputs: Tensor, shared: bool, low_rank: bool) -> str:
        if any(part.training for part in self.module.modules()):
            return "loop"  # no trial can tell whether draws, or statistics, are each member's own
        if inputs.device.type == "cpu":
            workload = self.workload(inputs if shared else inputs[0])
            saves = low_rank and workload.parameters > workload.activations  # the products by the centre are shared
            if workload.busy and not saves:
                return "loop"
        return "vmap" if self._vmap_agrees(parameters, inputs, shared) else "loop"

    def _vmap_agrees(self, parameters: Parameters, inputs: Tensor, shared: bool) -> bool:
        few = {name: members(value, slice(0, 2)) for name, value in parameters.items()}
        inputs = inputs if shared else inputs[:2]
        with isolated_rng():
            reference = self._loop(few, inputs, shared)
        name = type(self.module).__name__
        try:
            with isolated_rng():
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

    def _vmap(self, parameters: Parameters, inputs: Tensor, shared: bool) -> Tensor:
        low = {name: value for name, value in parameters.items() if isinstance(value, LowRankParameter)}
        dense = {name: value for name, value in parameters.items() if name not in low}
        factors = {name: (value.left, value.right) for name, value in low.items()}

        def member(dense: dict[str, Tensor], factors: dict[str, tuple[Tensor, Tensor]], inputs: Tensor) -> Tensor:
            weights = {name: LowRankWeight(low[name].center, *pair, low[name].scale) for name, pair in factors.items()}
            return call_with(self.module, {**dense, **weights}, inputs)

        vectorised = torch.vmap(member, in_dims=(0, 0, None if shared else 0), randomness="different")
        with Interception(torch.is_autocast_enabled(inputs.device.type)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")  # what has no rule runs member by member
            return vectorised(dense, factors, inputs)

    def _loop(self, parameters: Parameters, inputs: Tensor, shared: bool) -> Tensor:
        stage = self._stage or Stage(self.module)
        run = stage.run if stage.can_hold(parameters) else partial(call_with, self.module)
        outputs = []
        for i in range(count(parameters)):
            member = {name: single(value, i) for name, value in parameters.items()}
            outputs.append(run(member, inputs if shared else inputs[i]))
        return torch.stack(outputs) if len(outputs) > 1 else outputs[0][None]


class Stage:
    """Where a module keeps its parameters and buffers, so that other values can stand in for them without a copy.

    Args:
        module: the network; it stays as it is.
    """

    def __init__(self, module: nn.Module):
        self.module = module
        self.places = dict(module.named_parameters())
        self.kinds = {kind_of(place) for place in self.places.values()}
        self.device = next(iter(self.places.values())).device
        self.buffers = [
            (part._buffers, key, buffer)
            for part in module.modules()
            for key, buffer in part._buffers.items()
            if buffer is not None
        ]

    def can_hold(self, parameters: Parameters) -> bool:
        """Whether such values may stand in: of the same kind, and no autocast, which remembers casts by the place."""
        kinds = {kind_of(value) for value in parameters.values()}
        return kinds <= self.kinds and len(self.kinds) == 1 and not torch.is_autocast_enabled(self.device.type)

    def run(self, values: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """The module's outputs under these parameters; what it writes into its buffers is thrown away."""
        former = [(place, place.data) for place in map(self.places.__getitem__, values)]
        try:
            for (place, _), value in zip(former, values.values(), strict=True):
                place.data = value
            for home, key, buffer in self.buffers:
                home[key] = buffer.clone()
            return self.module(inputs)
        finally:
            for place, data in former:
                place.data = data
            for home, key, buffer in self.buffers:
                home[key] = buffer


def kind_of(value: Tensor | LowRankParameter) -> tuple[torch.dtype, torch.device]:
    """What a value must share with another one to take its place."""
    tensor = value.center if isinstance(value, LowRankParameter) else value
    return tensor.dtype, tensor.device


def count(parameters: Parameters) -> int:
    """The number of members."""
    return len(next(iter(parameters.values())))


def members(value: Tensor | LowRankParameter, part: slice) -> Tensor | LowRankParameter:
    """One parameter of some of the members."""
    if isinstance(value, LowRankParameter):
        return LowRankParameter(value.center, value.left[part], value.right[part], value.scale)
    return value[part]


def single(value: Tensor | LowRankParameter, i: int) -> Tensor:
    """One parameter of one member."""
    if isinstance(value, LowRankParameter):
        center = value.center.flatten(1)
        return torch.addmm(center, value.left[i], value.right[i].mT, alpha=value.scale).view_as(value.center)
    return value[i]


def call_with(module: nn.Module, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """The module's outputs under other parameters; what it writes into its buffers is thrown away."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, {**buffers, **parameters}, (inputs,))


@contextmanager
def isolated_rng() -> Iterator[None]:
    """Leave torch's global generators as they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield


@contextmanager
def evaluating(module: nn.Module, dropout: bool = False, batch_statistics: bool = False) -> Iterator[None]:
    """Evaluation mode inside; afterwards every attribute of every submodule is again what it was; no graph is built.

    Args:
        module: the network.
        dropout: leave dropout on, each member with draws of its own.
        batch_statistics: normalise by the batch's own mean and variance, not by the running ones.
    """
    attributes = [(part, dict(vars(part)), dict(part._buffers)) for part in module.modules()]
    module.eval()
    for part in module.modules():
        part.training = (dropout and isinstance(part, _DropoutNd)) or (batch_statistics and isinstance(part, _NormBase))
    try:
        with torch.no_grad():
            yield
    finally:
        for part, former, buffers in attributes:
            vars(part).clear()
            vars(part).update(former)
            part._buffers.clear()
            part._buffers.update(buffers)


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on any device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


@cache
def keep_freed_memory() -> None:
    """Have glibc keep what large tensors leave, up to 32 MB each, for the next ones.

    It would hand every such block back to the kernel, and get it again page by page, zeroed: half of the time of a
    population's forward pass.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            threshold, trim = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
            libc.mallopt(threshold, 32 * 2**20)
            libc.mallopt(trim, 2**31 - 1)
