"""The mean of one output, as a measure of behaviour: where a robot ends, how often a class is answered."""

from typing import ClassVar, Literal

from torch import Tensor
from torchmetrics import MetricCollection

from hybridopt.core.objective import Objective
from hybridopt.core.spec import DataSpec
from hybridopt.errors import ConfigError
from hybridopt.toolbox.ranges import one_of

RANGES = {"identity": None, "sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0)}


class MeanOutput(Objective):
    """The mean over the batch of an output of the network, to be read rather than lowered.

    Of ``model=point_robot`` outputs 0 and 1 are where the robot ends: together they are the behaviour of an episode.

    Args:
        index: which output; -1 is the last.
        activation: what the outputs go through first; "softmax" makes them a classifier's probabilities.

    Raises:
        ConfigError: there is no such activation; in a run, there is no such output.
    """

    differentiable: ClassVar[bool] = True

    def __init__(self, index: int = 0, activation: Literal["identity", "sigmoid", "softmax"] = "identity"):
        super().__init__()
        one_of("objective", RANGES, activation=activation)
        self.index, self.activation = index, activation

    @property
    def range(self) -> tuple[float, float] | None:
        """0 to 1 of probabilities; none of outputs as they are."""
        return RANGES[self.activation]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean of output ``index`` of (B, output_size); the targets do not count."""
        return self.losses(outputs[None], targets)[0]

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean of each member, of (population, B, output_size)."""
        count = outputs.shape[-1]
        if not -count <= self.index < count:
            raise ConfigError(
                f"objective.index must be one of the network's outputs, 0 to {count - 1}, but is {self.index}."
            )
        if self.activation != "identity":
            outputs = outputs.softmax(-1) if self.activation == "softmax" else outputs.sigmoid()
        return outputs[..., self.index].mean(-1)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        """None besides its value."""
        return MetricCollection({})
