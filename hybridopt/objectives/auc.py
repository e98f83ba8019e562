"""The area under the ROC curve (Hanley & McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747), as a loss.

It is the share of pairs of a positive and a negative sample whose scores are in the wrong order (Mann & Whitney 1947).
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox.fitness import mean_ranks
from hybridopt.toolbox.margins import margins
from hybridopt.toolbox.metrics import classification_metrics


class AUC(Objective):
    """1 - the area under the ROC curve, each class against the rest, averaged over classes (no gradient)."""

    differentiable: ClassVar[bool] = False
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The share of pairs in the wrong order, ties counting half, for scores (B, output_size) and targets (B,)."""
        return wrong_pairs(outputs[None], targets)[0]

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The same for each member."""
        return wrong_pairs(outputs, targets)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return classification_metrics(spec)


def wrong_pairs(outputs: Tensor, targets: Tensor) -> Tensor:
    """Scores (n, B, C) and classes (B,) -> (n,). The score of a class is its logit less the best other one.

    Classes that have no pair in the batch do not count; with NaN scores all pairs are wrong.
    """
    ranks = 1 + mean_ranks(margins(outputs).mT, outputs.dtype)  # (n, C, B)
    positive = F.one_hot(targets, outputs.shape[2]).to(outputs.dtype).T  # (C, B)
    p = positive.sum(dim=1)
    pairs = p * (positive.shape[1] - p)
    right = (ranks * positive).sum(dim=2) - p * (p + 1) / 2
    wrong = torch.where(pairs > 0, 1 - right / pairs.clamp(min=1), 0.0)
    mean = wrong.sum(dim=1) / (pairs > 0).sum().clamp(min=1)
    return torch.where(outputs.isnan().flatten(1).any(dim=1), 1.0, mean)
