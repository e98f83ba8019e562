"""The zero-one loss: what a classifier is judged by, and what no gradient method can train on."""

from typing import ClassVar

from torch import Tensor
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox.metrics import classification_metrics


class ZeroOne(Objective):
    """The share of samples that are misclassified (no gradient)."""

    differentiable: ClassVar[bool] = False
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """1 - accuracy of the largest score (B, output_size) for targets (B,); a NaN score makes the answer wrong."""
        wrong = (outputs.argmax(dim=1) != targets) | outputs.isnan().any(dim=1)
        return wrong.to(outputs.dtype).mean()

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return classification_metrics(spec)
