"""Populations that are trained by gradient and selected: ESGD, PBT and many starts."""

from __future__ import annotations

import pytest
import torch
from small_problems import Point, begin, make_strategy, oracle_for
from torch import Tensor, nn
from torchmetrics import MetricCollection

from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.spec import DataSpec
from hybridopt.core.strategy import Strategy
from hybridopt.encodings.subspace import Subspace
from hybridopt.errors import ConfigError
from hybridopt.objectives.cross_entropy import CrossEntropy

ALL = ["esgd", "pbt", "multistart"]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def data(samples: int = 100) -> Batch:
    x = torch.randn(samples, 4, generator=torch.Generator().manual_seed(1))
    return x, (x[:, 0] + x[:, 1] ** 2 > 0.5).long()


def trained(strategy: Strategy, forwards: float = 60_000, seed: int = 0) -> tuple[float, float]:
    """The losses before and after, on the one batch there is."""
    model, batch = network(), data()
    oracle = oracle_for(model, CrossEntropy(), forwards, seed)
    before = float(oracle.objective.loss(model(batch[0]), batch[1]).detach())
    begin(strategy, oracle, batch)
    while not oracle.exhausted:
        strategy.step(oracle, batch)
    oracle.assign(strategy.recommend())
    return before, float(oracle.objective.loss(model(batch[0]), batch[1]).detach())


@pytest.mark.parametrize("name", ALL)
def test_one_member_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"strategy\.popsize must be at least 2, but is 1\."):
        make_strategy(name, popsize=1)


@pytest.mark.parametrize("name", ALL)
def test_members_go_on_from_those_that_are_handed_over(name: str) -> None:
    strategy, model = make_strategy(name, popsize=3), Point(torch.zeros(1, 2))
    given = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    begin(strategy, oracle_for(model).inheriting(Handover(population=given)), (torch.zeros(4, 1), torch.zeros(4, 2)))
    assert torch.equal(strategy.handover().population, torch.cat([torch.zeros(1, 2), given]))


@pytest.mark.parametrize("name", ALL)
def test_works_in_an_encoding(name: str) -> None:
    model, batch = network(), data()
    oracle = oracle_for(model, CrossEntropy(), 60_000).encoded(Subspace(dimension=10))
    strategy = begin(make_strategy(name), oracle, batch)
    first = oracle.losses(oracle.start[None], batch)
    while not oracle.exhausted:
        strategy.step(oracle, batch)
    assert strategy.recommend().shape == (10,)
    assert oracle.losses(strategy.recommend()[None], batch) < first


@pytest.mark.parametrize("name", ALL)
def test_each_control_is_a_strategy_that_learns(name: str) -> None:
    target = type(make_strategy(name))
    for overrides in target.controls({"lr": 0.01}).values():
        settings = dict(one.removeprefix("strategy.").split("=") for one in overrides)
        chosen = settings.pop("strategy", name)
        if chosen != name:
            continue  # another strategy, whose tests are elsewhere
        values = {key: {"true": True, "false": False}.get(value, value) for key, value in settings.items()}
        values = {key: int(value) if isinstance(value, str) else value for key, value in values.items()}
        before, after = trained(make_strategy(name, **values))
        assert after < before


# -- ESGD -------------------------------------------------------------------------------------------------------------


def elites(seed: int, **settings: object) -> list[float]:
    """The mean loss of the elite at each judgement, on all data each time."""
    strategy, batch = make_strategy("esgd", sgd_steps=3, lr=[0.1, 1.0, 5.0], schedule="constant", **settings), data()
    oracle = oracle_for(network(), CrossEntropy(), 1e9, seed)
    begin(strategy, oracle, batch)
    return [float(record["elite"]) for _ in range(160) if "elite" in (record := strategy.step(oracle, batch))]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("settings", [{}, {"starts": "drawn"}, {"evolutions": 3}, {"elite": 0.2}, {"evolutions": 0}])
def test_the_elites_mean_loss_never_rises(seed: int, settings: dict[str, object]) -> None:
    """The paper's theorem, at learning rates at which descent alone goes up and down."""
    means = torch.tensor(elites(seed, **settings))
    assert len(means) == 40
    assert (means.diff() <= 1e-6).all()
    assert means[-1] < means[0]


def test_without_back_off_it_rises() -> None:
    means = torch.tensor(elites(0, back_off=False, evolutions=0))
    assert (means.diff() > 1e-3).any()


def test_a_generation_costs_its_gradients_and_its_judgement() -> None:
    strategy, batch = make_strategy("esgd", popsize=4, sgd_steps=2, offspring=6), data(10)
    oracle = oracle_for(network(), CrossEntropy())
    begin(strategy, oracle, batch)
    assert oracle.ledger.forwards == 0
    for expected in (3 * 4 * 10, 2 * 3 * 4 * 10, 2 * 3 * 4 * 10 + (2 * 4 + 6) * 10):
        strategy.step(oracle, batch)
        assert oracle.ledger.forwards == expected


def test_offspring_are_means_of_parents_with_less_noise_in_each_generation() -> None:
    strategy, batch = make_strategy("esgd", popsize=3, parents=3, offspring=4000, sigma=0.3), data()
    oracle = oracle_for(network(), CrossEntropy())
    begin(strategy, oracle, batch)
    strategy.members = torch.randn(3, 58, generator=torch.Generator().manual_seed(0))
    for generation in (1, 5):
        strategy.generation.fill_(generation)
        children = strategy._children(torch.zeros(3), oracle.generator)
        torch.testing.assert_close(children.mean(0), strategy.members.mean(0), atol=0.03, rtol=0)
        assert float(children.std(0).mean()) == pytest.approx(0.3 / generation, rel=0.02)


def test_better_parents_have_more_offspring() -> None:
    strategy = make_strategy("esgd", popsize=3, parents=1, offspring=6000, sigma=1e-6)
    oracle = oracle_for(Point(torch.zeros(1, 1)))
    begin(strategy, oracle, (torch.zeros(1, 1), torch.zeros(1, 1)))
    strategy.members = torch.tensor([[0.0], [1.0], [2.0]])
    children = strategy._children(torch.tensor([5.0, 1.0, torch.inf]), oracle.generator)
    shares = [float((children.round() == member).float().mean()) for member in (1, 0, 2)]
    assert shares == pytest.approx([3 / 6, 2 / 6, 1 / 6], abs=0.03)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"lr": []}, r"strategy\.lr must list at least one value, but is \[\]: write for example \[0\.1\]\."),
        ({"lr": [0.1, -1.0]}, r"strategy\.lr must be a positive number, but is -1\."),
        ({"momentum": [1.0]}, r"strategy\.momentum must lie in \[0, 1\), but is 1\."),
        ({"parents": 6}, r"strategy\.parents must be between 1 and 5, but is 6\."),
        ({"sgd_steps": 0, "evolutions": 0}, r"are both 0: set one of them to 1 or more\."),
    ],
)
def test_esgd_refuses_what_cannot_work(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_strategy("esgd", **settings)


# -- PBT --------------------------------------------------------------------------------------------------------------


class Two(nn.Module):
    """Two parameters of one number each, which are the outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.tensor(0.9)), nn.Parameter(torch.tensor(0.9))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.first, self.second]).expand(len(x), 2)


class MinusQ(Objective):
    """-Q = theta^2 - 1.2, what the paper's toy (its figure 2) is judged by."""

    differentiable = True

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.square().sum(-1).mean() - 1.2

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return MetricCollection({})


def toy(seed: int, exploit: bool, explore: bool) -> float:
    """Q after 200 steps of two members that descend on 1.2 - h0 theta0^2 - h1 theta1^2, h being (0, 1) and (1, 0).

    A step of theirs is one on Q itself with learning rates lr h.
    """
    switches = {
        "exploit": exploit,
        "explore": explore,
        "rates": "per_tensor",
        "descent": "sgd",
        "starts": "same",
        "weight_decay": 0.0,
    }
    strategy = make_strategy("pbt", popsize=2, ready=5, lr_low=1e-5, lr_high=1e-2, **switches)
    oracle, batch = oracle_for(Two(), MinusQ(), 1e9, seed), (torch.zeros(1, 1), torch.zeros(1, 1))
    begin(strategy, oracle, batch)
    strategy.learning_rates = 0.01 * torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    for _ in range(200):
        strategy.step(oracle, batch)
    return 1.2 - float(strategy.recommend().square().sum())


def test_the_papers_toy_needs_both_exploit_and_explore() -> None:
    both, explore = ([toy(seed, exploit, True) for seed in range(8)] for exploit in (True, False))
    assert min(both) > 1.1
    assert 0.6 < sum(explore) / 8 < 1.1
    for exploit in (True, False):  # no member moves both coordinates: 1.2 - 0.81 - (0.9 * 0.98^200)^2
        assert toy(0, exploit, explore=False) == pytest.approx(1.2 - 0.81 - (0.9 * 0.98**200) ** 2, abs=1e-4)


def test_the_worst_become_the_best_with_all_their_state() -> None:
    strategy, batch = make_strategy("pbt", popsize=5, ready=3, explore=False), data()
    oracle = oracle_for(network(), CrossEntropy())
    begin(strategy, oracle, batch)
    for _ in range(2):
        strategy.step(oracle, batch)
    strategy.averages = torch.tensor([0.3, 0.2, 0.1, torch.inf, 0.4])
    rates = strategy.learning_rates.clone()
    strategy.step(oracle, batch)  # the fourth has failed before, and is the worst by then or not: who was, is a copy
    same = [(i, j) for i in range(5) for j in range(i) if torch.equal(strategy.members[i], strategy.members[j])]
    ((one, other),) = same
    assert torch.equal(strategy.descent.m[one], strategy.descent.m[other])
    assert torch.equal(strategy.learning_rates[one], strategy.learning_rates[other])
    assert len(strategy.learning_rates.unique()) == len(rates.unique()) - 1


def test_explored_rates_are_perturbed_or_drawn_anew() -> None:
    strategy = make_strategy("pbt", resample=0.25, lr_low=1.0, lr_high=2.0)
    explored = strategy._explored(torch.full((4000, 1), 100.0), torch.Generator().manual_seed(0))
    for value in (80.0, 120.0):
        assert (explored - value).abs().lt(1e-3).float().mean() == pytest.approx(0.375, abs=0.03)
    assert ((explored >= 1) & (explored <= 2)).float().mean() == pytest.approx(0.25, abs=0.03)


def test_rates_of_tensors_need_tensors() -> None:
    oracle = oracle_for(network(), CrossEntropy()).encoded(Subspace(dimension=10))
    with pytest.raises(ConfigError, match=r"choose strategy\.rates=one or encoding=direct\."):
        make_strategy("pbt", rates="per_tensor").attach(oracle)


def test_the_lowest_rate_is_the_lowest() -> None:
    with pytest.raises(ConfigError, match=r"strategy\.lr_high must be at least strategy\.lr_low, 0\.1, but is 0\.01\."):
        make_strategy("pbt", lr_low=0.1)


# -- many starts ------------------------------------------------------------------------------------------------------


def test_rungs_cost_the_same_and_end_with_one() -> None:
    strategy, batch, spent = make_strategy("multistart", popsize=6), data(10), {}
    oracle = oracle_for(network(), CrossEntropy(), 40_000)
    begin(strategy, oracle, batch)
    while not oracle.exhausted:
        before = oracle.ledger.forwards
        members = strategy.step(oracle, batch)["members"]
        spent[members] = spent.get(members, 0) + oracle.ledger.forwards - before
    assert list(spent) == [6, 3, 2, 1]
    assert all(cost == pytest.approx(10_000, abs=2 * 6 * 3 * 10) for cost in spent.values())


def test_the_better_half_stays_with_its_moments() -> None:
    strategy, batch = make_strategy("multistart", popsize=4), data()
    begin(strategy, oracle_for(network(), CrossEntropy()), batch)
    members, strategy.averages = strategy.members.clone(), torch.tensor([0.3, 0.1, torch.inf, 0.2])
    strategy.adam.m = members.clone()
    strategy._keep(2)
    assert torch.equal(strategy.members, members[[1, 3]])
    assert torch.equal(strategy.adam.m, members[[1, 3]])
    assert strategy.averages.tolist() == pytest.approx([0.1, 0.2])


def test_the_schedule_follows_the_steps_of_the_survivor() -> None:
    strategy = make_strategy("multistart", popsize=4)  # rungs of 4, 2 and 1 members: 1/7, 2/7 and 4/7 of its steps
    shares = [strategy.share_of_steps(progress) for progress in (0.0, 1 / 3, 2 / 3, 1.0)]
    assert shares == pytest.approx([0.0, 1 / 7, 3 / 7, 1.0])
    assert make_strategy("multistart", halve=False).share_of_steps(0.3) == pytest.approx(0.3)


def test_a_good_start_among_bad_ones_is_found() -> None:
    model, target = Point(torch.full((1, 2), 50.0)), torch.zeros(4, 2)
    given = torch.tensor([[40.0, -40.0], [0.1, 0.1], [-60.0, 10.0]])
    oracle = oracle_for(model, forwards=4_000).inheriting(Handover(population=given))
    strategy, batch = make_strategy("multistart", popsize=4, lr=0.01), (torch.zeros(4, 1), target)
    begin(strategy, oracle, batch)
    while not oracle.exhausted:
        strategy.step(oracle, batch)
    assert strategy.recommend().abs().max() < 0.1
