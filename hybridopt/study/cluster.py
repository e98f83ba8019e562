"""What training takes on a cluster of equal workers, by a model that is fitted to measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hybridopt.report.interval import LEVEL, Interval


@dataclass(frozen=True)
class Machine:
    """What things take, in seconds or any other unit.

    Args:
        generation: whatever the population.
        member: for each member of a population, on each worker.
        evaluation: of a member, on the worker that has it.
        step: whatever the batch.
        sample: the gradient of a sample.
        exchange: of a few numbers between two workers; among W of them it takes log2 W times as long.
        gradient: what it takes longer to exchange a gradient.
    """

    generation: float
    member: float
    evaluation: float
    step: float
    sample: float
    exchange: float = 0.0
    gradient: float = 0.0

    def generations(self, populations: Sequence[int], workers: Sequence[int] | np.ndarray) -> np.ndarray:
        """A generation of an evolution strategy, whose members are shared out; (populations, workers)."""
        n, w = np.array(populations, dtype=float)[:, None], np.array(workers, dtype=float)[None]
        own = self.generation + n * self.member + self.evaluation * np.ceil(n / w)
        return own + self.exchange * np.log2(w)

    def steps(self, batches: Sequence[int], workers: Sequence[int] | np.ndarray) -> np.ndarray:
        """A data-parallel step of gradient descent, whose batch is shared out; (batches, workers)."""
        b, w = np.array(batches, dtype=float)[:, None], np.array(workers, dtype=float)[None]
        return self.step + self.sample * np.ceil(b / w) + (self.exchange + self.gradient) * np.log2(w)


def fitted(
    generations: Mapping[tuple[int, int], float],
    steps: Mapping[int, float],
    exchange: float,
    gradient: float,
) -> Machine:
    """The machine whose times are nearest to measured ones, by the sum of squares of their shares.

    Args:
        generations: (population, workers) -> the processor's time, what it has to do for exchanges included.
        steps: batch -> time on one worker.
        exchange: of a few numbers between two workers, at least.
        gradient: of a gradient between them.
    """
    rows = [[1.0, n, np.ceil(n / w), np.log2(w)] for n, w in generations]
    generation, member, evaluation, talk = _nonnegative(rows, list(generations.values()))
    step, sample = _nonnegative([[1.0, size] for size in steps], list(steps.values()))
    return Machine(generation, member, evaluation, step, sample, max(talk, exchange), max(0.0, gradient - exchange))


def _nonnegative(rows: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    from scipy.optimize import nnls

    shares = np.array(rows) / np.array(values)[:, None]
    return [float(each) for each in nnls(shares, np.ones(len(values)))[0]]


@dataclass(frozen=True)
class Counts:
    """Expected generations and steps to the target, infinite where no run gets there.

    Args:
        populations: of the evolution strategy.
        generations: (draws, populations); the first draw is of all runs, the others resample them.
        batches: of Adam.
        steps: (draws, batches).
    """

    populations: list[int]
    generations: np.ndarray
    batches: list[int]
    steps: np.ndarray

    def search(self, machine: Machine, workers: Sequence[int] | np.ndarray) -> np.ndarray:
        """The time of the evolution strategy, with the best population; (draws, workers)."""
        seconds = machine.generations(self.populations, workers)
        return (self.generations[:, :, None] * seconds[None]).min(1)

    def descent(self, machine: Machine, workers: Sequence[int] | np.ndarray) -> np.ndarray:
        """The time of Adam, with the best batch; (draws, workers)."""
        return (self.steps[:, :, None] * machine.steps(self.batches, workers)[None]).min(1)


def break_even(machine: Machine, counts: Counts, workers: Sequence[int] | np.ndarray) -> Interval:
    """The least workers with which the strategy is as fast as Adam on one, with the bootstrap interval over runs.

    Args:
        machine: on which both run.
        counts: of all runs, and of resampled ones.
        workers: ascending numbers of them, of which it is one.

    Returns:
        Infinite where it is none of them, NaN where one side never gets there.
    """
    wanted = counts.descent(machine, [1])
    if not (math.isfinite(wanted[0, 0]) and np.isfinite(counts.generations[0]).any()):
        return Interval(math.nan)
    as_fast = counts.search(machine, workers) <= wanted
    found = np.where(as_fast.any(1), np.array(workers)[as_fast.argmax(1)], math.inf)[np.isfinite(wanted[:, 0])]
    low, high = np.quantile(found[1:], [LEVEL / 2, 1 - LEVEL / 2], method="closest_observation")
    return Interval(float(found[0]), float(low), float(high))
