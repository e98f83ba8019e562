"""The numbers of a report: for each strategy on each data set, and over all data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridopt.report import statistics
from hybridopt.report.runs import ComparedRun, Comparison
from hybridopt.report.statistics import Interval


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
    tests = [run.record.metrics.get(f"test/{comparison.metric}") for run in runs]
    known = [test for test in tests if test is not None]
    hits = [run.reached(target, comparison.higher, limit) for run in runs]
    costs = [min(run.forwards, limit) if hit is None else hit for run, hit in zip(runs, hits, strict=True)]
    reached = [hit is not None for hit in hits]
    return ArmSummary(
        strategy,
        dataset,
        len(runs),
        statistics.median(_validation(runs, limit)),
        statistics.median(known) if len(known) == len(tests) else None,
        target,
        statistics.expected_running_time(costs, reached),
        statistics.success_rate(sum(reached), len(runs)),
        statistics.median([run.record.metrics.get("cost/seconds", math.nan) for run in runs]),
        statistics.median([run.record.metrics.get("cost/peak_memory_mb", math.nan) for run in runs]),
    )


def default_target(comparison: Comparison, dataset: str) -> float:
    """The worst of the strategies' median values at the common budget."""
    limit = comparison.budget(dataset)
    groups = [list(comparison.of(strategy, dataset).values()) for strategy in comparison.strategies]
    medians = [float(np.median(_validation(runs, limit))) for runs in groups if runs]
    return min(medians) if comparison.higher else max(medians)


def compared(comparison: Comparison) -> tuple[str, dict[tuple[str, str], dict[str, float]]]:
    """What verdicts are about, and its values by (strategy, data set), then by seed.

    The test, where all runs have one and had the same budget; else validation at the common budget.
    """
    name = f"test/{comparison.metric}"
    tested = all(name in result.record.metrics for result in comparison.results)
    fair = tested and all(comparison.same_budget(dataset) for dataset in comparison.datasets)
    values: dict[tuple[str, str], dict[str, float]] = {}
    for strategy in comparison.strategies:
        for dataset in comparison.datasets:
            runs = comparison.of(strategy, dataset)
            at = {seed: run.at(comparison.budget(dataset)) for seed, run in runs.items()}
            found = {seed: run.record.metrics[name] for seed, run in runs.items()} if fair else at
            values[strategy, dataset] = {seed: value for seed, value in found.items() if value is not None}
    return name if fair else f"val/{comparison.metric} at the common budget", values


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


def _validation(runs: Sequence[ComparedRun], limit: float) -> list[float]:
    return [math.nan if value is None else value for value in (run.at(limit) for run in runs)]
