"""C4: what a random network comes to when weights are left out and none is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hybridopt.core.study import Arm, Judgement, Profile, Results, Study, Table, Verdict
from hybridopt.study.comparing import Compared, compare_values, medians, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRIC = "test/accuracy"
MARGIN = 0.02  # of accuracy, up to which a subnetwork is as good as the trained network
TRAINED, POPUP, LEARNED, PRUNED = "trained", "edge-popup", "learned mask", "mask of pruning"
RANDOM, GENETIC, PBIL = "best of random masks", "genetic algorithm", "PBIL"
KEEP = 0.5  # of each layer's weights
SEARCH = 20  # times the forwards of the others, for searches without a gradient
SIGNED = ("encoding=supermask", "encoding.init=signed_constant")
BY_GRADIENT: Mapping[str, tuple[str, ...]] = {  # and the two that are tuned by it no less
    TRAINED: ("strategy=adam",),
    POPUP: ("strategy=edge_popup", f"strategy.keep={KEEP}"),
    LEARNED: ("strategy=learned_supermask",),
}
UNTUNED: Mapping[str, tuple[str, ...]] = {
    PRUNED: (  # pruned in rounds of training, rewound to the first weights, and not moved from there
        "strategy=lottery_ticket",
        "strategy/search=iterative_magnitude_pruning",
        "strategy.search.sparsity=0.9",
        "strategy.search_share=0.99",
        "strategy.finetune.lr=1e-12",
    ),
    RANDOM: (
        "strategy=random_search",
        *SIGNED,
        f"encoding.sparsity={1 - KEEP}",
        "strategy.sigma=1",
        "strategy.popsize=20",
        "dataset.batch_size=256",
    ),
}
BY_SEARCH: Mapping[str, tuple[str, ...]] = {
    GENETIC: ("strategy=genetic_algorithm", *SIGNED, f"encoding.sparsity={1 - KEEP}"),
    PBIL: ("strategy=pbil", *SIGNED, "encoding.rule=sign", "strategy.scale=0.1"),  # of bits only the sides count
}


class Subnetworks(Study):
    """Masks of untrained networks on digits, found by gradient, by search and by chance, against trained networks.

    Networks 64-w-w-10 of ReLU. Edge-popup and the learned mask get as many forwards as the trained network, and as many
    trials for their learning rates; their weights are plus or minus one number in each layer, as the papers have them.
    Masks without a gradient are searched on the same kind of weights, with twenty times the forwards, by which they are
    helped, not hindered. What pruning leaves is looked at without training, too: ``finetune.lr=1e-12`` leaves the
    weights that are kept where they began. Whether there is a good subnetwork is settled if one is found; where none is
    found there may be one still. Counted is accuracy, since a mask cannot scale the outputs, and the cross-entropy
    depends on their scale.
    """

    number = 4
    claim = "Random networks contain subnetworks that are good without training."
    said_by = "The thread; Ramanujan et al. 2020, https://arxiv.org/abs/1911.13299."
    rule = (
        "Supported if edge-popup's subnetwork of the widest network is as good as the trained network of that width, "
        f"up to {MARGIN} of test accuracy, or better, and better than the best of as many random masks as its forwards "
        "pay for; refuted if at each width it is worse than the trained network by more than that, with its interval, "
        f"or at each width worse than the random masks or as good up to {MARGIN}; not distinguishable if neither a "
        "difference from the trained network nor that there is none can be told at the widest; else mixed. Each by "
        "p < .05, paired by seed, Holm over all comparisons."
    )
    profiles = {
        "smoke": Profile(
            seeds=2, minutes=0.2, sizes={"widths": [16], "searched": [16], "keep": [0.2], "forwards": 1e4}
        ),
        "docs": Profile(
            seeds=12,
            minutes=6,
            trials=5,
            sizes={"widths": [16, 64, 256], "searched": [16, 64], "keep": [0.05, 0.2, 0.8, 1.0], "forwards": 2e5},
        ),
        "full": Profile(
            seeds=20,
            minutes=90,
            trials=15,
            sizes={
                "widths": [16, 32, 64, 128, 256, 512],
                "searched": [16, 64, 256],
                "keep": [0.02, 0.05, 0.1, 0.2, 0.35, 0.65, 0.8, 0.9, 1.0],
                "forwards": 2e5,
            },
        ),
    }
    metrics = (METRIC, "test/loss")
    base = ("dataset.split_seed=${seed}", "dataset.batch_size=64")

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        sizes, arms = profile.sizes, {}
        for width in sizes["widths"]:
            small = (f"model.hidden=[{width},{width}]", f"budget.forwards={sizes['forwards']:g}")
            for way, overrides in BY_GRADIENT.items():
                arms[arm_of(width, way)] = Arm((*overrides, *small), True, "final/val/accuracy")
            for way, overrides in UNTUNED.items():
                arms[arm_of(width, way)] = Arm((*overrides, *small))
        for width in sizes["searched"]:
            large = (f"model.hidden=[{width},{width}]", f"budget.forwards={SEARCH * sizes['forwards']:g}")
            for way, overrides in BY_SEARCH.items():
                given = (*overrides, *large, "dataset.batch_size=256")
                arms[arm_of(width, way)] = Arm(given, True, "final/val/accuracy")
        width = sizes["searched"][-1]
        for keep in sizes["keep"]:
            given = ("strategy=edge_popup", f"strategy.keep={keep}", f"model.hidden=[{width},{width}]")
            given = (*given, f"budget.forwards={sizes['forwards']:g}")
            arms[arm_of(width, POPUP, keep)] = Arm(given, settings_of=arm_of(width, POPUP))
        return arms

    def judge(self, results: Results) -> Judgement:
        values = {arm: results.values(arm, METRIC, higher=True) for arm in results.arms}
        found = compared(values)
        middle = {arm: each.value for arm, each in medians(values).items()}
        rows = [[arm, f"{value:.3f}", str(len(values[arm]))] for arm, value in middle.items()]
        listed = Table(["arm", "median test accuracy", "seeds"], rows, "Accuracies")
        numbers = {f"accuracy/{arm}": value for arm, value in middle.items()}
        return Judgement(verdict(found), [f"{each}." for each in found], [table(found), listed], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import dots, panels

        widths = widths_of(results.arms)
        figure, axes = panels(len(widths), columns=3)
        for width, panel in zip(widths, axes, strict=True):
            arms = [arm for arm in results.arms if arm.startswith(f"{width} ")]
            named = {arm.partition(", ")[2]: arm for arm in arms}
            shown = {name: list(results.values(arm, METRIC, higher=True).values()) for name, arm in named.items()}
            dots(panel, shown, f"test accuracy, {width} units a layer")
        return figure


def arm_of(width: int, way: str, keep: float | None = None) -> str:
    """The name of an arm."""
    return f"{width} units, {way}" + ("" if keep is None else f" of {keep:.0%}")


def widths_of(arms: Mapping[str, object]) -> list[int]:
    """The widths that were run, from the smallest."""
    return sorted({int(arm.partition(" ")[0]) for arm in arms})


def compared(values: Mapping[str, Mapping[str, float]]) -> list[Compared]:
    """Edge-popup with the trained network and with chance at each width; the search with both where it was run."""
    pairs = []
    for width in widths_of(values):
        popup = arm_of(width, POPUP)
        pairs += [(popup, arm_of(width, TRAINED)), (popup, arm_of(width, RANDOM))]
        if arm_of(width, GENETIC) in values:
            pairs += [(arm_of(width, GENETIC), popup), (arm_of(width, GENETIC), arm_of(width, RANDOM))]
    there = [pair for pair in pairs if set(pair) <= values.keys()]
    return compare_values(values, there, higher=True, margin=MARGIN, metric=METRIC)


def verdict(found: Sequence[Compared]) -> Verdict:
    """By the rule."""
    popup = [each for each in found if each.a.endswith(POPUP)]
    trained = [each for each in popup if each.b.endswith(TRAINED)]
    chance = [each for each in popup if each.b.endswith(RANDOM)]
    if not trained or not chance:
        return "not distinguishable"
    widest, above = trained[-1], chance[-1]
    if (widest.equivalent or widest.better == widest.a) and above.better == above.a:
        return "supported"
    by_chance = all(each.better == each.b or (each.equivalent and not each.better) for each in chance)
    if by_chance or all(beyond(each) for each in trained):
        return "refuted"
    return "mixed" if widest.equivalent or widest.better else "not distinguishable"


def beyond(each: Compared) -> bool:
    """Whether the subnetwork is worse by more than the margin, with its interval."""
    return each.better == each.b and each.found.difference.high < -MARGIN
