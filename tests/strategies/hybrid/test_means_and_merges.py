"""Means of what a strategy finds on its way: averaged, chosen greedily, or weighed by a search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_problems import begin, linear_problem, make_strategy, oracle_for, run_steps
from torch import Tensor, nn

from hybridopt.core.compatibility import check_compatible
from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.encodings.supermask import Supermask
from hybridopt.errors import ConfigError
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.strategies.hybrid.merge import SCALE, Merge, Mixture
from hybridopt.strategies.hybrid.sequence import Sequence
from hybridopt.strategies.hybrid.soup import Soup, greedy
from hybridopt.strategies.hybrid.swa import SWA


class Walk(Strategy):
    """Recommends 1, 2, 3 ... everywhere, a loss each; some weights are pruned; phases end where they are said to."""

    requires = frozenset({"losses"})
    hands_over = frozenset({"population"})
    at: Tensor  # a whole number
    members: Tensor  # (n, d)

    def __init__(self, members: Tensor | None = None, ends: tuple[int, ...] = ()):
        super().__init__()
        self.given, self.ends = members, ends
        if members is None:
            vars(self)["hands_over"] = frozenset()

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("at", torch.zeros((), dtype=torch.int64))
        self.register_buffer("like", oracle.start)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        self.at += 1
        return {"loss": oracle.losses(self.recommend()[None], batch)[0]}

    def recommend(self) -> Tensor:
        z = torch.full_like(self.like, float(self.at))
        z[0] = 0.0
        return z

    def phase_over(self) -> bool:
        return int(self.at) in self.ends

    def handover(self) -> Handover:
        return Handover(population=self.given)


def run(strategy: Strategy, losses: int) -> tuple[Strategy, Oracle, Batch]:
    """A strategy until its budget is spent or it has finished, on a linear network of three weights."""
    model, batch, _ = linear_problem()
    oracle = oracle_for(model, forwards=losses * len(batch[0]))
    begin(strategy, oracle, batch)
    while not (oracle.exhausted or strategy.finished()):
        strategy.step(oracle, batch)
    return strategy, oracle, batch


# -- stochastic weight averaging --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("every", "taken"), [(1, [5, 6, 7, 8]), (2, [5, 7]), (9, [5])])
def test_the_mean_is_of_the_last_part_of_the_budget(every: int, taken: list[int]) -> None:
    strategy, _, _ = run(SWA(Walk(), start=0.625, every=every), 8)
    mean = sum(taken) / len(taken)
    assert strategy.recommend().tolist() == pytest.approx([0.0, mean, mean])


def test_before_its_start_what_is_found_is_recommended() -> None:
    model, batch, _ = linear_problem()
    strategy = run_steps(SWA(Walk(), start=0.9), oracle_for(model), batch, 1)
    assert strategy.recommend().tolist() == [0.0, 1.0, 1.0]


def test_a_new_phase_has_a_mean_of_its_own() -> None:
    strategy, _, _ = run(SWA(Walk(ends=(6,)), start=0.25), 8)
    assert strategy.recommend().tolist() == [0.0, 7.5, 7.5]


# -- soups ------------------------------------------------------------------------------------------------------------


def members(noise: float = 0.3, count: int = 6) -> Tensor:
    """Networks around the weights that made the data."""
    generator = torch.Generator().manual_seed(3)
    return torch.tensor([1.0, -2.0, 0.5]) + noise * torch.randn(count, 3, generator=generator)


def loss_of(z: Tensor, oracle: Oracle, batch: Batch) -> float:
    return float(oracle.losses(z[None], batch)[0])


def test_a_greedy_soup_is_that_of_the_paper() -> None:
    """Sorted by loss; one after the other is added if the loss of the mean does not rise."""
    model, batch, _ = linear_problem()
    oracle = oracle_for(model)
    losses = oracle.losses(members(), batch)
    pot: list[Tensor] = []
    for place in losses.argsort().tolist():
        tried = torch.stack([*pot, members()[place]]).mean(0)
        if not pot or loss_of(tried, oracle, batch) <= loss_of(torch.stack(pot).mean(0), oracle, batch):
            pot.append(members()[place])
    before = oracle.ledger.evaluations
    soup, loss, used = greedy(members()[losses.argsort()], losses.sort().values, oracle, batch)
    assert oracle.ledger.evaluations - before == len(losses) - 1
    assert used == len(pot) > 1
    assert torch.allclose(soup, torch.stack(pot).mean(0), atol=1e-5)
    assert float(loss) <= float(losses.min())


def test_networks_that_have_nothing_in_common_make_no_soup() -> None:
    model, batch, solution = linear_problem()
    oracle = oracle_for(model)
    found = torch.stack([solution, -solution, torch.full((3,), torch.nan)])
    losses = oracle.losses(found, batch)
    soup, _, used = greedy(found, losses, oracle, batch)
    assert used == 1
    assert torch.equal(soup, found[0])


def test_a_soup_is_made_of_the_population_within_the_budget() -> None:
    strategy, oracle, batch = run(Soup(Walk(members()), soup_share=0.5), 100)
    assert strategy.finished()
    assert oracle.ledger.evaluations == 50 + 7 + 6  # the population and the last recommendation, then all but the best
    asked = loss_of(strategy.recommend(), oracle, batch)
    assert asked <= float(oracle.losses(members(), batch).min()) + 1e-6


def test_the_best_of_a_large_population_are_tried() -> None:
    _, oracle, _ = run(Soup(Walk(members(count=30)), soup_share=0.5, ingredients=5), 100)
    assert oracle.ledger.evaluations == 50 + 31 + 4


def test_no_more_networks_are_judged_than_the_rest_of_the_budget_pays_for() -> None:
    _, oracle, _ = run(Soup(Walk(members(count=30)), soup_share=0.1), 100)
    assert 95 < oracle.ledger.evaluations <= 100


def test_a_uniform_soup_asks_for_nothing() -> None:
    strategy, oracle, _ = run(Soup(Walk(members()), soup_share=0.5, rule="uniform"), 100)
    assert oracle.ledger.evaluations == 50
    assert "losses" not in Soup(Walk(), rule="uniform").requires
    last = torch.tensor([[0.0, 50.0, 50.0]])
    assert torch.allclose(strategy.recommend(), torch.cat([last, members()]).mean(0))


def test_without_a_population_the_last_part_of_the_way_is_mixed() -> None:
    strategy, _, _ = run(Soup(Walk(), ingredients=5, since=0.5, soup_share=0.2, rule="uniform"), 100)
    assert strategy.recommend().tolist() == pytest.approx([0.0, 60.0, 60.0])  # 40, 50, 60, 70 and 80


def test_ends_of_phases_are_mixed() -> None:
    strategy, _, _ = run(Soup(Walk(ends=(10, 30)), source="phases", soup_share=0.5, rule="uniform"), 100)
    assert strategy.recommend().tolist() == pytest.approx([0.0, 30.0, 30.0])  # 10, 30, and 50 at the end


def test_a_budget_that_leaves_nothing_for_the_soup_is_told(caplog: pytest.LogCaptureFixture) -> None:
    strategy, _, _ = run(Soup(Walk(), soup_share=0.001), 10)
    assert strategy.current == "inner"
    assert "raise strategy.soup_share" in caplog.text


# -- merging ----------------------------------------------------------------------------------------------------------


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


@pytest.mark.parametrize(("coefficients", "dimension"), [("layer", 6), ("network", 3), ("uniform", 3)])
@pytest.mark.parametrize("weights", ["convex", "affine"])
def test_a_mixture_starts_at_the_mean(coefficients: Any, dimension: int, weights: Any) -> None:
    model = network()
    own = dict(model.named_parameters())
    mixture = Mixture(3, coefficients, weights)
    assert mixture.attach(own) == dimension
    parents = torch.randn(3, 21)
    parents[:, 5] = 0.0
    mixture.register_buffer("parents", parents)
    start = mixture.begin(own, torch.Generator())
    decoded = mixture.layout.flatten({name: value[0] for name, value in mixture.decode(start[None]).items()})
    assert torch.allclose(decoded, parents.mean(0), atol=1e-6)
    moved = mixture.decode(torch.randn(4, dimension))
    assert (mixture.layout.flatten({name: value[1] for name, value in moved.items()})[5]) == 0.0


def test_layers_have_weights_of_their_own() -> None:
    mixture = Mixture(2, "layer", "convex")
    mixture.attach(dict(network().named_parameters()))
    parents = torch.stack([torch.zeros(21), torch.ones(21)])
    mixture.register_buffer("parents", parents)
    z = torch.tensor([[0.0, 0.3], [0.0, -0.3]])  # coefficients (M, layers)
    decoded = mixture.decode(z.flatten()[None])
    assert all((decoded[name] == 0.5).all() for name in ("0.weight", "0.bias"))
    second = float(torch.sigmoid(torch.tensor(-0.6 * SCALE)))
    assert decoded["2.weight"].flatten().tolist() == pytest.approx([second] * 4)


def test_fewer_parents_than_coefficients_leave_some_without_effect() -> None:
    mixture = Mixture(4, "network", "affine")
    mixture.attach(dict(network().named_parameters()))
    mixture.register_buffer("parents", torch.randn(2, 21))
    one, other = mixture.decode(torch.tensor([[0.1, 0.2, 3.0, 4.0], [0.1, 0.2, 0.0, 0.0]]))["0.bias"]
    assert torch.equal(one, other)


def merged(**settings: Any) -> Callable[[Tensor], Merge]:
    search = make_strategy("snes", sigma=0.05)
    return lambda parents: Merge(Walk(parents), search, search_share=0.9, **settings)


def test_a_search_finds_what_parents_know_together() -> None:
    """Each of three parents has one weight right and the others zero: their sum is the solution, no convex mean is."""
    _, batch, solution = linear_problem()
    strategy, oracle, _ = run(merged(count=3, weights="affine")(torch.diag(solution) * 3), 2000)
    mean_of_all = loss_of(solution, oracle, batch)
    assert loss_of(strategy.recommend(), oracle, batch) < mean_of_all + 0.05


def test_of_many_parents_the_best_are_merged() -> None:
    model, batch, _ = linear_problem()
    oracle = oracle_for(model)
    best = members()[oracle.losses(members(), batch).argsort()[:2]]
    strategy, _, _ = run(merged(count=2)(members()), 200)
    assert torch.equal(strategy.mixture.parents, best)


def test_in_a_sequence_the_population_handed_over_is_merged() -> None:
    phases = {"a": Walk(members()), "b": Merge(Walk(), make_strategy("snes"), count=3)}
    strategy, oracle, _ = run(Sequence(phases), 100)
    merge = strategy.phases["b"]
    assert merge.current == "search"
    assert "parents" not in oracle.ledger.phases["b"].phases
    assert len(merge.mixture.parents) == 3


def test_without_a_handover_parents_have_their_turn() -> None:
    phases = {"a": Walk(members()), "b": Merge(Walk(), make_strategy("snes"), count=3)}
    _, oracle, _ = run(Sequence(phases, handover=False), 100)
    assert oracle.ledger.phases["b"].phases["parents"].evaluations > 0


def test_a_uniform_mean_is_judged_once() -> None:
    strategy, oracle, _ = run(merged(count=6, coefficients="uniform")(members()), 1000)
    assert strategy.finished()
    assert oracle.ledger.evaluations < 150
    assert torch.allclose(strategy.recommend(), strategy.mixture.parents.mean(0), atol=1e-6)


# -- masks, refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["swa", "soup", "merge"])
def test_what_is_made_of_sparse_networks_is_as_sparse(name: str) -> None:
    part = "parents" if name == "merge" else "inner"
    pruning: dict[str, Any] = {"name": "iterative_magnitude_pruning", "rounds": 3, "sparsity": 0.5}
    pruning["train"] = {"name": "adam"}
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
    batch, strategy = (x, (x[:, 0] > 0).long()), make_strategy(name, **{part: pruning})
    oracle = oracle_for(model, CrossEntropy(), 32 * 900)
    begin(strategy, oracle, batch)
    while not (oracle.exhausted or strategy.finished()):
        strategy.step(oracle, batch)
    mask = strategy.handover().mask
    kept = torch.cat([mask[key].flatten() for key in dict(model.named_parameters()) if key in mask])
    assert 0.3 < kept.float().mean() < 0.7
    assert int((strategy.recommend() == 0).sum()) >= int((~kept).sum())


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("swa", {"start": 1.0}, r"strategy\.start must lie in \[0, 1\), but is 1\."),
        ("swa", {"every": 0}, r"strategy\.every must be at least 1, but is 0\."),
        ("soup", {"ingredients": 1}, r"strategy\.ingredients must be at least 2, but is 1\."),
        ("soup", {"soup_share": 1.0}, r"strategy\.soup_share must lie in \(0, 1\), but is 1\."),
        ("merge", {"count": 1}, r"strategy\.count must be at least 2, but is 1\."),
        ("merge", {"search": {"name": "forward_gradient"}}, r"choose another one, such as strategy/search=snes"),
    ],
)
def test_what_cannot_work_is_refused(name: str, settings: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_strategy(name, **settings)


def test_merging_works_on_the_parameters_themselves() -> None:
    with pytest.raises(ConfigError, match="works on the parameters themselves"):
        check_compatible(CrossEntropy(), make_strategy("merge"), Supermask(0.5), None)
