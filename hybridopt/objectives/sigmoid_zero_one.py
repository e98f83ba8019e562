"""A smooth zero-one loss: the sigmoid of the margin (Mason, Baxter, Bartlett & Frean 1999).

https://papers.nips.cc/paper/1999/hash/96a93ba89a5b5c6c226e49b88973f46e-Abstract.html. It is not convex, and forgives
what is hopelessly wrong, as the zero-one loss does.
"""

from typing import ClassVar

from torch import Tensor
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox import ranges
from hybridopt.toolbox.margins import right_and_rival
from hybridopt.toolbox.metrics import classification_metrics


class SigmoidZeroOne(Objective):
    """The mean sigmoid of how far each right score trails the best wrong one.

    Args:
        beta: the steepness; the larger, the closer to the zero-one loss.

    Raises:
        ConfigError: beta is not positive.
    """

    differentiable: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    def __init__(self, beta: float = 1.0):
        super().__init__()
        ranges.positive("objective", beta=beta)
        self.beta = beta

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean of sigmoid(beta (max_{r != y} s_r - s_y)) over scores s (B, output_size) and targets y (B,)."""
        right, rival = right_and_rival(outputs, targets)
        return (self.beta * (rival - right)).sigmoid().mean()

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return classification_metrics(spec)
