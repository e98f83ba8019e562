"""C23: a network that has learnt a function, whose gradients lead to the function's minimum, or do not."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from hybridopt.core.study import Cell, Judgement, Profile, Results, Study, Table, Verdict
from hybridopt.report.interval import Interval
from hybridopt.report.statistics import bootstrap
from hybridopt.study import surrogates
from hybridopt.study.comparing import Compared, compare_values, table
from hybridopt.study.functions import Recorded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FUNCTIONS = ("branin", "ackley 5", "ackley 10", "process")
GRADIENT, SEARCH, DIRECT = "network, by gradient", "network, by search", "NGOpt"
PROCESS, RANDOM = "Gaussian process", "random search"
METHODS: Mapping[str, Callable[..., None]] = {
    GRADIENT: partial(surrogates.network, mover=surrogates.by_gradient),
    SEARCH: partial(surrogates.network, mover=surrogates.by_search),
    DIRECT: surrogates.nevergrad,
    PROCESS: surrogates.gaussian_process,
    RANDOM: surrogates.uniform,
}
PLACES = 200  # at which gradients are compared
FLOOR = 1e-6  # of a regret
NOTHING = 0.1  # a cosine below which derivatives have nothing to do with each other


class SurrogateModels(Study):
    """A network is fitted to calls of a black box, and its input is moved downhill, by gradient or by search.

    The remark that is tested was made about function approximation: what backpropagation gives is the derivative of the
    network, and not of the function that is optimised. So, first, the cosine of both derivatives is measured at places
    that the network has not seen, over the number of samples. Second, it is asked whether they are of use: a network
    proposes the next calls, is fitted again, and so on, up to 200 calls; with it compete the same network whose input
    is moved by a search of as many evaluations, nevergrad's NGOpt and random search on the function itself, and
    Bayesian optimisation by a Gaussian process (Jones et al. 1998, https://doi.org/10.1023/A:1008306431147), which is
    what is usual for so few calls.

    The functions are Branin in two dimensions, Ackley in five and ten, whose ripples no sample of this size shows, and
    a process of six knobs of which three are whole numbers: it has no derivative there, and the network has one. Nobody
    is tuned; networks are the same everywhere. Regret is the lowest value so far less the lowest there is.
    """

    number = 23
    claim = "The gradients of a network have nothing to do with the derivative of the function being optimised."
    said_by = "A comment in the thread."
    rule = (
        "Looked at are the most samples and the most calls. Refuted if the cosine of both derivatives is above "
        f"{NOTHING} on each function that has one (bootstrap over seeds, 95 % interval), and the network's gradient "
        "has led to a lower regret than random search on more than half of the functions (log10, p < .05, paired by "
        f"seed, Holm over all comparisons of the study); supported if the cosine is within {NOTHING} of 0 on each, and "
        "the gradient better than random search on no function; not distinguishable if the cosine is above on none, "
        "not within on all, and the gradient better on none; else mixed."
    )
    profiles = {
        "smoke": Profile(1, 0.1, sizes={"functions": ["branin"], "calls": [12, 16], "samples": [20]}),
        "docs": Profile(10, 6, sizes={"calls": [25, 50, 100, 200], "samples": [25, 50, 100, 200, 800]}),
        "full": Profile(30, 20, sizes={"calls": [25, 50, 100, 200], "samples": [25, 50, 100, 200, 800, 3200]}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        functions = profile.sizes.get("functions", FUNCTIONS)
        cells: dict[str, Cell] = {
            f"{function}, {method}, seed {seed}": {
                "function": function, "method": method, "calls": profile.sizes["calls"], "seed": seed
            }
            for function in functions
            for method in METHODS
            for seed in profile.fresh
        }  # fmt: skip
        return cells | {
            f"{function}, cosine, seed {seed}": {
                "function": function,
                "samples": profile.sizes["samples"],
                "seed": seed,
            }
            for function in functions
            if function != "process"
            for seed in profile.fresh
        }

    def compute(self, **cell: Any) -> Cell:
        """The regret of one method after some numbers of calls; or cosines, over the number of samples."""
        box = surrogates.black_box(cell["function"], cell["seed"])
        generator = torch.Generator().manual_seed(cell["seed"])
        if "samples" in cell:
            return {**cell, "cosines": [cosine(box, samples, generator) for samples in cell["samples"]]}
        seen = Recorded(box.function)
        METHODS[cell["method"]](seen, box.d, max(cell["calls"]), generator)
        return {**cell, "regret": [max(value - box.lowest, FLOOR) for value in seen.best_after(cell["calls"])]}

    def judge(self, results: Results) -> Judgement:
        compared, likeness = comparisons(results), cosines(results)
        most = max(calls for _, calls in compared)
        wins = {function: compared[function, calls] for function, calls in compared if calls == most}
        found = [
            *(cosine_sentence(function, by) for function, by in likeness.items()),
            *(sentence(results, function, most) for function in wins),
            *counted(compared),
        ]
        numbers = {f"cosine/{function}": by[max(by)].value for function, by in likeness.items()}
        numbers |= {f"regret/{function}/{method}": median(results, function, method, most) for function in wins
                    for method in METHODS}  # fmt: skip
        every = [each for some in compared.values() for each in some]
        tables = [regrets(results), table(every, "log10 of the regret, by function and calls")]
        return Judgement(verdict(likeness, wins), found, tables, numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import band, legend, panels

        names = functions_of(results)
        figure, axes = panels(len(names) + 1, columns=3)
        for function, panel in zip(names, axes, strict=False):
            for method in METHODS:
                cells = runs(results, function, method)
                band(panel, cells[0]["calls"], np.array([cell["regret"] for cell in cells]), method)
            panel.set(xscale="log", yscale="log", xlabel="calls", ylabel="regret", title=function)
        legend(axes[0], "xx-small")
        for function, by in cosines(results).items():
            line = axes[-1].plot(list(by), [each.value for each in by.values()], "o-", label=function)[0]
            low, high = ([getattr(each, end) for each in by.values()] for end in ("low", "high"))
            axes[-1].fill_between(list(by), low, high, alpha=0.2, linewidth=0, color=line.get_color())
        axes[-1].set(xscale="log", xlabel="samples", ylabel="cosine with the derivative")
        legend(axes[-1], "xx-small")
        return figure


def cosine(box: surrogates.BlackBox, samples: int, generator: torch.Generator) -> float:
    """The mean cosine of the derivatives of the function and of a network that has learnt so many random calls."""
    x = torch.rand(samples, box.d, generator=generator, dtype=torch.float64)
    model = surrogates.fitted(x, box.function(x), generator)
    places = torch.rand(PLACES, box.d, generator=generator, dtype=torch.float64)
    slopes = (surrogates.slope(function, places) for function in (model, box.function))
    return float(cosine_similarity(*slopes, dim=1).mean())


# -- what is said -----------------------------------------------------------------------------------------------------


def functions_of(results: Results) -> list[str]:
    """Those that were minimised."""
    return list(dict.fromkeys(cell["function"] for cell in results.cells.values() if "method" in cell))


def runs(results: Results, function: str, method: str) -> list[Cell]:
    """One for each seed."""
    wanted = (function, method)
    return [cell for cell in results.cells.values() if (cell["function"], cell.get("method")) == wanted]


def cosines(results: Results) -> dict[str, dict[int, Interval]]:
    """Function -> samples -> the mean cosine over seeds."""
    found: dict[str, dict[int, list[float]]] = {}
    for cell in results.cells.values():
        for samples, value in zip(cell.get("samples", ()), cell.get("cosines", ()), strict=True):
            found.setdefault(cell["function"], {}).setdefault(samples, []).append(value)
    return {name: {samples: bootstrap(np.mean, values) for samples, values in by.items()} for name, by in found.items()}


def median(results: Results, function: str, method: str, calls: int) -> float:
    """The median regret after so many calls."""
    cells = runs(results, function, method)
    return statistics.median(cell["regret"][cell["calls"].index(calls)] for cell in cells)


def comparisons(results: Results) -> dict[tuple[str, int], list[Compared]]:
    """(function, calls) -> the network's gradient against each other method, corrected for all of them."""
    values: dict[str, dict[str, float]] = {}
    for cell in results.cells.values():
        for calls, regret in zip(cell.get("calls", ()), cell.get("regret", ()), strict=True):
            arm = f"{cell['function']} {calls}, {cell['method']}"
            values.setdefault(arm, {})[str(cell["seed"])] = math.log10(regret)
    groups = list(dict.fromkeys(arm.removesuffix(f", {GRADIENT}") for arm in values if arm.endswith(GRADIENT)))
    rivals = [method for method in METHODS if method != GRADIENT]
    pairs = [(f"{group}, {GRADIENT}", f"{group}, {rival}") for group in groups for rival in rivals]
    found: dict[tuple[str, int], list[Compared]] = {}
    for each in compare_values(values, pairs):
        function, calls = each.a.removesuffix(f", {GRADIENT}").rsplit(" ", 1)
        found.setdefault((function, int(calls)), []).append(each)
    return found


def against(compared: Sequence[Compared], rival: str) -> int:
    """1 where the network's gradient is better than another method, -1 where it is worse, 0 where neither is told."""
    each = next(each for each in compared if each.b.endswith(f", {rival}"))
    return {each.a: 1, each.b: -1}.get(each.better or "", 0)


def verdict(likeness: Mapping[str, Mapping[int, Interval]], wins: Mapping[str, Sequence[Compared]]) -> Verdict:
    """By the rule; ``wins`` are the comparisons after the most calls."""
    last = [by[max(by)] for by in likeness.values()]
    alike = [each.low > NOTHING for each in last]
    unlike = [each.low >= -NOTHING and each.high <= NOTHING for each in last]
    better = [against(compared, RANDOM) > 0 for compared in wins.values()]
    if last and all(alike) and 2 * sum(better) > len(better):
        return "refuted"
    if last and all(unlike) and not any(better):
        return "supported"
    return "mixed" if any(alike) or any(better) else "not distinguishable"


def cosine_sentence(function: str, by: Mapping[int, Interval]) -> str:
    """Cosines by the fewest and the most samples."""
    told = []
    for samples in dict.fromkeys((min(by), max(by))):
        each = by[samples]
        span = f" ({each.low:.2f} to {each.high:.2f})" if math.isfinite(each.low) else ""
        told.append(f"{each.value:.2f}{span} by {samples} samples")
    return f"{function}: the cosine of the network's derivative and the function's is {' and '.join(told)}."


def sentence(results: Results, function: str, calls: int) -> str:
    """Median regrets of one function."""
    told = ", ".join(f"{method} {median(results, function, method, calls):.2g}" for method in METHODS)
    return f"{function}, {calls} calls: the median regrets are {told}."


def counted(compared: Mapping[tuple[str, int], Sequence[Compared]]) -> list[str]:
    """How often the network's gradient is better and worse than each other method, by the number of calls."""
    found = []
    for rival in (method for method in METHODS if method != GRADIENT):
        told = []
        for calls in sorted({calls for _, calls in compared}):
            signs = [against(each, rival) for (_, at), each in compared.items() if at == calls]
            told.append(f"{signs.count(1)} and {signs.count(-1)} of {len(signs)} after {calls} calls")
        found.append(f"Against {rival} the network's gradient is better and worse on {', '.join(told)}.")
    return found


def regrets(results: Results) -> Table:
    """Median regrets, by function and calls."""
    rows = [
        [function, str(calls), *(f"{median(results, function, method, calls):.2g}" for method in METHODS)]
        for function in functions_of(results)
        for calls in runs(results, function, GRADIENT)[0]["calls"]
    ]
    return Table(["function", "calls", *METHODS], rows, "Median regrets")
