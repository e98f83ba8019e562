"""How often the report is wrong: made-up sweeps whose truth is known, through all that turns runs into verdicts.

    python scripts/claims/verdicts.py --sweeps 1000 --write docs/report.md

Two tables: error rates, power and coverage of the report as it is; and those of other tests on the same sweeps.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import stats
from tqdm import tqdm

from hybridopt.report import means, statistics
from hybridopt.report.runs import Comparison, compared_runs, latest
from hybridopt.report.summary import compared
from hybridopt.report.verdict import Verdict, verdicts
from hybridopt.tracking.reading import StoredRun

LEVEL = statistics.LEVEL
BEGIN, END = "<!-- made by scripts/claims/verdicts.py -->", "<!-- until here -->"  # of the page that is written
Draw = Callable[[np.random.Generator, int], np.ndarray]
Test = Callable[[np.ndarray, np.ndarray], float]


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
SCENARIOS = (
    Scenario("no effect", ALIKE, (0.0,) * 4),
    Scenario("no effect, variances 1 to 100", normal((0.0,) * 4, (1.0, 1.0, 10.0, 10.0), 0.0), (0.0,) * 4),
    Scenario("no effect, ties (accuracy .97 on 30 samples)", accuracies((0.97,) * 4, 30), (0.97,) * 4),
    Scenario("no effect, skewed (lognormal)", lognormal(4), (math.exp(0.5),) * 4),
    Scenario("no effect, a fifth of the runs collapses", collapsing(4, 0.2), (0.2 * 0.1 + 0.8 * 0.95,) * 4),
    Scenario("no effect, a tenth diverges", diverging(ALIKE, 0.1), None),
    Scenario("no effect, a tenth missing", ALIKE, (0.0,) * 4, missing=0.1),
    Scenario("three alike, one far better", normal((0.0, 0.0, 0.0, 10.0), (1.0,) * 4), (0.0, 0.0, 0.0, 10.0)),
    Scenario("small effect (0.5 deviations)", normal((0.0, 0.5), (1.0, 1.0), 0.0), (0.0, 0.5)),
    Scenario("large effect (3 deviations)", normal((0.0, 3.0), (1.0, 1.0), 0.0), (0.0, 3.0)),
    Scenario("large effect, a tenth missing", normal((0.0, 3.0), (1.0, 1.0), 0.0), (0.0, 3.0), missing=0.1),
    Scenario("effect with ties (.995 and .97 on 30 samples)", accuracies((0.97, 0.995), 30), (0.97, 0.995)),
)  # fmt: skip


# -- from values to verdicts ------------------------------------------------------------------------------------------


def judged(values: np.ndarray, missing: np.ndarray) -> list[Verdict]:
    """The verdicts on a sweep, by all that the report does with its runs."""
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
    """A run as MLflow would have it."""
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
            truth = true_difference(scenario, each)
            wrong |= truth == 0 and each.better is not None
            self.signs += contradicted(each) or (each.better is not None and truth * direction(each) < 0)
            self.alike += truth == 0
            self.differing += truth != 0
            self.decided += truth != 0 and each.better is not None
            if scenario.means is not None and each.found is not None and not math.isnan(each.found.difference.low):
                self.intervals += 1
                self.covered += each.found.difference.low <= truth <= each.found.difference.high
        self.wrong += wrong

    def cells(self) -> list[str]:
        """Family-wise error, sign errors, power, coverage."""
        return [
            f"{self.wrong / self.sweeps:.1%}" if self.alike else "",
            str(self.signs),
            f"{self.decided / self.differing:.0%}" if self.differing else "",
            f"{self.covered / self.intervals:.1%}" if self.intervals else "",
        ]


def true_difference(scenario: Scenario, verdict: Verdict) -> float:
    """Of the means of a and b; 0 where nobody differs."""
    if scenario.means is None:
        return 0.0
    return scenario.means[int(verdict.a[1:])] - scenario.means[int(verdict.b[1:])]


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


# -- other tests ------------------------------------------------------------------------------------------------------


def wilcoxon(x: np.ndarray, y: np.ndarray) -> float:
    """Wilcoxon's signed-rank test, exact, zeros left out."""
    differences = (x - y)[x != y]
    return float(stats.wilcoxon(differences, method="exact").pvalue) if len(differences) else 1.0


def student(x: np.ndarray, y: np.ndarray) -> float:
    """The paired t-test as it is."""
    return 1.0 if np.array_equal(x, y) else float(stats.ttest_rel(x, y).pvalue)


def welch(x: np.ndarray, y: np.ndarray) -> float:
    """Welch's t-test."""
    return 1.0 if np.ptp(np.concatenate([x, y])) == 0 else float(stats.ttest_ind(x, y, equal_var=False).pvalue)


TESTS: dict[str, Test] = {
    "Wilcoxon, exact": wilcoxon,
    "sign flips": lambda x, y: means.sign_flips(x - y)[0],
    "paired t": student,
    "Welch's t": welch,
    "the report's": lambda x, y: means.mean_difference(x, y, LEVEL / 6)[0],
}


def rejected(test: Test, values: np.ndarray) -> set[tuple[int, int]]:
    """The pairs that a test tells apart, by Holm."""
    pairs = list(combinations(range(len(values)), 2))
    with np.errstate(all="ignore"):
        ps = [p if (p := test(values[a], values[b])) == p else 1.0 for a, b in pairs]
    return {pair for pair, p in zip(pairs, statistics.holm(ps), strict=True) if p <= LEVEL}


# -- tables -----------------------------------------------------------------------------------------------------------


def report_table(sweeps: int, seeds: Sequence[int]) -> list[list[str]]:
    """A row for each scenario, with four cells for each number of seeds."""
    rows = []
    for scenario in tqdm(SCENARIOS, desc="the report"):
        cells = []
        for count in seeds:
            generator, tally = np.random.default_rng(count), Tally()
            for _ in range(sweeps):
                values = scenario.draw(generator, count)
                tally.add(scenario, judged(values, generator.random(values.shape) < scenario.missing))
            cells.append(tally.cells())
        rows.append([scenario.name, *(" / ".join(cell[i] for cell in cells) for i in range(4))])
    return rows


def tests_table(sweeps: int, seeds: Sequence[int]) -> list[list[str]]:
    """For each test, family-wise error where nothing differs, and power where one of four is far better."""
    rows = []
    null = [
        s for s in SCENARIOS if s.means is not None and len(s.means) == 4 and len(set(s.means)) == 1 and not s.missing
    ]
    far = Scenario("", normal((0.0, 0.0, 0.0, 10.0), (1.0,) * 4), (0.0, 0.0, 0.0, 10.0))
    for name, test in tqdm(TESTS.items(), desc="other tests"):
        errors, powers = [], []
        for count in seeds:
            rates = []
            for scenario in null:
                generator = np.random.default_rng(count)
                rates.append(np.mean([bool(rejected(test, scenario.draw(generator, count))) for _ in range(sweeps)]))
            generator = np.random.default_rng(count)
            found = [rejected(test, far.draw(generator, count)) for _ in range(sweeps)]
            powers.append(f"{np.mean([len(pairs & {(0, 3), (1, 3), (2, 3)}) / 3 for pairs in found]):.0%}")
            errors.append(f"{max(rates):.1%}")
        rows.append([name, " / ".join(errors), " / ".join(powers)])
    return rows


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=1000, help="of each scenario and number of seeds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10, 15])
    parser.add_argument("--write", type=Path, help="a page, between whose markers the tables are put")
    arguments = parser.parse_args()
    gc.freeze()  # statsmodels collects garbage at each correction, and should not look through torch
    numbers = " / ".join(map(str, arguments.seeds))
    head = [
        f"{arguments.sweeps} sweeps each, with {numbers} seeds",
        "family-wise error",
        "sign errors",
        "power",
        "coverage",
    ]
    text = markdown(head, report_table(arguments.sweeps, arguments.seeds))
    print(text, flush=True)
    fewer = max(1, arguments.sweeps // 5)  # five tests take as long as the report
    others = [
        f"test, with {numbers} seeds, {fewer} sweeps",
        "largest family-wise error",
        "power, one of four far better",
    ]
    text += "\n\n" + markdown(others, tests_table(fewer, arguments.seeds))
    print(text.rpartition("\n\n")[2])
    if arguments.write:
        page = arguments.write.read_text(encoding="utf-8")
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        arguments.write.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
