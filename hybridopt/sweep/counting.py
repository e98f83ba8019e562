"""How many jobs a sweep would have, counted before any of its values is made."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, prod
from typing import Any, cast

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from hybridopt.composition.schema import JOBS
from hybridopt.composition.values import check_numbers
from hybridopt.errors import ConfigError


def refuse_empty(overrides: Iterable[Override]) -> None:
    """Refuse a sweep over nothing.

    Raises:
        ConfigError: a key has no values, or those between ends that are no finite numbers, or not in order.
    """
    for override in overrides:
        if number_of_values(override) == 0:
            raise ConfigError(f"{override.input_line} has no values, so that the sweep has no jobs: give it some.")


def refuse_many(overrides: Iterable[Override]) -> None:
    """Refuse a sweep whose jobs could not even be listed.

    Raises:
        ConfigError: there are more than :data:`~hybridopt.composition.schema.JOBS`.
    """
    jobs = prod({override.get_key_element(): number_of_values(override) for override in overrides}.values())
    if jobs > JOBS:
        raise ConfigError(f"The sweep would have {jobs} jobs, and {JOBS} are the most: sweep over fewer values.")


def number_of_values(override: Override) -> int:
    """How many values an override stands for; an interval counts as one, or as none where its ends are not in order.

    Raises:
        ConfigError: an end, or the step, is no finite number.
    """
    swept: Any = override.value()
    if isinstance(swept, IntervalSweep):
        check_numbers(override.get_key_element(), [swept.start, swept.end])
        return int(cast(float, swept.start) <= cast(float, swept.end))
    if isinstance(swept, RangeSweep):
        start, stop, step = cast(Any, (swept.start, swept.stop, swept.step))
        check_numbers(override.get_key_element(), [start, stop, step])
        return max(0, ceil((stop - start) / step)) if step else 0
    return sum(1 for _ in override.sweep_string_iterator()) if override.is_sweep_override() else 1
