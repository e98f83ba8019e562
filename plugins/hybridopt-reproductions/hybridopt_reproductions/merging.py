"""Networks that were fine-tuned from one start on different labels, merged: by a search, or by plain means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from hybridopt import Batch, Handover, Oracle, Profile, Record, Results, Strategy
from hybridopt.study.comparing import Compared, compare_values
from hybridopt.study.training import train
from hybridopt_reproductions.claims import Claim, ClaimsStudy, Finding, dots_of, p_of, rule_of, shown
from hybridopt_reproductions.digit_images import Arrays, accuracy, digits, drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARDS = ((0, 1, 2), (3, 4, 5), (6, 7), (8, 9))  # labels that each parent is fine-tuned on
TOGETHER, APART, MIXING = 20, 60, 600  # steps of Adam on all labels, and on those of a shard; losses of a search
BATCH = 64
SEARCHED, UNIFORM, PARENT, START, ADAM = (
    "searched for each layer",
    "uniform soup",
    "best parent",
    "start",
    "adam instead",
)
RULES: Mapping[str, Mapping[str, Any]] = {
    SEARCHED: {"name": "merge", "search": {"name": "snes"}},
    "searched for each network": {"name": "merge", "search": {"name": "snes"}, "coefficients": "network"},
    "searched, also negative": {"name": "merge", "search": {"name": "snes"}, "weights": "affine"},
    UNIFORM: {"name": "soup", "rule": "uniform"},
    "greedy soup": {"name": "soup"},
}
CLAIMS = {
    "shards": Claim(
        ("merge", "soup"),
        "of four networks fine-tuned on different labels, searched weights for each layer beat the uniform soup, and "
        "that the best parent (p < .05 each)",
    ),
}


class Merging(ClaimsStudy):
    """What each rule makes of four parents that have seen two or three labels last, by test accuracy on digits.

    Soups average (Wortsman et al. 2022, https://arxiv.org/abs/2203.05482); a merge searches what each parent counts
    in each layer (Akiba et al. 2024, https://arxiv.org/abs/2403.13187), by losses on all training data. Adam on all
    labels, from the common start, spends what the search does; it is shown beside them, and does not count.
    """

    claim = "Searched weights merge networks of different labels better than plain means do, and these help."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.05, sizes={"losses": 30}),
        "docs": Profile(seeds=15, minutes=0.3, sizes={"losses": MIXING}),
        "full": Profile(seeds=40, minutes=0.8, sizes={"losses": MIXING}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        return {f"seed {seed}": {"seed": seed, "losses": profile.sizes["losses"]} for seed in profile.fresh}

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """Test accuracies by rule, of the same four parents."""
        return {"seed": cell["seed"], "accuracies": merged(cell["seed"], cell["losses"])}

    def comparisons(self, results: Results) -> list[Compared]:
        return compare_values(values_of(results), [(SEARCHED, UNIFORM), (UNIFORM, PARENT)], higher=True)

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        search, soup = compared
        said = "; ".join(f"{name} {shown(list(of.values()))}" for name, of in values_of(results).items())
        holds = search.better == SEARCHED and soup.better == UNIFORM
        yield Finding(CLAIMS["shards"], f"{said}; {p_of(search)} for the search, {p_of(soup)} for the soup", holds)

    def draw(self, results: Results) -> Figure | None:
        return dots_of({name: list(of.values()) for name, of in values_of(results).items()}, "test accuracy")


def values_of(results: Results) -> dict[str, dict[str, float]]:
    """Test accuracies by name and seed."""
    names = (START, PARENT, *RULES, ADAM)
    return {name: {str(c["seed"]): c["accuracies"][name] for c in results.cells.values()} for name in names}


class Given(Strategy):
    """Hands over what it was given, and recommends the first of them.

    Args:
        parents: (M, d).
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


def vector(module: nn.Module) -> Tensor:
    """A copy of the weights (d,)."""
    return parameters_to_vector(module.parameters()).detach().clone()


def put(module: nn.Module, weights: Tensor) -> nn.Module:
    """The module with these weights (d,)."""
    vector_to_parameters(weights.clone(), module.parameters())
    return module


def descend(module: nn.Module, data: Arrays, steps: int, seed: int) -> None:
    """So many steps of Adam."""
    batches = islice(drawn(data, BATCH, torch.Generator().manual_seed(seed)), steps)
    train({"name": "adam", "schedule": "constant"}, module, "cross_entropy", batches, seed, 3 * BATCH * steps)


def merged(seed: int, losses: int) -> dict[str, float]:
    """Test accuracies of the common start, the best parent, and what each rule makes of the parents."""
    data = digits()
    everything = data["train"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    descend(module, everything, TOGETHER, seed)
    start, parents = vector(module), []
    for shard in SHARDS:
        mine = torch.isin(everything[1], torch.tensor(shard))
        descend(put(module, start), (everything[0][mine], everything[1][mine]), APART, seed)
        parents.append(vector(module))
    found = {START: accuracy(put(module, start), data["test"])}
    found[PARENT] = max(accuracy(put(module, parent), data["test"]) for parent in parents)
    for name, settings in RULES.items():
        given = {"inner" if settings["name"] == "soup" else "parents": Given(torch.stack(parents))}
        whole = repeat(everything)
        train({**settings, **given}, put(module, start), "cross_entropy", whole, seed, losses * len(everything[1]))
        found[name] = accuracy(module, data["test"])
    descend(put(module, start), everything, max(1, losses * len(everything[1]) // (3 * BATCH)), seed)
    return found | {ADAM: accuracy(module, data["test"])}
