"""Whether fronts of accurate and sparse networks that are found without gradients reach those found with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hybridopt import Arm, Judgement, Profile, Results, Study, Table
from hybridopt.study.comparing import Compared, compare_values, medians, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRIC = "test/hypervolume"
MARGIN = 0.05  # of the hypervolume, up to which two fronts are as good: the whole corner has 2.5
OBJECTIVES = (
    "objective=several",
    "+objective@objective.parts.loss=cross_entropy",
    "+objective@objective.parts.share=zero_weights",
    "+objective.reference={loss: 2.5, share: 1.0}",
)
MASKS = ("encoding=supermask", "encoding.rule=sign", "encoding.init=signed_constant")
BITS = "variation=binary"
PRUNING, POPUP, TICKET = "iterative pruning", "edge-popup", "searched ticket"
SEARCH, MEMETIC = "NSGA-II over masks", "memetic NSGA-II over masks"
GRADIENTS = (PRUNING, POPUP)
KEPT = {"half": 0.5, "third": 0.3, "seventh": 0.15, "twentieth": 0.05}  # of edge-popup's weights, one after the other
DATA: Mapping[str, tuple[str, ...]] = {
    "digits": ("dataset=digits", "dataset.batch_size=128"),
    "mnist1d": ("dataset=mnist1d", "dataset.batch_size=128"),
}
WAYS: Mapping[str, tuple[str, ...]] = {
    PRUNING: ("strategy=iterative_magnitude_pruning", "strategy.rounds=6"),
    POPUP: (
        "strategy=sequence",
        *(f"+strategy/phases@strategy.phases.{name}=edge_popup" for name in KEPT),
        *(f"strategy.phases.{name}.keep={share}" for name, share in KEPT.items()),
    ),
    TICKET: ("strategy=lottery_ticket",),
    SEARCH: ("strategy=nsga2", *MASKS, f"strategy.{BITS}", "strategy.popsize=40"),
    MEMETIC: (
        *("strategy=memetic", "strategy/inner=nsga2", *MASKS, f"strategy.inner.{BITS}", "strategy.inner.popsize=40"),
        "strategy.lr=100",  # of scores, whose slopes are small, and which have to change their sign
    ),
}


class SparseFronts(Study):
    """NSGA-II over the masks of a random network against pruning and edge-popup, by the volume of their fronts.

    The loss of the test and the share of weights that are left are both to be low; a front is worth the volume that it
    dominates, up to a loss of 2.5, a little more than of guessing, and all weights. With gradients: pruning in rounds,
    each of which is a point, and edge-popup at four shares one after the other. Without: NSGA-II, one bit for each
    weight of a frozen random network. Between them a ticket that an evolution strategy searches and Adam trains, and
    NSGA-II whose members take steps of straight-through gradients, which are shown and decide nothing.

    All have the same forwards, and are tuned by as many trials by the volume of validation. Masks leave the weights as
    they were drawn, plus or minus one number in each layer, which pruning does not: that is what a search for masks
    can do, and a part of the claim.
    """

    claim = "A front of accurate and sparse networks found without gradients reaches one found with them."
    said_by = "Asked here; for single networks: Zhou et al. 2019, Ramanujan et al. 2020."
    rule = (
        f"{SEARCH} against the better, by its median, of {' and '.join(GRADIENTS)}, on each data set, by the "
        f"hypervolume of the test. Supported if it is better, or as good up to {MARGIN}, on each; refuted if worse "
        "on each; not distinguishable if none comes out on any; else mixed. Paired by seed, each by p < .05, Holm over "
        "all comparisons."
    )
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.2, sizes={"data": ["digits"], "budget": 2e4}),
        "docs": Profile(seeds=8, minutes=10, trials=6, sizes={"data": list(DATA), "budget": 1e6}),
        "full": Profile(seeds=20, minutes=200, trials=15, sizes={"data": list(DATA), "budget": 5e6}),
    }
    metrics = (METRIC, "test/front_size", "test/accuracy")
    base = ("dataset.split_seed=${seed}", "model.hidden=[64]", "budget.marks=20", *OBJECTIVES)

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        spent = f"budget.forwards={profile.sizes['budget']:g}"
        return {
            arm_of(data, way): Arm((*overrides, *DATA[data], spent), True, "final/val/hypervolume")
            for data in profile.sizes["data"]
            for way, overrides in WAYS.items()
        }

    def judge(self, results: Results) -> Judgement:
        values = {arm: results.values(arm, METRIC, higher=True) for arm in results.arms}
        sizes = medians({arm: results.values(arm, "test/front_size") for arm in results.arms})
        found, middle = compared(values), medians(values)
        data = datasets_of(values)
        told = decisive(found, values)
        sentences = [f"{each}: {outcome(each)}." for each in told] or ["Nothing has run."]
        rows = [[way, *(shown(middle, sizes, arm_of(name, way)) for name in data)] for way in WAYS]
        listed = Table(["way", *data], rows, "Median hypervolume of the test (members of the front)")
        numbers = {f"{name}/{way}": middle[arm_of(name, way)].value for name in data for way in WAYS}
        return Judgement(verdict(found, values), sentences, [listed, table(found)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import dots, panels

        values = {arm: results.values(arm, METRIC, higher=True) for arm in results.arms}
        data = datasets_of(values)
        figure, axes = panels(len(data))
        for name, panel in zip(data, axes, strict=True):
            dots(panel, {way: list(values[arm_of(name, way)].values()) for way in WAYS}, "hypervolume, test")
            panel.set_title(name, fontsize="small")
        return figure


def arm_of(data: str, way: str) -> str:
    """The name of an arm."""
    return f"{data}: {way}"


def datasets_of(arms: Mapping[str, object]) -> list[str]:
    """Those that were run, in their order."""
    return list(dict.fromkeys(arm.partition(": ")[0] for arm in arms))


def shown(middle: Mapping, sizes: Mapping, arm: str) -> str:
    """A cell of the table."""
    return f"{middle[arm].value:.3f} ({sizes[arm].value:.0f})"


def compared(values: Mapping[str, Mapping[str, float]]) -> list[Compared]:
    """The search against each way with gradients, and what its descent adds, on each data set."""
    pairs = [(arm_of(data, SEARCH), arm_of(data, way)) for data in datasets_of(values) for way in (*GRADIENTS, MEMETIC)]
    return compare_values(values, [pair for pair in pairs if set(pair) <= values.keys()], higher=True, margin=MARGIN)


def decisive(found: Sequence[Compared], values: Mapping[str, Mapping[str, float]]) -> list[Compared]:
    """On each data set the comparison with the better of both ways with gradients."""
    middle = medians(values)
    chosen = []
    for data in datasets_of(values):
        mine = [each for each in found if each.b in {arm_of(data, way) for way in GRADIENTS}]
        chosen += [max(mine, key=lambda each: middle[each.b].value)] if mine else []
    return chosen


def outcome(each: Compared) -> str:
    """What a comparison says of the search, in words."""
    if each.better is not None:
        return "better" if each.better == each.a else "worse"
    return f"as good up to {MARGIN}" if each.equivalent else "cannot be told"


def verdict(found: Sequence[Compared], values: Mapping[str, Mapping[str, float]]) -> str:
    """By the rule."""
    said = [outcome(each) for each in decisive(found, values)]
    if said and all(each == "worse" for each in said):
        return "refuted"
    if said and all(each != "worse" and each != "cannot be told" for each in said):
        return "supported"
    return "mixed" if any(each != "cannot be told" for each in said) else "not distinguishable"
