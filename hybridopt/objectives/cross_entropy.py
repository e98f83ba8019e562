"""Cross-entropy, the negative log-likelihood of the softmax (Bridle 1990)."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from hybridopt.metrics import classification_metrics
from hybridopt.objective import Objective
from hybridopt.spec import DataSpec


class CrossEntropy(Objective):
    """Cross-entropy of the softmax, in nats."""

    differentiable: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean negative log-likelihood of the targets (B,) under softmax of the logits (B, output_size)."""
        return F.cross_entropy(outputs, targets)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return classification_metrics(spec)
