"""Networks that were fine-tuned from one start on different labels, merged: by a search, or by plain means."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from scipy.stats import wilcoxon
from torch import Tensor, nn

from hybridopt import Budget, Handover, Oracle
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.core.objective import Batch
from hybridopt.core.strategy import Record, Strategy
from hybridopt.datasets.digits import digits
from hybridopt.testing.by_hand import begin
from hybridopt.testing.plugins import filled
from proofs import Finding, accuracies, proves

SHARDS = ((0, 1, 2), (3, 4, 5), (6, 7), (8, 9))  # labels that each parent is fine-tuned on
TOGETHER, APART, MIXING = 20, 60, 600  # steps of Adam on all labels, and on those of a shard; losses of a search
FRESH = 100  # the first seed


class Given(Strategy):
    """Hands over what it was given, a parent a step, and recommends the best of them.

    Args:
        parents: (M, d), of which the first is recommended.
    """

    requires = frozenset()
    hands_over = frozenset({"population"})

    def __init__(self, parents: Tensor):
        super().__init__()
        self.register_buffer("parents", parents)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        return {}

    def recommend(self) -> Tensor:
        return self.parents[0]

    def finished(self) -> bool:
        return True

    def handover(self) -> Handover:
        return Handover(population=self.parents[1:])


def oracle_of(model: nn.Module, forwards: float, seed: int) -> Oracle:
    """An oracle of cross-entropy."""
    objective = building.build("objective", {"name": "cross_entropy"})
    return Oracle(model, objective, Ledger(Budget(forwards=forwards)), torch.Generator().manual_seed(seed))


def descended(model: nn.Module, data: Batch, steps: int, seed: int) -> None:
    """Train a model by so many steps of Adam on batches of 64."""
    inputs, targets = data
    oracle, generator = oracle_of(model, 3 * 64 * steps, seed), torch.Generator().manual_seed(seed)
    strategy = building.build("strategy", {"name": "adam", "schedule": "constant"})
    for step in range(steps):
        chosen = torch.randint(len(inputs), (64,), generator=generator)
        if step == 0:
            begin(strategy, oracle, (inputs[chosen], targets[chosen]))
        strategy.step(oracle, (inputs[chosen], targets[chosen]))


def fine_tuned(data: Batch, seed: int) -> tuple[nn.Module, Tensor]:
    """The common start, a network 64-32-10, and the parents (M, d)."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    descended(model, data, TOGETHER, seed)
    start, parents = nn.utils.parameters_to_vector(model.parameters()).detach().clone(), []
    for shard in SHARDS:
        nn.utils.vector_to_parameters(start.clone(), model.parameters())
        mine = torch.isin(data[1], torch.tensor(shard))
        descended(model, (data[0][mine], data[1][mine]), APART, seed)
        parents.append(nn.utils.parameters_to_vector(model.parameters()).detach().clone())
    nn.utils.vector_to_parameters(start.clone(), model.parameters())
    return model, torch.stack(parents)


def mixed(settings: Mapping[str, Any], model: nn.Module, parents: Tensor, data: Batch, seed: int) -> Tensor:
    """What a strategy makes of the parents (d,), by losses on all training data."""
    part = "inner" if settings["name"] == "soup" else "parents"
    strategy = building.build("strategy", filled("strategy", {**settings, part: Given(parents)}))
    oracle = oracle_of(model, MIXING * len(data[0]), seed)
    begin(strategy, oracle, data)
    while not (oracle.exhausted or strategy.finished()):
        strategy.step(oracle, data)
    return strategy.recommend()


@proves("merge", "soup")
def shards(seeds: int) -> Iterator[Finding]:
    """Test accuracy of what each rule makes of four parents that have seen two or three labels last.

    Searched against uniform by Wilcoxon's signed ranks over paired seeds; Adam on all labels, from the common start,
    spends what the search does. The seeds are none of those on which this rule was made.
    """
    seeds = max(seeds, 15)
    rules = {
        "searched for each layer": {"name": "merge", "search": {"name": "snes"}},
        "searched for each network": {"name": "merge", "search": {"name": "snes"}, "coefficients": "network"},
        "searched, also negative": {"name": "merge", "search": {"name": "snes"}, "weights": "affine"},
        "uniform soup": {"name": "soup", "rule": "uniform"},
        "greedy soup": {"name": "soup"},
    }
    found: dict[str, list[float]] = {name: [] for name in ("start", "best parent", *rules, "adam instead")}
    data = digits(batch_size=None)
    data.setup("fit")
    data.setup("test")
    inputs, targets = data.sets["test"]
    for seed in range(FRESH, FRESH + seeds):
        model, parents = fine_tuned(data.sets["train"], seed)

        def accuracy(weights: Tensor, model: nn.Module = model) -> float:
            nn.utils.vector_to_parameters(weights.clone(), model.parameters())
            with torch.no_grad():
                return float((model(inputs).argmax(1) == targets).float().mean())

        start = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
        found["start"].append(accuracy(start))
        found["best parent"].append(max(accuracy(parent) for parent in parents))
        for name, settings in rules.items():
            found[name].append(accuracy(mixed(settings, model, parents, data.sets["train"], seed)))
        nn.utils.vector_to_parameters(start.clone(), model.parameters())
        descended(model, data.sets["train"], MIXING * len(data.sets["train"][0]) // (3 * 64), seed)
        found["adam instead"].append(accuracy(nn.utils.parameters_to_vector(model.parameters()).detach()))
    medians = {name: statistics.median(values) for name, values in found.items()}
    said = "; ".join(f"{name} {accuracies(values)}" for name, values in found.items())
    searched, uniform = found["searched for each layer"], found["uniform soup"]
    won = sum(one > other for one, other in zip(searched, uniform, strict=True))
    p = float(wilcoxon(searched, uniform, alternative="greater").pvalue)
    claim = "of four networks fine-tuned on different labels, searched weights for each layer beat the uniform soup, "
    said = f"searched above uniform on {won} of {seeds} seeds (p = {p:.2g}); test accuracy: {said}"
    holds = p < 0.05 and medians["uniform soup"] > medians["best parent"]
    yield Finding(claim + "and that the best parent", said, holds)
