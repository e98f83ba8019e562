"""One module under other parameters, in evaluation mode, and left as it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hybridopt.engine.modes import Attributes, parts_of, set_modes
from hybridopt.engine.parameters import LowRankParameter, Parameters
from hybridopt.engine.trees import Inputs
from hybridopt.engine.vectors import Vectors


class Stage:
    """Where a module keeps its parameters and buffers, so that other values can stand in for them without a copy.

    Args:
        module: the network; it stays as it is.
    """

    def __init__(self, module: nn.Module):
        self.module = module
        self.places = dict(module.named_parameters())
        self.parts = parts_of(module)
        self._vectors: dict[Any, tuple[Tensor, list[Tensor], list[nn.Parameter]]] = {}  # by layout and kind
        homes = [home for part in self.parts for home in (part._modules, part._parameters)]
        self._homes = [(home, [*home], [*home.values()]) for home in homes]
        self.look()

    def enter(self, **modes: bool) -> None:
        """Evaluation mode until :meth:`leave`, see :func:`~hybridopt.engine.modes.evaluating`."""
        self._former = Attributes(self.parts), torch.is_grad_enabled()
        self.look()
        torch.set_grad_enabled(False)
        set_modes(self.parts, **modes)

    def leave(self) -> None:
        """All is again as it was."""
        attributes, differentiated = self._former
        torch.set_grad_enabled(differentiated)
        attributes.put_back()

    def look(self) -> None:
        """See which buffers there are now, and of what kind the parameters are."""
        self.kinds = {(place.dtype, place.device) for place in self.places.values()}
        self.device = next(iter(self.places.values())).device
        self.buffers = [
            (part._buffers, key, buffer)
            for part in self.parts
            if part._buffers
            for key, buffer in part._buffers.items()
            if buffer is not None
        ]

    @property
    def stands(self) -> bool:
        """Whether the module is still made of the same parts and parameters."""
        return all([*home] == keys and all(map(is_, home.values(), values)) for home, keys, values in self._homes)

    def can_hold(self, parameters: Parameters) -> bool:
        """Whether such values may stand in: of the same kind, and no autocast, which remembers casts by the place."""
        if len(self.kinds) != 1 or torch.is_autocast_enabled(self.device.type):
            return False
        if isinstance(parameters, Vectors):
            return kind_of(parameters.like) in self.kinds
        return all(kind_of(value) in self.kinds for value in parameters.values())

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
        former, outputs = [place.data for place in places], []
        try:
            for values, rows in zip(members, inputs, strict=True):
                self._stand_in(places, values)
                outputs.append(self._run(rows))
        finally:
            self._put_back(places, former)
        return outputs

    def run_written(self, members: Vectors, inputs: Iterable[Inputs]) -> list[Tensor]:
        """The module's outputs under one member after the other, each written into one vector.

        Args:
            members: which ones.
            inputs: of each.
        """
        vector, views, places = self._vector(members)
        former, outputs = [place.data for place in places], []
        try:
            self._stand_in(places, views)
            for _, rows in zip(members.written(vector), inputs, strict=True):
                outputs.append(apart(self._run(rows), vector))
        finally:
            self._put_back(places, former)
        return outputs

    def _vector(self, members: Vectors) -> tuple[Tensor, list[Tensor], list[nn.Parameter]]:
        """A vector (d,), its views, one for each parameter, and these; the same ones each time."""
        layout, like = members.layout, members.like
        key = (layout, *kind_of(like))
        if key not in self._vectors:
            vector = like.new_empty(layout.dimension)
            views = layout.named(vector)
            self._vectors[key] = vector, [*views.values()], [self.places[name] for name in views]
        return self._vectors[key]

    def _put_back(self, places: list[nn.Parameter], former: list[Tensor]) -> None:
        """Parameters and buffers become what they were."""
        self._stand_in(places, former)
        for home, key, buffer in self.buffers:
            home[key] = buffer

    @staticmethod
    def _stand_in(places: Iterable[nn.Parameter], values: Iterable[Tensor]) -> None:
        for place, value in zip(places, values, strict=True):
            place.data = value

    def _run(self, inputs: Inputs) -> Tensor:
        for home, key, buffer in self.buffers:
            home[key] = buffer.clone()
        return self.module(inputs)


def apart(outputs: Tensor, vector: Tensor) -> Tensor:
    """Outputs in memory of their own: those of a module that hands out a parameter are in that of the vector."""
    first = vector.data_ptr()
    inside = isinstance(outputs, Tensor) and first <= outputs.data_ptr() < first + vector.nbytes
    return outputs.clone() if inside else outputs


def kind_of(value: Tensor | LowRankParameter) -> tuple[torch.dtype, torch.device]:
    """What a value must share with another one to take its place."""
    tensor = value.center if isinstance(value, LowRankParameter) else value
    return tensor.dtype, tensor.device


def call_with(module: nn.Module, parameters: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
    """The module's outputs under other parameters; what it writes into its buffers is thrown away."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, {**buffers, **parameters}, (inputs,))
