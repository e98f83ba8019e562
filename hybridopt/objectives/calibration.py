"""How far a classifier's confidence is from its accuracy (Naeini, Cooper & Hauskrecht 2015; Guo et al. 2017).

https://doi.org/10.1609/aaai.v29i1.9602, https://arxiv.org/abs/1706.04599
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox.metrics import classification_metrics
from hybridopt.toolbox.ranges import at_least


class Calibration(Objective):
    """The expected calibration error: |accuracy - confidence| over bins of equal width, weighed by their samples.

    Its gradient moves confidences within their bins. A network that says the same of every sample may have no error:
    name it behind a loss, as one of several objectives.

    Args:
        bins: of confidence, from 0 to 1.

    Raises:
        ConfigError: there is no bin.
    """

    differentiable: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __init__(self, bins: int = 15):
        super().__init__()
        at_least("objective", 1, bins=bins)
        self.bins = bins

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The error of the softmax of logits (B, output_size) for targets (B,); 1 where one of them is NaN."""
        confidence, predicted = outputs.softmax(dim=1).max(dim=1)
        place = (confidence.nan_to_num() * self.bins).ceil().long().clamp(1, self.bins) - 1
        gap = (predicted == targets).to(outputs.dtype) - confidence
        sums = gap @ F.one_hot(place, self.bins).to(outputs.dtype)
        return torch.where(outputs.isnan().any(), 1.0, sums.abs().sum() / len(targets))

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return classification_metrics(spec)
