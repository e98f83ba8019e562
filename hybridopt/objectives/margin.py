"""By how much the right class leads, as a loss (Schapire, Freund, Bartlett & Lee 1998).

https://doi.org/10.1214/aos/1024691352
"""

from typing import ClassVar

from torch import Tensor
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox.margins import right_and_rival
from hybridopt.toolbox.metrics import classification_metrics


class Margin(Objective):
    """1 - the mean margin: the probability of the right class less that of the best other one, from 0 to 2."""

    differentiable: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    range: ClassVar[tuple[float, float]] = (0.0, 2.0)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean of 1 - (p_y - max_{c != y} p_c) for p = softmax of the logits (B, output_size), targets y (B,)."""
        right, rival = right_and_rival(outputs.softmax(dim=1), targets)
        return (1 - right + rival.clamp(min=0)).mean()

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return classification_metrics(spec)
