"""C14: searches against descent from many starts, on functions with many optima, over the number of dimensions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hybridopt.core.study import Cell, Judgement, Profile, Results, Study, Table, Verdict
from hybridopt.study.comparing import Compared, compare_values, table
from hybridopt.study.functions import Function, Recorded, ackley, rastrigin, rosenbrock, searched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CMA, EVOLUTION = "CMA-ES, restarted", "differential evolution"
MULTISTART, HOPPING = "L-BFGS, many starts", "L-BFGS, basin hopping"
SEARCHES, DESCENTS = (CMA, EVOLUTION), (MULTISTART, HOPPING)
MANY_OPTIMA = ("rastrigin", "ackley", "rbf network")
FUNCTIONS = (*MANY_OPTIMA, "rosenbrock")
FEW, MANY = 10, 100  # dimensions: "few" up to, "many" from
BOX = 5.0  # starts are uniform within, in each dimension
PRECISE = {"maxiter": 10_000, "maxfun": 10**6, "ftol": 1e-13, "gtol": 1e-9}  # of L-BFGS
FULL = 30  # dimensions up to which CMA-ES learns a full covariance
GRADIENT = 3  # evaluations that a gradient costs
FLOOR = 1e-8  # of a gap: below, a function counts as solved


class Multimodal(Study):
    """Rastrigin, Ackley, an RBF network and Rosenbrock in 2 to 300 dimensions, by equal numbers of evaluations.

    A descent sees the optimum whose basin it starts in; a search sees the large shape. So searches should win where
    there are many optima and few dimensions. Each side has two methods of those that are used for such functions, so
    that neither is represented by a weak one: CMA-ES that starts again with twice the population where it stalls
    (Auger and Hansen 2005, https://doi.org/10.1109/CEC.2005.1554902), with a full covariance up to 30 dimensions and of
    limited memory (LM-MA-ES) above, and L-SHADE; L-BFGS from random starts, and L-BFGS from steps around the best
    optimum so far (basin hopping, Wales and Doye 1997, https://doi.org/10.1021/jp970984n). All know the box of starts,
    nobody is tuned: scales are shares of the box, or what the optima's distance is found to be.

    The optimum lies at a random place, that of Rosenbrock too. The RBF network has d / 2 Gaussian units in the
    plane, and its centres are fitted to those that have made the data. A gradient counts as three evaluations, its
    value included. The gap is the lowest value that was seen, less that of the optimum.
    """

    number = 14
    claim = "In few dimensions with many optima gradient-free methods win, and they lose as dimensions grow."
    said_by = "The thread."
    rule = (
        "A side wins on a function in d dimensions if one of its methods ends with a lower gap (log10, p < .05, paired "
        "by seed, Holm over all comparisons of the study) than each method of the other side. Of functions with many "
        f"optima in up to {FEW} dimensions (few) and in {MANY} or more (many): supported if searches win more often "
        "than descents with few, and descents more often than searches with many; refuted if descents win more often "
        "with few, or searches with many; not distinguishable if neither side wins any; else mixed. Rosenbrock has one "
        "valley, is shown, and does not count."
    )
    profiles = {
        "smoke": Profile(2, 0.1, sizes={"d": [2], "functions": ["rastrigin", "rosenbrock"], "evaluations": 300}),
        "docs": Profile(10, 10, sizes={"d": [2, 4, 10, 30, 100, 300], "evaluations": 10_000}),
        "full": Profile(20, 120, sizes={"d": [2, 4, 10, 30, 100, 300, 1000], "evaluations": 50_000}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        return {
            f"{function}, d={d}, seed {seed}": {
                "function": function, "d": d, "seed": seed, "evaluations": profile.sizes["evaluations"]
            }
            for function in profile.sizes.get("functions", FUNCTIONS)
            for d in profile.sizes["d"]
            for seed in profile.fresh
        }  # fmt: skip

    def compute(self, **cell: Any) -> Cell:
        """The gap of each method on one function."""
        gaps = {}
        for method in (*SEARCHES, *DESCENTS):
            seen = Recorded(function_of(cell["function"], cell["d"], cell["seed"]))
            run = search if method in SEARCHES else descend
            run(method, seen, cell["d"], cell["evaluations"], cell["seed"])
            gaps[method] = max(seen.best, FLOOR)
        return {**cell, "gaps": gaps}

    def judge(self, results: Results) -> Judgement:
        wins, compared = outcomes(results)
        few = [side for (function, d), side in wins.items() if function in MANY_OPTIMA and d <= FEW]
        many = [side for (function, d), side in wins.items() if function in MANY_OPTIMA and d >= MANY]
        found = [
            *(f"On functions with many optima in {said(some, where)}." for some, where in (
                (few, f"up to {FEW} dimensions"), (many, f"{MANY} dimensions or more")) if some),
            *(sentence(results, function, wins) for function in dict.fromkeys(function for function, _ in wins)),
        ]  # fmt: skip
        numbers = {
            f"{where}/{side}": float(some.count(side))
            for where, some in (("few", few), ("many", many))
            for side in ("searches", "descents")
        } | {"few": float(len(few)), "many": float(len(many))}
        return Judgement(verdict(few, many), found, [gaps(results, wins), table(compared, "log10 of the gap")], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import panels

        where = list(outcomes(results)[0])
        functions = list(dict.fromkeys(function for function, _ in where))
        sizes = sorted({d for _, d in where})
        figure, (axes,) = panels(1)
        grid = np.array([[advantage(results, function, d) for d in sizes] for function in functions])
        image = axes.imshow(grid, cmap="RdBu", vmin=-5, vmax=5, aspect="auto")
        for row, column in np.ndindex(*grid.shape):
            if np.isfinite(grid[row, column]):
                axes.text(column, row, f"{grid[row, column]:+.1f}", ha="center", va="center", fontsize="small")
        axes.set_xticks(range(len(sizes)), [str(d) for d in sizes])
        axes.set_yticks(range(len(functions)), functions)
        axes.set(xlabel="dimensions", title="advantage of searches, decades")
        axes.grid(visible=False)
        figure.colorbar(image)
        return figure


# -- functions --------------------------------------------------------------------------------------------------------


def function_of(name: str, d: int, seed: int) -> Function:
    """(n, d) -> (n,), with its lowest value, 0, at a random place."""
    generator = torch.Generator().manual_seed(seed)
    place = 0.6 * BOX * (2 * torch.rand(d, generator=generator, dtype=torch.float64) - 1)
    if name == "rbf network":
        return rbf_network(place, generator)
    plain = {"rastrigin": rastrigin, "ackley": ackley, "rosenbrock": lambda x: rosenbrock(x + 1)}[name]
    return lambda x: plain(x - place)


def rbf_network(place: Tensor, generator: torch.Generator) -> Function:
    """The squared error of Gaussian units of width 1 in the plane, of weights that are known, over their centres."""
    line = torch.linspace(-BOX, BOX, 12, dtype=torch.float64)
    points = torch.cartesian_prod(line, line)  # (144, 2)
    weights = torch.randn(len(place) // 2, generator=generator, dtype=torch.float64)

    def outputs(x: Tensor) -> Tensor:
        centres = x.view(len(x), -1, 2)
        squares = (centres**2).sum(2)[:, :, None] - 2 * centres @ points.T + (points**2).sum(1)
        return torch.einsum("k,nkp->np", weights, torch.exp(-squares / 2))

    wanted = outputs(place[None])
    return lambda x: (outputs(x) - wanted).square().mean(dim=1)


# -- methods ----------------------------------------------------------------------------------------------------------


def search(method: str, function: Recorded, d: int, evaluations: int, seed: int) -> None:
    """A search by the oracle; CMA-ES starts again with twice the population where it stalls."""
    popsize, start, turn = 4 + int(3 * math.log(d)), starts(d, seed), 0
    shared = {"sigma": 0.4 * BOX}
    if method == EVOLUTION:
        strategy = {"name": "differential_evolution", "final_popsize": 4, **shared}
        searched(strategy, function, next(start), evaluations, seed)
        return
    kind = {"name": "nevergrad", "optimizer": "CMA"} if d <= FULL else {"name": "lm_ma_es"}
    while (left := evaluations - len(function.values)) >= 4 * popsize or not turn:
        strategy = {**kind, "popsize": popsize, **shared}
        searched(strategy, function, next(start), left, seed + 1000 * turn, patience=10 + 30 * d // popsize)
        popsize, turn = 2 * popsize, turn + 1


def descend(method: str, function: Recorded, d: int, evaluations: int, seed: int) -> None:
    """L-BFGS again and again: from anywhere in the box, or from around the best optimum so far."""
    from scipy.optimize import minimize

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        if GRADIENT * (len(function.values) + 1) > evaluations:
            raise StopIteration
        place = torch.from_numpy(x)[None].requires_grad_()
        value = function(place).sum()
        return float(value.detach()), torch.autograd.grad(value, place)[0][0].numpy()

    start, generator, length = starts(d, seed), np.random.default_rng(seed), 0.1 * BOX
    here, lowest = next(start).numpy(), math.inf
    try:
        while True:
            step = length * generator.uniform(-1, 1, d) if math.isfinite(lowest) else 0.0
            x0 = here + step if method == HOPPING else here
            found: Any = minimize(value_and_gradient, x0, jac=True, method="L-BFGS-B", options=PRECISE)
            if method == MULTISTART:
                here = next(start).numpy()
            else:
                better = found.fun < lowest
                here, lowest = (found.x, found.fun) if better else (here, lowest)
                length = float(np.clip(length * (1.1 if better else 0.98), 0.02 * BOX, 0.4 * BOX))
    except StopIteration:
        return


def starts(d: int, seed: int) -> Iterator[Tensor]:
    """Places (d,) that are uniform in the box, without end."""
    generator = torch.Generator().manual_seed(10_000 + seed)
    while True:
        yield BOX * (2 * torch.rand(d, generator=generator, dtype=torch.float64) - 1)


# -- what is said -----------------------------------------------------------------------------------------------------

Wins = Mapping[tuple[str, int], str]  # (function, d) -> "searches", "descents" or "neither"


def values_of(results: Results, function: str, d: int) -> dict[str, dict[str, float]]:
    """Method -> seed -> log10 of the gap."""
    cells = [cell for cell in results.cells.values() if (cell["function"], cell["d"]) == (function, d)]
    return {
        method: {str(cell["seed"]): math.log10(cell["gaps"][method]) for cell in cells}
        for method in (*SEARCHES, *DESCENTS)
    }


def outcomes(results: Results) -> tuple[Wins, list[Compared]]:
    """Who wins where, and the comparisons that say so."""
    where = list(dict.fromkeys((cell["function"], cell["d"]) for cell in results.cells.values()))
    values, pairs = {}, []
    for function, d in where:
        values |= {f"{function} {d}, {name}": of for name, of in values_of(results, function, d).items()}
        pairs += [(f"{function} {d}, {a}", f"{function} {d}, {b}") for a in SEARCHES for b in DESCENTS]
    compared = compare_values(values, pairs)
    better = {(each.a, each.b): each.better for each in compared}
    return {(function, d): winner(better, f"{function} {d}, ") for function, d in where}, compared


def winner(better: Mapping[tuple[str, str], str | None], prefix: str) -> str:
    """Of one function, where each search is compared with each descent: the side of which one method beats all."""
    names = {name: prefix + name for name in (*SEARCHES, *DESCENTS)}
    if any(all(better.get((names[a], names[b])) == names[a] for b in DESCENTS) for a in SEARCHES):
        return "searches"
    if any(all(better.get((names[a], names[b])) == names[b] for a in SEARCHES) for b in DESCENTS):
        return "descents"
    return "neither"


def verdict(few: Sequence[str], many: Sequence[str]) -> Verdict:
    """By the rule, from who wins on functions with many optima."""

    here, there = (wins.count("searches") - wins.count("descents") for wins in (few, many))
    if here > 0 > there:
        return "supported"
    if here < 0 or there > 0:
        return "refuted"
    return "not distinguishable" if {*few, *many} <= {"neither"} else "mixed"


def said(wins: Sequence[str], where: str) -> str:
    """Who wins how often."""
    counts = f"{wins.count('searches')} and descents {wins.count('descents')}"
    return f"{where} searches win {counts} of {len(wins)} comparisons"


def median_gap(results: Results, function: str, d: int, methods: Sequence[str]) -> tuple[str, float]:
    """The best method and its median log10 gap."""
    values = values_of(results, function, d)
    medians = {method: statistics.median(values[method].values()) for method in methods}
    best = min(medians, key=lambda method: medians[method])
    return best, medians[best]


def advantage(results: Results, function: str, d: int) -> float:
    """By how many decades the better search ends below the better descent, by medians; NaN where it was not run."""
    if not any((cell["function"], cell["d"]) == (function, d) for cell in results.cells.values()):
        return math.nan
    return median_gap(results, function, d, DESCENTS)[1] - median_gap(results, function, d, SEARCHES)[1]


def sentence(results: Results, function: str, wins: Wins) -> str:
    """Where who wins on a function, and from which number of dimensions on medians say the opposite."""
    sizes = sorted(d for name, d in wins if name == function)
    sides = {side: [str(d) for d in sizes if wins[function, d] == side] for side in ("searches", "descents", "neither")}
    told = ", ".join(f"{side} at d = {', '.join(where)}" for side, where in sides.items() if where)
    signs = [advantage(results, function, d) for d in sizes]
    turn = next((d for d, here in zip(sizes, signs, strict=True) if here < 0), None)
    crossover = "searches are ahead by their medians at each d" if turn is None else f"descents are ahead at d = {turn}"
    if turn is not None and turn == sizes[0]:
        crossover += ", the least"
    elif turn is not None:
        crossover += " for the first time"
    return f"{function}: winners are {told}; {crossover}."


def gaps(results: Results, wins: Wins) -> Table:
    """Median gaps of the four methods."""
    rows = []
    for (function, d), side in wins.items():
        values = values_of(results, function, d)
        medians = (10 ** statistics.median(values[method].values()) for method in (*SEARCHES, *DESCENTS))
        rows.append([function, str(d), *(f"{value:.2g}" for value in medians), side])
    return Table(["function", "d", *SEARCHES, *DESCENTS, "winner"], rows, "Median gaps to the optimum")
