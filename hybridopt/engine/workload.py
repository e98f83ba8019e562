"""What one pass of a network over a batch takes: counted, not timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from hybridopt.engine.memory import MEMORY
from hybridopt.engine.modes import evaluating, isolated_rng
from hybridopt.engine.stage import call_with
from hybridopt.engine.trees import Inputs

BUSY = 2e6  # floating-point operations a call from which on one network keeps a CPU busy, and vmap gains nothing


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


def measure(module: nn.Module, inputs: Inputs) -> Workload:
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
