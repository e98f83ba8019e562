"""Cross-entropy, the negative log-likelihood of the softmax (Bridle 1990)."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox.metrics import classification_metrics

FEW = 32  # classes up to which torch's softmax is several times faster across samples than along each one's few logits


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


def negative_log_likelihood(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits (n, B, classes) and targets (B,) -> (n, B)."""
    logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    targets = targets.expand(len(logits), -1)
    if logits.shape[2] > FEW:
        rows = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return rows.unflatten(0, targets.shape)
    return F.cross_entropy(logits.mT, targets, reduction="none")
