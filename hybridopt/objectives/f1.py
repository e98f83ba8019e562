"""The F1 score (van Rijsbergen 1979), averaged over classes: what counts where classes are of unequal size."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox.metrics import classification_metrics


class F1(Objective):
    """1 - macro-averaged F1 (no gradient)."""

    differentiable: ClassVar[bool] = False
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """1 - the mean F1 of the classes that occur in targets (B,) or in the largest scores (B, output_size)."""
        classes = torch.arange(outputs.shape[1], device=outputs.device)
        answers = outputs.argmax(dim=1)
        answers = torch.where(outputs.isnan().any(dim=1), outputs.shape[1], answers)  # of no class: wrong
        given = (answers[:, None] == classes).to(outputs.dtype)
        true = F.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
        sizes = given.sum(dim=0) + true.sum(dim=0)
        scores = 2 * (given * true).sum(dim=0) / sizes.clamp(min=1)
        return 1 - scores.sum() / (sizes > 0).sum().clamp(min=1)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return classification_metrics(spec)
