"""The multi-class hinge loss (Crammer & Singer 2001, https://jmlr.org/papers/v2/crammer01a.html).

``torch.nn.functional.multi_margin_loss`` is another one (Weston & Watkins 1999: the sum over all rivals, not the
strongest), and has no batching rule for vmap.
"""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox.margins import right_and_rival
from hybridopt.toolbox.metrics import classification_metrics


class Hinge(Objective):
    """Multi-class hinge loss: how far each right score fails to lead the best wrong one by 1."""

    differentiable: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean of max(0, 1 + max_{r != y} s_r - s_y) over scores s (B, output_size) and targets y (B,)."""
        right, rival = right_and_rival(outputs, targets)
        return F.relu(1 + rival - right).mean()

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return classification_metrics(spec)
