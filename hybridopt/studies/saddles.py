"""C15: whether optima become saddles as dimensions grow, and who gets away from saddles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hybridopt.core.study import Cell, Judgement, Profile, Results, Study, Table, Verdict
from hybridopt.report.interval import LEVEL, Interval
from hybridopt.report.statistics import bootstrap, holm, success_rate
from hybridopt.study import interpolating, many_starts
from hybridopt.study.critical_points import of_field, of_network, share_of_minima
from hybridopt.study.reaching import Reached, log_rank
from hybridopt.study.scaling import exponent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEARLY = 0.9  # of the starts, from which a method that handles saddles should get away
DIMENSIONS, MARKS = 40, 80  # of the saddle; of the evaluations of an escape
RATES = [[10 ** (k / 2)] for k in range(-6, 2)]  # 0.001 to 3.2
LENGTHS = [[rate / 10] for [rate] in RATES]  # of mutations
STRATEGY_SETTINGS = [[rate, deviation] for rate in (0.01, 0.03, 0.1, 0.3) for deviation in (0.01, 0.1)]
METHODS: Mapping[str, tuple[many_starts.Method, list[list[float]]]] = {
    "gradient descent": (many_starts.descent, RATES),
    "noisy gradient descent": (many_starts.stochastic, RATES),
    "Adam": (many_starts.adam, RATES),
    "evolution strategy": (many_starts.evolution_strategy, STRATEGY_SETTINGS),
    "evolutionary algorithm": (many_starts.evolution(elitist=True), LENGTHS),
}
BY_GRADIENT, FREE = tuple(METHODS)[:3], tuple(METHODS)[3:]
Part = Literal["holds", "fails", "cannot be told"]


class Saddles(Study):
    """Indices of critical points, escapes from a saddle, and barriers between networks.

    A random symmetric matrix has no negative eigenvalue with a probability that falls as exp(-n^2 ln 3 / 4) (Dean and
    Majumdar 2006), so that of the critical points of a high function few should be minima, and those of high value
    saddles of many directions (Bray and Dean 2007, https://doi.org/10.1103/PhysRevLett.98.150201; Dauphin et al. 2014,
    https://arxiv.org/abs/1406.2572). Measured are critical points of Gaussian fields and of networks of 2 to 8 hidden
    units (with a small penalty, so that they are isolated), found by Newton's method from random places and from along
    descents. It takes to critical points of all kinds, and not to each alike; saddle-free Newton would leave saddles.
    Where the gradient is not below 1e-6 in the end the search has failed, and the share of these is told.

    Escapes start near a saddle in 40 dimensions, of which k lead down, with quartic walls; methods are tuned by eight
    settings each, and a gradient costs three evaluations. Barriers are those of the training loss on digits between
    two networks, as they are and with matched hidden units; they say whether a landscape is "effectively convex" but
    for permutations, and do not count for the verdict.
    """

    number = 15
    claim = "In high dimensions local optima turn into saddles, and gradient methods handle saddles."
    said_by = "The thread."
    rule = (
        "Optima become saddles if the share of minima among the critical points of Gaussian fields is lower in the "
        "most dimensions than in the fewest (Wilson's 95 % intervals apart), and the rank correlation of index and "
        "loss is above 0 in networks of each size (bootstrap over seeds); not so if the share is higher, or a "
        f"correlation below 0. Saddles are handled if each gradient method escapes from more than {NEARLY:.0%} of the "
        "starts (Wilson) for each k, and for each k one of them is earlier than all gradient-free ones (log-rank test, "
        f"Holm, p < .05); not so if one escapes from less than {NEARLY:.0%} for some k. Supported if both hold, "
        "refuted if one does not, not distinguishable if nothing can be told of either, else mixed."
    )
    profiles = {
        "smoke": Profile(1, 0.1, sizes={
            "d": [2, 5], "h": [2], "k": [1], "w": [4], "starts": 12, "steps": 50, "evaluations": 600
        }),
        "docs": Profile(10, 6, sizes={
            "d": [2, 3, 5, 10, 20], "h": [2, 4, 8], "k": [1, 2, 5, 10, 20], "w": [4, 16, 64, 256, 512],
            "starts": 180, "steps": 1500, "evaluations": 20_000
        }),
        "full": Profile(20, 30, sizes={
            "d": [2, 3, 5, 10, 20], "h": [2, 3, 4, 6, 8], "k": [1, 2, 5, 10, 20], "w": [4, 16, 64, 256, 512],
            "starts": 360, "steps": 3000, "evaluations": 50_000
        }),
    }  # fmt: skip

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        sizes, starts, first = profile.sizes, profile.sizes["starts"], profile.fresh[0]
        cells: dict[str, Cell] = {"random matrices": {"part": "matrices", "largest": 10}}
        for seed in profile.fresh:
            searches = {"seed": seed, "starts": starts}
            cells |= {f"field d={d}, seed {seed}": {"part": "field", "d": d, **searches} for d in sizes["d"]}
            cells |= {f"network h={h}, seed {seed}": {"part": "network", "h": h, **searches} for h in sizes["h"]}
            pair = {"seed": seed, "steps": sizes["steps"]}
            cells |= {f"barrier w={w}, seed {seed}": {"part": "barrier", "w": w, **pair} for w in sizes["w"]}
        runs = {"part": "escape", "seed": first, "starts": starts, "evaluations": sizes["evaluations"]}
        return cells | {
            f"escape k={k}, {method}": {"k": k, "method": method, **runs} for k in sizes["k"] for method in METHODS
        }

    def compute(self, **cell: Any) -> Cell:
        parts: Mapping[str, Callable[..., Cell]] = {
            "matrices": lambda largest: {"shares": [share_of_minima(n) for n in range(1, largest + 1)]},
            "field": of_field,
            "network": of_network,
            "barrier": interpolating.of_digits,
            "escape": escape,
        }
        return {**cell, **parts[cell["part"]](**{name: value for name, value in cell.items() if name != "part"})}

    def judge(self, results: Results) -> Judgement:
        saddles, handled = optima_become_saddles(results), saddles_are_handled(results)
        parts = (of_matrices, of_fields, of_networks, of_escapes, of_barriers)
        said = f"That optima become saddles {saddles}; that saddles are handled by gradients {handled}."
        found = [*(sentence for part in parts for sentence in part(results)), said]
        numbers = {f"minima/d={d}": each.value for d, each in minima(results).items()}
        numbers |= {f"correlation/h={h}": each.value for h, each in correlations(results).items()}
        for kind in ("raw", "matched"):
            numbers |= {f"barrier/{kind}/w={w}": each.value for w, each in barriers(results, kind).items()}
        numbers |= {f"escape/k={k}/{method}": each.expected.value for (k, method), each in escapes(results).items()}
        return Judgement(verdict(saddles, handled), found, [escapes_table(results)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import panels

        figure, (shares, scatter, escapes, between) = panels(4)
        for cell in of(results, "matrices"):
            shares.plot(range(1, len(cell["shares"]) + 1), cell["shares"], "k.-", label="random matrices, exact")
        rates = {d: rate for d, rate in minima(results).items() if rate.value}
        shares.plot(list(rates), [rate.value for rate in rates.values()], "o", label="Gaussian fields")
        shares.set(xlabel="dimensions", ylabel="share of minima", yscale="log")
        for h in sizes(results, "network", "h"):
            for cell in of(results, "network", h=h)[:1]:
                scatter.plot(cell["values"], cell["indices"], ".", alpha=0.6, label=f"h = {h}")
        scatter.set(xlabel="loss at critical points", ylabel="share of negative eigenvalues", xscale="log")
        for method in METHODS:
            costs = {k: reached(results, k, method).expected.value for k in sizes(results, "escape", "k")}
            escapes.plot(list(costs), [c if math.isfinite(c) else math.nan for c in costs.values()], "o-", label=method)
        escapes.set(xlabel="directions down", ylabel="evaluations to escape", xscale="log", yscale="log")
        for kind in ("raw", "matched"):
            heights = {w: each.value for w, each in barriers(results, kind).items()}
            between.plot(list(heights), list(heights.values()), "o-", label=kind)
        between.set(xlabel="hidden units", ylabel="barrier of the loss", xscale="log")
        for axes in figure.axes:
            axes.legend(fontsize="x-small")
        return figure


# -- what is computed -------------------------------------------------------------------------------------------------


def escape(k: int, method: str, seed: int, starts: int, evaluations: int) -> Cell:
    """Evaluations until each start is away from the saddle, by the best of a method's settings; -1 for never."""
    run, settings = METHODS[method]
    due = many_starts.marks(evaluations, MARKS, evaluations / 10)
    problem = partial(many_starts.saddle, DIMENSIONS, k)
    best, arrived = many_starts.tuned(run, settings, problem, due, starts, seed)
    first = [due[int(column.int().argmax())] if bool(column.any()) else -1.0 for column in arrived.T]
    return {"setting": best, "costs": first}


# -- what is said -----------------------------------------------------------------------------------------------------


def of(results: Results, part: str, **arguments: Any) -> list[Cell]:
    """The cells of a part of the study, with these arguments."""
    wanted = {"part": part, **arguments}.items()
    return [cell for cell in results.cells.values() if all(cell.get(name) == value for name, value in wanted)]


def sizes(results: Results, part: str, name: str) -> list[int]:
    """The values of an argument, ascending."""
    return sorted({cell[name] for cell in of(results, part)})


def minima(results: Results) -> dict[int, Interval]:
    """The share of minima among the critical points of fields, over d; without d where none was found."""
    found = {
        d: [i for cell in of(results, "field", d=d) for i in cell["indices"]] for d in sizes(results, "field", "d")
    }
    return {d: success_rate(indices.count(0.0), len(indices)) for d, indices in found.items() if indices}


def correlations(results: Results) -> dict[int, Interval]:
    """The mean over seeds of the rank correlation of index and loss, over h; without h where there is none."""
    found = {h: [cell["correlation"] for cell in of(results, "network", h=h)] for h in sizes(results, "network", "h")}
    there = {h: [value for value in values if value is not None] for h, values in found.items()}
    return {h: bootstrap(np.mean, values) for h, values in there.items() if values}


def reached(results: Results, k: int, method: str) -> Reached:
    """The costs of escapes."""
    runs = [(cost, cell["evaluations"]) for cell in of(results, "escape", k=k, method=method) for cost in cell["costs"]]
    return Reached(tuple(cost if cost > 0 else most for cost, most in runs), tuple(cost > 0 for cost, _ in runs))


def escapes(results: Results) -> dict[tuple[int, str], Reached]:
    """(directions down, method) -> the costs of escapes, of whatever ever gets away."""
    runs = {(k, m): reached(results, k, m) for k in sizes(results, "escape", "k") for m in METHODS}
    return {place: each for place, each in runs.items() if any(each.reached)}


def barriers(results: Results, kind: str) -> dict[int, Interval]:
    """The mean barrier over seeds, over the width."""
    by_width = {w: of(results, "barrier", w=w) for w in sizes(results, "barrier", "w")}
    return {w: bootstrap(np.mean, [cell[kind] for cell in cells]) for w, cells in by_width.items()}


def optima_become_saddles(results: Results) -> Part:
    """By the rule."""
    rates, ranks = minima(results), correlations(results)
    few, many = (rates[min(rates)], rates[max(rates)]) if rates else (Interval(math.nan), Interval(math.nan))
    if many.low > few.high or any(each.high < 0 for each in ranks.values()):
        return "fails"
    told = len(ranks) == len(sizes(results, "network", "h")) and all(each.low > 0 for each in ranks.values())
    return "holds" if many.high < few.low and ranks and told else "cannot be told"


def saddles_are_handled(results: Results) -> Part:
    """By the rule."""
    directions = sizes(results, "escape", "k")
    runs = {(k, method): reached(results, k, method) for k in directions for method in METHODS}
    rates = [runs[k, method].success for k in directions for method in BY_GRADIENT]
    if any(rate.high < NEARLY for rate in rates):
        return "fails"
    pairs = [(k, a, b) for k in directions for a in BY_GRADIENT for b in FREE]
    ps = holm([log_rank(runs[k, a], runs[k, b]) for k, a, b in pairs])
    quicker = [runs[k, a].expected.value < runs[k, b].expected.value for k, a, b in pairs]
    earlier = {pair for pair, p, first in zip(pairs, ps, quicker, strict=True) if p <= LEVEL and first}
    ahead = all(any(all((k, a, b) in earlier for b in FREE) for a in BY_GRADIENT) for k in directions)
    return "holds" if directions and ahead and all(rate.low > NEARLY for rate in rates) else "cannot be told"


def verdict(saddles: Part, handled: Part) -> Verdict:
    """By the rule."""
    if "fails" in (saddles, handled):
        return "refuted"
    return "mixed" if saddles != handled else "supported" if saddles == "holds" else "not distinguishable"


def shown(each: Interval, digits: int = 2) -> str:
    """A value with its interval, where there is one."""
    low_to_high = f" ({each.low:.{digits}f} to {each.high:.{digits}f})" if math.isfinite(each.low) else ""
    return f"{each.value:.{digits}f}{low_to_high}"


def failures(cells: Sequence[Cell]) -> str:
    """How many searches for critical points have failed."""
    return f"{sum(cell['failed'] for cell in cells)} of {sum(cell['searches'] for cell in cells)} searches failed"


def of_matrices(results: Results) -> list[str]:
    """How fast minima become rare, exactly."""
    shares = [share for cell in of(results, "matrices") for share in cell["shares"]]
    power = exponent({n: [-math.log(share)] for n, share in enumerate(shares, start=1)}).value
    return [
        f"Of random symmetric matrices {shares[1]:.3f} have no negative eigenvalue at n = 2, {shares[-1]:.1e} at n = "
        f"{len(shares)}; minus the logarithm grows as n to the power of {power:.2f}."
    ]


def of_fields(results: Results) -> list[str]:
    """The shares of minima, and how many searches failed."""
    rates = ", ".join(f"{shown(rate, 3)} at d = {d}" for d, rate in minima(results).items())
    return [f"Of the critical points of Gaussian fields are minima: {rates}; {failures(of(results, 'field'))}."]


def of_networks(results: Results) -> list[str]:
    """Correlations, poor minima, and failures, for each size."""
    found = []
    for h, rank in correlations(results).items():
        cells = of(results, "network", h=h)
        poor = [value > 1.1 * min(cell["minima"]) for cell in cells for value in cell["minima"]]
        found.append(
            f"Networks of {h} units: index and loss correlate by {shown(rank)}; {sum(poor)} of {len(poor)} minima are "
            f"more than a tenth above the lowest; {failures(cells)}."
        )
    return found


def cost(runs: Reached) -> str:
    """Expected evaluations, in words."""
    return f"{runs.expected.value:,.0f}" if any(runs.reached) else "never"


def of_escapes(results: Results) -> list[str]:
    """Expected costs at the fewest and the most directions."""
    directions = sizes(results, "escape", "k")
    return [
        f"Evaluations until a saddle of {DIMENSIONS} dimensions, of which {k} lead down, is left: "
        f"{', '.join(f'{method} {cost(reached(results, k, method))}' for method in METHODS)}."
        for k in dict.fromkeys((*directions[:1], *directions[-1:]))
    ]


def of_barriers(results: Results) -> list[str]:
    """At the least and the greatest width."""
    raw, same = barriers(results, "raw"), barriers(results, "matched")
    return [
        f"The barrier of the loss between two networks of {w} units is {shown(raw[w], 3)}, and {shown(same[w], 3)} "
        "with matched units."
        for w in dict.fromkeys((*list(raw)[:1], *list(raw)[-1:]))
    ]


def escapes_table(results: Results) -> Table:
    """Shares and costs of escapes."""
    rows = []
    for k in sizes(results, "escape", "k"):
        runs = {method: reached(results, k, method) for method in METHODS}
        rows.append([str(k), *(f"{cost(each)} ({each.success.value:.0%})" for each in runs.values())])
    return Table(["directions down", *METHODS], rows, "Expected evaluations to leave a saddle (share that does)")
