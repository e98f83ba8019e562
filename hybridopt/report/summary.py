"""The numbers of a report: for each strategy on each data set, and over all data sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hybridopt.report import statistics
from hybridopt.report.interval import Interval
from hybridopt.report.runs import ComparedRun, Comparison

BEYOND = 1e-12  # relative: more than rounding, so that it is not equal


@dataclass(frozen=True)
class ArmSummary:
    """A strategy on a data set.

    Args:
        strategy, dataset: labels.
        runs: finished ones.
        validation: the median at the common budget.
        test: the median; None where a run was not tested.
        target: the value to be reached.
        ert: forwards to the target, those of runs that never reach it included.
        success: the share of runs that reach it.
        seconds: the median of the whole training.
        memory: the median peak, in MB.
    """

    strategy: str
    dataset: str
    runs: int
    validation: Interval
    test: Interval | None
    target: float
    ert: Interval
    success: Interval
    seconds: Interval
    memory: Interval


def arm_summaries(comparison: Comparison, target: float | None) -> list[ArmSummary]:
    """All of them, data set by data set.

    Args:
        comparison: what is compared.
        target: a value of the metric; None is, on each data set, the worst of the strategies' medians, which each of
            them reaches in about half of its runs.
    """
    return [
        arm_summary(comparison, strategy, dataset, default_target(comparison, dataset) if target is None else target)
        for dataset in comparison.datasets
        for strategy in comparison.strategies
        if comparison.of(strategy, dataset)
    ]


def arm_summary(comparison: Comparison, strategy: str, dataset: str, target: float) -> ArmSummary:
    """The numbers of one strategy on one data set."""
    runs = list(comparison.of(strategy, dataset).values())
    limit = comparison.budget(dataset)
    tests = list(comparison.test(strategy, dataset).values())
    hits = [run.reached(target, comparison.higher, limit) for run in runs]
    costs = [min(run.forwards, limit) if hit is None else hit for run, hit in zip(runs, hits, strict=True)]
    reached = [hit is not None for hit in hits]
    return ArmSummary(
        strategy,
        dataset,
        len(runs),
        statistics.median(list(comparison.validation(strategy, dataset).values()) or [math.nan]),
        statistics.median(tests) if len(tests) == len(runs) and _tested(runs, comparison) else None,
        target,
        statistics.expected_running_time(costs, reached),
        statistics.success_rate(sum(reached), len(runs)),
        statistics.median([run.record.metrics.get("cost/seconds", math.nan) for run in runs]),
        statistics.median([run.record.metrics.get("cost/peak_memory_mb", math.nan) for run in runs]),
    )


def default_target(comparison: Comparison, dataset: str) -> float:
    """The worst of the strategies' median values at the common budget, of those that have not diverged."""
    groups = [list(comparison.validation(strategy, dataset).values()) for strategy in comparison.strategies]
    medians = [float(np.median(values)) for values in groups if values]
    finite = [value for value in medians if math.isfinite(value)]
    return (min if comparison.higher else max)(finite, default=math.nan)


def compared(comparison: Comparison) -> tuple[str, dict[tuple[str, str], dict[str, float]]]:
    """What verdicts are about, and its values by (strategy, data set), then by seed.

    The test, where all runs have one and had the same budget; else validation at the common budget. The value of a run
    that has diverged is just below (or above) the worst of all others on the data set.
    """
    tested = _tested([run for run in comparison.results if not run.diverged(comparison.metric)], comparison)
    fair = tested and all(comparison.same_budget(dataset) for dataset in comparison.datasets)
    read = comparison.test if fair else comparison.validation
    values: dict[tuple[str, str], dict[str, float]] = {}
    for dataset in comparison.datasets:
        found = {strategy: read(strategy, dataset) for strategy in comparison.strategies}
        for strategy, finite in worst_for_diverged(found, comparison.higher).items():
            values[strategy, dataset] = finite
    what = f"test/{comparison.metric}" if fair else f"val/{comparison.metric} at the common budget"
    return what, {(s, d): values[s, d] for s in comparison.strategies for d in comparison.datasets}


def worst_for_diverged(found: Mapping[str, Mapping[str, float]], higher: bool) -> dict[str, dict[str, float]]:
    """Values by strategy and seed, of which infinite ones are replaced by one that is just beyond the worst."""
    finite = [value for values in found.values() for value in values.values() if math.isfinite(value)]
    worst = (min if higher else max)(finite, default=0.0)
    way = -1 if higher else 1
    beyond = math.nextafter(worst + way * BEYOND * abs(worst), way * math.inf)
    return {
        strategy: {seed: value if math.isfinite(value) else beyond for seed, value in values.items()}
        for strategy, values in found.items()
    }


def _tested(runs: Sequence[ComparedRun], comparison: Comparison) -> bool:
    return bool(runs) and all(
        f"test/{comparison.metric}" in run.record.metrics or run.diverged(comparison.metric) for run in runs
    )


def overall(
    comparison: Comparison, values: dict[tuple[str, str], dict[str, float]]
) -> dict[str, tuple[Interval, list[list[float]]]]:
    """By strategy that ran on all data sets, the interquartile mean, and the values of each data set."""
    found = {}
    for strategy in comparison.strategies:
        strata = [list(values[strategy, dataset].values()) for dataset in comparison.datasets]
        if all(strata):
            found[strategy] = statistics.interquartile_mean(strata), strata
    return found
