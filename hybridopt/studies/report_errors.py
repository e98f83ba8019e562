"""How often the report is wrong: made-up sweeps whose truth is known, through all that turns runs into verdicts."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hybridopt.core.study import Cell, Judgement, Profile, Results, Study, Table
from hybridopt.report import means, statistics
from hybridopt.report.interval import LEVEL, Interval
from hybridopt.study.made_up_sweeps import FAR, SCENARIOS, Tally, swept

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEEDS = (3, 5, 10, 15)
MOST = 0.10  # the family-wise error that must be excluded
PAIRS = 6  # of the four strategies that tests are tried on
Test = Callable[[np.ndarray, np.ndarray], float]


class ReportErrors(Study):
    """Family-wise error, sign errors, power and coverage of the report's verdicts, and other tests on the same sweeps.

    A sweep is made up of values whose true means are known, and goes through all that the report does with runs:
    labels, failed and diverged runs, pairs by seed, Holm's correction, sentences. *Family-wise error* is the share of
    sweeps in which at least one pair of strategies that do not differ got a verdict; *sign errors* are verdicts for
    the worse one, or such that contradict their own numbers; *power* is the share of pairs that differ and got a
    verdict; *coverage* the share of intervals of differences that hold the truth. Of other tests the error is the
    largest over all scenarios without an effect.
    """

    claim = "Of twenty sweeps without an effect, the report names a difference in one at most."
    said_by = "The report, which calls its level 5 %."
    rule = (
        f"Refuted if in a scenario, with some number of seeds, the family-wise error is above {LEVEL:.0%} (exact "
        f"binomial test, p < .05, Holm over all of them); supported if not, and all intervals (Wilson) end below "
        f"{MOST:.0%}; else not distinguishable. Power, coverage, sign errors and other tests are told, and do not "
        "count."
    )
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.05, sizes={"sweeps": 4, "of tests": 2, "seeds": [5]}),
        "docs": Profile(seeds=1, minutes=2, sizes={"sweeps": 500, "of tests": 100, "seeds": list(SEEDS)}),
        "full": Profile(seeds=1, minutes=10, sizes={"sweeps": 3000, "of tests": 600, "seeds": list(SEEDS)}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        asked = {"scenario": (SCENARIOS, profile.sizes["sweeps"]), "test": (TESTS, profile.sizes["of tests"])}
        return {
            f"{name}, {seeds} seeds": {kind: name, "seeds": seeds, "sweeps": sweeps}
            for kind, (names, sweeps) in asked.items()
            for name in names
            for seeds in profile.sizes["seeds"]
        }

    def compute(self, **cell: Any) -> Cell:
        """What happened in the sweeps of a scenario, or by another test."""
        gc.freeze()  # statsmodels collects garbage at each correction, and should not look through torch
        try:
            if "scenario" in cell:
                return cell | asdict(swept(SCENARIOS[cell["scenario"]], cell["seeds"], cell["sweeps"]))
            return cell | tried(TESTS[cell["test"]], cell["seeds"], cell["sweeps"])
        finally:
            gc.unfreeze()

    def judge(self, results: Results) -> Judgement:
        nothing = {name: cell for name, cell in results.cells.items() if "scenario" in cell and cell["alike"]}
        above = dict(zip(nothing, statistics.holm([excess(cell) for cell in nothing.values()]), strict=True))
        rates = {name: rate(cell) for name, cell in nothing.items()}
        too_often = [name for name, p in above.items() if p <= LEVEL]
        highest = max(rates, key=lambda name: rates[name].value)
        told = max(interval.high for interval in rates.values()) < MOST
        verdict = "refuted" if too_often else "supported" if told else "not distinguishable"
        signs = sum(cell["signs"] for cell in results.cells.values() if "scenario" in cell)
        found = [
            f"The highest family-wise error is {percent(rates[highest])}: {highest} (p of more than {LEVEL:.0%} = "
            f"{above[highest]:.2g}).",
            f"Above {LEVEL:.0%}: {'; '.join(too_often) or 'none'}.",
            f"{signs} verdicts were for the worse one, or contradicted their own numbers.",
        ]
        numbers = {"error/highest": rates[highest].value, "sign errors": float(signs)}
        return Judgement(verdict, found, list(tables(results)), numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import legend, panels

        figure, (axes,) = panels(1)
        for name in SCENARIOS:
            cells = [c for c in results.cells.values() if c.get("scenario") == name and c["alike"]]
            if cells:
                axes.plot([c["seeds"] for c in cells], [rate(c).value for c in cells], "o-", markersize=4, label=name)
        axes.axhline(LEVEL, color="black", linestyle=":")
        axes.set(xlabel="seeds", ylabel="family-wise error", ylim=(0, None))
        legend(axes, "xx-small")
        return figure


# -- what is said -----------------------------------------------------------------------------------------------------


def rate(cell: Cell) -> Interval:
    """The family-wise error, with Wilson's interval."""
    return statistics.success_rate(cell["wrong"], cell["sweeps"])


def excess(cell: Cell) -> float:
    """The p of a family-wise error that is not above the level."""
    from scipy import stats

    return float(cast(Any, stats.binomtest(cell["wrong"], cell["sweeps"], LEVEL, alternative="greater")).pvalue)


def percent(found: Interval) -> str:
    """A share with its interval."""
    return f"{found.value:.1%} (95 % CI {found.low:.1%} to {found.high:.1%})"


def tables(results: Results) -> Iterator[Table]:
    """Scenarios, and other tests; in each place a number for each number of seeds."""
    cells = results.cells.values()
    seeds = " / ".join(str(count) for count in dict.fromkeys(cell["seeds"] for cell in cells))
    scenarios = [name for name in SCENARIOS if any(cell.get("scenario") == name for cell in cells)]
    columns = {name: [columns_of(cell) for cell in cells if cell.get("scenario") == name] for name in scenarios}
    rows = [[name, *(" / ".join(parts) for parts in zip(*found, strict=True))] for name, found in columns.items()]
    head = ["what is true", "family-wise error", "sign errors", "power", "coverage"]
    yield Table(head, rows, f"The report, with {seeds} seeds")
    by_test = {name: [cell for cell in cells if cell.get("test") == name] for name in TESTS}
    others = [
        [name, " / ".join(f"{c['error']:.1%}" for c in found), " / ".join(f"{c['power']:.0%}" for c in found)]
        for name, found in by_test.items()
        if found
    ]
    head = ["test", "largest family-wise error", "power, one of four far better"]
    yield Table(head, others, f"Other tests on such sweeps, with {seeds} seeds")


def columns_of(cell: Cell) -> list[str]:
    """Family-wise error, sign errors, power, coverage."""
    tally = Tally(**{name: cell[name] for name in Tally.__dataclass_fields__})
    return [
        f"{tally.wrong / tally.sweeps:.1%}" if tally.alike else "-",
        str(tally.signs),
        f"{tally.decided / tally.differing:.0%}" if tally.differing else "-",
        f"{tally.covered / tally.intervals:.1%}" if tally.intervals else "-",
    ]


# -- other tests ------------------------------------------------------------------------------------------------------


def wilcoxon(x: np.ndarray, y: np.ndarray) -> float:
    """Wilcoxon's signed-rank test, exact, zeros left out."""
    from scipy import stats

    differences = (x - y)[x != y]
    return float(cast(Any, stats.wilcoxon(differences, method="exact")).pvalue) if len(differences) else 1.0


def student(x: np.ndarray, y: np.ndarray) -> float:
    """The paired t-test as it is."""
    from scipy import stats

    return 1.0 if np.array_equal(x, y) else float(cast(Any, stats.ttest_rel(x, y)).pvalue)


def welch(x: np.ndarray, y: np.ndarray) -> float:
    """Welch's t-test."""
    from scipy import stats

    same = np.ptp(np.concatenate([x, y])) == 0
    return 1.0 if same else float(cast(Any, stats.ttest_ind(x, y, equal_var=False)).pvalue)


TESTS: dict[str, Test] = {
    "Wilcoxon, exact": wilcoxon,
    "sign flips": lambda x, y: means.sign_flips(x - y)[0],
    "paired t": student,
    "Welch's t": welch,
    "the report's": lambda x, y: means.mean_difference(x, y, LEVEL / PAIRS)[0],
}


def rejected(test: Test, values: np.ndarray) -> set[tuple[int, int]]:
    """The pairs that a test tells apart, by Holm."""
    pairs = list(combinations(range(len(values)), 2))
    with np.errstate(all="ignore"):
        ps = [p if (p := test(values[a], values[b])) == p else 1.0 for a, b in pairs]
    return {pair for pair, p in zip(pairs, statistics.holm(ps), strict=True) if p <= LEVEL}


def tried(test: Test, seeds: int, sweeps: int) -> dict[str, float]:
    """The largest family-wise error of a test where nothing differs, and its power where one of four is far better."""
    errors = []
    for scenario in (each for each in SCENARIOS.values() if each.equal):
        generator = np.random.default_rng(seeds)
        errors.append(np.mean([bool(rejected(test, scenario.draw(generator, seeds))) for _ in range(sweeps)]))
    generator, better = np.random.default_rng(seeds), {(0, 3), (1, 3), (2, 3)}
    found = [len(rejected(test, FAR.draw(generator, seeds)) & better) / len(better) for _ in range(sweeps)]
    return {"error": float(max(errors)), "power": float(np.mean(found))}
