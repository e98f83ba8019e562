"""C7: plain deep and recurrent networks by searches, and by descent before and after they are mended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridopt.core.study import Arm, Judgement, Profile, Results, Study, Verdict
from hybridopt.report.interval import Interval
from hybridopt.study.comparing import compare_values, table
from hybridopt.study.leading import pairs_of
from hybridopt.study.succeeding import RatesCompared, compare_rates, comparisons_table, percent, rate, rates_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DESCENTS = ("sgd", "adam")  # of the plain architecture
SEARCHES = ("openai_es", "snes", "ensemble_kalman_inversion", "genetic_algorithm", "safe_mutation")
TRAINED = 0.5  # accuracy on digits, where chance has 0.1, or R2, from which a run has succeeded
FLOOR = -1.0  # of R2, below which one run is as bad as another
HOSTILE = 0.5  # the success rate of plain descent up to which an architecture is hostile to it


@dataclass(frozen=True)
class Architecture:
    """A network, and how its time has mended it.

    Args:
        base: overrides of all arms.
        metric: of the test; more is better.
        trained: its value from which a run has succeeded.
        mended: name -> overrides, of the same network with what made descent work, by Adam.
        times: how many times the profile's forwards its arms have.
    """

    base: tuple[str, ...]
    metric: str
    trained: float
    mended: Mapping[str, tuple[str, ...]]
    times: float = 1.0


def perceptron(activation: str, depth: int) -> Architecture:
    """A plain deep perceptron on digits, with torch's default weights."""
    mended = {
        "orthogonal weights": ("strategy=adam", "model.initialisation=orthogonal"),
        "residual connections": ("strategy=adam", "model.residual=true"),
    }
    base = ("model=deep_mlp", f"model.activation={activation}", f"model.depth={depth}")
    return Architecture(base, "accuracy", TRAINED, mended)


ARCHITECTURES = {
    "tanh, 10 layers": perceptron("tanh", 10),
    "tanh, 30 layers": perceptron("tanh", 30),
    "sigmoid, 10 layers": perceptron("sigmoid", 10),
    "rnn, 20 steps": Architecture(
        ("model=rnn", "model.cell=rnn", "model.hidden=32", "dataset=adding", "dataset.length=20", "objective=mse"),
        "r2",
        TRAINED,
        {"lstm": ("strategy=adam", "model.cell=lstm"), "gru": ("strategy=adam", "model.cell=gru")},
        times=0.4,
    ),
}


class HostileArchitectures(Study):
    """Plain deep perceptrons and a plain recurrent network: searches, descent, and descent of the mended network.

    If architectures were bent to gradient descent, two things follow. On those that were not bent, descent fails and
    what needs no gradient does not; and what was changed about them, orthogonal weights, residual connections, gates,
    is what makes descent work. Plain perceptrons of 10 and 30 layers with the default weights of torch lose signal and
    gradient with depth; Elman's recurrent network is to add two numbers that were marked up to twenty steps before. The
    mended ones are those of the literature: Saxe et al. 2014 (https://arxiv.org/abs/1312.6120), He et al. 2016
    (https://arxiv.org/abs/1512.03385), LSTM and GRU. Even 30 layers can be trained within the budget: on seeds that do
    not judge, Adam at its default rate and SGD at a rate of 0.02 do it from orthogonal weights.

    A search sees the loss alone, which is as flat as the gradient is small: it is no foregone conclusion that it does
    better. Safe mutation (Lehman et al. 2018, https://arxiv.org/abs/1712.06563) was made for such networks. All arms of
    an architecture have the same forwards and the same trials for their settings, and each seed has a split of its own.
    What counts is whether a run trains at all, so that a search that is a little above chance has not won; the bar is
    one that SNES, Kalman inversion and the genetic algorithm pass on a network of one layer with this budget.
    """

    number = 7
    claim = "Gradient descent is a de facto choice, to which architectures were bent."
    said_by = "jbuddy_13, in the thread."
    rule = (
        f"A run succeeds with a test accuracy of {TRAINED} on digits, or that R2 on sums. An arm wins on an "
        "architecture if it succeeds more often than SGD and than Adam on the plain one (Fisher's test, p < .05, Holm "
        "over all searches and mended networks). An architecture is hostile if neither SGD nor Adam succeeds on more "
        f"than {HOSTILE:.0%} of the seeds. Supported if on each hostile one some mended network wins, and on half of "
        "them or more some search wins on the plain one; refuted if on none of them a search wins, though a mended "
        "network does on one at least; not distinguishable if none is hostile, or nothing wins anywhere; else mixed."
    )
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.4, sizes={"names": ["sigmoid, 10 layers"], "forwards": 6e4}),
        "docs": Profile(seeds=10, minutes=8, trials=6, sizes={"names": list(ARCHITECTURES), "forwards": 5e5}),
        "full": Profile(seeds=20, minutes=400, trials=20, sizes={"names": list(ARCHITECTURES), "forwards": 5e6}),
    }
    metrics = ("test/accuracy", "test/r2", "test/loss")
    base = ("dataset.split_seed=${seed}", "budget.marks=10")

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        found = {}
        for name in profile.sizes["names"]:
            each = ARCHITECTURES[name]
            budget = f"budget.forwards={each.times * profile.sizes['forwards']:g}"
            plain = {way: (f"strategy={way}",) for way in (*DESCENTS, *SEARCHES)}
            for way, overrides in {**plain, **each.mended}.items():
                found[arm_of(name, way)] = Arm((*each.base, budget, *overrides), tuned=True)
        return found

    def judge(self, results: Results) -> Judgement:
        names = names_of(results)
        hits = {arm_of(name, way): hits_of(results, name, way) for name in names for way in ways(name)}
        rates = {arm: rate(of) for arm, of in hits.items() if of}
        compared = compare_rates(hits, [pair for name in names for pair in pairs_on(name)])
        found = []
        for name in names:
            shown = {way: rates[arm_of(name, way)] for way in ways(name) if arm_of(name, way) in rates}
            found.append(
                f"{name}: runs that train, "
                + ", ".join(f"{way} {percent(share)}" for way, share in shown.items())
                + f". Better than plain descent: {', '.join(winners(compared, name, ways(name))) or 'none'}."
            )
        values = {arm_of(name, way): values_of(results, name, way) for name in names for way in ways(name)}
        differences = compare_values(values, [pair for name in names for pair in pairs_on(name)], higher=True)
        tables = [
            rates_table(hits, "Runs that train"),
            comparisons_table(compared, "Success rates, Fisher's test with Holm's correction"),
            table(differences, "Accuracy or R2 on the test, paired by seed"),
        ]
        numbers = {arm.replace(": ", "/"): share.value for arm, share in rates.items()}
        return Judgement(verdict(compared, rates, names), found or ["Nothing has run."], tables, numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import dots, panels

        names = names_of(results)
        figure, axes = panels(max(1, len(names)))
        for name, panel in zip(names, axes, strict=False):
            metric = ARCHITECTURES[name].metric
            arms = {way: results.values(arm_of(name, way), f"test/{metric}", higher=True) for way in ways(name)}
            dots(
                panel, {way: [max(-0.2, value) for value in of.values()] for way, of in arms.items()}, f"test {metric}"
            )
            panel.axvline(ARCHITECTURES[name].trained, color="k", linestyle=":", linewidth=1)
            panel.set_title(name, fontsize="medium")
        return figure


# -- arms -------------------------------------------------------------------------------------------------------------


def arm_of(name: str, way: str) -> str:
    """The name of an arm."""
    return f"{name}: {way}"


def ways(name: str) -> list[str]:
    """All arms of an architecture, without its name."""
    return [*DESCENTS, *ARCHITECTURES[name].mended, *SEARCHES]


def names_of(results: Results) -> list[str]:
    """The architectures of which something was run."""
    return [name for name in ARCHITECTURES if any(results.arms.get(arm_of(name, way)) for way in ways(name))]


def values_of(results: Results, name: str, way: str) -> dict[str, float]:
    """The metric of the test, by seed; of runs that have diverged, or are worse, :data:`FLOOR`."""
    values = results.values(arm_of(name, way), f"test/{ARCHITECTURES[name].metric}", higher=True)
    return {seed: max(FLOOR, value) if value == value else FLOOR for seed, value in values.items()}


def hits_of(results: Results, name: str, way: str) -> list[bool]:
    """Whether each run has trained."""
    return [value >= ARCHITECTURES[name].trained for value in values_of(results, name, way).values()]


def pairs_on(name: str) -> list[tuple[str, str]]:
    """Searches and mended networks, each with plain descent."""
    challengers = [arm_of(name, way) for way in ways(name) if way not in DESCENTS]
    return pairs_of(challengers, [arm_of(name, way) for way in DESCENTS])


# -- what is said -----------------------------------------------------------------------------------------------------


def winners(compared: Sequence[RatesCompared], name: str, among: Sequence[str]) -> list[str]:
    """Those that succeed more often than SGD and than Adam on the plain architecture."""
    won = {(each.a, each.b) for each in compared if each.better == each.a}
    rivals = [arm_of(name, way) for way in DESCENTS]
    return [way for way in among if all((arm_of(name, way), rival) in won for rival in rivals)]


def verdict(compared: Sequence[RatesCompared], rates: Mapping[str, Interval], names: Sequence[str]) -> Verdict:
    """By the rule."""

    def fails(arm: str) -> bool:
        return arm in rates and rates[arm].value <= HOSTILE

    hostile = [name for name in names if all(fails(arm_of(name, way)) for way in DESCENTS)]
    searched = [name for name in hostile if winners(compared, name, SEARCHES)]
    mended = [name for name in hostile if winners(compared, name, list(ARCHITECTURES[name].mended))]
    if not searched and not mended:
        return "not distinguishable"
    if len(mended) == len(hostile) and 2 * len(searched) >= len(hostile):
        return "supported"
    return "mixed" if searched else "refuted"
