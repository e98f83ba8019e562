"""Running many networks of one architecture: vectorised, or one by one where that cannot be."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

log = logging.getLogger(__name__)

MEMORY = 256 * 2**20  # bytes of activations and parameters that a chunk may take: about what caches and small GPUs bear


class PopulationForward:
    """Evaluates one module under many sets of parameters, without touching the module.

    Args:
        module: the network. Buffers stay as they are.
        mode: "vmap", "loop", or "auto": vmap where a trial of two members agrees with the loop, else the loop.
    """

    def __init__(self, module: nn.Module, mode: str = "auto"):
        self.module = module
        self.mode = mode
        self._chosen: dict[bool, str] = {}

    def __call__(self, parameters: Mapping[str, Tensor], inputs: Tensor, shared: bool) -> Tensor:
        """Outputs of every member.

        Args:
            parameters: name -> (n, \\*shape).
            inputs: (B, ...) if shared, else (n, B, ...).
            shared: whether all members see the same inputs.

        Returns:
            (n, B, ...).
        """
        mode = self._mode(parameters, inputs, shared)
        return self._vmap(parameters, inputs, shared) if mode == "vmap" else self._loop(parameters, inputs, shared)

    def _mode(self, parameters: Mapping[str, Tensor], inputs: Tensor, shared: bool) -> str:
        if self.mode != "auto":
            return self.mode
        if len(next(iter(parameters.values()))) == 1:
            return "loop"  # one member gains nothing from vmap, and pays for it
        if shared not in self._chosen:
            self._chosen[shared] = self._choose(parameters, inputs, shared)
        return self._chosen[shared]

    def _single(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        return call_with(self.module, parameters, inputs)

    def _vmap(self, parameters: Mapping[str, Tensor], inputs: Tensor, shared: bool) -> Tensor:
        in_dims = (0, None if shared else 0)
        return torch.vmap(self._single, in_dims=in_dims, randomness="different")(dict(parameters), inputs)

    def _loop(self, parameters: Mapping[str, Tensor], inputs: Tensor, shared: bool) -> Tensor:
        count = len(next(iter(parameters.values())))
        members = [{name: value[i] for name, value in parameters.items()} for i in range(count)]
        return torch.stack([self._single(member, inputs if shared else inputs[i]) for i, member in enumerate(members)])

    def _choose(self, parameters: Mapping[str, Tensor], inputs: Tensor, shared: bool) -> str:
        few = {name: value[:2] for name, value in parameters.items()}
        inputs = inputs if shared else inputs[:2]
        with isolated_rng():
            reference = self._loop(few, inputs, shared)
        try:
            with isolated_rng():
                vectorised = self._vmap(few, inputs, shared)
        except Exception as error:  # whatever vmap cannot do, it says in its own many ways
            log.info("%s cannot be vectorised (%s): members run one by one.", type(self.module).__name__, brief(error))
            return "loop"
        if torch.allclose(vectorised, reference, rtol=1e-3, atol=1e-4, equal_nan=True):
            return "vmap"
        log.info("%s gives other outputs under vmap: members run one by one.", type(self.module).__name__)
        return "loop"


def call_with(module: nn.Module, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """The module's outputs under other parameters; what it writes into its buffers is thrown away."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, {**buffers, **parameters}, (inputs,))


def brief(error: Exception) -> str:
    """The first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def isolated_rng() -> Iterator[None]:
    """Leave torch's global generator as it was."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every attribute of every submodule is again what it was; no graph is built."""
    attributes = [(part, dict(vars(part)), dict(part._buffers)) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, former, buffers in attributes:
            vars(part).clear()
            vars(part).update(former)
            part._buffers.clear()
            part._buffers.update(buffers)


def chunk_size(module: nn.Module, parameters: int, inputs: Tensor) -> int:
    """How many members fit into :data:`MEMORY`, by the activations of one pass.

    Args:
        module: the network, run once on ``inputs``.
        parameters: the number of values in one member.
        inputs: (B, ...).
    """
    sizes: list[int] = []

    def record(part: nn.Module, args: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() * output.element_size())

    hooks = [part.register_forward_hook(record) for part in module.modules() if not list(part.children())]
    try:
        with evaluating(module), isolated_rng():
            call_with(module, {}, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return max(1, MEMORY // max(1, sum(sizes) + 4 * parameters))


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on any device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)
