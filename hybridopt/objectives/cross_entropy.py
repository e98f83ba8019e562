"""Cross-entropy, the negative log-likelihood of the softmax (Bridle 1990)."""

from typing import ClassVar

from torch import Tensor
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox.losses import negative_log_likelihood
from hybridopt.toolbox.metrics import classification_metrics


class CrossEntropy(Objective):
    """Cross-entropy of the softmax, in nats."""

    differentiable: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean negative log-likelihood of the targets (B,) under softmax of the logits (B, output_size)."""
        return negative_log_likelihood(outputs[None], targets).mean()

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The same for each member."""
        return negative_log_likelihood(outputs, targets).mean(1)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return classification_metrics(spec)
