"""C8: metaheuristics on problems that are NP-hard, against classical heuristics of equal time and exact solvers."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hybridopt import Arm, Judgement, Profile, Results, Study, Table
from hybridopt.study.comparing import Compared, compare_values, table
from hybridopt_combinatorial.classical import PROBLEMS as CLASSICAL
from hybridopt_combinatorial.classical import local_search
from hybridopt_combinatorial.sizes import EXACT, PROBLEMS, drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHOOSE = 3  # instances, the first, on which the metaheuristic and the classical heuristic of a problem are chosen
POPULATIONS = ("genetic_algorithm", "differential_evolution", "nevergrad")
GREEDY, LOCAL, PROOF = "greedy", "local search", "exact"
Values = dict[str, float]


class NPHard(Study):
    """Annealing and populations against greedy heuristics, local search and exact solvers, by gap and by seconds.

    That a problem is NP-hard says that no algorithm is fast on each instance of each size. It does not say that
    instances of a size that somebody has cannot be solved exactly, nor that a metaheuristic is better than what was
    made for the problem. So four problems of several sizes are given to all: each metaheuristic has some seconds, a
    local search (2-opt, insertion, exchanges; from the greedy solution, then from random ones) has as many, and an
    integer program (HiGHS, with subtour elimination for tours) is stopped after a multiple of them only.

    Each seed is an instance. Gaps are to the best solution of an instance that anything here has found, or the optimum
    where it is proven. The first three instances choose a problem's metaheuristic and its classical heuristic, the
    others compare these two. Populations and annealing of keys have equal trials for their settings; annealing of
    permutations measures its own temperature. What is measured depends on the machine. Policies that are learned by
    reinforcement are not among the arms: the package has none.
    """

    number = 8
    claim = "Metaheuristics are the go-to for NP-hard problems."
    said_by = "The thread."
    rule = (
        "A problem is the exact solver's if it proves the optimum of each instance before it is stopped, half of them "
        "in the seconds that metaheuristics have. Else it belongs to the metaheuristic or the classical heuristic with "
        f"the lower gap (chosen on {CHOOSE} instances, compared on the others, p < .05, paired, Holm over problems), "
        "or to nobody. Supported if more than half of the problems belong to metaheuristics; refuted if none does, and "
        "some belongs to another; not distinguishable if all belong to nobody; else mixed."
    )
    profiles = {
        "smoke": Profile(
            seeds=2, minutes=0.2, sizes={"problems": ["tsp of 20", "knapsack of 50"], "seconds": 0.05, "stop": 1.0}
        ),
        "docs": Profile(
            seeds=12, minutes=10, trials=5, sizes={"problems": list(PROBLEMS), "seconds": 0.8, "stop": 8.0}
        ),
        "full": Profile(
            seeds=24, minutes=300, trials=20, sizes={"problems": list(PROBLEMS), "seconds": 10.0, "stop": 100.0}
        ),
    }
    base = ("dataset.instance_seed=${seed}", "dataset.time_limit=0", "budget.forwards=null", "budget.marks=4")

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        budget = f"budget.seconds={profile.sizes['seconds']:g}"
        return {
            arm_of(name, way): Arm(
                (*PROBLEMS[name].overrides, budget, f"strategy={way}"), tuned=way != "permutation_annealing"
            )
            for name in profile.sizes["problems"]
            for way in metaheuristics(name)
        }

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        limits = {"seconds": profile.sizes["seconds"], "stop": profile.sizes["stop"]}
        return {name: {"problem": name, "seeds": list(profile.fresh), **limits} for name in profile.sizes["problems"]}

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """Costs by classical heuristics, and what the exact solver proves and when, by instance."""
        problem = PROBLEMS[cell["problem"]]
        found: dict[str, Any] = {"problem": cell["problem"], "seconds": cell["seconds"], GREEDY: {}, LOCAL: {}}
        found |= {PROOF: {}, "proven in": {}, "greedy in": {}}
        for seed in cell["seeds"]:
            instance, classical = drawn(problem, seed), CLASSICAL[problem.dataset]
            started = time.monotonic()
            found[GREEDY][seed] = classical.cost(instance, classical.greedy(instance))
            found["greedy in"][seed] = time.monotonic() - started
            found[LOCAL][seed] = local_search(classical, instance, cell["seconds"], seed)
            if problem.dataset in EXACT:
                started = time.monotonic()
                proof = EXACT[problem.dataset](instance, cell["stop"])
                if proof.optimal:
                    found[PROOF][seed] = proof.bound
                    found["proven in"][seed] = time.monotonic() - started
        return {name: by_text(value) for name, value in found.items()}

    def judge(self, results: Results) -> Judgement:
        names = [name for name in PROBLEMS if name in results.cells]
        gaps = {name: gaps_of(results, name) for name in names}
        chosen = {name: choose(name, of) for name, of in gaps.items()}
        found = compare_values(*paired_by(gaps, chosen))
        owners = {name: owner(results, name, found) for name in names}
        said = [sentence(results, name, gaps[name], chosen[name], owners[name]) for name in names]
        numbers = {f"{name}/{way}": mean(of[way]) for name, of in gaps.items() for way in of if of[way]}
        counts = {who: list(owners.values()).count(who) for who in ("metaheuristic", "classical", "exact")}
        tables = [
            gap_table(gaps),
            table(found, "Gaps of the two heuristics that were chosen"),
        ]
        return Judgement(verdict(list(owners.values())), said or ["Nothing has run."], tables, numbers | counts)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import legend, panels

        names = [name for name in PROBLEMS if name in results.cells]
        figure, axes = panels(max(1, len(names)))
        for name, panel in zip(names, axes, strict=False):
            gaps, times = gaps_of(results, name), seconds_of(results, name)
            for way in gaps:
                if gaps[way] and times.get(way):
                    panel.plot(times[way], 100 * max(mean(gaps[way]), 1e-6), "o", label=way)
            panel.set(xscale="log", yscale="symlog", xlabel="seconds", ylabel="mean gap, %", title=name)
            legend(panel, "x-small")
        return figure


# -- what is run ------------------------------------------------------------------------------------------------------


def arm_of(name: str, way: str) -> str:
    """The name of an arm."""
    return f"{name}: {way}"


def metaheuristics(name: str) -> list[str]:
    """Those that a problem is given to."""
    return [PROBLEMS[name].annealing, *POPULATIONS]


def by_text(value: Any) -> Any:
    """With texts for keys, as JSON has them."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else value


# -- what came out ----------------------------------------------------------------------------------------------------


def gaps_of(results: Results, name: str) -> dict[str, Values]:
    """Way -> instance -> how far it is above the best known cost, as a share; without runs that diverged."""
    cell = results.cells[name]
    costs = {way: dict(cell[way]) for way in (GREEDY, LOCAL, PROOF)}
    for way in metaheuristics(name):
        values = results.values(arm_of(name, way), "test/loss")
        costs[way] = {seed: value for seed, value in values.items() if math.isfinite(value)}
    best: Values = {}
    for of in costs.values():
        for seed, cost in of.items():
            best[seed] = min(cost, best.get(seed, math.inf))
    return {
        way: {seed: (cost - best[seed]) / (abs(best[seed]) or 1.0) for seed, cost in of.items()}
        for way, of in costs.items()
    }


def choose(name: str, gaps: Mapping[str, Values]) -> tuple[str, str]:
    """The metaheuristic and the classical heuristic whose mean gap on the first instances is the lowest."""
    first = sorted({seed for of in gaps.values() for seed in of})[:CHOOSE]

    def level(way: str) -> float:
        values = [gaps[way][seed] for seed in first if seed in gaps[way]]
        return mean(dict(enumerate(values))) if values else math.inf

    return min(metaheuristics(name), key=level), min((GREEDY, LOCAL), key=level)


def paired_by(
    gaps: Mapping[str, Mapping[str, Values]], chosen: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, Values], list[tuple[str, str]]]:
    """Gaps on the instances that have not chosen, and the pairs to compare; with few instances on all of them."""
    values, pairs = {}, []
    for name, ways in chosen.items():
        seeds = sorted({seed for of in gaps[name].values() for seed in of})
        judged = seeds[CHOOSE:] or seeds
        for way in ways:
            values[arm_of(name, way)] = {seed: gaps[name][way][seed] for seed in judged if seed in gaps[name][way]}
        pairs.append((arm_of(name, ways[0]), arm_of(name, ways[1])))
    return values, pairs


def owner(results: Results, name: str, found: Sequence[Compared]) -> str | None:
    """Whose a problem is, by the rule."""
    cell = results.cells[name]
    proven, limit = list(cell["proven in"].values()), cell["seconds"]
    if len(proven) == len(cell[GREEDY]) and 2 * sum(spent <= limit for spent in proven) >= len(proven):
        return "exact"
    each = next((each for each in found if each.a.startswith(f"{name}: ")), None)
    if each is None or each.better is None:
        return None
    return "metaheuristic" if each.better == each.a else "classical"


def verdict(owners: Sequence[str | None]) -> str:
    """By the rule."""
    won = owners.count("metaheuristic")
    if 2 * won > len(owners):
        return "supported"
    if won:
        return "mixed"
    return "refuted" if any(owners) else "not distinguishable"


def mean(values: Mapping[Any, float]) -> float:
    """Over instances."""
    return statistics.fmean(values.values()) if values else math.nan


def seconds_of(results: Results, name: str) -> Values:
    """The mean time of each way."""
    cell = results.cells[name]
    times = {GREEDY: mean(cell["greedy in"]), LOCAL: cell["seconds"], PROOF: mean(cell["proven in"])}
    for way in metaheuristics(name):
        spent = results.values(arm_of(name, way), "cost/seconds")
        times[way] = mean({seed: value for seed, value in spent.items() if math.isfinite(value)})
    return {way: value for way, value in times.items() if value > 0}


def sentence(
    results: Results, name: str, gaps: Mapping[str, Values], chosen: tuple[str, str], whose: str | None
) -> str:
    """What was found on a problem."""
    cell = results.cells[name]
    shown = ", ".join(f"{way} {100 * mean(gaps[way]):.2g} %" for way in (*chosen, GREEDY) if gaps[way])
    proofs = f"the exact solver proves {len(cell[PROOF])} of {len(cell[GREEDY])} optima"
    if cell["proven in"]:
        proofs += f", in {statistics.median(cell['proven in'].values()):.2g} s (median)"
    if PROBLEMS[name].dataset not in EXACT:
        proofs = "there is no exact solver for this size"
    belongs = {None: "nobody's", "exact": "the exact solver's"}.get(whose, f"the {whose}'s")
    return f"{name}: mean gap {shown}, in {cell['seconds']:g} s; {proofs}. It is {belongs}."


def gap_table(gaps: Mapping[str, Mapping[str, Values]]) -> Table:
    """A row for each problem and way."""
    rows = [
        [name, way, f"{100 * mean(of):.3g}", str(len(of))] for name, ways in gaps.items() for way, of in ways.items()
    ]
    return Table(["problem", "by", "mean gap, %", "instances"], rows, "Gaps to the best known cost")
