"""Made-up sweeps whose truth is known, through all that turns runs into the verdicts of a report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hybridopt.report.runs import Comparison, compared_runs, latest
from hybridopt.report.summary import compared
from hybridopt.report.verdict import Verdict, verdicts
from hybridopt.tracking.reading import StoredRun

Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Scenario:
    """A kind of sweep.

    Args:
        name: what is true in it.
        draw: (generator, seeds) -> values (strategies, seeds); NaN where a run has diverged.
        means: the true mean of each strategy, or None where it has none.
        missing: the share of runs that failed.
    """

    name: str
    draw: Draw
    means: tuple[float, ...] | None
    missing: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether no strategy differs from another, and all of them can be drawn anywhere."""
        return self.means is not None and len(self.means) == 4 and len(set(self.means)) == 1 and not self.missing

    def difference(self, a: int, b: int) -> float:
        """Of the means of two strategies; 0 where nobody differs."""
        return 0.0 if self.means is None else self.means[a] - self.means[b]


def normal(means: Sequence[float], spreads: Sequence[float], shared: float = 0.5) -> Draw:
    """Normal values, of whose variance a share is the seed's and the same for all strategies."""

    def draw(generator: np.random.Generator, seeds: int) -> np.ndarray:
        own = generator.normal(size=(len(means), seeds))
        common = generator.normal(size=(1, seeds))
        noise = math.sqrt(1 - shared) * own + math.sqrt(shared) * common
        return np.array(means)[:, None] + np.array(spreads)[:, None] * noise

    return draw


def accuracies(shares: Sequence[float], samples: int) -> Draw:
    """Accuracies on few samples: many ties."""

    def draw(generator: np.random.Generator, seeds: int) -> np.ndarray:
        return generator.binomial(samples, np.array(shares)[:, None], (len(shares), seeds)) / samples

    return draw


def lognormal(strategies: int) -> Draw:
    """Skewed values, such as losses."""
    return lambda generator, seeds: generator.lognormal(0.0, 1.0, (strategies, seeds))


def collapsing(strategies: int, share: float) -> Draw:
    """Runs of which some end at chance."""

    def draw(generator: np.random.Generator, seeds: int) -> np.ndarray:
        values = generator.normal(0.95, 0.01, (strategies, seeds))
        return np.where(generator.random(values.shape) < share, 0.1, values)

    return draw


def diverging(draw: Draw, share: float) -> Draw:
    """Runs of which some end in NaN."""

    def spoilt(generator: np.random.Generator, seeds: int) -> np.ndarray:
        values = draw(generator, seeds)
        return np.where(generator.random(values.shape) < share, math.nan, values)

    return spoilt


ALIKE = normal((0.0,) * 4, (1.0,) * 4)
FAR = Scenario("three alike, one far better", normal((0.0, 0.0, 0.0, 10.0), (1.0,) * 4), (0.0, 0.0, 0.0, 10.0))
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("no effect", ALIKE, (0.0,) * 4),
        Scenario("no effect, variances 1 to 100", normal((0.0,) * 4, (1.0, 1.0, 10.0, 10.0), 0.0), (0.0,) * 4),
        Scenario("no effect, ties (accuracy .97 on 30 samples)", accuracies((0.97,) * 4, 30), (0.97,) * 4),
        Scenario("no effect, skewed (lognormal)", lognormal(4), (math.exp(0.5),) * 4),
        Scenario("no effect, a fifth of the runs collapses", collapsing(4, 0.2), (0.2 * 0.1 + 0.8 * 0.95,) * 4),
        Scenario("no effect, a tenth diverges", diverging(ALIKE, 0.1), None),
        Scenario("no effect, a tenth missing", ALIKE, (0.0,) * 4, missing=0.1),
        FAR,
        Scenario("small effect (0.5 deviations)", normal((0.0, 0.5), (1.0, 1.0), 0.0), (0.0, 0.5)),
        Scenario("large effect (3 deviations)", normal((0.0, 3.0), (1.0, 1.0), 0.0), (0.0, 3.0)),
        Scenario("large effect, a tenth missing", normal((0.0, 3.0), (1.0, 1.0), 0.0), (0.0, 3.0), missing=0.1),
        Scenario("effect with ties (.995 and .97 on 30 samples)", accuracies((0.97, 0.995), 30), (0.97, 0.995)),
    )
}


def judged(values: np.ndarray, missing: np.ndarray) -> list[Verdict]:
    """The verdicts on a sweep, by all that the report does with its runs.

    Args:
        values: (strategies, seeds), of a metric of which more is better.
        missing: (strategies, seeds), which runs failed.
    """
    records = [
        stored(strategy, seed, value, bool(missing[strategy, seed]))
        for (strategy, seed), value in np.ndenumerate(values)
    ]
    finished, left_out = latest(records)
    if not finished:
        return []
    found = compared_runs(finished)
    for run in found:
        run.curve = [(1.0, run.record.metrics["val/score"])]
    comparison = Comparison(found, "score", True, left_out, [])
    return verdicts(compared(comparison)[1], comparison)


def stored(strategy: int, seed: int, value: float, missing: bool) -> StoredRun:
    """A run as MLflow would have it; the strategy is called ``s`` and its number."""
    tags = {"strategy": f"s{strategy}", "dataset": "d", "seed": str(seed), "fingerprint": f"{strategy} {seed}"}
    return StoredRun(
        run_id=f"{strategy} {seed}",
        name=f"s{strategy} {seed}",
        status="FAILED" if missing else "FINISHED",
        start=0,
        tags={f"hybridopt.{key}": tag for key, tag in tags.items()} | {"hybridopt.directions": json.dumps({})},
        params={"budget.forwards": "1"},
        metrics={"val/score": value, "test/score": value, "cost/forwards": 1.0},
    )


@dataclass
class Tally:
    """What happened in the sweeps of a scenario."""

    sweeps: int = 0
    wrong: int = 0  # sweeps with a verdict on strategies that do not differ
    signs: int = 0  # verdicts for the worse one, and verdicts that their own numbers contradict
    decided: int = 0  # verdicts on strategies that differ
    alike: int = 0  # pairs of strategies that do not differ
    differing: int = 0  # and of those that do
    covered: int = 0  # intervals of differences that hold the truth
    intervals: int = 0

    def add(self, scenario: Scenario, found: Sequence[Verdict]) -> None:
        """Count a sweep."""
        self.sweeps += 1
        wrong = False
        for each in found:
            truth = scenario.difference(int(each.a[1:]), int(each.b[1:]))
            wrong |= truth == 0 and each.better is not None
            self.signs += contradicted(each) or (each.better is not None and truth * direction(each) < 0)
            self.alike += truth == 0
            self.differing += truth != 0
            self.decided += truth != 0 and each.better is not None
            if scenario.means is not None and each.found is not None and not math.isnan(each.found.difference.low):
                self.intervals += 1
                self.covered += each.found.difference.low <= truth <= each.found.difference.high
        self.wrong += wrong


def direction(verdict: Verdict) -> int:
    """1 where a is said to be better, -1 where b is."""
    return 1 if verdict.better == verdict.a else -1


def contradicted(verdict: Verdict) -> bool:
    """Whether a verdict's difference, interval and probability do not all say the same."""
    found = verdict.found
    if verdict.better is None or found is None:
        return False
    way = direction(verdict)
    ends = way * found.difference.low, way * found.difference.high, way * found.difference.value
    return min(ends) <= 0 or way * (found.improvement - 0.5) <= 0


def swept(scenario: Scenario, seeds: int, sweeps: int) -> Tally:
    """What the report says of so many sweeps."""
    generator, tally = np.random.default_rng(seeds), Tally()
    for _ in range(sweeps):
        values = scenario.draw(generator, seeds)
        tally.add(scenario, judged(values, generator.random(values.shape) < scenario.missing))
    return tally
