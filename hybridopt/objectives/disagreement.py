"""How often a classifier decides otherwise than another one, as a measure of behaviour.

The disagreement of two classifiers: Skalak 1996; as a measure of diversity: Kuncheva & Whitaker 2003,
https://doi.org/10.1023/A:1022859003006.
"""

from typing import ClassVar

from torch import Tensor
from torchmetrics import MetricCollection

from hybridopt.core.spec import DataSpec
from hybridopt.toolbox.measures import RelativeObjective


class Disagreement(RelativeObjective):
    """The share of samples on which the decision differs from that of a reference (no gradient).

    As a measure of an archive, the reference is the network at the start, which is evaluated, and charged, on each new
    batch. Where there is no reference, as in ``objective=disagreement``, the targets stand for its decisions: it is the
    zero-one loss.
    """

    differentiable: ClassVar[bool] = False
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The share for outputs (B, output_size); a sample with a NaN counts as decided otherwise."""
        return self.losses(outputs[None], targets)[0]

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The share of each member, of (population, B, output_size)."""
        decisions = targets if self.answers is None else self.answers.argmax(-1)
        other = (outputs.argmax(-1) != decisions) | outputs.isnan().any(-1)
        return other.to(outputs.dtype).mean(-1)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        """None besides its value."""
        return MetricCollection({})
