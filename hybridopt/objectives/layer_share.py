"""How much of a network is in one of its layers, as a measure of its weights."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from hybridopt.core.objective import WeightObjective
from hybridopt.engine.trees import Inputs
from hybridopt.errors import ConfigError, options
from hybridopt.toolbox.ranges import one_of


class LayerShare(WeightObjective):
    """The share that a layer has of all parameters: of their squared norm, or of those that are not zero.

    Where activations are positively homogeneous, as ReLU is, the norm can be moved from one layer to another with
    nothing changed that the network says (Neyshabur, Salakhutdinov & Srebro 2015, https://arxiv.org/abs/1506.02617):
    equally good networks may have any share.

    Args:
        layer: the name of a submodule with parameters, those inside included, or its place among the layers that have
            some, 0 being the first and -1 the last.
        of: what is counted.

    Raises:
        ConfigError: there is nothing else to count; in a run, there is no such layer.
    """

    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __init__(self, layer: int | str = 0, of: Literal["norm", "nonzero"] = "norm"):
        super().__init__()
        one_of("objective", ("norm", "nonzero"), of=of)
        self.layer, self.of = layer, of

    @property
    def differentiable(self) -> bool:
        """Whether it is the norm that counts."""
        return self.of == "norm"

    def of_weights(self, weights: Mapping[str, Tensor], module: nn.Module, inputs: Inputs) -> Tensor:
        """The share (population,), 0 of a network of zeros."""
        count = self._squares if self.of == "norm" else self._nonzeros
        inside = self._names(list(weights))
        amounts = {name: count(value.flatten(1)) for name, value in weights.items()}
        total = torch.stack([*amounts.values()]).sum(0)
        part = torch.stack([amounts[name] for name in inside]).sum(0)
        return torch.where(total > 0, part / torch.where(total > 0, total, 1.0), 0.0)

    def _squares(self, values: Tensor) -> Tensor:
        return values.square().sum(1)

    def _nonzeros(self, values: Tensor) -> Tensor:
        return (values != 0).sum(1).float()

    def _names(self, names: list[str]) -> list[str]:
        """The parameters of the layer.

        Raises:
            ConfigError: there is no such layer.
        """
        owners = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
        if isinstance(self.layer, int):
            if not -len(owners) <= self.layer < len(owners):
                raise ConfigError(
                    f"objective.layer must be the name of a layer, or its place from 0 to {len(owners) - 1}, but is "
                    f"{self.layer}."
                )
            return [name for name in names if name.rpartition(".")[0] == owners[self.layer]]
        inside = [name for name in names if name.startswith(f"{self.layer}.")]
        if not inside:
            raise ConfigError(f"objective.layer is no layer with parameters.{options(owners, self.layer)}")
        return inside
