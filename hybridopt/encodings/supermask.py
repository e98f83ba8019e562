"""Supermasks over frozen weights.

Zhou, Lan, Liu & Yosinski 2019, https://arxiv.org/abs/1905.01067, showed that untrained networks contain masks of high
accuracy; the selection of the top scores per layer is that of edge-popup (Ramanujan et al. 2020,
https://arxiv.org/abs/1911.13299). Here a search sets the scores, without a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.encoding import SparseEncoding
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.engine.weights import weights_of
from hybridopt.toolbox.masking import Init, frozen_weight
from hybridopt.toolbox.ranges import one_of, positive, share


class Supermask(SparseEncoding):
    """Scores that say which weights keep their frozen value; the others are zero.

    Its gradient is the straight-through one, as in edge-popup: the slope by a score is that by the mask.

    Weights are the parameters with two or more dimensions; the others (biases, norms) stay as they are.

    Args:
        sparsity: the share of each weight that is masked, by rule "top".
        scale: the size of the start scores; a search's ``sigma`` is relative to it.
        init: "model" freezes the weights as the model has them; "signed_constant" makes a layer's weights plus or minus
            one number, as edge-popup does, so that few weights are enough for outputs of a usual size.
        rule: "top" keeps the largest scores of each weight, a fixed share; they start at the weights' magnitudes in
            units of each weight's root mean square, times ``scale``. "sign" keeps what has no negative score, as
            bits do; scores start at 0, and ``sparsity`` is what the search makes it.

    Raises:
        ConfigError: the sparsity is not in [0, 1), or the model has no weight to mask.
    """

    conformance: ClassVar[dict[str, Any]] = {
        "expected_failures": {"start_is_the_model": "a mask leaves weights out from the start"}
    }

    def __init__(
        self,
        sparsity: float = 0.5,
        scale: float = 0.1,
        rule: Literal["top", "sign"] = "top",
        init: Literal["model", "signed_constant"] = "model",
    ):
        super().__init__()
        share("encoding", "[0, 1)", sparsity=sparsity)
        positive("encoding", scale=scale)
        one_of("encoding", ("top", "sign"), rule=rule)
        one_of("encoding", ("model", "signed_constant"), init=init)
        self.init: Init = init
        self.sparsity, self.scale, self.rule = sparsity, scale, rule

    weights: Tensor  # (d,), the frozen values

    def attach(self, parameters: Mapping[str, Tensor]) -> int:
        self.layout = ParameterLayout.of(weights_of(parameters))
        return self.layout.dimension

    def begin(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        weights = {name: parameters[name] for name in self.layout.shapes}
        frozen = {name: frozen_weight(value.detach(), self.init) for name, value in weights.items()}
        self.register_buffer("weights", self.layout.flatten(frozen))
        if self.rule == "sign":
            return torch.zeros_like(self.weights)
        scores = {name: value.detach().abs() for name, value in weights.items()}
        return self.scale * self.layout.flatten(
            {name: value / value.square().mean().sqrt().clamp_min(1e-12) for name, value in scores.items()}
        )

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        kept = self._kept(z.detach())
        if z.requires_grad:  # straight-through, since a step has no slope
            kept = kept + (z - z.detach())
        return self.layout.unflatten(self.weights * kept)

    def mask(self, z: Tensor) -> dict[str, Tensor]:
        return {name: kept[0].bool() for name, kept in self.layout.unflatten(self._kept(z[None])).items()}

    def _kept(self, z: Tensor) -> Tensor:
        """Scores (n, d) -> (n, d), 1 for those that are kept and 0 for the others."""
        if self.rule == "sign":
            return (z >= 0).to(z)
        return torch.cat([self._top_of_weight(scores) for scores in z.split(self.layout.sizes, dim=1)], dim=1)

    def _top_of_weight(self, scores: Tensor) -> Tensor:
        """(n, size) -> (n, size), 1 where a score is among the largest of its row, exactly as many in each row."""
        size = scores.shape[1]
        keep = size - round(self.sparsity * size)
        if keep == size:
            return torch.ones_like(scores)
        best = scores.topk(max(1, keep), dim=1, sorted=False).indices
        return torch.zeros_like(scores).scatter_(1, best, 1.0)
