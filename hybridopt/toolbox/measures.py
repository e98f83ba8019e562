"""Measures: objectives that are read and not lowered, by which archives tell networks apart."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Mapping, Sequence

from torch import Tensor

from hybridopt.core.objective import Objective
from hybridopt.errors import ConfigError, options


class RelativeObjective(Objective, ABC):
    """What is read off a network beside another one, the reference.

    Whoever uses it as a measure says what the reference answers on each batch, by :meth:`compare_with`; an archive's
    reference is the network at the start. Until then the targets stand for its answers.

    Attributes:
        answers: outputs of the reference (B, output_size) on the batch that comes next; None for the targets.
    """

    answers: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("answers", None, persistent=False)  # whoever makes them keeps them

    def compare_with(self, answers: Tensor | None) -> None:
        """Take the outputs of the reference (B, output_size) on the batch that is evaluated next."""
        self.answers = answers


def bounds_of(
    measures: Mapping[str, Objective], ranges: Mapping[str, Sequence[float]]
) -> dict[str, tuple[float, float]]:
    """The range of each measure by name: the one that is set, or else the measure's own.

    Args:
        measures: by name.
        ranges: [low, high] by the name of a measure.

    Raises:
        ConfigError: there is no measure, a range is none, or belongs to none, or a measure has none.
    """
    if not measures:
        raise ConfigError(
            "strategy.measures must name one measure or more: type +objective@strategy.measures.share=layer_share, or "
            "the name of another objective that tells networks apart."
        )
    odd = next((name for name in ranges if name not in measures), None)
    if odd is not None:
        raise ConfigError(f"strategy.ranges.{odd} is the range of no measure.{options(measures, odd)}")
    for name, value in ranges.items():
        if len(value) != 2 or not all(map(math.isfinite, value)) or not value[0] < value[1]:
            raise ConfigError(
                f"strategy.ranges.{name} must be a lower and an upper bound, such as [-1, 1], but is {list(value)}."
            )
    return {name: _bounds(name, measure, ranges.get(name)) for name, measure in measures.items()}


def _bounds(name: str, measure: Objective, value: Sequence[float] | None) -> tuple[float, float]:
    found = value or measure.range
    if found is None:
        raise ConfigError(
            f"strategy.measures.{name}, {type(measure).__name__}, has no range of its own: type "
            f"'+strategy.ranges.{name}=[-1, 1]', with the bounds that are of interest."
        )
    return float(found[0]), float(found[1])


def check_differentiable(measures: Mapping[str, Objective]) -> None:
    """Refuse measures that have no gradient.

    Raises:
        ConfigError: there is one.
    """
    odd = next((name for name, measure in measures.items() if not measure.differentiable), None)
    if odd is not None:
        raise ConfigError(
            f"strategy.measures.{odd}, {type(measures[odd]).__name__}, has no gradient, and the strategy follows those "
            "of all measures: choose others, such as mean_output, layer_share or l1_norm, or a strategy that asks for "
            "none, such as strategy=cma_mae."
        )
