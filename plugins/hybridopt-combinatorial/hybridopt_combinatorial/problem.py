"""What the problems have in common: an instance for a data set, and an objective that decodes solutions of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from hybridopt import ConfigError, DataSpec, Objective, TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt.toolbox.splits import check_seed
from hybridopt_combinatorial.exact.proof import Proof
from hybridopt_combinatorial.reference import Reference, Yardstick

NO_SPLIT = (
    "training, validation and test are one and the same instance: a solution is of this instance alone, and nothing is "
    "learned that could hold for another"
)


@dataclass(frozen=True)
class ProblemSpec(DataSpec):
    """The shape of a combinatorial problem.

    Args:
        input_shape: of the instance.
        output_size: how many numbers encode a solution.
        task: the problem's name.
        parameter: what these numbers are: "keys", whose order is a permutation, or "logits".
        yardstick: knows the optimum, or how to come by it.
        legend: the names by which an answer is told, where the instance has any.
    """

    parameter: str
    yardstick: Yardstick = field(compare=False, repr=False)
    legend: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def reference(self) -> Reference:
        """What a gap is measured to; solved for when first asked for."""
        return self.yardstick.reference


def instance_data(
    task: str,
    instance: np.ndarray,
    output_size: int,
    parameter: str,
    solver: Callable[[np.ndarray, float], Proof],
    time_limit: float,
    best_known: float | None,
    legend: Mapping[str, Any] | None = None,
) -> TensorDataModule:
    """One instance as a data set: a batch is the instance, so that one evaluation of a solution costs one forward.

    Training, validation and test are the same, since nothing is learned that could hold for another instance.

    Args:
        task: the problem's name.
        instance: any array of numbers; the objective gets it as targets (1, \\*shape) in float32.
        output_size: how many numbers encode a solution.
        parameter: "keys" or "logits".
        solver: finds the optimum, or a bound on it.
        time_limit: seconds for the solver.
        best_known: a loss that takes the place of the solver's answer.
        legend: names by which an answer is told.
    """
    rounded = np.asarray(instance, dtype=np.float32)  # the solver gets the same numbers: equal solutions, equal costs
    yardstick = Yardstick(solver, rounded, time_limit, best_known)
    spec = ProblemSpec(rounded.shape, output_size, task, parameter, yardstick, legend or {})
    batch = torch.from_numpy(rounded)[None]
    return TensorDataModule((batch, batch), (batch, batch), (batch, batch), spec, batch_size=None)


def check_generated(instance_seed: int, **sizes: tuple[int, int]) -> None:
    """Refuse what no instance can be drawn from.

    Args:
        instance_seed: numpy's.
        sizes: setting -> (its value, the least one).

    Raises:
        ConfigError: a setting is out of range.
    """
    check_seed(instance_seed=instance_seed)
    for name, (value, least) in sizes.items():
        ranges.at_least("dataset", least, **{name: value})


class ProblemObjective(Objective):
    """An objective that decodes solutions, the whole population at once, and knows the gap to the optimum.

    A subclass says what a solution costs (:meth:`costs`) and what it is in words (:meth:`answer`).
    """

    differentiable: ClassVar[bool] = False

    @abstractmethod
    def costs(self, outputs: Tensor, instances: Tensor) -> Tensor:
        """What each member's solution of each instance costs.

        Args:
            outputs: (population, B, output_size).
            instances: (B, \\*input_shape).

        Returns:
            (population, B), lower is better.
        """

    @abstractmethod
    def answer(self, outputs: Tensor, instance: Tensor, spec: ProblemSpec) -> dict[str, Any]:
        """One solution (output_size,) of an instance (\\*input_shape), in plain values and the instance's own names."""

    def reported(self) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
        """What is reported besides the gap: name -> (outputs (B, output_size), instances) -> (B,)."""
        return {}

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean cost of solutions (B, output_size) of instances (B, ...); a NaN makes it infinite."""
        return self._checked(outputs[None], targets).mean()

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._checked(outputs, targets).mean(dim=1)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        """``gap``: (cost - reference) / \\|reference\\|; ``proven``: 1 where the reference is the optimum.

        Where it is not (0), the reference is a bound, and the gap to the optimum is smaller, or the best value known.
        To a reference of zero the gap is the difference. More as the problem has it.

        Raises:
            ConfigError: the data set does not know its optimum.
        """
        if not isinstance(spec, ProblemSpec):
            raise ConfigError(
                f"The objective {type(self).__name__} needs a data set that is an instance of its problem, but the "
                f"data set is a {spec.task} problem: choose {self.example}."
            )
        reference = spec.reference
        measures = {
            "gap": partial(self._gap, reference.value),
            "proven": partial(constant, float(reference.proven)),
            **self.reported(),
        }
        return MetricCollection({name: Mean(measure) for name, measure in measures.items()})

    @property
    def example(self) -> str:
        """A data set that fits, as users type it."""
        return f"dataset={next(iter(self.tasks))}"

    def _gap(self, reference: float, outputs: Tensor, instances: Tensor) -> Tensor:
        return relative(self._checked(outputs[None], instances)[0], reference)

    def _checked(self, outputs: Tensor, instances: Tensor) -> Tensor:
        costs = self.costs(outputs, instances)
        return torch.where(outputs.isnan().any(dim=-1), torch.inf, costs)


def relative(costs: Tensor, reference: float) -> Tensor:
    """How far costs are above a reference, as a share of its size."""
    return (costs - reference) / (abs(reference) or 1.0)


def constant(value: float, outputs: Tensor, instances: Tensor) -> Tensor:
    """The same value for each sample."""
    return torch.full((len(outputs),), value)


class Mean(Metric):
    """The mean over samples of what is measured on each; in float64, where the device has it.

    Args:
        measure: (outputs (B, output_size), targets) -> (B,).
    """

    full_state_update = False
    higher_is_better = False

    def __init__(self, measure: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.measure = measure
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in solutions (B, output_size) and instances (B, ...)."""
        values = self.measure(outputs.detach().cpu().double(), targets.cpu().double())
        self.total += values.sum().to(self.total)
        self.count += len(values)

    def compute(self) -> Tensor:
        return self.total / self.count
