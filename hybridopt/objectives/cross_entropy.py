"""Cross-entropy, the negative log-likelihood of the softmax (Bridle 1990)."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from hybridopt.metrics import classification_metrics
from hybridopt.objective import Batch, Forward, Objective
from hybridopt.spec import DataSpec


class CrossEntropy(Objective):
    """Cross-entropy of the softmax, in nats."""

    differentiable: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean negative log-likelihood of the targets (B,) under softmax of the logits (B, output_size)."""
        return F.cross_entropy(outputs, targets)

    def losses(self, forward: Forward, batch: Batch) -> Tensor:
        """The same for each member; logits of few classes are reduced faster by hand than by ``log_softmax``."""
        inputs, targets = batch
        outputs = forward(inputs)
        if outputs.ndim != 3:
            return torch.vmap(self.loss, in_dims=(0, None))(outputs, targets)
        chosen = outputs.gather(2, targets[None, :, None].expand(len(outputs), -1, 1)).squeeze(2)
        return (outputs.float().logsumexp(2) - chosen).mean(1)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return classification_metrics(spec)
