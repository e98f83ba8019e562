"""C20: whether two cited papers show that networks train without a gradient, where gradient descent fails."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from hybridopt.api import build, compose
from hybridopt.composition import building
from hybridopt.core.data import TensorDataModule
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy
from hybridopt.core.study import Cell, Judgement, Profile, Results, Study, Table, Verdict
from hybridopt.errors import ConfigError
from hybridopt.study.comparing import Compared, compare_values, medians, table
from hybridopt.testing.by_hand import begin, deploy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN = 0.02  # of test accuracy, up to which the filter is as good as gradient descent
BATCH = 64
SGD, ADAM = {"name": "sgd", "schedule": "constant"}, {"name": "adam", "lr": 1e-2, "schedule": "constant"}
FILTER = {"name": "ensemble_kalman_filter"}
FILTERED, CONTROL = "filter, 1 epoch", "SGD from N(0, 1), 1 epoch"
LONG, LONG_ADAM = "SGD from N(0, 1), 60 epochs", "Adam from N(0, 1), 60 epochs"
USUAL, FIXED = "SGD from the usual weights, 1 epoch", "Adam from the usual weights, 60 epochs"
WAYS: Mapping[str, tuple[Mapping[str, Any], float | None, int]] = {  # strategy, deviation of the first weights, epochs
    FILTERED: (FILTER | {"sigma": 0.1}, 0.0, 1),
    "filter from N(0, 1), 1 epoch": (FILTER | {"sigma": 1.0}, 0.0, 1),
    CONTROL: (SGD, 1.0, 1),
    "SGD from N(0, 1), 10 epochs": (SGD, 1.0, 10),
    LONG: (SGD, 1.0, 60),
    LONG_ADAM: (ADAM, 1.0, 60),
    USUAL: (SGD, None, 1),
    FIXED: (ADAM, None, 60),
}
COOL, NO_GRADIENT = "cool_momentum", "openai_es"
STEPS = 20  # of either


class CitedPapers(Study):
    """CoolMomentum where there is no gradient, and the ensemble Kalman filter against controls that are fair.

    CoolMomentum (Borysenko and Byshkin 2021) is cited as training without automatic differentiation. It trains a
    network of steps here, whose hidden weights have a gradient of zero: what needs no gradient moves them, as an
    evolution strategy beside it does.

    The filter (Yegenoglu et al. 2020) is cited as better than gradient descent. In the authors' code the filter begins
    around 0 with a deviation of 0.1, and the network that SGD trains (rate 0.1, momentum 0.9) at N(0, 1), for one
    epoch. That is repeated here on digits, with sigmoids, 64-32-32-10; then one thing after the other is changed: the
    first weights, more epochs, Adam. One epoch of the filter evaluates each sample by all members some times, which is
    more than sixty epochs of gradient descent cost. Their network is a convolutional one on MNIST, and is not repeated.
    """

    number = 20
    claim = "Cited papers show that networks train without a gradient, and where gradient descent fails."
    said_by = (
        "The thread, which cites https://doi.org/10.1038/s41598-021-90144-3 and "
        "https://doi.org/10.1007/978-3-030-64580-9_7."
    )
    rule = (
        "Three checks. (1) CoolMomentum moves weights that have no gradient. (2) After one epoch the filter is better "
        "than SGD from N(0, 1). (3) It is better than Adam from the usual weights, or as good up to "
        f"{MARGIN} of test accuracy; broken if it is worse and not that; else undecided. Supported if all hold; "
        "refuted if (1) does not and (3) is broken; not distinguishable if (3) is undecided; else mixed. Each by "
        "p < .05, paired by seed, Holm over all comparisons."
    )
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.1, sizes={"ensemble": 20, "repetitions": 1, "share": 0.05}),
        "docs": Profile(seeds=20, minutes=4, sizes={"ensemble": 500, "repetitions": 8, "share": 1.0}),
        "full": Profile(seeds=40, minutes=60, sizes={"ensemble": 1000, "repetitions": 8, "share": 1.0}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        cool = {f"{COOL}, seed {seed}": {"seed": seed} for seed in profile.fresh}
        return cool | {
            f"{way}, seed {seed}": {"way": way, "seed": seed, **profile.sizes} for way in WAYS for seed in profile.fresh
        }

    def compute(self, **cell: Any) -> Cell:
        """The test accuracy of one network; or how far two strategies move weights that have no gradient."""
        if "way" in cell:
            return trained(cell["way"], cell["seed"], cell["ensemble"], cell["repetitions"], cell["share"])
        return {name: moved(name, cell["seed"]) for name in (COOL, NO_GRADIENT)} | {"refused": refused()}

    def judge(self, results: Results) -> Judgement:
        cool = [cell for cell in results.cells.values() if "refused" in cell]
        moves = any(cell[COOL]["hidden"] > 0 for cell in cool)
        values = values_of(results)
        found, middle = compared(values), medians(values)
        cost = {way: statistics.fmean(forwards_of(results, way)) for way in (FILTERED, FIXED)}
        ran = "trains" if not all(cell["refused"] for cell in cool) else "is refused"
        sentences = [
            f"In {STEPS} steps CoolMomentum moves weights that have no gradient by "
            f"{farthest(cool, COOL, 'hidden'):.3g}, those that have one by {farthest(cool, COOL, 'last'):.3g}; an "
            f"evolution strategy moves the former by {farthest(cool, NO_GRADIENT, 'hidden'):.3g}.",
            f"Under a loss without a derivative CoolMomentum {ran}.",
            *(f"{each}." for each in found),
            f"The filter has cost {cost[FILTERED]:,.0f} forwards, {FIXED} {cost[FIXED]:,.0f}.",
        ]
        rows = [[way, f"{each.value:.3f}"] for way, each in middle.items()]
        listed = Table(["way", "median test accuracy"], rows, "Accuracies")
        numbers = {f"accuracy/{way}": each.value for way, each in middle.items()}
        return Judgement(verdict(moves, found), sentences, [table(found), listed], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import dots, panels

        figure, (axes,) = panels(1)
        dots(axes, {way: list(of.values()) for way, of in values_of(results).items()}, "test accuracy")
        return figure


# -- what is measured -------------------------------------------------------------------------------------------------


def digits(seed: int) -> Mapping[str, tuple[Tensor, Tensor]]:
    """Digits in a split of their own, by part."""
    module = cast(TensorDataModule, build(compose("strategy=adam", f"dataset.split_seed={seed}")).datamodule)
    module.setup("fit")
    return cast(Mapping[str, tuple[Tensor, Tensor]], module.sets)


def sigmoids(seed: int, deviation: float | None) -> nn.Module:
    """A network 64-32-32-10, whose first weights have this deviation; None for those that torch draws."""
    torch.manual_seed(seed)
    layers = [nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 10)]
    module = nn.Sequential(*layers)
    if deviation is not None:
        with torch.no_grad():
            for value in module.parameters():
                value.normal_(std=deviation) if deviation else value.zero_()
    return module


def follow(strategy: Strategy, module: nn.Module, data: tuple[Tensor, Tensor], steps: int, seed: int) -> Ledger:
    """So many steps on batches in random order, one epoch after the other; what they cost."""
    ledger, generator = Ledger(Budget(forwards=1e12)), torch.Generator().manual_seed(seed)
    oracle = Oracle(module, building.build("objective", {"name": "cross_entropy"}), ledger, generator)
    inputs, targets = data
    begin(strategy, oracle, (inputs[:BATCH], targets[:BATCH]))
    order: list[Tensor] = []
    for _ in range(steps):
        order = order or list(torch.randperm(len(inputs), generator=generator).split(BATCH))
        part = order.pop()
        strategy.step(oracle, (inputs[part], targets[part]))
    deploy(strategy, oracle)
    return ledger


def trained(way: str, seed: int, ensemble: int, repetitions: int, share: float) -> Cell:
    """The test accuracy after a share of the epochs, and its cost."""
    given, deviation, epochs = WAYS[way]
    settings = dict(given)
    if given["name"] == FILTER["name"]:
        settings |= {"ensemble": ensemble, "repetitions": repetitions, "gamma": 0.01}
    with torch.random.fork_rng(devices=[]):
        data, module = digits(seed), sigmoids(seed, deviation)
        steps = max(1, round(share * epochs * len(data["train"][0]) / BATCH))
        ledger = follow(building.build("strategy", settings), module, data["train"], steps, seed)
    with torch.no_grad():
        inputs, targets = data["test"]
        accuracy = float((module(inputs).argmax(1) == targets).double().mean())
    return {"way": way, "seed": seed, "accuracy": accuracy, "forwards": float(ledger.forwards)}


def moved(name: str, seed: int) -> dict[str, float]:
    """How far the hidden weights of a network of steps, and those of its last layer, are from where they began."""
    with torch.random.fork_rng(devices=[]):
        overrides = (f"strategy={name}", "model=heaviside_mlp", "model.straight_through=false", f"seed={seed}")
        module = build(compose(*overrides)).trial.model
        before = [value.detach().clone() for value in module.parameters()]
        follow(building.build("strategy", {"name": name}), module, digits(seed)["train"], STEPS, seed)
    change = [float((now.detach() - then).abs().max()) for now, then in zip(module.parameters(), before, strict=True)]
    return {"hidden": max(change[:2]), "last": max(change[2:])}


def refused() -> bool:
    """Whether CoolMomentum is refused where the loss has no derivative."""
    try:
        build(compose(f"strategy={COOL}", "objective=zero_one"))
    except ConfigError:
        return True
    return False


# -- what is said -----------------------------------------------------------------------------------------------------


def values_of(results: Results) -> dict[str, dict[str, float]]:
    """Test accuracies by way and seed."""
    cells = [cell for cell in results.cells.values() if "accuracy" in cell]
    return {way: {str(cell["seed"]): cell["accuracy"] for cell in cells if cell["way"] == way} for way in WAYS}


def forwards_of(results: Results, way: str) -> list[float]:
    """What each seed has cost."""
    return [cell["forwards"] for cell in results.cells.values() if cell.get("way") == way]


def farthest(cool: Sequence[Cell], name: str, where: str) -> float:
    """The largest change of any weight there, over seeds."""
    return max(cell[name][where] for cell in cool)


def compared(values: Mapping[str, Mapping[str, float]]) -> list[Compared]:
    """The filter, and one control after the other."""
    others = (CONTROL, USUAL, LONG, LONG_ADAM, FIXED)
    return compare_values(values, [(FILTERED, other) for other in others], True, MARGIN, "test/accuracy")


def verdict(moves: bool, found: Sequence[Compared]) -> Verdict:
    """By the rule."""
    control, fixed = found[0], found[-1]
    reproduced = control.better == FILTERED
    as_good = fixed.better == FILTERED or fixed.equivalent
    if moves and reproduced and as_good:
        return "supported"
    if fixed.better is None and not fixed.equivalent:
        return "not distinguishable"
    return "mixed" if moves or as_good else "refuted"
