"""C2: what gradient-free training loses to Adam at equal cost, as the number of parameters grows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hybridopt.core.study import Arm, Judgement, Outcome, Profile, Results, Study, Table, Verdict
from hybridopt.report.interval import Interval
from hybridopt.report.page import interval
from hybridopt.report.verdict import number
from hybridopt.study.comparing import Compared, compare_values
from hybridopt.study.scaling import exponent, per_decade

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ADAM = "adam"
SMALL, LARGE = "small", "large"  # networks for all methods, and networks for those that keep no population
METHODS: Mapping[str, Mapping[str, tuple[str, ...]]] = {  # networks -> strategy -> its own overrides
    SMALL: {
        "openai_es": ("strategy.popsize=50",),
        "snes": (),
        "ensemble_kalman_inversion": (),
        "genetic_algorithm": (),
        "mezo": (),
        "particle_swarm": (),
        "simulated_annealing": (),
    },
    LARGE: {
        "openai_es": ("strategy.popsize=50", "strategy.noise=seeded"),
        "mezo": (),
        "eggroll": ("strategy.popsize=50",),
    },
}
BOTTLENECK = 4  # units: a narrower network is shown, and not judged
CHANCE = 0.1  # the accuracy of a run that has diverged
MARGIN = 0.01  # of accuracy per decade, up to which a gap does not grow
NO_GROWTH = "no growth"


def sized(seeds: int, minutes: float, trials: int, small: Mapping[str, Any], large: Mapping[str, Any]) -> Profile:
    """What is run of small and of large networks: hidden units, forwards of a run, and methods besides Adam."""
    return Profile(seeds, minutes, trials, sizes={SMALL: small, LARGE: large})


class Dimension(Study):
    """How far gradient-free methods fall behind Adam as networks grow, up to a million parameters, at equal cost.

    A network with one hidden layer of 2 to 512 units, that is 160 to 38,410 parameters, learns scikit-learn's digits in
    a million forwards. Each method is tuned at each size by as many trials, judged by validation, and Adam likewise.
    All take batches of 64 samples: with 256 every population method has a quarter of the steps, and is much worse. Each
    seed has a split of its own.

    Larger networks, of 2,410 to 999,985 parameters, are for the methods that keep no population in memory: MeZO, which
    draws its noise again; OpenAI-ES with seeds for perturbations; EGGROLL, whose perturbations are products of thin
    factors. They have a tenth of the forwards, since a run of the largest takes dozens of times as long, and so has
    Adam there. Two budgets make no common curve: slopes are taken over the small networks and over the large ones, each
    by itself, and the large ones begin at sizes that the small ones have, too.

    What counts is the gap in test accuracy to Adam on the same network, split and seed, and by how much it rises where
    the network has ten times as many parameters. A network with two units cannot tell ten classes well, and is as hard
    a problem for both sides; it is shown, and not judged. Of the strategies with a scale for each coordinate, as
    sep-CMA-ES has, the separable natural evolution strategy is the one without further packages.

    A wider network is also an easier one, since more of its random features are of use. This is how networks grow in
    practice, and what the claim is about; it is not what happens to a function of which variables are added.
    """

    number = 2
    claim = (
        "Gradient-free training is too wasteful where there are so many dimensions: the more parameters, the further "
        "it falls behind the gradient."
    )
    said_by = "The thread."
    rule = (
        "The gap of a method is what its test accuracy is below Adam's. Over the small networks, and over the large "
        "ones where the method has them, it does not grow if its slope over log d is "
        f"below 0 (p < .05, Holm), or less than {MARGIN} per decade either way (two one-sided tests, p < .05, Holm); "
        "else it grows if its slope is above 0 (p < .05, Holm). A method counts as growing, or as not growing, if that "
        "is found wherever it has a slope. Supported if the gap grows for more than half of the gradient-free methods; "
        "refuted if it does not grow for more than half; not distinguishable if neither can be told of any; else mixed."
    )
    profiles = {
        "smoke": sized(
            2, 0.2, 0, {"units": [4, 16], "forwards": 1e4, "methods": ["openai_es", "mezo"]},
            {"units": [16, 64], "forwards": 5e3, "methods": ["mezo"]},
        ),
        "docs": sized(
            10, 20, 10, {"units": [2, 8, 32, 128, 512], "forwards": 1e6, "methods": list(METHODS[SMALL])},
            {"units": [32, 512, 2600, 13333], "forwards": 1e5, "methods": list(METHODS[LARGE])},
        ),
        "full": sized(
            20, 2000, 30,
            {"units": [2, 4, 8, 16, 32, 64, 128, 256, 512], "forwards": 1e7, "methods": list(METHODS[SMALL])},
            {"units": [32, 128, 512, 2600, 13333], "forwards": 1e6, "methods": list(METHODS[LARGE])},
        ),
    }  # fmt: skip
    metrics = ("test/accuracy", "test/loss")
    base = ("dataset=digits", "dataset.batch_size=64", "dataset.split_seed=${seed}")

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        found = {}
        for which, sizes in profile.sizes.items():
            forwards = f"budget.forwards={sizes['forwards']:g}"
            for units in sizes["units"]:
                for method in (ADAM, *sizes["methods"]):
                    own = (f"strategy={method}", *METHODS[which].get(method, ()), f"model.hidden=[{units}]")
                    found[arm_of(which, method, units)] = Arm((*own, forwards), tuned=True)
        return found

    def judge(self, results: Results) -> Judgement:
        found = compared(results)
        sentences = [said(each) for each in found.values()]
        tables = []
        numbers = {f"slope/{which}/{name}": each.found.difference.value for (which, name), each in found.items()}
        for which, sizes in sizes_of(results).items():
            sentences.append(ends(results, which))
            tables.append(gap_table(results, which))
            for method in sizes["methods"]:
                numbers[f"gap/{which}/{method}"] = mean(gaps(results, which, method, sizes["units"][-1]))
        return Judgement(verdict(found), sentences, [*tables, slope_table(results, found)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import legend, panels

        every = sizes_of(results)
        figure, axes = panels(2 * len(every))
        for i, (which, sizes) in enumerate(every.items()):
            left, right = axes[2 * i : 2 * i + 2]
            x = [parameters(units) for units in sizes["units"]]
            for name in (ADAM, *sizes["methods"]):
                style = "k--" if name == ADAM else "o-"
                reached = [mean(accuracies(results, which, name, units)) for units in sizes["units"]]
                left.plot(x, reached, style, markersize=3, label=name)
                if name != ADAM:
                    behind = [mean(gaps(results, which, name, units)) for units in sizes["units"]]
                    right.plot(x, behind, style, markersize=3)
            title = f"{which} networks, {sizes['forwards']:,.0f} forwards"
            left.set(xscale="log", xlabel="parameters d", ylabel="test accuracy", title=title)
            right.set(xscale="log", xlabel="parameters d", ylabel="gap to Adam in test accuracy")
            legend(left, "x-small")
        return figure


# -- values -----------------------------------------------------------------------------------------------------------


def parameters(units: int) -> int:
    """Of the network 64-units-10."""
    return 75 * units + 10


def arm_of(which: str, method: str, units: int) -> str:
    """The name of an arm."""
    return f"{method}, d = {parameters(units):,}" + (", few forwards" if which == LARGE else "")


def sizes_of(results: Results) -> Mapping[str, Mapping[str, Any]]:
    """What was run of small and of large networks: units, forwards and methods."""
    return Dimension.profiles[results.profile].sizes


def judged(results: Results, which: str) -> list[int]:
    """The hidden units of networks that slopes are taken over."""
    return [units for units in sizes_of(results)[which]["units"] if units >= BOTTLENECK]


def accuracies(results: Results, which: str, method: str, units: int) -> dict[str, float]:
    """On the test, by seed; chance where a run has diverged."""
    return {str(run.seed): accuracy(run) for run in results.arms.get(arm_of(which, method, units), ())}


def accuracy(run: Outcome) -> float:
    """On the test; chance where there is none."""
    value = run.metrics.get("test/accuracy", math.nan)
    return CHANCE if run.diverged or not math.isfinite(value) else value


def gaps(results: Results, which: str, method: str, units: int) -> dict[str, float]:
    """By how much Adam is more accurate, by seed."""
    own = accuracies(results, which, method, units)
    return {seed: best - own[seed] for seed, best in accuracies(results, which, ADAM, units).items() if seed in own}


def loss_ratios(results: Results, which: str, method: str, units: int) -> list[float]:
    """How many times Adam's test loss that of a method is, for each seed where both have one."""
    mine, theirs = (results.values(arm_of(which, name, units), "test/loss") for name in (method, ADAM))
    pairs = [(mine[seed], loss) for seed, loss in theirs.items() if seed in mine]
    return [a / b for a, b in pairs if 0 < a < math.inf and 0 < b < math.inf]


def mean(values: Mapping[str, float]) -> float:
    """NaN of nothing."""
    return statistics.fmean(values.values()) if values else math.nan


# -- the rule ---------------------------------------------------------------------------------------------------------


def compared(results: Results) -> dict[tuple[str, str], Compared]:
    """The slope of the gap of each method, over small and over large networks, against none."""
    slopes = {
        (which, name): per_decade(
            {float(parameters(units)): gaps(results, which, name, units) for units in judged(results, which)}
        )
        for which, sizes in sizes_of(results).items()
        for name in sizes["methods"]
    }
    names = {key: f"{key[1]}, {key[0]} networks" for key in slopes}
    values = {names[key]: of for key, of in slopes.items()}
    zero = {seed: 0.0 for of in slopes.values() for seed in of}
    pairs = [(name, NO_GROWTH) for name in values]
    found = {each.a: each for each in compare_values(values | {NO_GROWTH: zero}, pairs, higher=True, margin=MARGIN)}
    return {key: found[name] for key, name in names.items() if name in found}


def grows(each: Compared) -> bool | None:
    """Whether a gap grows; None where that cannot be told."""
    if each.equivalent or each.better == NO_GROWTH:
        return False
    return True if each.better == each.a else None


def verdict(found: Mapping[tuple[str, str], Compared]) -> Verdict:
    """By the rule."""
    by_method: dict[str, set[bool | None]] = {}
    for (_, method), each in found.items():
        by_method.setdefault(method, set()).add(grows(each))
    if 2 * sum(told == {True} for told in by_method.values()) > len(by_method):
        return "supported"
    if 2 * sum(told == {False} for told in by_method.values()) > len(by_method):
        return "refuted"
    return "not distinguishable" if all(told == {None} for told in by_method.values()) else "mixed"


# -- what is said -----------------------------------------------------------------------------------------------------


def said(each: Compared) -> str:
    """How a gap changes with d."""
    told = {True: "grows", False: "does not grow", None: "may grow or not"}[grows(each)]
    slope = each.found.difference
    return (
        f"The gap of {each.a}, to Adam {told}: by {number(slope.value)} per decade of d (95 % CI {number(slope.low)} "
        f"to {number(slope.high)}, p = {each.p:.2g}; p of a change of {MARGIN} or more {each.equivalence:.2g})."
    )


def ends(results: Results, which: str) -> str:
    """The gaps of the largest network."""
    sizes = sizes_of(results)[which]
    last = sizes["units"][-1]
    told = ", ".join(f"{name} {mean(gaps(results, which, name, last)):.3f}" for name in sizes["methods"])
    reached = mean(accuracies(results, which, ADAM, last))
    return (
        f"At d = {parameters(last):,}, with {sizes['forwards']:,.0f} forwards, Adam has a test accuracy of "
        f"{reached:.3f}; behind it are, by: {told}."
    )


def gap_table(results: Results, which: str) -> Table:
    """Accuracies of Adam, and gaps to it."""
    sizes = sizes_of(results)[which]
    rows = [
        [f"{parameters(units):,}", f"{mean(accuracies(results, which, ADAM, units)):.3f}",
         *(f"{mean(gaps(results, which, name, units)):.3f}" for name in sizes["methods"])]
        for units in sizes["units"]
    ]  # fmt: skip
    title = f"{which.capitalize()} networks, {sizes['forwards']:,.0f} forwards: test accuracy of Adam, and by how much"
    return Table(["d", ADAM, *sizes["methods"]], rows, f"{title} others are below it (means)")


def slope_table(results: Results, found: Mapping[tuple[str, str], Compared]) -> Table:
    """How gaps change with d."""
    head = ["method", "d", "gap per decade of d", "p", "p of not equivalent", "could have seen",
            "exponent of the loss ratio"]  # fmt: skip
    rows = []
    for (which, method), each in found.items():
        ends = [f"{parameters(units):,}" for units in judged(results, which)]
        seen = "-" if each.detectable is None else number(each.detectable)
        rows.append([
            method, f"{ends[0]} to {ends[-1]}", interval(each.found.difference), f"{each.p:.2g}",
            f"{each.equivalence:.2g}", seen, interval(loss_exponent(results, which, method)),
        ])  # fmt: skip
    return Table(head, rows, f"Over networks of {BOTTLENECK} units or more")


def loss_exponent(results: Results, which: str, method: str) -> Interval | None:
    """How the ratio of test losses to Adam grows with d; None where runs have no loss."""
    sizes = judged(results, which)
    ratios = {float(parameters(units)): loss_ratios(results, which, method, units) for units in sizes}
    return exponent(ratios) if all(ratios.values()) else None
