"""One module under other parameters, in evaluation mode, and left as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from hybridopt.engine.parameters import LowRankParameter, Parameters
from hybridopt.engine.trees import Inputs


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

    def run(self, values: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
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


def call_with(module: nn.Module, parameters: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
    """The module's outputs under other parameters; what it writes into its buffers is thrown away."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, {**buffers, **parameters}, (inputs,))


@contextmanager
def casts_not_remembered() -> Iterator[None]:
    """Inside, autocast casts weights anew at each use: it remembers casts by the place, not by the values there."""
    remembered = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(remembered)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, no parameter of the module itself wants a gradient: a graph keeps nothing for those that do not move."""
    wanting = [value for value in module.parameters() if value.requires_grad]
    for value in wanting:
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in wanting:
            value.requires_grad_(True)


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
