"""The arithmetic that a network with zeros takes, as one of several objectives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hybridopt.core.objective import WeightObjective
from hybridopt.engine.modes import evaluating, isolated_rng
from hybridopt.engine.stage import call_with
from hybridopt.engine.trees import Inputs, rows, shape_key


class Flops(WeightObjective):
    """Thousands of multiply-adds of a pass over one sample, of the weights that are not zero.

    Each weight of a linear layer is used at as many places as the layer is called for, one of a convolution at each
    position of its output, one of a recurrent layer at each step; biases and what has no weights do not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self._uses: tuple[object, dict[str, float]] | None = None  # of a network on inputs of a shape

    def of_weights(self, weights: Mapping[str, Tensor], module: nn.Module, inputs: Inputs) -> Tensor:
        """Thousands of multiply-adds (population,)."""
        uses = self._uses_in(module, inputs)
        counts = [uses[name] * (value != 0).flatten(1).sum(1) for name, value in weights.items() if name in uses]
        return torch.stack(counts).sum(0) / 1000

    def _uses_in(self, module: nn.Module, inputs: Inputs) -> dict[str, float]:
        key = (id(module), shape_key(rows(inputs, slice(0, 1))))
        if self._uses is None or self._uses[0] != key:
            self._uses = key, uses(module, rows(inputs, slice(0, 1)))
        return self._uses[1]


def uses(module: nn.Module, inputs: Inputs) -> dict[str, float]:
    """How often a pass over one sample multiplies by each weight, by the name of its parameter.

    Args:
        module: the network; it is run once, as a look at its structure that nobody is charged for.
        inputs: (1, ...).
    """
    found: dict[str, float] = {}
    names = {id(value): name for name, value in module.named_parameters()}

    def note(layer: nn.Module, given: tuple[Tensor, ...], made: object) -> None:
        own = [value for value in layer.parameters(recurse=False) if value.ndim > 1]
        for value in own:
            name = names[id(value)]
            found[name] = found.get(name, 0.0) + places(layer, given[0] if given else None, made)

    hooks = [layer.register_forward_hook(note) for layer in module.modules()]
    try:
        with torch.no_grad(), evaluating(module), isolated_rng():
            call_with(module, {}, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def places(layer: nn.Module, given: object, made: object) -> float:
    """How often a call of a layer on one sample uses each of its weights."""
    if isinstance(layer, nn.Embedding):
        return 0.0
    if isinstance(layer, nn.RNNBase) and isinstance(given, Tensor):
        return float(given.shape[1 if layer.batch_first else 0])
    if not isinstance(made, Tensor):
        return 1.0
    convolution = isinstance(layer, nn.modules.conv._ConvNd)
    return float(made[0, 0].numel() if convolution else made[0, ..., 0].numel() if made.ndim > 1 else 1)
