"""The top-k error: an answer is right if the true class is among the k largest scores."""

from typing import ClassVar

from torch import Tensor
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox import ranges
from hybridopt.toolbox.metrics import classification_metrics


class TopK(Objective):
    """The share of samples whose class is not among the k largest scores (no gradient).

    Args:
        k: how many scores count.
        spec: of the data, where it is known.

    Raises:
        ConfigError: k is not positive, or larger than the number of classes.
    """

    differentiable: ClassVar[bool] = False
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __init__(self, k: int = 2, spec: DataSpec | None = None):
        super().__init__()
        ranges.at_least("objective", 1, k=k)
        if spec is not None and self.tasks & {spec.task}:
            ranges.between("objective", 1, spec.output_size, k=k)
        self.k = k

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Scores (B, output_size) and targets (B,); who shares the k-th place with others has missed it."""
        own = outputs.gather(1, targets[:, None])
        at_least = (outputs >= own).sum(dim=1)
        wrong = (at_least > self.k) | outputs.isnan().any(dim=1)
        return wrong.to(outputs.dtype).mean()

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return classification_metrics(spec)
