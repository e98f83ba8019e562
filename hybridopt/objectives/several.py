"""Several objectives of one run, whose trade-offs are a front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor
from torchmetrics import MetricCollection

from hybridopt.core.objective import Batch, Forward, Objective, first_of
from hybridopt.core.spec import DataSpec
from hybridopt.engine.named import NamedModules
from hybridopt.errors import ConfigError
from hybridopt.toolbox.messages import options


class Several(Objective):
    """Objectives by name, of which the first is what a single one would be: its loss, its metrics, its gradient.

    Type ``objectives='{loss: cross_entropy, sparsity: zero_weights}'``, which is short for ``objective=several`` and
    its parts. A strategy that searches fronts lowers all of them; any other one lowers the first, and what it passes on
    its way is a front as well.

    Args:
        parts: two or more objectives by name.
        reference: the worst value of each objective that still counts, by name: the corner from which hypervolumes are
            measured. Where it is not given, that of the network before training.

    Raises:
        ConfigError: there are fewer than two objectives, one has several itself, or the reference names another one.
    """

    conformance: ClassVar[dict[str, Any]] = {
        "settings": [{"parts": {"loss": {"name": "cross_entropy"}, "sparsity": {"name": "zero_weights"}}}]
    }

    def __init__(self, parts: dict[str, Objective], reference: dict[str, float] = {}):
        super().__init__()
        if len(parts) < 2:
            raise ConfigError(
                f"objective.parts must name two objectives or more, but names {' and '.join(parts) or 'none'}: type "
                "objectives='{loss: cross_entropy, sparsity: zero_weights}', or choose one objective, such as "
                "objective=cross_entropy."
            )
        nested = next((name for name, part in parts.items() if len(part.parts) > 1), None)
        if nested is not None:
            raise ConfigError(f"objective.parts.{nested} has several objectives itself: name them side by side.")
        odd = next((name for name in reference if name not in parts), None)
        if odd is not None:
            raise ConfigError(f"objective.reference.{odd} is none of the objectives.{options(parts, odd)}")
        self._parts = cast(Mapping[str, Objective], NamedModules(parts))
        self.reference = reference

    @property
    def parts(self) -> dict[str, Objective]:
        return dict(self._parts.items())

    @property
    def differentiable(self) -> bool:
        """Whether the first one is."""
        return first_of(self).differentiable

    @property
    def tasks(self) -> frozenset[str] | None:
        """What all of them are made for."""
        known = [part.tasks for part in self._parts.values() if part.tasks is not None]
        return frozenset.intersection(*known) if known else None

    @property
    def of_one_pass(self) -> bool:
        return first_of(self).of_one_pass

    def outputs(self, forward: Forward, batch: Batch) -> Tensor:
        return first_of(self).outputs(forward, batch)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return first_of(self).loss(outputs, targets)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return first_of(self).losses(outputs, targets)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return first_of(self).metrics(spec)
