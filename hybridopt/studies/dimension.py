"""C2: what gradient-free training loses to Adam at equal cost, as the number of parameters grows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hybridopt.core.study import Arm, Judgement, Outcome, Profile, Results, Study, Table, Verdict
from hybridopt.report.interval import Interval
from hybridopt.report.page import interval
from hybridopt.report.verdict import number
from hybridopt.study.comparing import Compared, compare_values
from hybridopt.study.scaling import exponent, per_decade

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ADAM = "adam"
METHODS: Mapping[str, tuple[str, ...]] = {  # strategy -> its own overrides
    "openai_es": ("strategy.popsize=50",),
    "snes": (),
    "ensemble_kalman_inversion": (),
    "genetic_algorithm": (),
    "mezo": (),
    "particle_swarm": (),
    "simulated_annealing": (),
}
BOTTLENECK = 4  # units: a narrower network is shown, and not judged
CHANCE = 0.1  # the accuracy of a run that has diverged
MARGIN = 0.01  # of accuracy per decade, up to which a gap does not grow
NO_GROWTH = "no growth"


class Dimension(Study):
    """How far gradient-free methods fall behind Adam on networks of 160 to 38,410 parameters, at equal cost.

    A network with one hidden layer of 2 to 512 units learns scikit-learn's digits in a million forwards. Each method is
    tuned at each size by as many trials, judged by validation, and Adam likewise. All take batches of 64 samples:
    with 256 every population method has a quarter of the steps, and is much worse. Each seed has a split of its own.

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
        "The gap of a method is what its test accuracy is below Adam's. It does not grow if its slope over log d is "
        f"below 0 (p < .05, Holm), or less than {MARGIN} per decade either way (two one-sided tests, p < .05, Holm); "
        "else it grows if its slope is above 0 (p < .05, Holm). Supported if it grows for more than half of the "
        "gradient-free methods; refuted if it does not grow for more than half; not distinguishable if neither can be "
        "told of any; else mixed."
    )
    profiles = {
        "smoke": Profile(
            seeds=2, minutes=0.2, sizes={"units": [4, 16], "forwards": 2e4, "methods": ["openai_es", "mezo"]}
        ),
        "docs": Profile(
            seeds=10,
            minutes=18,
            trials=10,
            sizes={"units": [2, 8, 32, 128, 512], "forwards": 1e6, "methods": list(METHODS)},
        ),
        "full": Profile(
            seeds=20,
            minutes=900,
            trials=30,
            sizes={"units": [2, 4, 8, 16, 32, 64, 128, 256, 512], "forwards": 1e7, "methods": list(METHODS)},
        ),
    }
    metrics = ("test/accuracy", "test/loss")
    base = ("dataset=digits", "dataset.batch_size=64", "dataset.split_seed=${seed}")

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        forwards = f"budget.forwards={profile.sizes['forwards']:g}"
        return {
            arm_of(method, units): Arm(
                (f"strategy={method}", *METHODS.get(method, ()), f"model.hidden=[{units}]", forwards), tuned=True
            )
            for units in profile.sizes["units"]
            for method in (ADAM, *profile.sizes["methods"])
        }

    def judge(self, results: Results) -> Judgement:
        found = compared(results)
        sizes = sizes_of(results)
        growth = {each.a: each for each in found}
        sentences = [*(said(each) for each in found), ends(results, sizes)]
        numbers = {f"slope/{name}": each.found.difference.value for name, each in growth.items()}
        numbers |= {f"gap/{name}": mean(gaps(results, name, sizes[-1])) for name in growth}
        return Judgement(verdict(found), sentences, [gap_table(results, sizes), slope_table(results, found)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import legend, panels

        figure, (left, right) = panels(2)
        sizes = sizes_of(results)
        x = [parameters(units) for units in sizes]
        for name in (ADAM, *methods_of(results)):
            style = "k--" if name == ADAM else "o-"
            reached = [mean(accuracies(results, name, units)) for units in sizes]
            left.plot(x, reached, style, markersize=3, label=name)
            if name != ADAM:
                right.plot(x, [mean(gaps(results, name, units)) for units in sizes], style, markersize=3)
        left.set(xscale="log", xlabel="parameters d", ylabel="test accuracy")
        right.set(xscale="log", xlabel="parameters d", ylabel="gap to Adam in test accuracy")
        legend(left, "x-small")
        return figure


# -- values -----------------------------------------------------------------------------------------------------------


def parameters(units: int) -> int:
    """Of the network 64-units-10."""
    return 75 * units + 10


def arm_of(method: str, units: int) -> str:
    """The name of an arm."""
    return f"{method}, d = {parameters(units):,}"


def methods_of(results: Results) -> list[str]:
    """The gradient-free methods that were run."""
    return list(results_sizes(results)["methods"])


def sizes_of(results: Results) -> list[int]:
    """The hidden units that were run."""
    return list(results_sizes(results)["units"])


def results_sizes(results: Results) -> Mapping[str, Sequence]:
    """The sizes of the profile that was run."""
    return Dimension.profiles[results.profile].sizes


def accuracies(results: Results, method: str, units: int) -> dict[str, float]:
    """On the test, by seed; chance where a run has diverged."""
    return {str(run.seed): accuracy(run) for run in results.arms.get(arm_of(method, units), ())}


def accuracy(run: Outcome) -> float:
    """On the test; chance where there is none."""
    value = run.metrics.get("test/accuracy", math.nan)
    return CHANCE if run.diverged or not math.isfinite(value) else value


def gaps(results: Results, method: str, units: int) -> dict[str, float]:
    """By how much Adam is more accurate, by seed."""
    own = accuracies(results, method, units)
    return {seed: best - own[seed] for seed, best in accuracies(results, ADAM, units).items() if seed in own}


def loss_ratios(results: Results, method: str, units: int) -> list[float]:
    """How many times Adam's test loss that of a method is, for each seed where both have one."""
    mine, theirs = (results.values(arm_of(name, units), "test/loss") for name in (method, ADAM))
    pairs = [(mine[seed], loss) for seed, loss in theirs.items() if seed in mine]
    return [a / b for a, b in pairs if 0 < a < math.inf and 0 < b < math.inf]


def mean(values: Mapping[str, float]) -> float:
    """NaN of nothing."""
    return statistics.fmean(values.values()) if values else math.nan


# -- the rule ---------------------------------------------------------------------------------------------------------


def compared(results: Results) -> list[Compared]:
    """The slope of each method's gap, against none."""
    sizes = [units for units in sizes_of(results) if units >= BOTTLENECK]
    slopes = {
        name: per_decade({float(parameters(units)): gaps(results, name, units) for units in sizes})
        for name in methods_of(results)
    }
    zero = {seed: 0.0 for of in slopes.values() for seed in of}
    pairs = [(name, NO_GROWTH) for name in slopes]
    return compare_values(slopes | {NO_GROWTH: zero}, pairs, higher=True, margin=MARGIN)


def grows(each: Compared) -> bool | None:
    """Whether a gap grows; None where that cannot be told."""
    if each.equivalent or each.better == NO_GROWTH:
        return False
    return True if each.better == each.a else None


def verdict(found: Sequence[Compared]) -> Verdict:
    """By the rule."""
    told = [grows(each) for each in found]
    if 2 * told.count(True) > len(found):
        return "supported"
    if 2 * told.count(False) > len(found):
        return "refuted"
    return "mixed" if True in told or False in told else "not distinguishable"


# -- what is said -----------------------------------------------------------------------------------------------------


def said(each: Compared) -> str:
    """How a gap changes with d."""
    told = {True: "grows", False: "does not grow", None: "may grow or not"}[grows(each)]
    slope = each.found.difference
    return (
        f"The gap of {each.a} to Adam {told}: by {number(slope.value)} per decade of d (95 % CI {number(slope.low)} to "
        f"{number(slope.high)}, p = {each.p:.2g}; p of a change of {MARGIN} or more {each.equivalence:.2g})."
    )


def ends(results: Results, sizes: Sequence[int]) -> str:
    """The gaps of the largest network."""
    last = sizes[-1]
    told = ", ".join(f"{name} {mean(gaps(results, name, last)):.3f}" for name in methods_of(results))
    reached = mean(accuracies(results, ADAM, last))
    return f"At d = {parameters(last):,} Adam has a test accuracy of {reached:.3f}; behind it are, by: {told}."


def gap_table(results: Results, sizes: Sequence[int]) -> Table:
    """Accuracies of Adam, and gaps to it."""
    head = ["d", ADAM, *methods_of(results)]
    rows = [
        [f"{parameters(units):,}", f"{mean(accuracies(results, ADAM, units)):.3f}",
         *(f"{mean(gaps(results, name, units)):.3f}" for name in methods_of(results))]
        for units in sizes
    ]  # fmt: skip
    return Table(head, rows, "Test accuracy of Adam, and by how much others are below it (means)")


def slope_table(results: Results, found: Sequence[Compared]) -> Table:
    """How gaps change with d."""
    head = [
        "method",
        "gap per decade of d",
        "p",
        "p of not equivalent",
        "could have seen",
        "exponent of the loss ratio",
    ]
    rows = [
        [each.a, interval(each.found.difference), f"{each.p:.2g}", f"{each.equivalence:.2g}",
         "-" if each.detectable is None else number(each.detectable), interval(loss_exponent(results, each.a))]
        for each in found
    ]  # fmt: skip
    return Table(head, rows, f"Over networks of {BOTTLENECK} units or more")


def loss_exponent(results: Results, method: str) -> Interval | None:
    """How the ratio of test losses to Adam grows with d; None where runs have no loss."""
    sizes = [units for units in sizes_of(results) if units >= BOTTLENECK]
    ratios = {float(parameters(units)): loss_ratios(results, method, units) for units in sizes}
    return exponent(ratios) if all(ratios.values()) else None
