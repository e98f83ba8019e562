"""The mean squared error, least squares (Legendre 1805, Gauss 1809)."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanAbsoluteError, MetricCollection, R2Score

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.errors import DataError


class MeanSquaredError(Objective):
    """Mean squared error over samples and targets."""

    differentiable: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean of squared differences of outputs and targets, both (B, output_size), in squared units of the targets.

        Raises:
            DataError: the shapes differ (broadcast, (B,) and (B, 1) would give a wrong number).
        """
        if outputs.shape != targets.shape:
            raise DataError(
                f"objective=mse needs targets of the outputs' shape {tuple(outputs.shape)}, but they have the shape "
                f"{tuple(targets.shape)}: let the data set give targets of shape (samples, output_size)."
            )
        return F.mse_loss(outputs, targets)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        """``r2``, averaged over the targets, and ``mae``; they take outputs and targets, both (B, output_size)."""
        return MetricCollection({"r2": R2Score(), "mae": MeanAbsoluteError()})
