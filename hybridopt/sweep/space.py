"""What is searched: the meaning of the user's axes, Optuna's distributions, and what plugins declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from hybridopt.composition import building
from hybridopt.errors import PluginError
from hybridopt.sweep.plan import Job, Planner


@dataclass
class Axes:
    """What the user's overrides mean to a sweeper that tunes.

    Args:
        groups: fixed values, and those of config groups, which make combinations.
        searched: values to be searched.
        seeds: fresh seeds, for the evaluation.
    """

    groups: list[Override]
    searched: list[Override]
    seeds: list[str]

    @classmethod
    def of(cls, planner: Planner, overrides: Sequence[Override]) -> Axes:
        """Sort overrides."""
        axes = cls([], [], [])
        for override in overrides:
            if override.key_or_group == "seed":
                swept = override.is_sweep_override()
                axes.seeds += list(override.sweep_string_iterator()) if swept else [override.get_value_element_as_str()]
            elif override.is_sweep_override() and not planner.is_group(override):
                axes.searched.append(override)
            else:
                axes.groups.append(override)
        return axes

    def space(self) -> dict[str, Any]:
        """Optuna's distribution of each key that is searched."""
        return {override.get_key_element(): distribution(override) for override in self.searched}


def declared_space(planner: Planner, job: Job, given: Iterable[str]) -> dict[str, Any]:
    """Optuna's distributions of what the strategy of a job, and those nested in it, declare.

    Args:
        planner: reads Hydra's grammar.
        job: composed.
        given: keys and overrides that the user typed, which come before what is declared.
    """
    typed = {override.partition("=")[0].lstrip("+") for override in given}
    texts = {key: text for key, text in declared("strategy", job.config["strategy"]).items() if key not in typed}
    parsed = planner.parse_space([f"{key}={text}" for key, text in texts.items()])
    return {override.get_key_element(): distribution(override) for override in parsed}


def distribution(override: Override) -> Any:
    """Optuna's distribution for a swept override; ``tag(log, ...)`` makes it logarithmic."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    swept = override.value()
    if isinstance(swept, IntervalSweep):
        whole = isinstance(swept.start, int) and isinstance(swept.end, int)
        ends = cast(Any, swept.start), cast(Any, swept.end)  # both are set in what was parsed
        return (IntDistribution if whole else FloatDistribution)(*ends, log="log" in swept.tags)
    if isinstance(swept, RangeSweep) and all(isinstance(v, int) for v in (swept.start, swept.stop, swept.step)):
        start, stop, step = (cast(int, v) for v in (swept.start, swept.stop, swept.step))
        return IntDistribution(start, start + (stop - 1 - start) // step * step, step=step)
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def declared(kind: str, config: Mapping[str, Any]) -> dict[str, str]:
    """The search spaces that a plugin and those nested in it declare: key -> values in Hydra's grammar.

    Args:
        kind: of the plugin.
        config: its settings.
    """
    found: dict[str, str] = {}
    with suppress(PluginError):  # the jobs will say so, each in a sentence
        for node in building.walk(kind, config):
            space = getattr(node.plugin.load(), "search_space", {}) if node.plugin is not None else {}
            found |= {f"{node.path}.{key}": text for key, text in space.items()}
    return found
