"""C13: whether annealing the last layer of a network is comparable to gradient descent, or to a weak baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hybridopt.core.study import Arm, Judgement, Profile, Results, Study, Table, Verdict
from hybridopt.study.comparing import Compared, compare_values, medians, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRIC = "test/accuracy"
MARGIN = 0.02  # of accuracy, up to which two arms are as good as each other
EPOCH = 3 * 1078  # forwards: a step costs three per sample
BASE, ANNEALED, GUESSED = "SGD", "then annealing", "then random search"
SOLVED, LONGER = "then ridge regression", "then as much SGD"
TUNED, RELU, ADAM = "SGD, tuned", "SGD, tuned, ReLU", "Adam, tuned, ReLU"
NETWORK = ("model=cnn", "model.channels=[6,12]", "model.activation=tanh")
AS_GIVEN = ("lr=0.1", "momentum=0", "schedule=constant")  # of the baseline that is criticised
LADDER: Mapping[str, tuple[str, ...]] = {  # what each rung has that the one below has not
    TUNED: ("strategy=sgd",),
    RELU: ("strategy=sgd", "model.activation=relu"),
    ADAM: ("strategy=adam", "model.activation=relu"),
}


class Baselines(Study):
    """Annealing the last layer of a small network that SGD has trained for some epochs, and what else could be done.

    Rere, Fanany and Arymurthy train a convolutional network (6c-2s-12c-2s) by backpropagation, and then a part of it by
    simulated annealing, as it is commonly told its last layer. Their temperatures and tables are not restated here, and
    not compared with. The plan is carried over to digits of 8x8 pixels, with a dense layer of 64 units before the last:
    one to ten epochs of plain SGD with tanh, then two thousand losses of batches of 64 for annealing, which is tuned.
    Its controls are a random search (tuned as well), the last layer in closed form at the price of one forward per
    sample, and as many more forwards of the same untuned SGD. The ladder shows what the baseline comes to after the
    same epochs and without any search: tuned, with ReLU, by Adam.
    """

    number = 13
    claim = "Simulated annealing reaches comparable performance in the same setting; its baselines are weak."
    said_by = "The thread, for and against; Rere et al. 2015, https://doi.org/10.1016/j.procs.2015.12.114."
    rule = (
        "On the first half, comparable performance: supported if after each number of epochs annealing is better than "
        "the network that it starts from, and as good as SGD with as many forwards, or better, up to "
        f"{MARGIN} of test accuracy; refuted if after each that SGD is better; not distinguishable if between the two "
        "neither a difference nor that there is none can be told after any; else mixed. Each by p < .05, paired by "
        "seed, Holm over all comparisons. The ladder is told, and does not count."
    )
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.2, sizes={"epochs": [1], "search": 6400}),
        "docs": Profile(seeds=20, minutes=5, trials=6, sizes={"epochs": [1, 3, 10], "search": 128_000}),
        "full": Profile(seeds=40, minutes=60, trials=20, sizes={"epochs": [1, 2, 3, 5, 10, 30], "search": 512_000}),
    }
    metrics = (METRIC, "test/loss")
    base = ("dataset.split_seed=${seed}", "dataset.batch_size=64", *NETWORK)

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        arms, search = {}, profile.sizes["search"]
        for epochs in profile.sizes["epochs"]:
            spent = epochs * EPOCH
            alone = ("strategy=sgd", *(f"strategy.{each}" for each in AS_GIVEN))
            longer = f"budget.forwards={spent + search}"
            arms[arm_of(epochs, BASE)] = Arm((*alone, f"budget.forwards={spent}"))
            for way, name in ((ANNEALED, "simulated_annealing"), (GUESSED, "random_search")):
                arms[arm_of(epochs, way)] = Arm((*headed(name, spent / (spent + search)), longer), tuned=True)
            arms[arm_of(epochs, SOLVED)] = Arm(solved(spent))
            arms[arm_of(epochs, LONGER)] = Arm((*alone, longer))
        last = max(profile.sizes["epochs"])
        for rung, overrides in LADDER.items():
            arms[arm_of(last, rung)] = Arm((*overrides, f"budget.forwards={last * EPOCH}"), tuned=True)
        return arms

    def judge(self, results: Results) -> Judgement:
        values = {arm: results.values(arm, METRIC, higher=True) for arm in results.arms}
        found, middle = compared(values), medians(values)
        rows = [[arm, f"{each.value:.3f}", str(len(values[arm]))] for arm, each in middle.items()]
        listed = Table(["arm", "median test accuracy", "seeds"], rows, "Accuracies")
        numbers = {f"accuracy/{arm}": each.value for arm, each in middle.items()}
        return Judgement(verdict(found), [f"{each}." for each in found], [table(found), listed], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import dots, panels

        all_epochs = epochs_of(results.arms)
        figure, axes = panels(len(all_epochs), columns=3)
        for epochs, panel in zip(all_epochs, axes, strict=True):
            arms = [arm for arm in results.arms if arm.startswith(arm_of(epochs, ""))]
            shown = {arm.partition(": ")[2]: list(results.values(arm, METRIC, higher=True).values()) for arm in arms}
            dots(panel, shown, f"test accuracy, {epochs} epoch{'s' if epochs > 1 else ''}")
        return figure


def arm_of(epochs: int, way: str) -> str:
    """The name of an arm."""
    return f"{epochs} epoch{'s' if epochs > 1 else ''}: {way}"


def epochs_of(arms: Mapping[str, object]) -> list[int]:
    """The numbers of epochs that were run, from the smallest."""
    return sorted({int(arm.partition(" ")[0]) for arm in arms})


def headed(search: str, share: float) -> tuple[str, ...]:
    """SGD for a share of the budget, then a search for the last layer."""
    pretrain = (f"strategy.pretrain.{each}" for each in AS_GIVEN)
    return (
        "strategy=simulated_annealing_head",
        "strategy/pretrain=sgd",
        f"strategy/search={search}",
        f"strategy.pretrain_share={share:.6f}",
        *pretrain,
    )


def solved(spent: int) -> tuple[str, ...]:
    """SGD, then a ridge regression of the last layer, by one forward of each sample."""
    total = spent + EPOCH // 3
    return (
        "strategy=sequence",
        "+strategy/phases@strategy.phases.descend=sgd",
        "+strategy/phases@strategy.phases.solve=extreme_learning_machine",
        f"+strategy.shares.descend={spent / total:.6f}",
        *(f"strategy.phases.descend.{each}" for each in AS_GIVEN),
        "strategy.phases.solve.scale=0",
        f"budget.forwards={total}",
    )


def compared(values: Mapping[str, Mapping[str, float]]) -> list[Compared]:
    """Annealing with what it starts from and what it is compared with; the top of the ladder with annealing."""
    pairs = [
        (arm_of(epochs, ANNEALED), arm_of(epochs, other))
        for epochs in epochs_of(values)
        for other in (BASE, LONGER, GUESSED, SOLVED)
    ]
    last = epochs_of(values)[-1]
    pairs.append((arm_of(last, ADAM), arm_of(last, ANNEALED)))
    there = [pair for pair in pairs if set(pair) <= values.keys()]
    return compare_values(values, there, higher=True, margin=MARGIN, metric=METRIC)


def verdict(found: Sequence[Compared]) -> Verdict:
    """By the rule."""
    improved = [each.better == each.a for each in found if each.b.endswith(f": {BASE}")]
    longer = [each for each in found if each.b.endswith(LONGER)]
    comparable = [each.equivalent or each.better == each.a for each in longer]
    if longer and all(improved) and all(comparable):
        return "supported"
    if longer and all(each.better == each.b for each in longer):
        return "refuted"
    return "mixed" if any(comparable) or any(each.better for each in longer) else "not distinguishable"
