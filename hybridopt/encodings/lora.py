"""LoRA, low-rank adaptation (Hu et al. 2021), https://arxiv.org/abs/2106.09685."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.engine.randomness import normal
from hybridopt.errors import ConfigError
from hybridopt.toolbox.patterns import matching
from hybridopt.toolbox.ranges import at_least, positive


class Lora(Encoding):
    """Weights plus a product of two thin matrices, W = W0 + (alpha / rank) B A, of which only B and A are moved.

    B is zero at the start, so that the network is what it was, and A is drawn from N(0, 1 / b), b being the inputs of a
    row. Kernels of convolutions count as matrices of one row for each output. Parameters that are neither adapted nor
    trained whole stay as they are.

    Args:
        rank: r, of the product.
        alpha: what B A is multiplied with, times the rank.
        pattern: which weights are adapted, shell-style, such as "*.linear1.weight", or a list of patterns; empty for
            all of two or more dimensions that are not trained whole.
        whole: which parameters are trained whole, such as "head.*", or a list of patterns; empty for none.

    Raises:
        ConfigError: a number is out of range, a pattern matches nothing, or there is no weight to adapt.
    """

    origin: Tensor  # (k,), the weights W0 one after the other
    layout: ParameterLayout  # of W0

    def __init__(self, rank: int = 4, alpha: float = 8.0, pattern: str | list[str] = "", whole: str | list[str] = ""):
        super().__init__()
        at_least("encoding", 1, rank=rank)
        positive("encoding", alpha=alpha)
        self.rank, self.alpha, self.pattern, self.whole = rank, alpha, pattern, whole

    def attach(self, parameters: Mapping[str, Tensor]) -> int:
        whole = matching(parameters, "encoding.whole", self.whole) if self.whole else {}
        chosen = matching(parameters, "encoding.pattern", self.pattern) if self.pattern else parameters
        adapted = {name: value for name, value in chosen.items() if value.ndim >= 2 and name not in whole}
        if not adapted:
            raise ConfigError(
                "LoRA adapts weights of two or more dimensions, and of those that encoding.pattern="
                f"{self.pattern!r} names none is left: the model has {', '.join(parameters)}."
            )
        self.layout = ParameterLayout.of(adapted)
        factors: dict[str, torch.Size] = {}
        for name, shape in self.layout.shapes.items():
            factors[f"{name}/B"] = torch.Size([shape[0], self.rank])
            factors[f"{name}/A"] = torch.Size([self.rank, shape[1:].numel()])
        types = {name: value.dtype for name, value in {**adapted, **whole}.items()}
        moved = {**factors, **{name: value.shape for name, value in whole.items()}}
        self.moved = ParameterLayout(moved, {name: types[name.rpartition("/")[0] or name] for name in moved})
        self.kept_whole = list(whole)
        return self.moved.dimension

    def begin(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        self.register_buffer("origin", self.layout.flatten(parameters))
        start = {name: parameters[name] for name in self.kept_whole}
        for name, shape in self.layout.shapes.items():
            like, inputs = parameters[name], shape[1:].numel()
            start[f"{name}/B"] = like.new_zeros(shape[0], self.rank)
            start[f"{name}/A"] = normal((self.rank, inputs), like, generator) / inputs**0.5
        return self.moved.flatten(start)

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        parts, origin = self.moved.unflatten(z), self.layout.named(self.origin)
        adapted = {
            name: W0 + (self.alpha / self.rank) * (parts[f"{name}/B"] @ parts[f"{name}/A"]).view(-1, *W0.shape)
            for name, W0 in origin.items()
        }
        return {**adapted, **{name: parts[name] for name in self.kept_whole}}
