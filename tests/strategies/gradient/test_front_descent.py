"""Gradient descent on several objectives: where members end, what a step costs, and what has no gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from small_problems import Point, make_strategy, oracle_for
from torch import Tensor, nn
from torchmetrics import MetricCollection

from hybridopt import ConfigError, Objective, compose, run
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.objectives.l1_norm import L1Norm
from hybridopt.objectives.margin import Margin
from hybridopt.objectives.several import Several
from hybridopt.objectives.zero_one import ZeroOne
from hybridopt.objectives.zero_weights import ZeroWeights
from hybridopt.toolbox.front_descent import FrontDescent
from hybridopt.toolbox.fronts import nondominated, spread
from hybridopt.toolbox.min_norm import min_norm_weights

D = 6
BATCH = torch.zeros(1, 1), torch.zeros(1, D)


class Bowl(Objective):
    """The mean square of the distance to a place (d,), whatever the targets, times a unit."""

    differentiable = True

    def __init__(self, place: Tensor, unit: float = 1.0):
        super().__init__()
        self.place, self.unit = place, unit

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.unit * (outputs - self.place).square().mean()

    def metrics(self, spec) -> MetricCollection:
        return MetricCollection({})


def corner(axis: int) -> Tensor:
    return torch.eye(D, dtype=torch.float64)[axis]


def descended(name: str, objective: Objective, steps: int, forwards: float = 1e9, **settings: object) -> FrontDescent:
    """After so many steps from the origin."""
    oracle = oracle_for(Point(torch.zeros(1, D, dtype=torch.float64)), objective, forwards=forwards)
    strategy = make_strategy(name, **settings)
    strategy.attach(oracle)
    strategy.begin(oracle, BATCH)
    for _ in range(steps):
        strategy.step(oracle, BATCH)
    return strategy


# -- weights ----------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 2**31), st.booleans())
def test_the_shortest_combination_is_that_of_quadratic_programming(k: int, d: int, seed: int, alike: bool) -> None:
    """Also of vectors that hardly differ, or are more than there are dimensions."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(k, d, generator=generator, dtype=torch.float64) * (1e-3 if alike else 1.0) + alike
    weights = min_norm_weights((vectors @ vectors.T)[None])[0]
    assert weights.min() >= 0
    assert float(weights.sum()) == pytest.approx(1)
    products = (vectors @ vectors.T).numpy()
    best = minimize(
        lambda share: share @ products @ share,
        np.full(k, 1 / k),
        jac=lambda share: 2 * products @ share,
        bounds=[(0, 1)] * k,
        constraints={"type": "eq", "fun": lambda share: share.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    scale = products.diagonal().max()
    assert float(weights @ vectors @ vectors.T @ weights) <= best.fun + 1e-7 * scale


@pytest.mark.parametrize(("count", "objectives"), [(1, 3), (2, 2), (10, 2), (2, 3), (10, 3), (30, 4), (7, 8)])
def test_weights_are_spread_over_all_tradeoffs(count: int, objectives: int) -> None:
    weights = spread(count, objectives)
    assert weights.shape == (count, objectives)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(count, dtype=torch.float64))
    if count == 1:
        return
    apart = (torch.cdist(weights, weights) + 10 * torch.eye(count)).min(dim=1).values
    assert apart.min() > 0.5 * apart.max()  # nobody is much closer to another one than anybody else
    corners = torch.eye(objectives, dtype=torch.float64)[: min(count, objectives)]
    assert torch.cdist(corners, weights).min(dim=1).values.max() < 1e-9


# -- where members end ------------------------------------------------------------------------------------------------


def test_each_weighted_sum_ends_at_its_own_minimum() -> None:
    """Of two bowls of different units it is on the way from one to the other, as far as the weights say."""
    objective = Several({"a": Bowl(corner(0)), "b": Bowl(corner(1), 100.0)})
    plain = descended("weighted_sum", objective, 600, members=5, lr=0.02, schedule="constant", normalise=True)
    share = torch.linspace(1, 0, 5, dtype=torch.float64)[:, None]
    expected = share * corner(0) + (1 - share) * corner(1)
    torch.testing.assert_close(plain.members, expected, atol=1e-3, rtol=0)
    assert len(plain.front()) == 5


def test_multiple_gradients_raise_no_objective_and_end_on_the_front() -> None:
    """The front of three bowls is the triangle between their places."""
    places = [corner(axis) for axis in range(3)]
    objective = Several({name: Bowl(place) for name, place in zip("abc", places, strict=True)})
    strategy = descended("mgda", objective, 1, members=8, lr=0.1, sigma=1.0, schedule="constant")
    oracle = oracle_for(Point(torch.zeros(1, D, dtype=torch.float64)), objective, forwards=1e9)
    strategy.attach(oracle)
    for _ in range(300):
        before = strategy.values
        strategy.step(oracle, BATCH)
        assert (strategy.values <= before + 1e-9).all()
    ends = strategy.members
    assert ends[:, 3:].abs().max() < 1e-2
    assert ends[:, :3].min() > -1e-2
    torch.testing.assert_close(ends[:, :3].sum(dim=1), torch.ones(8, dtype=torch.float64), atol=2e-2, rtol=0)
    assert torch.cdist(ends, ends).max() > 0.3


@pytest.mark.parametrize("name", ["weighted_sum", "mgda"])
def test_the_front_is_known_without_a_further_pass(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    batch = torch.randn(7, 4), torch.randint(3, (7,))
    oracle = oracle_for(model, Several({"loss": CrossEntropy(), "margin": Margin(), "norm": L1Norm()}))
    strategy = make_strategy(name, members=6, lr=0.01)
    strategy.attach(oracle)
    strategy.begin(oracle, batch)
    torch.testing.assert_close(strategy.recommend(), oracle.start)
    for step in range(1, 4):
        strategy.step(oracle, batch)
        assert oracle.ledger.forwards == step * 3 * 6 * 7 * 2  # the norm asks for no pass
    front, readings = strategy.front(), strategy.front_readings()
    assert nondominated(readings).all()
    torch.testing.assert_close(readings, oracle.readings(front, batch))
    assert (front == strategy.recommend()).all(dim=1).any()


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weighted_sum", "mgda"])
@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (ZeroWeights(), "objective.parts.other, ZeroWeights, has none: type l1_norm in its place"),
        (ZeroOne(), "objective.parts.other, ZeroOne, has none: type cross_entropy, hinge or mse in its place"),
    ],
)
def test_objectives_without_a_gradient_are_refused(name: str, part: Objective, sentence: str) -> None:
    oracle = oracle_for(nn.Linear(4, 3), Several({"loss": CrossEntropy(), "other": part}))
    with pytest.raises(ConfigError, match=sentence):
        make_strategy(name).attach(oracle)


@pytest.mark.parametrize("settings", [{"members": 0}, {"lr": 0.0}, {"final_lr": -1.0}, {"choice": "weights"}])
def test_bad_values_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"strategy\."):
        make_strategy("weighted_sum", **settings)


def test_it_runs_by_the_command_line(tmp_path) -> None:
    typed = ("strategy=weighted_sum", "strategy.choice=weights", "+strategy.weights.loss=1", "budget.forwards=3e5")
    several = ("objectives={loss: cross_entropy, norm: l1_norm}", "tracking=none", "trainer.enable_progress_bar=false")
    assert compose(*typed, *several).strategy.weights == {"loss": 1}
    assert run(*typed, *several, directory=tmp_path).summary["test/accuracy"] > 0.8
