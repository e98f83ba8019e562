"""Populations in bfloat16: the network's passes, while all that is made of its outputs stays in float32.

A number in bfloat16 has eight binary digits, so that what a perturbation adds to a weight is rounded to 1/256 of the
weight. Where perturbations are a hundredth of the weights or more, the order of the members' losses hardly changes;
smaller ones drown. Factors of low rank are applied beside the centre, and do not.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt.engine import trees
from hybridopt.engine.forward import PopulationForward
from hybridopt.engine.parameters import LowRankParameter, Parameters
from hybridopt.engine.trees import Inputs
from hybridopt.errors import ConfigError

log = logging.getLogger(__name__)

PRECISIONS = ("float32", "bf16")


def population_forward(module: nn.Module, mode: str, precision: str) -> PopulationForward:
    """How the population of a network is run.

    Args:
        module: the network.
        mode: see :class:`~hybridopt.engine.forward.PopulationForward`.
        precision: one of :data:`PRECISIONS`.

    Raises:
        ConfigError: there is no such precision, or the network has another one already.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"oracle.precision must be {' or '.join(PRECISIONS)}, but is {precision!r}.")
    if precision == "float32":
        return PopulationForward(module, mode)
    others = {value.dtype for value in module.parameters() if value.is_floating_point()} - {torch.float32}
    if others:
        raise ConfigError(
            f"oracle.precision=bf16 is for networks in float32, and {type(module).__name__} has parameters in "
            f"{', '.join(sorted(str(kind).removeprefix('torch.') for kind in others))}: leave it at float32."
        )
    device = next(module.parameters()).device
    if not is_fast(device):
        log.warning("oracle.precision=bf16 saves no time here: this %s has no arithmetic for it.", device.type)
    return LowerForward(module, mode)


def is_fast(device: torch.device) -> bool:
    """Whether a device has arithmetic in bfloat16 of its own: AVX512-BF16 or AMX, or a GPU's tensor cores."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class LowerForward(PopulationForward):
    """As :class:`~hybridopt.engine.forward.PopulationForward`, by a copy of the network in bfloat16.

    Outputs are in float32, and so is what is differentiated.

    Args:
        module: the network, in float32.
        mode: "vmap", "loop" or "auto".
    """

    def __init__(self, module: nn.Module, mode: str = "auto"):
        super().__init__(module, mode)
        self._lower = PopulationForward(module, mode, lowered)

    def enter(self, **modes: bool) -> None:
        super().enter(**modes)
        try:
            self._lower.module = copy_in_bfloat16(self.module)
            self._lower.enter(**modes)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        self._lower.leave()
        super().leave()

    def __call__(self, parameters: Parameters, inputs: Inputs, shared: bool) -> Tensor:
        if torch.is_grad_enabled():
            return super().__call__(parameters, inputs, shared)
        if torch.is_autocast_enabled(trees.device(inputs).type):
            raise ConfigError(
                "oracle.precision=bf16 and autocast are two ways to the same: leave one of them out (in a program "
                "trainer.precision=32-true)."
            )
        own = parameters or {name: value.detach()[None] for name, value in self.module.named_parameters()}
        outputs = self._lower(own, trees.mapped(lowered, inputs), shared)
        return outputs.float() if outputs.is_floating_point() else outputs


def lowered(value: Any) -> Any:
    """A tensor in float32, or a low-rank parameter of such, in bfloat16; anything else as it is."""
    if isinstance(value, LowRankParameter):
        return LowRankParameter(lowered(value.center), lowered(value.left), lowered(value.right), value.scale)
    return value.bfloat16() if isinstance(value, Tensor) and value.dtype == torch.float32 else value


def copy_in_bfloat16(module: nn.Module) -> nn.Module:
    """The network again, its tensors in bfloat16; it shares nothing with the first one."""
    kept: dict[int, Any] = {
        id(value): lowered(value)
        for part in module.modules()
        for value in (*part._buffers.values(), *vars(part).values())
        if isinstance(value, Tensor)
    }
    places = {id(place): nn.Parameter(lowered(place.detach()), place.requires_grad) for place in module.parameters()}
    return copy.deepcopy(module, kept | places)
