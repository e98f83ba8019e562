"""The mean squared error, least squares (Legendre 1805, Gauss 1809)."""

from typing import ClassVar

from torch import Tensor
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox.losses import mean_squared_error
from hybridopt.toolbox.metrics import regression_metrics


class MeanSquaredError(Objective):
    """Mean squared error over samples and targets."""

    differentiable: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean of squared differences of outputs and targets, both (B, output_size), in squared units of the targets.

        Raises:
            DataError: the shapes differ (broadcast, (B,) and (B, 1) would give a wrong number).
        """
        return mean_squared_error(outputs, targets)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return regression_metrics()
