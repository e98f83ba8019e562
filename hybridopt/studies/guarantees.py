"""C11: how often gradient descent and evolutionary algorithms end at the global optimum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hybridopt.core.study import Cell, Judgement, Profile, Results, Study, Table, Verdict
from hybridopt.report.interval import Interval
from hybridopt.report.statistics import success_rate
from hybridopt.study.many_starts import (
    GRADIENT,
    Landscape,
    Method,
    descent,
    evolution,
    marks,
    random_search,
    stochastic,
    tuned,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEARLY = 0.9  # of the starts, in which a method that "converges to the global optimum" should get there
SAMPLES, BATCH, INPUTS, TEACHER = 64, 16, 5, 3  # of the networks: of all, of a mini-batch; units of the teacher
MARKS = 12  # of a run
RATES = [[10 ** (k / 2)] for k in range(-6, 2)]  # 0.001 to 3.2: learning rates, and lengths of mutations
WELLS = ("double well 1-D", "double well 2-D", "narrow well")


class Guarantees(Study):
    """Which methods end at the global optimum from random starts, and how that grows with the budget.

    Theory says the opposite of the claim: stochastic gradient descent is known to reach stationary points (Ghadimi and
    Lan 2013, https://arxiv.org/abs/1309.5549), and global ones under conditions such as convexity or great width; an
    evolutionary algorithm that keeps its best and may jump anywhere converges to the global optimum with probability 1,
    one that does not keep it need not (Rudolph 1994, https://doi.org/10.1109/72.265964). Nothing is said on how long it
    takes. So each is run from many starts, and counts as arrived where what it recommends at a mark of the budget is
    as low as the global optimum, up to a tolerance.

    The problems are two wells in one and in two dimensions, of which one is deeper; a wide well beside a narrow one
    that is deeper; and networks of w = 3 to 30 hidden units that learn, on 64 samples of five inputs, what a random
    network of three has computed, so that a loss of 0 exists. Every start has a teacher of its own. A gradient costs
    three evaluations, and that of a mini-batch its share of them; of the wells it has Gaussian noise of deviation 1.
    All methods have eight trials for their scale (rates, temperatures, lengths), judged on other starts.
    """

    number = 11
    claim = "Stochastic gradient descent converges to the global optimum; gradient-free methods have no guarantee."
    said_by = "The thread."
    rule = (
        "Supported if SGD ends at the global optimum from nearly all starts (Wilson's 95 % interval above "
        f"{NEARLY:.0%}) on every problem, and no gradient-free method does so on every problem; refuted if on some "
        f"problem SGD does not (interval below {NEARLY:.0%}) while a gradient-free method does (interval above "
        f"{NEARLY:.0%}); not distinguishable if SGD is in neither case on any problem; else mixed."
    )
    profiles = {
        "smoke": Profile(1, 0.1, sizes={"widths": [3], "starts": 10, "well": 300, "network": 300, "trials": 1}),
        "docs": Profile(1, 5, sizes={"widths": [3, 6, 12, 30], "starts": 100, "well": 10_000, "network": 12_000}),
        "full": Profile(1, 40, sizes={"widths": [3, 6, 12, 30], "starts": 200, "well": 100_000, "network": 60_000}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        sizes, seed = profile.sizes, profile.fresh[0]
        budgets = dict.fromkeys(WELLS, sizes["well"]) | {f"width {w}": sizes["network"] for w in sizes["widths"]}
        shared = {"starts": sizes["starts"], "trials": sizes.get("trials", len(RATES)), "seed": seed}
        return {
            f"{problem}, {method}": {"problem": problem, "method": method, "budget": budget, **shared}
            for problem, budget in budgets.items()
            for method in METHODS
        }

    def compute(self, **cell: Any) -> Cell:
        """Of one method on one problem: how many starts are at the optimum at each mark, by its best setting."""
        run, settings = METHODS[cell["method"]]
        tried = settings if cell["trials"] == len(settings) else settings[len(settings) // 2 :][: cell["trials"]]

        def problem(starts: int, generator: torch.Generator) -> Landscape:
            return landscape_of(cell["problem"], starts, generator)

        due = marks(cell["budget"], MARKS)
        best, arrived = tuned(run, tried, problem, due, cell["starts"], cell["seed"])
        return {**cell, "setting": best, "evaluations": due, "arrived": arrived.sum(dim=1).tolist()}

    def judge(self, results: Results) -> Judgement:
        rates = final_rates(results)
        found = [
            f"{problem}: at the global optimum are "
            + ", ".join(f"{method} {shown(rate)}" for method, rate in by.items())
            + " of the starts."
            for problem, by in rates.items()
        ]
        numbers = {f"{problem}/{name}": rate.value for problem, by in rates.items() for name, rate in by.items()}
        return Judgement(verdict(rates), found, [table(rates)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import panels

        problems = list(final_rates(results))
        figure, axes = panels(len(problems), columns=3, height=2.6)
        for problem, panel in zip(problems, axes, strict=True):
            for cell in results.cells.values():
                if cell["problem"] == problem:
                    shares = [count / cell["starts"] for count in cell["arrived"]]
                    panel.plot(cell["evaluations"], shares, "o-", markersize=2.5, label=cell["method"])
            panel.set(xscale="log", ylim=(-0.05, 1.05), title=problem, xlabel="evaluations", ylabel="at the optimum")
        axes[0].legend(fontsize="xx-small")
        return figure


# -- problems ---------------------------------------------------------------------------------------------------------


def landscape_of(problem: str, starts: int, generator: torch.Generator) -> Landscape:
    """By its name: one of the wells, or a width."""
    if problem in WELLS:
        return well(problem, starts, generator)
    return network(int(problem.split()[1]), starts, generator)


def well(problem: str, starts: int, generator: torch.Generator) -> Landscape:
    """One or two dimensions; starts are uniform within -2 and 2."""
    d = 2 if problem == "double well 2-D" else 1

    def value(x: Tensor) -> Tensor:
        first = x[..., 0]
        if problem == "narrow well":
            return 0.25 * (first + 1).square() - 2 * torch.exp(-(first - 1.5).square() / (2 * 0.1**2))
        double = (first.square() - 1).square() + 0.3 * first
        return double if d == 1 else double + 2 * (x[..., 1] - first).square()

    def noisy(x: Tensor, generator: torch.Generator) -> Tensor:
        return value(x) + (x * torch.randn(x.shape, generator=generator)).sum(dim=-1)

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return 4 * torch.rand(starts, count, d, generator=generator) - 2

    line = torch.linspace(-2, 2, 40_001)
    lowest = float(value(torch.stack([line] * d, dim=-1)).min())  # of two dimensions it lies where both are equal
    return Landscape(draw(1, generator)[:, 0], value, noisy, GRADIENT, draw, lowest + 0.05)


def network(width: int, starts: int, generator: torch.Generator) -> Landscape:
    """Hidden units of ReLU without biases; a loss is a share of the variance of the teacher's outputs."""
    inputs = torch.randn(SAMPLES, INPUTS, generator=generator)

    def draw_networks(units: int, count: int, generator: torch.Generator) -> Tensor:
        first = torch.randn(starts, count, units * INPUTS, generator=generator) * math.sqrt(2 / INPUTS)
        return torch.cat([first, torch.randn(starts, count, units, generator=generator) / math.sqrt(units)], dim=2)

    def outputs(x: Tensor, units: int, rows: Tensor | slice) -> Tensor:
        first = x[..., : units * INPUTS].unflatten(2, (units, INPUTS))
        return (x[..., None, units * INPUTS :] @ (first @ inputs[rows].T).relu()).squeeze(2)

    wanted = outputs(draw_networks(TEACHER, 1, generator), TEACHER, slice(None))  # (s, 1, samples)
    scale = wanted.var(dim=2, keepdim=True)

    def value(x: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        return ((outputs(x, width, rows) - wanted[..., rows]).square() / scale).mean(dim=2)

    def noisy(x: Tensor, generator: torch.Generator) -> Tensor:
        return value(x, torch.randint(SAMPLES, (BATCH,), generator=generator))

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return draw_networks(width, count, generator)

    return Landscape(draw(1, generator)[:, 0], value, noisy, GRADIENT * BATCH / SAMPLES, draw, 0.01)


# -- methods ----------------------------------------------------------------------------------------------------------

SGD = "SGD"
LANGEVIN = [[rate, heat] for rate in (0.03, 0.1) for heat in (1e-4, 1e-2, 0.1, 1.0)]
FACTORS = [[0.25], [0.35], [0.5], [0.7], [1.0], [1.4], [2.0], [2.8]]
METHODS: Mapping[str, tuple[Method, list[list[float]]]] = {
    "gradient descent": (descent, RATES),
    SGD: (stochastic, RATES),
    "SGLD": (stochastic, LANGEVIN),
    "elitist evolution": (evolution(elitist=True), RATES),
    "non-elitist evolution": (evolution(elitist=False), RATES),
    "random search": (random_search, FACTORS),
}
GRADIENT_FREE = ("elitist evolution", "non-elitist evolution", "random search")


# -- what is said -----------------------------------------------------------------------------------------------------

Rates = Mapping[str, Mapping[str, Interval]]


def final_rates(results: Results) -> Rates:
    """Problem -> method -> share of the starts that are at the optimum when the budget is spent."""
    found: dict[str, dict[str, Interval]] = {}
    for cell in results.cells.values():
        found.setdefault(cell["problem"], {})[cell["method"]] = success_rate(cell["arrived"][-1], cell["starts"])
    return found


def verdict(rates: Rates) -> Verdict:
    """By the rule."""
    always = {problem: [name for name in by if by[name].low > NEARLY] for problem, by in rates.items()}
    missed = [problem for problem, by in rates.items() if by[SGD].high < NEARLY]
    if any(name in always[problem] for problem in missed for name in GRADIENT_FREE):
        return "refuted"
    kept = [problem for problem in rates if SGD in always[problem]]
    rival = any(all(name in names for names in always.values()) for name in GRADIENT_FREE)
    if len(kept) == len(rates) and not rival:
        return "supported"
    return "mixed" if kept or missed else "not distinguishable"


def shown(rate: Interval) -> str:
    """Per cent, with the interval."""
    return f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})"


def table(rates: Rates) -> Table:
    """A row for each problem."""
    rows = [[problem, *(shown(by[name]) if name in by else "-" for name in METHODS)] for problem, by in rates.items()]
    return Table(["problem", *METHODS], rows, "Share of the starts at the global optimum, with Wilson's 95 % intervals")
