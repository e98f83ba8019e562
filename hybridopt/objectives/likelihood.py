"""The negative log-likelihood of the task: cross-entropy of classes, squared error of values.

Least squares is the likelihood of normal noise (Gauss 1809), cross-entropy that of the softmax (Bridle 1990).
"""

from typing import ClassVar

from torch import Tensor
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.toolbox.losses import mean_squared_error, negative_log_likelihood
from hybridopt.toolbox.metrics import classification_metrics, regression_metrics


class Likelihood(Objective):
    """Cross-entropy where targets are classes, the mean squared error where they are values.

    Good for a stand-in with a gradient, whatever the task is.
    """

    differentiable: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Of outputs (B, output_size) for classes (B,), in nats, or values (B, output_size), in their squared units.

        Raises:
            DataError: values have another shape than the outputs.
        """
        if targets.is_floating_point():
            return mean_squared_error(outputs, targets)
        return negative_log_likelihood(outputs[None], targets).mean()

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return regression_metrics() if spec.task == "regression" else classification_metrics(spec)
