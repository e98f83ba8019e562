"""Winning tickets of MNIST-1D, as the paper has them: sparse networks that generalise better than the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hybridopt import Arm, Judgement, Profile, Results, Study, Table
from hybridopt.study.comparing import compare, medians, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRIC = "test/accuracy"
MARGIN = 0.02  # of accuracy, up to which two arms are as good as each other
SPARSITY, ROUNDS = 0.92, 5
DENSE, TICKET, RANDOM, REDRAWN = "dense", "ticket", "random mask", "ticket, weights redrawn"
UNTRAINED = "edge-popup, untrained"
SHUFFLED_DENSE, SHUFFLED_TICKET = "dense, values shuffled", "ticket, values shuffled"
# test accuracies at the end of the authors' runs, four of the whole network and two of each mask of 92 %, as printed in
# https://github.com/greydanus/mnist1d/blob/master/notebooks/lottery-tickets.ipynb
PUBLISHED = {DENSE: (0.664, 0.648, 0.606, 0.614), TICKET: (0.756, 0.744), RANDOM: (0.606, 0.618)}
PAIRS = ((TICKET, DENSE), (TICKET, RANDOM), (TICKET, REDRAWN), (UNTRAINED, DENSE), (SHUFFLED_TICKET, SHUFFLED_DENSE))


class Mnist1dTickets(Study):
    """Sparse subnetworks of the published perceptron, trained from their first weights, against the whole network.

    Greydanus and Kobak find tickets of 92 % sparsity in a perceptron, layer by layer, that generalise better than the
    dense network and than random masks, and lay that to locality: the first layer's survivors look at neighbours. So
    there are a random mask as sparse, the same mask with its weights redrawn, and sequences whose values are shuffled,
    which have no neighbours. The strong sense, a subnetwork that needs no training, is asked of edge-popup.

    A ticket is trained in the last round as long as the dense network is in all; finding it costs the rounds before.
    Each seed draws data of its own. The published network has 500 units and is pruned in 100 rounds; ours has fewer of
    both, so that it takes minutes. The accuracies that the authors' notebook prints stand beside ours. Learning rates
    of the dense network, the ticket and edge-popup are tuned by equal trials.
    """

    claim = "A random network contains a sparse subnetwork that, trained from its first weights, beats the whole."
    said_by = "Greydanus and Kobak 2020, https://arxiv.org/abs/2011.14439; Frankle and Carbin 2019."
    rule = (
        f"Supported if the ticket of {SPARSITY:.0%} sparsity has a better test accuracy than the dense network, and "
        "than a random mask as sparse; refuted if it is worse than the dense network, or not better than the random "
        f"mask and worse or as good up to {MARGIN}; not distinguishable if no difference from the dense network can be "
        f"told, nor that it is as good up to {MARGIN}; else mixed. Each by p < .05, paired by seed, Holm over all "
        "comparisons. Redrawn weights, shuffled values and edge-popup are told, and do not count."
    )
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.2, sizes={"units": 20, "forwards": 3e3, "samples": 300}),
        "docs": Profile(seeds=8, minutes=5, trials=5, sizes={"units": 256, "forwards": 3e5, "samples": 5000}),
        "full": Profile(seeds=20, minutes=150, trials=20, sizes={"units": 500, "forwards": 4.5e5, "samples": 5000}),
    }
    metrics = (METRIC, "test/loss")
    base = ("dataset=mnist1d", "dataset.generator_seed=${seed}", "model=mnist1d_mlp")

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        sizes = profile.sizes
        common = (f"model.hidden={sizes['units']}", f"dataset.num_samples={sizes['samples']}")
        once = (*common, f"budget.forwards={sizes['forwards']:g}")
        pruned = (
            "strategy=iterative_magnitude_pruning",
            "strategy.scope=layer",
            f"strategy.rounds={ROUNDS}",
            f"strategy.sparsity={SPARSITY}",
            *common,
            f"budget.forwards={ROUNDS * sizes['forwards']:g}",
        )
        shuffled = "dataset.shuffle_seq=true"
        tuned: dict[str, Any] = {"tuned": True, "tuned_for": "final/val/accuracy"}
        return {
            DENSE: Arm(("strategy=adam", *once), **tuned),
            TICKET: Arm(pruned, **tuned),
            RANDOM: Arm((*pruned, "strategy.mask=random"), settings_of=TICKET),
            REDRAWN: Arm((*pruned, "strategy.survivors=redraw"), settings_of=TICKET),
            UNTRAINED: Arm(("strategy=edge_popup", "strategy.keep=0.5", *once), **tuned),
            SHUFFLED_DENSE: Arm(("strategy=adam", *once, shuffled), settings_of=DENSE),
            SHUFFLED_TICKET: Arm((*pruned, shuffled), settings_of=TICKET),
        }

    def judge(self, results: Results) -> Judgement:
        found = compare(results, PAIRS, METRIC, higher=True, margin=MARGIN)
        middle = medians({arm: results.values(arm, METRIC, higher=True) for arm in results.arms})
        dense, chance = found[0], found[1]
        above = chance.better == TICKET
        if dense.better == TICKET and above:
            verdict = "supported"
        elif dense.better == DENSE or (not above and (chance.better == RANDOM or chance.equivalent)):
            verdict = "refuted"
        else:
            verdict = "mixed" if dense.better or dense.equivalent else "not distinguishable"
        rows = [[arm, f"{each.value:.3f}", published(arm)] for arm, each in middle.items()]
        listed = Table(["arm", "median here", "published runs"], rows, "Test accuracies")
        numbers = {f"accuracy/{arm}": each.value for arm, each in middle.items()}
        return Judgement(verdict, [f"{each}." for each in found], [table(found), listed], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import dots, panels

        figure, (axes,) = panels(1)
        values = {arm: list(results.values(arm, METRIC, higher=True).values()) for arm in results.arms}
        dots(axes, values, "test accuracy")
        return figure


def published(arm: str) -> str:
    """The accuracies of the authors' runs; a dash where they have none."""
    return ", ".join(f"{value:.3f}" for value in PUBLISHED.get(arm, ())) or "-"
