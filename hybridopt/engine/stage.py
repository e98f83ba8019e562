"""One module under other parameters, in evaluation mode, and left as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from operator import is_

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
        self.parts = parts_of(module)
        self._homes = [(part._parameters, [*part._parameters.items()]) for part in self.parts if part._parameters]
        self.look()

    def look(self) -> None:
        """See which buffers there are now, and of what kind the parameters are."""
        self.kinds = {kind_of(place) for place in self.places.values()}
        self.device = next(iter(self.places.values())).device
        self.buffers = [
            (part._buffers, key, buffer)
            for part in self.parts
            if part._buffers
            for key, buffer in part._buffers.items()
            if buffer is not None
        ]

    def stands(self, parts: list[nn.Module]) -> bool:
        """Whether the module is still made of the same parts and parameters.

        Args:
            parts: those that it has now.
        """
        same = len(parts) == len(self.parts) and all(map(is_, parts, self.parts))
        return same and all(
            len(home) == len(items) and all(home.get(key) is value for key, value in items)
            for home, items in self._homes
        )

    def can_hold(self, parameters: Parameters) -> bool:
        """Whether such values may stand in: of the same kind, and no autocast, which remembers casts by the place."""
        kinds = {kind_of(value) for value in parameters.values()}
        return kinds <= self.kinds and len(self.kinds) == 1 and not torch.is_autocast_enabled(self.device.type)

    def run(self, values: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        """The module's outputs under these parameters; what it writes into its buffers is thrown away."""
        (outputs,) = self.run_each(values, [values.values()], [inputs])
        return outputs

    def run_each(
        self, names: Iterable[str], members: Iterable[Iterable[Tensor]], inputs: Iterable[Inputs]
    ) -> list[Tensor]:
        """The module's outputs under the parameters of one member after the other.

        Args:
            names: of the parameters that others stand in for.
            members: of each, the values in that order.
            inputs: of each.
        """
        places = [self.places[name] for name in names]
        former = [(place, place.data) for place in places]
        try:
            return [self._run(places, values, rows) for values, rows in zip(members, inputs, strict=True)]
        finally:
            for place, data in former:
                place.data = data
            for home, key, buffer in self.buffers:
                home[key] = buffer

    def _run(self, places: Iterable[nn.Parameter], values: Iterable[Tensor], inputs: Inputs) -> Tensor:
        for place, value in zip(places, values, strict=True):
            place.data = value
        for home, key, buffer in self.buffers:
            home[key] = buffer.clone()
        return self.module(inputs)


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
    """Inside, autocast casts weights at each use: its cache goes by the tensor, whatever has been written into it."""
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


def parts_of(module: nn.Module) -> list[nn.Module]:
    """The module and all inside, each once; ``modules()`` takes several times longer."""
    parts, seen = [module], {module}
    for part in parts:  # which grows meanwhile
        for child in part._modules.values():
            if child is not None and child not in seen:
                seen.add(child)
                parts.append(child)
    return parts


@cache
def has_own_modes(kind: type[nn.Module]) -> bool:
    """Whether a class does something else than torch's when it is told whether it is trained or evaluated."""
    return kind.train is not nn.Module.train or kind.eval is not nn.Module.eval


@contextmanager
def evaluating(module: nn.Module, dropout: bool = False, batch_statistics: bool = False) -> Iterator[list[nn.Module]]:
    """Evaluation mode inside; afterwards every attribute of every submodule is again what it was; no graph is built.

    Args:
        module: the network.
        dropout: leave dropout on, each member with draws of its own.
        batch_statistics: normalise by the batch's own mean and variance, not by the running ones.

    Yields:
        The module and all inside.
    """
    parts = parts_of(module)
    attributes = [(part, vars(part).copy(), part._buffers.copy()) for part in parts]
    if any(map(has_own_modes, {*map(type, parts)})):
        module.eval()
    for part in parts:
        on = (dropout and isinstance(part, _DropoutNd)) or (batch_statistics and isinstance(part, _NormBase))
        vars(part)["training"] = on  # torch's own way there looks for a parameter of that name first
    try:
        with torch.no_grad():
            yield parts
    finally:
        for part, former, buffers in attributes:
            vars(part).clear()
            vars(part).update(former)
            part._buffers.clear()
            part._buffers.update(buffers)
